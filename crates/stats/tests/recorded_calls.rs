//! Two months of real calls against figures that an independent program computed from the files alone.

#[path = "support/bank.rs"]
mod bank;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Time;
use stats::fold::{PartitionFold, Settings};
use stats::interval::{Attribution, Interval, Merged, merge};
use stats::metric::{Context, evaluate};
use stats::{Dim, Field, Row, RowKey};

fn fold(month: &str) -> Option<(PathBuf, Vec<(RowKey, Row)>)> {
    let Some(dir) = bank::shared() else {
        println!("needs ../shared (or TIDEGATE_SHARED) with the recorded calls: nothing was checked here");
        return None;
    };
    let mut fold = PartitionFold::new(Settings::default());
    let mut rows: BTreeMap<RowKey, Row> = BTreeMap::new();
    for batch in bank::month(&dir, month).chunks(5_000) {
        batch.iter().for_each(|e| {
            fold.apply(e.clone());
        });
        for (key, row) in fold.take_changes().rows {
            rows.entry(key).or_default().plus(&row);
        }
    }
    Some((dir, rows.into_iter().collect()))
}

fn report(rows: &[(RowKey, Row)], dim: Dim, borders: &[Time], how: Attribution) -> BTreeMap<(usize, Arc<str>), Merged> {
    merge(rows.iter().map(|(k, r)| (k, r)), borders, how, |k| {
        let name = if dim == Dim::Tenant { Arc::from("ALL") } else { k.id.clone() };
        (k.dim == dim).then_some(name)
    })
}

fn int(row: &BTreeMap<String, String>, column: &str) -> i64 {
    row[column].parse::<f64>().unwrap_or_else(|_| panic!("{column}: {:?}", row[column])) as i64
}

fn close(a: Option<f64>, row: &BTreeMap<String, String>, column: &str) {
    let (a, b) = (a.unwrap_or(0.0), row[column].parse::<f64>().unwrap_or(0.0));
    assert!((a - b).abs() < 2e-6, "{column} of {:?}: {a} is not {b}", row["type"]);
}

fn truth(dir: &Path, file: &str) -> Vec<BTreeMap<String, String>> {
    bank::table(std::fs::File::open(dir.join("data/truth").join(file)).unwrap())
}

fn month_is_exact(month: &str, dir: &Path, rows: &[(RowKey, Row)]) {
    let ends = [Time::parse("1999-01-01T00:00:00Z").unwrap(), Time::parse("2000-01-01T00:00:00Z").unwrap()];
    let mut all = report(rows, Dim::Queue, &ends, Attribution::Cohort);
    all.extend(report(rows, Dim::Tenant, &ends, Attribution::Cohort));
    let ivr = report(rows, Dim::Ivr, &ends, Attribution::Cohort);
    for want in truth(dir, "summary.csv").iter().filter(|r| r["period"] == month) {
        let name: Arc<str> = Arc::from(want["type"].as_str());
        let Some(m) = all.get(&(0, name.clone())) else {
            assert_eq!(int(want, "offered_queue"), 0, "{name} is missing");
            continue;
        };
        let t = &m.tally;
        let f = evaluate(t, &Context::default());
        let before =
            if &*name == "ALL" { f.ivr_abandoned } else { ivr[&(0, name.clone())].tally.get(Field::IvrAbandoned) };
        let eq = |ours: i64, column: &str| assert_eq!(ours, int(want, column), "{column} of {name}");
        eq(f.offered, "offered_queue");
        eq(f.offered + before, "offered");
        eq(f.answered, "answered");
        eq(f.abandoned, "abandoned_in_queue");
        eq(before, "abandoned_before_queue");
        eq(f.answered_without_wait, "answered_without_wait");
        eq(f.wait_answered_ms / 1000, "wait_sum_answered");
        eq(f.wait_max_answered_ms.unwrap() / 1000, "wait_max");
        eq(f.wait_abandoned_ms / 1000, "wait_sum_abandoned_in_queue");
        eq(f.wait_max_abandoned_ms.unwrap_or(0) / 1000, "wait_max_abandoned");
        eq(f.talk_ms / 1000, "talk_sum");
        eq(f.talk_max_ms.unwrap() / 1000, "talk_max");
        eq(f.talk_median_ms.unwrap() / 1000, "talk_median_nr");
        if &*name == "ALL" {
            eq(f.phantom, "phantom");
        }
        close(f.asa_ms.map(|x| x / 1e3), want, "asa");
        close(f.aht_ms.map(|x| x / 1e3), want, "aht");
        let (wait, talk) = (t.hist(&[Field::WaitAnswered]), t.hist(&[Field::Talk]));
        close(wait.quantile(0.5).map(|x| x as f64 / 1e3), want, "wait_median_nr");
        close(wait.quantile(0.9).map(|x| x as f64 / 1e3), want, "wait_p90_nr");
        close(wait.quantile_linear(0.5).map(|x| x / 1e3), want, "wait_median_lin");
        close(wait.quantile_linear(0.9).map(|x| x / 1e3), want, "wait_p90_lin");
        close(talk.mean_le(3_600_000).map(|x| x / 1e3), want, "aht_le3600");
        close(Some(f.talk_ms as f64 / 1e3 / (talk.count() - f.zero_talk) as f64), want, "aht_pos");
        for secs in [20, 30, 60] {
            let left = t.hist(&[Field::WaitAbandoned]);
            eq(wait.count_le(secs * 1000), &format!("answered_within_{secs}"));
            eq(left.count() - left.count_le(secs * 1000), &format!("abandoned_after_{secs}"));
        }
        close(f.service_level, want, "slC_20");
    }
}

