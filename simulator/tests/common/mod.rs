//! What the suites share: a small, eventful centre, and a reader of frames.
#![allow(dead_code, reason = "each suite uses its own part")]

use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::Arc;

use service::Millis;
use simulator::{Centre, Config, Frame};

/// A midnight in UTC.
pub const START_MS: i64 = 1_767_225_600_000;

/// Forty agents in UTC for an hour, a fifth of them on a shift that begins and ends in it; everything that can happen does.
pub fn small() -> Config {
    let mut config = Config {
        time_zone: "UTC".to_owned(),
        warm_up: Millis::new(0),
        arrivals_for: Millis::seconds(3_600),
        ..Default::default()
    };
    config.arrivals.calls_per_hour = 1_750.0;
    config.manners.blind_to_queue_share = 0.05;
    config.manners.attended_share = 0.15;
    config.manners.atxfer_share = 0.5;
    for group in &mut config.groups {
        if group.id == "senior" {
            group.shift_from = "00:10".to_owned();
            group.shift_to = "00:50".to_owned();
        }
        group.pauses.iter_mut().for_each(|pause| pause.every = Millis::seconds(1_200));
    }
    config
}

/// One event, its headers in order and by name.
#[derive(Debug, Clone)]
pub struct Event {
    /// Header names, in order.
    pub keys: Vec<String>,
    headers: BTreeMap<String, String>,
}

impl Event {
    /// Reads a frame.
    pub fn read(text: &str) -> Event {
        let mut event = Event { keys: Vec::new(), headers: BTreeMap::new() };
        for line in text.trim_end_matches("\r\n").split("\r\n") {
            let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}"));
            event.keys.push(key.to_owned());
            event.headers.insert(key.to_owned(), value.to_owned());
        }
        event
    }

    /// The event's name.
    pub fn name(&self) -> &str {
        &self["Event"]
    }

    /// A header that may be absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.headers.get(key).map(String::as_str)
    }
}

impl Index<&str> for Event {
    type Output = String;
    fn index(&self, key: &str) -> &String {
        self.headers.get(key).unwrap_or_else(|| panic!("no {key} in {:?}", self.headers))
    }
}

/// The frames as events.
pub fn events(frames: &[Frame]) -> Vec<Event> {
    frames.iter().map(|frame| Event::read(std::str::from_utf8(&frame.text).unwrap())).collect()
}

/// Plays a centre until it is empty.
pub fn play(config: &Config, seed: u64) -> (Centre, Vec<Event>) {
    let mut centre = Centre::new(Arc::new(config.plan().unwrap()), seed, START_MS);
    let mut said = Vec::new();
    while !centre.is_finished() {
        centre.advance(centre.now_ms() + 60_000);
        said.extend(events(&centre.take_frames()));
        assert!(centre.now_ms() < START_MS + 10 * 3_600_000, "the centre does not empty");
    }
    (centre, said)
}
