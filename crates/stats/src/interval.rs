//! Intervals in a tenant's time zone, and base rows merged into them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::Time;

use crate::field::Field;
use crate::key::RowKey;
use crate::tally::{Row, Tally};

/// How long a report's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interval {
    /// 1, 5, 15, 30 or 60 minutes of the wall clock.
    Minutes(u32),
    /// From midnight to midnight; 23 or 25 hours when the clock changes.
    Day,
    /// The whole range as one.
    All,
}

/// Why there are no intervals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such interval.
    #[error("there is no interval {0:?}, want 1m, 5m, 15m, 30m, 1h, 1d or all")]
    Unknown(String),
    /// The range is empty or runs backwards.
    #[error("the range from {from} to {to} is empty")]
    Empty {
        /// From when.
        from: Time,
        /// To when.
        to: Time,
    },
    /// The range holds too many intervals.
    #[error("the range holds more than {max} intervals: ask for a shorter range or a longer interval")]
    TooMany {
        /// How many are allowed.
        max: usize,
    },
    /// A time outside of the calendar.
    #[error("{0} is outside of the calendar")]
    Calendar(i64),
}

impl Interval {
    /// From `1m 5m 15m 30m 1h (60m) 1d all`.
    pub fn parse(text: &str) -> Result<Interval, Error> {
        Ok(match text {
            "1m" => Interval::Minutes(1),
            "5m" => Interval::Minutes(5),
            "15m" => Interval::Minutes(15),
            "30m" => Interval::Minutes(30),
            "1h" | "60m" => Interval::Minutes(60),
            "1d" => Interval::Day,
            "all" => Interval::All,
            _ => return Err(Error::Unknown(text.to_owned())),
        })
    }

    /// The borders of the intervals that touch [`from`, `to`): the first at or before `from`, the last at or after `to`. For
    /// [`Interval::All`] the two ends themselves. At most `max` intervals.
    pub fn borders(self, zone: &TimeZone, from: Time, to: Time, max: usize) -> Result<Vec<Time>, Error> {
        if from >= to {
            return Err(Error::Empty { from, to });
        }
        if self == Interval::All {
            return Ok(vec![from, to]);
        }
        let mut borders = vec![self.floor(zone, from)?];
        while let Some(&last) = borders.last().filter(|b| **b < to) {
            if borders.len() > max {
                return Err(Error::TooMany { max });
            }
            borders.push(self.next(zone, last)?);
        }
        Ok(borders)
    }

    /// The start of the interval that `at` is in.
    pub fn floor(self, zone: &TimeZone, at: Time) -> Result<Time, Error> {
        match self {
            Interval::All => Ok(at),
            Interval::Day => {
                let date = timestamp(at)?.to_zoned(zone.clone()).date();
                midnight(zone, date, at)
            }
            Interval::Minutes(n) => {
                let step = i64::from(n) * 60_000;
                let offset = offset_ms(zone, at)?;
                let aligned = Time(at.0 - (at.0 + offset).rem_euclid(step));
                // where the clock changed since, the interval begins at the first border of the new clock, or at the change
                let before = offset_ms(zone, aligned)?;
                if before == offset { Ok(aligned) } else { Ok(aligned.max(self.change(zone, aligned, at)?)) }
            }
        }
    }

    /// The first moment of (`a`, `b`] with the offset of `b`.
    fn change(self, zone: &TimeZone, a: Time, b: Time) -> Result<Time, Error> {
        let now = offset_ms(zone, b)?;
        let (mut low, mut high) = (a.0, b.0);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if offset_ms(zone, Time(middle))? == now { high = middle } else { low = middle }
        }
        Ok(Time(high))
    }

    /// The start of the interval after the one that begins at `start`.
    pub fn next(self, zone: &TimeZone, start: Time) -> Result<Time, Error> {
        match self {
            Interval::All => Ok(start),
            Interval::Day => {
                let date = timestamp(start)?.to_zoned(zone.clone()).date();
                let next = date.tomorrow().map_err(|_| Error::Calendar(start.0))?;
                midnight(zone, next, start)
            }
            Interval::Minutes(n) => {
                let step = i64::from(n) * 60_000;
                let offset = offset_ms(zone, start)?;
                let next = start + (step - (start.0 + offset).rem_euclid(step));
                if offset_ms(zone, next)? == offset {
                    return Ok(next);
                }
                self.change(zone, start, next) // the clock changes on the way: so far and no further
            }
        }
    }
}

