//! Tokens in a file, as hashes: whoever reads the file can't use them.
//!
//! A line is `<name> <role> sha256:<hash>`; empty lines and lines that begin with `#` are passed over. The
//! file is read anew every second: what was added is good from then on, and what was removed or has
//! another role is good no longer, which ends what goes on under it. A file that can't be read or
//! understood leaves things as they are, and is logged.
//!
//! A token is 256 random bits, so one round of SHA-256 is enough: there is nothing to guess.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::Rng;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::{Caller, End, Role};

/// How often the file is read.
const LOOK: Duration = Duration::from_secs(1);
/// What every token begins with, so that it is known for one wherever it turns up.
const PREFIX: &str = "besty_";
/// Characters of a name.
const NAME_MAX: usize = 100;

type Hash = [u8; 32];

/// Why the file can't be used.
#[derive(Debug, Error)]
pub enum TokensError {
    /// It can't be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// A line is not as it should be.
    #[error("{path}, line {line}: {problem}")]
    Line {
        /// Which file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What it should be.
        problem: &'static str,
    },
    /// A new token has a name that another has.
    #[error("{path}: there is a token named {name} already; take another name, or remove its line first")]
    Taken {
        /// Which file.
        path: String,
        /// The name.
        name: String,
    },
    /// A new token has a name that can't be one.
    #[error("--name: must have 1 to {NAME_MAX} letters, digits and characters of -._@")]
    Name,
}

impl TokensError {
    fn file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.display().to_string(), error }
    }
}

/// The tokens of a file, as it is now.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    text: String,
    by_hash: HashMap<Hash, Entry>,
}

#[derive(Debug)]
struct Entry {
    caller: Caller,
    removed: CancellationToken,
}

/// A line.
struct Line {
    name: String,
    role: Role,
    hash: Hash,
}

impl Tokens {
    /// Reads the file.
    pub fn open(path: PathBuf) -> Result<Self, TokensError> {
        let text = read(&path)?;
        let tokens = Self { known: Mutex::default(), path };
        tokens.take(text)?;
        Ok(tokens)
    }

    /// Whose token this is.
    pub(super) fn find(&self, token: &str) -> Option<Caller> {
        let hash = Hash::from(Sha256::digest(token));
        self.lock().by_hash.get(&hash).map(|entry| entry.caller.clone())
    }

    /// Takes up what changes in the file.
    pub(super) async fn keep(&self) {
        let mut told = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let result = match tokio::fs::read_to_string(&self.path).await {
                Ok(text) => self.take(text),
                Err(error) => Err(TokensError::file(&self.path, error)),
            };
            let problem = result.err().map(|error| error.to_string()).unwrap_or_default();
            // Each once, for as long as it lasts.
            if !problem.is_empty() && problem != told {
                tracing::error!(%problem, "TOKENS_FILE: can't be used; the tokens stay as they were");
            }
            told = problem;
        }
    }

    /// Makes the text what is known.
    fn take(&self, text: String) -> Result<(), TokensError> {
        if self.lock().text == text {
            return Ok(());
        }
        let lines = parse(&text, &self.path)?;
        let mut known = self.lock();
        let mut before = std::mem::take(&mut known.by_hash);
        for line in lines {
            let same = before
                .remove(&line.hash)
                .filter(|entry| entry.caller.role() == line.role && entry.caller.name() == line.name);
            known.by_hash.insert(line.hash, same.unwrap_or_else(|| Entry::new(line)));
        }
        known.text = text;
        drop(known);
        // Dropped, an entry is removed.
        drop(before);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new(line: Line) -> Self {
        let removed = CancellationToken::new();
        Self { caller: Caller::new(line.name, line.role, End::Removed(removed.clone())), removed }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.removed.cancel();
    }
}

/// Makes a token and adds its line to the file, which is made if it is not there. The token is nowhere
/// but in the answer.
pub fn create(path: &Path, name: &str, role: Role, rng: &mut impl Rng) -> Result<SecretString, TokensError> {
    if !is_name(name) {
        return Err(TokensError::Name);
    }
    let fault = |error| TokensError::file(path, error);
    let present = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(fault(error)),
    };
    if parse(&present, path)?.iter().any(|line| line.name == name) {
        return Err(TokensError::Taken { path: path.display().to_string(), name: name.to_owned() });
    }
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    let token = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
    let mut line =
        if present.is_empty() || present.ends_with('\n') { String::new() } else { "\n".to_owned() };
    // Writing to a text can't fail.
    let _ = writeln!(line, "{name} {role} sha256:{}", hex(&Sha256::digest(&token)));
    append(path, &line).map_err(fault)?;
    Ok(token.into())
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    // One write, so that the file is never read with half a line by whoever reads whole ones.
    options.append(true).create(true).mode(0o600).open(path)?.write_all(line.as_bytes())
}

