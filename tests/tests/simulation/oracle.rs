//! What must be true when trouble is over and everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aggregator::{Aggregator, CatchUp, Difference, catch_up_to_end};
use bytes::Bytes;
use journal::memory::Memory;
use journal::{Entry, Journal, Record, Stream, Topology};
use model::envelope::Parsed;
use model::{Envelope, EventId, NumberKey, SourceId, Time};
use pusher::ws::hub::Hub;
use pusher::ws::topic::Topic;
use receiver::admit::{Decision, Rules};
use service::{Component as _, Context, Drain, Seeds, Tasks};
use stats::live::View;
use stats::{Dim, Row, RowKey};
use store::Reports;
use store::frame::{Body, Frame};
use store::reports::RowFilter;

use crate::load::{Book, Item, directory};
use crate::node::{Kind, NUMBER_KEY, aggregator_config, push};
use crate::town::Town;

/// Everything that was found to be wrong. Empty: nothing.
pub type Faults = Vec<String>;
/// Differences that are named; more are only counted.
const NAMED: usize = 5;

/// What the canonical streams hold.
struct Canon {
    /// In order within each partition.
    records: BTreeMap<(Stream, u32), Vec<Record>>,
}

/// Reads a run's end and says what is wrong with it.
pub struct Oracle<'a> {
    pub town: &'a Town,
    pub faults: Faults,
}

