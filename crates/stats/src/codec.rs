//! The compact form of a row in a store: a version byte, then numbers of seven bits a byte, keys as differences.

use std::sync::Arc;

use crate::tally::{Row, Tally};

const VERSION: u8 = 1;

/// Bytes that are no row of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first byte names another version.
    #[error("row has version {0}, want {VERSION}")]
    Version(u8),
    /// The bytes end early, run over, or hold no text where text must be.
    #[error("row is damaged at byte {0}")]
    Damaged(usize),
}

/// What reading comes to.
pub type Result<T> = std::result::Result<T, Error>;

impl Row {
    /// The compact bytes of this row; equal rows give equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 4 * (self.event.cells.len() + self.cohort.cells.len()));
        out.push(VERSION);
        write_tally(&mut out, &self.event);
        write_tally(&mut out, &self.cohort);
        out
    }

    /// Reads what [`Row::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Row> {
        let mut r = Reader { bytes, at: 1 };
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&other) => return Err(Error::Version(other)),
            None => return Err(Error::Damaged(0)),
        }
        let row = Row { event: read_tally(&mut r)?, cohort: read_tally(&mut r)? };
        if r.at == bytes.len() { Ok(row) } else { Err(Error::Damaged(r.at)) }
    }
}

fn write_tally(out: &mut Vec<u8>, t: &Tally) {
    write(out, t.cells.len() as u64);
    let mut last = 0;
    for &(key, n) in &t.cells {
        write(out, u64::from(key - last));
        write(out, zigzag(n));
        last = key;
    }
    write(out, t.labels.len() as u64);
    for ((field, text), n) in &t.labels {
        out.push(*field);
        write(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
        write(out, zigzag(*n));
    }
}

fn read_tally(r: &mut Reader<'_>) -> Result<Tally> {
    let mut t = Tally::new();
    let n = r.number()? as usize;
    t.cells.reserve_exact(n.min(r.bytes.len() / 2 + 1)); // each cell has two bytes or more: a lie cannot make us allocate
    let mut key = 0u32;
    for i in 0..n {
        let at = r.at;
        let step = u32::try_from(r.number()?).map_err(|_| Error::Damaged(at))?;
        key = key.checked_add(step).filter(|_| i == 0 || step > 0).ok_or(Error::Damaged(at))?;
        let value = r.signed()?;
        if value == 0 || value == i64::MIN {
            return Err(Error::Damaged(at));
        }
        t.cells.push((key, value));
    }
    for _ in 0..r.number()? {
        let at = r.at;
        let field = r.byte()?;
        let len = r.number()? as usize;
        let text = std::str::from_utf8(r.take(len)?).map_err(|_| Error::Damaged(at))?;
        let value = r.signed()?;
        if value == 0 || value == i64::MIN {
            return Err(Error::Damaged(at));
        }
        t.labels.insert((field, Arc::from(text)), value);
    }
    Ok(t)
}

pub(crate) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

pub(crate) fn write(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Reads bytes of a store.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// How far it has read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        let b = *self.bytes.get(self.at).ok_or(Error::Damaged(self.at))?;
        self.at += 1;
        Ok(b)
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            n |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(n);
            }
        }
        Err(Error::Damaged(self.at))
    }

    pub(crate) fn signed(&mut self) -> Result<i64> {
        let n = self.number()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(len).ok_or(Error::Damaged(self.at))?;
        let part = self.bytes.get(self.at..end).ok_or(Error::Damaged(self.at))?;
        self.at = end;
        Ok(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;
    use proptest::prelude::*;

    fn row() -> Row {
        let mut row = Row::default();
        row.event.add(Field::Offered, 3);
        row.event.add_cell(Field::Waiting, 17, -1);
        row.event.observe(Field::WaitAnswered, 12_345, 2);
        row.event.add_label(Field::NotReadyReasonMs, "午休", 61_000);
        row.cohort.add(Field::TalkMs, i64::MAX);
        row
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Row::decode(&row().encode()).unwrap(), row());
        assert_eq!(Row::decode(&Row::default().encode()).unwrap(), Row::default());
    }

    #[test]
    fn every_whole_number_is_read_back() {
        for n in [1, -1, 2, -2, 63, 64, -64, -65, 12_345, -12_345, i64::MAX, i64::MIN + 1] {
            let mut row = Row::default();
            row.event.add(Field::TalkMs, n);
            row.cohort.add_label(Field::NotReadyReasonMs, "lunch", n);
            assert_eq!(Row::decode(&row.encode()).unwrap(), row, "{n}");
        }
    }

    #[test]
    fn a_count_that_no_sum_leaves_behind_is_damage() {
        let with_label = |n: i64| {
            let mut row = Row::default();
            row.event.labels.insert((Field::NotReadyReasonMs as u8, Arc::from("lunch")), n);
            Row::decode(&row.encode()).is_ok()
        };
        let with_cell = |n: i64| {
            let mut row = Row::default();
            row.event.cells.push((Field::Offered as u32, n));
            Row::decode(&row.encode()).is_ok()
        };
        for (n, is_read) in [(0, false), (i64::MIN, false), (1, true)] {
            assert_eq!((with_label(n), with_cell(n)), (is_read, is_read), "{n}");
        }
    }

    #[test]
    fn a_cell_that_comes_twice_is_damage() {
        let mut row = Row::default();
        row.event.add(Field::Offered, 1);
        let mut bytes = row.encode();
        bytes[1] = 2; // two cells…
        let after = bytes.len() - 3;
        bytes.splice(after..after, [0, 2]); // …of which the second is no step further
        assert!(matches!(Row::decode(&bytes), Err(Error::Damaged(_))));
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = row().encode();
        for end in 0..bytes.len() {
            assert!(Row::decode(&bytes[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_neither_panic_nor_allocate_without_end(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Row::decode(&bytes);
        }
    }
}
