//! Consumers: delivery, resuming, sharing, fencing.

use std::time::Duration;

use super::{
    Fixture, LEASE, Setup, breathe, call, drain, follow, numbered, reached, subscription, values, with_partitions,
};
use crate::{Commit, Consumer, Delivery, Error, Journal, Partition, Position, Start, Stream};

/// Calls all members in turn until nobody is told anything new, following what each holds.
async fn settle(members: &mut [(Box<dyn Consumer>, Vec<Partition>)]) {
    let mut quiet = 0;
    while quiet < 2 {
        quiet += 1;
        for (member, held) in members.iter_mut() {
            let told = drain(&mut **member).await;
            follow(held, &told);
            if told.iter().any(|delivery| !matches!(delivery, Delivery::Batch(_))) {
                quiet = 0;
            }
        }
    }
}

/// How many partitions each member holds; fails when one is held twice.
fn counts(members: &[(Box<dyn Consumer>, Vec<Partition>)]) -> Vec<usize> {
    let mut all: Vec<_> = members.iter().flat_map(|(_, held)| held).collect();
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "held twice: {all:?}");
    members.iter().map(|(_, held)| held.len()).collect()
}

async fn join(journal: &dyn Journal, name: &str) -> (Box<dyn Consumer>, Vec<Partition>) {
    (journal.subscribe(subscription("g", name)).await.unwrap(), Vec::new())
}

pub async fn a_consumer_reads_everything_in_order(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 3).await;
    let journal = &*fixture.journal;
    journal.append((0..200).map(|n| call(&format!("k{}", n % 7), &n.to_string())).collect()).await.unwrap();
    let mut consumer = journal.subscribe(subscription("g", "m").batch(9, 1 << 20)).await.unwrap();
    let told = drain(&mut *consumer).await;
    let all: Vec<_> = (0..3).map(|partition| (Stream::EventsCall, partition)).collect();
    assert_eq!(told[0], Delivery::Assigned(all), "the assignment comes before the first batch");
    for partition in 0..3 {
        let of_partition: Vec<_> =
            told.iter().filter(|d| matches!(d, Delivery::Batch(b) if b.partition == partition)).cloned().collect();
        let offsets = of_partition
            .iter()
            .flat_map(|d| if let Delivery::Batch(b) = d { b.records.clone() } else { vec![] })
            .map(|r| r.offset);
        assert!(
            offsets.eq(0..journal.end(Stream::EventsCall, partition).await.unwrap()),
            "every offset once, in order"
        );
    }
    assert_eq!(values(&told).len(), 200);
    assert!(told.iter().all(|d| !matches!(d, Delivery::Batch(b) if b.records.is_empty() || b.records.len() > 9)));
}

pub async fn a_consumer_waits_for_what_comes(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    let mut consumer = journal.subscribe(subscription("g", "m").poll(Duration::from_secs(30))).await.unwrap();
    assert!(matches!(consumer.next().await.unwrap(), Delivery::Assigned(_)));
    let (next, appended) = tokio::join!(consumer.next(), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        journal.append(vec![call("a", "1")]).await
    });
    appended.unwrap();
    assert_eq!(values(&[next.unwrap()]), ["1"]);
}

pub async fn an_idle_consumer_says_so(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, clock) = with_partitions(make, 1).await;
    let poll = Duration::from_millis(100);
    let mut consumer = fixture.journal.subscribe(subscription("g", "m").poll(poll)).await.unwrap();
    assert!(matches!(consumer.next().await.unwrap(), Delivery::Assigned(_)));
    for _ in 0..3 {
        let (next, ()) = tokio::join!(consumer.next(), clock.advance(poll));
        assert_eq!(next.unwrap(), Delivery::Idle, "again and again, so that its owner can tick");
    }
    let early = tokio::time::timeout(Duration::from_millis(20), consumer.next()).await;
    assert!(early.is_err(), "not before the poll time has passed");
}

pub async fn what_is_wanted_back_before_its_owner_heard_of_it_is_released(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 4).await;
    let journal = &*fixture.journal;
    let mut members = vec![join(journal, "a").await, join(journal, "b").await];
    settle(&mut members).await;
    assert_eq!(counts(&members), [2, 2]);
    // b dies and is back before a was asked for anything: all was a's for a moment.
    let (dead, _) = members.pop().unwrap();
    dead.close().await.unwrap();
    members.push(join(journal, "b").await);
    settle(&mut members).await;
    assert_eq!(counts(&members), [2, 2], "nothing is left with a member that does not know of it");
}

