//! The time range of a question: RFC 3339, or a local date or date-time in the zone of the report.

use jiff::civil;
use jiff::tz::TimeZone;
use model::Time;

use super::Refused;

/// From (inclusive) to (exclusive), in a zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The first moment.
    pub from: Time,
    /// The moment after the last.
    pub to: Time,
    /// Whose days and borders these are.
    pub zone: TimeZone,
}

/// Finds a zone by its IANA name.
///
/// # Errors
/// Names the parameter and the value.
pub fn zone(name: &str) -> Result<TimeZone, Refused> {
    TimeZone::get(name).map_err(|_| Refused::value("zone", name, "is no IANA zone", "write one such as Asia/Shanghai"))
}

/// One border: `2026-11-21T08:30:00Z`, `2026-11-21T08:30` or `2026-11-21`.
///
/// # Errors
/// Names the parameter and the value.
pub fn moment(parameter: &'static str, text: &str, zone: &TimeZone) -> Result<Time, Refused> {
    let text = text.trim();
    // A `+` of an offset that was not percent-encoded arrives as a space.
    let offset = text.replacen(' ', "+", usize::from(text.len() > 19 && text.contains('T')));
    if let Ok(time) = Time::parse(&offset) {
        return Ok(time);
    }
    let local = text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(civil::DateTime::from));
    let found = local.ok().and_then(|local| local.to_zoned(zone.clone()).ok());
    found.map(|zoned| Time(zoned.timestamp().as_millisecond())).ok_or_else(|| {
        Refused::value(
            parameter,
            text,
            "is no time",
            "write 2026-11-21, 2026-11-21T08:30 (in the zone of the report) or 2026-11-21T08:30:00Z",
        )
    })
}

impl Range {
    /// Reads both borders; `from` must be before `to`, and no further from it than `days_max`.
    ///
    /// # Errors
    /// Names the parameter, the value and the bound.
    pub fn parse(from: &str, to: &str, zone: TimeZone, days_max: i64) -> Result<Range, Refused> {
        let (start, end) = (moment("from", from, &zone)?, moment("to", to, &zone)?);
        if start >= end {
            return Err(Refused::value("to", to, format!("is not after from={from}"), "write a later time"));
        }
        // An hour of grace: a range of whole days may hold the longer day of daylight saving.
        if end - start > days_max * 86_400_000 + 3_600_000 {
            return Err(Refused::value(
                "to",
                to,
                format!("is more than {days_max} days after from={from}"),
                format!("ask for at most {days_max} days at a time"),
            ));
        }
        Ok(Range { from: start, to: end, zone })
    }

    /// Today in a zone: from its midnight to the next.
    pub fn today(now: Time, zone: TimeZone) -> Range {
        let zoned = |time: Time| {
            jiff::Timestamp::from_millisecond(time.ms()).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_zoned(zone.clone())
        };
        let midnight =
            |day: civil::Date| day.to_zoned(zone.clone()).map_or(now, |zoned| Time(zoned.timestamp().as_millisecond()));
        let day = zoned(now).date();
        let next = day.tomorrow().unwrap_or(day);
        Range { from: midnight(day), to: midnight(next), zone }
    }
}

/// A moment in a zone, with its offset: `1999-02-01T00:00:00+02:00`.
pub fn local(time: Time, zone: &TimeZone) -> String {
    let Ok(stamp) = jiff::Timestamp::from_millisecond(time.ms()) else { return time.to_string() };
    stamp.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_midnight_of_the_zone_and_an_offset_speaks_for_itself() {
        let zone = zone("Asia/Jerusalem").unwrap();
        let midnight = moment("from", "1999-02-01", &zone).unwrap();
        assert_eq!(midnight.to_string(), "1999-01-31T22:00:00.000Z");
        assert_eq!(moment("from", "1999-02-01T00:00", &zone).unwrap(), midnight);
        assert_eq!(moment("from", "1999-02-01T00:00:00+02:00", &zone).unwrap(), midnight);
        assert_eq!(moment("from", "1999-02-01T00:00:00 02:00", &zone).unwrap(), midnight, "an unescaped plus");
        assert_eq!(local(midnight, &zone), "1999-02-01T00:00:00+02:00");
    }

    #[test]
    fn what_cannot_be_asked_is_refused_by_name() {
        let utc = || TimeZone::UTC;
        let refused = |from, to| Range::parse(from, to, utc(), 31).unwrap_err();
        assert_eq!(refused("yesterday", "1999-02-01").parameter, "from");
        assert_eq!(refused("1999-02-02", "1999-02-02").parameter, "to");
        assert!(refused("1999-01-01", "1999-02-02").detail.contains("31 days"));
        assert!(Range::parse("1999-01-01", "1999-02-01", utc(), 31).is_ok());
        assert!(zone("Mars/Base").is_err());
    }

    #[test]
    fn today_is_the_days_own_length() {
        let zone = zone("Europe/Berlin").unwrap();
        let range = Range::today(Time::parse("2026-10-25T12:00:00Z").unwrap(), zone);
        assert_eq!(range.to - range.from, 25 * 3_600_000);
    }
}
