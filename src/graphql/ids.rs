//! Global IDs: opaque to clients, base64url of a type's name and the key of one object of it.
//!
//! Reading one answers `None` for whatever is no ID, or none of the type asked for: to the caller that is
//! an object that does not exist. An object has one ID: another spelling of it names nothing.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

const RESERVATION: &str = "Reservation";
const GUEST: &str = "Guest";
const BROADCAST: &str = "Broadcast";
const MESSAGE: &str = "BroadcastMessage";
const REJECTED: &str = "RejectedWebhook";
const AUDIT: &str = "AuditEntry";

/// The ID of a reservation.
#[must_use]
pub fn reservation(reservation_id: &str) -> String {
    encode(RESERVATION, reservation_id)
}

/// The ID of a guest.
#[must_use]
pub fn guest(guest_id: &str) -> String {
    encode(GUEST, guest_id)
}

/// The ID of a broadcast.
#[must_use]
pub fn broadcast(id: Uuid) -> String {
    encode(BROADCAST, &id.to_string())
}

/// The ID of the message of a broadcast to one guest.
#[must_use]
pub fn message(broadcast_id: Uuid, guest_id: &str) -> String {
    encode(MESSAGE, &format!("{broadcast_id}:{guest_id}"))
}

/// The ID of a rejected webhook.
#[must_use]
pub fn rejected(id: Uuid) -> String {
    encode(REJECTED, &id.to_string())
}

/// The ID of an entry of the audit log.
#[must_use]
pub fn audit(id: Uuid) -> String {
    encode(AUDIT, &id.to_string())
}

/// The object that an ID names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// A reservation, by the booking source's identifier.
    Reservation(String),
    /// A guest, by the booking source's identifier.
    Guest(String),
    /// A broadcast.
    Broadcast(Uuid),
    /// The message of a broadcast to one guest.
    Message(Uuid, String),
    /// A rejected webhook.
    Rejected(Uuid),
    /// An entry of the audit log.
    Audit(Uuid),
}

impl Named {
    /// Reads an ID of any type.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
        let (kind, key) = text.split_once(':')?;
        let named = match kind {
            RESERVATION => Self::Reservation(key.to_owned()),
            GUEST => Self::Guest(key.to_owned()),
            BROADCAST => Self::Broadcast(key.parse().ok()?),
            MESSAGE => {
                let (broadcast, guest) = key.split_once(':')?;
                Self::Message(broadcast.parse().ok()?, guest.to_owned())
            }
            REJECTED => Self::Rejected(key.parse().ok()?),
            AUDIT => Self::Audit(key.parse().ok()?),
            _ => return None,
        };
        // A UUID has more than one spelling. PostgreSQL takes no NUL, so no key has one.
        (named.id() == id && !key.contains('\0')).then_some(named)
    }

    fn id(&self) -> String {
        match self {
            Self::Reservation(id) => reservation(id),
            Self::Guest(id) => guest(id),
            Self::Broadcast(id) => broadcast(*id),
            Self::Message(id, guest) => message(*id, guest),
            Self::Rejected(id) => rejected(*id),
            Self::Audit(id) => audit(*id),
        }
    }
}

/// The broadcast that an ID names.
#[must_use]
pub fn parse_broadcast(id: &str) -> Option<Uuid> {
    match Named::parse(id)? {
        Named::Broadcast(id) => Some(id),
        _ => None,
    }
}

/// The rejected webhook that an ID names.
#[must_use]
pub fn parse_rejected(id: &str) -> Option<Uuid> {
    match Named::parse(id)? {
        Named::Rejected(id) => Some(id),
        _ => None,
    }
}

fn encode(kind: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{kind}:{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_by_its_id() {
        let uuid = Uuid::now_v7();
        assert_eq!(parse_broadcast(&broadcast(uuid)), Some(uuid));
        assert_eq!(parse_rejected(&rejected(uuid)), Some(uuid));
        assert_eq!(parse_rejected(&broadcast(uuid)), None);
    }

    #[test]
    fn anything_else_is_no_broadcast() {
        let uuid = Uuid::now_v7();
        let braced = encode(BROADCAST, &format!("{{{uuid}}}"));
        let others = [
            message(uuid, "guest_1"),
            rejected(uuid),
            guest(&uuid.to_string()),
            reservation("res_1"),
            braced,
            uuid.to_string(),
        ];
        for id in others.iter().map(String::as_str).chain(["", "x", "Broadcast:", "ÄÖ"]) {
            assert_eq!(parse_broadcast(id), None, "{id}");
        }
    }

    #[test]
    fn an_id_of_any_type_is_read_back() {
        let uuid = Uuid::now_v7();
        for named in [
            Named::Reservation("res:1".to_owned()),
            Named::Guest(String::new()),
            Named::Broadcast(uuid),
            Named::Message(uuid, "guest:1".to_owned()),
            Named::Rejected(uuid),
            Named::Audit(uuid),
        ] {
            assert_eq!(Named::parse(&named.id()), Some(named));
        }
        for id in [reservation("a\0"), encode("Room", "1"), encode(MESSAGE, "1"), String::new()] {
            assert_eq!(Named::parse(&id), None, "{id}");
        }
    }

    #[test]
    fn ids_of_different_objects_differ() {
        let uuid = Uuid::nil();
        let all = [
            reservation("1"),
            guest("1"),
            broadcast(uuid),
            rejected(uuid),
            audit(uuid),
            message(uuid, "1"),
            message(uuid, "2"),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
