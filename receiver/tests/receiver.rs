//! The receiver as its neighbours see it: `ingest` in, `events.*` out, the door, and what was set aside.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use journal::{Entry, Journal, Stream, Topology, memory::Memory};
use model::envelope::Parsed;
use model::event::call::{Offered, Queued};
use model::{Directory, Envelope, Fact, Number, Subject, Time};
use receiver::{Config, Receiver, aside};
use service::http::{Role, auth};
use service::{Clock, Component, Context, Secret, Seeds};

const NOW: i64 = 1_795_227_084_000;

fn world() -> (Arc<dyn Journal>, Clock) {
    let clock = Clock::system();
    (Memory::new(Topology::default(), clock.clone()), clock)
}

fn fact(call: &str, at_ms: i64) -> Vec<u8> {
    let event = Offered { ani: Some(Number::plain("13800138000")), ..Offered::default() };
    Fact::new(Time(at_ms), Subject::Call(call.into()), event).into_envelope(&"pbx1".into(), Time(at_ms)).to_json()
}

async fn ingest(journal: &Arc<dyn Journal>, values: Vec<Vec<u8>>) {
    journal.append(values.into_iter().map(|v| Entry::new(Stream::Ingest, "pbx1", v)).collect()).await.unwrap();
}

async fn catch_up(journal: &Arc<dyn Journal>, clock: &Clock) -> usize {
    receiver::catch_up(Arc::clone(journal), Directory::default(), clock.clone(), || true).await.unwrap().aside
}

async fn events(journal: &Arc<dyn Journal>) -> Vec<Envelope> {
    let mut all = Vec::new();
    for partition in 0..journal.partitions(Stream::EventsCall) {
        let batch = journal.read(Stream::EventsCall, partition, 0, 10_000, usize::MAX).await.unwrap();
        all.extend(batch.records.iter().map(|r| match Envelope::parse(&r.value).unwrap() {
            Parsed::Known(known) => known,
            Parsed::Unknown(head) => panic!("{} is not known", head.ty),
        }));
    }
    all.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    all
}

#[tokio::test]
async fn a_fact_collected_twice_is_recorded_once_also_across_a_restart() {
    let (journal, clock) = world();
    ingest(&journal, vec![fact("1", NOW), fact("1", NOW), fact("2", NOW)]).await;
    catch_up(&journal, &clock).await;
    ingest(&journal, vec![fact("2", NOW), fact("1", NOW), fact("3", NOW)]).await;
    catch_up(&journal, &clock).await;
    let calls: Vec<_> = events(&journal).await.iter().map(|e| e.subject.id().to_owned()).collect();
    assert_eq!(calls.len(), 3, "{calls:?}");
}

