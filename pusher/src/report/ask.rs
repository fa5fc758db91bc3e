//! What can be asked of the reports, as text: the query string of the HTTP face and the flags of the command line.

use jiff::tz::TimeZone;
use model::{AgentId, Directory, QueueId, SourceId, TenantId, Time};
use serde::Deserialize;
use stats::Dim;
use stats::interval::{Attribution, Interval};
use stats::policy::Policy;
use store::reports::CallFilter;
use utoipa::IntoParams;

use super::Refused;
use super::flat::Format;
use super::range::{self, Range};

/// Bounds of one report.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest range, in days.
    pub days: i64,
    /// The most rows.
    pub rows: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { days: 400, rows: 200_000 }
    }
}

/// What everybody may ask of a range of time.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct IntervalsAsked {
    /// First moment: RFC 3339, or a date or date-time in the zone of the report. Default: today's midnight.
    pub from: Option<String>,
    /// Moment after the last. Default: the next midnight.
    pub to: Option<String>,
    /// `1m`, `5m`, `15m`, `30m`, `1h`, `1d` or `all` (one row for the range). Agents, devices and teams: from `15m` up. Default `30m`.
    pub interval: Option<String>,
    /// `queue`, `agent`, `device`, `team`, `source`, `trunk`, `ivr` or `tenant`. Default `queue`.
    pub by: Option<String>,
    /// Only these ids, separated by commas.
    pub id: Option<String>,
    /// Only this tenant.
    pub tenant: Option<String>,
    /// Only this source.
    pub source: Option<String>,
    /// A service-level policy. Default `of_offered`.
    pub policy: Option<String>,
    /// The service-level threshold, such as `20s` or `20`. Default: the queue's own.
    pub threshold: Option<String>,
    /// `true`: all outcomes of a segment count in the interval in which it was offered. Default `false`.
    pub cohort: Option<String>,
    /// `true`: `repeat_attempts` and `fcr`, too, from the call records; by tenant, source or queue (within that queue). Default `false`.
    pub callers: Option<String>,
    /// `true`: rows for intervals without traffic, too. Default `false`.
    pub fill: Option<String>,
    /// IANA name of the zone of borders and local times. Default: the tenant's.
    pub zone: Option<String>,
    /// `json`, `csv` or `ndjson`. Default: by `Accept`, else `json`.
    pub format: Option<String>,
}

/// A report by interval.
#[derive(Clone, Debug)]
pub struct Intervals {
    /// The range; widened to whole intervals when it is answered.
    pub range: Range,
    /// How long the rows are.
    pub interval: Interval,
    /// What a row is of.
    pub by: Dim,
    /// Only these; empty: all.
    pub ids: Vec<String>,
    /// Only this tenant.
    pub tenant: Option<TenantId>,
    /// Only this source.
    pub source: Option<SourceId>,
    /// How the service level is computed.
    pub policy: Policy,
    /// Its threshold, milliseconds; `None`: each queue's own.
    pub threshold_ms: Option<i64>,
    /// Where outcomes count.
    pub attribution: Attribution,
    /// What callers' histories tell, too.
    pub callers: bool,
    /// Rows for intervals without traffic.
    pub fill: bool,
    /// Bounds.
    pub bounds: Bounds,
}

impl Intervals {
    /// What stands beside the rows of a JSON answer: what was really asked, defaults filled in.
    pub fn head(&self) -> serde_json::Map<String, serde_json::Value> {
        let zone = self.range.zone.iana_name().unwrap_or("UTC");
        serde_json::Map::from_iter([
            ("from".to_owned(), serde_json::json!(self.range.from)),
            ("to".to_owned(), serde_json::json!(self.range.to)),
            ("zone".to_owned(), serde_json::json!(zone)),
            ("policy".to_owned(), serde_json::json!(self.policy.to_string())),
        ])
    }
}

