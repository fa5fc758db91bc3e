//! What is given is what the rows say, in the order of time, however many calls are under way at once.

use std::sync::Arc;

use adapter_calls_csv::Files;
use adapter_calls_csv::config::Config;
use adapter_calls_csv::translate::Table;
use csv::StringRecord;

const HEADER: &str = "id,came,queue,entered,left,answered,released,what,agent";

fn config() -> Arc<Config> {
    let config = serde_json::json!({
        "ivr_node": "main",
        "outcomes": { "ok": "answered", "gone": "abandoned" },
        "columns": {
            "call": ["id"], "offered": "came", "queue": "queue", "queue_entered": "entered", "queue_left": "left",
            "answered": "answered", "released": "released", "outcome": "what", "agent": "agent",
        },
        "formats": { "moment": "%Y-%m-%d %H:%M:%S", "time_zone": "UTC" },
    });
    Arc::new(serde_json::from_value(config).unwrap())
}

/// A call that comes in this second of a morning; its answer is written a second before it left its queue, as clocks of
/// recorded tables have it.
fn row(id: u32, second: u32) -> String {
    let at = |more: u32| format!("2026-01-05 08:{:02}:{:02}", (second + more) / 60, (second + more) % 60);
    format!("{id},{},sales,{},{},{},{},ok,101", at(0), at(4), at(20), at(19), at(200))
}

#[test]
fn facts_are_given_by_time_then_by_their_order_in_the_call_then_by_row() {
    let config = config();
    // Latest first, some in the same second, over two files.
    let rows: Vec<String> = (0..40).map(|n| row(n, (40 - n) / 3 * 7)).collect();
    let mut files = Files::default();
    for part in rows.chunks(25) {
        let text = format!("{HEADER}\n{}\n", part.join("\n"));
        files.read(&config, "calls.csv", text.as_bytes()).unwrap();
    }
    let given = files.sorted().into_facts().unwrap();

    let record = |text: &str| StringRecord::from(text.split(',').collect::<Vec<_>>());
    let table = Table::new(&config, &record(HEADER)).unwrap();
    let mut want: Vec<_> = rows.iter().flat_map(|row| table.facts(&record(row)).unwrap()).collect();
    want.sort_by_key(|fact| (fact.occurred_at, fact.seq));
    assert_eq!(given.len(), 40 * 8);
    assert_eq!(given, want);
}
