//! Automatic persisted queries: a client sends the hash of a document, and the document only when the hash
//! is not known.
//!
//! Apollo's protocol: `extensions.persistedQuery {version: 1, sha256Hash}`. A hash alone that is not known
//! is answered `PERSISTED_QUERY_NOT_FOUND`; a document that comes with another hash than its own is
//! refused. What is kept is the text only, bounded in number and in bytes; the longest unused goes first.

use std::sync::{Mutex, PoisonError};

use async_graphql::{Request, ServerError, Value};
use sha2::{Digest as _, Sha256};

use super::{bounded::Bounded, errors::Code};

/// Documents that are kept.
const DOCUMENTS_MAX: usize = 1_000;
/// Bytes of them.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// SHA-256 of a document.
type Hash = [u8; 32];

/// The documents that are known.
#[derive(Debug)]
pub struct Persisted(Mutex<Bounded<Hash, String>>);

impl Default for Persisted {
    fn default() -> Self {
        Self(Mutex::new(Bounded::new(DOCUMENTS_MAX, BYTES_MAX)))
    }
}

impl Persisted {
    /// Puts the document into a request that has its hash only. Answers the hash of one that came with it,
    /// to be kept once the document is known to be good.
    pub fn resolve(&self, request: &mut Request) -> Result<Option<Hash>, ServerError> {
        let Some(asked) = asked(request)? else { return Ok(None) };
        if request.query.is_empty() {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(document) = kept.get(&asked) else {
                // Clients look for these very words, or for the code.
                return Err(Code::PersistedQueryNotFound.error("PersistedQueryNotFound"));
            };
            request.query.clone_from(document);
            return Ok(None);
        }
        if Hash::from(Sha256::digest(&request.query)) != asked {
            return Err(bad("sha256Hash: is not the hash of query"));
        }
        Ok(Some(asked))
    }

    /// Keeps a document.
    pub fn keep(&self, hash: Hash, document: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keep(hash, document.to_owned(), document.len());
    }
}

/// The hash in a request, if it has one.
fn asked(request: &Request) -> Result<Option<Hash>, ServerError> {
    let Some(value) = request.extensions.get("persistedQuery").filter(|value| **value != Value::Null) else {
        return Ok(None);
    };
    let Value::Object(fields) = value else {
        return Err(bad("must be an object"));
    };
    match fields.get("version") {
        Some(Value::Number(version)) if version.as_u64() == Some(1) => {}
        _ => return Err(bad("version: must be 1")),
    }
    match fields.get("sha256Hash") {
        Some(Value::String(text)) => {
            parse(text).map(Some).ok_or_else(|| bad("sha256Hash: must be 64 hex digits"))
        }
        _ => Err(bad("sha256Hash: must be given")),
    }
}

fn bad(problem: &str) -> ServerError {
    Code::BadRequest.error(format!("extensions.persistedQuery.{problem}"))
}

fn parse(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.is_ascii() {
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
    use async_graphql::value;

    use super::*;

    fn hash(document: &str) -> Hash {
        Sha256::digest(document).into()
    }

    fn request(document: &str, hash: Hash) -> Request {
        let mut request = Request::new(document);
        let hash: Vec<_> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let hash = hash.concat();
        request.extensions.insert("persistedQuery".to_owned(), value!({ "version": 1, "sha256Hash": hash }));
        request
    }

    fn is_known(persisted: &Persisted, document: &str) -> bool {
        let mut request = request("", hash(document));
        let found = persisted.resolve(&mut request).is_ok();
        assert_eq!(request.query, if found { document } else { "" });
        found
    }

    #[test]
    fn a_document_is_known_by_its_hash_once_it_was_kept() {
        let persisted = Persisted::default();
        assert!(!is_known(&persisted, "{ a }"));
        let keep = persisted.resolve(&mut request("{ a }", hash("{ a }"))).unwrap();
        assert!(!is_known(&persisted, "{ a }"), "whether it is good is not known yet");
        persisted.keep(keep.unwrap(), "{ a }");
        assert!(is_known(&persisted, "{ a }"));
    }

    #[test]
    fn another_hash_than_its_own_is_refused() {
        let persisted = Persisted::default();
        assert!(persisted.resolve(&mut request("{ a }", hash("{ b }"))).is_err());
        for bad in [
            value!(1),
            value!({ "version": 2, "sha256Hash": "00" }),
            value!({ "version": 1, "sha256Hash": "00" }),
            value!({ "version": 1, "sha256Hash": "é".repeat(32) }),
            value!({ "version": 1, "sha256Hash": "+1".repeat(32) }),
            value!({ "version": 1 }),
        ] {
            let mut request = Request::new("{ a }");
            request.extensions.insert("persistedQuery".to_owned(), bad);
            assert!(persisted.resolve(&mut request).is_err(), "{request:?}");
        }
    }
}
