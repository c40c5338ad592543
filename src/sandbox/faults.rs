//! Faults on demand: a script of what goes wrong next.
//!
//! Guarantees: a fault applies to exactly as many calls as it says, and one call meets one fault, the first in the
//! script that fits it. A call over the limit is refused before the script is looked at, and uses nothing up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::effect::{Effect, Kind};

/// One line of the script: which calls, how many of them, and what happens to them.
///
/// As JSON: `{"times": 3, "on": "message", "guest": "guest_001", "effect": {"answer": {"status": 503}}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// How many calls; `None` (JSON `null`): all, until the script is cleared. Absent in JSON: one.
    #[serde(default = "once")]
    pub times: Option<usize>,
    /// Only calls of this kind.
    #[serde(default)]
    pub on: Option<Kind>,
    /// Only calls about this guest.
    #[serde(default)]
    pub guest: Option<String>,
    /// What happens.
    pub effect: Effect,
}

impl Fault {
    /// The next so many calls.
    #[must_use]
    pub fn next(times: usize, effect: Effect) -> Self {
        Self { times: Some(times), on: None, guest: None, effect }
    }

    /// All calls from now on.
    #[must_use]
    pub fn always(effect: Effect) -> Self {
        Self { times: None, on: None, guest: None, effect }
    }

    /// Only calls of this kind.
    #[must_use]
    pub fn on(self, kind: Kind) -> Self {
        Self { on: Some(kind), ..self }
    }

    /// Only calls about this guest.
    #[must_use]
    pub fn guest(self, id: impl Into<String>) -> Self {
        Self { guest: Some(id.into()), ..self }
    }

    fn fits(&self, kind: Kind, guest: Option<&str>) -> bool {
        self.on.is_none_or(|on| on == kind) && (self.guest.is_none() || self.guest.as_deref() == guest)
    }
}

/// The script. Clones are the same script.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    script: Arc<Mutex<Vec<Fault>>>,
}

impl Faults {
    /// Adds a line at the end of the script.
    pub fn add(&self, fault: Fault) {
        if fault.times != Some(0) {
            self.script().push(fault);
        }
    }

    /// From now on nobody knows this guest: 404.
    pub fn unknown(&self, guest: impl Into<String>) {
        self.add(Fault::always(Effect::answer(404)).guest(guest));
    }

    /// Forgets the script.
    pub fn clear(&self) {
        self.script().clear();
    }

    /// What is still to come.
    #[must_use]
    pub fn pending(&self) -> Vec<Fault> {
        self.script().clone()
    }

    /// What happens to this call, if anything; used up by asking.
    pub(super) fn take(&self, kind: Kind, guest: Option<&str>) -> Option<Effect> {
        let mut script = self.script();
        let found = script.iter().position(|fault| fault.fits(kind, guest))?;
        let fault = script.get_mut(found)?;
        let effect = fault.effect.clone();
        fault.times = fault.times.map(|times| times.saturating_sub(1));
        if fault.times == Some(0) {
            script.remove(found);
        }
        Some(effect)
    }

    fn script(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the type of the field")]
fn once() -> Option<usize> {
    Some(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_fault_is_used_up_by_the_calls_it_fits() {
        let faults = Faults::default();
        faults.add(Fault::next(2, Effect::answer(503)).on(Kind::Message).guest("guest_1"));
        faults.add(Fault::next(1, Effect::cut()));
        assert_eq!(faults.take(Kind::Message, Some("guest_1")), Some(Effect::answer(503)));
        assert_eq!(faults.take(Kind::Message, Some("guest_2")), Some(Effect::cut()));
        assert_eq!(faults.take(Kind::Guest, Some("guest_1")), None);
        assert_eq!(faults.take(Kind::Webhooks, None), None);
        assert_eq!(faults.take(Kind::Message, Some("guest_1")), Some(Effect::answer(503)));
        assert_eq!(faults.take(Kind::Message, Some("guest_1")), None);
        assert_eq!(faults.pending(), []);
    }

    #[test]
    fn an_unknown_guest_stays_unknown_until_the_script_is_cleared() {
        let faults = Faults::default();
        faults.unknown("guest_7");
        for _ in 0..3 {
            assert_eq!(faults.take(Kind::Guest, Some("guest_7")), Some(Effect::answer(404)));
        }
        faults.clear();
        assert_eq!(faults.take(Kind::Guest, Some("guest_7")), None);
    }

    #[test]
    fn the_json_is_as_documented() {
        let read = |text: &str| serde_json::from_str::<Fault>(text).unwrap();
        assert_eq!(
            read(
                r#"{"times":3,"on":"message","guest":"g","effect":{"answer":{"status":429,"retryAfter":2}}}"#
            ),
            Fault::next(3, Effect::answer_later(429, 2)).on(Kind::Message).guest("g")
        );
        assert_eq!(read(r#"{"effect":{"cut":{}}}"#), Fault::next(1, Effect::cut()));
        assert_eq!(
            read(r#"{"times":null,"effect":{"hang":{"ms":40}}}"#),
            Fault::always(Effect::hang(Duration::from_millis(40)))
        );
        assert!(serde_json::from_str::<Fault>(r#"{"time":3,"effect":{"cut":{}}}"#).is_err());
    }
}
