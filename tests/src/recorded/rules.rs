//! The figures of a call table, computed from its rows alone by the rules that the published truth names (R1 to R13). Plain
//! and slow on purpose: it is held against the published truth, and then stands in where none is published.

use super::Truth;
use crate::table::{Row, Table};
use anyhow::{Context as _, Result, ensure};
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use std::collections::{BTreeMap, BTreeSet};

const DAY_S: i64 = 86_400;
const HALF_HOUR_S: i64 = 1_800;
/// The first day of what can be computed.
const EPOCH: Date = jiff::civil::date(1999, 1, 1);
const NOT: &str = "0:00:00";

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Abandoned,
    Phantom,
}

/// A row of the table, its clocks as seconds since the epoch.
#[derive(Clone, Debug)]
struct Call {
    queue: String,
    server: String,
    outcome: Outcome,
    /// When it left the voice unit.
    offered: i64,
    /// When it entered the queue, if it did, and how long it stayed.
    stay: Option<(i64, i64)>,
    /// When the conversation began, if it has clocks.
    served: Option<i64>,
    talk: i64,
}

impl Call {
    fn read(row: &Row) -> Result<Call> {
        let date = row.text("date");
        let number = |text: &str| text.parse::<i64>().with_context(|| format!("{text:?} is no number"));
        ensure!(date.len() == 6, "{date:?} is no date");
        let day = Date::new(1900 + number(&date[..2])? as i16, number(&date[2..4])? as i8, number(&date[4..])? as i8)?;
        let midnight = i64::from((day - EPOCH).get_days()) * DAY_S;
        let entered = midnight + clock(row.text("vru_entry"))?;
        let offered = after(entered, row.text("vru_exit"))?;
        // R1: a step happened when one of its clocks says so.
        let happened = |from: &str, to: &str| row.text(from) != NOT || row.text(to) != NOT;
        let stay = match happened("q_start", "q_exit") {
            true => Some((after(offered, row.text("q_start"))?, number(row.text("q_time"))?)),
            false => None,
        };
        let before = stay.map_or(offered, |(from, _)| from);
        let served = happened("ser_start", "ser_exit").then(|| after(before, row.text("ser_start"))).transpose()?;
        let outcome = match row.text("outcome") {
            "AGENT" => Outcome::Answered,
            "HANG" => Outcome::Abandoned,
            _ => Outcome::Phantom,
        };
        let talk = if outcome == Outcome::Answered { number(row.text("ser_time"))? } else { 0 };
        let (queue, server) = (row.text("type").to_owned(), row.text("server").to_owned());
        Ok(Call { queue, server, outcome, offered, stay, served, talk })
    }

    fn answered(&self) -> bool {
        self.outcome == Outcome::Answered
    }

    fn abandoned(&self) -> bool {
        self.outcome == Outcome::Abandoned
    }

    fn abandoned_in_queue(&self) -> bool {
        self.abandoned() && self.stay.is_some()
    }

    fn wait(&self) -> i64 {
        self.stay.map_or(0, |(_, length)| length)
    }

    /// R10, R11: when it left the queue, or the voice unit if it never queued.
    fn left(&self) -> i64 {
        self.stay.map_or(self.offered, |(from, length)| from + length)
    }

    fn answered_at(&self) -> i64 {
        self.served.unwrap_or_else(|| self.left())
    }

    /// R3: phantoms only count; the others wait, ...
    fn waiting(&self) -> Option<(i64, i64)> {
        self.stay.filter(|_| self.outcome != Outcome::Phantom).map(|(from, length)| (from, from + length))
    }

    /// ... and who was answered is served.
    fn service(&self) -> Option<(i64, i64)> {
        self.served.filter(|_| self.answered()).map(|from| (from, from + self.talk))
    }
}

fn clock(text: &str) -> Result<i64> {
    let parts: Vec<i64> = text.split(':').map(str::parse).collect::<Result<_, _>>()?;
    let [hours, minutes, seconds] = parts[..] else { anyhow::bail!("{text:?} is no clock") };
    Ok((hours * 60 + minutes) * 60 + seconds)
}

