//! A request that is shared: what tells it from others, and how it is executed from any position.

use async_graphql::{Name, Request, ServerError, Value, Variables, parser::types::ExecutableDocument};

use crate::access::Role;

/// What the watchers of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    query: String,
    operation_name: Option<String>,
    variables: String,
    role: Role,
}

/// All it takes to execute the request.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) key: std::sync::Arc<Key>,
    variables: Variables,
    document: ExecutableDocument,
}

impl Recipe {
    /// `variable` is the one with the cursor. Its value is taken out: that is where watchers differ.
    pub(super) fn new(
        mut request: Request,
        role: Role,
        variable: Option<&Name>,
    ) -> Result<Self, ServerError> {
        let document = request.parsed_query()?.clone();
        let mut variables = std::mem::take(&mut request.variables);
        if let Some(name) = variable {
            // A text, and not nothing: the variable may have been declared as one that must be given.
            variables.insert(name.clone(), Value::String(String::new()));
        }
        let key = Key {
            query: request.query,
            operation_name: request.operation_name,
            variables: serde_json::to_string(&variables).unwrap_or_default(),
            role,
        };
        Ok(Self { key: key.into(), variables, document })
    }

    /// The request, without its cursor.
    pub(super) fn request(&self) -> Request {
        let mut request = Request::new(self.key.query.clone()).variables(self.variables.clone());
        request.operation_name.clone_from(&self.key.operation_name);
        request.set_parsed_query(self.document.clone());
        request
    }
}
