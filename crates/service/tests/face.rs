//! An HTTP face over a real socket: guarded, bounded, and stopped gracefully.

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use service::http::{Auth, Json, Listen, Path, Principal, Problem, Query, Role, auth, serve, with_fallbacks};
use service::{Clock, Drain, Millis, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct By {
    by: u32,
}

struct Face {
    address: String,
    drain: Drain,
    tasks: Tasks,
    token: String,
}

async fn slow() -> &'static str {
    Clock::system().sleep(Duration::from_millis(300)).await;
    "late but whole"
}

async fn ingest(principal: Principal) -> Result<String, Problem> {
    principal.require(Role::Operator)?;
    Ok(format!("{} of {}", principal.name, principal.tenant))
}

async fn face(limits: Listen) -> Face {
    let (token, sha256) = auth::generate();
    let known = auth::Token { name: "feeder".into(), sha256, tenant: "acme".into(), role: Role::Operator };
    let guard = Auth { tokens: vec![known], anonymous: Some(Role::Viewer) }.guard();
    let router =
        Router::new().route("/slow", get(slow)).route("/ingest", post(ingest)).route("/quick", get(async || "here"));
    let router = router
        .route("/double/{n}", get(|Path(n): Path<u32>, Query(by): Query<By>| async move { (n * by.by).to_string() }))
        .route("/echo", post(|Json(by): Json<By>| async move { Json(by) }));
    let router = guard.protect(with_fallbacks(router));
    let listener = limits.bind().await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (drain, clock) = (Drain::new(), Clock::system());
    let tasks = Tasks::new("face", 4, clock, drain.child());
    let own = drain.clone();
    tasks.spawn("serve", async move { serve(listener, router, &limits, &own).await }).unwrap();
    Face { address, drain, tasks, token }
}

impl Face {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

#[tokio::test]
async fn who_asks_decides_what_is_answered() {
    let face = face(Listen::loopback(0)).await;
    let client = reqwest::Client::new();
    assert_eq!(client.get(face.url("/quick")).send().await.unwrap().text().await.unwrap(), "here");
    let anonymous = client.post(face.url("/ingest")).send().await.unwrap();
    assert_eq!(anonymous.status(), 401, "a viewer without a token may try again with one");
    assert_eq!(anonymous.headers()["content-type"], "application/problem+json");
    let problem: Problem = anonymous.json().await.unwrap();
    assert_eq!((problem.code.as_ref(), problem.kind().as_str()), ("TG0041", "urn:tidegate:problem:TG0041"));
    let wrong = client.get(face.url("/quick")).bearer_auth("tg_wrong").send().await.unwrap();
    assert_eq!(wrong.status(), 401, "a wrong token is not no token");
    let known = client.post(face.url("/ingest")).bearer_auth(&face.token).send().await.unwrap();
    assert_eq!(known.text().await.unwrap(), "feeder of acme");
}

#[tokio::test]
async fn whatever_cannot_be_read_is_refused_with_a_problem() {
    let face = face(Listen::loopback(0)).await;
    let client = reqwest::Client::new();
    assert_eq!(client.get(face.url("/double/4?by=3")).send().await.unwrap().text().await.unwrap(), "12");
    let echo = |body: &'static str| {
        let request = client.post(face.url("/echo")).header("content-type", "application/json").body(body);
        async { request.send().await.unwrap() }
    };
    assert_eq!(echo("{\"by\":2}").await.text().await.unwrap(), "{\"by\":2}");
    let refusals = [
        (client.get(face.url("/double/four?by=3")).send().await.unwrap(), 400, "four"),
        (client.get(face.url("/double/4?by=x")).send().await.unwrap(), 400, "by"),
        (echo("{\"by\":").await, 400, "EOF"),
        (echo("{\"by\":2,\"bye\":1}").await, 400, "bye"),
        (client.post(face.url("/echo")).body("{}").send().await.unwrap(), 400, "application/json"),
        (client.get(face.url("/nowhere")).send().await.unwrap(), 404, "/nowhere"),
        (client.delete(face.url("/echo")).send().await.unwrap(), 405, "DELETE"),
    ];
    for (answer, status, named) in refusals {
        assert_eq!(answer.status(), status, "{named}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{named}");
        let problem: Problem = answer.json().await.unwrap();
        assert!(problem.detail.contains(named), "{named} is not in {problem}");
    }
}

#[tokio::test]
async fn a_drain_lets_the_request_in_progress_finish_and_takes_no_new_one() {
    let face = face(Listen::loopback(0)).await;
    let client = reqwest::Client::new();
    let request = client.get(face.url("/slow")).send();
    let stop = async {
        Clock::system().sleep(Duration::from_millis(100)).await;
        face.drain.start("test");
    };
    let (answer, ()) = tokio::join!(request, stop);
    assert_eq!(answer.unwrap().text().await.unwrap(), "late but whole");
    face.tasks.shutdown(Duration::from_secs(5)).await.unwrap();
    assert!(TcpStream::connect(&face.address).await.is_err());
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_and_idle_ones_are_closed() {
    let face = face(Listen { connections_max: 1, idle_max: Millis::new(1_000), ..Listen::loopback(0) }).await;
    let mut idle = TcpStream::connect(&face.address).await.unwrap();
    // The first connection says nothing and holds the only place until it has been idle too long; then the second is served.
    Clock::system().sleep(Duration::from_millis(100)).await;
    let mut second = TcpStream::connect(&face.address).await.unwrap();
    second.write_all(b"GET /quick HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let early = Clock::system().timeout(Duration::from_millis(300), second.read_to_string(&mut answer)).await;
    assert!(early.is_err(), "served beyond the bound: {answer}");
    let mut rest = Vec::new();
    Clock::system().timeout(Duration::from_secs(5), idle.read_to_end(&mut rest)).await.unwrap().ok();
    Clock::system().timeout(Duration::from_secs(5), second.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
