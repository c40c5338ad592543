//! Sets a damaged file aside: it stays beside the new one, byte for byte, for whoever wants to recover it.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Files that may lie there already. A disk that damages more than these needs somebody to look at it first.
const MAX: u32 = 100;

/// Renames the file, which must be closed, to the first free `<name>.damaged-<n>`. What SQLite keeps beside it
/// goes along, and goes first: left behind, it would be read into the new file.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = (1..=MAX)
        .map(|n| with_suffix(path, &format!(".damaged-{n}")))
        .find(|aside| !aside.exists())
        .ok_or_else(|| io::Error::new(ErrorKind::AlreadyExists, format!("{MAX} damaged files are there")))?;
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
