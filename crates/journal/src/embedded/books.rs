//! The journal's books: heads, groups, positions and state, each row sealed.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::file::{fault, int, num};
use super::seal;
use crate::contract::{Partition, Position};
use crate::group::Group;
use crate::{Error, Result, Stream, Topology};

/// The end of one partition and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) slot: i64,
    pub(crate) stream: Stream,
    pub(crate) partition: u32,
    pub(crate) earliest: u64,
    pub(crate) end: u64,
    /// How many records are kept; fewer than `end - earliest` only on a compacted stream.
    pub(crate) records: u64,
    /// Bytes of keys and values kept.
    pub(crate) bytes: u64,
}

impl Head {
    const COLUMNS: &'static str = "slot, stream, part, earliest, end, records, bytes, x";

    fn seal(&self) -> i64 {
        let numbers =
            [self.slot.cast_unsigned(), u64::from(self.partition), self.earliest, self.end, self.records, self.bytes];
        seal::row(&[self.stream.name().as_bytes(), &numbers.map(u64::to_le_bytes).concat()])
    }

    fn of(row: &Row<'_>) -> Result<Self> {
        let what = |slot: i64| format!("head {slot}");
        let slot = row.get(0).map_err(fault)?;
        let read = || {
            let name: String = row.get(1)?;
            Ok((name, row.get(2)?, num(row, 3)?, num(row, 4)?, num(row, 5)?, num(row, 6)?, row.get::<_, i64>(7)?))
        };
        let (name, partition, earliest, end, records, bytes, x) =
            read().map_err(|e: rusqlite::Error| Error::Corrupt { what: what(slot), reason: e.to_string() })?;
        let stream = name.parse::<Stream>().map_err(|e| Error::Corrupt { what: what(slot), reason: e.to_string() })?;
        let head = Self { slot, stream, partition, earliest, end, records, bytes };
        if head.seal() == x {
            Ok(head)
        } else {
            Err(Error::Corrupt { what: what(slot), reason: "its checksum does not match".to_owned() })
        }
    }

    pub(crate) fn load(conn: &Connection, slot: i64) -> Result<Self> {
        let mut query =
            conn.prepare_cached(&format!("SELECT {} FROM head WHERE slot = ?1", Self::COLUMNS)).map_err(fault)?;
        let mut rows = query.query([slot]).map_err(fault)?;
        match rows.next().map_err(fault)? {
            Some(row) => Self::of(row),
            None => Err(Error::Corrupt { what: format!("head {slot}"), reason: "it is missing".to_owned() }),
        }
    }

    pub(crate) fn load_all(conn: &Connection) -> Result<Vec<Self>> {
        let mut query = conn
            .prepare_cached(&format!("SELECT {} FROM head WHERE slot >= 0 ORDER BY slot", Self::COLUMNS))
            .map_err(fault)?;
        let mut rows = query.query([]).map_err(fault)?;
        let mut heads = Vec::new();
        while let Some(row) = rows.next().map_err(fault)? {
            heads.push(Self::of(row)?);
        }
        Ok(heads)
    }

    pub(crate) fn save(&self, conn: &Connection) -> Result<()> {
        let sql = format!("INSERT OR REPLACE INTO head ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", Self::COLUMNS);
        let row = params![
            self.slot,
            self.stream.name(),
            self.partition,
            int(self.earliest),
            int(self.end),
            int(self.records),
            int(self.bytes),
            self.seal()
        ];
        conn.prepare_cached(&sql).and_then(|mut insert| insert.execute(row)).map_err(fault)?;
        Ok(())
    }
}

/// The row of the heads that counts transactions: on the page that every append writes anyway, so that counting costs no page.
const COUNTER: i64 = -1;

fn seal_counter(commits: u64) -> i64 {
    seal::row(&[b"commits", &commits.to_le_bytes()])
}

/// The number of the last transaction; 0 in a journal that was never written to, or by a version that did not count.
pub(crate) fn commits(conn: &Connection) -> Result<u64> {
    let mut query = conn.prepare_cached("SELECT end, x FROM head WHERE slot = ?1").map_err(fault)?;
    let row = query.query_row([COUNTER], |row| Ok((num(row, 0)?, row.get::<_, i64>(1)?)));
    let found = row.optional().map_err(fault)?;
    match found {
        None => Ok(0),
        Some((commits, x)) if seal_counter(commits) == x => Ok(commits),
        Some(_) => Err(corrupt("count of transactions")),
    }
}

