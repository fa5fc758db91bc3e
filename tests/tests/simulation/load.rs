//! What happens in the call centre of a run: who says what, when; and the ledger of what was sent and what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::envelope::Parsed;
use model::{Directory, Envelope, Event, EventId, Fact, Number, SourceId, Time};
use rand::Rng as _;
use service::{Rng, Seeds};

use crate::traffic::{self, Dice};

/// Two hours of traffic are told in so much simulated time.
pub const PLAY: Duration = Duration::from_secs(40);
const SPAN_MS: u64 = 7_200_000;
/// Phone systems that are watched by collectors; what the others say comes through the door.
pub const WATCHED: [&str; 2] = ["pbx1", "pbx2"];

/// What somebody sends.
#[expect(clippy::large_enum_variant, reason = "a load is mostly facts")]
#[derive(Clone, Debug)]
pub enum Item {
    /// A fact that a phone system tells its collector.
    Fact(Fact),
    /// An envelope for the door, as it is sent.
    Envelope(Vec<u8>),
}

/// Something to be sent, and when: simulated time since the start.
#[derive(Clone, Debug)]
pub struct Due {
    pub at: Duration,
    pub id: EventId,
    pub item: Item,
}

/// The whole of a run's traffic.
pub struct Load {
    /// By phone system, each in order of time.
    pub watched: BTreeMap<&'static str, Vec<Due>>,
    /// Through the door.
    pub door: Vec<Due>,
}

/// Who is who: two tenants, two teams.
pub fn directory() -> Directory {
    let text = r#"{
        "tenants": { "default": {}, "shop": { "short_abandon_s": 12 } },
        "sources": { "pbx3": { "tenant": "shop" } },
        "teams": { "red": {}, "blue": {} },
        "agents": { "ann": { "team": "red" }, "bob": { "team": "red" }, "cy": { "team": "blue" } }
    }"#;
    serde_json::from_str(text).expect("a directory")
}

impl Load {
    /// A morning of calls and people, from a seed, told from `start_ms` on.
    pub fn new(seeds: &Seeds, start_ms: i64) -> Load {
        let mut rng = seeds.stream("load");
        let mut dice = Dice(rng.random());
        let mut events = traffic::calls(&mut dice, rng.random_range(20..50), SPAN_MS);
        events.extend(traffic::people(&mut dice, 60, SPAN_MS));
        traffic::spoil(&mut dice, &mut events);
        let mut ids = BTreeSet::new();
        events.retain(|event| ids.insert(event.id.clone()));
        let mut load = Load { watched: WATCHED.map(|name| (name, Vec::new())).into(), door: Vec::new() };
        let mut clocks = [0_i64; 3];
        for event in events {
            let at = Duration::from_millis(event.time.ms().max(0).unsigned_abs() * PLAY.as_millis() as u64 / SPAN_MS);
            let which = match event.subject.family() {
                "call" => event.subject.id().bytes().map(usize::from).sum::<usize>() % 3,
                _ => 0,
            };
            // Now and then a phone system's clock jumps.
            if rng.random_range(0..150) == 0 {
                clocks[which] += rng.random_range(-600_000..600_000);
            }
            load.add(which, at, told(event, which, start_ms + clocks[which], &mut rng));
        }
        load.add_odd_ones(&mut rng, start_ms);
        for list in load.watched.values_mut().chain([&mut load.door]) {
            list.sort_by_key(|due| due.at);
        }
        load
    }

    fn add(&mut self, which: usize, at: Duration, event: Envelope) {
        match WATCHED.get(which) {
            Some(name) => {
                let fact = Fact {
                    reference: Some(event.id.to_string()),
                    leg: String::new(),
                    occurred_at: event.time,
                    subject: event.subject,
                    event: event.event,
                    quality: event.quality,
                    seq: event.seq,
                    cause: event.cause_id,
                };
                let id = fact.id(&SourceId::new(*name));
                self.watched.entry(name).or_default().push(Due { at, id, item: Item::Fact(fact) });
            }
            None => {
                let item = Item::Envelope(event.to_json());
                self.door.push(Due { at, id: event.id, item });
            }
        }
    }

    /// What the door lets in although nobody here understands it, and what only the receiver refuses.
    fn add_odd_ones(&mut self, rng: &mut Rng, start_ms: i64) {
        for n in 0..6 {
            let at = PLAY.mul_f64(rng.random_range(0.0..1.0));
            let time = if n < 4 { start_ms + at.as_millis() as i64 } else { 1_000 };
            let ty = if n < 4 { "agent.cloned.v3" } else { "call.ended.v1" };
            let (id, time) = (EventId::new(format!("odd-{n}")), Time(time));
            let text = format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"pbx3","type":"{ty}","subject":"call/o{n}","time":"{time}","data":{{"odd" :{n}}}}}"#
            );
            self.door.push(Due { at, id, item: Item::Envelope(text.into_bytes()) });
        }
    }
}

/// The event as its source tells it.
fn told(mut event: Envelope, which: usize, start_ms: i64, rng: &mut Rng) -> Envelope {
    let moved = |time: Time| Time(start_ms + time.ms() * PLAY.as_millis() as i64 / SPAN_MS as i64);
    event.time = moved(event.time);
    if let Event::SourceGap(gap) = &mut event.event {
        (gap.from, gap.to) = (moved(gap.from), moved(gap.to));
    }
    if let Event::CallOffered(offered) = &mut event.event {
        offered.ani = Some(Number::plain(format!("1380013{:04}", rng.random_range(0..25))));
        offered.trunk = Some(format!("trunk{}", rng.random_range(0..2)).as_str().into());
    }
    event.source = format!("pbx{}", which + 1).as_str().into();
    event.tenant = None;
    if which == 2 {
        event = of_the_shop(&event);
    }
    event.observed_time = (which == 2).then(|| event.time + rng.random_range(0..90_000));
    event
}

/// The same at queues of the other tenant: ids of queues are taken to differ over all tenants, and live views rest on that.
fn of_the_shop(event: &Envelope) -> Envelope {
    let mut text = String::from_utf8(event.to_json()).expect("JSON is text");
    for queue in ["sales", "support", "billing"] {
        text = text.replace(&format!("\"{queue}\""), &format!("\"shop-{queue}\""));
    }
    match Envelope::parse(text.as_bytes()) {
        Ok(Parsed::Known(event)) => event,
        _ => panic!("another queue makes no other event: {text}"),
    }
}

/// What was sent, and what was acknowledged.
#[derive(Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Default)]
pub struct Book {
    /// Everything that anybody ever tried to send.
    pub sent: BTreeMap<EventId, (SourceId, Item)>,
    /// In order of their sending: another order than that of arrival.
    pub order: Vec<EventId>,
    /// What the sender was told is safe.
    pub acked: BTreeSet<EventId>,
    /// What was seen to be wrong on the way.
    pub wrong: Vec<String>,
}

impl Ledger {
    pub fn send(&self, source: &SourceId, due: &Due) {
        let mut book = self.lock();
        if book.sent.insert(due.id.clone(), (source.clone(), due.item.clone())).is_none() {
            book.order.push(due.id.clone());
        }
    }

    pub fn acknowledge(&self, id: &EventId) {
        self.lock().acked.insert(id.clone());
    }

    pub fn wrong(&self, what: String) {
        self.lock().wrong.push(what);
    }

    pub fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
