//! A page of reservations as it is answered most: plain fields of each row, read off without a future for
//! each of them. A future a field and row was most of what a page cost; where the answer is to be JSON, the tree
//! of values that becomes text was most of the rest ([`super::written`]).
//!
//! [`Plan::of`] says once a page what each row is asked for. Whatever it does not know (the history, two
//! selections under one name) is resolved in the usual way, which answers the same.

use std::borrow::Cow;

use async_graphql::{
    ContextSelectionSet, Name, OutputType, Positioned, SelectionField, ServerResult, Value,
    indexmap::IndexMap,
    parser::types::Field,
    registry::Registry,
    resolver_utils::{EnumType as _, resolve_list},
};
use chrono::SecondsFormat;

use super::{
    ids, paging,
    reservation::{Reservation, ReservationEdge, ReservationStatus},
    written::Written,
};
use crate::reservations::{Status, store};

/// What a selection asks of each row, in the order asked.
#[derive(Debug)]
pub struct Plan(Vec<(Name, Part)>);

#[derive(Debug)]
enum Part {
    Leaf(Leaf),
    Object(Plan),
}

type Leaf = fn(&ReservationEdge) -> Plain<'_>;

/// The value of a plain field.
#[derive(Debug)]
enum Plain<'r> {
    Null,
    Int(i32),
    Word(&'static str),
    Text(Cow<'r, str>),
}

impl Plain<'_> {
    fn value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => number.into(),
            Self::Word(word) => Value::Enum(Name::new(word)),
            Self::Text(text) => Value::String(text.into_owned()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Null => serde_json::to_writer(out, &()),
            Self::Int(number) => serde_json::to_writer(out, number),
            Self::Word(word) => serde_json::to_writer(out, word),
            Self::Text(text) => serde_json::to_writer(out, text),
        }
    }
}

impl<'r> From<&'r str> for Plain<'r> {
    fn from(text: &'r str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Plain<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl<'r, T: Into<Plain<'r>>> From<Option<T>> for Plain<'r> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The types that a plan goes through.
#[derive(Clone, Copy, Debug)]
enum Type {
    Edge,
    Reservation,
    Money,
    Guest,
}

/// What a field is.
enum Known {
    Leaf(Leaf),
    Object(Type),
}

impl Plan {
    /// The plan of a field that answers edges.
    #[must_use]
    pub fn of_edges(field: SelectionField<'_>) -> Option<Self> {
        Self::of(field, Type::Edge)
    }

    /// The plan of a field that answers reservations.
    #[must_use]
    pub fn of_nodes(field: SelectionField<'_>) -> Option<Self> {
        Self::of(field, Type::Reservation)
    }

    fn of(field: SelectionField<'_>, of: Type) -> Option<Self> {
        let mut parts: Vec<(Name, Part)> = Vec::new();
        for field in field.selection_set() {
            let key = field.alias().unwrap_or_else(|| field.name());
            let is_again = parts.iter().any(|(name, _)| name == key);
            match of.field(field.name())? {
                // Validation has seen to it that both ask for the same.
                Known::Leaf(_) if is_again => {}
                Known::Leaf(leaf) => parts.push((Name::new(key), Part::Leaf(leaf))),
                Known::Object(_) if is_again => return None,
                Known::Object(inner) => {
                    parts.push((Name::new(key), Part::Object(Self::of(field, inner)?)));
                }
            }
        }
        Some(Self(parts))
    }

    fn value(&self, edge: &ReservationEdge) -> Value {
        let mut object = IndexMap::with_capacity(self.0.len());
        for (name, part) in &self.0 {
            let value = match part {
                Part::Leaf(leaf) => leaf(edge).value(),
                Part::Object(plan) => plan.value(edge),
            };
            object.insert(name.clone(), value);
        }
        Value::Object(object)
    }

    fn write(&self, edge: &ReservationEdge, out: &mut Vec<u8>) -> serde_json::Result<()> {
        out.push(b'{');
        for (n, (name, part)) in self.0.iter().enumerate() {
            // A name needs no escapes.
            out.extend_from_slice(if n == 0 { b"\"" } else { b",\"" });
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            match part {
                Part::Leaf(leaf) => leaf(edge).write(out)?,
                Part::Object(plan) => plan.write(edge, out)?,
            }
        }
        out.push(b'}');
        Ok(())
    }
}

impl Type {
    fn field(self, name: &str) -> Option<Known> {
        let leaf: Leaf = match self {
            Self::Edge => match name {
                "cursor" => |edge| edge.position().into(),
                "node" => return Some(Known::Object(Self::Reservation)),
                "__typename" => |_| "ReservationEdge".into(),
                _ => return None,
            },
            Self::Reservation => match name {
                "total" => return Some(Known::Object(Self::Money)),
                "guest" => return Some(Known::Object(Self::Guest)),
                _ => reservation_leaf(name)?,
            },
            Self::Money => match name {
                "amount" => |edge| row(edge).total_amount.to_string().into(),
                "currencyCode" => |edge| row(edge).currency.as_str().into(),
                "__typename" => |_| "Money".into(),
                _ => return None,
            },
            Self::Guest => match name {
                "id" => |edge| ids::guest(&row(edge).guest_id).into(),
                "guestId" => |edge| row(edge).guest_id.as_str().into(),
                "firstName" => |edge| row(edge).guest.first_name.as_deref().into(),
                "lastName" => |edge| row(edge).guest.last_name.as_deref().into(),
                "email" => |edge| row(edge).guest.email.as_deref().into(),
                "phone" => |edge| row(edge).guest.phone.as_deref().into(),
                "__typename" => |_| "Guest".into(),
                _ => return None,
            },
        };
        Some(Known::Leaf(leaf))
    }
}

fn reservation_leaf(name: &str) -> Option<Leaf> {
    Some(match name {
        "id" => |edge| ids::reservation(&row(edge).reservation_id).into(),
        "reservationId" => |edge| row(edge).reservation_id.as_str().into(),
        "propertyId" => |edge| row(edge).property_id.as_str().into(),
        "status" => |edge| status(row(edge).status),
        "checkIn" => |edge| row(edge).check_in.to_string().into(),
        "checkOut" => |edge| row(edge).check_out.to_string().into(),
        "nights" => |edge| Plain::Int(paging::int((row(edge).check_out - row(edge).check_in).num_days())),
        "guestCount" => |edge| Plain::Int(row(edge).num_guests),
        "eventAt" => |edge| row(edge).event_timestamp.map(instant).into(),
        "createdAt" => |edge| instant(store::created_at(row(edge))).into(),
        "updatedAt" => |edge| instant(store::updated_at(row(edge))).into(),
        "__typename" => |_| "Reservation".into(),
        _ => return None,
    })
}

fn row(edge: &ReservationEdge) -> &crate::reservations::Reservation {
    &edge.node.0
}

fn instant(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn status(status: Status) -> Plain<'static> {
    let status = ReservationStatus::from(status);
    let item = ReservationStatus::items().iter().find(|item| item.value == status);
    item.map_or(Plain::Null, |item| Plain::Word(item.name))
}

/// The edges of a page.
#[derive(Debug)]
pub struct Edges<'a> {
    /// All of them.
    pub edges: &'a [ReservationEdge],
    /// How to read them off, if that can be done.
    pub plan: Option<Plan>,
}

