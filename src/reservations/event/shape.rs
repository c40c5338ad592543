//! Where things are in a body: the envelope, the reservation, the guest.

use super::{
    EventError, GuestFields,
    fields::{self, GuestText},
    json::{Node, Object},
    values,
};

/// The parts of a body. In a flat one the envelope is the reservation.
pub(super) struct Shape<'a> {
    /// What encloses the reservation, outermost first.
    pub(super) envelope: Vec<&'a Object<'a>>,
    /// What holds the reservation's fields.
    pub(super) reservation: &'a Object<'a>,
}

impl<'a> Shape<'a> {
    /// Finds the parts of a body; the places are listed in the parent module, in the order they are tried.
    pub(super) fn of(body: &'a Object<'a>) -> Self {
        let wrappers = ["data", "payload"].map(|key| body.object(key));
        let wrapped =
            wrappers.iter().flatten().find_map(|wrapper| Some((*wrapper, wrapper.object("reservation")?)));
        if let Some(reservation) = body.object("reservation") {
            Self { envelope: vec![body], reservation }
        } else if let Some((wrapper, reservation)) = wrapped {
            Self { envelope: vec![body, wrapper], reservation }
        } else {
            let reservation = wrappers.into_iter().flatten().next().unwrap_or(body);
            Self { envelope: vec![body], reservation }
        }
    }

    /// The envelope, then the reservation.
    pub(super) fn everywhere(&self) -> Vec<&'a Object<'a>> {
        let mut places = self.envelope.clone();
        places.push(self.reservation);
        places
    }

    /// `guestId`, or else the id in a `guest` object.
    pub(super) fn guest_id(&self) -> Result<String, EventError> {
        let id = |node: &Node<'_>| values::text(node, 50);
        if let Some(given) = fields::GUEST_ID.read(self.reservation, id)? {
            return Ok(given);
        }
        let nested = fields::GUEST_OBJECT_ID.first(&self.guests()?, id)?;
        nested.ok_or_else(|| fields::GUEST_ID.error("missing"))
    }

    /// What is said about the guest: inline, or else in a `guest` object.
    pub(super) fn guest_fields(&self) -> Result<GuestFields, EventError> {
        let guests = self.guests()?;
        let text = |field: &GuestText| {
            let known = |node: &Node<'_>| values::known_text(node, field.max);
            match field.inline.read(self.reservation, known)? {
                None => field.nested.first(&guests, known),
                inline => Ok(inline),
            }
        };
        Ok(GuestFields {
            first_name: text(&fields::GUEST_FIRST_NAME)?,
            last_name: text(&fields::GUEST_LAST_NAME)?,
            email: text(&fields::GUEST_EMAIL)?,
            phone: text(&fields::GUEST_PHONE)?,
        })
    }

    /// The `guest` objects: the reservation's own, then those beside it.
    fn guests(&self) -> Result<Vec<&'a Object<'a>>, EventError> {
        let places = std::iter::once(self.reservation).chain(self.envelope.iter().rev().copied());
        places
            .filter_map(|place| place.get("guest"))
            .map(|node| match node {
                Node::Object(guest) => Ok(guest),
                _ => Err(EventError::new("guest", "must be an object")),
            })
            .collect()
    }
}
