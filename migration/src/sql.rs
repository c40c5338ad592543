//! One text of SQL for two databases: the few types that differ are written as `{names}`.
//!
//! SQLite has no types for instants and exact decimals. Instants are text in one fixed-width form
//! (RFC 3339, UTC, six digits of fraction), so that they sort as they are; amounts are REAL and are
//! rounded to two places wherever they are read.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// What stands for what: (placeholder, PostgreSQL, SQLite).
const DIALECT: [(&str, &str, &str); 8] = [
    ("{serial}", "SERIAL PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT"),
    ("{bigserial}", "BIGSERIAL PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT"),
    ("{timestamp}", "TIMESTAMPTZ", "TEXT"),
    ("{now}", "now()", "(strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))"),
    ("{epoch}", "'epoch'::timestamptz", "'1970-01-01T00:00:00.000000Z'"),
    ("{amount}", "NUMERIC(10,2)", "REAL"),
    ("{bytes}", "COLLATE \"C\"", ""),
    ("{binary}", "BYTEA", "BLOB"),
];

/// Runs each statement of `text` (they are separated by `;`) in the dialect of the connection.
pub(crate) async fn run(manager: &SchemaManager<'_>, text: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let sqlite = connection.get_database_backend() == DbBackend::Sqlite;
    let mut text = text.to_owned();
    for (name, postgres, lite) in DIALECT {
        text = text.replace(name, if sqlite { lite } else { postgres });
    }
    for statement in text.split(';').filter(|part| !part.trim().is_empty()) {
        connection.execute_unprepared(statement).await?;
    }
    Ok(())
}
