//! The suite that every adapter passes, over a log written here; and a followed file that grows and is rotated.

use std::io::Write;

use adapter::conformance::{Stand, examine};
use adapter::{Adapter, Context, Known, Session};
use adapter_queue_log::QueueLog;
use adapter_queue_log::config::Config;
use service::{Clock, Seeds};

const LOG: &str = "\
1700000000|NONE|NONE|NONE|QUEUESTART|
1700000001|MANAGER|sales|PJSIP/101|ADDMEMBER|
1700000010|17.1|sales|NONE|ENTERQUEUE||0301234|1
1700000012|17.1|sales|PJSIP/102|RINGNOANSWER|2000
1700000015|17.1|sales|PJSIP/101|CONNECT|5|17.2|2
1700000020|17.3|sales|NONE|ENTERQUEUE||0305678|1
1700000029|17.3|sales|NONE|ABANDON|1|1|9
1700000075|17.1|sales|PJSIP/101|BLINDTRANSFER|600|agents|5|60|1
";

#[tokio::test]
async fn the_conformance_suite_of_adapters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue_log");
    std::fs::write(&path, LOG).unwrap();
    examine::<QueueLog>(async || Stand::recording(serde_json::json!({ "paths": [path] }))).await;
}

async fn follow(config: &Config, known: Known) -> adapter_queue_log::QueueLogSession {
    let context = Context { source: "pbx".into(), known, clock: Clock::system(), seeds: Seeds::fixed(1) };
    QueueLog::connect(config, context).await.unwrap()
}

#[tokio::test]
async fn a_followed_file_is_read_on_where_it_was_left_and_across_a_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue_log");
    let lines: Vec<&str> = LOG.lines().collect();
    std::fs::write(&path, format!("{}\n{}\n17000000", lines[0], lines[2])).unwrap();
    let config =
        Config { paths: vec![path.clone()], follow: true, poll: service::Millis::new(10), ..Config::default() };
    let first = follow(&config, Known::default()).await.next(100).await.unwrap();
    assert_eq!(first.facts.len(), 2, "the half line waits for its end: {:?}", first.facts);
    let known = Known { state: first.state.into_iter().filter_map(|(k, v)| Some((k, v?))).collect(), last_seen: None };
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(lines[4].strip_prefix("17000000").unwrap().as_bytes()).unwrap();
    file.write_all(b"\n").unwrap();
    let mut session = follow(&config, known).await;
    let second = session.next(100).await.unwrap();
    assert_eq!(second.facts[0].event.ty(), "call.dequeued.v1", "the same line is not read twice");
    std::fs::rename(&path, dir.path().join("queue_log.1")).unwrap();
    std::fs::write(&path, format!("{}\n", lines[5])).unwrap();
    let third = session.next(100).await.unwrap();
    assert_eq!(third.facts.len(), 2, "the new file is read from its beginning: {:?}", third.facts);
}
