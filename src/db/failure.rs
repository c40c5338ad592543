//! What a database error says about trying again: the one place that sorts them.
//!
//! Whatever is not known for certain to be the fault of a value counts as worth another try, so that
//! nothing is thrown away by mistake.

use sea_orm::{DbErr, RuntimeErr, SqlxError, SqlxPostgresError, SqlxSqliteError};

/// What an error means for whoever wanted to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The database is not there, stopping, out of resources or too slow: any other write fails too.
    Away,
    /// The database will never take one of these values.
    Refused,
    /// Neither is certain: worth another try, and no reason to hold others up.
    Unclear,
}

impl Failure {
    /// Sorts an error. A broken connection during a commit is [`Failure::Away`] too: the commit may
    /// have happened.
    #[must_use]
    pub fn of(error: &DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Away,
            DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
                Self::of_driver(error)
            }
            _ => Self::Unclear,
        }
    }

    /// Whether a database that can't be used now may be later, with nothing changed on our side: it is stopped,
    /// starting, or full. A wrong password, a database that does not exist and a TLS that does not fit stay so.
    #[must_use]
    pub fn passes(error: &DbErr) -> bool {
        let (DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))) = error
        else {
            return matches!(error, DbErr::ConnectionAcquire(_));
        };
        let stays = match &**error {
            SqlxError::Tls(_) | SqlxError::Protocol(_) => true,
            SqlxError::Database(error) => {
                error.code().is_some_and(|code| code.starts_with("28") || code.starts_with("3D"))
            }
            _ => false,
        };
        !stays && Self::of_driver(error) == Self::Away
    }

    /// Whether a SQLite file is damaged, or no database at all, so that it stays unreadable.
    #[must_use]
    pub fn is_damage(error: &DbErr) -> bool {
        let (DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error))) = error
        else {
            return false;
        };
        let SqlxError::Database(error) = &**error else { return false };
        let sqlite: Option<&SqlxSqliteError> = error.try_downcast_ref();
        let code = sqlite.and_then(|_| error.code()?.parse::<u32>().ok());
        // Corrupt, not a database.
        code.is_some_and(|code| matches!(code & 0xff, 11 | 26))
    }

    fn of_driver(error: &SqlxError) -> Self {
        match error {
            SqlxError::Io(_)
            | SqlxError::Tls(_)
            | SqlxError::Protocol(_)
            | SqlxError::PoolTimedOut
            | SqlxError::PoolClosed
            | SqlxError::WorkerCrashed => Self::Away,
            SqlxError::Database(error) => {
                let (postgres, sqlite) = (error.try_downcast_ref(), error.try_downcast_ref());
                match (postgres, sqlite, error.code()) {
                    (Some(SqlxPostgresError { .. }), _, Some(code)) => Self::of_sqlstate(&code),
                    (_, Some(SqlxSqliteError { .. }), Some(code)) => Self::of_sqlite(&code),
                    _ => Self::Unclear,
                }
            }
            _ => Self::Unclear,
        }
    }

    /// PostgreSQL: the first two letters are the class.
    fn of_sqlstate(code: &str) -> Self {
        match code {
            // Taken by another row: the next number of a sequence may be free.
            "23505" => Self::Unclear,
            // A lock that was not granted in time; a server that follows another one for now.
            "55P03" | "25006" => Self::Away,
            _ => match code.get(..2) {
                // Connection, authorisation, no such database, resources, stopped by an operator, system.
                Some("08" | "28" | "3D" | "53" | "57" | "58") => Self::Away,
                // Data, constraints, a view's check, limits of the program, raised by a trigger.
                Some("22" | "23" | "44" | "54" | "P0") => Self::Refused,
                _ => Self::Unclear,
            },
        }
    }

    /// SQLite: the low byte of an extended code is the primary one.
    fn of_sqlite(code: &str) -> Self {
        match code.parse::<u32>() {
            // A primary key or unique index: as with PostgreSQL.
            Ok(1555 | 2067) | Err(_) => Self::Unclear,
            Ok(code) => match code & 0xff {
                // Busy, locked, read-only, I/O, full, can't open.
                5 | 6 | 8 | 10 | 13 | 14 => Self::Away,
                // Too big, constraint, mismatch, range.
                18 | 19 | 20 | 25 => Self::Refused,
                _ => Self::Unclear,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_postgres() {
        for code in ["08006", "57P01", "57P02", "57P03", "53300", "53100", "55P03", "25006", "3D000"] {
            assert_eq!(Failure::of_sqlstate(code), Failure::Away, "{code}");
        }
        for code in ["22001", "22003", "22021", "23514", "23502", "P0001"] {
            assert_eq!(Failure::of_sqlstate(code), Failure::Refused, "{code}");
        }
        for code in ["23505", "40001", "40P01", "42P01", "XX000", ""] {
            assert_eq!(Failure::of_sqlstate(code), Failure::Unclear, "{code}");
        }
    }

    #[test]
    fn codes_of_sqlite() {
        for (code, failure) in [
            ("5", Failure::Away),
            ("517", Failure::Away),
            ("778", Failure::Away),
            ("1811", Failure::Refused),
            ("275", Failure::Refused),
            ("2067", Failure::Unclear),
            ("1", Failure::Unclear),
        ] {
            assert_eq!(Failure::of_sqlite(code), failure, "{code}");
        }
    }

    #[test]
    fn errors_of_the_driver() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = |error: SqlxError| DbErr::Exec(RuntimeErr::SqlxError(error.into()));
        assert_eq!(Failure::of(&error(SqlxError::Io(io))), Failure::Away);
        assert_eq!(Failure::of(&error(SqlxError::PoolTimedOut)), Failure::Away);
        assert_eq!(Failure::of(&error(SqlxError::RowNotFound)), Failure::Unclear);
        assert_eq!(Failure::of(&DbErr::Type("odd".to_owned())), Failure::Unclear);
    }

    #[test]
    fn what_waiting_mends() {
        let error = |error: SqlxError| DbErr::Conn(RuntimeErr::SqlxError(error.into()));
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(Failure::passes(&error(SqlxError::Io(io))));
        assert!(Failure::passes(&error(SqlxError::PoolTimedOut)));
        assert!(!Failure::passes(&error(SqlxError::Configuration("no port".into()))));
        assert!(!Failure::passes(&error(SqlxError::Protocol("not PostgreSQL".to_owned()))));
        assert!(!Failure::passes(&DbErr::Type("odd".to_owned())));
    }
}
