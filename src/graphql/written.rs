//! Parts of an answer that are JSON already, where the answer is to be JSON in any case: a page of rows becomes
//! text at once, and never a tree of values.
//!
//! Such a part is the one use of binary values: the schema has no type that is one. Only [`to_json`] writes them
//! as what they are, so only the data of a request whose answer it writes says [`Written`].

use std::io::{self, Write};

use async_graphql::{
    Request, Response,
    parser::types::{DocumentOperations, ExecutableDocument, Selection, SelectionSet},
};
use serde::Serialize as _;
use serde_json::ser::Formatter;

/// Says, as data of a request, that the answer may have parts that are written.
#[derive(Clone, Copy, Debug)]
pub struct Written;

/// Allows it, where no part of the answer would have to be merged with another.
#[must_use]
pub fn allow(mut request: Request) -> Request {
    let is_plain = request.parsed_query().is_ok_and(merges_no_list);
    if is_plain { request.data(Written) } else { request }
}

/// The answer as JSON.
pub fn to_json(answer: &Response) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(4_096);
    answer.serialize(&mut serde_json::Serializer::with_formatter(&mut text, AsWritten))?;
    Ok(text)
}

struct AsWritten;

impl Formatter for AsWritten {
    fn write_byte_array<W: ?Sized + Write>(&mut self, writer: &mut W, value: &[u8]) -> io::Result<()> {
        writer.write_all(value)
    }
}

/// Whether each field of the roots, and of what they answer, stands there once and by itself: what is asked for
/// twice under one name is put together from both answers. Deeper than that, nothing is written by itself.
fn merges_no_list(document: &ExecutableDocument) -> bool {
    let of_root = |set: &SelectionSet| {
        is_plain(set)
            && set.items.iter().all(|item| match &item.node {
                Selection::Field(field) => is_plain(&field.node.selection_set.node),
                Selection::FragmentSpread(_) | Selection::InlineFragment(_) => false,
            })
    };
    match &document.operations {
        DocumentOperations::Single(operation) => of_root(&operation.node.selection_set.node),
        DocumentOperations::Multiple(all) => {
            all.values().all(|operation| of_root(&operation.node.selection_set.node))
        }
    }
}

/// Whether a selection is of fields alone, no two under one name.
fn is_plain(set: &SelectionSet) -> bool {
    let mut seen = Vec::with_capacity(set.items.len());
    set.items.iter().all(|item| match &item.node {
        Selection::Field(field) => {
            let key = &field.node.response_key().node;
            let is_new = !seen.contains(&key);
            seen.push(key);
            is_new
        }
        Selection::FragmentSpread(_) | Selection::InlineFragment(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use async_graphql::{Value, indexmap::IndexMap};

    use super::*;

    fn is_allowed(document: &str) -> bool {
        merges_no_list(&async_graphql::parser::parse_query(document).unwrap())
    }

    #[test]
    fn what_would_have_to_be_merged_is_not_written() {
        assert!(is_allowed(
            "{ a { nodes { id ...X id } edges { cursor } } b: a { nodes { id } } } fragment X on T { id }"
        ));
        for document in [
            "{ a { nodes { id } nodes { id } } }",
            "{ a { nodes { id } } a { nodes { id } } }",
            "{ a { nodes { id } ...X } } fragment X on T { nodes { x } }",
            "{ a { nodes { id } ... { nodes { id } } } }",
            "{ ...X a { nodes { id } } } fragment X on Query { a { nodes { x } } }",
            "{ a { x: nodes { id } x: nodes { y } } }",
        ] {
            assert!(!is_allowed(document), "{document}");
        }
    }

    #[test]
    fn what_is_written_stands_in_the_answer_as_it_is() {
        let mut data = IndexMap::new();
        data.insert(async_graphql::Name::new("a"), Value::Binary(b"[{\"b\":1}]".to_vec().into()));
        data.insert(async_graphql::Name::new("c"), Value::from("\"d\""));
        let text = to_json(&Response::new(Value::Object(data))).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), r#"{"data":{"a":[{"b":1}],"c":"\"d\""}}"#);
    }
}
