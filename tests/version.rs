//! `besty --version`: the build script, run where a build may happen: a repository, an archive, Docker.

use std::{
    path::Path,
    process::{Command, Output},
};

/// Runs a command that is to succeed; answers what it said.
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn git(folder: &Path, args: &[&str]) -> String {
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"];
    run(Command::new("git").args(who).args(args).current_dir(folder)).trim().to_owned()
}

/// What the script tells cargo in this folder.
fn told(script: &Path, folder: &Path, profile: &str, commit: Option<&str>) -> Vec<String> {
    let mut command = Command::new(script);
    command
        .current_dir(folder)
        .env_remove("BESTY_COMMIT")
        .env("CARGO_PKG_VERSION", "1.2.3")
        .env("PROFILE", profile);
    command.envs(commit.map(|commit| ("BESTY_COMMIT", commit)));
    // So that no repository around the temporary folder is found.
    command.env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap());
    run(&mut command).lines().map(str::to_owned).collect()
}

fn version(told: &[String]) -> &str {
    told.iter().find_map(|line| line.strip_prefix("cargo::rustc-env=BESTY_VERSION=")).unwrap()
}

#[test]
fn a_build_knows_its_commit_wherever_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs");
    run(Command::new("rustc").args(["--edition=2024", "-o"]).arg(&script).arg(source));

    let archive = folder.path().join("archive");
    std::fs::create_dir(&archive).unwrap();
    assert_eq!(version(&told(&script, &archive, "release", None)), "1.2.3");
    assert_eq!(version(&told(&script, &archive, "release", Some(""))), "1.2.3");
    assert_eq!(version(&told(&script, &archive, "release", Some("abc1234"))), "1.2.3 (abc1234)");
    assert_eq!(version(&told(&script, &archive, "release", Some("a\nb"))), "1.2.3", "one line, and plain");

    let repository = folder.path().join("repository");
    std::fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "-q"]);
    for message in ["one", "two"] {
        git(&repository, &["commit", "-q", "--allow-empty", "-m", message]);
        let commit = git(&repository, &["rev-parse", "--short=12", "HEAD"]);
        let lines = told(&script, &repository, "release", None);
        assert_eq!(version(&lines), format!("1.2.3 ({commit})"));
        for file in [".git/HEAD", ".git/refs/heads/main"] {
            assert!(lines.contains(&format!("cargo::rerun-if-changed={file}")), "{file}: {lines:?}");
        }
    }
    git(&repository, &["pack-refs", "--all"]);
    let lines = told(&script, &repository, "release", None);
    assert!(lines.contains(&"cargo::rerun-if-changed=.git/logs/HEAD".to_owned()), "{lines:?}");
    let lines = told(&script, &repository, "debug", None);
    assert_eq!(version(&lines), "1.2.3 (development build)");
    assert!(!lines.iter().any(|line| line.contains(".git")), "not built anew for each commit: {lines:?}");
    assert_eq!(version(&told(&script, &repository, "release", Some("docker"))), "1.2.3 (docker)");
}

#[test]
fn the_binary_tells_it() {
    let said = run(Command::new(env!("CARGO_BIN_EXE_besty")).arg("--version"));
    let inside = said.trim().strip_prefix(concat!("besty ", env!("CARGO_PKG_VERSION"))).unwrap();
    assert!(inside.is_empty() || (inside.starts_with(" (") && inside.ends_with(')')), "{said}");
}
