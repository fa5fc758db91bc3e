//! How a track stands in a store: a head, which changes with each point, and the chunks apart, which hardly ever change.
//!
//! The head alone is enough to say what holds now. To put points in, the chunks must be given back first.

use std::collections::{HashMap, VecDeque};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::chunk::Chunk;
use super::{Packed, Point, Standing, Track};

/// A chunk as the store keeps it: by its number, which is its own among those of a track; `None`: it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it stands by.
    pub number: u32,
    /// What it says, in a form of its own.
    pub bytes: Option<Vec<u8>>,
}

/// A chunk that the head names is not there, or is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("piece {0} of its past is missing or damaged")]
pub struct Missing(pub u32);

impl<S: Standing> Track<S> {
    /// The chunks that are not as they were when this was last asked. What is given must come into the store together with the head.
    pub fn take_changed(&mut self) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = self.gone.drain(..).map(|number| Piece { number, bytes: None }).collect();
        for packed in self.packed.iter_mut().filter(|packed| packed.changed) {
            (packed.stored, packed.changed) = (true, false);
            pieces.push(Piece { number: packed.number, bytes: Some(packed.chunk.bytes().to_vec()) });
        }
        pieces
    }

    /// Gives the chunks back to what was read as a head.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn restore(&mut self, past: &HashMap<u32, &[u8]>) -> Result<(), Missing> {
        for packed in self.packed.iter_mut().filter(|packed| packed.stored) {
            let chunk = past.get(&packed.number).and_then(|bytes| Chunk::from_bytes::<S::What>((*bytes).into()));
            packed.chunk = chunk.ok_or(Missing(packed.number))?;
        }
        Ok(())
    }
}

/// A short track as it has always been stored, and a long one by other names each time that its form changed: a version that does not
/// know those must not take it for an empty one.
#[derive(Serialize)]
#[serde(untagged, bound = "S: Serialize, S::What: Serialize")]
enum Stored<'a, S: Standing> {
    Short {
        points: &'a VecDeque<Point<S::What>>,
    },
    Long {
        oldest: &'a VecDeque<Point<S::What>>,
        past: Vec<u32>,
        next: u32,
        near: &'a VecDeque<Point<S::What>>,
        now: &'a Option<S>,
    },
}

impl<S: Standing<What: Serialize> + Serialize> Serialize for Track<S> {
    fn serialize<T: Serializer>(&self, to: T) -> Result<T::Ok, T::Error> {
        let stored = if self.is_long() {
            let past = self.packed.iter().map(|packed| packed.number).collect();
            Stored::Long { oldest: &self.oldest, past, next: self.next, near: &self.recent, now: &self.now }
        } else {
            Stored::Short { points: &self.recent }
        };
        stored.serialize(to)
    }
}

#[derive(Deserialize)]
#[serde(bound = "S: Deserialize<'de>, S::What: Deserialize<'de>")]
struct Read<S: Standing> {
    points: Option<VecDeque<Point<S::What>>>,
    #[serde(default = "VecDeque::new")]
    oldest: VecDeque<Point<S::What>>,
    #[serde(default)]
    past: Vec<u32>,
    #[serde(default)]
    next: u32,
    #[serde(default = "VecDeque::new")]
    near: VecDeque<Point<S::What>>,
    now: Option<S>,
    /// With `recent`, before chunks stood apart.
    #[serde(default)]
    chunks: Vec<String>,
    #[serde(default = "VecDeque::new")]
    recent: VecDeque<Point<S::What>>,
}

impl<'de, S: Standing<What: Deserialize<'de>> + Deserialize<'de>> Deserialize<'de> for Track<S> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let read = Read::<S>::deserialize(d)?;
        if let Some(points) = read.points {
            let mut track = Track::of(VecDeque::new(), points);
            track.pack();
            return Ok(track);
        }
        if !read.recent.is_empty() {
            let mut track = Track::of(read.oldest, read.recent);
            for text in &read.chunks {
                let chunk = Chunk::from_text::<S::What>(text);
                let chunk = chunk.ok_or_else(|| D::Error::custom("a chunk of points is damaged"))?;
                track.put_chunk(track.packed.len(), chunk);
            }
            return Ok(track);
        }
        if read.near.is_empty() || read.now.is_none() {
            return Err(D::Error::custom("neither points nor near ones with what holds after them"));
        }
        let missing = |number| Packed { chunk: Chunk::missing(), before: None, number, stored: true, changed: false };
        let packed = read.past.into_iter().map(missing).collect();
        Ok(Track { packed, now: read.now, next: read.next, ..Track::of(read.oldest, read.near) })
    }
}
