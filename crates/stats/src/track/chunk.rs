//! Points of a track that are over, packed: a quarter of the bytes, in one piece of memory. A day's points are kept because one of
//! them may still come late; it hardly ever does.
//!
//! **Invariant:** what was packed is unpacked as it was.

use std::sync::Arc;

use model::{EventId, Quality, Time};

use super::Point;
use crate::codec::{self, Reader, write, zigzag};

/// What a point says, packed behind it.
pub trait Pack: Sized {
    /// Writes it.
    fn pack<'a>(&'a self, out: &mut Out<'a>);
    /// Reads what [`Pack::pack`] wrote.
    ///
    /// # Errors
    /// When it is none of that.
    fn unpack(from: &mut In<'_>) -> codec::Result<Self>;
}

/// Where points are packed into. Texts that come again are written once.
#[derive(Debug, Default)]
pub struct Out<'a> {
    bytes: Vec<u8>,
    words: Vec<&'a str>,
}

impl<'a> Out<'a> {
    /// Writes a small number.
    pub fn byte(&mut self, n: u8) {
        self.bytes.push(n);
    }

    /// Writes a whole number.
    pub fn number(&mut self, n: i64) {
        write(&mut self.bytes, zigzag(n));
    }

    /// Writes a text, or that there is none.
    pub fn word(&mut self, word: Option<&'a str>) {
        let Some(word) = word else { return self.byte(0) };
        let known = self.words.iter().rposition(|known| *known == word);
        write(&mut self.bytes, known.unwrap_or(self.words.len()) as u64 + 1);
        if known.is_none() {
            self.words.push(word);
            write(&mut self.bytes, word.len() as u64);
            self.bytes.extend_from_slice(word.as_bytes());
        }
    }

    fn point<P: Pack>(&mut self, p: &'a Point<P>, before: Time) {
        let id = digits(p.id.as_bytes());
        let quality = match p.quality {
            None => 0,
            Some(Quality::Inferred) => 1,
            Some(Quality::Snapshot) => 2,
            Some(Quality::Late) => 3,
        };
        self.byte(quality | u8::from(p.seq.is_some()) << 2 | u8::from(id.is_some()) << 3);
        self.byte(p.rank);
        self.number(p.time.0.wrapping_sub(before.0));
        if let Some(seq) = p.seq {
            write(&mut self.bytes, seq);
        }
        match id {
            Some(id) => self.bytes.extend_from_slice(&id),
            None => {
                write(&mut self.bytes, p.id.as_bytes().len() as u64);
                self.bytes.extend_from_slice(p.id.as_bytes());
            }
        }
        p.what.pack(self);
    }
}

/// Where points are unpacked from.
#[derive(Debug)]
pub struct In<'a> {
    bytes: Reader<'a>,
    words: Vec<Arc<str>>,
}

impl<'a> In<'a> {
    /// A small number.
    ///
    /// # Errors
    /// At the end.
    pub fn byte(&mut self) -> codec::Result<u8> {
        self.bytes.byte()
    }

    /// A whole number.
    ///
    /// # Errors
    /// When there is none.
    pub fn number(&mut self) -> codec::Result<i64> {
        self.bytes.signed()
    }

    /// A text, or none.
    ///
    /// # Errors
    /// When it is none that was written before.
    pub fn word(&mut self) -> codec::Result<Option<Arc<str>>> {
        let place = self.bytes.number()? as usize;
        if place == 0 {
            return Ok(None);
        }
        if place == self.words.len() + 1 {
            let text = self.text()?;
            self.words.push(Arc::from(text));
        }
        self.words.get(place - 1).cloned().map(Some).ok_or_else(|| self.damaged())
    }

    /// The error of this place.
    pub fn damaged(&self) -> codec::Error {
        codec::Error::Damaged(self.bytes.at())
    }

