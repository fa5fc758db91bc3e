//! How records and rows stand in a store: columns to ask by, and bodies in the compact forms of `stats`.

use std::sync::Arc;

use model::event::call::Direction;
use model::{CallId, SourceId, TenantId, Time};
use stats::call::Record;
use stats::{Dim, Few, Row};

use crate::reports::BlockKey;
use crate::{Error, Result};

/// The form of a block's body.
const BLOCK_VERSION: u8 = 1;

/// A call as it will stand in the store: encoded already, so that writing it needs the record no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCall {
    pub(crate) id: CallId,
    pub(crate) tenant: TenantId,
    pub(crate) source: SourceId,
    pub(crate) direction: &'static str,
    pub(crate) offered_at: i64,
    pub(crate) ended_at: Option<i64>,
    pub(crate) closed: i32,
    pub(crate) queues: String,
    pub(crate) agents: String,
    pub(crate) causes: String,
    pub(crate) caller: String,
    pub(crate) body: Arc<[u8]>,
}

impl StoredCall {
    /// Encodes a record.
    pub fn of(record: &Record) -> Self {
        stored_call(record)
    }

    /// The record again.
    ///
    /// # Errors
    /// `Corrupt`, which only a fault of ours can cause.
    pub fn record(&self) -> Result<Record> {
        decode_call(&self.body)
    }

    /// Which call.
    pub fn id(&self) -> &CallId {
        &self.id
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        self.closed == 1
    }
}

fn stored_call(call: &Record) -> StoredCall {
    let segments = || call.segments.iter();
    StoredCall {
        id: call.call.clone(),
        tenant: call.tenant.clone(),
        source: call.source.clone(),
        direction: direction(call.direction),
        offered_at: call.offered_at.ms(),
        ended_at: call.ended_at.map(Time::ms),
        closed: i32::from(call.closed),
        queues: list(segments().filter_map(|s| s.queue.as_ref().map(model::QueueId::as_str))),
        agents: list(segments().filter_map(|s| s.agent.as_ref().map(model::AgentId::as_str))),
        causes: list(segments().filter_map(|s| s.exit.map(model::event::call::QueueExit::as_str))),
        caller: call.ani.as_ref().and_then(|ani| ani.token.clone()).unwrap_or_default(),
        body: call.encode().into(),
    }
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
        Direction::Internal => "internal",
    }
}

pub(crate) fn decode_call(body: &[u8]) -> Result<Record> {
    Record::decode(body).map_err(|error| Error::Corrupt { what: "a call".to_owned(), reason: error.to_string() })
}

/// `|a|b|`: each once, in order of appearance; empty for none.
fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for item in items {
        let item = format!("|{}|", item.replace('|', "\u{1}"));
        if !text.contains(&item) {
            // Neighbours share a bar.
            text.push_str(if text.is_empty() { &item } else { &item[1..] });
        }
    }
    text
}

/// Whether a list names an item: what [`list_pattern`] asks of SQL.
pub(crate) fn lists(list: &str, item: &str) -> bool {
    list.contains(&format!("|{}|", item.replace('|', "\u{1}")))
}

/// The LIKE pattern (with `\` to escape) that finds an item in a list.
pub(crate) fn list_pattern(item: &str) -> String {
    let mut pattern = String::from("%|");
    for c in item.replace('|', "\u{1}").chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push_str("|%");
    pattern
}

/// The number of a dimension in the store; never changed.
pub(crate) fn dim_code(dim: Dim) -> i32 {
    i32::from(dim.code())
}

pub(crate) fn dim_of(code: i32) -> Result<Dim> {
    let dim = u8::try_from(code).ok().and_then(Dim::from_code);
    dim.ok_or_else(|| Error::Corrupt { what: "a block".to_owned(), reason: format!("there is no dimension {code}") })
}

/// A version byte; then for each row the second of the hour it begins at (2 bytes), the length (4 bytes) and the row.
pub fn encode_rows(hour: Time, rows: &Few<Time, Row>) -> Vec<u8> {
    let mut body = Vec::with_capacity(64 * rows.len() + 1);
    body.push(BLOCK_VERSION);
    for (start, row) in rows.iter().filter(|(_, row)| !row.is_zero()) {
        let row = row.encode();
        let second = u16::try_from((*start - hour) / 1000).unwrap_or(u16::MAX);
        let len = u32::try_from(row.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&second.to_le_bytes());
        body.extend_from_slice(&len.to_le_bytes());
        body.extend_from_slice(&row);
    }
    body
}

/// Reads what [`encode_rows`] wrote of the block of this key.
///
/// # Errors
/// `Corrupt`, with the block and what is wrong with it.
pub fn decode_rows(key: &BlockKey, body: &[u8]) -> Result<Few<Time, Row>> {
    let corrupt = |reason: String| Error::Corrupt {
        what: format!("the block of {} {} at {}", key.dim, key.id, key.hour),
        reason,
    };
    let (version, mut rest) = body.split_first().ok_or_else(|| corrupt("it is empty".to_owned()))?;
    if *version != BLOCK_VERSION {
        return Err(corrupt(format!("its version is {version}, want {BLOCK_VERSION}")));
    }
    let mut rows = Few::new();
    while !rest.is_empty() {
        let Some((second, after)) = rest.split_first_chunk::<2>() else {
            return Err(corrupt("it ends early".to_owned()));
        };
        let Some((len, after)) = after.split_first_chunk::<4>() else {
            return Err(corrupt("it ends early".to_owned()));
        };
        let len = u32::from_le_bytes(*len) as usize;
        let row = after.get(..len).ok_or_else(|| corrupt("it ends early".to_owned()))?;
        let row = Row::decode(row).map_err(|error| corrupt(error.to_string()))?;
        rows.insert(key.hour + i64::from(u16::from_le_bytes(*second)) * 1000, row);
        rest = &after[len..];
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::Field;

    #[test]
    fn a_list_names_each_once_and_is_searched_whole() {
        assert_eq!(list(["sales", "support", "sales"].into_iter()), "|sales|support|");
        assert_eq!(list([].into_iter()), "");
        assert_eq!(list_pattern("100%_a|b"), "%|100\\%\\_a\u{1}b|%");
    }

    #[test]
    fn a_block_is_read_back_and_damage_is_named() {
        let key =
            BlockKey { dim: Dim::Queue, hour: Time(7_200_000), tenant: "t".into(), source: "s".into(), id: "q".into() };
        let mut row = Row::default();
        row.event.add(Field::Offered, 3);
        let rows = Few::from([(Time(7_200_000), row.clone()), (Time(10_740_000), row)]);
        let body = encode_rows(key.hour, &rows);
        assert_eq!(decode_rows(&key, &body).unwrap(), rows);
        for bad in [&body[..body.len() - 1], &body[..3], &[9], &[]] {
            let error = decode_rows(&key, bad).unwrap_err().to_string();
            assert!(error.contains("queue q"), "{error}");
        }
    }
}
