//! The doors on real sockets: FastAGI as an Asterisk speaks it, HTTP, and what goes on record.
#![allow(clippy::disallowed_methods, reason = "these tests run real sockets in real time")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cti::{Config, Cti};
use journal::memory::Memory;
use journal::{Entry, Journal, Stream, Topology};
use model::control::{By, Figures, Level};
use model::envelope::Parsed;
use model::{Envelope, Event, Time};
use service::config::Millis;
use service::http::{Auth, Listen, Role, auth};
use service::{Clock, Component, Context, Seeds};
use support::{automatic, plan, said};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

struct Running {
    journal: Arc<dyn Journal>,
    http: SocketAddr,
    agi: SocketAddr,
    context: Context,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.context.drain.start("over");
    }
}

async fn running(config: Config) -> Running {
    let clock = Clock::system();
    let journal: Arc<dyn Journal> = Memory::new(Topology::default(), clock.clone());
    let context = Context::new("cti", "cti-1", clock, &Seeds::fixed(1)).with_shared(Arc::clone(&journal));
    let mut config = Config { listen: Listen::loopback(0), number_key: Some(service::Secret::plain("key")), ..config };
    config.agi.listen = Listen::loopback(0);
    let cti = Cti::build(config, &context).await.unwrap();
    let (http, agi) = cti.addresses();
    let (http, agi) = (http.unwrap(), agi.unwrap());
    tokio::spawn(cti.run(context.clone()));
    Running { journal, http, agi, context }
}

fn open() -> Config {
    Config {
        auth: Auth { tokens: Vec::new(), anonymous: Some(Role::Operator) },
        // a busy machine must not make answers late here
        deadline: Millis::seconds(10),
        ..Config::default()
    }
}

impl Running {
    async fn control(&self, events: Vec<model::control::Envelope>) {
        let entry = |e: model::control::Envelope| Entry::new(Stream::Control, "default", e.to_json());
        self.journal.append(events.into_iter().map(entry).collect()).await.unwrap();
    }

