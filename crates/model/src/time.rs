//! A moment in milliseconds since the Unix epoch, UTC; RFC 3339 on the wire.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment: milliseconds since the Unix epoch, UTC. Written as RFC 3339 with milliseconds and `Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// The first moment of the year 0000, and the last of 9999.
const FIRST: Time = Time(-62_167_219_200_000);
const LAST: Time = Time(253_402_300_799_999);

/// A text that is no RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no RFC 3339 time such as 2026-11-21T08:30:00.000Z")]
pub struct Error(pub String);

impl Time {
    /// Milliseconds since the epoch.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// From whole seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Time {
        Time(secs * 1000)
    }

    /// Milliseconds from `earlier` to `self`, 0 when `earlier` is later.
    pub fn since(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// Reads RFC 3339; any offset, any number of decimals (kept to the millisecond). The years are 0000 to 9999: the calendar
    /// library reads others, too, but what is read must be writable again.
    pub fn parse(text: &str) -> Result<Time, Error> {
        if let Some(time) = fast(text.as_bytes()) {
            return Ok(time);
        }
        let read = text.parse::<jiff::Timestamp>().ok().map(|t| Time(t.as_millisecond()));
        read.filter(|time| (FIRST..=LAST).contains(time)).ok_or_else(|| Error(text.to_owned()))
    }
}

/// Reads the one form that we write ourselves, `YYYY-MM-DDTHH:MM:SS.mmmZ`, without the general parser.
pub(crate) fn fast(b: &[u8]) -> Option<Time> {
    let mark = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if b.len() != 24 || mark.iter().any(|&(i, c)| b[i] != c) {
        return None;
    }
    let num = |from: usize, to: usize| {
        b[from..to].iter().try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
    };
    let (y, m, d) = (num(0, 4)?, num(5, 7)?, num(8, 10)?);
    let (h, min, s, ms) = (num(11, 13)?, num(14, 16)?, num(17, 19)?, num(20, 23)?);
    let long = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let days = match m {
        2 => 28 + i64::from(long),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&d) || h > 23 || min > 59 || s > 59 {
        return None;
    }
    Some(Time((((days_from_civil(y, m, d) * 24 + h) * 60 + min) * 60 + s) * 1000 + ms))
}

/// The minute that was read last: events come in order of time, so nearly every time begins as the one before it.
#[derive(Debug)]
pub(crate) struct Minute {
    /// `YYYY-MM-DDTHH:MM:`
    text: [u8; 17],
    begins: i64,
}

impl Minute {
    /// None was read yet.
    pub(crate) const NONE: Minute = Minute { text: [0; 17], begins: 0 };

    /// Reads what [`fast`] reads, alike.
    pub(crate) fn read(&mut self, b: &[u8]) -> Option<Time> {
        let (minute, rest) = b.split_first_chunk::<17>()?;
        if *minute == self.text
            && let [s1, s2, b'.', m1, m2, m3, b'Z'] = rest
            && [s1, s2, m1, m2, m3].into_iter().all(u8::is_ascii_digit)
            && *s1 < b'6'
        {
            let digit = |byte: &u8| i64::from(byte - b'0');
            let ms = (digit(s1) * 10 + digit(s2)) * 1000 + digit(m1) * 100 + digit(m2) * 10 + digit(m3);
            return Some(Time(self.begins + ms));
        }
        let time = fast(b)?;
        *self = Minute { text: *minute, begins: time.0 - time.0.rem_euclid(60_000) };
        Some(time)
    }
}

/// Days from 1970-01-01 of a proleptic Gregorian date (Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(y: i64, m: i64, d: i64) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

fn civil_from_days(z: i64) -> (i64, i64, i64) {
    let z = z + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(m <= 2), m, doy - (153 * mp + 2) / 5 + 1)
}

impl Time {
    /// The parts that are written: year, month, day, hour, minute, second, millisecond.
    fn parts(self) -> [i64; 7] {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (y, m, d) = civil_from_days(days);
        let s = ms / 1000;
        [y, m, d, s / 3600, s / 60 % 60, s % 60, ms % 1000]
    }

    /// Its text, without the general formatter; `None`: the year has not four digits. Each event has two times, and they are a
    /// quarter of what it costs to write it.
    fn text(self) -> Option<[u8; 24]> {
        let parts = self.parts();
        if !(0..=9999).contains(&parts[0]) {
            return None;
        }
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (part, (end, digits)) in
            parts.into_iter().zip([(4, 4), (7, 2), (10, 2), (13, 2), (16, 2), (19, 2), (23, 3)])
        {
            let mut rest = part;
            for place in text[end - digits..end].iter_mut().rev() {
                *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        }
        Some(text)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [y, m, d, h, min, s, ms] = self.parts();
        write!(f, "{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{s:02}.{ms:03}Z")
    }
}

impl Add<i64> for Time {
    type Output = Time;
    fn add(self, ms: i64) -> Time {
        Time(self.0.saturating_add(ms))
    }
}

impl Sub for Time {
    type Output = i64;
    fn sub(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.text() {
            Some(text) => s.serialize_str(std::str::from_utf8(&text).unwrap_or_default()),
            None => s.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time such as 2026-11-21T08:30:00.000Z")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Time, E> {
                Time::parse(v).map_err(E::custom)
            }
        }
        d.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_and_decimals_are_read_to_the_millisecond() {
        assert_eq!(Time::parse("1970-01-01T01:00:00.1239+01:00").unwrap(), Time(123));
        assert_eq!(Time::parse("2026-02-28T23:59:59Z").unwrap().to_string(), "2026-02-28T23:59:59.000Z");
    }