/// R10: a clock on the day of the one before it, or on the next when that would be more than twelve hours back.
fn after(before: i64, text: &str) -> Result<i64> {
    let at = before - before.rem_euclid(DAY_S) + clock(text)?;
    Ok(if before - at > DAY_S / 2 { at + DAY_S } else { at })
}

fn moment(at: i64) -> DateTime {
    EPOCH.at(0, 0, 0, 0).checked_add(at.seconds()).expect("a recorded moment is in the calendar")
}

fn day(at: i64) -> String {
    moment(at).date().to_string()
}

/// Every figure of a month (`1999-02`), from the rows of its file.
pub fn compute(month: &str, table: &Table) -> Result<Truth> {
    let calls: Vec<Call> = table.0.iter().map(Call::read).collect::<Result<_>>()?;
    let calls: Vec<&Call> = calls.iter().collect();
    let mut truth = Truth::default();
    for (queue, calls) in by_queue(&calls) {
        truth.months.0.push(period(month, &queue, &calls));
        truth.half_hours.0.extend(half_hours(&queue, &calls));
    }
    for (day, calls) in grouped(&calls, |call| day(call.offered)) {
        truth.days.0.push(period(&day, "ALL", &calls));
        truth.agent_days.0.extend(agents(&day, &calls));
    }
    truth.agents.0 = agents(month, &calls);
    Ok(truth)
}

fn grouped<'a>(calls: &[&'a Call], key: impl Fn(&Call) -> String) -> BTreeMap<String, Vec<&'a Call>> {
    let mut groups: BTreeMap<String, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        groups.entry(key(call)).or_default().push(call);
    }
    groups
}

fn by_queue<'a>(calls: &[&'a Call]) -> BTreeMap<String, Vec<&'a Call>> {
    let mut groups = grouped(calls, |call| call.queue.clone());
    groups.insert("ALL".to_owned(), calls.to_vec());
    groups
}

fn mean(sum: i64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { sum as f64 / count as f64 }
}

fn nearest_rank(sorted: &[i64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).map_or(0.0, |value| *value as f64)
}

fn linear(sorted: &[i64], share: f64) -> f64 {
    let place = share * (sorted.len().saturating_sub(1)) as f64;
    let at = |index: usize| sorted.get(index).map_or(0.0, |value| *value as f64);
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    at(low) + (at(high) - at(low)) * place.fract()
}

fn text(value: f64) -> String {
    format!("{value:.6}")
}

/// R4 to R8.
fn period(period: &str, queue: &str, calls: &[&Call]) -> Row {
    let count = |which: fn(&Call) -> bool| calls.iter().filter(|call| which(call)).count();
    let (answered, left) = (count(Call::answered), count(Call::abandoned));
    let in_queue = count(Call::abandoned_in_queue);
    let phantom = calls.len() - answered - left;
    let of = |which: fn(&Call) -> bool, what: fn(&Call) -> i64| -> Vec<i64> {
        let mut values: Vec<_> = calls.iter().filter(|call| which(call)).map(|call| what(call)).collect();
        values.sort_unstable();
        values
    };
    let (waits, talks) = (of(Call::answered, Call::wait), of(Call::answered, |call| call.talk));
    let lost = of(Call::abandoned_in_queue, Call::wait);
    let sum = |values: &[i64]| values.iter().sum::<i64>();
    let max = |values: &[i64]| values.last().copied().unwrap_or(0) as f64;
    let within_hour: Vec<_> = talks.iter().copied().filter(|talk| *talk <= 3_600).collect();
    let nobody = count(|call| call.answered() && call.server == "NO_SERVER");
    let mut row = vec![
        ("period", period.to_owned()),
        ("type", queue.to_owned()),
        ("rows", text(calls.len() as f64)),
        ("phantom", text(phantom as f64)),
        ("offered", text((answered + left) as f64)),
        ("answered", text(answered as f64)),
        ("abandoned", text(left as f64)),
        ("abandoned_in_queue", text(in_queue as f64)),
        ("abandoned_before_queue", text((left - in_queue) as f64)),
        ("offered_queue", text((answered + in_queue) as f64)),
        ("answered_without_wait", text(waits.iter().filter(|wait| **wait == 0).count() as f64)),
        ("answered_after_wait", text(waits.iter().filter(|wait| **wait > 0).count() as f64)),
        ("abandon_rate", text(mean(left as i64, answered + left))),
        ("abandon_rate_queue", text(mean(in_queue as i64, answered + in_queue))),
        ("wait_sum_answered", text(sum(&waits) as f64)),
        ("asa", text(mean(sum(&waits), answered))),
        ("asa_of_those_who_waited", text(mean(sum(&waits), waits.iter().filter(|wait| **wait > 0).count()))),
        ("wait_median_nr", text(nearest_rank(&waits, 0.5))),
        ("wait_p90_nr", text(nearest_rank(&waits, 0.9))),
        ("wait_median_lin", text(linear(&waits, 0.5))),
        ("wait_p90_lin", text(linear(&waits, 0.9))),
        ("wait_max", text(max(&waits))),
        ("wait_sum_abandoned_in_queue", text(sum(&lost) as f64)),
        ("mean_wait_abandoned_in_queue", text(mean(sum(&lost), in_queue))),
        ("mean_wait_abandoned_all", text(mean(sum(&lost), left))),
        ("wait_max_abandoned", text(max(&lost))),
        ("talk_sum", text(sum(&talks) as f64)),
        ("aht", text(mean(sum(&talks), answered))),
        ("aht_pos", text(mean(sum(&talks), talks.iter().filter(|talk| **talk > 0).count()))),
        ("aht_le3600", text(mean(sum(&within_hour), within_hour.len()))),
        ("talk_median_nr", text(nearest_rank(&talks, 0.5))),
        ("talk_max", text(max(&talks))),
        ("answered_no_server", text(nobody as f64)),
    ];
    row.extend(service_levels(&waits, &lost, left - in_queue));
    Row::of(row)
}

