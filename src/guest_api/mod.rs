//! The one door to the provider: every call to the Guest API goes through [`Door`].
//!
//! One limit covers all calls, so one gate holds back all of them: broadcasts, look-ups and the
//! webhook registration. It opens in one process at a time, the holder of the [`lease`]; otherwise
//! each replica would find the limit anew, and be told 429 for it.

mod client;
mod door;
pub mod lease;
mod pacer;
pub mod registration;
mod retry_after;

pub use client::{GuestApi, GuestRecord, Outcome, PassedOn};
pub use door::{Door, Lane, Permit};
