//! One write transaction: the work of many callers, applied in order to the books and written together.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};

use super::books::{self, Head, Slots};
use super::file::{fault, int, num};
use super::seal;
use crate::contract::{Commit, Entry, Partition, Position, Retention, place};
use crate::group::{Group, Standing, Step};
use crate::{Error, Result, Topology};

/// The most rows that one step of maintenance removes, so that appends never wait long behind it.
pub(crate) const SWEEP_ROWS: u32 = 2_000;

/// The books of one transaction, read when first needed and written at its end.
pub(crate) struct Ledger<'a> {
    conn: &'a Connection,
    slots: &'a Slots,
    topology: &'a Topology,
    now_ms: i64,
    lease_ms: i64,
    heads: BTreeMap<i64, (Head, Head)>,
    groups: BTreeMap<String, (Group, Group)>,
}

/// What a transaction moved, for those who wait.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    pub(crate) ends: Vec<(Partition, u64)>,
    pub(crate) generations: Vec<(String, u64)>,
    pub(crate) appended: HashMap<crate::Stream, u64>,
    /// The number of the transaction.
    pub(crate) commit: u64,
}

impl<'a> Ledger<'a> {
    pub(crate) const fn new(
        conn: &'a Connection,
        slots: &'a Slots,
        topology: &'a Topology,
        now_ms: i64,
        lease_ms: i64,
    ) -> Self {
        Self { conn, slots, topology, now_ms, lease_ms, heads: BTreeMap::new(), groups: BTreeMap::new() }
    }

    fn head(&mut self, slot: i64) -> Result<&mut Head> {
        let conn = self.conn;
        let entry = match self.heads.entry(slot) {
            std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
            std::collections::btree_map::Entry::Vacant(empty) => {
                let head = Head::load(conn, slot)?;
                empty.insert((head.clone(), head))
            }
        };
        Ok(&mut entry.1)
    }

    fn group(&mut self, name: &str) -> Result<&mut Group> {
        if !self.groups.contains_key(name) {
            let group = books::load_group(self.conn, name)?;
            self.groups.insert(name.to_owned(), (group.clone(), group));
        }
        Ok(&mut self.groups.entry(name.to_owned()).or_default().1)
    }

    /// Appends, moves positions, changes state. A refusal comes before anything is changed.
    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<Vec<Position>> {
        self.admit(commit)?;
        let mut answers = Vec::with_capacity(commit.entries.len());
        for entry in &commit.entries {
            answers.push(self.append(entry)?);
        }
        for position in &commit.positions {
            let slot = self.slots.slot(position.partition())?;
            books::save_position(self.conn, &commit.group, slot, position.offset)?;
        }
        for (key, value) in &commit.state {
            books::save_state(self.conn, &commit.group, key, value.as_ref())?;
        }
        Ok(answers)
    }

    fn admit(&mut self, commit: &Commit) -> Result<()> {
        if let Some(fence) = commit.fence {
            let group = self.group(&commit.group)?;
            let fenced = |what: String| Error::Fenced { group: commit.group.clone(), member: fence.member, what };
            if !group.contains(fence.member) {
                return Err(fenced("its membership".to_owned()));
            }
            if let Some(lost) = commit.positions.iter().find(|at| !group.holds(fence.member, at.partition())) {
                return Err(fenced(format!("{}/{}", lost.stream, lost.partition)));
            }
        }
        for position in &commit.positions {
            let Position { stream, partition, offset } = *position;
            let slot = self.slots.slot((stream, partition))?;
            let end = self.head(slot)?.end;
            if offset > end {
                return Err(Error::Beyond { stream, partition, from: offset, end });
            }
        }
        Ok(())
    }

    fn append(&mut self, entry: &Entry) -> Result<Position> {
        let partition = place(entry.stream, &entry.key, self.topology.partitions(entry.stream));
        let (conn, now_ms) = (self.conn, self.now_ms);
        let slot = self.slots.slot((entry.stream, partition))?;
        let head = self.head(slot)?;
        let offset = head.end;
        let x = seal::record(entry.stream, partition, offset, now_ms, &entry.key, &entry.value);
        let sql = "INSERT INTO record (slot, o, at, k, v, x) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let row = params![slot, int(offset), now_ms, &entry.key[..], &entry.value[..], x];
        conn.prepare_cached(sql).and_then(|mut insert| insert.execute(row)).map_err(fault)?;
        head.end += 1;
        head.records += 1;
        head.bytes += (entry.key.len() + entry.value.len()) as u64;
        Ok(Position { stream: entry.stream, partition, offset })
    }