fn timestamp(at: Time) -> Result<Timestamp, Error> {
    Timestamp::from_millisecond(at.0).map_err(|_| Error::Calendar(at.0))
}

fn offset_ms(zone: &TimeZone, at: Time) -> Result<i64, Error> {
    Ok(i64::from(zone.to_offset(timestamp(at)?).seconds()) * 1000)
}

fn midnight(zone: &TimeZone, date: jiff::civil::Date, near: Time) -> Result<Time, Error> {
    let zoned = date.to_zoned(zone.clone()).map_err(|_| Error::Calendar(near.0))?;
    Ok(Time(zoned.timestamp().as_millisecond()))
}

/// Which attribution a report reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attribution {
    /// Each fact in the interval in which it happened.
    #[default]
    Event,
    /// All outcomes of a segment in the interval in which it was offered.
    Cohort,
}

/// The rows of one thing in one interval, as one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// The sum. Its levels are taken out: they are below.
    pub tally: Tally,
    /// The most who waited at once, at whole seconds.
    pub max_waiting: i64,
    /// The most who were served at once, at whole seconds.
    pub max_in_service: i64,
    /// How many waited at the first second.
    pub waiting_at_start: i64,
    /// How many were served at the first second.
    pub in_service_at_start: i64,
}

/// Merges base rows into intervals. `borders` ascend; a row belongs to the interval that its start is in, others are left
/// out. `group` names what a row counts for (`None`: leave it out): group by the id for a report by queue, by a constant for
/// one line of all. Rows of one key may come in parts and in any order. Levels are additive only between rows of one moment,
/// so peaks are found here: sum the parts, then follow the seconds.
///
/// Gives (number of the interval, group) → merged. Peaks come from event-time rows in both attributions.
pub fn merge<'a>(
    rows: impl IntoIterator<Item = (&'a RowKey, &'a Row)>,
    borders: &[Time],
    attribution: Attribution,
    group: impl Fn(&RowKey) -> Option<Arc<str>>,
) -> BTreeMap<(usize, Arc<str>), Merged> {
    let mut parts: BTreeMap<(usize, Arc<str>), Parts<'_>> = BTreeMap::new();
    for (key, row) in rows {
        let slot = borders.partition_point(|b| *b <= key.start);
        if slot == 0 || slot == borders.len() {
            continue;
        }
        if let Some(name) = group(key) {
            parts.entry((slot - 1, name)).or_default().push((key.start, row));
        }
    }
    parts.into_iter().map(|((slot, name), rows)| ((slot, name), merge_one(&rows, borders[slot], attribution))).collect()
}

/// Base rows of one thing in one interval, with their starts.
type Parts<'a> = Vec<(Time, &'a Row)>;

fn merge_one(rows: &[(Time, &Row)], start: Time, attribution: Attribution) -> Merged {
    let mut tally = Tally::sum(rows.iter().map(|(_, row)| match attribution {
        Attribution::Event => &row.event,
        Attribution::Cohort => &row.cohort,
    }));
    tally.clear(Field::Waiting);
    tally.clear(Field::InService);
    let (max_waiting, waiting_at_start) = level(rows, Field::Waiting, start);
    let (max_in_service, in_service_at_start) = level(rows, Field::InService, start);
    Merged { tally, max_waiting, max_in_service, waiting_at_start, in_service_at_start }
}

