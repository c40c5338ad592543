//! What the server says of itself: [`logs`], what is measured, in [`metrics`], and [`traces`].

pub mod logs;
pub mod metrics;
pub mod request_id;
pub mod traces;

pub use self::{logs::init, metrics::Metrics};
