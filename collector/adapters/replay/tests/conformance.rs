//! The suite that every adapter passes, over a recording written here.

use adapter::conformance::{Stand, examine};
use adapter_replay::Replay;

const RECORDING: &str = r#"{"specversion":"1.0","id":"e1","source":"pbx1","type":"call.offered.v1","subject":"call/1","time":"2026-01-01T00:00:00.000Z","data":{}}
{"specversion":"1.0","id":"e2","source":"pbx1","type":"call.ended.v1","subject":"call/1","time":"2026-01-01T00:00:09.000Z","data":{"by":"caller"}}
"#;

#[tokio::test]
async fn the_conformance_suite_of_adapters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.ndjson");
    std::fs::write(&path, RECORDING).unwrap();
    examine::<Replay>(async || Stand::recording(serde_json::json!({ "paths": [path] }))).await;
}
