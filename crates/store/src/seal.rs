//! Checksums: each row carries one over everything in it that counts, its key included, so that a flipped bit and a row at the wrong
//! place are noticed when the row is read. A row that a damaged page *hides* has no say: the trees are checked when the
//! file is opened (`schema.rs`) and by [`verify`](crate::Reports::verify).

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Error, Result};

/// The seal of a row: its parts in order, each with its length, so that no byte can move from one to the next.
pub(crate) fn row(table: &str, parts: &[&[u8]]) -> i64 {
    let chain = |seed: u64, part: &&[u8]| xxh3_64_with_seed(part, seed.rotate_left(7) ^ part.len() as u64);
    parts.iter().fold(xxh3_64_with_seed(table.as_bytes(), parts.len() as u64), chain).cast_signed()
}

/// Whether a row still fits its seal.
pub(crate) fn check(what: impl FnOnce() -> String, found: i64, wanted: i64) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::Corrupt { what: what(), reason: "its checksum does not match; run `tidegate rebuild`".to_owned() })
}

pub(crate) fn meta(name: &str, value: &str) -> i64 {
    row("meta", &[name.as_bytes(), value.as_bytes()])
}

pub(crate) fn part(name: &str, code: i64, fence: i64, owner: &str, next: Option<i64>) -> i64 {
    let next = next.map(i64::to_le_bytes);
    let next = next.as_ref().map_or(&[][..], |bytes| &bytes[..]);
    row("parts", &[name.as_bytes(), &code.to_le_bytes(), &fence.to_le_bytes(), owner.as_bytes(), next])
}

pub(crate) fn call(id: &str, part: i64, body: &[u8]) -> i64 {
    row("calls", &[id.as_bytes(), &part.to_le_bytes(), body])
}

/// The parts of a block's key as they stand in the table.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) dim: i32,
    pub(crate) hour: i64,
    pub(crate) tenant: &'a str,
    pub(crate) source: &'a str,
    pub(crate) id: &'a str,
    pub(crate) part: i64,
}

pub(crate) fn block(of: Of<'_>, version: i64, body: &[u8]) -> i64 {
    let mut numbers = [0; 28];
    numbers[..4].copy_from_slice(&of.dim.to_le_bytes());
    numbers[4..12].copy_from_slice(&of.hour.to_le_bytes());
    numbers[12..20].copy_from_slice(&of.part.to_le_bytes());
    numbers[20..].copy_from_slice(&version.to_le_bytes());
    row("blocks", &[&numbers, of.tenant.as_bytes(), of.source.as_bytes(), of.id.as_bytes(), body])
}

pub(crate) fn state(kind: i32, id: &str, part: i64, body: &[u8]) -> i64 {
    row("states", &[&kind.to_le_bytes(), id.as_bytes(), &part.to_le_bytes(), body])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_covers_the_table_and_the_place_of_every_byte() {
        let seals = [
            row("a", &[b"ab", b"c"]),
            row("a", &[b"a", b"bc"]),
            row("b", &[b"ab", b"c"]),
            row("a", &[b"ab", b"c", b""]),
        ];
        for (n, one) in seals.iter().enumerate() {
            assert!(seals[n + 1..].iter().all(|other| other != one));
        }
    }

    #[test]
    fn a_part_that_folded_nothing_is_not_one_that_is_at_the_beginning() {
        assert_ne!(part("p", 1, 1, "o", None), part("p", 1, 1, "o", Some(0)));
    }
}
