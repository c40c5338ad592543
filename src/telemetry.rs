//! What the server says of itself: [`logs`], and what is measured, in [`metrics`].

pub mod logs;
pub mod metrics;
pub mod request_id;

pub use self::{logs::init, metrics::Metrics};
