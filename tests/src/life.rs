//! Made-up calls, each from its first event to its last, and what every single event adds to the figures. The oracle of the kill tests:
//! it shares no code with the product, and computes by adding up what was sent.

use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// When the first call comes: a Monday morning, long ago enough to be in the past of every clock.
pub const MORNING_MS: i64 = 1_763_366_400_000;
/// The vendor that the events name.
pub const SOURCE: &str = "feeder";

const QUEUES: [&str; 4] = ["sales", "support", "billing", "claims"];
const AGENTS: u64 = 24;
/// The product's default: who leaves within this did not wait.
const SHORT_MS: i64 = 5_000;

/// A figure of a report: by what, of which, which column.
pub type Figure = (&'static str, String, &'static str);
/// Figures, added up.
pub type Figures = BTreeMap<Figure, i64>;

/// A small seeded generator (splitmix64): the same seed, the same run.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to `n`, exclusive.
    pub fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    /// Once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One event as it is sent, and what it adds to the figures once it counts.
#[derive(Clone, Debug)]
pub struct Event {
    /// The envelope, JSON.
    pub text: String,
    /// What it adds.
    pub adds: Vec<(Figure, i64)>,
}

/// A call that is being made up.
struct Life<'a> {
    dice: &'a mut Dice,
    id: String,
    now: i64,
    events: VecDeque<Event>,
}

/// The whole life of a call, in order.
pub fn life(producer: usize, number: u64, dice: &mut Dice) -> VecDeque<Event> {
    let id = format!("c{producer}-{number}");
    let now = MORNING_MS + number as i64 * 1_700 + dice.below(1_500) as i64;
    let mut life = Life { dice, id, now, events: VecDeque::new() };
    life.live();
    life.events
}

impl Life<'_> {
    fn say(&mut self, kind: &str, data: Value, adds: &[(&'static str, &str, &'static str, i64)]) {
        let id = format!("{}/{}", self.id, self.events.len());
        let time = Timestamp::from_millisecond(self.now).expect("a time of the calendar");
        let text = json!({
            "specversion": "1.0", "id": id, "source": SOURCE, "type": format!("call.{kind}.v1"),
            "subject": format!("call/{}", self.id), "time": format!("{time:.3}"),
            "datacontenttype": "application/json", "data": data,
        });
        let adds = adds.iter().map(|(by, of, column, n)| ((*by, (*of).to_owned(), *column), *n)).collect();
        self.events.push_back(Event { text: text.to_string(), adds });
    }

    /// Lets time go by; answers how much.
    fn pass(&mut self, up_to_ms: u64) -> i64 {
        let passed = 1 + self.dice.below(up_to_ms) as i64;
        self.now += passed;
        passed
    }

    fn live(&mut self) {
        let data =
            json!({ "direction": "inbound", "ani": { "digits": format!("1380013{:04}", self.dice.below(900)) } });
        self.say("offered", data, &[("tenant", "default", "calls", 1)]);
        self.pass(900);
        let mut queue = QUEUES[self.dice.below(4) as usize];
        if self.dice.once_in(6) {
            self.queued(queue);
            let waited = self.pass(30_000);
            let adds = [("queue", queue, "flow_out", 1), ("queue", queue, "wait_other_ms", waited)];
            self.say("dequeued", json!({ "queue": queue, "cause": "overflow", "waited_ms": waited }), &adds);
            // Events of one instant have no order of their own.
            self.pass(50);
            queue = QUEUES[self.dice.below(4) as usize];
        }
        self.queued(queue);
        match self.dice.below(10) {
            0..3 => self.leave(queue),
            _ => self.talk(queue),
        }
        self.say("ended", json!({ "by": "caller", "cause": "normal" }), &[("tenant", "default", "calls_ended", 1)]);
    }

    fn queued(&mut self, queue: &str) {
        self.say("queued", json!({ "queue": queue }), &[("queue", queue, "offered", 1)]);
    }

    fn leave(&mut self, queue: &str) {
        let waited = self.pass(12_000);
        let column = if waited <= SHORT_MS { "short_abandoned" } else { "abandoned" };
        let adds = [("queue", queue, column, 1), ("queue", queue, "wait_abandoned_ms", waited)];
        self.say("dequeued", json!({ "queue": queue, "cause": "abandoned", "waited_ms": waited }), &adds);
    }

    fn talk(&mut self, queue: &str) {
        let mut waited = self.pass(20_000);
        if self.dice.once_in(5) {
            let other = self.agent();
            self.say("alerting", json!({ "agent": other, "queue": queue }), &[("queue", queue, "alerted", 1)]);
            waited += self.pass(9_000);
            let adds = [("queue", queue, "rona", 1), ("agent", other.as_str(), "rona", 1)];
            self.say("rona", json!({ "agent": other, "queue": queue, "reason": "no_answer" }), &adds);
            waited += self.pass(50);
        }
        let agent = self.agent();
        self.say("alerting", json!({ "agent": agent, "queue": queue }), &[("queue", queue, "alerted", 1)]);
        waited += self.pass(6_000);
        let adds = [
            ("queue", queue, "answered", 1),
            ("queue", queue, "wait_answered_ms", waited),
            ("agent", agent.as_str(), "answered", 1),
        ];
        self.say("answered", json!({ "agent": agent, "queue": queue }), &adds);
        let mut talked = self.pass(90_000);
        let mut held = 0;
        if self.dice.once_in(3) {
            self.say("held", json!({ "agent": agent }), &[("queue", queue, "holds", 1)]);
            held = self.pass(20_000);
            self.say("retrieved", json!({ "agent": agent }), &[]);
            talked += self.pass(30_000);
        }
        let adds = [
            ("queue", queue, "completed", 1),
            ("queue", queue, "talk_ms", talked),
            ("queue", queue, "hold_ms", held),
            ("agent", agent.as_str(), "talk_ms", talked),
        ];
        self.say("released", json!({ "agent": agent, "by": "agent" }), &adds);
    }

    fn agent(&mut self) -> String {
        format!("a{:02}", self.dice.below(AGENTS))
    }
}

/// Adds what an event adds.
pub fn add(figures: &mut Figures, event: &Event) {
    for (figure, n) in event.adds.iter().filter(|(_, n)| *n != 0) {
        *figures.entry(figure.clone()).or_default() += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_queued_leaves_each_queue_once() {
        let mut dice = Dice(7);
        let mut all = Figures::new();
        (0..500).for_each(|number| life(0, number, &mut dice).iter().for_each(|event| add(&mut all, event)));
        let sum = |columns: &[&str]| -> i64 {
            all.iter().filter(|((by, _, column), _)| *by == "queue" && columns.contains(column)).map(|(_, n)| n).sum()
        };
        assert!(sum(&["offered"]) > 500);
        assert_eq!(sum(&["offered"]), sum(&["answered", "abandoned", "short_abandoned", "flow_out"]));
        assert_eq!(sum(&["answered"]), sum(&["completed"]));
        assert_eq!(all[&("tenant", "default".to_owned(), "calls")], 500);
    }
}
