//! The recorded calls of a bank, as events: what the calls-csv adapter makes of that table, in small.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::event::call::{Answered, Dequeued, Ended, IvrEntered, Offered, Party, QueueExit, Queued, Released};
use model::{Envelope, Event, Fact, SourceId, Subject, TenantId, Time};

/// Where recorded data lies: `$TIDEGATE_SHARED`, else `../shared` beside the checkout.
#[allow(clippy::disallowed_methods, reason = "tests locate recorded data by the environment")]
pub fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let dir = std::env::var_os("TIDEGATE_SHARED").map_or(beside, PathBuf::from);
    dir.join("data/truth/summary.csv").exists().then_some(dir)
}

type Line = BTreeMap<String, String>;

/// A CSV file as maps from column to text.
pub fn table(reader: impl std::io::Read) -> Vec<Line> {
    let mut csv = csv::Reader::from_reader(reader);
    let columns: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
    csv.records().map(|r| columns.iter().cloned().zip(r.unwrap().iter().map(str::to_owned)).collect()).collect()
}

/// The events of a month, in time order.
pub fn month(dir: &Path, month: &str) -> Vec<Envelope> {
    let file = std::fs::File::open(dir.join(format!("data/anonymous-bank-{month}.csv.gz"))).unwrap();
    let rows = table(flate2::read::GzDecoder::new(file));
    let mut events: Vec<Envelope> = rows.iter().enumerate().flat_map(|(i, row)| call(i, row)).collect();
    events.sort_by_key(|e| e.time);
    events
}

fn clock(text: &str) -> Option<i64> {
    let parts: Vec<i64> = text.split(':').map(|p| p.parse().unwrap()).collect();
    let s = parts[0] * 3600 + parts[1] * 60 + parts[2];
    (text != "0:00:00").then_some(s)
}

/// R10: a clock more than 12 h before its predecessor is on the next day.
fn after(previous: i64, clock: i64) -> i64 {
    let mut at = previous - previous.rem_euclid(86_400) + clock;
    if at < previous - 43_200 {
        at += 86_400;
    }
    at
}

fn call(i: usize, row: &Line) -> Vec<Envelope> {
    let get = |name: &str| row[name].as_str();
    let date = get("date");
    let day = Time::parse(&format!("19{}-{}-{}T00:00:00Z", &date[..2], &date[2..4], &date[4..])).unwrap().0 / 1000;
    let entry = day + clock(get("vru_entry")).unwrap_or(0);
    let exit = after(entry, clock(get("vru_exit")).unwrap_or(0));
    let q_time: i64 = get("q_time").parse().unwrap();
    let ser_time: i64 = get("ser_time").parse().unwrap();
    let queue = get("type");
    let mut facts: Vec<(i64, Event)> =
        vec![(entry, Offered::default().into()), (entry, IvrEntered { node: queue.into() }.into())];
    let queued = clock(get("q_start")).or(clock(get("q_exit")));
    let began = queued.map_or(exit, |_| after(exit, clock(get("q_start")).unwrap_or(0))); // once, a true midnight
    let wait = if queued.is_some() { q_time } else { 0 };
    let waited_ms = Some(wait as u64 * 1000);
    let left = began + wait;
    let mut end = left;
    let ended =
        |by, cause: Option<&str>| Event::from(Ended { by, cause: cause.map(str::to_owned), ..Ended::default() });
    match get("outcome") {
        "PHANTOM" => facts.push((exit, ended(Party::System, Some("phantom")))),
        "HANG" if queued.is_none() => facts.push((exit, ended(Party::Caller, None))),
        outcome => {
            let cause = if outcome == "AGENT" { QueueExit::Answered } else { QueueExit::Abandoned };
            let offered_at = Some(Time::from_secs(exit));
            facts.push((began, Queued { queue: queue.into(), priority: None, position: None, offered_at }.into()));
            facts.push((left, Dequeued { queue: queue.into(), cause, waited_ms }.into()));
            if outcome == "AGENT" {
                let start = clock(get("ser_start")).map(|s| after(left, s));
                let agent = Some(get("server").into());
                let answer = Answered { agent, queue: Some(queue.into()), waited_ms, ..Answered::default() };
                let from = start.unwrap_or(left);
                let to = from + if start.is_some() { ser_time } else { 0 };
                let talked_ms = Some(ser_time as u64 * 1000);
                facts.push((from, answer.into()));
                if start.is_some() {
                    facts.push((
                        to,
                        Released { agent: Some(get("server").into()), by: Party::Unknown, talked_ms }.into(),
                    ));
                }
                end = end.max(to);
            }
            facts.push((end, ended(Party::Caller, None)));
        }
    }
    let source = SourceId::new("bank");
    let subject = Subject::Call(format!("bank-{i}").into());
    let envelope = |(at, event): (i64, Event)| {
        let mut e = Fact::new(Time::from_secs(at), subject.clone(), event).into_envelope(&source, Time::from_secs(at));
        e.tenant = Some(TenantId::new("bank"));
        e
    };
    facts.into_iter().map(envelope).collect()
}
