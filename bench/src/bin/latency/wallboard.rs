//! The wallboard: follows all open calls, and notes when each event's effect came.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bench::Spread;
use bench::crowd::{Client, Heard, now_us};
use model::Time;
use serde::Deserialize;

use super::load;

/// What a call shows, in the order in which it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Offered,
    Ivr,
    Waiting,
    Ringing,
    Talking,
    Held,
    Over,
}

/// The first frame that showed a call.
#[derive(Clone, Copy, Debug)]
pub struct First {
    pub sent_ms: f64,
    pub written_ms: f64,
    pub came_ms: f64,
}

#[derive(Default)]
struct Call {
    /// Stages that were sent, when, and when their effect was seen.
    steps: Vec<(Stage, u64, Option<u64>)>,
    first: Option<First>,
}

/// What was sent and what was seen.
#[derive(Default)]
pub struct Seen(Mutex<Vec<Call>>);

/// What it came to.
pub struct Outcome {
    pub late_ms: Spread,
    pub unseen: usize,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default)]
    changed: Vec<Item<'a>>,
    #[serde(borrow, default)]
    items: Vec<Item<'a>>,
    #[serde(borrow, default)]
    removed: Vec<&'a str>,
    #[serde(default)]
    time: Time,
}

#[derive(Deserialize)]
struct Item<'a> {
    key: &'a str,
    stage: Stage,
}

impl Seen {
    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A step of a call is on its way.
    pub fn sent(&self, call: u64, stage: Stage, at_us: u64) {
        let (mut calls, number) = (self.calls(), call as usize);
        if calls.len() <= number {
            calls.resize_with(number + 1, Call::default);
        }
        calls[number].steps.push((stage, at_us, None));
    }

    fn came(&self, frame: &Frame<'_>, now: u64) {
        let mut calls = self.calls();
        let live = frame.changed.iter().chain(&frame.items).map(|item| (item.key, item.stage));
        for (key, stage) in live.chain(frame.removed.iter().map(|key| (*key, Stage::Over))) {
            let Some(call) = load::number(key).and_then(|number| calls.get_mut(number as usize)) else { continue };
            for (of, _, seen) in &mut call.steps {
                if *of <= stage && seen.is_none() {
                    *seen = Some(now);
                }
            }
            if let (None, Some((_, sent, _))) = (call.first, call.steps.first()) {
                let ms = |us: u64| us as f64 / 1e3;
                call.first = Some(First { sent_ms: ms(*sent), written_ms: frame.time.ms() as f64, came_ms: ms(now) });
            }
        }
    }

    /// Delays of what was sent after this moment.
    pub fn outcome(&self, from_us: u64) -> Outcome {
        let calls = self.calls();
        let steps: Vec<_> = calls.iter().flat_map(|call| &call.steps).filter(|(_, sent, _)| *sent >= from_us).collect();
        let late = steps.iter().filter_map(|(_, sent, seen)| seen.map(|seen| seen.saturating_sub(*sent) as f64 / 1e3));
        Outcome { late_ms: late.collect(), unseen: steps.iter().filter(|(_, _, seen)| seen.is_none()).count() }
    }

    /// The first frame of every so many-th call that began after this moment.
    pub fn firsts(&self, every: usize, from_us: u64) -> Vec<(u64, First)> {
        let calls = self.calls();
        let some = calls.iter().enumerate().step_by(every);
        let firsts = some.filter_map(|(number, call)| call.first.map(|first| (number as u64, first)));
        firsts.filter(|(_, first)| first.sent_ms * 1e3 >= from_us as f64).collect()
    }
}

/// Follows until the server is gone.
pub async fn follow(face: SocketAddr, seen: Arc<Seen>) -> anyhow::Result<()> {
    let mut client = Client::connect(face, None).await?;
    client.say(r#"{"op":"subscribe","id":"w","topics":["calls"]}"#).await?;
    while let Heard::Text(text) = client.hear().await? {
        let now = now_us();
        if let Ok(frame) = serde_json::from_slice::<Frame<'_>>(text) {
            seen.came(&frame, now);
        }
    }
    Ok(())
}
