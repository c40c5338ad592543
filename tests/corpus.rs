//! The fuzzer's corpus through the parser: each body is answered as its file's name says, and what the
//! fuzzer checks holds, without the fuzzer.

use std::{fs, path::Path};

use besty::reservations::event::{self, Parsed};

#[path = "../fuzz/invariants.rs"]
mod invariants;

/// `accepted.WHAT`, `ignored.WHAT` or `refused.FIELD.WHAT`.
#[test]
fn every_body_is_answered_as_its_name_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/event");
    let mut seen = [0; 3];
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (place, answer) = match invariants::check(&fs::read(&path).unwrap()) {
            Ok(Parsed::Event(_)) => (0, "accepted.".to_owned()),
            Ok(Parsed::Ignored) => (1, "ignored.".to_owned()),
            Err(error) => (2, format!("refused.{}.", error.field())),
        };
        assert!(name.starts_with(&answer), "{name}: {answer}");
        seen[place] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}