fn read(path: &Path) -> Result<String, TokensError> {
    std::fs::read_to_string(path).map_err(|error| TokensError::file(path, error))
}

fn parse(text: &str, path: &Path) -> Result<Vec<Line>, TokensError> {
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut known: Vec<Line> = Vec::new();
    for (n, text) in lines {
        let refuse = |problem| TokensError::Line { path: path.display().to_string(), line: n + 1, problem };
        let line = line(text).map_err(refuse)?;
        if known.iter().any(|other| other.name == line.name || other.hash == line.hash) {
            return Err(refuse("its name or its token is that of another line"));
        }
        known.push(line);
    }
    Ok(known)
}

fn line(text: &str) -> Result<Line, &'static str> {
    let parts: Vec<_> = text.split_whitespace().collect();
    let [name, role, hash] = parts[..] else {
        return Err("must be <name> <role> sha256:<hash>, as `besty token create` writes it");
    };
    let name =
        Some(name).filter(|name| is_name(name)).ok_or("the name has characters that names have not")?;
    let role = Role::parse(role).ok_or("the role must be viewer, sender or admin")?;
    let hash =
        hash.strip_prefix("sha256:").and_then(unhex).ok_or("the hash must be sha256: and 64 hex digits")?;
    Ok(Line { name: name.to_owned(), role, hash })
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._@".contains(c);
    !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(is_plain)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = Hash::default();
    for (n, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use rand::{SeedableRng as _, rngs::StdRng};
    use secrecy::ExposeSecret as _;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        (folder, path)
    }

    fn new(path: &Path, name: &str, role: Role) -> String {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        create(path, name, role, &mut rng).unwrap().expose_secret().to_owned()
    }

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let (_folder, path) = folder();
        let (desk, office) = (new(&path, "desk", Role::Sender), new(&path, "office", Role::Admin));
        let text = read(&path).unwrap();
        assert!(text.starts_with("desk sender sha256:") && !text.contains(&desk), "{text}");
        let tokens = Tokens::open(path.clone()).unwrap();
        let found = tokens.find(&desk).unwrap();
        assert_eq!((found.name(), found.role()), ("desk", Role::Sender));
        assert_eq!(tokens.find(&office).unwrap().role(), Role::Admin);
        for wrong in ["", "besty_", &desk[1..], &desk.to_uppercase(), &format!("{desk} ")] {
            assert!(tokens.find(wrong).is_none(), "{wrong}");
        }
        let hash = text.split_once("sha256:").unwrap().1.lines().next().unwrap();
        assert!(tokens.find(hash).is_none(), "the hash is not the token");
        let again = create(&path, "desk", Role::Viewer, &mut rand::rng());
        assert!(matches!(again, Err(TokensError::Taken { .. })));
    }

    #[test]
    fn what_changes_in_the_file_changes_who_is_known() {
        let (_folder, path) = folder();
        let [a, b, c] = ["a", "b", "c"].map(|name| new(&path, name, Role::Viewer));
        let tokens = Tokens::open(path.clone()).unwrap();
        let [was_a, was_b, was_c] = [&a, &b, &c].map(|token| tokens.find(token).unwrap());
        let text = read(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let text = format!("# b has left\n\n{}\n{}", lines[0], lines[2].replace("viewer", "admin"));
        tokens.take(text).unwrap();
        assert!(tokens.find(&b).is_none());
        assert!(was_b.ended().now_or_never().is_some(), "removed");
        assert!(was_c.ended().now_or_never().is_some(), "another role");
        assert!(was_a.ended().now_or_never().is_none(), "still there");
        assert_eq!(tokens.find(&c).unwrap().role(), Role::Admin);
        assert!(tokens.take("nonsense".to_owned()).is_err());
        assert!(tokens.find(&a).is_some(), "a file that is not understood changes nothing");
    }

    #[test]
    fn a_bad_line_is_named() {
        let hash = "0".repeat(64);
        for bad in [
            "desk sender".to_owned(),
            format!("desk sender {hash}"),
            format!("desk sender sha256:{}", &hash[1..]),
            format!("desk sender sha256:+{}", &hash[1..]),
            format!("desk boss sha256:{hash}"),
            format!("de/sk sender sha256:{hash}"),
            format!("desk sender sha256:{hash} x"),
            format!("one sender sha256:{hash}\nother sender sha256:{hash}"),
        ] {
            let error = parse(&format!("# tokens\n\n{bad}\n"), Path::new("t")).err().unwrap().to_string();
            assert!(error.starts_with("t, line 3:") || error.starts_with("t, line 4:"), "{bad}: {error}");
            assert!(!error.contains(&hash), "{error}");
        }
    }
}
