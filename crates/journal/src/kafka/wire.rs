//! How what is said in the books is written: a head in JSON, state as the bytes it is, cut into parts that a broker takes.
//!
//! A part is `id (16 bytes) | number | count | content`; the content of all parts together is `length of the head | head | pairs`; a pair is
//! `length | key | there or not | length | value`. Numbers are 32 bits, little end first.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::contract::Position;
use crate::group::{Group, Step};
use crate::{Error, Result};

/// The most content of a part.
const PART_BYTES: usize = 4 << 20;
/// The bytes before the content of a part.
const HEAD_BYTES: usize = 16 + 4 + 4;

/// Tells a thing said from all others: who said it, and the how-many-th it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) session: u64,
    pub(crate) number: u64,
}

/// Keys with values; `None` removes the key.
pub(crate) type Pairs = Vec<(Bytes, Option<Bytes>)>;

/// What is said in the books. Whoever reads them in order comes to the same state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// The journal gets its identity; the first one counts.
    Founded {
        /// The identity.
        identity: String,
    },
    /// A member takes a step in its group.
    Step {
        /// The group.
        group: String,
        /// The step.
        step: Step,
    },
    /// Members of one process are alive.
    Alive {
        /// Groups and numbers.
        members: Vec<(String, u64)>,
    },
    /// A member has not been heard of for a lease. Counts only if nothing was heard of it in between.
    Missed {
        /// The group.
        group: String,
        /// The member.
        member: u64,
        /// How many signs of life it had given when it was missed.
        signs: u64,
    },
    /// Positions and state move; the state follows as pairs.
    Commit {
        /// The group.
        group: String,
        /// How far it read.
        positions: Vec<Position>,
        /// The member that says so, if it must be one.
        member: Option<u64>,
    },
    /// Everything as it was before the record `next`; the state of all groups follows as pairs, group by group.
    Snapshot {
        /// The first record that is not in it.
        next: u64,
        /// The journal's identity, where it is kept here.
        identity: Option<String>,
        /// The groups.
        clubs: Vec<ClubHead>,
    },
}

/// A group within a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClubHead {
    /// Its name.
    pub(crate) name: String,
    /// Who holds what.
    pub(crate) group: Group,
    /// How many signs of life each member gave.
    pub(crate) signs: Vec<(u64, u64)>,
    /// How far it read.
    pub(crate) positions: Vec<Position>,
    /// How many of the pairs are its state.
    pub(crate) state: usize,
}

/// Writes something said, in parts.
pub(crate) fn write(id: Id, said: &Said, pairs: &Pairs) -> Result<Vec<Bytes>> {
    let head = serde_json::to_vec(said).map_err(|e| Error::Storage(format!("the books cannot be written: {e}")))?;
    let mut content = BytesMut::with_capacity(4 + head.len());
    content.put_u32_le(length(head.len()));
    content.put_slice(&head);
    for (key, value) in pairs {
        content.put_u32_le(length(key.len()));
        content.put_slice(key);
        content.put_u8(u8::from(value.is_some()));
        let value = value.as_deref().unwrap_or_default();
        content.put_u32_le(length(value.len()));
        content.put_slice(value);
    }
    let chunks = content.chunks(PART_BYTES);
    let count = length(chunks.len());
    let part = |(number, chunk): (usize, &[u8])| {
        let mut part = BytesMut::with_capacity(HEAD_BYTES + chunk.len());
        part.put_u64_le(id.session);
        part.put_u64_le(id.number);
        part.put_u32_le(length(number));
        part.put_u32_le(count);
        part.put_slice(chunk);
        part.freeze()
    };
    Ok(chunks.enumerate().map(part).collect())
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A part as it is read back.
pub(crate) struct Part {
    pub(crate) id: Id,
    pub(crate) number: u32,
    pub(crate) count: u32,
    pub(crate) content: Bytes,
}

impl Part {
    pub(crate) fn read(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEAD_BYTES {
            return None;
        }
        let id = Id { session: bytes.get_u64_le(), number: bytes.get_u64_le() };
        let (number, count) = (bytes.get_u32_le(), bytes.get_u32_le());
        (number < count).then_some(Self { id, number, count, content: bytes })
    }
}

/// Reads something said from the content of all its parts.
pub(crate) fn read(mut content: Bytes) -> Option<(Said, Pairs)> {
    let head = take(&mut content)?;
    let said = serde_json::from_slice(&head).ok()?;
    let mut pairs = Pairs::new();
    while content.has_remaining() {
        let key = take(&mut content)?;
        let there = content.try_get_u8().ok()? != 0;
        let value = take(&mut content)?;
        pairs.push((key, there.then_some(value)));
    }
    Some((said, pairs))
}

fn take(content: &mut Bytes) -> Option<Bytes> {
    let length = content.try_get_u32_le().ok()? as usize;
    (content.len() >= length).then(|| content.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(parts: Vec<Bytes>) -> Bytes {
        let contents = parts.into_iter().map(|part| Part::read(part).unwrap().content);
        contents
            .fold(BytesMut::new(), |mut all, content| {
                all.put_slice(&content);
                all
            })
            .freeze()
    }

    #[test]
    fn what_is_large_is_cut_and_comes_back_whole() {
        let id = Id { session: 7, number: 8 };
        let said = Said::Commit { group: "g".to_owned(), positions: vec![], member: Some(3) };
        let large = Bytes::from(vec![b'v'; 9 << 20]);
        let pairs: Pairs = vec![
            (Bytes::from_static(b"k"), Some(large)),
            (Bytes::from_static(&[0, 255]), None),
            (Bytes::new(), Some(Bytes::new())),
        ];
        let parts = write(id, &said, &pairs).unwrap();
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.len() <= PART_BYTES + HEAD_BYTES));
        let (back, found) = read(whole(parts)).unwrap();
        assert_eq!(found, pairs);
        assert!(matches!(back, Said::Commit { group, member: Some(3), .. } if group == "g"));
    }

    #[test]
    fn what_is_cut_short_is_not_read() {
        let id = Id { session: 7, number: 8 };
        let said = Said::Founded { identity: "i".to_owned() };
        let parts = write(id, &said, &vec![(Bytes::from_static(b"k"), Some(Bytes::from_static(b"v")))]).unwrap();
        let content = whole(parts);
        for length in 1..content.len() {
            let short = read(content.slice(..length));
            assert!(short.is_none_or(|(_, pairs)| pairs.is_empty()), "{length}");
        }
    }
}
