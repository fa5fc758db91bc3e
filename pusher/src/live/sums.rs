//! Sums of base rows that move: the last hour by minute, and half hours of two days, in each tenant's zone.
//!
//! Rows are a group: a row that changed adds (new − old) here, so nothing is ever summed again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::tz::TimeZone;
use model::{Directory, TenantId, Time};
use stats::{Dim, Few, Field, RowKey, Tally};

use super::moving::{Moving, Span};

/// What a series is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// What kind of thing.
    pub dim: Dim,
    /// Whose.
    pub tenant: TenantId,
    /// Which one.
    pub id: Arc<str>,
}

/// The length of an interval on the board, in milliseconds.
pub const SLOT_MS: i64 = 1_800_000;
/// How far back base rows are kept, in milliseconds.
pub const RECENT_MS: i64 = 3_600_000;
/// The most queues that are shown, and as many teams and agents: whoever makes names up must not take all memory.
pub const SERIES_MAX: usize = 10_000;

/// One series' sums.
#[derive(Debug, Default)]
pub struct Sum {
    /// Base rows of the last hour, by their start.
    pub recent: Few<Time, Tally>,
    /// Half hours of the tenant's zone, by their start.
    pub slots: Few<Time, Tally>,
    /// Windows and today, as of the last turn.
    pub moving: Moving,
}

impl Sum {
    /// The sum of one field over the half hours that start within the range.
    pub fn of(&self, field: Field, (from, to): Span) -> i64 {
        let within = self.slots.since(&from).take_while(|(start, _)| **start < to);
        within.map(|(_, tally)| tally.get(field)).sum()
    }

    fn add(&mut self, start: Time, slot: Time, delta: &Tally) {
        for (sums, start) in [(&mut self.recent, start), (&mut self.slots, slot)] {
            let tally = sums.or_default(start);
            tally.plus(delta);
            // What was taken back leaves no trace: a pusher that starts now must show the same.
            if tally.is_zero() {
                sums.remove(&start);
            }
        }
        self.moving.add(start, slot, delta);
    }
}

/// All series.
#[derive(Debug, Default)]
pub struct Sums {
    series: HashMap<Series, Sum>,
    /// How many series there are of each kind.
    counts: HashMap<Dim, usize>,
    zones: HashMap<TenantId, TimeZone>,
    changed: BTreeSet<(Series, Time)>,
}

impl Sums {
    /// Sums that know the zones of a directory's tenants.
    pub fn new(directory: &Directory) -> Sums {
        let zone = |name: &str| TimeZone::get(name).unwrap_or(TimeZone::UTC);
        let zones = directory.tenants.iter().map(|(id, tenant)| (id.clone(), zone(&tenant.time_zone))).collect();
        Sums { zones, ..Sums::default() }
    }

    /// The zone of a tenant.
    pub fn zone(&self, tenant: &TenantId) -> TimeZone {
        self.zones.get(tenant).cloned().unwrap_or(TimeZone::UTC)
    }

    /// Where the half hour of `time` begins in a tenant's zone.
    pub fn slot(&self, tenant: &TenantId, time: Time) -> Time {
        let offset = self.zones.get(tenant).map_or(0, |zone| offset_ms(zone, time));
        Time(time.ms() - (time.ms() + offset).rem_euclid(SLOT_MS))
    }

    /// A base row changed by `delta`.
    pub fn add(&mut self, key: &RowKey, delta: &Tally) {
        if delta.is_zero() {
            return;
        }
        let slot = self.slot(&key.tenant, key.start);
        let series = Series { dim: key.dim, tenant: key.tenant.clone(), id: Arc::clone(&key.id) };
        let counts = &mut self.counts;
        let sum = self.series.entry(series.clone()).or_insert_with(|| {
            *counts.entry(key.dim).or_default() += 1;
            Sum::default()
        });
        sum.add(key.start, slot, delta);
        self.changed.insert((series, slot));
    }

    /// Forgets base rows before the last hour, and half hours before `slots_from`.
    pub fn forget(&mut self, now: Time, slots_from: Time) {
        for sum in self.series.values_mut() {
            sum.recent.forget_before(&(now + (-RECENT_MS - 60_000)));
            sum.slots.forget_before(&slots_from);
        }
        let counts = &mut self.counts;
        self.series.retain(|series, sum| {
            let stays = !sum.slots.is_empty();
            if !stays && let Some(count) = counts.get_mut(&series.dim) {
                *count -= 1;
            }
            stays
        });
    }

