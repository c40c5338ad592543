//! What a document comes to once its fragments are put where they are spread: fields and spreads, depth,
//! aliases, and what it may cost.
//!
//! Each fragment is counted once, however often it is spread. The cost is an estimate from above: a field
//! costs one, and what stands below a list costs as often as the list may have entries, which is what
//! `first`, `last` or `ids` say, or the default. Introspection has a budget of its own.

use std::collections::HashMap;

use async_graphql::{
    ServerError, Value as Const, Variables,
    parser::types::{ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet},
};

use super::Rules;
use crate::graphql::errors::Code;

/// Fields and spreads. Spreads count by themselves: validation walks each, whatever is in it.
const SELECTIONS_MAX: usize = 5_000;
/// Selections within selections.
pub const DEPTH_MAX: usize = 32;
/// Fields with another name than their own.
const ALIASES_MAX: usize = 100;
/// Fields of an answer, if every page is full.
const COST_MAX: u64 = 50_000;
/// The same of what describes the schema. The query that tools send comes to a fifth of it.
const INTROSPECTION_MAX: u64 = 1_000_000;
/// Lists of fields and types within each other, there: as many as graphql-js allows
/// (`MaxIntrospectionDepthRule`), since each multiplies the answer.
const INTROSPECTION_LISTS_MAX: usize = 2;

/// What a selection comes to.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    selections: usize,
    depth: usize,
    aliases: usize,
    cost: u64,
    introspection: u64,
    lists: usize,
}

impl Size {
    /// What two selections beside each other come to.
    fn beside(self, other: Self) -> Self {
        Self {
            selections: self.selections + other.selections,
            depth: self.depth.max(other.depth),
            aliases: self.aliases + other.aliases,
            cost: self.cost.saturating_add(other.cost),
            introspection: self.introspection.saturating_add(other.introspection),
            lists: self.lists.max(other.lists),
        }
    }

    /// The same, within a fragment.
    fn below(self) -> Self {
        Self { selections: self.selections + 1, depth: self.depth + 1, ..self }
    }

    /// Refused when it is too much, `above` levels down.
    fn check(self, above: usize) -> Result<(), ServerError> {
        let refuse = |code: Code, problem: String| Err(code.error(problem));
        if self.selections > SELECTIONS_MAX {
            let problem =
                format!("query: with its fragments it has more than {SELECTIONS_MAX} fields and spreads");
            return refuse(Code::TooManyFields, problem);
        }
        if above + self.depth > DEPTH_MAX {
            let problem = format!("query: with its fragments it is more than {DEPTH_MAX} deep");
            return refuse(Code::TooDeep, problem);
        }
        if self.aliases > ALIASES_MAX {
            let problem = format!("query: with its fragments it has more than {ALIASES_MAX} aliases");
            return refuse(Code::TooManyAliases, problem);
        }
        if self.lists > INTROSPECTION_LISTS_MAX {
            let problem = format!(
                "query: introspection has more than {INTROSPECTION_LISTS_MAX} lists of fields or types within each other"
            );
            return refuse(Code::TooDeep, problem);
        }
        Ok(())
    }

    /// Refused when answering it could cost too much.
    fn check_cost(self) -> Result<(), ServerError> {
        let over = |cost: u64, max: u64| {
            let problem = format!(
                "query: its answer may have {cost} fields, more than {max}; ask for fewer fields or smaller pages"
            );
            Err(Code::TooExpensive.error(problem))
        };
        match self {
            Self { cost, .. } if cost > COST_MAX => over(cost, COST_MAX),
            Self { introspection, .. } if introspection > INTROSPECTION_MAX => {
                over(introspection, INTROSPECTION_MAX)
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a document of which all operations together are too large, since validation walks each of
/// them, or of which the one that would run is too expensive.
pub(super) fn check(
    document: &ExecutableDocument,
    operation: Option<&OperationDefinition>,
    variables: &Variables,
    rules: &Rules,
) -> Result<(), ServerError> {
    let values = Values { operation, variables };
    let mut count = Count { document, rules, values, known: HashMap::new() };
    let mut all = Size::default();
    for (_, each) in document.operations.iter() {
        let size = count.selection(&each.node.selection_set.node, 0)?;
        all = all.beside(size);
        all.check(0)?;
        if operation.is_some_and(|operation| std::ptr::eq(operation, &raw const each.node)) {
            size.check_cost()?;
        }
    }
    for name in document.fragments.keys() {
        count.fragment(name, 0)?;
    }
    Ok(())
}

/// What arguments come to, if the operation runs.
struct Values<'a> {
    operation: Option<&'a OperationDefinition>,
    variables: &'a Variables,
}

impl Values<'_> {
    /// The value of an argument; none when it is left out or null.
    fn argument(&self, field: &Field, name: &str) -> Option<Const> {
        let value = field.get_argument(name)?.node.clone();
        let value = value.into_const_with(|name| self.variable(&name).ok_or(())).ok()?;
        (value != Const::Null).then_some(value)
    }

    fn variable(&self, name: &str) -> Option<Const> {
        if let Some(given) = self.variables.get(name) {
            return Some(given.clone());
        }
        let definitions = &self.operation?.variable_definitions;
        let definition = definitions.iter().find(|definition| definition.node.name.node == name)?;
        definition.node.default_value().cloned()
    }
}

/// Counts each fragment once.
struct Count<'a> {
    document: &'a ExecutableDocument,
    rules: &'a Rules,
    values: Values<'a>,
    /// None while it is being counted.
    known: HashMap<&'a str, Option<Size>>,
}

impl<'a> Count<'a> {
    /// The size of what is `above` levels down; refused when it is too much.
    fn selection(&mut self, set: &'a SelectionSet, above: usize) -> Result<Size, ServerError> {
        let mut sum = Size::default();
        for item in &set.items {
            let size = match &item.node {
                Selection::Field(field) => self.field(&field.node, above)?,
                Selection::InlineFragment(fragment) => {
                    self.selection(&fragment.node.selection_set.node, above + 1)?.below()
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node, above + 1)?.below()
                }
            };
            sum = sum.beside(size);
            sum.check(above)?;
        }
        Ok(sum)
    }