    #[test]
    fn a_day_that_does_not_exist_is_refused() {
        for bad in ["2026-02-29T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "now", ""] {
            assert!(Time::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_read_can_be_written_at_both_ends_of_the_calendar_and_beyond_them_nothing_is_read() {
        for text in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "9999-12-30T20:59:59-01:00"] {
            let time = Time::parse(text).unwrap();
            assert_eq!(Time::parse(&time.to_string()).unwrap(), time, "{text}");
        }
        for bad in [
            "-000001-12-31T00:00:00Z",
            "-009998-01-01T00:00:00Z",
            "0000-01-01T00:00:00+01:00",
            "+010000-01-01T00:00:00Z",
        ] {
            assert!(Time::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn milliseconds_since_an_earlier_moment_are_never_below_zero() {
        assert_eq!(
            (Time(1_500).since(Time(1_000)), Time(1_000).since(Time(1_500)), Time(7).since(Time(7))),
            (500, 0, 0)
        );
        assert_eq!(
            (Time(1_000) - Time(1_500), Time(1_000) + 500, Time::from_secs(-2).ms()),
            (-500, Time(1_500), -2_000)
        );
    }

    #[test]
    fn a_time_in_json_is_a_text_and_a_number_is_told_what_is_wanted() {
        assert_eq!(serde_json::from_str::<Time>(r#""1970-01-01T00:00:01.000Z""#).unwrap(), Time(1_000));
        assert!(serde_json::from_str::<Time>("1000").unwrap_err().to_string().contains("RFC 3339"));
    }

    #[test]
    fn every_mark_of_the_written_form_must_stand_in_its_place() {
        let text = "2026-11-21T08:30:00.123Z";
        assert!(fast(text.as_bytes()).is_some(), "our own form needs no general parser");
        for place in 0..text.len() {
            let mut spoilt = text.as_bytes().to_vec();
            spoilt[place] = b'x';
            assert_eq!(fast(&spoilt), None, "{}", String::from_utf8_lossy(&spoilt));
        }
        assert_eq!((fast(&text.as_bytes()[..23]), fast(b"2026-11-21T08:30:00.123ZZ")), (None, None));
    }

    #[test]
    fn a_time_of_the_minute_that_was_read_before_is_read_alike() {
        let mut minute = Minute::NONE;
        for base in ["2026-11-21T08:30:", "1969-12-31T23:59:", "2026-11-21T08:31:"] {
            for rest in [
                "00.000Z", "59.999Z", "60.000Z", "61.000Z", "07.12xZ", "0:.000Z", "07.123z", "07.123ZZ", "07.12Z",
                "07,123Z",
            ] {
                let text = format!("{base}{rest}");
                for _ in 0..2 {
                    assert_eq!(minute.read(text.as_bytes()), fast(text.as_bytes()), "{text}");
                }
            }
        }
        assert_eq!((minute.read(b""), minute.read(b"2026-11-21T08:31:")), (None, None));
    }

    #[test]
    fn every_day_of_four_centuries_is_read_as_the_calendar_library_reads_it() {
        for year in 1999..=2400 {
            for month in 0..=13 {
                for day in [0, 1, 2, 15, 28, 29, 30, 31, 32] {
                    agrees(&format!("{year:04}-{month:02}-{day:02}T12:34:56.789Z"));
                }
            }
        }
    }

    #[test]
    fn hours_minutes_and_seconds_are_read_as_the_calendar_library_reads_them() {
        for n in (0..=99).filter(|n| *n != 60) {
            agrees(&format!("2026-11-21T{n:02}:34:56.789Z"));
            agrees(&format!("2026-11-21T12:{n:02}:56.789Z"));
            agrees(&format!("2026-11-21T12:34:{n:02}.789Z"));
            agrees(&format!("{:04}-01-01T00:00:00.{n:03}Z", n * 101));
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_written_as_the_calendar_library_writes_it() {
        let mut date = jiff::civil::date(1600, 1, 1);
        for day in 0..146_097 {
            let text = Time(-11_676_096_000_000 + day * 86_400_000).to_string();
            assert_eq!(text.strip_suffix("T00:00:00.000Z"), Some(date.to_string().as_str()));
            date = date.tomorrow().unwrap();
        }
    }

    #[test]
    fn a_leap_second_is_left_to_the_calendar_library() {
        assert_eq!(fast(b"2016-12-31T23:59:60.000Z"), None);
        assert_eq!(Time::parse("2016-12-31T23:59:60.000Z").unwrap(), Time::parse("2016-12-31T23:59:59.000Z").unwrap());
    }

    /// Our own form without the general parser: what it reads, that reads alike, and it refuses only what that refuses.
    fn agrees(text: &str) {
        let library = text.parse::<jiff::Timestamp>().ok().map(|t| Time(t.as_millisecond()));
        assert_eq!(fast(text.as_bytes()), library, "{text}");
    }

    #[test]
    fn years_of_more_or_fewer_digits_are_written_all_the_same() {
        for time in
            [Time(i64::from(i32::MIN) * 86_400_000), Time(i64::from(i32::MAX) * 86_400_000), LAST + 1, FIRST + -1]
        {
            assert_eq!(serde_json::to_string(&time).unwrap(), format!("\"{time}\""));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_agrees_with_the_calendar_library(ms in -62_135_596_800_000i64..253_402_207_200_000) {
            let text = Time(ms).to_string();
            prop_assert_eq!(Time::parse(&text).unwrap(), Time(ms));
            prop_assert_eq!(text.parse::<jiff::Timestamp>().unwrap().as_millisecond(), ms);
            // the short way to the wire writes the same
            prop_assert_eq!(serde_json::to_string(&Time(ms)).unwrap(), format!("\"{text}\""));
        }
    }
}