    /// Whether a row of this series may be shown: it is a tenant's, or known, or there is room for another.
    pub fn has_room(&self, key: &RowKey) -> bool {
        key.dim == Dim::Tenant
            || self.counts.get(&key.dim).is_none_or(|count| *count < SERIES_MAX)
            || self.get(key.dim, &key.tenant, &key.id).is_some()
    }

    /// One series.
    pub fn get(&self, dim: Dim, tenant: &TenantId, id: &Arc<str>) -> Option<&Sum> {
        self.series.get(&Series { dim, tenant: tenant.clone(), id: Arc::clone(id) })
    }

    /// Moves the sums of a series that go with the clock to where it is now, before they are asked for.
    pub fn turn(&mut self, series: &Series, now: Time, today: Span) {
        let Some(sum) = self.series.get_mut(series) else { return };
        sum.moving.turn_day(today, &sum.slots);
        if matches!(series.dim, Dim::Tenant | Dim::Queue) {
            sum.moving.turn_windows(now, &sum.recent);
        }
    }

    /// Every series.
    pub fn all(&self) -> impl Iterator<Item = (&Series, &Sum)> {
        self.series.iter()
    }

    /// The series and half hours that changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<(Series, Time)> {
        std::mem::take(&mut self.changed)
    }

    /// Everything of a series: for tests.
    #[cfg(test)]
    pub fn total(&self, dim: Dim, tenant: &str, id: &str) -> Tally {
        let sum = self.get(dim, &TenantId::new(tenant), &Arc::from(id));
        sum.map(|sum| Tally::sum(sum.slots.since(&Time(i64::MIN)).map(|(_, tally)| tally))).unwrap_or_default()
    }
}

fn offset_ms(zone: &TimeZone, time: Time) -> i64 {
    let Ok(stamp) = jiff::Timestamp::from_millisecond(time.ms()) else { return 0 };
    i64::from(zone.to_offset(stamp).seconds()) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(zone: &str) -> Directory {
        let mut directory = Directory::default();
        let tenant = model::directory::Tenant { time_zone: zone.into(), ..Default::default() };
        directory.tenants.insert("default".into(), tenant);
        directory
    }

    #[test]
    fn half_hours_begin_where_the_tenants_clock_says() {
        let tenant = TenantId::new("default");
        let sums = Sums::new(&directory("Asia/Kathmandu")); // UTC+05:45
        let time = Time::parse("2026-11-21T08:20:00Z").unwrap(); // 14:05 there
        assert_eq!(sums.slot(&tenant, time).to_string(), "2026-11-21T08:15:00.000Z");
        assert_eq!(Sums::default().slot(&tenant, time).to_string(), "2026-11-21T08:00:00.000Z");
    }

    #[test]
    fn what_was_taken_back_leaves_no_trace() {
        let mut sums = Sums::default();
        let (mut one, mut back) = (Tally::new(), Tally::new());
        one.add(Field::Offered, 1);
        back.minus(&one);
        let key = RowKey { tenant: "t".into(), source: "s".into(), dim: Dim::Queue, id: "q".into(), start: Time(0) };
        sums.add(&key, &one);
        assert_eq!(sums.get(Dim::Queue, &key.tenant, &key.id).map(|sum| sum.slots.len()), Some(1));
        sums.add(&key, &back);
        let left = sums.get(Dim::Queue, &key.tenant, &key.id).map(|sum| (sum.slots.len(), sum.recent.len()));
        assert_eq!(left, Some((0, 0)));
    }

    #[test]
    fn what_is_forgotten_leaves_the_half_hours() {
        let mut sums = Sums::default();
        let mut one = Tally::new();
        one.add(Field::Offered, 1);
        let key = |start| RowKey { tenant: "t".into(), source: "s".into(), dim: Dim::Queue, id: "q".into(), start };
        for minute in 0..180 {
            sums.add(&key(Time(minute * 60_000)), &one);
        }
        let now = Time(180 * 60_000);
        sums.forget(now, Time(SLOT_MS));
        let series = Series { dim: Dim::Queue, tenant: "t".into(), id: "q".into() };
        sums.turn(&series, now, (Time(0), now));
        let sum = sums.get(series.dim, &series.tenant, &series.id).unwrap();
        let windows: Vec<i64> = sum.moving.windows().map(|tally| tally.get(Field::Offered)).collect();
        assert_eq!(windows, [1, 5, 15, 30, 60], "of a minute that has only begun nothing came yet");
        assert_eq!(sum.recent.len(), 61);
        assert_eq!((sum.moving.today().get(Field::Offered), sum.of(Field::Offered, (Time(0), now))), (150, 150));
    }
}