/// What everybody may ask of calls.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct CallsAsked {
    /// First moment of the offer: RFC 3339, or a date or date-time in the zone of the report. Default: today's midnight.
    pub from: Option<String>,
    /// Moment after the last. Default: the next midnight.
    pub to: Option<String>,
    /// That entered this queue.
    pub queue: Option<String>,
    /// That this agent answered.
    pub agent: Option<String>,
    /// That left a queue for this cause, such as `abandoned`.
    pub cause: Option<String>,
    /// Of this source.
    pub source: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// `inbound`, `outbound` or `internal`.
    pub direction: Option<String>,
    /// Of the caller with this token.
    pub caller: Option<String>,
    /// `true`: only those that are over; `false`: only those that are not.
    pub closed: Option<String>,
    /// `oldest` (default) or `newest` first.
    pub order: Option<String>,
    /// The most calls of this page, 1 to 1000. Default 100.
    pub limit: Option<String>,
    /// Where the page begins: `next` of the page before.
    pub cursor: Option<String>,
    /// IANA name of the zone. Default: the tenant's.
    pub zone: Option<String>,
    /// `json`, `csv` or `ndjson`. Default: by `Accept`, else `json`.
    pub format: Option<String>,
}

/// A page of calls.
#[derive(Clone, Debug)]
pub struct Calls {
    /// Which.
    pub filter: CallFilter,
    /// After which.
    pub after: Option<store::reports::Cursor>,
    /// The most of them.
    pub limit: usize,
    /// The zone of local times.
    pub zone: TimeZone,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Names, thresholds, zones.
    pub directory: &'a Directory,
    /// Only this tenant may be seen; `None`: all.
    pub tenant: Option<&'a str>,
    /// Now.
    pub now: Time,
    /// Bounds.
    pub bounds: Bounds,
}

fn yes(parameter: &'static str, text: Option<&str>) -> Result<bool, Refused> {
    match text {
        None | Some("false" | "0" | "no") => Ok(false),
        Some("" | "true" | "1" | "yes") => Ok(true),
        Some(other) => Err(Refused::value(parameter, other, "is neither true nor false", "write true or false")),
    }
}

/// `20s`, `500ms`, `2m`, or plain seconds.
fn threshold(text: &str) -> Result<i64, Refused> {
    let refused = || Refused::value("threshold", text, "is no duration", "write 20s, 500ms, 2m or plain seconds");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| refused())?;
    let unit = match &text[digits.len()..] {
        "" | "s" => 1000.0,
        "ms" => 1.0,
        "m" => 60_000.0,
        _ => return Err(refused()),
    };
    let ms = number * unit;
    if !(0.0..=86_400_000.0).contains(&ms) {
        return Err(Refused::value("threshold", text, "is not between 0 and a day", "write one such as 20s"));
    }
    Ok(ms.round() as i64)
}

