//! Hard phones: which desk phones ring for which queue when the platform does not answer, kept in the PBX ahead of need.
//!
//! What it is: the map is worked out of the live views ([`map`], pure), settles ([`settle`]), is held against what stands in the PBX's own
//! database ([`compare`]) and written there where it changed ([`astdb`], `push.rs`), with the switches of queues that a person ordered to
//! their hard phones. `tidegate drill` shows and tries all of it ([`drill`]). What it is not: needed in the moment of failure. The dialplan
//! reads its own database, and falls back by its own deadline (`deploy/asterisk`).
//!
//! - **Invariant:** the same views give the same map. Several gates would write the same; only one writes.
//! - **Invariant:** what somebody wrote by hand is told and stays, unless the configuration says otherwise.
//! - **Invariant:** a switch is taken back only by whom it was set: a note beside it says who that was.
//! - **Invariant:** nothing reaches the PBX that is not a plain name: keys and phones are checked before, line ends refused behind that.
//!
//! Why the PBX's database and not a file: `docs/adr/0020`.

pub mod astdb;
pub mod compare;
mod config;
pub mod drill;
pub mod map;
mod push;
pub mod settle;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use ami::Fault;
use ami::link::Link;
use journal::{Journal, Stream};
use model::{DeviceId, Time};
use serde::Serialize;
use stats::live::View;

pub use config::Config;
pub(crate) use push::{Follow, Shared};
pub use status::Status;

use astdb::{ON, PHONES, SWITCH};
use compare::Row;

use crate::live::Queues;

/// What a PBX holds against what it shall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Desk phones, by queue.
    pub phones: Vec<Row>,
    /// Switches, by queue.
    pub switches: Vec<Row>,
}

impl Diff {
    /// Entries that somebody changed by hand, and which shall be otherwise.
    pub fn by_hand(&self) -> impl Iterator<Item = &Row> {
        self.phones.iter().chain(&self.switches).filter(|row| row.standing == compare::Standing::ByHand)
    }

    /// Whether the phones are as they shall be.
    pub fn is_even(&self) -> bool {
        let even = |row: &Row| matches!(row.standing, compare::Standing::Same | compare::Standing::Foreign);
        self.phones.iter().all(even)
    }
}

/// What a PBX shall hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Desk phones, by queue.
    pub phones: BTreeMap<String, String>,
    /// Queues that a person ordered to their hard phones.
    pub switched: BTreeSet<String>,
}

impl Wanted {
    fn switches(&self) -> BTreeMap<String, String> {
        self.switched.iter().map(|queue| (queue.clone(), ON.to_owned())).collect()
    }
}

/// Reads what is there and compares it; changes nothing.
///
/// # Errors
/// When the link breaks, or the user may not read.
pub async fn look(link: &mut Link, wanted: &Wanted) -> Result<Diff, Fault> {
    let queues = wanted.phones.keys().chain(&wanted.switched).cloned().collect();
    let held = astdb::read(link, &queues).await?;
    let of = |family: &'static str, wanted: &BTreeMap<String, String>| {
        compare::compare(wanted, &held.of(family), &held.notes(family))
    };
    Ok(Diff { phones: of(PHONES, &wanted.phones), switches: of(SWITCH, &wanted.switches()) })
}

/// Reads, compares, and writes what has to be; then reads again, so that what it says is what is there.
///
/// # Errors
/// As [`look`], and when the user may not write.
pub async fn bring(link: &mut Link, wanted: &Wanted, overwrite: bool) -> Result<(Diff, usize), Fault> {
    let diff = look(link, wanted).await?;
    let phones = compare::changes(&diff.phones, overwrite);
    // a switch that somebody set by hand is theirs, whatever is configured
    let switches = compare::changes(&diff.switches, false);
    if phones.is_empty() && switches.is_empty() {
        return Ok((diff, 0));
    }
    astdb::change(link, SWITCH, &switches).await?;
    astdb::change(link, PHONES, &phones).await?;
    Ok((look(link, wanted).await?, phones.len() + switches.len()))
}

/// The map of everything that the stream `views` holds.
pub(crate) fn map_of(views: &[View], now: Time, config: &Config) -> map::Map {
    let bounds = map::Bounds { phones: config.phones_max, rounds: config.rounds_max };
    map::of_views(views, now, bounds)
}

/// The phones of a queue's text, round by round.
pub fn phones_of(text: &str) -> Vec<Vec<DeviceId>> {
    text.split('|')
        .map(|round| round.split('&').filter(|phone| !phone.is_empty()).map(DeviceId::new).collect())
        .collect()
}

/// The map of what a journal holds, and of when: for whoever asks without a gate.
///
/// # Errors
/// When the journal cannot be read.
pub async fn map_of_journal(journal: &dyn Journal, now: Time, config: &Config) -> journal::Result<Option<map::Map>> {
    let mut queues = Queues::default();
    for partition in 0..journal.partitions(Stream::Views) {
        let mut next = journal.earliest(Stream::Views, partition).await?;
        let end = journal.end(Stream::Views, partition).await?;
        while next < end {
            match journal.read(Stream::Views, partition, next, 5_000, 8 << 20).await {
                Ok(batch) => {
                    batch.records.iter().for_each(|record| queues.take(&record.key, &record.value));
                    next = batch.next.max(next + 1);
                }
                Err(journal::Error::Truncated { earliest, .. }) => next = earliest,
                Err(journal::Error::Damaged { offset, .. }) => next = offset + 1,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(queues.is_whole().then(|| map_of(&queues.people(), now, config)))
}
