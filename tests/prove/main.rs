//! What takes longer than a test of `make test` may: loads, kills and outages, each bounded in count
//! and time. `make prove` runs them one at a time; each prints its figures.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at what it did not expect")]
#![expect(unreachable_pub, reason = "the modules of one test binary share their helpers")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use the rest")]
mod support;

mod broadcast;
mod feed;
mod ingest;
mod load;
mod outage;
mod pages;
mod queries;
mod soak;