/// Keeps the number of the transaction under way.
pub(crate) fn save_commits(conn: &Connection, commits: u64) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO head (slot, stream, part, earliest, end, records, bytes, x) \
               VALUES (?1, 'commits', 0, 0, ?2, 0, 0, ?3)";
    let row = params![COUNTER, int(commits), seal_counter(commits)];
    conn.prepare_cached(sql).and_then(|mut insert| insert.execute(row)).map_err(fault)?;
    Ok(())
}

/// Which slot of the file a partition has. Slots are given at creation and never change.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    by_partition: HashMap<Partition, i64>,
    partitions: Vec<Partition>,
}

impl Slots {
    /// Reads the slots, and refuses a topology that is not the journal's.
    pub(crate) fn load(conn: &Connection, topology: &Topology) -> Result<Self> {
        let heads = Head::load_all(conn)?;
        let mut counts: BTreeMap<Stream, u32> = BTreeMap::new();
        for (slot, head) in heads.iter().enumerate() {
            if head.slot != i64::try_from(slot).unwrap_or(-1) {
                return Err(Error::Corrupt { what: format!("head {slot}"), reason: "it is missing".to_owned() });
            }
            *counts.entry(head.stream).or_default() += 1;
        }
        for stream in Stream::ALL {
            let (found, wanted) = (counts.get(&stream).copied().unwrap_or(0), topology.partitions(stream));
            if found != wanted {
                return Err(Error::Topology { stream, found, wanted });
            }
        }
        let partitions: Vec<_> = heads.iter().map(|head| (head.stream, head.partition)).collect();
        Ok(Self {
            by_partition: heads.iter().map(|head| ((head.stream, head.partition), head.slot)).collect(),
            partitions,
        })
    }

    pub(crate) fn slot(&self, (stream, partition): Partition) -> Result<i64> {
        let partitions =
            u32::try_from(self.partitions.iter().filter(|(of, _)| *of == stream).count()).unwrap_or(u32::MAX);
        self.by_partition.get(&(stream, partition)).copied().ok_or(Error::NoSuchPartition {
            stream,
            partition,
            partitions,
        })
    }

    pub(crate) fn partition(&self, slot: i64) -> Option<Partition> {
        usize::try_from(slot).ok().and_then(|slot| self.partitions.get(slot)).copied()
    }

    pub(crate) fn all(&self) -> &[Partition] {
        &self.partitions
    }
}

fn corrupt(what: impl Into<String>) -> Error {
    Error::Corrupt { what: what.into(), reason: "its checksum does not match".to_owned() }
}

/// A group as it is kept; an empty one when it is new.
pub(crate) fn load_group(conn: &Connection, name: &str) -> Result<Group> {
    let mut query = conn.prepare_cached("SELECT body, x FROM grp WHERE name = ?1").map_err(fault)?;
    let found: Option<(String, i64)> =
        query.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(fault)?;
    let Some((body, x)) = found else { return Ok(Group::default()) };
    if seal::row(&[name.as_bytes(), body.as_bytes()]) != x {
        return Err(corrupt(format!("group {name:?}")));
    }
    serde_json::from_str(&body).map_err(|e| Error::Corrupt { what: format!("group {name:?}"), reason: e.to_string() })
}

/// Keeps a group.
pub(crate) fn save_group(conn: &Connection, name: &str, group: &Group) -> Result<()> {
    let body = serde_json::to_string(group).map_err(|e| Error::Storage(e.to_string()))?;
    let x = seal::row(&[name.as_bytes(), body.as_bytes()]);
    let sql = "INSERT OR REPLACE INTO grp (name, generation, body, x) VALUES (?1, ?2, ?3, ?4)";
    conn.prepare_cached(sql)
        .and_then(|mut insert| insert.execute(params![name, int(group.generation()), body, x]))
        .map_err(fault)?;
    Ok(())
}

/// The generations of all groups.
pub(crate) fn generations(conn: &Connection) -> Result<Vec<(String, u64)>> {
    let mut query = conn.prepare_cached("SELECT name, generation FROM grp").map_err(fault)?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, num(row, 1)?))).map_err(fault)?;
    rows.collect::<rusqlite::Result<_>>().map_err(fault)
}

fn seal_position(group: &str, slot: i64, offset: u64) -> i64 {
    seal::row(&[group.as_bytes(), &slot.to_le_bytes(), &offset.to_le_bytes()])
}

/// Keeps how far a group has read.
pub(crate) fn save_position(conn: &Connection, group: &str, slot: i64, offset: u64) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO position (grp, slot, o, x) VALUES (?1, ?2, ?3, ?4)";
    let row = params![group, slot, int(offset), seal_position(group, slot, offset)];
    conn.prepare_cached(sql).and_then(|mut insert| insert.execute(row)).map_err(fault)?;
    Ok(())
}

