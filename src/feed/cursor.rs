//! An opaque position in the change log: version, epoch of the log, sequence.
//!
//! Clients keep cursors for as long as they like, so one says which log it belongs to: a position in
//! another database's log, or in one that was restored from a backup, is refused instead of being
//! read as something it is not.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;

const VERSION: u8 = 1;

/// A position. `Display` gives the opaque text, [`Cursor::parse`] takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which log.
    pub epoch: i64,
    /// Everything up to this sequence has been seen.
    pub seq: i64,
}

/// Why a cursor can't be resumed from.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CursorError {
    /// No cursor of ours, or one of another log.
    #[error(
        "this is not a cursor of this server's change stream; read the list again and start from its streamCursor"
    )]
    Invalid,
    /// Older than the log is kept.
    #[error(
        "this cursor is older than the change log is kept; read the list again and start from its streamCursor"
    )]
    Expired,
}

impl Cursor {
    /// Reads the opaque text.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Invalid)?;
        let bytes: [u8; 17] = bytes.try_into().map_err(|_| CursorError::Invalid)?;
        let (version, rest) = (bytes[0], &bytes[1..]);
        let (epoch, seq) = rest.split_at(8);
        match (version, <[u8; 8]>::try_from(epoch), <[u8; 8]>::try_from(seq)) {
            (VERSION, Ok(epoch), Ok(seq)) => {
                Ok(Self { epoch: i64::from_be_bytes(epoch), seq: i64::from_be_bytes(seq) })
            }
            _ => Err(CursorError::Invalid),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [VERSION; 17];
        bytes[1..9].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[9..].copy_from_slice(&self.seq.to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for cursor in [Cursor { epoch: 0, seq: 0 }, Cursor { epoch: -7, seq: i64::MAX }] {
            assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
        }
    }

    #[test]
    fn anything_else_is_invalid() {
        let other_version = URL_SAFE_NO_PAD.encode([9; 17]);
        for text in ["", "x", "12", "not a cursor", &other_version, &"A".repeat(24)] {
            assert_eq!(Cursor::parse(text), Err(CursorError::Invalid), "{text}");
        }
    }
}
