//! How a track stands in a store.

use std::collections::VecDeque;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::chunk::Chunk;
use super::{Point, Standing, Track};

/// A short track as it has always been stored, and a long one by other names: a version that does not know those must not take it
/// for an empty one.
#[derive(Serialize)]
#[serde(untagged)]
enum Stored<'a, P> {
    Short { points: &'a VecDeque<Point<P>> },
    Long { oldest: &'a VecDeque<Point<P>>, chunks: Vec<String>, recent: &'a VecDeque<Point<P>> },
}

impl<S: Standing<What: Serialize>> Serialize for Track<S> {
    fn serialize<T: Serializer>(&self, to: T) -> Result<T::Ok, T::Error> {
        let stored = if self.is_long() {
            let chunks = self.packed.iter().map(|packed| packed.chunk.to_text()).collect();
            Stored::Long { oldest: &self.oldest, chunks, recent: &self.recent }
        } else {
            Stored::Short { points: &self.recent }
        };
        stored.serialize(to)
    }
}

#[derive(Deserialize)]
struct Read<P> {
    points: Option<VecDeque<Point<P>>>,
    #[serde(default = "VecDeque::new")]
    oldest: VecDeque<Point<P>>,
    #[serde(default)]
    chunks: Vec<String>,
    #[serde(default = "VecDeque::new")]
    recent: VecDeque<Point<P>>,
}

impl<'de, S: Standing<What: Deserialize<'de>>> Deserialize<'de> for Track<S> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let read = Read::<S::What>::deserialize(d)?;
        if let Some(points) = read.points {
            let mut track = Track::of(VecDeque::new(), [], points);
            track.pack();
            return Ok(track);
        }
        if read.recent.is_empty() {
            return Err(D::Error::custom("neither points nor recent ones"));
        }
        let chunks = read.chunks.iter().map(|text| Chunk::from_text::<S::What>(text)).collect::<Option<Vec<_>>>();
        let chunks = chunks.ok_or_else(|| D::Error::custom("a chunk of points is damaged"))?;
        Ok(Track::of(read.oldest, chunks, read.recent))
    }
}
