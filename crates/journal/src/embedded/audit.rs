//! Verification: every record and every book is read, and what does not fit is named.

use rusqlite::Connection;

use super::books::{self, Head, Slots};
use super::file::fault;
use super::reader::{Walk, walk};
use crate::contract::{Damage, Report};
use crate::{Result, metering};

/// Behind a damaged record, so many single offsets are tried before the steps grow: most damage is within one page.
const SINGLE_STEPS: u64 = 256;

/// Reads one partition whole, in one transaction.
pub(crate) fn partition(conn: &Connection, slot: i64) -> Result<Report> {
    let mut report = Report::default();
    let head = match Head::load(conn, slot) {
        Ok(head) => head,
        Err(error) => {
            report.faults.push(error.to_string());
            return Ok(report);
        }
    };
    let mut from = head.earliest;
    while from < head.end {
        let mut reached = from;
        let ended = walk(conn, &head, from, |sound| {
            report.records += 1;
            report.bytes += sound.size() as u64;
            reached = sound.offset + 1;
            true
        })?;
        let Walk::Damaged(flaw) = ended else { break };
        let damaged_from = flaw.offset.max(reached);
        let to = next_sound(conn, &head, damaged_from)?;
        metering::damaged();
        report.damaged.push(Damage {
            stream: head.stream,
            partition: head.partition,
            from: damaged_from,
            to,
            reason: flaw.reason,
        });
        from = to;
    }
    if report.damaged.is_empty() && (report.records, report.bytes) != (head.records, head.bytes) {
        let (stream, partition) = (head.stream, head.partition);
        let (found, wanted) = (report.records, head.records);
        report.faults.push(format!(
            "{stream}/{partition} holds {found} records ({} bytes), and its head says {wanted} ({})",
            report.bytes, head.bytes
        ));
    }
    Ok(report)
}

/// The first offset after a damaged one that can be read again; the end when there is none.
fn next_sound(conn: &Connection, head: &Head, damaged: u64) -> Result<u64> {
    let (mut at, mut step, mut tries) = (damaged + 1, 1, 0);
    while at < head.end {
        let mut found = None;
        let ended = walk(conn, head, at, |sound| {
            found = Some(sound.offset);
            false
        })?;
        match (ended, found) {
            (Walk::Stopped(offset), _) => return Ok(offset),
            (Walk::Ended, _) => return Ok(head.end),
            (Walk::Damaged(_), _) => {}
        }
        tries += 1;
        if tries > SINGLE_STEPS {
            step *= 2;
        }
        at += step;
    }
    Ok(head.end)
}

/// Checks the books, and the file's own structure.
pub(crate) fn structure(conn: &Connection, slots: &Slots) -> Result<Vec<String>> {
    let mut faults = books::audit(conn, slots)?;
    let beyond =
        "SELECT r.slot, max(r.o) FROM record r JOIN head h ON h.slot = r.slot GROUP BY r.slot HAVING max(r.o) >= h.end";
    match conn
        .prepare(beyond)
        .and_then(|mut query| query.query_map([], |row| row.get::<_, i64>(0))?.collect::<rusqlite::Result<Vec<_>>>())
    {
        Ok(found) => faults.extend(found.into_iter().map(|slot| format!("slot {slot} holds records after its end"))),
        Err(error) => faults.push(fault(error).to_string()),
    }
    let lines = conn.prepare("PRAGMA integrity_check(100)").and_then(|mut check| {
        check.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
    });
    match lines {
        Ok(lines) => faults.extend(lines.into_iter().filter(|line| line != "ok").map(|line| format!("sqlite: {line}"))),
        Err(error) => faults.push(fault(error).to_string()),
    }
    Ok(faults)
}
