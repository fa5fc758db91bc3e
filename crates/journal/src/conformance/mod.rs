//! What every journal must do, as tests. An implementation runs them all with one line, [`crate::conformance!`], naming a function that
//! makes an empty journal from a [`Setup`].
//!
//! Durability is not here: it takes processes that are killed and files that are damaged, and so belongs to the tests of each implementation.

#![allow(missing_docs, reason = "the names of the cases are sentences; they say what is promised")]
#![allow(clippy::disallowed_methods, reason = "the suite waits for threads and processes, and these live in real time")]
#![allow(clippy::missing_panics_doc, reason = "each case panics when the promise is broken")]

pub mod appending;
pub mod committing;
pub mod groups;
pub mod reading;
pub mod upkeep;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use service::Clock;

use crate::{Batch, Consumer, Delivery, Entry, Journal, Partition, Position, Record, Stream, Subscription, Topology};

/// How a case wants its journal.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The partitions.
    pub topology: Topology,
    /// A clock that the case moves.
    pub clock: Clock,
    /// How long after its last sign of life a member loses its partitions, at most.
    pub lease: Duration,
}

/// An empty journal, and whatever must live as long as it (a directory, a server).
pub struct Fixture {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Dropped after the journal.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// Makes one `#[tokio::test]` of every case, each with a new journal from the named `async fn(Setup) -> Fixture`.
#[macro_export]
macro_rules! conformance {
    ($make:path) => {
        $crate::conformance_cases! { $make,
            appending: offsets_start_at_zero_and_grow_by_one,
            appending: a_key_always_goes_to_the_same_partition,
            appending: what_is_told_of_one_partition_lies_in_one_and_stays_in_order,
            appending: one_call_keeps_the_order_of_its_entries,
            appending: concurrent_calls_keep_the_order_of_each_key,
            appending: concurrent_calls_are_not_interleaved_within_a_partition,
            appending: an_empty_call_is_answered,
            appending: what_is_too_large_is_refused_whole,
            appending: a_dropped_append_harms_nobody,
            appending: a_closed_journal_says_so,
            reading: every_byte_comes_back,
            reading: a_batch_keeps_to_its_limits,
            reading: the_end_is_empty_and_beyond_it_is_an_error,
            reading: a_missing_partition_is_named,
            reading: a_wait_ends_when_the_record_is_there,
            reading: records_carry_the_time_at_which_they_were_taken,
            committing: a_group_remembers_its_positions,
            committing: entries_positions_and_state_change_together,
            committing: state_is_found_by_prefix_in_order_of_key,
            committing: a_position_beyond_the_end_is_refused_whole,
            committing: a_commit_of_a_stranger_is_refused_whole,
            groups: a_consumer_reads_everything_in_order,
            groups: a_consumer_waits_for_what_comes,
            groups: an_idle_consumer_says_so,
            groups: what_is_wanted_back_before_its_owner_heard_of_it_is_released,
            groups: a_consumer_resumes_where_it_committed,
            groups: what_was_not_committed_is_read_again,
            groups: a_consumer_starts_where_it_is_told,
            groups: an_owner_seeks_to_the_position_it_keeps,
            groups: partitions_take_turns,
            groups: two_groups_read_the_same,
            groups: members_share_the_partitions_evenly,
            groups: no_partition_is_held_twice_while_members_come_and_go,
            groups: a_member_that_leaves_hands_over_at_once,
            groups: a_dropped_member_hands_over_at_once,
            groups: a_member_that_stops_calling_is_fenced,
            groups: a_newer_member_of_the_same_name_takes_the_place,
            groups: a_revoked_partition_can_be_committed_until_it_is_handed_over,
            upkeep: retention_by_count_age_and_size,
            upkeep: what_a_group_has_not_read_yet_stays,
            upkeep: a_reader_of_what_is_gone_is_told_where_to_go_on,
            upkeep: compaction_keeps_the_latest_of_each_key,
            upkeep: a_tombstone_removes_its_key_and_later_itself,
            upkeep: compaction_leaves_other_streams_alone,
            upkeep: a_sound_journal_is_found_sound,
        }
    };
}

/// One test per case; used by [`conformance!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($make:path, $($module:ident : $case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::conformance::$module::$case($make).await;
            }
        )*
    };
}