impl Oracle<'_> {
    /// Everything. The town is at rest: nobody sends, and nobody will.
    pub async fn judge(&mut self) {
        let canon = self.canon().await;
        let expected = self.events(&canon);
        self.aside().await;
        let store: Arc<dyn Reports> = self.town.ground.vault.now();
        self.folded_from_what_was_sent(&expected, &store).await;
        self.rebuilt(&store).await;
        self.views(&canon, &store).await;
        let wrong = std::mem::take(&mut self.town.ledger.lock().wrong);
        self.faults.extend(wrong);
    }

    fn context(&self, name: &str) -> Context {
        Context::new("oracle", name, self.town.clock.clone(), &Seeds::fixed(1))
    }

    fn differ(&mut self, what: &str, differences: Vec<String>) {
        let count = differences.len();
        for one in differences.into_iter().take(NAMED) {
            self.faults.push(format!("{what}: {one}"));
        }
        if count > NAMED {
            self.faults.push(format!("{what}: {count} in all"));
        }
    }

    async fn canon(&self) -> Canon {
        let journal = &self.town.ground.journal;
        let mut records = BTreeMap::new();
        for stream in Stream::EVENTS {
            for number in 0..journal.partitions(stream) {
                records.insert((stream, number), whole(journal, stream, number).await);
            }
        }
        Canon { records }
    }

    /// Every acknowledged event once, nothing that was not sent, every byte as sent. Answers with what should be folded, in the
    /// order of sending.
    fn events(&mut self, canon: &Canon) -> Vec<Entry> {
        let town = self.town;
        let book = town.ledger.lock();
        let (mut seen, mut wrong) = (BTreeMap::<EventId, Entry>::new(), Vec::new());
        for ((stream, _), record) in canon.records.iter().flat_map(|(part, all)| all.iter().map(move |one| (part, one)))
        {
            let (id, source, observed, subject) = match Envelope::parse(&record.value) {
                Ok(Parsed::Known(event)) => (event.id, event.source, event.observed_time, event.subject),
                Ok(Parsed::Unknown(head)) => (head.id, head.source, None, head.subject),
                Err(error) => {
                    wrong.push(format!("{stream}@{} cannot be read: {error}", record.offset));
                    continue;
                }
            };
            let entry = Entry { stream: *stream, key: record.key.clone(), value: record.value.clone() };
            let was_sent = match sent(&book, &id, observed) {
                Some(want) if want == entry => true,
                Some(want) => {
                    let (got, want) = (text(&entry.value), text(&want.value));
                    wrong.push(format!("{id} is not what was sent: {got}, want {want}"));
                    true
                }
                // What the collectors say about their links themselves.
                None => *stream == Stream::EventsSource && subject.id() == source.as_str(),
            };
            if !was_sent {
                wrong.push(format!("{id} was never sent: {}", text(&record.value)));
            }
            if seen.insert(id.clone(), entry).is_some() {
                wrong.push(format!("{id} is there twice"));
            }
        }
        let refused = |id: &EventId| sent(&book, id, None).is_none();
        let lost = book.acked.iter().filter(|id| !seen.contains_key(*id) && !refused(id));
        wrong.extend(lost.map(|id| format!("{id} was acknowledged and is lost")));
        let mut expected: Vec<Entry> = book.order.iter().filter_map(|id| seen.remove(id)).collect();
        expected.extend(seen.into_values());
        drop(book);
        self.differ("events", wrong);
        expected
    }

    /// What is malformed is set aside, and not lost.
    async fn aside(&mut self) {
        let aside = receiver::aside::list(&self.town.ground.journal).await.expect("a journal");
        let kept: BTreeSet<String> = aside.into_iter().map(|aside| aside.text).collect();
        let book = self.town.ledger.lock();
        let refused = book.acked.iter().filter(|id| sent(&book, id, None).is_none());
        let lost = refused.filter(|id| match book.sent.get(*id) {
            Some((_, Item::Envelope(bytes))) => !kept.contains(&text(bytes)),
            _ => true,
        });
        let lost: Vec<String> =
            lost.map(|id| format!("{id} was acknowledged and is neither admitted nor set aside")).collect();
        drop(book);
        self.differ("set aside", lost);
    }

    /// The figures are those of a fold of what was sent, in another order, on one partition, in one go.
    async fn folded_from_what_was_sent(&mut self, expected: &[Entry], store: &Arc<dyn Reports>) {
        let journal: Arc<dyn Journal> = Memory::new(Topology::uniform(1), self.town.clock.clone());
        for chunk in expected.chunks(500) {
            journal.append(chunk.to_vec()).await.expect("a journal");
        }
        let fresh: Arc<dyn Reports> = Arc::new(store::memory::Memory::new());
        let how = CatchUp::new("oracle");
        catch_up_to_end(&journal, &fresh, &how, &self.context("anew")).await.expect("a fold");
        let verdict = aggregator::diff(&**store, &*fresh, |_| {}).await.expect("stores");
        let real = verdict.differences.iter().filter(|one| !matches!(one, Difference::Position { .. }));
        self.differ("figures, beside a fold of what was sent", real.map(ToString::to_string).collect());
        if verdict.rows < 20 || verdict.calls < 5 {
            self.faults.push(format!("too little was compared: {verdict}"));
        }
    }

    /// A rebuild is identical, positions included.
    async fn rebuilt(&mut self, store: &Arc<dyn Reports>) {
        let fresh: Arc<dyn Reports> = Arc::new(store::memory::Memory::new());
        let (how, context) = (CatchUp::new("rebuild"), self.context("rebuild"));
        aggregator::rebuild(&self.town.ground.journal, &**store, &fresh, &how, &context).await.expect("a fold");
        let verdict = aggregator::diff(&**store, &*fresh, |_| {}).await.expect("stores");
        self.differ("figures, beside a rebuild", verdict.differences.iter().map(ToString::to_string).collect());
    }

    /// Live views are those of an aggregator that never had trouble; and so is the board.
    async fn views(&mut self, canon: &Canon, store: &Arc<dyn Reports>) {
        let town = self.town;
        let journal: Arc<dyn Journal> = Memory::new(town.topology.clone(), town.clock.clone());
        for ((stream, _), records) in &canon.records {
            for chunk in records.chunks(500) {
                let entry = |r: &Record| Entry { stream: *stream, key: r.key.clone(), value: r.value.clone() };
                journal.append(chunk.iter().map(entry).collect()).await.expect("a journal");
            }
        }
        let clean: Arc<dyn Reports> = Arc::new(store::memory::Memory::new());
        let context = self.context("clean");
        let outer = Tasks::new("oracle", 4, town.clock.clone(), Drain::new());
        let fold = Aggregator::new(Arc::clone(&journal), Arc::clone(&clean), aggregator_config());
        outer.spawn("fold", fold.run(context.clone())).expect("room");
        town.clock.sleep(Duration::from_secs(5)).await;
        let (old, new) = (told(&town.ground.journal).await, told(&journal).await);
        self.differ("views", differences(&old.views, &new.views, |view| format!("{view:?}")));
        self.differ(
            "rows told",
            differences(&old.rows, &new.rows, |row| serde_json::to_string(row).unwrap_or_default()),
        );
        self.differ("rows told, beside the store", differences(&old.rows, &rows(&**store).await, |_| String::new()));
        // At the same place: what the board shows hangs on what time it is there.
        let there =
            town.nodes.iter().find(|node| matches!(node.kind, Kind::Pusher(_))).expect("a pusher").place.clock();
        let beside = Context::new("oracle", "board", there.clone(), &Seeds::fixed(1));
        let board = push(&beside, journal, clean).expect("room");
        // Both paint everything anew at the turn of a minute.
        town.clock.sleep(Duration::from_millis(61_500 - there.now_ms().rem_euclid(60_000).unsigned_abs())).await;
        match town.board() {
            Some(old) => {
                let differ = || differences(&shown(&old), &shown(&board), String::clone);
                if !differ().is_empty() {
                    // Each looks once a second which sources are silent by now, not in the same moment.
                    town.clock.sleep(Duration::from_millis(1_100)).await;
                }
                self.differ("the board", differ());
            }
            None => self.faults.push("the pusher is dead".to_owned()),
        }
        context.drain.start("judged");
        let _ = context.tasks.shutdown(Duration::from_secs(5)).await;
    }
}

