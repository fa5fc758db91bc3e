//! The suite that every adapter passes, over a small table written here.

use adapter::conformance::{Stand, examine};
use adapter_calls_csv::CallsCsv;

const TABLE: &str = "\
id,came,queue,entered,left,answered,released,what,agent,caller
1,2026-01-05 08:00:00,sales,2026-01-05 08:00:05,2026-01-05 08:00:20,2026-01-05 08:00:20,2026-01-05 08:03:00,ok,101,0301
2,2026-01-05 08:01:00,sales,2026-01-05 08:01:04,2026-01-05 08:01:30,,,gone,,0302
3,2026-01-05 08:02:00,sales,,,,,gone,,0303
";

#[tokio::test]
async fn the_conformance_suite_of_adapters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("calls.csv");
    std::fs::write(&path, TABLE).unwrap();
    let config = serde_json::json!({
        "paths": [path],
        "ivr_node": "main",
        "outcomes": { "ok": "answered", "gone": "abandoned" },
        "columns": {
            "call": ["id"], "offered": "came", "queue": "queue", "queue_entered": "entered", "queue_left": "left",
            "answered": "answered", "released": "released", "outcome": "what", "agent": "agent", "caller": "caller",
        },
        "formats": { "moment": "%Y-%m-%d %H:%M:%S", "time_zone": "Asia/Shanghai" },
    });
    examine::<CallsCsv>(async || Stand::recording(config.clone())).await;
}