#[tokio::test]
async fn what_makes_no_sense_is_set_aside_listed_and_can_be_sent_again() {
    let (journal, clock) = world();
    ingest(&journal, vec![fact("1", NOW), b"nonsense".to_vec(), b"\xff\xfe".to_vec(), fact("2", NOW)]).await;
    assert_eq!(catch_up(&journal, &clock).await, 2);
    assert_eq!(events(&journal).await.len(), 2, "the stream went on");
    let list = aside::list(&journal).await.unwrap();
    assert_eq!(list.iter().map(|a| (a.source.as_str(), a.whole)).collect::<Vec<_>>().len(), 2);
    assert!(list.iter().all(|a| a.reason.contains("no CloudEvents envelope")), "{list:?}");
    let done = aside::replay(&journal, &[]).await.unwrap();
    assert_eq!((done.sent, done.kept), (1, 1), "what is not whole stays for the operator to see");
    assert_eq!(catch_up(&journal, &clock).await, 2, "still nonsense: set aside again");
    assert_eq!(aside::drop_all(&journal, &[]).await.unwrap(), 2);
    assert!(aside::list(&journal).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_same_number_has_one_token_for_good_and_is_nowhere_in_the_clear() {
    let (journal, clock) = world();
    ingest(&journal, vec![fact("1", NOW)]).await;
    catch_up(&journal, &clock).await;
    ingest(&journal, vec![fact("2", NOW + 1)]).await;
    catch_up(&journal, &clock).await;
    let all = events(&journal).await;
    let tokens: Vec<_> = all
        .iter()
        .map(|e| match &e.event {
            model::Event::CallOffered(o) => o.ani.clone().unwrap().token.unwrap(),
            other => panic!("{}", other.ty()),
        })
        .collect();
    assert_eq!(tokens[0], tokens[1]);
    assert!(all.iter().all(|e| !String::from_utf8(e.to_json()).unwrap().contains("13800138000")));
}

#[test]
fn it_is_a_well_behaved_component() {
    service::conformance::component::<Receiver>();
    service::conformance::reference::<Receiver>();
}

/// A receiver with an open door; its address and an operator's token.
async fn door(journal: Arc<dyn Journal>, webhook: bool) -> (String, String, Context) {
    let (token, sha256) = auth::generate();
    let mut config = Config::default();
    config.listen.address = free_port();
    config.webhook_key = webhook.then(|| Secret::plain("hook"));
    config.auth.tokens =
        vec![auth::Token { name: "feeder".into(), sha256, tenant: "default".into(), role: Role::Operator }];
    let address = config.listen.address;
    let context = Context::new("receiver", "test", Clock::system(), &Seeds::fixed(1)).with_shared(journal);
    let receiver = Receiver::build(Receiver::plan(config).unwrap(), &context).await.unwrap();
    let inner = context.clone();
    context.tasks.spawn("receiver", async move { receiver.run(inner).await }).unwrap();
    (format!("http://{address}/v1/ingest"), token, context)
}

fn free_port() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn the_door_takes_the_good_of_a_batch_and_names_the_bad() {
    let (journal, _) = world();
    let (url, token, context) = door(Arc::clone(&journal), false).await;
    let good = String::from_utf8(fact("1", NOW)).unwrap();
    let queued = Queued { queue: "sales".into(), priority: None, position: None, offered_at: None };
    let two =
        Fact::new(Time(NOW), Subject::Call("1".into()), queued).into_envelope(&"pbx1".into(), Time(NOW)).to_json();
    let body = format!("[{good},{{\"id\":1}},{}]", String::from_utf8(two).unwrap());
    let answer = reqwest::Client::new().post(&url).bearer_auth(&token).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert_eq!((answer["accepted"].as_u64(), answer["refused"][0]["index"].as_u64()), (Some(2), Some(1)), "{answer}");
    for _ in 0..200 {
        if events(&journal).await.len() == 2 {
            break;
        }
        context.clock.sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(events(&journal).await.len(), 2);
    context.drain.start("test over");
}

#[tokio::test]
async fn the_door_is_shut_for_strangers_and_for_other_tenants() {
    let (journal, _) = world();
    let (url, token, context) = door(journal, true).await;
    let client = reqwest::Client::new();
    assert_eq!(client.post(&url).body(fact("1", NOW)).send().await.unwrap().status(), 401);
    assert_eq!(client.post(&url).bearer_auth("tg_wrong").body(fact("1", NOW)).send().await.unwrap().status(), 401);
    let answer = client.post(&url).bearer_auth(&token).body("{").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let signed = |at: i64, body: &[u8], key: &[u8]| {
        let mut mac = <Hmac<sha2::Sha256> as Mac>::new_from_slice(key).unwrap();
        mac.update(at.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("v1={}", hex::encode(mac.finalize().into_bytes()))
    };
    let now = context.clock.now_ms() / 1000;
    for (at, key, want) in [(now, b"hook", 202), (now, b"nook", 401), (now - 3_600, b"hook", 401)] {
        let body = fact("1", NOW);
        let answer = client
            .post(&url)
            .header("tidegate-timestamp", at.to_string())
            .header("tidegate-signature", signed(at, &body, key))
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), want, "{at} {key:?}");
    }
    context.drain.start("test over");
}