/// What the receiver should have written of what was sent; `None`: it was not sent, or is to be set aside.
fn sent(book: &Book, id: &EventId, observed: Option<Time>) -> Option<Entry> {
    let (source, item) = book.sent.get(id)?;
    let bytes = match item {
        // When it was observed is the collector's own knowledge.
        Item::Fact(fact) => fact.clone().into_envelope(source, observed.unwrap_or(fact.occurred_at)).to_json(),
        Item::Envelope(bytes) => bytes.clone(),
    };
    let rules = Rules { directory: directory(), number_key: NumberKey::new(NUMBER_KEY), late_after_ms: 60_000 };
    match rules.decide(&bytes) {
        Decision::Admit { entry, .. } => Some(entry),
        Decision::Aside { .. } => None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn whole(journal: &Arc<dyn Journal>, stream: Stream, number: u32) -> Vec<Record> {
    let (mut at, mut all) = (journal.earliest(stream, number).await.expect("a journal"), Vec::new());
    let end = journal.end(stream, number).await.expect("a journal");
    while at < end {
        let batch = journal.read(stream, number, at, 1_000, 1 << 24).await.expect("a journal");
        at = batch.next;
        all.extend(batch.records);
    }
    all
}

/// What readers of `views` are told, merged as the stream's description says.
#[derive(Default)]
struct Told {
    views: BTreeMap<String, View>,
    rows: BTreeMap<RowKey, Row>,
}

async fn told(journal: &Arc<dyn Journal>) -> Told {
    let mut latest: BTreeMap<Bytes, Frame> = BTreeMap::new();
    for number in 0..journal.partitions(Stream::Views) {
        for record in whole(journal, Stream::Views, number).await {
            match Frame::from_json(&record.value) {
                Ok(frame) => {
                    if latest.get(&record.key).is_none_or(|held| held.version <= frame.version) {
                        latest.insert(record.key, frame);
                    }
                }
                Err(_) => drop(latest.remove(&record.key)),
            }
        }
    }
    let part = |key: &[u8]| text(key).rsplit_once('@').map(|(_, part)| part.to_owned()).unwrap_or_default();
    let epochs: BTreeMap<String, u64> = latest
        .iter()
        .filter(|(_, frame)| matches!(&frame.body, Body::Fold(fold) if fold.complete))
        .map(|(key, frame)| (part(key), frame.version.epoch))
        .collect();
    let mut told = Told::default();
    for (key, frame) in latest {
        match frame.body {
            // A queue where nobody is, and no word of it, are the same.
            Body::View(View::Queue(queue)) if queue.is_idle() => {}
            Body::View(mut view) if epochs.get(&part(&key)).is_none_or(|epoch| frame.version.epoch >= *epoch) => {
                // Who was served last is known in one life of an owner only.
                if let View::Queue(queue) = &mut view {
                    queue.last_served = None;
                }
                told.views.insert(text(&key), view);
            }
            Body::Row(partial) => told.rows.entry(partial.key).or_default().plus(&partial.row),
            Body::View(_) | Body::Fold(_) | Body::Call(_) => {}
        }
    }
    told.rows.retain(|_, row| !row.is_zero());
    told
}

async fn rows(store: &dyn Reports) -> BTreeMap<RowKey, Row> {
    let mut all = BTreeMap::new();
    for dim in Dim::ALL {
        all.extend(store.rows(&RowFilter::new(dim, Time(0), Time(i64::MAX / 2))).await.expect("a store"));
    }
    all
}

fn shown(hub: &Hub) -> BTreeMap<String, String> {
    let topics = Topic::ALL.into_iter();
    hub.board(|board| {
        topics
            .flat_map(|topic| {
                board.items(topic).map(move |item| (format!("{}/{}", topic.name(), item.key), steady(&item.json)))
            })
            .collect()
    })
}

/// An item without what hangs on who was served last, and on the second in which it was painted (a gap that the vendor's clock
/// puts into the future has only in part been lived through).
fn steady(json: &str) -> String {
    let without = |json: String, member: &str| match json.split_once(&format!("\"{member}\":")) {
        Some((before, after)) => format!("{before}{}", after.trim_start_matches(|c: char| c != ',')),
        None => json,
    };
    ["ewt_ms", "gap_ms_today"].into_iter().fold(json.to_owned(), without)
}

fn differences<K: Ord + std::fmt::Debug, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    tell: impl Fn(&V) -> String,
) -> Vec<String> {
    let keys: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    let differ = keys.into_iter().filter(|key| old.get(key) != new.get(key));
    let value = |value: Option<&V>| value.map_or_else(|| "nothing".to_owned(), &tell);
    differ
        .map(|key| {
            let (is, should) = (value(old.get(key)), value(new.get(key)));
            let same = is.bytes().zip(should.bytes()).take_while(|(a, b)| a == b).count();
            let cut = |text: &str| text.chars().skip(same.saturating_sub(60)).take(200).collect::<String>();
            format!("{key:?}: …{}… is, …{}… should be", cut(&is), cut(&should))
        })
        .collect()
}

/// Whose facts a fresh event is looked for in: any source will do.
pub fn fresh_call(source: &SourceId, at: Time, n: u32) -> model::Fact {
    let offered = model::event::call::Offered::default();
    let call = format!("fresh-{source}-{n}");
    model::Fact::new(at, model::Subject::Call(call.as_str().into()), offered).reference(call.clone())
}