/// How far a group has read.
pub(crate) fn positions(conn: &Connection, group: &str, slots: &Slots) -> Result<Vec<Position>> {
    let mut query =
        conn.prepare_cached("SELECT slot, o, x FROM position WHERE grp = ?1 ORDER BY slot").map_err(fault)?;
    let mut rows = query.query([group]).map_err(fault)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        let (slot, offset, x): (i64, u64, i64) =
            (row.get(0).map_err(fault)?, num(row, 1).map_err(fault)?, row.get(2).map_err(fault)?);
        let place = slots.partition(slot).filter(|_| seal_position(group, slot, offset) == x);
        let (stream, partition) =
            place.ok_or_else(|| corrupt(format!("position of group {group:?} in slot {slot}")))?;
        found.push(Position { stream, partition, offset });
    }
    Ok(found)
}

/// How far the group is that has read least of a slot; `None` where no group keeps a position.
pub(crate) fn least_position(conn: &Connection, slot: i64) -> Result<Option<u64>> {
    let mut query = conn.prepare_cached("SELECT grp, o, x FROM position WHERE slot = ?1").map_err(fault)?;
    let mut rows = query.query([slot]).map_err(fault)?;
    let mut least = None;
    while let Some(row) = rows.next().map_err(fault)? {
        let (group, offset): (String, u64) = (row.get(0).map_err(fault)?, num(row, 1).map_err(fault)?);
        if seal_position(&group, slot, offset) != row.get::<_, i64>(2).map_err(fault)? {
            return Err(corrupt(format!("position of group {group:?} in slot {slot}")));
        }
        least = Some(least.map_or(offset, |least: u64| least.min(offset)));
    }
    Ok(least)
}

/// Keeps or removes a piece of a group's state.
pub(crate) fn save_state(conn: &Connection, group: &str, key: &[u8], value: Option<&Bytes>) -> Result<()> {
    let done = match value {
        Some(value) => {
            let x = seal::row(&[group.as_bytes(), key, value]);
            let sql = "INSERT OR REPLACE INTO state (grp, k, v, x) VALUES (?1, ?2, ?3, ?4)";
            conn.prepare_cached(sql).and_then(|mut insert| insert.execute(params![group, key, &value[..], x]))
        }
        None => conn
            .prepare_cached("DELETE FROM state WHERE grp = ?1 AND k = ?2")
            .and_then(|mut delete| delete.execute(params![group, key])),
    };
    done.map(|_| ()).map_err(fault)
}

/// A group's state under a prefix. Keys are compared as bytes, in SQLite as here.
pub(crate) fn state(conn: &Connection, group: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>> {
    let mut query =
        conn.prepare_cached("SELECT k, v, x FROM state WHERE grp = ?1 AND k >= ?2 ORDER BY k").map_err(fault)?;
    let mut rows = query.query(params![group, prefix]).map_err(fault)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        let (key, value): (Vec<u8>, Vec<u8>) = (row.get(0).map_err(fault)?, row.get(1).map_err(fault)?);
        let x: i64 = row.get(2).map_err(fault)?;
        // Checked before the prefix: a damaged key must not end the search early.
        if seal::row(&[group.as_bytes(), &key, &value]) != x {
            return Err(corrupt(format!("state of group {group:?}")));
        }
        if !key.starts_with(prefix) {
            break;
        }
        found.push((key.into(), value.into()));
    }
    Ok(found)
}

/// Checks the seals of every position, state and group row, and names those that do not fit.
pub(crate) fn audit(conn: &Connection, slots: &Slots) -> Result<Vec<String>> {
    let names = |table: &str| -> Result<Vec<String>> {
        let column = if table == "grp" { "name" } else { "grp" };
        let mut query = conn.prepare(&format!("SELECT DISTINCT {column} FROM {table}")).map_err(fault)?;
        let rows = query.query_map([], |row| row.get(0)).map_err(fault)?;
        rows.collect::<rusqlite::Result<_>>().map_err(fault)
    };
    let mut faults = Vec::new();
    let mut note = |checked: Result<()>| faults.extend(checked.err().map(|e| e.to_string()));
    note(names("grp").and_then(|all| all.iter().try_for_each(|name| load_group(conn, name).map(|_| ()))));
    note(names("position").and_then(|all| all.iter().try_for_each(|name| positions(conn, name, slots).map(|_| ()))));
    note(names("state").and_then(|all| all.iter().try_for_each(|name| state(conn, name, b"").map(|_| ()))));
    Ok(faults)
}
