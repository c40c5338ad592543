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

    /// Leaves PostgreSQL with files to write its log to. A new one makes each file when it first needs it, 16 MiB of
    /// zeros that every commit waits for; one that has been used for a while has some over from before. Sixty stay below
    /// `max_wal_size`, beyond which they are deleted.
    pub(crate) fn have_log_files(&self) {
        self.psql(
            "DO $$ BEGIN FOR n IN 1..60 LOOP \
             PERFORM pg_logical_emit_message(false, '', ''); PERFORM pg_switch_wal(); END LOOP; END $$",
        );
        self.psql("CHECKPOINT");
    }

    /// Runs a statement; answers what it prints.
    pub(crate) fn psql(&self, sql: &str) -> String {
        psql(&self.database, sql)
    }
}
