//! Over made-up histories: order, repetition, partitions, restarts and rebuilds change nothing; what lasts and what is stored
//! make up the whole.

use std::collections::BTreeMap;

use crate::traffic::{Dice, calls, long_day, people, spoil};
use model::{CallId, Envelope, Time};
use proptest::prelude::*;
use stats::call::Record;
use stats::fold::{PartitionFold, Settings};
use stats::live::View;
use stats::{Dim, Field, Grains, Row, RowKey, Rows, Tally, overlay};

const HOUR: u64 = 3_600_000;

/// At most 150 histories for each law; PROPTEST_CASES asks for fewer.
fn few() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig { cases: asked.cases.min(150), ..asked }
}

/// Everything a fold comes to.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    rows: BTreeMap<RowKey, Row>,
    calls: BTreeMap<CallId, Record>,
    views: BTreeMap<String, View>,
}

impl Outcome {
    fn add_rows(&mut self, rows: impl IntoIterator<Item = (RowKey, Row)>) {
        for (key, row) in rows {
            self.rows.entry(key).or_default().plus(&row);
        }
    }

    fn finish(&mut self, fold: &PartitionFold) {
        self.rows.retain(|_, row| !row.is_zero());
        self.calls.extend(fold.calls().map(|r| (r.call.clone(), r.clone())));
        for mut view in fold.views() {
            if let View::Queue(q) = &mut view {
                q.last_served = None; // the last served of closed calls is not restored, and need not be
                if q.is_idle() {
                    continue;
                }
            }
            let key = view.key();
            match self.views.get_mut(&key) {
                Some(have) => have.merge(&view),
                None => {
                    self.views.insert(key, view);
                }
            }
        }
    }
}

fn settings() -> Settings {
    Settings { closed_kept: 1_000_000, ..Settings::default() }
}

fn folded(events: &[Envelope]) -> Outcome {
    let mut fold = PartitionFold::new(settings());
    events.iter().for_each(|e| {
        fold.apply(e.clone());
    });
    let mut out = Outcome::default();
    out.add_rows(fold.take_changes().rows);
    out.finish(&fold);
    out
}

/// The same events in another order, some twice, with changes taken now and then.
fn disturbed(events: &[Envelope], dice: &mut Dice) -> Outcome {
    let mut events = events.to_vec();
    let again: Vec<Envelope> = events.iter().filter(|_| dice.once_in(5)).cloned().collect();
    events.extend(again);
    dice.shuffle(&mut events);
    let (mut fold, mut out) = (PartitionFold::new(settings()), Outcome::default());
    for e in events {
        fold.apply(e);
        if dice.once_in(10) {
            out.add_rows(fold.take_changes().rows);
        }
    }
    out.add_rows(fold.take_changes().rows);
    out.finish(&fold);
    out
}

/// Split over partitions by subject, and summed.
fn partitioned(events: &[Envelope], partitions: u64) -> Outcome {
    let mut folds: Vec<PartitionFold> = (0..partitions).map(|_| PartitionFold::new(settings())).collect();
    for e in events {
        let hash = e.subject.id().bytes().fold(7u64, |h, b| h.wrapping_mul(31) ^ u64::from(b));
        folds[(hash % partitions) as usize].apply(e.clone());
    }
    let mut out = Outcome::default();
    for mut fold in folds {
        out.add_rows(fold.take_changes().rows);
        out.finish(&fold);
    }
    out
}

