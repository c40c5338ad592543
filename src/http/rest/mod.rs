//! The REST routes kept for existing clients.

pub(super) mod broadcast;
pub(super) mod events;
pub(super) mod filter;
pub(super) mod reservations;
pub(super) mod webhooks;