/// When all clocks of the suite start.
const START_MS: i64 = 1_700_000_000_000;
/// The lease of the suite's members.
const LEASE: Duration = Duration::from_secs(3);

/// A journal with `partitions` partitions of every stream, and its clock.
async fn with_partitions(make: impl AsyncFn(Setup) -> Fixture, partitions: u32) -> (Fixture, Clock) {
    let clock = Clock::manual(START_MS);
    (make(Setup { topology: Topology::uniform(partitions), clock: clock.clone(), lease: LEASE }).await, clock)
}

fn call(key: &str, value: &str) -> Entry {
    Entry::new(Stream::EventsCall, key.to_owned(), value.to_owned())
}

/// The entries `from..to`, each under a key of its own, with their number as value.
fn numbered(stream: Stream, from: usize, to: usize) -> Vec<Entry> {
    (from..to).map(|n| Entry::new(stream, format!("key-{n}"), n.to_string())).collect()
}

fn text(record: &Record) -> (String, String) {
    (String::from_utf8_lossy(&record.key).into_owned(), String::from_utf8_lossy(&record.value).into_owned())
}

/// Everything in a partition, read in small batches.
async fn all_of(journal: &dyn Journal, stream: Stream, partition: u32) -> Vec<Record> {
    let mut from = journal.earliest(stream, partition).await.unwrap();
    let mut records = Vec::new();
    while from < journal.end(stream, partition).await.unwrap() {
        let Batch { records: more, next, .. } = journal.read(stream, partition, from, 7, 1 << 20).await.unwrap();
        assert!(next > from, "a read before the end moves on");
        records.extend(more);
        from = next;
    }
    records
}

fn subscription(group: &str, member: &str) -> Subscription {
    Subscription::new(group, member, [Stream::EventsCall]).poll(Duration::ZERO)
}

/// Lets other threads of the implementation do what nobody waits for.
async fn breathe() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Calls `next` until it is idle, and says what came.
async fn drain(consumer: &mut dyn Consumer) -> Vec<Delivery> {
    let mut all = Vec::new();
    loop {
        match consumer.next().await.unwrap() {
            Delivery::Idle => return all,
            other => all.push(other),
        }
    }
}

/// The records among the deliveries, by partition.
fn values(deliveries: &[Delivery]) -> Vec<String> {
    let batches =
        deliveries.iter().filter_map(|delivery| if let Delivery::Batch(batch) = delivery { Some(batch) } else { None });
    batches.flat_map(|batch| batch.records.iter().map(|record| text(record).1)).collect()
}

/// The last position of each partition among the deliveries.
fn reached(deliveries: &[Delivery]) -> Vec<Position> {
    let mut reached: Vec<Position> = Vec::new();
    for delivery in deliveries {
        if let Delivery::Batch(batch) = delivery {
            reached.retain(|known| known.partition() != batch.position().partition());
            reached.push(batch.position());
        }
    }
    reached
}

/// Follows what a member is told that it holds.
fn follow(held: &mut Vec<Partition>, deliveries: &[Delivery]) {
    for delivery in deliveries {
        match delivery {
            Delivery::Assigned(partitions) => {
                assert!(partitions.iter().all(|partition| !held.contains(partition)), "assigned twice: {partitions:?}");
                held.extend(partitions);
            }
            Delivery::Revoked(partitions) => {
                assert!(
                    partitions.iter().all(|partition| held.contains(partition)),
                    "revoked what it did not hold: {partitions:?}"
                );
                held.retain(|partition| !partitions.contains(partition));
            }
            Delivery::Batch(batch) => {
                assert!(held.contains(&(batch.stream, batch.partition)), "a batch of a partition it does not hold")
            }
            Delivery::Idle => {}
        }
    }
}

/// A small seeded source of numbers, so that a failing case can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = xxhash_rust::xxh3::xxh3_64(&self.0.to_le_bytes());
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }
}