/// Stopped, stored, loaded and gone on, several times; only what changed is stored, and closed calls are loaded when asked for.
fn restarted(events: &[Envelope], dice: &mut Dice) -> Outcome {
    let mut out = Outcome::default();
    let mut store: BTreeMap<CallId, Vec<u8>> = BTreeMap::new();
    let mut pasts = Pasts::new();
    let mut fold = PartitionFold::new(Settings { closed_kept: 2, ..Settings::default() });
    for batch in events.chunks(1 + dice.below(20) as usize) {
        let needed = fold.needs(batch);
        for subject in batch.iter().map(|e| &e.subject) {
            let looked_for = matches!(subject, model::Subject::Call(id) if needed.contains(id));
            assert_eq!(fold.holds(subject), !looked_for, "{subject}");
        }
        let needed = needed.into_iter().filter_map(|id| store.get(&id));
        fold.load_calls(needed.map(|b| Record::decode(b).unwrap()).collect::<Vec<_>>());
        batch.iter().for_each(|e| {
            fold.apply(e.clone());
        });
        let changes = fold.take_changes();
        store.extend(changes.calls.iter().map(|id| (id.clone(), fold.call(id).unwrap().encode())));
        out.add_rows(changes.rows);
        let agents = changes.agents.into_iter().map(model::Subject::Agent);
        for subject in agents.chain(changes.devices.into_iter().map(model::Subject::Device)) {
            let past = pasts.entry(subject.clone()).or_default();
            for piece in fold.take_past(&subject) {
                match piece.bytes {
                    Some(bytes) => past.insert(piece.number, bytes),
                    None => past.remove(&piece.number),
                };
            }
        }
        fold.evict_closed();
        if dice.once_in(4) {
            fold = reloaded(&fold, &store, &pasts, events);
        }
    }
    out.finish(&fold);
    out.calls.extend(store.into_iter().map(|(id, b)| (id, Record::decode(&b).unwrap())));
    out
}

/// Pieces of pasts, as they are stored.
type Pasts = BTreeMap<model::Subject, BTreeMap<u32, Vec<u8>>>;

fn reloaded(
    old: &PartitionFold,
    store: &BTreeMap<CallId, Vec<u8>>,
    pasts: &Pasts,
    events: &[Envelope],
) -> PartitionFold {
    use model::Subject as S;
    fn copy<T: serde::Serialize + serde::de::DeserializeOwned>(t: &T) -> T {
        serde_json::from_slice(&serde_json::to_vec(t).unwrap()).unwrap()
    }
    let mut new = PartitionFold::new(Settings { closed_kept: 2, ..Settings::default() });
    new.load_calls(store.values().map(|b| Record::decode(b).unwrap()).filter(|r| !r.closed));
    for e in events {
        let past = || pasts[&e.subject].iter().map(|(number, bytes)| (*number, bytes.as_slice())).collect();
        match &e.subject {
            S::Call(_) => {}
            S::Agent(id) => new.load_agents(old.agent(id).map(copy).map(|mut agent| {
                agent.restore(&past()).unwrap();
                agent
            })),
            S::Device(id) => new.load_devices(old.device(id).map(copy).map(|mut device| {
                device.restore(&past()).unwrap();
                device
            })),
            S::Queue(id) => new.load_queues(old.queue(id).map(copy)),
            S::Source(id) => new.load_sources(old.source(id).map(copy)),
        }
    }
    new
}

fn history(seed: u64, n: usize) -> Vec<Envelope> {
    let mut dice = Dice(seed);
    let mut events = calls(&mut dice, n, 2 * HOUR);
    events.extend(people(&mut dice, 3 * n, 2 * HOUR));
    if dice.once_in(3) {
        let steps = 40 + dice.below(60) as usize;
        events.extend(long_day(&mut dice, steps, 2 * HOUR));
    }
    spoil(&mut dice, &mut events);
    events
}

/// What is stored after the events up to `now`, with what lasts then.
fn seen_at(events: &[Envelope], now: Time) -> BTreeMap<RowKey, Row> {
    let mut fold = PartitionFold::new(settings());
    events.iter().take_while(|e| e.time <= now).for_each(|e| {
        fold.apply(e.clone());
    });
    let mut out = Outcome::default();
    out.add_rows(fold.take_changes().rows);
    let mut lasting = Rows::new(Grains::default());
    fold.views().iter().for_each(|v| overlay::of_view(v, |_| None, now, &mut lasting));
    out.add_rows(lasting.into_rows());
    out.rows
}

