use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::codec;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Said(Option<std::sync::Arc<str>>, i64);

impl Pack for Said {
    fn pack<'a>(&'a self, out: &mut Out<'a>) {
        out.word(self.0.as_deref());
        out.number(self.1);
    }

    fn unpack(from: &mut In<'_>) -> codec::Result<Self> {
        Ok(Said(from.word()?, from.number()?))
    }
}

fn point() -> impl Strategy<Value = Point<Said>> {
    let quality =
        prop::sample::select(vec![None, Some(Quality::Inferred), Some(Quality::Snapshot), Some(Quality::Late)]);
    let id = prop_oneof![
        (0u128..400).prop_map(|n| format!("{:032x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15_9e37_79b9_7f4a_7c15))),
        (0u32..400).prop_map(|n| format!("event {n}")),
        (0u32..4).prop_map(|n| format!("{n}").repeat(40)),
        Just("ABCDEF00112233445566778899aabbcc".to_owned()),
    ];
    let word = prop_oneof![Just(None), (0u32..9).prop_map(|n| Some(format!("呼叫-{n}").as_str().into()))];
    let said = (word, prop_oneof![any::<i64>(), 0i64..5]).prop_map(|(word, n)| Said(word, n));
    (-20 * 60..60 * 60i64, prop::option::of(0u64..3), 0u8..3, id, quality, said).prop_map(
        |(minute, seq, rank, id, quality, what)| Point {
            time: Time(minute * 60_000),
            seq,
            rank,
            id: EventId::new(id),
            quality,
            what,
        },
    )
}

/// The last word that was said, and since when; what is counted of it is in whom it is counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Last {
    word: Option<std::sync::Arc<str>>,
    /// As large as it ever was: what came late may change it for a long time.
    most: i64,
}

impl Standing for Last {
    type What = Said;

    fn become_what(&mut self, _: Time, what: &Said) {
        STEPS.set(STEPS.get() + 1);
        if what.0.is_some() {
            self.word.clone_from(&what.0);
        }
        self.most = self.most.max(what.1.min(4));
    }
}

thread_local! {
    /// Points that were gone through.
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// What was counted, and how often it is so now.
#[derive(Debug, Default, PartialEq)]
struct Book(std::collections::BTreeMap<String, i64>);

impl Book {
    fn add(&mut self, what: String, sign: i64) {
        let n = self.0.entry(what.clone()).or_default();
        *n += sign;
        if *n == 0 {
            self.0.remove(&what);
        }
    }
}

impl Count<Last> for Book {
    fn point(&mut self, s: &Last, p: &Point<Said>, sign: i64) {
        self.add(format!("{s:?} after {p:?}"), sign);
    }

    fn span(&mut self, s: &Last, from: Time, to: Time, sign: i64) {
        self.add(format!("{s:?} from {from:?} to {to:?}"), sign);
    }
}

/// The same without any packing, and counted from the beginning each time.
#[derive(Default)]
struct Plain {
    points: Vec<Point<Said>>,
    settled: usize,
}

impl Plain {
    fn add(&mut self, point: Point<Said>) -> Added {
        let held = &self.points[self.settled..];
        let Some(newest) = held.last() else {
            self.points.push(point);
            return Added::New;
        };
        if newest.order() >= point.order() && newest.time - point.time > WINDOW_MS {
            return Added::TooLate;
        }
        match held.binary_search_by(|p| p.order().cmp(&point.order())) {
            Ok(_) => return Added::Known,
            Err(i) => self.points.insert(self.settled + i, point),
        }
        let horizon = self.points[self.points.len() - 1].time + -WINDOW_MS;
        self.settled = self.settled.max(self.points.partition_point(|p| p.time < horizon).saturating_sub(1));
        Added::New
    }

    fn standing(&self, points: usize) -> Last {
        self.points[..points].iter().fold(Last::default(), Last::after)
    }

    fn book(&self) -> Book {
        let (mut book, mut s) = (Book::default(), Last::default());
        for (i, p) in self.points.iter().enumerate() {
            if i > 0 {
                book.span(&s, self.points[i - 1].time, p.time, 1);
            }
            s = s.after(p);
            book.point(&s, p, 1);
        }
        book
    }
}

fn all(track: &Track<Last>) -> Vec<Point<Said>> {
    let mut points = Vec::new();
    track.each(|p| points.push(p.clone()));
    points
}

/// What a store keeps of a track.
#[derive(Default)]
struct Shelf {
    head: String,
    past: std::collections::BTreeMap<u32, Vec<u8>>,
}

impl Shelf {
    /// Takes what changed; how many bytes that is.
    fn store(&mut self, track: &mut Track<Last>) -> usize {
        let mut written = 0;
        for piece in track.take_changed() {
            match piece.bytes {
                Some(bytes) => {
                    written += bytes.len();
                    self.past.insert(piece.number, bytes);
                }
                None => assert!(self.past.remove(&piece.number).is_some(), "it was never there"),
            }
        }
        self.head = serde_json::to_string(track).unwrap();
        written + self.head.len()
    }

    fn head(&self) -> Track<Last> {
        serde_json::from_str(&self.head).unwrap()
    }

    fn past(&self) -> HashMap<u32, &[u8]> {
        self.past.iter().map(|(number, bytes)| (*number, bytes.as_slice())).collect()
    }

    fn read(&self) -> Track<Last> {
        let mut track = self.head();
        track.restore(&self.past()).unwrap();
        track
    }
}

/// What is remembered of standings is what they are.
fn remembers_well(track: &Track<Last>, base: &Last) {
    let mut s = track.oldest.iter().fold(base.clone(), Last::after);
    for packed in &track.packed {
        assert!(packed.before.as_deref().is_none_or(|before| *before == s), "before a chunk");
        s = packed.chunk.points().iter().fold(s, Last::after);
    }
    assert!(track.before_recent.as_deref().is_none_or(|before| *before == s), "before the recent");
    s = track.recent.iter().fold(s, Last::after);
    assert!(track.now.as_ref().is_none_or(|now| *now == s), "now");
    assert_eq!(track.standing(base), s);
}

proptest! {
    #[test]
    fn points_in_any_order_come_to_what_they_come_to_in_theirs(
        mut points in prop::collection::vec(point(), 0..300),
        in_order in 0usize..300,
        mut stores in prop::collection::vec(0u8..40, 1..300),
    ) {
        // most come in order, as they do
        let in_order = in_order.min(points.len());
        points[..in_order].sort_by(|a, b| a.order().cmp(&b.order()));
        let (mut track, mut base, mut book) = (Track::default(), Last::default(), Book::default());
        let (mut plain, mut shelf) = (Plain::default(), Shelf::default());
        stores.resize(points.len().max(1), 1);
        for (n, point) in points.into_iter().enumerate() {
            let added = track.add(&mut base, point.clone(), &mut book);
            prop_assert_eq!(added, plain.add(point));
            prop_assert_eq!(&base, &plain.standing(plain.settled));
            prop_assert_eq!(all(&track), plain.points[plain.settled..].to_vec());
            prop_assert_eq!(track.newest(), plain.points.last());
            remembers_well(&track, &base);
            // Often only stored, sometimes read again.
            if stores[n] < 15 {
                shelf.store(&mut track);
                prop_assert_eq!(shelf.past.len(), track.packed.len());
                prop_assert_eq!(shelf.head().standing(&base), track.standing(&base));
                prop_assert_eq!(&shelf.read(), &track);
            }
            if stores[n] == 0 {
                track = shelf.read();
                remembers_well(&track, &base);
            }
        }
        prop_assert_eq!(book, plain.book());
    }

    #[test]
    fn chunks_of_a_stranger_are_refused_or_read_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        if let Some(chunk) = Chunk::from_text::<Said>(&text) {
            prop_assert!(chunk.points::<Said>().len() >= 2);
        }
        let (mut shelf, mut track) = (Shelf::default(), long(60));
        shelf.store(&mut track);
        let number = *shelf.past.keys().next().unwrap();
        let good = shelf.past.insert(number, bytes).unwrap();
        let damaged = shelf.head().restore(&shelf.past());
        prop_assert!(damaged == Err(Missing(number)) || damaged == Ok(()) && shelf.past[&number] != good);
    }
}

/// Point `i` of a day at work.
fn at_work(i: usize) -> Point<Said> {
    let what = Said(Some(format!("pbx1-1795227084.{}", i / 4).as_str().into()), 3);
    let id = EventId::new(format!("{:032x}", (i as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_9e37_79b9_7f4a_7c15)));
    Point { time: Time(i as i64 * 40_000), seq: None, rank: 3, id, quality: None, what }
}

fn long(n: usize) -> Track<Last> {
    let (mut track, mut base, mut book) = (Track::default(), Last::default(), Book::default());
    (0..n).for_each(|i| assert_eq!(track.add(&mut base, at_work(i), &mut book), Added::New));
    track
}

#[test]
fn who_comes_in_order_costs_a_step() {
    STEPS.set(0);
    long(2_000);
    assert_eq!(STEPS.get(), 2_000);
}

#[test]
fn who_comes_late_costs_what_it_changes_and_not_the_day() {
    let (mut base, mut book) = (Last::default(), Book::default());
    for late_by in [40, 1_000, 1_990] {
        let mut track = long(2_000);
        // The first goes through the day.
        let mut late = at_work(2_000 - late_by);
        (0..200).for_each(|n| {
            (late.time, late.id) = (late.time + 1, EventId::new(format!("late {n}")));
            if n == 1 {
                STEPS.set(0);
            }
            assert_eq!(track.add(&mut base, late.clone(), &mut book), Added::New);
        });
        let steps = STEPS.get() / 199;
        assert!(steps < 2 * 2 * CHUNK * 5, "{steps} points were gone through for each");
        remembers_well(&track, &base);
        let longest = track.packed.iter().map(|packed| packed.chunk.points::<Said>().len()).max();
        assert!(longest.is_some_and(|longest| longest <= 2 * CHUNK) && track.recent.len() <= 2 * CHUNK);
    }
}

#[test]
fn very_many_at_one_moment_are_told_apart_without_going_through_them() {
    let (mut track, mut base, mut book) = (Track::default(), Last::default(), Book::default());
    let at_once = |n: u32| Point { time: Time(7), id: EventId::new(format!("{n:09}")), ..at_work(0) };
    // Every second one first, then those between, from the last to the first, then all again.
    (0..4_000).for_each(|n| assert_eq!(track.add(&mut base, at_once(2 * n), &mut book), Added::New));
    STEPS.set(0);
    (0..4_000).rev().for_each(|n| assert_eq!(track.add(&mut base, at_once(2 * n + 1), &mut book), Added::New));
    (0..8_000).for_each(|n| assert_eq!(track.add(&mut base, at_once(n), &mut book), Added::Known));
    let steps = STEPS.get() / 4_000;
    assert!(steps < 2 * 2 * CHUNK * 5, "{steps} points were gone through for each");
    let ids: Vec<String> = all(&track).iter().map(|p| format!("{:?}", p.id)).collect();
    assert!(ids.is_sorted() && ids.len() == 8_000);
    remembers_well(&track, &base);
}

#[test]
fn a_day_at_work_is_packed_in_memory_and_written_once() {
    let (mut track, mut base, mut book) = (Track::default(), Last::default(), Book::default());
    let (mut shelf, mut plain, mut written) = (Shelf::default(), 0, Vec::new());
    for i in 0..1_000 {
        let point = at_work(i);
        plain += serde_json::to_string(&point).unwrap().len();
        assert_eq!(track.add(&mut base, point, &mut book), Added::New);
        written.push(shelf.store(&mut track));
    }
    let packed: usize = track.packed.iter().map(|packed| packed.chunk.bytes().len() + size_of::<Packed<Last>>()).sum();
    let unpacked = track.packed.len() * CHUNK * size_of::<Point<Said>>();
    assert!(packed * 2 < unpacked, "{packed} of {unpacked}");
    assert!(track.recent.len() <= 2 * CHUNK);
    let stored = shelf.head.len() + shelf.past.values().map(Vec::len).sum::<usize>();
    assert!(stored * 3 < plain, "{stored} of {plain}");
    let most = |of: &[usize]| of.iter().copied().max().unwrap_or(0);
    let (early, late) = (most(&written[40..140]), most(&written[900..]));
    assert!(late < early + 500, "{late} bytes for a point at the day's end, {early} at its beginning");
}

#[test]
fn what_is_missing_of_a_past_is_named() {
    let (mut shelf, mut track) = (Shelf::default(), long(100));
    shelf.store(&mut track);
    shelf.past.remove(&2);
    assert_eq!(shelf.head().restore(&shelf.past()), Err(Missing(2)));
}

#[test]
fn tracks_that_were_stored_in_former_forms_are_read() {
    let track = long(100);
    let points = all(&track);
    let unpacked = serde_json::json!({ "points": points }).to_string();
    let text = |chunk: &[Point<Said>]| {
        let digits = Chunk::of(chunk.iter()).bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        serde_json::Value::from(digits)
    };
    let chunks: Vec<_> = points[2..82].chunks(CHUNK).map(text).collect();
    let in_texts = serde_json::json!({ "oldest": points[..2], "chunks": chunks, "recent": points[82..] }).to_string();
    for former in [unpacked, in_texts] {
        let mut read: Track<Last> = serde_json::from_str(&former).unwrap();
        assert!(read == track && !read.packed.is_empty());
        assert_eq!(read.standing(&Last::default()), track.standing(&Last::default()));
        // Stored anew for a point that is refused: it is to be read again all the same.
        let (mut shelf, mut base, mut book) = (Shelf::default(), Last::default(), Book::default());
        let too_late = Point { time: Time(-2 * WINDOW_MS), ..at_work(0) };
        assert_eq!(read.add(&mut base, too_late, &mut book), Added::TooLate);
        shelf.store(&mut read);
        assert!(shelf.read() == track);
        assert_eq!(read.add(&mut Last::default(), at_work(100), &mut Book::default()), Added::New);
        shelf.store(&mut read);
        assert!(shelf.read() == long(101));
    }
    for bad in [r#"{"chunks":[]}"#, r#"{}"#, r#"{"chunks":["0g"],"recent":[]}"#, r#"{"past":[1],"near":[]}"#] {
        assert!(serde_json::from_str::<Track<Last>>(bad).is_err(), "{bad}");
    }
    for lost in ["near", "now"] {
        let mut head = serde_json::to_value(long(100)).unwrap();
        assert!(serde_json::from_value::<Track<Last>>(head.clone()).is_ok());
        head.as_object_mut().unwrap().remove(lost).unwrap();
        assert!(serde_json::from_value::<Track<Last>>(head).is_err(), "{lost}");
    }
    let short = serde_json::to_string(&long(20)).unwrap();
    assert!(short.starts_with(r#"{"points":["#), "as it always was");
}
