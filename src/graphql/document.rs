//! What a GraphQL document may cost before anything runs, and what kind of operation it asks for.
//!
//! Three bounds, each checked before the step that it protects: the text is read off once for its size,
//! tokens and nesting, before a parser that recurses sees it; then each fragment is counted once, however
//! often it is spread, before validation walks every spread of it. All transports come through here.

use std::collections::HashMap;

use async_graphql::{
    Name, Request, ServerError,
    parser::types::{
        DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
        SelectionSet,
    },
};

/// Bytes of a document.
pub const TEXT_MAX: usize = 128 * 1024;
/// Tokens of a document.
const TOKENS_MAX: usize = 10_000;
/// Brackets within brackets.
const NESTING_MAX: usize = 64;
/// Fields once every fragment is put where it is spread.
const FIELDS_MAX: usize = 5_000;
/// Selections within selections, counted the same way.
const DEPTH_MAX: usize = 64;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// One answer; nothing is written.
    Query,
    /// One answer.
    Mutation,
    /// A stream.
    Subscription(Position),
    /// Executing it says what is wrong: there is no such operation.
    Unknown,
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

/// Parses the document of a request, which keeps it, and tells what it asks for. One that is too large
/// to be looked at is refused.
pub fn check(request: &mut Request) -> Result<Operation, ServerError> {
    let refuse = |problem: String| ServerError::new(problem, None);
    scan(&request.query).map_err(refuse)?;
    let text = request.query.clone();
    let wanted = request.operation_name.clone();
    let document = request.parsed_query()?;
    count(document).map_err(refuse)?;
    let Some(operation) = operation(document, wanted.as_deref()) else { return Ok(Operation::Unknown) };
    match operation.ty {
        OperationType::Query => Ok(Operation::Query),
        OperationType::Mutation => Ok(Operation::Mutation),
        OperationType::Subscription => {
            let field = only_field(operation)?;
            Ok(Operation::Subscription(position(&text, operation, field)))
        }
    }
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
        return Err(ServerError::new("a subscription must have exactly one root field", Some(set.pos)));
    };
    match &only.node {
        Selection::Field(field) => Ok(&field.node),
        Selection::FragmentSpread(_) | Selection::InlineFragment(_) => Err(ServerError::new(
            "write the field of a subscription into the operation itself, not into a fragment",
            Some(only.pos),
        )),
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

/// Reads the text off: size, tokens, nesting. Strings and comments are told apart as the parser does
/// it, so that no bracket hides in one.
fn scan(text: &str) -> Result<(), String> {
    if text.len() > TEXT_MAX {
        return Err(format!("query: the document is longer than {TEXT_MAX} bytes"));
    }
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut depth) = (0, 0_usize, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        let length = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += until_line_end(&bytes[at..]);
                continue;
            }
            b'"' => string(&bytes[at..]).ok_or("query: a string has no end")?,
            b'{' | b'[' | b'(' => {
                depth += 1;
                1
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                1
            }
            _ if is_word(byte) => bytes[at..].iter().take_while(|byte| is_word(**byte)).count(),
            _ => 1,
        };
        at += length;
        tokens += 1;
        if tokens > TOKENS_MAX {
            return Err(format!("query: the document has more than {TOKENS_MAX} tokens"));
        }
        if depth > NESTING_MAX {
            return Err(format!("query: the document is nested more than {NESTING_MAX} deep"));
        }
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn until_line_end(rest: &[u8]) -> usize {
    rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len())
}