fn timed(t: &Tally) -> Tally {
    let mut out = Tally::new();
    for f in [
        Field::WaitOverlapMs,
        Field::TalkOverlapMs,
        Field::HoldOverlapMs,
        Field::Waiting,
        Field::InService,
        Field::ReadyMs,
    ]
    .into_iter()
    .chain([
        Field::StaffedMs,
        Field::NotReadyMs,
        Field::ReservedMs,
        Field::TalkingMs,
        Field::WrapUpStateMs,
        Field::UnknownMs,
    ]) {
        t.cells(f).for_each(|(sub, n)| out.add_cell(f, sub, n));
    }
    out
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn order_and_repetition_change_nothing(seed in any::<u64>(), n in 1usize..8) {
        let events = history(seed, n);
        prop_assert_eq!(folded(&events), disturbed(&events, &mut Dice(!seed)));
    }

    #[test]
    fn one_partition_or_sixty_four_give_the_same(seed in any::<u64>(), n in 1usize..12) {
        let events = history(seed, n);
        let one = folded(&events);
        for partitions in [1, 8, 64] {
            prop_assert_eq!(&one, &partitioned(&events, partitions));
        }
    }

    #[test]
    fn a_restart_at_any_point_changes_nothing(seed in any::<u64>(), n in 1usize..8) {
        let mut events = history(seed, n);
        let in_order = folded(&events);
        let mut dice = Dice(!seed);
        for _ in 0..events.len() / 4 {
            let i = dice.below(events.len() as u64 - 1) as usize;
            events.swap(i, i + 1);
        }
        for _ in 0..events.len() / 4 {
            let i = dice.below(events.len() as u64) as usize;
            let later = i + dice.below((events.len() - i) as u64 + 1) as usize;
            events.insert(later, events[i].clone());
        }
        let mut again = restarted(&events, &mut dice);
        again.rows.retain(|_, row| !row.is_zero());
        prop_assert_eq!(in_order, again);
    }

    #[test]
    fn what_is_stored_and_what_lasts_make_up_what_will_be_stored(seed in any::<u64>(), n in 1usize..8, later in 0i64..120_000) {
        let mut dice = Dice(seed);
        let mut events = calls(&mut dice, n, HOUR);
        events.extend(people(&mut dice, n, HOUR));
        events.sort_by_key(|e| e.time);
        let now = events[dice.below(events.len() as u64) as usize].time + later;
        let (then, last) = (seen_at(&events, now), events.last().unwrap().time);
        let at_the_end = seen_at(&events, last.max(now));
        let grains = Grains::default();
        for key in then.keys().chain(at_the_end.keys()).filter(|k| k.start + grains.of(k.dim) <= now) {
            let of = |rows: &BTreeMap<RowKey, Row>| rows.get(key).map(|r| timed(&r.event)).unwrap_or_default();
            prop_assert_eq!(of(&then), of(&at_the_end), "{:?} at {}", key, now);
        }
    }

    #[test]
    fn clipped_parts_sum_to_the_whole_and_nothing_lasts_at_the_end(seed in any::<u64>(), n in 1usize..12) {
        let events = calls(&mut Dice(seed), n, HOUR);
        let all = folded(&events);
        let tenant = Tally::sum(all.rows.iter().filter(|(k, _)| k.dim == Dim::Tenant).map(|(_, r)| &r.event));
        let stays = all.calls.values().flat_map(|r| &r.segments).filter(|s| s.queue.is_some());
        let (mut wait, mut talk, mut hold) = (0, 0, 0);
        for s in stays {
            wait += s.exit_at.unwrap().since(s.entered_at());
            talk += s.talk_ms.unwrap_or(0);
            hold += s.hold_ms;
        }
        let have = [Field::WaitOverlapMs, Field::TalkOverlapMs, Field::HoldOverlapMs].map(|f| tenant.get(f));
        prop_assert_eq!(have, [wait, talk, hold]);
        let queues = Tally::sum(all.rows.iter().filter(|(k, _)| k.dim == Dim::Queue).map(|(_, r)| &r.event));
        prop_assert_eq!(queues.get(Field::Offered), tenant.get(Field::Offered), "a tenant's offers are its queues'");
        prop_assert_eq!(tenant.get(Field::Calls), tenant.get(Field::CallsEnded));
        prop_assert!(all.views.is_empty(), "{:?}", all.views);
    }

    #[test]
    fn every_row_survives_its_compact_form_and_json(seed in any::<u64>()) {
        for row in folded(&history(seed, 4)).rows.values() {
            prop_assert_eq!(&Row::decode(&row.encode()).unwrap(), row);
            let json = serde_json::to_vec(row).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<Row>(&json).unwrap(), row);
        }
    }
}

