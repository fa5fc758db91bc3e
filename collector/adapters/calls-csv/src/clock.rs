//! The clocks of one row: `h:mm:ss` after a date, or moments of their own.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use model::Time;

use crate::config::Formats;

const DAY_S: i64 = 86_400;

/// Reads the clocks of a row one after the other; each may be the day after its predecessor.
pub(crate) struct Clocks<'a> {
    formats: &'a Formats,
    zone: &'a TimeZone,
    /// Midnight of the date column, and the last clock in seconds from there.
    date: Option<Date>,
    last_s: Option<i64>,
}

impl<'a> Clocks<'a> {
    /// For a row whose date column says `date`; unused when clocks carry their date.
    pub(crate) fn new(formats: &'a Formats, zone: &'a TimeZone, date: &str) -> Result<Clocks<'a>, String> {
        let date = if formats.moment.is_empty() {
            let read = Date::strptime(&formats.date, date.trim());
            Some(read.map_err(|_| format!("date {date:?} does not fit {:?}", formats.date))?)
        } else {
            None
        };
        Ok(Clocks { formats, zone, date, last_s: None })
    }

    /// The moment of `text`, the successor of the clock that was read before.
    pub(crate) fn read(&mut self, text: &str) -> Result<Time, String> {
        let text = text.trim();
        let Some(date) = self.date else {
            let read = DateTime::strptime(&self.formats.moment, text);
            return self.moment(read.map_err(|_| format!("time {text:?} does not fit {:?}", self.formats.moment))?);
        };
        let mut at_s = seconds(text).ok_or_else(|| format!("clock {text:?} is no h:mm:ss"))?;
        if let Some(last) = self.last_s {
            at_s += last.div_euclid(DAY_S) * DAY_S;
            if last - at_s > DAY_S / 2 {
                at_s += DAY_S; // more than twelve hours back: the next day
            }
        }
        self.last_s = Some(at_s);
        let days = jiff::Span::new().days(at_s.div_euclid(DAY_S));
        let civil = date.checked_add(days).map_err(|e| e.to_string())?.at(0, 0, 0, 0);
        let seconds = jiff::Span::new().seconds(at_s.rem_euclid(DAY_S));
        self.moment(civil.checked_add(seconds).map_err(|e| e.to_string())?)
    }

    fn moment(&self, civil: DateTime) -> Result<Time, String> {
        let zoned = self.zone.to_zoned(civil).map_err(|e| e.to_string())?;
        Ok(Time(zoned.timestamp().as_millisecond()))
    }
}

/// `h:mm:ss` in seconds.
fn seconds(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let mut next = |max: i64| {
        let part = parts.next()?;
        let digits = !part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten().filter(|n| (0..=max).contains(n))
    };
    let (h, m, s) = (next(23)?, next(59)?, next(59)?);
    parts.next().is_none().then_some((h * 60 + m) * 60 + s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Vec<String> {
        let formats = Formats { date: "%y%m%d".to_owned(), ..Formats::default() };
        let zone = TimeZone::UTC;
        let mut clocks = Clocks::new(&formats, &zone, "990228").unwrap();
        texts.iter().map(|t| clocks.read(t).unwrap().to_string()).collect()
    }

    #[test]
    fn a_clock_twelve_hours_back_is_the_next_day_and_a_little_back_is_not() {
        let got = read(&["23:59:50", "0:00:10", "0:00:09", "0:01:00"]);
        let want = [
            "1999-02-28T23:59:50.000Z",
            "1999-03-01T00:00:10.000Z",
            "1999-03-01T00:00:09.000Z",
            "1999-03-01T00:01:00.000Z",
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn what_is_no_clock_is_refused() {
        for bad in ["", "7", "7:5:60", "24:00:00", "7:00:00:00", "-1:00:00", "a:bc:de"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        assert_eq!(seconds("7:02:47"), Some(25_367));
    }
}
