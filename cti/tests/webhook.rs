//! A chat platform behind a target: a real server on loopback, told of each caller by a signed request.
#![allow(clippy::disallowed_methods, reason = "these tests run real sockets in real time")]

#[path = "support/life.rs"]
mod life;
mod support;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use cti::Config;
use cti::webhook::{Caller, Webhook, signature};
use life::{Life, journal};
use model::control::{Event, Kind, Level, TargetObserved};
use model::{Number, NumberKey};
use serde_json::{Value, json};
use service::config::Millis;
use service::{Clock, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the platform was told, and what it answers.
#[derive(Default)]
struct Platform {
    told: Mutex<Vec<(HeaderMap, Bytes)>>,
    answer: Mutex<(u16, Value)>,
}

async fn take(State(platform): State<Arc<Platform>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    platform.told.lock().unwrap().push((headers, body));
    let (status, answer) = platform.answer.lock().unwrap().clone();
    (StatusCode::from_u16(status).unwrap(), answer.to_string())
}

impl Platform {
    async fn start() -> (Arc<Platform>, String) {
        let platform = Arc::<Platform>::default();
        platform.answers(200, json!({ "accepted": true, "capacity_per_s": 4.0 }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hand-over", listener.local_addr().unwrap());
        let router = Router::new().route("/hand-over", post(take)).with_state(Arc::clone(&platform));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (platform, url)
    }

    fn answers(&self, status: u16, answer: Value) {
        *self.answer.lock().unwrap() = (status, answer);
    }

    fn told(&self) -> Vec<(HeaderMap, Bytes)> {
        self.told.lock().unwrap().clone()
    }
}

fn config(url: String, caller: Caller) -> Config {
    let secret = Secret::plain("shared");
    let webhook = Webhook { url, secret, caller, attempts: 1, probe: Millis::seconds(1), ..Webhook::default() };
    Config { webhooks: [("web".into(), webhook)].into(), ..Config::default() }
}

async fn observed(life: &Life) -> Option<TargetObserved> {
    let seen = life.control().await.into_iter().filter_map(|told| match told.event {
        Event::TargetObserved(seen) => Some(*seen),
        _ => None,
    });
    seen.last()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_is_told_who_comes_signed_and_without_a_number_and_says_what_it_takes() {
    let (platform, url) = Platform::start().await;
    let life = Life::start(&journal(), config(url, Caller::Token)).await;
    life.lead_to("web", Kind::Chat).await;
    life.plan(7, Level::DivertAll, 0.0).await;
    let answer = life.ask("+49305551001").await;
    assert_eq!((&answer["target"], &answer["address"]), (&json!("chat"), &json!("tidegate-targets,chat,1")));
    life.until("the platform is told", || async { (!platform.told().is_empty()).then_some(()) }).await;
    let (headers, body) = platform.told().remove(0);
    let now_s = Clock::system().now_ms() / 1_000;
    let signed = headers[signature::HEADER].to_str().unwrap();
    assert_eq!(signature::verify(b"shared", signed, now_s, &body), Ok(()));
    assert_eq!(signature::verify(b"another", signed, now_s, &body), Err(signature::Error::Wrong));
    assert_eq!(signature::verify(b"shared", signed, now_s + 1_000, &body), Err(signature::Error::Late));
    let told: Value = serde_json::from_slice(&body).unwrap();
    let token = Number::plain("+49305551001").sealed(&NumberKey::new("key")).token;
    assert_eq!(
        (&told["type"], &told["queue"], &told["language"]),
        (&json!("call.diverted"), &json!("sales"), &json!("zh"))
    );
    assert_eq!(
        (&told["call"], &told["reason"], &told["caller"]),
        (&json!("pbx1-01"), &json!("all_diverted"), &json!({ "token": token }))
    );
    assert_eq!(headers["tidegate-id"].to_str().ok(), told["id"].as_str());
    let seen = life.until("what it takes is on record", || observed(&life)).await;
    assert_eq!((seen.healthy, seen.capacity_per_s), (true, Some(4.0)));
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_led_to_a_platform_that_is_gone_until_it_answers_a_probe() {
    let (platform, url) = Platform::start().await;
    let life = Life::start(&journal(), config(url, Caller::Masked)).await;
    life.lead_to("web", Kind::Chat).await;
    life.plan(7, Level::DivertAll, 0.0).await;
    platform.answers(503, Value::Null);
    for caller in ["4930001", "4930002", "4930003"] {
        assert_eq!(life.ask(caller).await["target"], "chat", "the call does not wait for the platform");
    }
    let gone = || async { observed(&life).await.filter(|seen| !seen.healthy) };
    life.until("the platform is known to be gone", gone).await;
    let answer = life.ask("4930004").await;
    assert_eq!((&answer["target"], &answer["reason"]), (&json!("human_queue"), &json!("no_target")));
    let led = platform.told().len();
    platform.answers(200, json!({ "accepted": true, "capacity_per_s": 9.0, "containment": 0.9 }));
    let back = || async { observed(&life).await.filter(|seen| seen.healthy) };
    let seen = life.until("a probe finds it back", back).await;
    assert_eq!((seen.capacity_per_s, seen.containment), (Some(9.0), Some(0.9)));
    let probe: Value = serde_json::from_slice(&platform.told()[led..].last().unwrap().1).unwrap();
    assert_eq!(
        (&probe["type"], &probe["caller"]),
        (&json!("probe"), &Value::Null),
        "nobody is named to a platform that may be gone"
    );
    assert_eq!(life.ask("4930005").await["target"], "chat");
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_that_fails_is_tried_again_under_the_same_id() {
    let (platform, url) = Platform::start().await;
    let mut config = config(url, Caller::Clear);
    config.webhooks.values_mut().for_each(|webhook| webhook.attempts = 5);
    let life = Life::start(&journal(), config).await;
    life.lead_to("web", Kind::Chat).await;
    life.plan(7, Level::DivertAll, 0.0).await;
    platform.answers(503, Value::Null);
    life.ask("+49305551001").await;
    life.until("it is tried", || async { (!platform.told().is_empty()).then_some(()) }).await;
    platform.answers(200, json!({ "accepted": true, "capacity_per_s": 3.0 }));
    let seen = life.until("it arrives", || observed(&life)).await;
    assert_eq!((seen.healthy, seen.capacity_per_s), (true, Some(3.0)));
    let told: Vec<Value> = platform.told().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect();
    assert!(told.len() > 1 && told.iter().all(|one| one == &told[0]), "{told:?}");
    assert_eq!(told[0]["caller"]["number"], "+49305551001", "where it is configured in so many words");
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_cannot_prove_who_it_is_is_told_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hand-over", listener.local_addr().unwrap());
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let hearing = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 64 << 10];
            let read = stream.read(&mut bytes).await.unwrap_or(0);
            hearing.lock().unwrap().extend_from_slice(&bytes[..read]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let life = Life::start(&journal(), config(url, Caller::Clear)).await;
    life.lead_to("web", Kind::Chat).await;
    life.plan(7, Level::DivertAll, 0.0).await;
    for caller in ["4930001", "4930002", "4930003"] {
        life.ask(caller).await;
    }
    life.until("it is not believed", || async { observed(&life).await.filter(|seen| !seen.healthy) }).await;
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.first(), Some(&0x16), "a greeting of TLS");
    assert!(!String::from_utf8_lossy(&heard).contains("caller"), "and nothing else");
    life.stop().await;
}
