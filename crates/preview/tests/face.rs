//! `POST /v1/preview` over a store of made-up calls.

mod made_up;
mod records;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use made_up::world;
use model::Directory;
use model::control::{Kind, Thresholds, Toward};
use preview::face::{Face, router};
use preview::recorded::Recorded;
use preview::scenario::{Place, Scenario};
use records::stored;
use serde_json::{Value, json};
use service::http::{Auth, Role};
use service::{Clock, Drain, Tasks};
use tower::ServiceExt as _;

/// The route behind a guard that lets the nameless act as `role`.
async fn face(recorded: &Recorded, role: Role) -> Router {
    let mut in_force = Scenario::default();
    in_force.targets.insert("chat".into(), Place { kind: Kind::Chat, capacity_per_s: 1.0, containment: 0.7 });
    // what is in force may speak of queues without calls and of targets that are no more
    let gone = Toward { target: "gone".into(), weight: 1.0, capacity_per_s: None };
    in_force.queues.insert("closed".into(), Thresholds { targets: vec![gone], ..Thresholds::default() });
    let mut directory = Directory::default();
    directory.tenants.insert("shop".into(), directory.tenant(&"shop".into()));
    let store = stored(recorded, "shop").await;
    let tasks = Tasks::new("preview", 4, Clock::system(), Drain::new());
    let face = Face::new(store, Arc::new(directory), Arc::new(move |_| in_force.clone()), tasks);
    Auth { tokens: Vec::new(), anonymous: Some(role) }.guard().protect(router(face))
}

async fn ask(face: &Router, question: &Value) -> (StatusCode, Value) {
    let request = Request::post("/v1/preview").header("content-type", "application/json").header("host", "localhost");
    let request = request.body(Body::from(question.to_string())).unwrap();
    let answer = face.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 1 << 24).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn question() -> Value {
    json!({
        "from": "2023-11-14T22:13:20Z", "to": "2023-11-15T06:33:20Z", "seeds": 2,
        "thresholds": { "queues": { "sales": { "targets": [{ "target": "chat" }] } } },
    })
}

#[tokio::test]
async fn a_store_of_records_gives_back_what_happened() {
    let recorded = world(1, 0.3).recorded(1);
    let store = stored(&recorded, "shop").await;
    let (from, to) = (recorded.from, recorded.to);
    let read = Recorded::read(store.as_ref(), &"shop".into(), from, to, &|_| true).await.unwrap();
    // who had not been answered when the day ended is of the day
    assert_eq!(read, recorded);
    let nobody = Recorded::read(store.as_ref(), &"other".into(), from, to, &|_| true).await.unwrap();
    assert!(nobody.stays.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thresholds_are_compared_with_those_in_force() {
    let face = face(&world(1, 0.3).recorded(1), Role::Supervisor).await;
    let (status, answer) = ask(&face, &question()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let difference = &answer["all"]["figures"]["diverted"]["difference"]["mean"];
    assert!(difference.as_f64().unwrap() > 0.0, "{answer}");
    assert_eq!(answer["queues"].as_array().unwrap().len(), 2);
    // the same question, the same answer; the seat is free again
    assert_eq!(ask(&face, &question()).await, (status, answer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_played_is_refused_with_every_fault() {
    let face = face(&world(1, 0.3).recorded(1), Role::Supervisor).await;
    let wrong = json!({
        "from": "2023-11-14T22:13:20Z", "to": "2023-11-15T06:33:20Z", "seeds": 1_000,
        "thresholds": { "queues": { "sales": { "targets": [{ "target": "moon" }] }, "sails": {} } },
    });
    let (status, problem) = ask(&face, &wrong).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let places: Vec<&str> = problem["errors"].as_array().unwrap().iter().map(|e| e["at"].as_str().unwrap()).collect();
    assert_eq!(places, ["thresholds.queues.sails", "thresholds.queues.sales.targets.0.target", "seeds"]);
    let (status, _) = ask(&face, &json!({ "from": "1999-01-01", "to": "2023-11-16", "thresholds": {} })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "a period of many years");
    let (status, _) = ask(&face, &json!({ "from": "1999-01-01", "to": "1999-01-02", "thresholds": {} })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "a period without calls");
    let (status, _) = ask(&face, &json!({ "from": "1999-01-01", "thresholds": {} })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "no end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_played_at_a_time_and_one_whose_asker_is_gone_makes_room() {
    let face = face(&world(1, 0.3).recorded(1), Role::Supervisor).await;
    let long = {
        let mut long = question();
        long["seeds"] = json!(100);
        long
    };
    let mut asked = Box::pin(ask(&face, &long));
    // the first question is on its way when it was polled once
    assert!(polled_once(&mut asked).await.is_none(), "a hundred seeds were played in no time");
    let (status, problem) = ask(&face, &question()).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{problem}");
    drop(asked);
    let clock = Clock::system();
    for _ in 0..600 {
        let (status, _) = ask(&face, &question()).await;
        if status == StatusCode::OK {
            return;
        }
        clock.sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("a preview that nobody waits for kept its seat for a minute");
}

/// Polls once.
async fn polled_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn who_may_only_look_may_not_ask() {
    let face = face(&world(1, 0.0).recorded(1), Role::Viewer).await;
    let (status, _) = ask(&face, &question()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}
