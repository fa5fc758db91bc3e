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

/// The same without any packing.
#[derive(Default)]
struct Plain(Vec<Point<Said>>);

impl Plain {
    fn take(&mut self, point: Point<Said>) -> (&'static str, Vec<Point<Said>>) {
        let Some(newest) = self.0.last() else {
            self.0.push(point);
            return ("last", Vec::new());
        };
        let newest_at = newest.time;
        if newest.order() >= point.order() && newest_at - point.time > WINDOW_MS {
            return ("too late", Vec::new());
        }
        match self.0.binary_search_by(|p| p.order().cmp(&point.order())) {
            Ok(_) => return ("known", Vec::new()),
            Err(i) => self.0.insert(i, point),
        }
        let horizon = self.0[self.0.len() - 1].time + -WINDOW_MS;
        let old = self.0.partition_point(|p| p.time < horizon);
        let settled = self.0.drain(..old.saturating_sub(1)).collect();
        (if self.0.len() == 1 || newest_at < self.0[self.0.len() - 1].time { "last" } else { "in" }, settled)
    }
}

fn all(track: &Track<Said>) -> Vec<Point<Said>> {
    let mut points = Vec::new();
    track.each(|p| points.push(p.clone()));
    points
}

proptest! {
    #[test]
    fn packed_points_are_those_that_were_put_in(
        mut points in prop::collection::vec(point(), 0..300),
        in_order in 0usize..300,
        stored_after in 0usize..300,
    ) {
        // most come in order, as they do
        let in_order = in_order.min(points.len());
        points[..in_order].sort_by(|a, b| a.order().cmp(&b.order()));
        let (mut track, mut plain) = (Track::default(), Plain::default());
        for (n, point) in points.into_iter().enumerate() {
            let placed = track.place(&point);
            track.put(placed, point.clone());
            let settled = track.settle();
            let (how, expected) = plain.take(point);
            match placed {
                Placed::Duplicate => prop_assert_eq!(how, "known"),
                Placed::TooLate => prop_assert_eq!(how, "too late"),
                Placed::Last | Placed::At(_) => prop_assert!(how == "last" || how == "in"),
            }
            prop_assert_eq!(settled, expected);
            prop_assert_eq!(all(&track), plain.0.clone());
            prop_assert_eq!(track.newest(), plain.0.last());
            if n == stored_after {
                let text = serde_json::to_string(&track).unwrap();
                let read: Track<Said> = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&read, &track);
                track = read;
            }
        }
    }

    #[test]
    fn chunks_of_a_stranger_are_refused_or_read_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        if let Some(chunk) = Chunk::from_text::<Said>(&text) {
            prop_assert!(chunk.points::<Said>().len() >= 2);
        }
    }
}

fn long(n: usize) -> Track<Said> {
    let mut track = Track::default();
    for i in 0..n {
        let what = Said(Some(format!("pbx1-1795227084.{}", i / 4).as_str().into()), 3);
        let id = EventId::new(format!("{:032x}", (i as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_9e37_79b9_7f4a_7c15)));
        let point = Point { time: Time(i as i64 * 40_000), seq: None, rank: 3, id, quality: None, what };
        let placed = track.place(&point);
        track.put(placed, point);
    }
    track
}

#[test]
fn a_day_at_work_takes_a_third_of_the_room_in_the_store_and_a_quarter_in_memory() {
    let track = long(1_000);
    let mut plain = 0;
    track.each(|p| plain += serde_json::to_string(p).unwrap().len());
    let stored = serde_json::to_string(&track).unwrap().len();
    assert!(stored * 5 < plain * 3, "{stored} of {plain}");
    let packed: usize = track.packed.iter().map(|chunk| chunk.to_text().len() / 2 + size_of::<Chunk>()).sum();
    let unpacked = track.packed.len() * CHUNK * size_of::<Point<Said>>();
    assert!(packed * 2 < unpacked, "{packed} of {unpacked}");
    assert!(track.recent().len() <= 2 * CHUNK);
}

#[test]
fn a_track_that_was_stored_before_points_were_packed_is_read_and_packed() {
    let track = long(100);
    let points = all(&track);
    let before = serde_json::json!({ "points": points }).to_string();
    let read: Track<Said> = serde_json::from_str(&before).unwrap();
    assert!(read == track && !read.packed.is_empty());
    for bad in [r#"{"chunks":[]}"#, r#"{}"#, r#"{"chunks":["0g"],"recent":[]}"#] {
        assert!(serde_json::from_str::<Track<Said>>(bad).is_err(), "{bad}");
    }
    let short = serde_json::to_string(&long(20)).unwrap();
    assert!(short.starts_with(r#"{"points":["#), "as it always was");
}