#[test]
fn what_a_call_leaves_in_a_queue_it_takes_back() {
    let events = calls(&mut Dice(7), 30, HOUR);
    let (first, rest) = events.split_at(events.len() / 2);
    let mut fold = PartitionFold::new(settings());
    first.iter().for_each(|e| {
        fold.apply(e.clone());
    });
    fold.take_changes();
    let waits = |fold: &PartitionFold| -> i64 {
        fold.views().iter().map(|v| if let View::Queue(q) = v { q.waiting + q.talking + q.held } else { 0 }).sum()
    };
    let open: usize = fold.calls().map(|r| r.waiting().chain(r.talking()).filter(|s| s.queue.is_some()).count()).sum();
    assert!(open > 0, "some calls are open in the middle");
    assert_eq!(waits(&fold), open as i64);
    rest.iter().for_each(|e| {
        fold.apply(e.clone());
    });
    fold.take_changes();
    assert_eq!(waits(&fold), 0);
}

#[test]
fn made_up_histories_hold_everything_that_the_laws_are_about() {
    let mut sum = Tally::new();
    let (mut implied, mut void, mut ignored, mut late_points) = (0, 0, 0, 0);
    for seed in 0..60 {
        let events = history(seed, 6);
        let all = folded(&events);
        all.rows.values().for_each(|r| sum.plus(&r.event));
        for r in all.calls.values() {
            implied += r.segments.iter().filter(|s| s.exit_implied || s.release_implied).count();
            let ends = r.timeline().iter().filter(|e| matches!(e.event, model::Event::CallEnded(_))).count();
            void += usize::from(ends > 0 && !r.closed);
            ignored += r.ignored;
        }
        late_points += events.iter().filter(|e| e.quality == Some(model::Quality::Late)).count();
    }
    for f in [
        Field::Offered,
        Field::Answered,
        Field::Abandoned,
        Field::ShortAbandoned,
        Field::FlowOut,
        Field::Rona,
        Field::TransfersIn,
        Field::TransfersBlind,
        Field::TransfersAttended,
        Field::Consultations,
        Field::Holds,
        Field::HoldAbandons,
        Field::WrapUpMs,
        Field::IvrAbandoned,
        Field::IvrLeft,
        Field::Outbound,
        Field::DirectAnswered,
        Field::DirectAbandoned,
        Field::CsatCount,
        Field::ReadyMs,
        Field::Logins,
        Field::DeviceInUseMs,
        Field::GapMs,
        Field::Late,
        Field::Inferred,
        Field::Snapshot,
    ] {
        assert!(sum.total(f) > 0, "{} never happens", f.as_str());
    }
    assert!(sum.labels(Field::Diverted).count() > 0 && sum.labels(Field::NotReadyReasonMs).count() > 1);
    assert!(implied > 20 && void > 0 && ignored > 20 && late_points > 20, "{implied} {void} {ignored} {late_points}");
}