/// The highest level at a whole second, and the level at the first.
fn level(rows: &[(Time, &Row)], field: Field, start: Time) -> (i64, i64) {
    let cells = rows.iter().flat_map(|(at, row)| row.event.cells(field).map(move |(sub, n)| (*at, sub, n)));
    let mut steps: Vec<(Time, u32, i64)> = cells.collect();
    steps.sort_unstable_by_key(|s| (s.0, s.1));
    let (mut now, mut max, mut first, mut row) = (0, 0, 0, None);
    for (i, &(at, sub, n)) in steps.iter().enumerate() {
        if row != Some(at) {
            now = 0; // each row says what it begins with
            row = Some(at);
        }
        now += n;
        if steps.get(i + 1).is_some_and(|next| (next.0, next.1) == (at, sub)) {
            continue; // all comings and goings of one second are one step
        }
        max = max.max(now);
        if at == start && sub == 0 {
            first = now;
        }
    }
    (max, first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Dim, Grains};
    use crate::rows::Rows;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> Time {
        Time::parse(text).unwrap()
    }

    #[test]
    fn days_have_23_and_25_hours_when_the_clock_changes() {
        let berlin = zone("Europe/Berlin");
        let spring = Interval::Day.borders(&berlin, at("2026-03-29T10:00:00Z"), at("2026-03-29T11:00:00Z"), 9).unwrap();
        assert_eq!(spring[1] - spring[0], 23 * 3_600_000);
        let autumn = Interval::Day.borders(&berlin, at("2026-10-25T10:00:00Z"), at("2026-10-25T11:00:00Z"), 9).unwrap();
        assert_eq!(autumn[1] - autumn[0], 25 * 3_600_000);
    }

    #[test]
    fn half_hours_follow_the_wall_clock_of_a_quarter_hour_zone() {
        let nepal = zone("Asia/Kathmandu"); // +05:45
        let b =
            Interval::Minutes(30).borders(&nepal, at("2026-01-01T00:20:00Z"), at("2026-01-01T01:00:00Z"), 9).unwrap();
        assert_eq!(b, [at("2026-01-01T00:15:00Z"), at("2026-01-01T00:45:00Z"), at("2026-01-01T01:15:00Z")]);
    }

    #[test]
    fn borders_ascend_and_cover_a_half_hour_clock_change() {
        let lord_howe = zone("Australia/Lord_Howe"); // changes by 30 minutes
        for n in [1, 5, 15, 30, 60] {
            let (from, to) = (at("2026-04-04T00:00:00Z"), at("2026-04-06T00:00:00Z"));
            let b = Interval::Minutes(n).borders(&lord_howe, from, to, 10_000).unwrap();
            assert!(b.windows(2).all(|w| w[0] < w[1] && w[1] - w[0] <= i64::from(n) * 60_000), "{n}");
            assert!(b[0] <= from && *b.last().unwrap() >= to);
            for w in b.windows(2) {
                let inside = Time((w[0].0 + w[1].0) / 2);
                assert_eq!(Interval::Minutes(n).floor(&lord_howe, inside).unwrap(), w[0], "{n} at {inside}");
            }
        }
    }

    #[test]
    fn too_many_intervals_and_empty_ranges_are_refused() {
        let utc = TimeZone::UTC;
        assert_eq!(Interval::Day.borders(&utc, Time(5), Time(5), 9), Err(Error::Empty { from: Time(5), to: Time(5) }));
        assert_eq!(Interval::Minutes(1).borders(&utc, Time(0), Time(3_600_000), 9), Err(Error::TooMany { max: 9 }));
        assert!(Interval::parse("2h").unwrap_err().to_string().contains("15m"));
    }

    #[test]
    fn a_peak_across_base_rows_is_that_of_the_seconds() {
        let mut rows = Rows::new(Grains::default());
        let scope = rows.scope(&"t".into(), &"s".into(), Dim::Queue, &Arc::from("q"));
        for (from, to) in [(50, 70), (55, 130), (70, 75), (71, 72)] {
            rows.level(&scope, Field::Waiting, Time(from * 1000), Some(Time(to * 1000)), 1);
        }
        let rows = rows.sorted();
        let all = |k: &RowKey| Some(k.id.clone());
        let merged = merge(rows.iter().map(|(k, r)| (k, r)), &[Time(0), Time(300_000)], Attribution::Event, all);
        let m = &merged[&(0, Arc::from("q"))];
        // at 70 one goes and one comes, at 71 another comes: 2, then 3
        assert_eq!((m.max_waiting, m.waiting_at_start), (3, 0));
        let merged = merge(rows.iter().map(|(k, r)| (k, r)), &[Time(60_000), Time(120_000)], Attribution::Event, all);
        assert_eq!(merged[&(0, Arc::from("q"))].waiting_at_start, 2);
    }
}
