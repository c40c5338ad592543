//! What every request comes through before anything is run, whichever transport brought it: the document
//! of a persisted query, the bounds on documents, the types of variables.

use async_graphql::{Request, ServerError};

use super::{
    document::{Operation, Rules},
    persisted::Persisted,
};

/// Lets requests in.
#[derive(Debug)]
pub struct Admission {
    rules: Rules,
    persisted: Persisted,
}

impl Admission {
    /// By these rules, with no document known yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, persisted: Persisted::default() }
    }

    /// Makes the request ready to be run, and says what it asks for.
    pub fn admit(&self, request: &mut Request) -> Result<Operation, ServerError> {
        let hash = self.persisted.resolve(request)?;
        let operation = self.rules.check(request)?;
        if let Some(hash) = hash {
            self.persisted.keep(hash, &request.query);
        }
        Ok(operation)
    }
}
