//! A page of reservations as it is answered most: plain fields of each row, read off without a future for
//! each of them. A future a field and row was most of what a page cost.
//!
//! [`Plan::of`] says once a page what each row is asked for. Whatever it does not know (the history, two
//! selections under one name) is resolved in the usual way, which answers the same.

use std::borrow::Cow;

use async_graphql::{
    ContextSelectionSet, Name, OutputType, Positioned, SelectionField, ServerResult, Value,
    indexmap::IndexMap,
    parser::types::Field,
    registry::Registry,
    resolver_utils::{enum_value, resolve_list},
};

use super::{
    ids, paging,
    reservation::{Reservation, ReservationEdge, ReservationStatus},
    scalars::{Date, DateTime, Decimal},
};
use crate::reservations::store;

/// What a selection asks of each row, in the order asked.
#[derive(Debug)]
pub struct Plan(Vec<(Name, Part)>);

#[derive(Debug)]
enum Part {
    Leaf(Leaf),
    Object(Plan),
}

type Leaf = fn(&ReservationEdge) -> Value;

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
                Part::Leaf(leaf) => leaf(edge),
                Part::Object(plan) => plan.value(edge),
            };
            object.insert(name.clone(), value);
        }
        Value::Object(object)
    }
}

impl Type {
    fn field(self, name: &str) -> Option<Known> {
        let leaf = match self {
            Self::Edge => match name {
                "cursor" => |edge: &ReservationEdge| edge.position().into(),
                "node" => return Some(Known::Object(Self::Reservation)),
                "__typename" => |_: &_| "ReservationEdge".into(),
                _ => return None,
            },
            Self::Reservation => match name {
                "total" => return Some(Known::Object(Self::Money)),
                "guest" => return Some(Known::Object(Self::Guest)),
                _ => reservation_leaf(name)?,
            },
            Self::Money => match name {
                "amount" => |edge: &_| scalar(&Decimal(row(edge).total_amount)),
                "currencyCode" => |edge: &_| text(&row(edge).currency),
                "__typename" => |_: &_| "Money".into(),
                _ => return None,
            },
            Self::Guest => match name {
                "id" => |edge: &_| ids::guest(&row(edge).guest_id).into(),
                "guestId" => |edge: &_| text(&row(edge).guest_id),
                "firstName" => |edge: &_| optional(row(edge).guest.first_name.as_deref()),
                "lastName" => |edge: &_| optional(row(edge).guest.last_name.as_deref()),
                "email" => |edge: &_| optional(row(edge).guest.email.as_deref()),
                "phone" => |edge: &_| optional(row(edge).guest.phone.as_deref()),
                "__typename" => |_: &_| "Guest".into(),
                _ => return None,
            },
        };
        Some(Known::Leaf(leaf))
    }
}

fn reservation_leaf(name: &str) -> Option<Leaf> {
    Some(match name {
        "id" => |edge| ids::reservation(&row(edge).reservation_id).into(),
        "reservationId" => |edge| text(&row(edge).reservation_id),
        "propertyId" => |edge| text(&row(edge).property_id),
        "status" => |edge| enum_value(ReservationStatus::from(row(edge).status)),
        "checkIn" => |edge| scalar(&Date(row(edge).check_in)),
        "checkOut" => |edge| scalar(&Date(row(edge).check_out)),
        "nights" => |edge| paging::int((row(edge).check_out - row(edge).check_in).num_days()).into(),
        "guestCount" => |edge| row(edge).num_guests.into(),
        "eventAt" => |edge| row(edge).event_timestamp.map_or(Value::Null, |at| scalar(&DateTime(at))),
        "createdAt" => |edge| scalar(&DateTime(store::created_at(row(edge)))),
        "updatedAt" => |edge| scalar(&DateTime(store::updated_at(row(edge)))),
        "__typename" => |_| "Reservation".into(),
        _ => return None,
    })
}

fn row(edge: &ReservationEdge) -> &crate::reservations::Reservation {
    &edge.node.0
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn optional(value: Option<&str>) -> Value {
    value.map_or(Value::Null, text)
}

fn scalar(value: &impl async_graphql::ScalarType) -> Value {
    value.to_value()
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
    fn values(&self, plan: &Plan) -> Value {
        Value::List(self.edges.iter().map(|edge| plan.value(edge)).collect())
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
            Some(plan) => Ok(self.values(plan)),
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
            Some(plan) => Ok(self.0.values(plan)),
            None => resolve_list(ctx, field, edges.iter().map(|edge| &edge.node), Some(edges.len())).await,
        }
    }
}
