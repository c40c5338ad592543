//! The server as a process, with a database of its own.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// What webhooks carry.
pub(crate) const SECRET: &str = "bench-secret";

/// A server; it ends with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The URL of its database.
    pub(crate) database: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// On a new database of the run's PostgreSQL.
    pub(crate) fn start(guest_api: &str) -> Self {
        let postgres = std::env::var("TEST_POSTGRES_URL").expect("run `make bench-ingest`");
        psql(&postgres, "CREATE DATABASE bench");
        let database = format!("{}/bench", postgres.rsplit_once('/').unwrap().0);
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_besty"))
            .env_clear()
            .envs([("PORT", "0"), ("DATABASE_URL", &*database), ("WEBHOOK_SECRET", SECRET)])
            .env("GUEST_API_BASE_URL", guest_api)
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("listening address=")?.1.trim().to_owned()))
            .expect("the server ended");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.parse().unwrap(), database, _folder: folder }
    }

    /// Runs a statement; answers what it prints.
    pub(crate) fn psql(&self, sql: &str) -> String {
        psql(&self.database, sql)
    }
}

fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql").args([url, "-AtqX", "-c", sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