/// R8, for three thresholds.
fn service_levels(waits: &[i64], lost: &[i64], before_queue: usize) -> Vec<(&'static str, String)> {
    let names = [
        (20, ["answered_within_20", "abandoned_after_20", "slA_20", "slB_20", "slC_20"]),
        (30, ["answered_within_30", "abandoned_after_30", "slA_30", "slB_30", "slC_30"]),
        (60, ["answered_within_60", "abandoned_after_60", "slA_60", "slB_60", "slC_60"]),
    ];
    let mut columns = Vec::new();
    for (threshold, names) in names {
        let within = waits.iter().filter(|wait| **wait <= threshold).count();
        let after = lost.iter().filter(|wait| **wait > threshold).count();
        let (answered, in_queue) = (waits.len(), lost.len());
        let share = |whole: usize| mean(within as i64, whole);
        let values = [
            within as f64,
            after as f64,
            share(answered + in_queue + before_queue),
            share(answered + after),
            share(answered + in_queue),
        ];
        columns.extend(names.into_iter().zip(values.map(text)));
    }
    columns
}

/// R9.
fn agents(period: &str, calls: &[&Call]) -> Vec<Row> {
    let answered: Vec<&Call> = calls.iter().copied().filter(|call| call.answered()).collect();
    let of_server = |(server, calls): (String, Vec<&Call>)| {
        let talk: i64 = calls.iter().map(|call| call.talk).sum();
        let below = |limit: i64| text(calls.iter().filter(|call| call.talk < limit).count() as f64);
        let days: BTreeSet<_> = calls.iter().map(|call| day(call.offered)).collect();
        Row::of([
            ("period", period.to_owned()),
            ("server", server),
            ("handled", text(calls.len() as f64)),
            ("talk_s", text(talk as f64)),
            ("zero_talk", below(1)),
            ("talk_lt10", below(10)),
            ("talk_max", text(calls.iter().map(|call| call.talk).max().unwrap_or(0) as f64)),
            ("days_worked", text(days.len() as f64)),
            ("mean_talk_s", text(mean(talk, calls.len()))),
        ])
    };
    grouped(&answered, |call| call.server.clone()).into_iter().map(of_server).collect()
}