pub async fn a_consumer_resumes_where_it_committed(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 2).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::EventsCall, 0, 50)).await.unwrap();
    let mut consumer = journal.subscribe(subscription("g", "m")).await.unwrap();
    let told = drain(&mut *consumer).await;
    consumer.commit(reached(&told)).await.unwrap();
    consumer.close().await.unwrap();
    journal.append(numbered(Stream::EventsCall, 50, 60)).await.unwrap();
    let mut again = journal.subscribe(subscription("g", "m")).await.unwrap();
    let mut rest: Vec<usize> = values(&drain(&mut *again).await).iter().map(|value| value.parse().unwrap()).collect();
    rest.sort_unstable();
    assert_eq!(rest, (50..60).collect::<Vec<_>>());
}

pub async fn what_was_not_committed_is_read_again(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::EventsCall, 0, 10)).await.unwrap();
    for _ in 0..2 {
        let mut consumer = journal.subscribe(subscription("g", "m")).await.unwrap();
        assert_eq!(values(&drain(&mut *consumer).await).len(), 10);
        consumer.close().await.unwrap();
    }
}

pub async fn a_consumer_starts_where_it_is_told(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::EventsCall, 0, 5)).await.unwrap();
    let at = |offset| Position::new(Stream::EventsCall, 0, offset);
    journal
        .append_and_commit(Commit { group: "g".to_owned(), positions: vec![at(3)], ..Commit::default() })
        .await
        .unwrap();
    let cases = [
        (Start::Committed, 2),
        (Start::Earliest, 5),
        (Start::Latest, 0),
        (Start::At(vec![at(4)]), 1),
        (Start::At(vec![]), 5),
    ];
    for (start, expected) in cases {
        let mut consumer = journal.subscribe(subscription("g", "m").start(start.clone())).await.unwrap();
        assert_eq!(values(&drain(&mut *consumer).await).len(), expected, "{start:?}");
        consumer.close().await.unwrap();
    }
    let nowhere = Start::At(vec![Position::new(Stream::EventsCall, 1, 0)]);
    assert!(matches!(
        journal.subscribe(subscription("g", "m").start(nowhere)).await,
        Err(Error::NoSuchPartition { .. })
    ));
}

pub async fn an_owner_seeks_to_the_position_it_keeps(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::EventsCall, 0, 10)).await.unwrap();
    let mut consumer = journal.subscribe(subscription("g", "m")).await.unwrap();
    assert!(matches!(consumer.next().await.unwrap(), Delivery::Assigned(_)));
    consumer.seek(Position::new(Stream::EventsCall, 0, 8)).await.unwrap();
    assert_eq!(values(&drain(&mut *consumer).await), ["8", "9"]);
    consumer.seek(Position::new(Stream::EventsCall, 0, 7)).await.unwrap();
    assert_eq!(values(&drain(&mut *consumer).await), ["7", "8", "9"], "back, too");
    consumer.seek(Position::new(Stream::EventsCall, 0, 11)).await.unwrap();
    assert!(
        matches!(consumer.next().await, Err(Error::Beyond { from: 11, end: 10, .. })),
        "a position of another journal is noticed"
    );
}

pub async fn partitions_take_turns(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 4).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::EventsCall, 0, 400)).await.unwrap();
    let mut consumer = journal.subscribe(subscription("g", "m").batch(5, 1 << 20)).await.unwrap();
    assert!(matches!(consumer.next().await.unwrap(), Delivery::Assigned(_)));
    let mut turns = Vec::new();
    for _ in 0..8 {
        if let Delivery::Batch(batch) = consumer.next().await.unwrap() {
            turns.push(batch.partition);
        }
    }
    assert_eq!(turns, [0, 1, 2, 3, 0, 1, 2, 3]);
}

pub async fn two_groups_read_the_same(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 2).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::EventsCall, 0, 30)).await.unwrap();
    for group in ["aggregator", "audit"] {
        let mut consumer = journal.subscribe(subscription(group, "m")).await.unwrap();
        let told = drain(&mut *consumer).await;
        assert_eq!(values(&told).len(), 30);
        consumer.commit(reached(&told)).await.unwrap();
    }
}

pub async fn members_share_the_partitions_evenly(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 4).await;
    let journal = &*fixture.journal;
    let mut members = vec![join(journal, "a").await];
    settle(&mut members).await;
    assert_eq!(counts(&members), [4]);
    let before = members[0].0.generation();
    members.push(join(journal, "b").await);
    settle(&mut members).await;
    assert_eq!(counts(&members), [2, 2]);
    assert_eq!(members[0].1, [(Stream::EventsCall, 0), (Stream::EventsCall, 1)], "only what must move moves");
    assert!(members[0].0.generation().number > before.number, "generations grow");
    members.push(join(journal, "c").await);
    settle(&mut members).await;
    let mut shared = counts(&members);
    shared.sort_unstable();
    assert_eq!(shared, [1, 1, 2]);
    // Each record goes to exactly one of them.
    journal.append(numbered(Stream::EventsCall, 0, 40)).await.unwrap();
    let mut seen = Vec::new();
    for (member, _) in &mut members {
        seen.extend(values(&drain(&mut **member).await));
    }
    seen.sort_unstable();
    let mut expected: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