impl Asker<'_> {
    /// The tenant of a question, which a scoped asker cannot choose.
    fn tenant(&self, asked: Option<&str>) -> Result<Option<TenantId>, Refused> {
        match (self.tenant, asked.filter(|asked| !asked.is_empty())) {
            (Some(own), Some(asked)) if own != asked => {
                Err(Refused::value("tenant", asked, format!("is not {own}, which the token is for"), "leave it out"))
            }
            (Some(own), _) => Ok(Some(TenantId::new(own))),
            (None, asked) => Ok(asked.map(TenantId::new)),
        }
    }

    /// The zone: as asked, else the tenant's, else that of the only tenant there is.
    fn zone(&self, asked: Option<&str>, tenant: Option<&TenantId>) -> Result<TimeZone, Refused> {
        if let Some(name) = asked {
            return range::zone(name);
        }
        let tenants = &self.directory.tenants;
        let only = tenants.keys().next().filter(|_| tenants.len() == 1);
        let name = tenant.or(only).map(|tenant| self.directory.tenant(tenant).time_zone);
        name.map_or(Ok(TimeZone::UTC), |name| range::zone(&name))
    }

    fn range(&self, from: Option<&str>, to: Option<&str>, zone: TimeZone) -> Result<Range, Refused> {
        let today = Range::today(self.now, zone.clone());
        let from = from.map_or_else(|| today.from.to_string(), str::to_owned);
        let to = to.map_or_else(|| today.to.to_string(), str::to_owned);
        Range::parse(&from, &to, zone, self.bounds.days)
    }

    /// Reads a question about intervals.
    ///
    /// # Errors
    /// Names the parameter, and what to write instead.
    pub fn intervals(&self, asked: &IntervalsAsked) -> Result<Intervals, Refused> {
        let tenant = self.tenant(asked.tenant.as_deref())?;
        let zone = self.zone(asked.zone.as_deref(), tenant.as_ref())?;
        let interval = asked.interval.as_deref().unwrap_or("30m");
        let interval =
            Interval::parse(interval).map_err(|error| Refused { parameter: "interval", detail: error.to_string() })?;
        let by = asked.by.as_deref().unwrap_or("queue");
        let by = Dim::parse(by).ok_or_else(|| {
            let all = Dim::ALL.map(Dim::as_str).join(", ");
            Refused::value("by", by, "is nothing to report by", format!("write one of {all}"))
        })?;
        if matches!(by, Dim::Agent | Dim::Device | Dim::Team) && matches!(interval, Interval::Minutes(n) if n < 15) {
            let what = format!("is finer than by={by} is kept");
            return Err(Refused::value(
                "interval",
                asked.interval.as_deref().unwrap_or(""),
                what,
                "write 15m or longer",
            ));
        }
        let policy = Policy::parse(asked.policy.as_deref().unwrap_or("of_offered"))
            .map_err(|error| Refused { parameter: "policy", detail: error.to_string() })?;
        let ids = asked.id.as_deref().unwrap_or("").split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        let cohort = yes("cohort", asked.cohort.as_deref())?;
        let callers = yes("callers", asked.callers.as_deref())?;
        if callers && !matches!(by, Dim::Tenant | Dim::Source | Dim::Queue) {
            let what = format!("is not told by={by}");
            return Err(Refused::value("callers", "true", what, "ask by tenant, source or queue"));
        }
        Ok(Intervals {
            range: self.range(asked.from.as_deref(), asked.to.as_deref(), zone)?,
            interval,
            by,
            ids,
            tenant,
            source: asked.source.as_deref().map(SourceId::new),
            policy,
            threshold_ms: asked.threshold.as_deref().map(threshold).transpose()?,
            attribution: if cohort { Attribution::Cohort } else { Attribution::Event },
            callers,
            fill: yes("fill", asked.fill.as_deref())?,
            bounds: self.bounds,
        })
    }

    /// Reads a question about agents: as [`Asker::intervals`], `by` agent, and one row for the range when no interval is given.
    ///
    /// # Errors
    /// Names the parameter, and what to write instead.
    pub fn agents(&self, asked: &IntervalsAsked) -> Result<Intervals, Refused> {
        if let Some(by) = asked.by.as_deref().filter(|by| *by != "agent") {
            return Err(Refused::value("by", by, "is not agent", "leave it out, or ask /v1/reports/intervals"));
        }
        let interval = asked.interval.clone().or_else(|| Some("all".to_owned()));
        self.intervals(&IntervalsAsked { by: Some("agent".to_owned()), interval, ..asked.clone() })
    }

    /// Reads a question about calls.
    ///
    /// # Errors
    /// Names the parameter, and what to write instead.
    pub fn calls(&self, asked: &CallsAsked) -> Result<Calls, Refused> {
        let tenant = self.tenant(asked.tenant.as_deref())?;
        let zone = self.zone(asked.zone.as_deref(), tenant.as_ref())?;
        let range = self.range(asked.from.as_deref(), asked.to.as_deref(), zone)?;
        let limit = asked.limit.as_deref().unwrap_or("100");
        let limit =
            limit.parse::<usize>().ok().filter(|n| (1..=store::reports::PAGE_MAX).contains(n)).ok_or_else(|| {
                let bound = format!("is not a whole number from 1 to {}", store::reports::PAGE_MAX);
                Refused::value("limit", limit, bound, "write one such as 100")
            })?;
        let newest_first = match asked.order.as_deref() {
            None | Some("oldest") => false,
            Some("newest") => true,
            Some(other) => return Err(Refused::value("order", other, "is no order", "write oldest or newest")),
        };
        let closed = asked.closed.as_deref().map(|text| yes("closed", Some(text))).transpose()?;
        let filter = CallFilter {
            tenant,
            source: asked.source.as_deref().map(SourceId::new),
            queue: asked.queue.as_deref().map(QueueId::new),
            agent: asked.agent.as_deref().map(AgentId::new),
            cause: asked.cause.clone(),
            direction: asked.direction.clone(),
            caller: asked.caller.clone(),
            closed,
            newest_first,
            ..CallFilter::new(range.from, range.to)
        };
        let after = asked.cursor.as_deref().map(super::cursor::read).transpose()?;
        Ok(Calls { filter, after, limit, zone: range.zone })
    }

    /// The form of the answer: as asked, else as `accept` prefers, else JSON.
    ///
    /// # Errors
    /// Names the parameter.
    pub fn format(asked: Option<&str>, accept: &str) -> Result<Format, Refused> {
        if let Some(name) = asked {
            return Format::parse(name)
                .ok_or_else(|| Refused::value("format", name, "is no format", "write json, csv or ndjson"));
        }
        let wants = |media: &str| accept.split(',').any(|part| part.trim().starts_with(media));
        Ok(if wants("text/csv") {
            Format::Csv
        } else if wants("application/x-ndjson") {
            Format::Ndjson
        } else {
            Format::Json
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(directory: &Directory) -> Asker<'_> {
        Asker { directory, tenant: None, now: Time::parse("2026-11-21T08:00:00Z").unwrap(), bounds: Bounds::default() }
    }

    #[test]
    fn without_anything_asked_it_is_today_by_queue_and_half_hour() {
        let directory = Directory::default();
        let asked = asker(&directory).intervals(&IntervalsAsked::default()).unwrap();
        assert_eq!((asked.by, asked.interval), (Dim::Queue, Interval::Minutes(30)));
        assert_eq!(asked.range.from.to_string(), "2026-11-21T00:00:00.000Z");
        assert_eq!(asked.range.to - asked.range.from, 86_400_000);
    }

    #[test]
    fn each_parameter_that_cannot_be_is_refused_by_name() {
        let directory = Directory::default();
        let refused = |change: fn(&mut IntervalsAsked)| {
            let mut asked = IntervalsAsked::default();
            change(&mut asked);
            asker(&directory).intervals(&asked).unwrap_err().parameter
        };
        assert_eq!(refused(|a| a.by = Some("colour".into())), "by");
        assert_eq!(refused(|a| a.interval = Some("7m".into())), "interval");
        assert_eq!(refused(|a| (a.by, a.interval) = (Some("agent".into()), Some("5m".into()))), "interval");
        assert_eq!(refused(|a| a.policy = Some("kind".into())), "policy");
        assert_eq!(refused(|a| a.threshold = Some("soon".into())), "threshold");
        assert_eq!(refused(|a| a.threshold = Some("-3s".into())), "threshold");
        assert_eq!(refused(|a| a.cohort = Some("maybe".into())), "cohort");
        assert_eq!(refused(|a| a.zone = Some("Mars".into())), "zone");
        assert_eq!(refused(|a| a.from = Some("2020-01-01".into())), "to");
        assert_eq!(threshold("20").unwrap() + threshold("500ms").unwrap() + threshold("2m").unwrap(), 140_500);
    }

    #[test]
    fn a_token_of_one_tenant_cannot_ask_for_another() {
        let directory = Directory::default();
        let scoped = Asker { tenant: Some("bank"), ..asker(&directory) };
        assert_eq!(scoped.intervals(&IntervalsAsked::default()).unwrap().tenant, Some("bank".into()));
        let other = IntervalsAsked { tenant: Some("shop".into()), ..Default::default() };
        assert_eq!(scoped.intervals(&other).unwrap_err().parameter, "tenant");
        assert_eq!(scoped.calls(&CallsAsked::default()).unwrap().filter.tenant, Some("bank".into()));
    }

    #[test]
    fn the_form_is_as_asked_else_as_accepted() {
        assert_eq!(Asker::format(Some("csv"), "application/json"), Ok(Format::Csv));
        assert_eq!(Asker::format(None, "text/csv, */*"), Ok(Format::Csv));
        assert_eq!(Asker::format(None, "*/*"), Ok(Format::Json));
        assert!(Asker::format(Some("xml"), "").is_err());
    }
}