fn half_hours_are_exact(month: &str, dir: &Path, rows: &[(RowKey, Row)]) {
    let (from, to) = (rows.iter().map(|r| r.0.start).min().unwrap(), rows.iter().map(|r| r.0.start).max().unwrap());
    let utc = jiff::tz::TimeZone::UTC;
    let borders = Interval::Minutes(30).borders(&utc, from, to + 1, 10_000).unwrap();
    let both = |how| {
        let mut all = report(rows, Dim::Queue, &borders, how);
        all.extend(report(rows, Dim::Tenant, &borders, how));
        all
    };
    let (event, cohort) = (both(Attribution::Event), both(Attribution::Cohort));
    let ivr = report(rows, Dim::Ivr, &borders, Attribution::Event);
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for want in &truth(dir, &format!("intervals-{month}.csv")) {
        let start = Time::parse(&format!("{}:00Z", want["interval_start"].replace(' ', "T"))).unwrap();
        let slot = borders.iter().position(|b| *b == start).unwrap_or(usize::MAX);
        let key = (slot, Arc::from(want["type"].as_str()));
        let (e, c) = (event.get(&key).cloned().unwrap_or_default(), cohort.get(&key).cloned().unwrap_or_default());
        let (fe, fc) = (evaluate(&e.tally, &Context::default()), evaluate(&c.tally, &Context::default()));
        let before = if want["type"] == "ALL" {
            fe.ivr_abandoned
        } else {
            ivr.get(&key).map_or(0, |m| m.tally.get(Field::IvrAbandoned))
        };
        for (ours, column) in [
            (fc.offered + before, "arr_offered"),
            (fc.answered, "arr_answered"),
            (fc.abandoned + before, "arr_abandoned"),
            (fc.abandoned, "arr_abandoned_in_queue"),
            (fc.wait_answered_ms / 1000, "arr_wait_sum_answered"),
            (fc.talk_ms / 1000, "arr_talk_sum_answered"),
            (fc.answered_in_t, "arr_answered_within_20"),
            (fe.answered, "evt_answered"),
            (fe.wait_answered_ms / 1000, "evt_wait_sum_answered"),
            (fe.abandoned + before, "evt_abandoned"),
            (fe.abandoned, "evt_abandoned_in_queue"),
            (fe.completed, "evt_completed"),
            (fe.talk_ms / 1000, "talk_s_completed"),
            (fe.talk_overlap_ms / 1000, "talk_s_overlap"),
            (fe.wait_overlap_ms / 1000, "wait_s_overlap"),
            (e.max_waiting, "max_waiting"),
            (e.max_in_service, "max_in_service"),
            (e.waiting_at_start, "waiting_at_start"),
            (e.in_service_at_start, "in_service_at_start"),
        ] {
            checked += 1;
            if ours != int(want, column) {
                wrong.push(format!(
                    "{} {} {column}: {ours} is not {}",
                    want["interval_start"], want["type"], want[column]
                ));
            }
        }
    }
    println!("{month}: {checked} figures of half hours checked");
    wrong.sort_by_key(|w: &String| w.split(' ').nth(3).map(str::to_owned));
    assert!(wrong.is_empty(), "{} wrong, such as\n{}", wrong.len(), wrong[..wrong.len().min(25)].join("\n"));
}

fn agents_are_exact(month: &str, dir: &Path, rows: &[(RowKey, Row)]) {
    let ends = [Time::parse("1999-01-01T00:00:00Z").unwrap(), Time::parse("2000-01-01T00:00:00Z").unwrap()];
    let all = report(rows, Dim::Agent, &ends, Attribution::Cohort);
    for want in truth(dir, "servers.csv").iter().filter(|r| r["period"] == month) {
        let f = evaluate(&all[&(0, Arc::from(want["server"].as_str()))].tally, &Context::default());
        let ours = [f.answered, f.talk_ms / 1000, f.zero_talk, f.talk_lt10, f.talk_max_ms.unwrap() / 1000];
        let columns = ["handled", "talk_s", "zero_talk", "talk_lt10", "talk_max"];
        assert_eq!(ours, columns.map(|c| int(want, c)), "{}", want["server"]);
    }
}

fn is_exact(month: &str) {
    let Some((dir, rows)) = fold(month) else { return };
    month_is_exact(month, &dir, &rows);
    half_hours_are_exact(month, &dir, &rows);
    agents_are_exact(month, &dir, &rows);
}

#[test]
fn every_figure_of_february_1999_is_exact() {
    is_exact("1999-02");
}

#[test]
fn every_figure_of_august_1999_is_exact() {
    is_exact("1999-08");
}
