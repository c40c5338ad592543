//! The one door to the provider: every call to the Guest API goes through [`Door`].
//!
//! One limit covers all calls, so one gate holds back all of them: broadcasts, look-ups and the
//! webhook registration. [`pacer`] learns the limit and holds just under it, and [`memory`] keeps what it
//! learned. The door opens in one process at a time, the holder of the [`lease`]; otherwise
//! each replica would find the limit anew, and be told 429 for it.

mod client;
mod door;
mod lanes;
pub mod lease;
pub mod memory;
mod pacer;
mod rate_limit;
pub mod registration;
mod retry_after;

pub use client::{GuestApi, GuestRecord, Outcome, PassedOn};
pub use door::{Door, Permit};
pub use lanes::Lane;
