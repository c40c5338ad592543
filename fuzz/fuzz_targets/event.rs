//! Any bytes through the webhook parser: it never panics, and what it accepts fits the table.

#![no_main]

use libfuzzer_sys::fuzz_target;

use reservations::event;

/// The parser's own files. The whole server would take minutes to build with a sanitizer.
#[path = "../../src/reservations"]
mod reservations {
    pub mod event;
}

#[path = "../invariants.rs"]
mod invariants;

fuzz_target!(|body: &[u8]| {
    // It panics where it has something to say.
    let _ = invariants::check(body);
});
