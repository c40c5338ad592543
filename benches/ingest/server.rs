//! The server as a process, with a database of its own.

use std::net::SocketAddr;

use crate::support::{Ends, new_database, psql, start_server};

/// A server; it ends with the value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The URL of its database.
    pub(crate) database: String,
    _process: Ends,
    _folder: tempfile::TempDir,
}

impl Server {
    /// On a new database of the run's PostgreSQL.
    pub(crate) fn start(guest_api: &str) -> Self {
        let database = new_database("bench").expect("run `make bench-ingest`");
        let folder = tempfile::tempdir().unwrap();
        let (process, address) = start_server(&database, guest_api, folder.path(), &[]);
        Self { address, database, _process: process, _folder: folder }
    }

    /// Runs a statement; answers what it prints.
    pub(crate) fn psql(&self, sql: &str) -> String {
        psql(&self.database, sql)
    }
}
