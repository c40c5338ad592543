//! What a GraphQL document may cost before anything runs, and what kind of operation it asks for.
//!
//! Bounds, each checked before the step that it protects: the text is read off once for its size, tokens
//! and nesting, before a parser that recurses sees it; then each fragment is counted once, however often
//! it is spread, before validation walks every spread of it; then the variables are checked, before
//! anything runs. All transports come through here.
//!
//! Clients send the same few documents again and again: those that were found good are kept parsed.

use std::sync::{Mutex, PoisonError};

use async_graphql::{
    Name, Request, ServerError,
    parser::types::{
        DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    },
};

mod asked;
mod scan;
mod shapes;
mod size;
#[cfg(test)]
mod tests;
mod variables;

pub use asked::{Asked, asked};
pub use scan::TEXT_MAX;
use shapes::Shapes;
pub use size::DEPTH_MAX;

use super::{bounded::Bounded, errors::Code};

/// Documents that are kept parsed, and bytes of their texts: parsed, each takes some twenty times that.
const PARSED_MAX: usize = 500;
const PARSED_BYTES_MAX: usize = 512 * 1024;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// One answer; nothing is written.
    Query,
    /// One answer.
    Mutation,
    /// A stream.
    Subscription(Position),
}

/// Where a subscription takes its position from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// The changes of reservations from now on.
    Now,
    /// The changes of reservations after the cursor in this variable, which nothing else reads.
    Variable(Name),
    /// Only the field itself can say.
    Field,
}

/// What documents are held to.
#[derive(Debug)]
pub struct Rules {
    shapes: Shapes,
    introspection: bool,
    parsed: Mutex<Bounded<String, ExecutableDocument>>,
}

impl Rules {
    /// Those of a schema, given as text; `introspection` says whether clients may read it.
    pub fn new(sdl: &str, introspection: bool) -> Result<Self, async_graphql::parser::Error> {
        let parsed = Mutex::new(Bounded::new(PARSED_MAX, PARSED_BYTES_MAX));
        Ok(Self { shapes: Shapes::read(sdl)?, introspection, parsed })
    }

    /// Parses the document of a request, which keeps it, and tells what it asks for. One that is too large
    /// to be looked at or too expensive to be answered is refused, and so are variables of other types.
    pub fn check(&self, request: &mut Request) -> Result<Operation, ServerError> {
        let is_known = self.parse(request)?;
        let (text, wanted) = (request.query.clone(), request.operation_name.clone());
        let variables = std::mem::take(&mut request.variables);
        let document = request.parsed_query()?;
        let operation = operation(document, wanted.as_deref());
        size::check(document, operation, &variables, self)?;
        let operation = operation.ok_or_else(|| unresolved(wanted.as_deref()))?;
        variables::check(operation, &variables, &self.shapes)?;
        let kind = kind(&text, operation)?;
        if !is_known {
            let bytes = text.len();
            self.known().keep(text, document.clone(), bytes);
        }
        request.variables = variables;
        Ok(kind)
    }

    /// Parses the document of a request, or takes what is kept; answers whether it was.
    fn parse(&self, request: &mut Request) -> Result<bool, ServerError> {
        let kept = self.known().get(&request.query).cloned();
        if let Some(document) = kept {
            request.set_parsed_query(document);
            return Ok(true);
        }
        scan::scan(&request.query).map_err(|problem| Code::ParsingLimit.error(problem))?;
        request.parsed_query().map_err(|error| Code::ParseFailed.on(error))?;
        Ok(false)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Bounded<String, ExecutableDocument>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kind(text: &str, operation: &OperationDefinition) -> Result<Operation, ServerError> {
    match operation.ty {
        OperationType::Query => Ok(Operation::Query),
        OperationType::Mutation => Ok(Operation::Mutation),
        OperationType::Subscription => {
            Ok(Operation::Subscription(position(text, operation, only_field(operation)?)))
        }
    }
}

fn unresolved(wanted: Option<&str>) -> ServerError {
    let problem = match wanted {
        Some(name) => format!("operationName: the document has no operation named {name}"),
        None => "operationName: the document has several operations; name the one to run".to_owned(),
    };
    Code::OperationUnresolved.error(problem)
}

/// The operation that would run.
fn operation<'a>(document: &'a ExecutableDocument, wanted: Option<&str>) -> Option<&'a OperationDefinition> {
    let found = match (&document.operations, wanted) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Multiple(all), Some(name)) => all.get(name),
        (DocumentOperations::Multiple(all), None) if all.len() == 1 => all.values().next(),
        (DocumentOperations::Single(_), Some(_)) | (DocumentOperations::Multiple(_), None) => None,
    };
    found.map(|operation| &operation.node)
}

/// A subscription has one root field (GraphQL, 5.2.3.1). Here it stands in the operation itself.
fn only_field(operation: &OperationDefinition) -> Result<&Field, ServerError> {
    let set = &operation.selection_set;
    let [only] = set.node.items.as_slice() else {
        let problem = "a subscription must have exactly one root field";
        return Err(Code::ValidationFailed.error_at(problem, set.pos));
    };
    match &only.node {
        Selection::Field(field) => Ok(&field.node),
        Selection::FragmentSpread(_) | Selection::InlineFragment(_) => {
            let problem = "write the field of a subscription into the operation itself, not into a fragment";
            Err(Code::ValidationFailed.error_at(problem, only.pos))
        }
    }
}

fn position(text: &str, operation: &OperationDefinition, field: &Field) -> Position {
    if field.name.node != "reservationChanged" || !field.directives.is_empty() {
        return Position::Field;
    }
    let Some(after) = field.get_argument("after").map(|after| after.node.to_string()) else {
        return Position::Now;
    };
    let Some(name) = after.strip_prefix('$') else {
        return if after == "null" { Position::Now } else { Position::Field };
    };
    let is_plain = operation
        .variable_definitions
        .iter()
        .any(|definition| definition.node.name.node == name && definition.node.default_value.is_none());
    // Once where it is defined, once here.
    if is_plain && mentions(text, name) == 2 { Position::Variable(Name::new(name)) } else { Position::Field }
}

/// How often a variable stands in the text. Comments and strings count too, which is only careful.
fn mentions(text: &str, name: &str) -> usize {
    let goes_on = |rest: &str| rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
    text.split('$')
        .skip(1)
        .filter(|rest| rest.trim_start().strip_prefix(name).is_some_and(|rest| !goes_on(rest)))
        .count()
}
