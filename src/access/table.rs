//! What each role may do: the one table that routes and operations are looked up in.
//!
//! What is in no table is for nobody, so that nothing new is open by oversight.

use std::fmt;

use async_graphql::parser::types::OperationType;
use axum::http::Method;

/// What a token allows; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads and subscriptions.
    Viewer,
    /// Broadcasts too.
    Sender,
    /// Webhooks too: their registration and what was rejected; and the audit log.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Sender, Self::Admin];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Sender => "sender",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a route asks of whoever calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it tells nothing of anybody.
    Nothing,
    /// The secret of the booking source, which the route checks itself.
    Secret,
    /// A token; what it must allow depends on the operation.
    Token,
    /// A token that allows this.
    Role(Role),
}

/// A route: its path as it is matched, its methods (`GET` is for `HEAD` too), and what it asks.
pub type Route = (&'static str, &'static [Method], Need);

const READ: &[Method] = &[Method::GET];
const WRITE: &[Method] = &[Method::POST];

/// Every route. The pages are open, since they hold nothing, and it is there that one signs in. So is what balancers
/// ask, which have no tokens.
pub const ROUTES: &[Route] = &[
    ("/", READ, Need::Nothing),
    ("/broadcasts", READ, Need::Nothing),
    ("/broadcasts/{id}", READ, Need::Nothing),
    ("/operations", READ, Need::Nothing),
    ("/playground", READ, Need::Nothing),
    ("/playground/", READ, Need::Nothing),
    ("/playground/{*path}", READ, Need::Nothing),
    ("/api/health", READ, Need::Nothing),
    ("/healthz", READ, Need::Nothing),
    ("/readyz", READ, Need::Nothing),
    ("/webhooks", WRITE, Need::Secret),
    ("/graphql", &[Method::GET, Method::POST], Need::Token),
    ("/metrics", READ, Need::Role(Role::Viewer)),
    ("/api/reservations", READ, Need::Role(Role::Viewer)),
    ("/api/events", READ, Need::Role(Role::Viewer)),
    ("/api/broadcast", WRITE, Need::Role(Role::Sender)),
    ("/api/webhooks/register", WRITE, Need::Role(Role::Admin)),
];

/// Every field of the roots.
pub const FIELDS: &[(OperationType, &str, Role)] = &[
    (OperationType::Query, "node", Role::Viewer),
    (OperationType::Query, "nodes", Role::Viewer),
    (OperationType::Query, "reservation", Role::Viewer),
    (OperationType::Query, "reservations", Role::Viewer),
    (OperationType::Query, "reservationStats", Role::Viewer),
    (OperationType::Query, "guest", Role::Viewer),
    (OperationType::Query, "broadcast", Role::Viewer),
    (OperationType::Query, "broadcasts", Role::Viewer),
    (OperationType::Query, "webhookRegistration", Role::Admin),
    (OperationType::Query, "rejectedWebhooks", Role::Admin),
    (OperationType::Query, "auditLog", Role::Admin),
    (OperationType::Mutation, "broadcast", Role::Sender),
    (OperationType::Mutation, "broadcastPause", Role::Sender),
    (OperationType::Mutation, "broadcastResume", Role::Sender),
    (OperationType::Mutation, "broadcastRetry", Role::Sender),
    (OperationType::Mutation, "broadcastCancel", Role::Sender),
    (OperationType::Mutation, "webhookRegister", Role::Admin),
    (OperationType::Mutation, "webhookUnregister", Role::Admin),
    (OperationType::Mutation, "webhookRetry", Role::Admin),
    (OperationType::Subscription, "reservationChanged", Role::Viewer),
    (OperationType::Subscription, "broadcastProgress", Role::Viewer),
];

/// Types that can be come by without a field of their own, through `node`, and are not for every viewer.
/// Their fields can be reached by naming the type only.
const TYPES: &[(&str, Role)] = &[("RejectedWebhook", Role::Admin), ("AuditEntry", Role::Admin)];

/// A route by its path.
#[must_use]
pub fn route(path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|(known, _, _)| *known == path)
}

/// What a field of a root asks; none: nobody may. What every schema has (`__typename`, `__schema`) is for
/// whoever has a token.
#[must_use]
pub fn field(root: OperationType, name: &str) -> Option<Role> {
    if name.starts_with("__") {
        return Some(Role::Viewer);
    }
    FIELDS.iter().find(|(of, known, _)| *of == root && *known == name).map(|(_, _, role)| *role)
}

/// What it asks to name a type in a fragment.
#[must_use]
pub fn fragment_on(name: &str) -> Role {
    TYPES.iter().find(|(known, _)| *known == name).map_or(Role::Viewer, |(_, role)| *role)
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::{
        parse_schema,
        types::{TypeKind, TypeSystemDefinition},
    };

    use super::*;

    /// The fields of a root, with their descriptions.
    fn fields(root: &str) -> Vec<(String, String)> {
        let definitions = parse_schema(crate::graphql::sdl()).unwrap().definitions;
        let found = definitions.into_iter().find_map(|definition| match definition {
            TypeSystemDefinition::Type(ty) if ty.node.name.node == root => match ty.node.kind {
                TypeKind::Object(object) => Some(object.fields),
                _ => None,
            },
            _ => None,
        });
        let described = |text: Option<async_graphql::Positioned<String>>| text.map(|text| text.node);
        found
            .unwrap()
            .into_iter()
            .map(|field| field.node)
            .map(|field| (field.name.node.to_string(), described(field.description).unwrap_or_default()))
            .collect()
    }

    #[test]
    fn every_operation_is_in_the_table_and_says_its_role() {
        let mut known = 0;
        for (root, name) in [
            (OperationType::Query, "Query"),
            (OperationType::Mutation, "Mutation"),
            (OperationType::Subscription, "Subscription"),
        ] {
            for (field_name, description) in fields(name) {
                let role = field(root, &field_name).unwrap_or_else(|| panic!("{name}.{field_name}"));
                let said = format!("Role: {role}.");
                assert!(description.ends_with(&said), "{name}.{field_name}: {description:?}, not {said:?}");
                known += 1;
            }
        }
        assert_eq!(known, FIELDS.len(), "a field of the table is not in the schema");
    }

    #[test]
    fn each_role_may_what_those_before_it_may() {
        assert!(Role::ALL.is_sorted());
        assert!(Role::ALL.into_iter().all(|role| Role::parse(role.as_str()) == Some(role)));
        assert_eq!(Role::parse("root"), None);
    }
}