pub async fn no_partition_is_held_twice_while_members_come_and_go(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 5).await;
    let journal = &*fixture.journal;
    let mut dice = super::Dice(42);
    let mut members: Vec<(Box<dyn Consumer>, Vec<Partition>)> = Vec::new();
    for round in 0..30 {
        match dice.below(3) {
            0 if members.len() < 6 => members.push(join(journal, &format!("m{round}")).await),
            1 if members.len() > 1 => {
                let gone = dice.below(members.len());
                members.swap_remove(gone).0.close().await.unwrap();
            }
            _ => {}
        }
        for (member, held) in &mut members {
            // One step each, so that the handing over is seen half done.
            let told = member.next().await.unwrap();
            follow(held, &[told]);
        }
        counts(&members);
    }
    settle(&mut members).await;
    assert_eq!(counts(&members).iter().sum::<usize>(), 5, "in the end somebody holds each");
}

pub async fn a_member_that_leaves_hands_over_at_once(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 4).await;
    let journal = &*fixture.journal;
    let mut members = vec![join(journal, "a").await, join(journal, "b").await];
    settle(&mut members).await;
    members.remove(0).0.close().await.unwrap();
    settle(&mut members).await;
    assert_eq!(counts(&members), [4], "without any lease running out: the clock stood still");
}

pub async fn a_dropped_member_hands_over_at_once(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 4).await;
    let journal = &*fixture.journal;
    let mut members = vec![join(journal, "a").await, join(journal, "b").await];
    settle(&mut members).await;
    drop(members.remove(0));
    // The leave travels by itself.
    for _ in 0..2_000 {
        settle(&mut members).await;
        if counts(&members) == [4] {
            return;
        }
        breathe().await;
    }
    panic!("the heir holds {:?}", counts(&members));
}

pub async fn a_member_that_stops_calling_is_fenced(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, clock) = with_partitions(make, 2).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::EventsCall, 0, 20)).await.unwrap();
    let mut members = vec![join(journal, "a").await, join(journal, "b").await];
    settle(&mut members).await;
    let (mut stuck, held) = members.remove(0);
    let (stream, partition) = held[0];
    clock.advance(LEASE * 30).await;
    for _ in 0..2_000 {
        settle(&mut members).await;
        if members[0].1.len() == 2 {
            break;
        }
        breathe().await;
    }
    assert_eq!(counts(&members), [2], "the living one takes over");
    let fence = Some(stuck.generation());
    let late = Commit {
        entries: vec![call("late", "1")],
        group: "g".to_owned(),
        positions: vec![Position::new(stream, partition, 1)],
        state: vec![],
        fence,
    };
    let refused = journal.append_and_commit(late).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
    assert!(matches!(stuck.commit(vec![Position::new(stream, partition, 1)]).await, Err(Error::Fenced { .. })));
    assert_eq!(journal.committed("g").await.unwrap(), [], "nothing of it was written");
    // It is told what it lost, and comes in again by itself.
    assert_eq!(stuck.next().await.unwrap(), Delivery::Revoked(held));
    members.push((stuck, Vec::new()));
    settle(&mut members).await;
    assert_eq!(counts(&members), [1, 1]);
}

pub async fn a_newer_member_of_the_same_name_takes_the_place(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 2).await;
    let journal = &*fixture.journal;
    let mut old = join(journal, "same").await;
    follow(&mut old.1, &drain(&mut *old.0).await);
    let mut new = vec![join(journal, "same").await];
    settle(&mut new).await;
    assert_eq!(counts(&new), [2], "at once");
    for _ in 0..2 {
        assert!(matches!(old.0.next().await, Err(Error::Fenced { .. })), "for good");
    }
    assert!(matches!(old.0.commit(vec![]).await, Err(Error::Fenced { .. })));
    drop(old);
    settle(&mut new).await;
    assert_eq!(counts(&new), [2], "the heir is not disturbed");
}

pub async fn a_revoked_partition_can_be_committed_until_it_is_handed_over(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 2).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::EventsCall, 0, 20)).await.unwrap();
    let mut first = join(journal, "a").await;
    let told = drain(&mut *first.0).await;
    let mut second = join(journal, "b").await;
    let Delivery::Revoked(gone) = first.0.next().await.unwrap() else { panic!("the second member gets its share") };
    assert_eq!(drain(&mut *second.0).await, [], "not before the first let go");
    let of_gone: Vec<_> = reached(&told).into_iter().filter(|position| gone.contains(&position.partition())).collect();
    first.0.commit(of_gone.clone()).await.unwrap();
    assert_eq!(first.0.next().await.unwrap(), Delivery::Idle);
    assert!(matches!(first.0.commit(of_gone.clone()).await, Err(Error::Fenced { .. })), "handed over");
    let told = drain(&mut *second.0).await;
    assert_eq!(told, [Delivery::Assigned(gone)], "and the heir begins after what was committed: {of_gone:?}");
}
