//! What an operation asks for, as far as it decides who may: the fields of its root, and the types that its
//! fragments name, wherever they stand. What is in a fragment that is not spread is not asked for.

use std::collections::HashSet;

use async_graphql::{
    Pos,
    parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet},
};

/// What an operation asks for, with the places in the document.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Which root.
    pub root: OperationType,
    /// Fields of it.
    pub fields: Vec<(&'a str, Pos)>,
    /// Types that fragments are on.
    pub types: Vec<(&'a str, Pos)>,
}

/// What the operation that would run asks for; none when there is none.
#[must_use]
pub fn asked<'a>(document: &'a ExecutableDocument, wanted: Option<&str>) -> Option<Asked<'a>> {
    let operation = super::operation(document, wanted)?;
    let asked = Asked { root: operation.ty, fields: Vec::new(), types: Vec::new() };
    let mut walk = Walk { document, asked, spread: HashSet::new() };
    walk.selection(&operation.selection_set.node, true);
    Some(walk.asked)
}

/// Goes through each fragment once at the root and once below it, however often it is spread. How deep it
/// goes was bounded before.
struct Walk<'a> {
    document: &'a ExecutableDocument,
    asked: Asked<'a>,
    spread: HashSet<(&'a str, bool)>,
}

impl<'a> Walk<'a> {
    fn selection(&mut self, set: &'a SelectionSet, is_root: bool) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    if is_root {
                        self.asked.fields.push((&field.node.name.node, item.pos));
                    }
                    self.selection(&field.node.selection_set.node, false);
                }
                Selection::InlineFragment(fragment) => {
                    if let Some(on) = &fragment.node.type_condition {
                        self.asked.types.push((&on.node.on.node, item.pos));
                    }
                    self.selection(&fragment.node.selection_set.node, is_root);
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    let Some(fragment) = self.document.fragments.get(name) else { continue };
                    if self.spread.insert((name, is_root)) {
                        self.asked.types.push((&fragment.node.type_condition.node.on.node, item.pos));
                        self.selection(&fragment.node.selection_set.node, is_root);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn names(text: &str, wanted: Option<&str>) -> (Vec<String>, Vec<String>) {
        let document = parse_query(text).unwrap();
        let asked = asked(&document, wanted).unwrap();
        let names = |all: Vec<(&str, Pos)>| all.into_iter().map(|(name, _)| name.to_owned()).collect();
        (names(asked.fields), names(asked.types))
    }

    #[test]
    fn fields_of_the_root_are_found_wherever_they_stand() {
        let (fields, types) =
            names("{ a { x } b: c ... { d } ... on Query { e } ...F } fragment F on Query { f }", None);
        assert_eq!(fields, ["a", "c", "d", "e", "f"]);
        assert_eq!(types, ["Query", "Query"]);
    }

    #[test]
    fn types_are_found_however_deep_and_what_is_not_run_is_not_asked_for() {
        let text = "query A { a { b { ...F ...F } } } query B { z } \
                    fragment F on T { c { ... on U { d } } } fragment G on V { y }";
        assert_eq!(names(text, Some("A")), (vec!["a".to_owned()], vec!["T".to_owned(), "U".to_owned()]));
        assert_eq!(names(text, Some("B")), (vec!["z".to_owned()], vec![]));
    }
}