    /// Takes a member's step in its group.
    pub(crate) fn step(&mut self, group: &str, step: &Step) -> Result<Standing> {
        let (topology, now_ms, lease_ms) = (self.topology, self.now_ms, self.lease_ms);
        Ok(self.group(group)?.step(step, topology, now_ms, lease_ms))
    }

    /// Renews the leases of the members alive in this process, group by group.
    pub(crate) fn keep(&mut self, alive: &BTreeMap<String, Vec<u64>>) -> Result<()> {
        let (topology, now_ms, lease_ms) = (self.topology, self.now_ms, self.lease_ms);
        for (group, members) in alive {
            self.group(group)?.keep(members, topology, now_ms, lease_ms);
        }
        Ok(())
    }

    /// Removes the oldest records of a partition that the policy lets go, [`SWEEP_ROWS`] at most. Answers how many.
    pub(crate) fn trim(&mut self, slot: i64, policy: &Retention) -> Result<u64> {
        let oldest_ms = policy.max_age_ms.map(|age| self.now_ms.saturating_sub(age));
        let conn = self.conn;
        let unread = books::least_position(conn, slot)?;
        let head = self.head(slot)?;
        let sql = "SELECT o, at, length(k) + length(v) FROM record WHERE slot = ?1 AND o >= ?2 ORDER BY o LIMIT ?3";
        let mut query = conn.prepare_cached(sql).map_err(fault)?;
        let mut rows = query.query(params![slot, int(head.earliest), SWEEP_ROWS + 1]).map_err(fault)?;
        let (mut gone, mut freed, mut keep_from) = (0, 0, head.end);
        while let Some(row) = rows.next().map_err(fault)? {
            let (offset, size) = (num(row, 0).map_err(fault)?, num(row, 2).map_err(fault)?);
            let at_ms: i64 = row.get(1).map_err(fault)?;
            let old = oldest_ms.is_some_and(|oldest| at_ms < oldest);
            let many = policy.max_records.is_some_and(|most| head.records.saturating_sub(gone) > most);
            let large = policy.max_bytes.is_some_and(|most| head.bytes.saturating_sub(freed) > most);
            let read = unread.is_none_or(|unread| offset < unread);
            if gone == u64::from(SWEEP_ROWS) || !read || !(old || many || large) {
                keep_from = offset;
                break;
            }
            gone += 1;
            freed += size;
        }
        if gone > 0 {
            let sql = "DELETE FROM record WHERE slot = ?1 AND o >= ?2 AND o < ?3";
            conn.prepare_cached(sql)
                .and_then(|mut delete| delete.execute(params![slot, int(head.earliest), int(keep_from)]))
                .map_err(fault)?;
            head.earliest = keep_from;
            head.records = head.records.saturating_sub(gone);
            head.bytes = head.bytes.saturating_sub(freed);
        }
        Ok(gone)
    }

    /// Removes superseded records of a compacted partition. Answers how many were still there.
    pub(crate) fn drop_records(&mut self, slot: i64, offsets: &[u64]) -> Result<u64> {
        let conn = self.conn;
        let head = self.head(slot)?;
        let sql = "DELETE FROM record WHERE slot = ?1 AND o = ?2 RETURNING length(k) + length(v)";
        let mut delete = conn.prepare_cached(sql).map_err(fault)?;
        let mut gone = 0;
        for offset in offsets {
            let mut rows = delete.query(params![slot, int(*offset)]).map_err(fault)?;
            while let Some(row) = rows.next().map_err(fault)? {
                let size = num(row, 0).map_err(fault)?;
                head.records = head.records.saturating_sub(1);
                head.bytes = head.bytes.saturating_sub(size);
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// Writes the books that changed. To be called last, before the commit.
    pub(crate) fn close(self) -> Result<Moved> {
        let mut moved = Moved { commit: books::commits(self.conn)? + 1, ..Moved::default() };
        books::save_commits(self.conn, moved.commit)?;
        for (before, head) in self.heads.into_values() {
            if before != head {
                head.save(self.conn)?;
                *moved.appended.entry(head.stream).or_default() += head.end - before.end;
                moved.ends.push(((head.stream, head.partition), head.end));
            }
        }
        for (name, (before, group)) in self.groups {
            if before != group {
                books::save_group(self.conn, &name, &group)?;
                moved.generations.push((name, group.generation()));
            }
        }
        Ok(moved)
    }
}
