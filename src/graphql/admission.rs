//! What every request comes through before anything is run, whichever transport brought it: the document
//! of a persisted query, the bounds on documents, the types of variables, and whether the caller may.

use async_graphql::{Request, ServerError};

use super::{
    document::{self, Operation, Rules},
    errors::Code,
    persisted::Persisted,
};
use crate::access::{
    Access, Caller, Spend,
    table::{self, Role},
};

/// Lets requests in.
#[derive(Debug)]
pub struct Admission {
    rules: Rules,
    persisted: Persisted,
    access: Access,
}

impl Admission {
    /// By these rules, with no document known yet.
    #[must_use]
    pub fn new(rules: Rules, access: Access) -> Self {
        Self { rules, persisted: Persisted::default(), access }
    }

    /// Counts an operation that did not come as a request of its own.
    pub fn count(&self, caller: &Caller) -> Result<(), ServerError> {
        self.access.spend(caller, Spend::Request).map_err(Code::denied)
    }

    /// Makes the request ready to be run for this caller, and says what it asks for.
    pub fn admit(&self, request: &mut Request, caller: &Caller) -> Result<Operation, ServerError> {
        let hash = self.persisted.resolve(request)?;
        let operation = self.rules.check(request)?;
        permit(request, caller)?;
        if operation == Operation::Mutation {
            self.access.spend(caller, Spend::Mutation).map_err(Code::denied)?;
        }
        request.data.insert(caller.clone());
        if let Some(hash) = hash {
            self.persisted.keep(hash, &request.query);
        }
        Ok(operation)
    }
}

/// Whether the caller may do all that the operation asks for.
fn permit(request: &mut Request, caller: &Caller) -> Result<(), ServerError> {
    let wanted = request.operation_name.clone();
    let Some(asked) = document::asked(request.parsed_query()?, wanted.as_deref()) else { return Ok(()) };
    let fields = asked.fields.into_iter().map(|(name, pos)| (table::field(asked.root, name), name, pos));
    let types = asked.types.into_iter().map(|(name, pos)| (Some(table::fragment_on(name)), name, pos));
    for (needed, name, pos) in fields.chain(types) {
        let denied = match caller.require(needed.unwrap_or(Role::Admin)) {
            Ok(()) => continue,
            Err(denied) => denied,
        };
        // What is in no table is in no schema either, or nobody is told of it.
        return Err(match needed {
            Some(_) => Code::Forbidden.error_at(format!("{name}: {denied}"), pos),
            None => Code::ValidationFailed.error_at(format!("Unknown field \"{name}\""), pos),
        });
    }
    Ok(())
}