/// R11, R12: every half hour from the first event to the last.
fn half_hours(queue: &str, calls: &[&Call]) -> Vec<Row> {
    let spans = |of: fn(&Call) -> Option<(i64, i64)>| calls.iter().filter_map(|call| of(call)).collect::<Vec<_>>();
    let (waiting, service) = (spans(Call::waiting), spans(Call::service));
    let last = calls.iter().map(|call| call.left().max(call.answered_at() + call.talk)).max().unwrap_or(0);
    let first = calls.iter().map(|call| call.offered).min().unwrap_or(0);
    let starts = (first.div_euclid(HALF_HOUR_S)..=last.div_euclid(HALF_HOUR_S)).map(|number| number * HALF_HOUR_S);
    starts.map(|start| half_hour(queue, start, calls, &waiting, &service)).collect()
}

fn half_hour(queue: &str, start: i64, calls: &[&Call], waiting: &[(i64, i64)], service: &[(i64, i64)]) -> Row {
    let end = start + HALF_HOUR_S;
    let here = |at: i64| (start..end).contains(&at);
    let arrived: Vec<_> = calls.iter().filter(|call| here(call.offered)).collect();
    let answered_here: Vec<_> = calls.iter().filter(|call| call.answered() && here(call.answered_at())).collect();
    let left_here: Vec<_> = calls.iter().filter(|call| call.abandoned() && here(call.left())).collect();
    let completed: Vec<_> = service.iter().filter(|(_, to)| here(*to)).collect();
    let of = |which: fn(&Call) -> bool| arrived.iter().filter(|call| which(call)).count();
    let sum = |what: fn(&Call) -> i64| arrived.iter().filter(|c| c.answered()).map(|c| what(c)).sum::<i64>();
    let overlap = |spans: &[(i64, i64)]| -> i64 {
        spans.iter().map(|(from, to)| (end.min(*to) - start.max(*from)).max(0)).sum::<i64>()
    };
    let at_start = |spans: &[(i64, i64)]| spans.iter().filter(|(from, to)| *from <= start && start < *to).count();
    let (answered, waits, talks) = (of(Call::answered), sum(Call::wait), sum(|call| call.talk));
    let counted = |n: usize| text(n as f64);
    let summed = |n: i64| text(n as f64);
    let within = arrived.iter().filter(|call| call.answered() && call.wait() <= 20).count();
    Row::of([
        ("interval_start", moment(start).strftime("%Y-%m-%d %H:%M").to_string()),
        ("type", queue.to_owned()),
        ("arr_offered", counted(of(Call::answered) + of(Call::abandoned))),
        ("arr_answered", counted(answered)),
        ("arr_abandoned", counted(of(Call::abandoned))),
        ("arr_abandoned_in_queue", counted(of(Call::abandoned_in_queue))),
        ("arr_wait_sum_answered", summed(waits)),
        ("arr_talk_sum_answered", summed(talks)),
        ("arr_answered_within_20", counted(within)),
        ("arr_avg_wait", text(mean(waits, answered))),
        ("arr_avg_talk", text(mean(talks, answered))),
        ("evt_answered", counted(answered_here.len())),
        ("evt_wait_sum_answered", summed(answered_here.iter().map(|call| call.wait()).sum())),
        ("evt_abandoned", counted(left_here.len())),
        ("evt_abandoned_in_queue", counted(left_here.iter().filter(|call| call.stay.is_some()).count())),
        ("evt_completed", counted(completed.len())),
        ("talk_s_completed", summed(completed.iter().map(|(from, to)| to - from).sum())),
        ("talk_s_overlap", summed(overlap(service))),
        ("wait_s_overlap", summed(overlap(waiting))),
        ("max_waiting", counted(most(waiting, start, end))),
        ("max_in_service", counted(most(service, start, end))),
        ("waiting_at_start", counted(at_start(waiting))),
        ("in_service_at_start", counted(at_start(service))),
    ])
}

/// R12: the most at any whole second; who leaves in the second in which another comes does not overlap with it.
fn most(spans: &[(i64, i64)], start: i64, end: i64) -> usize {
    let touching: Vec<_> = spans.iter().filter(|(from, to)| *from < end && start < *to).collect();
    let at = |second: i64| touching.iter().filter(|(from, to)| *from <= second && second < *to).count();
    let moments = touching.iter().map(|(from, _)| (*from).max(start));
    moments.map(at).max().unwrap_or(0)
}