    fn text(&mut self) -> codec::Result<&'a str> {
        let at = self.bytes.at();
        let len = self.bytes.number()? as usize;
        let text = self.bytes.take(len)?;
        std::str::from_utf8(text).map_err(|_| codec::Error::Damaged(at))
    }

    fn point<P: Pack>(&mut self, before: Time) -> codec::Result<Point<P>> {
        let head = self.byte()?;
        let rank = self.byte()?;
        let time = Time(before.0.wrapping_add(self.number()?));
        let seq = if head & 4 == 0 { None } else { Some(self.bytes.number()?) };
        let id = if head & 8 == 0 { EventId::new(self.text()?) } else { letters(self.bytes.take(16)?) };
        let quality = match head & 3 {
            0 => None,
            1 => Some(Quality::Inferred),
            2 => Some(Quality::Snapshot),
            _ => Some(Quality::Late),
        };
        Ok(Point { time, seq, rank, id, quality, what: P::unpack(self)? })
    }
}

/// Some points, packed.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// When its first point was.
    pub first: Time,
    /// When its second was.
    pub second: Time,
    bytes: Box<[u8]>,
}

impl Chunk {
    /// Packs points in order, two at least.
    pub(super) fn of<'a, P: Pack + 'a>(points: impl Iterator<Item = &'a Point<P>>) -> Chunk {
        let mut out = Out { bytes: Vec::with_capacity(640), words: Vec::with_capacity(16) };
        let mut times = [Time(0); 2];
        let mut before = Time(0);
        for (i, point) in points.enumerate() {
            if let Some(time) = times.get_mut(i) {
                *time = point.time;
            }
            out.point(point, before);
            before = point.time;
        }
        let [first, second] = times;
        Chunk { first, second, bytes: out.bytes.as_slice().into() }
    }

    /// Unpacks them.
    fn read<P: Pack>(bytes: &[u8]) -> codec::Result<Vec<Point<P>>> {
        let mut from = In { bytes: Reader::new(bytes), words: Vec::new() };
        let (mut points, mut before) = (Vec::new(), Time(0));
        while from.bytes.at() < bytes.len() {
            let point = from.point(before)?;
            before = point.time;
            points.push(point);
        }
        Ok(points)
    }

    /// The points.
    pub(super) fn points<P: Pack>(&self) -> Vec<Point<P>> {
        Chunk::read(&self.bytes).expect("it was packed here, or read when it was loaded")
    }

    /// The first of the points.
    pub(super) fn head<P: Pack>(&self) -> Point<P> {
        let mut from = In { bytes: Reader::new(&self.bytes), words: Vec::new() };
        from.point(Time(0)).expect("it was packed here, or read when it was loaded")
    }

    /// As a store keeps it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads what [`Chunk::bytes`] gave; `None`: it is nothing of ours.
    pub(super) fn from_bytes<P: Pack>(bytes: Box<[u8]>) -> Option<Chunk> {
        let points = Chunk::read::<P>(&bytes).ok()?;
        let [first, second, ..] = points.as_slice() else { return None };
        Some(Chunk { first: first.time, second: second.time, bytes })
    }

    /// In place of one that is not at hand.
    pub(super) fn missing() -> Chunk {
        Chunk { first: Time(0), second: Time(0), bytes: Box::default() }
    }

    /// Reads the text that stood for a chunk before chunks stood apart; `None`: it is nothing of ours.
    pub(super) fn from_text<P: Pack>(text: &str) -> Option<Chunk> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes =
            pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect::<Option<Box<[u8]>>>()?;
        Chunk::from_bytes::<P>(bytes).filter(|_| rest.is_empty())
    }
}

const DIGITS: [u8; 16] = *b"0123456789abcdef";

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

/// An id of 32 small hexadecimal digits, as nearly all are.
fn digits(id: &[u8]) -> Option<[u8; 16]> {
    let id: &[u8; 32] = id.try_into().ok()?;
    let mut out = [0; 16];
    for (byte, [high, low]) in out.iter_mut().zip(id.as_chunks::<2>().0) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

fn letters(bytes: &[u8]) -> EventId {
    let mut text = [0; 32];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    EventId::new(std::str::from_utf8(&text).unwrap_or_default()) // digits are a text
}