/// The reservations of a page.
#[derive(Debug)]
pub struct Nodes<'a>(pub Edges<'a>);

impl Edges<'_> {
    /// All rows by a plan: written, where the answer takes that.
    fn read_off(&self, ctx: &ContextSelectionSet<'_>, plan: &Plan) -> Value {
        // Text in memory is always written.
        if ctx.data_opt::<Written>().is_some()
            && let Ok(text) = self.text(plan)
        {
            return Value::Binary(text.into());
        }
        Value::List(self.edges.iter().map(|edge| plan.value(edge)).collect())
    }

    fn text(&self, plan: &Plan) -> serde_json::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(512 * self.edges.len() + 2);
        out.push(b'[');
        for (n, edge) in self.edges.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            plan.write(edge, &mut out)?;
        }
        out.push(b']');
        Ok(out)
    }
}

impl OutputType for Edges<'_> {
    fn type_name() -> Cow<'static, str> {
        <Vec<ReservationEdge>>::type_name()
    }

    fn qualified_type_name() -> String {
        <Vec<ReservationEdge>>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <Vec<ReservationEdge>>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        match &self.plan {
            Some(plan) => Ok(self.read_off(ctx, plan)),
            None => resolve_list(ctx, field, self.edges, Some(self.edges.len())).await,
        }
    }
}

impl OutputType for Nodes<'_> {
    fn type_name() -> Cow<'static, str> {
        <Vec<Reservation>>::type_name()
    }

    fn qualified_type_name() -> String {
        <Vec<Reservation>>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <Vec<Reservation>>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let Self(Edges { edges, plan }) = self;
        match plan {
            Some(plan) => Ok(self.0.read_off(ctx, plan)),
            None => resolve_list(ctx, field, edges.iter().map(|edge| &edge.node), Some(edges.len())).await,
        }
    }
}
