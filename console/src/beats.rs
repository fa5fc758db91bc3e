//! What components say on `health` of themselves: whether each is there, and whether it was started anew.

use std::collections::BTreeMap;

use model::Time;
use service::health::Heartbeat;

/// A component that was silent for so long, and for three of its beats, is gone, in milliseconds.
const SILENT_MS: i64 = 30_000;
/// Components that are told apart; names that others make up must not grow without a bound.
const COMPONENTS_MAX: usize = 1_000;
/// How long a start that nobody ordered is told of, in milliseconds.
const ANEW_MS: i64 = 5_000;

#[derive(Debug)]
struct Beat {
    at: Time,
    /// Between its last two.
    every_ms: i64,
    started_at_ms: i64,
    anew_at: Option<Time>,
}

/// The newest heartbeat of each component.
#[derive(Debug, Default)]
pub(crate) struct Beats(BTreeMap<String, Beat>);

impl Beats {
    /// Takes in a record of `health`; what is no heartbeat is passed over.
    pub(crate) fn take(&mut self, value: &[u8]) {
        let Ok(beat) = serde_json::from_slice::<Heartbeat>(value) else { return };
        let name = format!("{}/{}", beat.component, beat.instance);
        if beat.draining {
            self.0.remove(&name); // it says goodbye: nobody misses it
            return;
        }
        let (at, started_at_ms) = (Time(beat.at_ms), beat.started_at_ms);
        if !self.0.contains_key(&name) && self.0.len() >= COMPONENTS_MAX {
            return;
        }
        let held = self.0.entry(name).or_insert(Beat { at, every_ms: 0, started_at_ms, anew_at: None });
        if at < held.at {
            return;
        }
        if held.started_at_ms == started_at_ms {
            held.every_ms = at.since(held.at);
        } else {
            held.anew_at = Some(at); // it ended without a word, and is there again
        }
        (held.at, held.started_at_ms) = (at, started_at_ms);
    }

    /// Every component that was heard of, and what is wrong with it, if anything is.
    pub(crate) fn parts(&self, now: Time) -> impl Iterator<Item = (&str, Option<String>)> {
        self.0.iter().map(move |(name, beat)| {
            let silent_ms = now.since(beat.at);
            let anew = beat.anew_at.is_some_and(|at| now.since(at) < ANEW_MS);
            let why = match silent_ms > SILENT_MS.max(3 * beat.every_ms) {
                true => Some(format!("silent for {} s; it is started again by whoever watches it", silent_ms / 1_000)),
                false => anew.then(|| "it ended without a word, and was started again".to_owned()),
            };
            (name.as_str(), why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(at_ms: i64, started_at_ms: i64, draining: bool) -> Vec<u8> {
        let text = format!(
            r#"{{"component":"aggregator","instance":"a1","version":"1","at_ms":{at_ms},"started_at_ms":{started_at_ms},
                "sequence":1,"ready":true,"draining":{draining},"state":"ok","checks":{{}}}}"#
        );
        text.into_bytes()
    }

    fn wrong(beats: &Beats, now: i64) -> Vec<bool> {
        beats
            .parts(Time(now))
            .map(|(name, why)| {
                assert_eq!(name, "aggregator/a1");
                why.is_some()
            })
            .collect()
    }

    #[test]
    fn who_is_silent_or_was_started_anew_failed_and_who_said_goodbye_did_not() {
        let mut beats = Beats::default();
        beats.take(b"{\"specversion\":\"1.0\"}");
        beats.take(&beat(1_000, 500, false));
        assert_eq!((wrong(&beats, 2_000), wrong(&beats, 40_000)), (vec![false], vec![true]));
        beats.take(&beat(41_000, 40_500, false));
        assert_eq!((wrong(&beats, 42_000), wrong(&beats, 47_000)), (vec![true], vec![false]), "started anew");
        beats.take(&beat(50_000, 40_500, true));
        assert_eq!(wrong(&beats, 99_000), [false; 0]);
    }
}
