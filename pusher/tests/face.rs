//! The whole pusher, by its faces: a real server on loopback, fed by hand.
#![allow(clippy::disallowed_methods, reason = "a test talks to a real server in real time")]

#[path = "face/bench.rs"]
mod bench;

use bench::{Bench, view_of_queue};
use model::Time;
use serde_json::{Value, json};
use service::http::auth::{Auth, Token, generate};
use service::http::{Role, auth::hash};
use store::frame::Body;

const SUBSCRIBE: &str = r#"{"op":"subscribe","id":"t","topics":["queues"]}"#;

#[tokio::test]
async fn a_subscriber_sees_the_snapshot_then_only_what_changed() {
    let bench = Bench::start(Auth::default()).await;
    bench.tell("queue/default/sales", view_of_queue("sales", 2)).await;
    bench.tell("queue/default/help", view_of_queue("help", 0)).await;
    let mut client = bench.connect(None).await;
    client.say(SUBSCRIBE).await;
    assert_eq!(client.hear("subscribed").await["feeds"], json!(["queues"]));
    let snapshot = bench.settled(&mut client, 2).await;
    assert_eq!(snapshot["age_ms"].as_i64().map(|age| age < 5_000), Some(true), "{snapshot}");
    bench.tell("queue/default/sales", view_of_queue("sales", 3)).await;
    let delta = client.hear("delta").await;
    assert_eq!(delta["changed"].as_array().unwrap().len(), 1, "{delta}");
    assert_eq!((&delta["changed"][0]["key"], &delta["changed"][0]["waiting"]), (&json!("sales"), &json!(3)));
    assert!(delta["prev"].as_u64() < delta["seq"].as_u64());
}

#[tokio::test]
async fn who_comes_back_goes_on_where_they_stopped() {
    let bench = Bench::start(Auth::default()).await;
    bench.tell("queue/default/sales", view_of_queue("sales", 1)).await;
    let mut client = bench.connect(None).await;
    client.say(SUBSCRIBE).await;
    let last = bench.settled(&mut client, 1).await;
    drop(client);
    bench.tell("queue/default/sales", view_of_queue("sales", 5)).await;
    bench.until(|item| item["waiting"] == 5).await;
    let resume = json!([{ "feed": "queues", "epoch": last["epoch"], "seq": last["seq"] }]);
    let again = json!({ "op": "subscribe", "id": "t", "topics": ["queues"], "resume": resume });
    let mut client = bench.connect(None).await;
    client.say(&again.to_string()).await;
    client.hear("subscribed").await;
    let first = client.next_frame().await;
    assert_eq!((&first["op"], &first["changed"][0]["waiting"]), (&json!("delta"), &json!(5)), "{first}");
    let other = json!([{ "feed": "queues", "epoch": "another", "seq": last["seq"] }]);
    let again = json!({ "op": "subscribe", "id": "t", "topics": ["queues"], "resume": other });
    client.say(&again.to_string()).await;
    assert_eq!(client.hear("snapshot").await["items"][0]["waiting"], 5);
}

