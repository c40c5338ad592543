//! Makes a build notice when the web pages were built after it, and tells it which commit it is of.
//!
//! Cargo looks at a folder only if it is there, so an empty one is made. The commit is `BESTY_COMMIT`, or that of
//! the repository this is the root of; a release follows its HEAD. A development build does not, since each commit
//! would have all of it compiled again. Outside of a repository, and without the variable, there is none.

use std::{path::Path, process::Command};

fn main() {
    let pages = "playground/dist";
    if let Err(error) = std::fs::create_dir_all(pages) {
        println!("cargo::warning={pages} can't be made: {error}");
    }
    println!("cargo::rerun-if-changed={pages}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BESTY_COMMIT");
    let release = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let version = match commit() {
        Some(commit) => format!("{release} ({commit})"),
        None => release,
    };
    println!("cargo::rustc-env=BESTY_VERSION={version}");
}

fn commit() -> Option<String> {
    let given = std::env::var("BESTY_COMMIT").ok().filter(|given| !given.is_empty());
    if let Some(given) = given {
        let is_plain = given.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        return is_plain.then(|| given.chars().take(40).collect());
    }
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return Some("development build".to_owned());
    }
    // A repository that this only lies in, unpacked from an archive, is another's.
    if !Path::new(".git").exists() {
        return None;
    }
    // A branch may have no file of its own; the log of HEAD is there and grows whatever moves it.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD"].into_iter().chain(branch.as_deref()) {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    let said = String::from_utf8(output.stdout).ok()?;
    Some(said.trim().to_owned()).filter(|said| !said.is_empty())
}