/// The length of the string that `rest` starts with, none if it does not end.
fn string(rest: &[u8]) -> Option<usize> {
    if rest.starts_with(br#"""""#) {
        let mut at = 3;
        while at < rest.len() {
            match &rest[at..] {
                [b'"', b'"', b'"', ..] => return Some(at + 3),
                [b'\\', b'"', b'"', b'"', ..] => at += 4,
                _ => at += 1,
            }
        }
        return None;
    }
    let mut at = 1;
    loop {
        match rest.get(at)? {
            b'"' => return Some(at + 1),
            b'\n' | b'\r' => return None,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What a selection comes to.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    fields: usize,
    depth: usize,
}

/// Counts each fragment once.
struct Count<'a> {
    document: &'a ExecutableDocument,
    /// None while it is being counted.
    known: HashMap<&'a str, Option<Size>>,
}

fn count(document: &ExecutableDocument) -> Result<(), String> {
    let mut count = Count { document, known: HashMap::new() };
    for (_, operation) in document.operations.iter() {
        count.selection(&operation.node.selection_set.node, 0)?;
    }
    for name in document.fragments.keys() {
        count.fragment(name, 0)?;
    }
    Ok(())
}

impl<'a> Count<'a> {
    /// The size of what is `above` levels down; refused when it is too much.
    fn selection(&mut self, set: &'a SelectionSet, above: usize) -> Result<Size, String> {
        let mut sum = Size::default();
        for item in &set.items {
            let size = match &item.node {
                Selection::Field(field) => {
                    let below = self.selection(&field.node.selection_set.node, above + 1)?;
                    Size { fields: below.fields + 1, depth: below.depth + 1 }
                }
                Selection::InlineFragment(fragment) => {
                    let below = self.selection(&fragment.node.selection_set.node, above + 1)?;
                    Size { depth: below.depth + 1, ..below }
                }
                Selection::FragmentSpread(spread) => {
                    let below = self.fragment(&spread.node.fragment_name.node, above + 1)?;
                    Size { depth: below.depth + 1, ..below }
                }
            };
            sum = Size { fields: sum.fields + size.fields, depth: sum.depth.max(size.depth) };
            if sum.fields > FIELDS_MAX {
                return Err(format!("query: with its fragments it has more than {FIELDS_MAX} fields"));
            }
            if above + sum.depth > DEPTH_MAX {
                return Err(format!("query: with its fragments it is more than {DEPTH_MAX} deep"));
            }
        }
        Ok(sum)
    }

    fn fragment(&mut self, name: &'a str, above: usize) -> Result<Size, String> {
        match self.known.get(name) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(format!("query: fragment {name} spreads itself")),
            None => {}
        }
        // Validation says which fragment is not there.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Size::default()) };
        self.known.insert(name, None);
        let size = self.selection(&fragment.node.selection_set.node, above)?;
        self.known.insert(name, Some(size));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, Instant};

    use super::*;

    fn asks(query: &str) -> Result<Operation, String> {
        check(&mut Request::new(query)).map_err(|error| error.message)
    }

    /// Refused, and within 10 ms though nothing is optimised here. The quickest of some tries counts:
    /// in the others, other tests had the processor.
    fn refused(query: &str, why: &str) {
        let took = (0..5).map(|_| {
            let begun = Instant::now();
            let error = asks(query).expect_err(why);
            let took = begun.elapsed();
            assert!(error.contains(why), "{error}");
            took
        });
        let took = took.min().unwrap();
        assert!(took < Duration::from_millis(10), "{took:?} for {why}");
    }

    #[test]
    fn fragments_that_double_thirty_times_are_refused() {
        let twice = |n: usize| format!("fragment f{n} on Query {{ ...f{0} ...f{0} }} ", n + 1);
        let fragments: String = (0..30).map(twice).collect();
        let query =
            format!("{{ ...f0 }} {fragments} fragment f30 on Query {{ reservations {{ totalCount }} }}");
        refused(&query, "more than 5000 fields");
    }

    #[test]
    fn fragments_that_spread_themselves_are_refused() {
        refused(
            "{ ...a } fragment a on Query { ...b ...b } fragment b on Query { ...a ...a }",
            "spreads itself",
        );
    }

    #[test]
    fn a_long_chain_of_fragments_is_refused() {
        let chain = (0..500).map(|n| format!("fragment f{n} on Query {{ ...f{} }} ", n + 1));
        let mut request = Request::new(format!("{{ ...f0 }} {}", chain.collect::<String>()));
        assert!(check(&mut request).unwrap_err().message.contains("more than 64 deep"));
    }

    #[test]
    fn nesting_never_reaches_the_parser() {
        for open in ["{a", "[", "{a(b:[", "query($a:["] {
            refused(&open.repeat(10_000), "nested more than 64 deep");
        }
        let hidden = format!("{{ a(b: \"}}}}}}\") {} ", "{a #}}\n".repeat(100));
        refused(&hidden, "nested more than 64 deep");
        // To the parser, three quotes without an end are an empty string and the start of another.
        refused(&format!("{{ a(b: [\"\"\"x\" {}", "[".repeat(10_000)), "a string has no end");
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let many = "[".repeat(100);
        let query =
            format!("{{ a(b: \"{many}\\\"{many}\", c: \"\"\"{many}\\\"\"\"{many}\"\"\") #{many}\n }}");
        assert_eq!(asks(&query), Ok(Operation::Query));
    }

    #[test]
    fn large_documents_are_refused() {
        refused(&format!("{{ {} }}", "a".repeat(TEXT_MAX)), "longer than");
        refused(&format!("{{ {} }}", "a ".repeat(TOKENS_MAX)), "more than 10000 tokens");
    }

    #[test]
    fn the_position_is_told_where_the_transport_may_set_it() {
        let position = |query: &str| match asks(query) {
            Ok(Operation::Subscription(position)) => position,
            other => panic!("{other:?}"),
        };
        assert_eq!(position("subscription { reservationChanged { cursor } }"), Position::Now);
        assert_eq!(position("subscription { x: reservationChanged(after: null) { cursor } }"), Position::Now);
        let by_variable = "subscription($after: String) { reservationChanged(after: $after) { cursor } }";
        assert_eq!(position(by_variable), Position::Variable(Name::new("after")));
        for query in [
            "subscription { reservationChanged(after: \"x\") { cursor } }",
            "subscription($a: String = \"x\") { reservationChanged(after: $a) { cursor } }",
            "subscription($a: String) { reservationChanged(after: $a, filter: {search: $a}) { cursor } }",
            "subscription($a: String) { reservationChanged(after: $a, filter: {search: $ a}) { cursor } }",
            "subscription($id: ID!) { broadcastProgress(broadcastId: $id) { cursor } }",
        ] {
            assert_eq!(position(query), Position::Field, "{query}");
        }
    }

    #[test]
    fn a_subscription_has_one_field() {
        assert!(
            asks("subscription { reservationChanged { cursor } b: reservationChanged { cursor } }").is_err()
        );
        assert!(
            asks("subscription { ...f } fragment f on Subscription { reservationChanged { cursor } }")
                .is_err()
        );
    }
}