#[tokio::test]
async fn a_closed_interval_that_changes_is_a_correction() {
    let bench = Bench::start(Auth::default()).await;
    let start = Time(bench.now().ms() / 60_000 * 60_000 - 5 * 3_600_000);
    bench.tell_row("sales", start, 3).await;
    let mut client = bench.connect(None).await;
    client.say(r#"{"op":"subscribe","id":"t","topics":["intervals"],"filter":{"queues":["sales"]}}"#).await;
    bench.settled(&mut client, 1).await;
    bench.tell_row("sales", start, 4).await;
    let correction = client.hear("correction").await;
    assert_eq!(correction["changed"][0]["offered"], 4, "{correction}");
    assert_eq!(correction["changed"][0]["id"], "sales");
}

#[tokio::test]
async fn an_unknown_op_is_answered_and_the_connection_stays() {
    let bench = Bench::start(Auth::default()).await;
    let mut client = bench.connect(None).await;
    client.say(r#"{"op":"dance","id":"7"}"#).await;
    let error = client.hear("error").await;
    assert_eq!((&error["code"], &error["id"]), (&json!("unknown_op"), &json!("7")));
    client.say(r#"{"op":"ping","id":"p"}"#).await;
    assert_eq!(client.hear("pong").await["id"], "p");
}

#[tokio::test]
async fn a_stranger_is_asked_for_a_token_and_a_wrong_one_ends_it() {
    let (token, sha256) = generate();
    assert_eq!(hash(&token), sha256);
    let known = Token { name: "board".into(), sha256, tenant: "bank".into(), role: Role::Viewer };
    let bench = Bench::start(Auth { tokens: vec![known], anonymous: None }).await;
    bench.tell("queue/default/sales", view_of_queue("sales", 1)).await;
    let mut client = bench.connect(None).await;
    client.say(SUBSCRIBE).await;
    assert_eq!(client.hear("error").await["code"], "auth_required");
    client.say(&json!({ "op": "auth", "token": token }).to_string()).await;
    client.hear("authenticated").await;
    client.say(SUBSCRIBE).await;
    assert_eq!(client.hear("snapshot").await["items"], json!([]), "another tenant's queue");
    let mut client = bench.connect(None).await;
    client.say(r#"{"op":"auth","token":"tg_wrong"}"#).await;
    assert_eq!(client.closed().await, 4501);
    assert_eq!(bench.get("/v1/live/queues").send().await.unwrap().status(), 401);
    let answer = bench.get("/v1/live/queues").bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["items"], json!([]));
}

#[tokio::test]
async fn a_page_from_elsewhere_may_not_connect() {
    let bench = Bench::start(Auth::default()).await;
    assert_eq!(bench.refused("https://evil.example").await, 403);
}

#[tokio::test]
async fn a_stopping_server_tells_its_clients_to_come_back() {
    let bench = Bench::start(Auth::default()).await;
    let mut client = bench.connect(None).await;
    client.say(SUBSCRIBE).await;
    client.hear("snapshot").await;
    bench.stop();
    assert_eq!(client.closed().await, 4000);
}

#[tokio::test]
async fn what_cannot_be_asked_is_a_problem_that_names_the_parameter() {
    let bench = Bench::start(Auth::default()).await;
    for (path, status, at) in [
        ("/v1/reports/intervals?by=colour", 400, "by"),
        ("/v1/reports/intervals?from=2020-01-01&to=2026-01-01", 400, "to"),
        ("/v1/reports/intervals?policy=kind", 400, "policy"),
        ("/v1/reports/calls?limit=0", 400, "limit"),
        ("/v1/reports/calls?cursor=zz", 400, "cursor"),
        ("/v1/reports/intervals?form=csv", 400, ""),
        ("/v1/calls/none", 404, ""),
        ("/v1/live/queues/none", 404, ""),
        ("/v1/nothing", 404, ""),
    ] {
        let answer = bench.get(path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["code"].as_str().unwrap().starts_with("TG00"), "{problem}");
        if !at.is_empty() {
            assert_eq!(problem["errors"][0]["at"], at, "{problem}");
        }
    }
}

#[tokio::test]
async fn a_report_has_the_same_columns_in_every_form_and_a_tag() {
    let bench = Bench::start(Auth::default()).await;
    bench.store_calls(0..3).await;
    let path = "/v1/reports/intervals?from=2026-03-02&to=2026-03-03&interval=all&by=queue";
    let json: Value = bench.get(path).send().await.unwrap().json().await.unwrap();
    let row = json["rows"][0].as_object().unwrap();
    assert_eq!((&row["id"], &row["offered"], &row["answered"]), (&json!("sales"), &json!(3), &json!(3)));
    assert_eq!((&row["wait_answered_ms"], &row["talk_ms"]), (&json!(30_000), &json!(180_000)));
    assert_eq!((&row["service_level"], &row["asa_ms"]), (&json!(1.0), &json!(10_000.0)));
    let answer = bench.get(path).header("accept", "text/csv").send().await.unwrap();
    let tag = answer.headers()["etag"].clone();
    let csv = answer.text().await.unwrap();
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    assert_eq!(header.len(), row.len());
    assert!(header.iter().all(|column| row.contains_key(*column)));
    let again = bench.get(path).header("accept", "text/csv").header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let packed = bench.get(path).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn repeated_attempts_are_told_when_they_are_asked_for() {
    let bench = Bench::start(Auth::default()).await;
    bench.store_calls(0..3).await;
    let path = "/v1/reports/intervals?from=2026-03-02&to=2026-03-03&interval=all&by=tenant";
    let row = |json: Value| json["rows"][0].clone();
    let silent = row(bench.get(path).send().await.unwrap().json().await.unwrap());
    assert_eq!((&silent["repeat_attempts"], &silent["fcr"]), (&Value::Null, &Value::Null));
    let told = row(bench.get(&format!("{path}&callers=true")).send().await.unwrap().json().await.unwrap());
    // One caller, three calls a minute apart: two come back, and only the last is not seen again.
    assert_eq!((&told["repeat_attempts"], told["fcr"].as_f64()), (&json!(2), Some(1.0 / 3.0)));
}

#[tokio::test]
async fn agents_are_reported_over_the_range_with_their_days() {
    let bench = Bench::start(Auth::default()).await;
    bench.store_calls(0..5).await;
    let path = "/v1/reports/agents?from=2026-03-01&to=2026-03-04&cohort=true";
    let json: Value = bench.get(path).send().await.unwrap().json().await.unwrap();
    let row = &json["rows"][0];
    assert_eq!((&row["agent"], &row["handled"], &row["days_worked"]), (&json!("101"), &json!(5), &json!(1)), "{json}");
    assert_eq!((&row["talk_ms"], &row["talk_max_ms"], &row["zero_talk"]), (&json!(300_000), &json!(60_000), &json!(0)));
}

#[tokio::test]
async fn a_cursor_stays_where_it_is_when_calls_are_added() {
    let bench = Bench::start(Auth::default()).await;
    bench.store_calls(0..5).await;
    let path = "/v1/reports/calls?from=2026-03-02&to=2026-03-03&limit=2";
    let first: Value = bench.get(path).send().await.unwrap().json().await.unwrap();
    let ids = |page: &Value| -> Vec<String> {
        page["rows"].as_array().unwrap().iter().map(|row| row["call"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&first), ["c000", "c001"]);
    bench.store_calls(5..8).await;
    let next = first["next"].as_str().unwrap();
    let second: Value = bench.get(&format!("{path}&cursor={next}")).send().await.unwrap().json().await.unwrap();
    assert_eq!(ids(&second), ["c002", "c003"]);
    let timeline: Value = bench.get("/v1/calls/c000/timeline").send().await.unwrap().json().await.unwrap();
    let types: Vec<&str> = timeline["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(types.first().zip(types.last()), Some((&"call.offered.v1", &"call.ended.v1")));
    let record: Value = bench.get("/v1/calls/c000").send().await.unwrap().json().await.unwrap();
    assert_eq!(record["segments"][0]["agent"], "101");
}

#[tokio::test]
async fn every_documented_path_answers() {
    let bench = Bench::start(Auth::default()).await;
    let api: Value = bench.get("/v1/openapi.json").send().await.unwrap().json().await.unwrap();
    for path in api["paths"].as_object().unwrap().keys() {
        let status = bench.get(&path.replace("{id}", "none")).send().await.unwrap().status();
        assert!(status == 200 || (status == 404 && path.contains("{id}")), "{path}: {status}");
    }
    let dictionary: Value = bench.get("/v1/metrics/dictionary").send().await.unwrap().json().await.unwrap();
    assert_eq!(dictionary["policies"].as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn the_wallboard_is_served_under_a_strict_policy() {
    let bench = Bench::start(Auth { tokens: Vec::new(), anonymous: None }).await;
    let page = bench.get("/").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = page.text().await.unwrap();
    for asset in html.split("=\"/board/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert_eq!(bench.get(&format!("/board/{asset}")).send().await.unwrap().status(), 200, "{asset}");
    }
}

#[tokio::test]
async fn what_is_old_is_said_to_be_old() {
    let bench = Bench::start(Auth::default()).await;
    let answer: Value = bench.get("/v1/live/queues").send().await.unwrap().json().await.unwrap();
    assert_eq!((&answer["age_ms"], &answer["stale"]), (&Value::Null, &json!(true)), "nothing came yet");
    bench.tell_at("fold", Body::Fold(bench.fold()), bench.now() + -60_000).await;
    let mut answer = Value::Null;
    for _ in 0..50 {
        answer = bench.get("/v1/live/queues").send().await.unwrap().json().await.unwrap();
        if !answer["age_ms"].is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(answer["age_ms"].as_i64().unwrap() >= 60_000 && answer["stale"] == true, "{answer}");
}

#[test]
fn it_is_a_component() {
    service::conformance::component::<pusher::Pusher>();
    service::conformance::reference::<pusher::Pusher>();
}
