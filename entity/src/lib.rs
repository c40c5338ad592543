//! The tables as SeaORM sees them, one table a file. No logic lives here.

pub mod audit;
pub mod broadcast;
pub mod broadcast_recipient;
pub mod change;
pub mod feed_state;
pub mod guest;
pub mod pacer_state;
pub mod rejected_webhook;
pub mod reservation;
pub mod sender_lease;
pub mod webhook_gap;
pub mod webhook_registration;