    /// A plan that leads everybody to the smart IVR, and waits until it is enforced.
    async fn flood(&self) {
        let now = Time(self.context.clock.now_ms());
        let ann = || By::Operator("ann".into());
        let target = model::control::TargetConfigured {
            target: "smart".into(),
            version: 1,
            kind: model::control::Kind::SmartIvr,
            address: "tidegate-targets,smart_ivr,1".into(),
            capacity_per_s: 1_000.0,
            containment: 0.5,
            enabled: true,
        };
        let toward = model::control::Toward { target: "smart".into(), weight: 1.0, capacity_per_s: None };
        let thresholds = model::control::Thresholds { targets: vec![toward], ..support::thresholds() };
        let set = model::control::ThresholdsSet { queue: "sales".into(), version: 1, thresholds };
        let figures = Figures { at: now, waiting: 5.0, agents: 9.0, ..Figures::default() };
        let issued = plan(7, automatic(Level::DivertAll, 1.0, 0.9), figures);
        self.control(vec![said(now, ann(), target), said(now, ann(), set), said(now, By::Automatic, issued)]).await;
        for _ in 0..600 {
            let text = get(self.http, "/v1/route/plan").await.1;
            if text.contains("\"plan\":7") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the plan is not enforced after a minute");
    }

    /// The first word on `health` of what came; the gate's heartbeats stand there, too.
    async fn counted(&self) -> model::control::GateCounted {
        for offset in 0.. {
            self.journal.wait_past(Stream::Health, 0, offset).await.unwrap();
            let batch = self.journal.read(Stream::Health, 0, offset, 1, usize::MAX).await.unwrap();
            if let Ok(model::control::Parsed::Known(envelope)) =
                model::control::Envelope::parse(&batch.records[0].value)
                && let model::control::Event::GateCounted(counted) = envelope.event
            {
                return *counted;
            }
        }
        unreachable!("every record was read")
    }

    /// What stands in `ingest`, as soon as it is so many events.
    async fn record(&self, events: u64) -> Vec<Envelope> {
        let wait = self.journal.wait_past(Stream::Ingest, 0, events - 1);
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("an event within a minute").unwrap();
        let batch = self.journal.read(Stream::Ingest, 0, 0, 100, usize::MAX).await.unwrap();
        let known = |value: &[u8]| match Envelope::parse(value) {
            Ok(Parsed::Known(known)) => known,
            other => panic!("{other:?}"),
        };
        batch.records.iter().map(|record| known(&record.value)).collect()
    }
}

async fn get(http: SocketAddr, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{http}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

const HEAD: &str = "agi_request: agi://127.0.0.1/route\nagi_uniqueid: pbx1-17.1\nagi_callerid: 4930555\nagi_dnid: 5001\n\
    agi_arg_1: queue=sales\nagi_arg_2: call=pbx1-17.0\n\n";

/// Speaks as Asterisk does, and gives back what was commanded.
async fn asterisk(agi: SocketAddr, answers: &[&str]) -> Vec<String> {
    let stream = TcpStream::connect(agi).await.unwrap();
    let (read, mut write) = stream.into_split();
    write.write_all(HEAD.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(read).lines();
    let mut heard = Vec::new();
    for number in 0.. {
        let Ok(Some(line)) = lines.next_line().await else { break };
        heard.push(line);
        let answer = answers.get(number).copied().unwrap_or("200 result=1\n");
        if write.write_all(answer.as_bytes()).await.is_err() {
            break;
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asterisk_is_told_where_the_call_goes_and_the_record_says_so_under_its_call_id() {
    let gate = running(open()).await;
    gate.flood().await;
    let heard = asterisk(gate.agi, &[]).await;
    assert_eq!(
        heard,
        [
            "SET VARIABLE TIDEGATE_REASON \"all_diverted\"",
            "SET VARIABLE TIDEGATE_LEVEL \"3\"",
            "SET VARIABLE TIDEGATE_PLAN \"7\"",
            "SET VARIABLE TIDEGATE_DESTINATION \"tidegate-targets,smart_ivr,1\"",
            "SET VARIABLE TIDEGATE_TARGET \"smart_ivr\"",
        ],
        "the target last"
    );
    let record = gate.record(1).await;
    let Event::CallDiverted(diverted) = &record[0].event else { panic!("{record:?}") };
    assert_eq!((record[0].subject.to_string().as_str(), record[0].source.as_str()), ("call/pbx1-17.0", "pbx1"));
    assert_eq!((diverted.target.as_str(), diverted.rule.as_str()), ("smart_ivr", "all_diverted"));
    assert_eq!(diverted.name.as_ref().map(model::TargetId::as_str), Some("smart"));
    assert_eq!((diverted.level, diverted.plan, diverted.queue.as_ref().unwrap().as_str()), (3, 7, "sales"));
    assert!(record[0].seq.is_some(), "an order of the call's events by their numbers needs one of each");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_heard_is_not_on_record() {
    let gate = running(open()).await;
    gate.flood().await;
    let hung_up = asterisk(gate.agi, &["200 result=1\n", "HANGUP\n"]).await;
    assert_eq!(hung_up.len(), 2);
    let dead = asterisk(gate.agi, &["511 Command Not Permitted on a dead channel\n"]).await;
    assert_eq!(dead.len(), 1);
    let refused = asterisk(gate.agi, &["520-Invalid command syntax.\n"]).await;
    assert_eq!(refused.len(), 1);
    let left = TcpStream::connect(gate.agi).await.unwrap();
    drop(left);
    asterisk(gate.agi, &[]).await;
    assert_eq!(gate.record(1).await.len(), 1, "only the one that heard its target");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_closed_without_a_word_and_the_next_is_served() {
    let gate = running(open()).await;
    for bad in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"agi_uniqueid: 1\n\n", b"\xff\xfe: x\n\n", &[b'x'; 40_000]] {
        let mut stream = TcpStream::connect(gate.agi).await.unwrap();
        let _ = stream.write_all(bad).await;
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        assert_eq!(said, b"", "{:?}", String::from_utf8_lossy(&bad[..bad.len().min(40)]));
    }
    assert_eq!(asterisk(gate.agi, &[]).await.last().unwrap(), "SET VARIABLE TIDEGATE_TARGET \"human_queue\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pbx_that_says_its_head_too_slowly_is_told_the_fallback() {
    let gate = running(Config { deadline: Millis::new(50), ..open() }).await;
    let mut stream = TcpStream::connect(gate.agi).await.unwrap();
    stream.write_all(b"agi_request: x\n").await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "SET VARIABLE TIDEGATE_REASON \"late\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_over_http_too_and_freeswitch_in_its_own_words() {
    let gate = running(open()).await;
    gate.flood().await;
    let client = reqwest::Client::new();
    let post = |body: &'static str| client.post(format!("http://{}/v1/route", gate.http)).body(body).send();
    let answer = post(r#"{"source":"pbx1","call":"c1","queue":"sales","caller":"4930555"}"#).await.unwrap();
    let text = answer.text().await.unwrap();
    assert_eq!(
        text,
        r#"{"target":"smart_ivr","name":"smart","address":"tidegate-targets,smart_ivr,1","reason":"all_diverted","level":3,"plan":7}"#
    );
    for (body, told) in [("{", "no ask"), (r#"{"source":"pbx1","call":"","queue":"sales"}"#, "call is empty")] {
        let answer = post(body).await.unwrap();
        assert_eq!(answer.status().as_u16(), 400);
        let problem = answer.text().await.unwrap();
        assert!(problem.contains(told) && problem.contains("TG0040"), "{problem}");
    }
    let asked = "source=fs1&queue=sales&call=u1&caller=%2B49+30";
    let (status, line) = get(gate.http, &format!("/v1/route/text?{asked}")).await;
    assert_eq!((status, line.as_str()), (200, "smart_ivr|tidegate-targets,smart_ivr,1|all_diverted|3|7"));
    let form = "Unique-ID=u2&Caller-Caller-ID-Number=4930&Caller-Destination-Number=5001";
    let url = format!("http://{}/v1/route/httapi?source=fs1&queue=sales", gate.http);
    let document = client.post(url).body(form).send().await.unwrap().text().await.unwrap();
    assert!(document.contains("data=\"tidegate_target=smart_ivr\""), "{document}");
    assert_eq!(get(gate.http, "/v1/route/text?source=fs1&queue=sales").await.0, 400, "no call");
    let calls: Vec<String> = gate.record(3).await.iter().map(|e| e.subject.to_string()).collect();
    assert_eq!(calls, ["call/c1", "call/u1", "call/u2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_operators_token_may_ask_and_only_for_its_tenant() {
    let (token, sha256) = auth::generate();
    let (viewer, viewers) = auth::generate();
    let entry =
        |name: &str, sha256, tenant: &str, role| auth::Token { name: name.into(), sha256, tenant: tenant.into(), role };
    let tokens = vec![entry("pbx", sha256, "bank", Role::Operator), entry("board", viewers, "*", Role::Viewer)];
    let mut directory = model::Directory::default();
    directory.tenants.insert("bank".into(), model::directory::Tenant::default());
    directory.sources.insert("pbx1".into(), model::directory::Source { tenant: "bank".into(), ..Default::default() });
    let config = Config { auth: Auth { tokens, anonymous: None }, directory, ..open() };
    let gate = running(config).await;
    let client = reqwest::Client::new();
    let ask = |token: Option<&str>, source: &str| {
        let body = format!(r#"{{"source":"{source}","call":"c1","queue":"sales"}}"#);
        let mut request = client.post(format!("http://{}/v1/route", gate.http)).body(body);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(ask(None, "pbx1").await, 401);
    assert_eq!(ask(Some("tg_0"), "pbx1").await, 401);
    assert_eq!(ask(Some(&viewer), "pbx1").await, 403);
    assert_eq!(ask(Some(&token), "pbx2").await, 403, "another tenant's source");
    assert_eq!(ask(Some(&token), "pbx1").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_although_the_journal_is_gone_and_although_it_was_never_there() {
    let gate = running(open()).await;
    gate.flood().await;
    gate.journal.close().await.unwrap();
    let heard = asterisk(gate.agi, &[]).await;
    assert_eq!(heard.last().unwrap(), "SET VARIABLE TIDEGATE_TARGET \"smart_ivr\"", "the last plan holds");

    // A journal whose folder is a file: it cannot be opened, now or later.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let context = Context::new("cti", "cti-2", Clock::system(), &Seeds::fixed(1));
    let mut config = Config { listen: Listen::loopback(0), ..open() };
    config.journal.path = file.join("journal.db");
    config.agi.listen = Listen::loopback(0);
    let cti = Cti::build(config, &context).await.unwrap();
    let agi = cti.addresses().1.unwrap();
    let life = tokio::spawn(cti.run(context.clone()));
    let heard = asterisk(agi, &[]).await;
    assert_eq!(heard[0], "SET VARIABLE TIDEGATE_REASON \"no_plan\"");
    context.drain.start("over");
    tokio::time::timeout(Duration::from_secs(60), life).await.expect("it stops").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_is_told_each_second_for_the_console() {
    let gate = running(open()).await;
    asterisk(gate.agi, &[]).await;
    let counted = tokio::time::timeout(Duration::from_secs(60), gate.counted()).await.expect("it is told");
    assert_eq!((counted.gate.as_str(), counted.queues[0].queue.as_str()), ("cti-1", "sales"));
    assert_eq!((counted.queues[0].attempts, counted.queues[0].first, counted.queues[0].admitted), (1, 1, 1));
}