    fn field(&mut self, field: &'a Field, above: usize) -> Result<Size, ServerError> {
        let below = self.selection(&field.selection_set.node, above + 1)?;
        let name = field.name.node.as_str();
        for (argument, value) in &field.arguments {
            let refuse = |problem: String| Code::ValidationFailed.error_at(problem, argument.pos);
            // Variables are checked by themselves.
            let literal =
                value.node.clone().into_const_with(|_| Ok::<_, ()>(Const::Null)).unwrap_or_default();
            self.ints(&argument.node, &literal).map_err(refuse)?;
        }
        let times = self.times(field);
        let size = Size {
            selections: below.selections + 1,
            depth: below.depth + 1,
            aliases: below.aliases + usize::from(field.alias.is_some()),
            cost: below.cost.saturating_mul(times).saturating_add(1),
            introspection: below.introspection,
            lists: below.lists + usize::from(is_introspection_list(name)),
        };
        match name {
            "__schema" | "__type" if !self.rules.introspection => {
                let problem = format!("{name}: introspection is turned off here (GRAPHQL_INTROSPECTION)");
                Err(Code::ValidationFailed.error_at(problem, field.name.pos))
            }
            // What describes the schema costs no look-up.
            "__schema" | "__type" => Ok(Size { cost: 1, introspection: size.cost, ..size }),
            _ => Ok(size),
        }
    }

    /// Whether whole numbers have 32 bits where the schema says `Int`; validation lets 64 pass.
    fn ints(&self, name: &str, value: &Const) -> Result<(), String> {
        match value {
            Const::Number(number) if self.rules.shapes.is_int(name) => {
                let number = number.as_i64().and_then(|number| i32::try_from(number).ok());
                number.map(drop).ok_or_else(|| format!("{name}: must be of type Int, not {value}"))
            }
            Const::List(entries) => entries.iter().try_for_each(|entry| self.ints(name, entry)),
            Const::Object(fields) => fields.iter().try_for_each(|(name, value)| self.ints(name, value)),
            _ => Ok(()),
        }
    }

    /// How often what stands below a field may be answered.
    fn times(&self, field: &Field) -> u64 {
        let name = field.name.node.as_str();
        let length = |value| match value {
            Const::Number(number) => number.as_u64().unwrap_or_default(),
            // One value is taken for a list of it.
            Const::List(entries) => entries.len() as u64,
            _ => 1,
        };
        if let Some(default) = self.rules.shapes.page(name) {
            let asked = ["first", "last"].into_iter().filter_map(|side| self.values.argument(field, side));
            return asked.map(length).max().unwrap_or(default);
        }
        match self.values.argument(field, "ids") {
            Some(ids) => length(ids),
            None => entries_in_introspection(name),
        }
    }

    fn fragment(&mut self, name: &'a str, above: usize) -> Result<Size, ServerError> {
        match self.known.get(name) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => {
                let problem = format!("query: fragment {name} spreads itself");
                return Err(Code::ValidationFailed.error(problem));
            }
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

/// Lists that lead back to themselves.
fn is_introspection_list(name: &str) -> bool {
    matches!(name, "fields" | "inputFields" | "interfaces" | "possibleTypes")
}

/// How long the lists are that describe a schema as large as ours, about.
fn entries_in_introspection(name: &str) -> u64 {
    match name {
        "types" => 100,
        "fields" | "inputFields" | "enumValues" => 10,
        "directives" | "possibleTypes" => 5,
        "args" => 3,
        "interfaces" => 2,
        _ => 1,
    }
}
