//! The whole console, by its face: a real server on loopback, over a journal in memory that is fed by hand.
#![allow(clippy::disallowed_methods, reason = "a test talks to a real server in real time")]

#[path = "face/bench.rs"]
mod bench;

use bench::{Bench, told};
use model::Time;
use model::control::{CallbackAsked, Event, Hours, Level};
use serde_json::{Value, json};

#[test]
fn it_is_a_component() {
    service::conformance::component::<console::Console>();
    service::conformance::reference::<console::Console>();
}

#[tokio::test]
async fn a_flood_gets_a_plan_and_an_order_of_a_person_is_in_it() {
    let bench = Bench::start(1).await;
    bench.queue("sales", 0, 3).await;
    let plan = bench.until("/v1/plans/sales", |shown| shown["plan"]["version"] == 1).await;
    assert_eq!((plan["level"].as_str(), plan["plan"]["figures"]["agents"].as_f64()), (Some("normal"), Some(3.0)));
    bench.queue("sales", 40, 0).await;
    let plan = bench.until("/v1/plans/sales", |shown| shown["level_number"].as_u64() >= Some(2)).await;
    assert!(plan["plan"]["version"].as_u64() > Some(1) && plan["plan"]["wait_s"].as_f64() > Some(24.0), "{plan}");
    let order = json!({ "queue": "sales", "order": { "level_locked": { "level": "normal" } }, "for_s": 600 });
    let (status, set) = bench.send("POST", "/v1/overrides?why=a+drill", None, Some(order)).await;
    assert_eq!(status, 201, "{set}");
    bench.until("/v1/plans/sales", |shown| shown["plan"]["level"] == "normal").await;
    let held = bench.get("/v1/overrides").await;
    assert_eq!(
        (&held["overrides"][0]["why"], &held["overrides"][0]["by"]),
        (&json!("a drill"), &json!("operator/ann"))
    );
    let path = format!("/v1/overrides/{}", set["id"].as_str().unwrap());
    assert_eq!(bench.send("DELETE", &path, None, None).await.0, 200);
    bench
        .until("/v1/plans/sales", |shown| {
            shown["plan"]["level_number"] != 0 && shown["level_number"].as_u64() >= Some(2)
        })
        .await;
    assert_eq!(bench.send("DELETE", &path, None, None).await.0, 404);
}

#[tokio::test]
async fn thresholds_are_changed_by_version_and_taken_back_from_the_audit() {
    let bench = Bench::start(1).await;
    bench.queue("sales", 0, 3).await;
    bench.until("/v1/plans/sales", |shown| shown["plan"]["version"] == 1).await;
    let path = "/v1/thresholds/sales";
    let wanted = |within_s: u32| Some(json!({ "goal": { "within_s": within_s } }));
    assert_eq!(bench.send("PUT", path, None, wanted(30)).await.0, 428, "which version is replaced?");
    let (status, would) = bench.send("PUT", "/v1/thresholds/sales?dry_run=true", Some("\"0\""), wanted(30)).await;
    assert_eq!((status, &would["version"]), (200, &json!(1)));
    assert_eq!(bench.get(path).await["version"], 0, "nothing changed");
    let (status, set) = bench.send("PUT", path, Some("\"0\""), wanted(30)).await;
    assert_eq!((status, &set["version"], &set["set_by"]), (200, &json!(1), &json!("operator/ann")));
    assert_eq!(bench.send("PUT", path, Some("\"0\""), wanted(99)).await.0, 412, "somebody was quicker");
    assert_eq!(bench.send("PUT", path, Some("\"1\""), wanted(40)).await.0, 200);
    let plan = bench.until("/v1/plans/sales", |shown| shown["plan"]["thresholds"] == 2).await;
    assert_eq!(plan["issued_why"].as_str().map(|why| why.starts_with("the thresholds changed")), Some(true));
    let audit = bench.get("/v1/audit").await;
    let ids: Vec<&str> =
        audit["changes"].as_array().unwrap().iter().map(|change| change["event"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(audit["changes"][0]["before"]["thresholds"]["goal"]["within_s"], 30.0);
    let undo = |id: &str| format!("/v1/audit/{id}/undo");
    assert_eq!(bench.send("POST", &undo(ids[1]), None, None).await.0, 409, "it is not the last one");
    let (status, undone) = bench.send("POST", &undo(ids[0]), None, None).await;
    assert_eq!((status, &undone["event"]["causeid"]), (200, &json!(ids[0])));
    let held = bench.get(path).await;
    assert_eq!((&held["version"], &held["thresholds"]["goal"]["within_s"]), (&json!(3), &json!(30.0)));
    assert_eq!(bench.send("POST", &undo("nobody"), None, None).await.0, 404);
}

#[tokio::test]
async fn bad_thresholds_are_refused_with_everything_that_is_wrong() {
    let bench = Bench::start(1).await;
    bench.queue("sales", 0, 3).await;
    bench.until("/v1/plans/sales", |shown| shown["plan"]["version"] == 1).await;
    let wanted = json!({
        "goal": { "share": 2.0, "within_s": "soon" },
        "floor_per_s": 3.0,
        "stale": { "static_per_s": [1.0] },
        "targets": [{ "target": "moon" }],
        "colour": "red",
    });
    let (status, problem) = bench.send("PUT", "/v1/thresholds/sales", Some("\"0\""), Some(wanted)).await;
    let mut at: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["at"].as_str().unwrap()).collect();
    at.sort_unstable();
    let want = ["colour", "goal.share", "goal.within_s", "stale.static_per_s.0", "targets.0.target"];
    assert_eq!((status, problem["code"].as_str(), at), (422, Some("TG0334"), want.to_vec()));
    assert_eq!(bench.send("PUT", "/v1/thresholds/sails", Some("\"0\""), Some(json!({}))).await.0, 404);
    let order = json!({ "queue": "sails", "order": { "rate_at_most": { "per_s": -1.0 } }, "for_s": 0 });
    let (status, problem) = bench.send("POST", "/v1/overrides", None, Some(order)).await;
    assert_eq!((status, problem["errors"].as_array().map(Vec::len)), (422, Some(3)), "{problem}");
}

#[tokio::test]
async fn who_may_only_see_decides_nothing() {
    let bench = Bench::start(1).await;
    bench.queue("sales", 0, 3).await;
    bench.until("/v1/plans/sales", |shown| shown["plan"]["version"] == 1).await;
    let asked = bench.client.get(bench.url("/v1/thresholds/sales")).send().await.unwrap();
    assert_eq!(asked.status(), 200, "everybody on this machine sees");
    let order = json!({ "order": { "rate_at_most": { "per_s": 1.0 } }, "for_s": 60 });
    let asked = bench.client.post(bench.url("/v1/overrides")).json(&order).send().await.unwrap();
    assert_eq!(asked.status(), 401);
    assert_eq!(bench.client.get(bench.url("/v1/audit/export")).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn targets_and_services_are_set_up_and_a_queue_is_split_over_them() {
    let bench = Bench::start(1).await;
    bench.queue("sales", 0, 3).await;
    bench.until("/v1/plans/sales", |shown| shown["plan"]["version"] == 1).await;
    let chat = json!({ "kind": "chat", "address": "chat,s,1", "capacity_per_s": 2.0, "containment": 0.6 });
    let bad = json!({ "kind": "chat", "address": "a\r\nb", "capacity_per_s": -1.0 });
    let (status, problem) = bench.send("PUT", "/v1/targets/chat", Some("\"0\""), Some(bad)).await;
    assert_eq!((status, problem["errors"].as_array().map(Vec::len)), (422, Some(2)));
    assert_eq!(bench.send("PUT", "/v1/targets/chat", Some("\"0\""), Some(chat)).await.0, 200);
    let thresholds = json!({ "targets": [{ "target": "chat" }] });
    assert_eq!(bench.send("PUT", "/v1/thresholds/sales", Some("\"0\""), Some(thresholds)).await.0, 200);
    let plan = bench.until("/v1/plans/sales", |shown| shown["plan"]["split"][0]["target"] == "chat").await;
    assert_eq!(plan["plan"]["split"][0]["share"], 1.0);
    assert_eq!(bench.send("DELETE", "/v1/targets/chat", Some("\"1\""), None).await.0, 200);
    bench.until("/v1/plans/sales", |shown| shown["plan"]["split"] == json!([])).await;
    let audit = bench.get("/v1/audit?limit=1").await;
    let undo = format!("/v1/audit/{}/undo", audit["changes"][0]["event"]["id"].as_str().unwrap());
    assert_eq!(bench.send("POST", &undo, None, None).await.0, 200);
    assert_eq!(bench.get("/v1/targets").await["targets"][0]["configured"]["version"], 3);
    let trunk = json!({ "address": "PJSIP/a", "weight": 3.0 });
    assert_eq!(bench.send("PUT", "/v1/services/a", Some("\"0\""), Some(trunk)).await.0, 200);
    assert_eq!(bench.get("/v1/services").await["services"][0]["configured"]["weight"], 3.0);
}

#[tokio::test]
async fn control_does_not_grow_while_nothing_changes() {
    let bench = Bench::start(1).await;
    bench.queue("sales", 0, 3).await;
    bench.until("/v1/plans/sales", |shown| shown["plan"]["version"] == 1).await;
    // the seal of what was decided so far, and what a first plan brings
    bench.until_affirmed(4, "nobody").await;
    let before = bench.decided().await.len();
    bench.until_affirmed(5, "nobody").await;
    let decided = bench.decided().await;
    assert_eq!(decided.len(), before, "{:?}", told(&decided[before..]));
    assert!(!told(&decided).iter().any(|told| matches!(told.event, Event::PlanAffirmed(_))));
}

#[tokio::test]
async fn callbacks_are_listed_claimed_by_one_person_and_taken_off_the_list() {
    let bench = Bench::start(1).await;
    bench.queue("sales", 0, 3).await;
    bench.until("/v1/plans/sales", |shown| shown["plan"]["version"] == 1).await;
    for (id, caller) in [("a", "ann"), ("b", "bob"), ("c", "ann")] {
        let asked = CallbackAsked {
            callback: id.into(),
            queue: "sales".into(),
            caller: caller.to_owned(),
            mask: "493***01".to_owned(),
            sealed: "00ff".to_owned(),
            source: "pbx1".into(),
            call: format!("call-{id}").as_str().into(),
            asked_at: None,
            until: Time(4_102_444_800_000),
            hours: Hours::default(),
            attempts_max: 3,
        };
        bench.say(asked).await;
    }
    let listed = bench.until("/v1/callbacks", |listed| listed["open"] == 2).await;
    assert_eq!(
        (&listed["callbacks"][0]["callback"], &listed["callbacks"][0]["state"]),
        (&json!("a"), &json!("waiting"))
    );
    assert!(!listed.to_string().contains("00ff"), "nobody needs the sealed number: {listed}");
    let (status, claimed) = bench.send("POST", "/v1/callbacks/a/claim?why=mine", None, None).await;
    assert_eq!((status, &claimed["claimed_by"]), (200, &json!("operator/ann")));
    assert_eq!(bench.send("POST", "/v1/callbacks/a/claim", None, None).await.0, 409, "it is taken");
    assert_eq!(bench.send("POST", "/v1/callbacks/a/done", None, None).await.0, 200);
    let (status, cancelled) = bench.send("DELETE", "/v1/callbacks/b?why=a+mistake", None, None).await;
    assert_eq!((status, &cancelled["close"]), (200, &json!("cancelled")));
    assert_eq!(bench.send("DELETE", "/v1/callbacks/b", None, None).await.0, 409);
    assert_eq!(bench.send("DELETE", "/v1/callbacks/nobody", None, None).await.0, 404);
    let closed = bench.get("/v1/callbacks?closed=true&queue=sales").await;
    assert_eq!((&closed["callbacks"][0]["callback"], &closed["open"]), (&json!("b"), &json!(0)));
    let audit = bench.get("/v1/audit").await;
    assert_eq!(audit["changes"][0]["event"]["why"], "a mistake", "what a person decides is in the audit");
    let asked = bench.client.delete(bench.url("/v1/callbacks/a")).send().await.unwrap();
    assert_eq!(asked.status(), 401);
}

#[tokio::test]
async fn a_call_is_explained_by_the_plan_the_thresholds_and_the_orders_of_its_time() {
    let bench = Bench::start(1).await;
    bench.queue("sales", 0, 3).await;
    bench.until("/v1/plans/sales", |shown| shown["plan"]["version"] == 1).await;
    let wanted = json!({ "goal": { "within_s": 33 } });
    assert_eq!(bench.send("PUT", "/v1/thresholds/sales", Some("\"0\""), Some(wanted)).await.0, 200);
    let order = json!({ "order": { "level_at_least": { "level": "divert_all" } }, "for_s": 600 });
    assert_eq!(bench.send("POST", "/v1/overrides", None, Some(order)).await.0, 201);
    let shown = bench.until("/v1/plans/sales", |shown| shown["plan"]["level"] == "divert_all").await;
    let version = shown["plan"]["version"].as_u64().unwrap();
    bench.diverted_call("pbx1-1", "sales", version).await;
    let explained = bench.until("/v1/explain/pbx1-1", |explained| explained["decisions"][0].is_object()).await;
    let decision = &explained["decisions"][0];
    assert_eq!((&decision["outcome"], &decision["plan"]["version"]), (&json!("smart_ivr"), &json!(version)));
    assert_eq!(decision["target"], "smart");
    assert_eq!(decision["thresholds"]["goal"]["within_s"], 33.0, "{decision}");
    assert_eq!(decision["overrides"][0]["by"], "operator/ann");
    assert!(decision["plan_why"].as_str().is_some_and(|why| !why.is_empty()));
    assert_eq!(bench.send("GET", "/v1/explain/nobody", None, None).await.0, 404);
}

#[tokio::test]
async fn the_audit_is_sealed_and_its_export_verifies_until_it_is_touched() {
    let bench = Bench::start(1).await;
    bench.queue("sales", 0, 3).await;
    bench.until("/v1/plans/sales", |shown| shown["plan"]["version"] == 1).await;
    let wanted = json!({ "goal": { "within_s": 33 } });
    assert_eq!(bench.send("PUT", "/v1/thresholds/sales", Some("\"0\""), Some(wanted)).await.0, 200);
    bench.until("/v1/audit", |audit| audit["sealed"]["until"].as_u64() > audit["changes"][0]["offset"].as_u64()).await;
    let export = bench.text("/v1/audit/export").await;
    let verdict = console::audit::of_export(export.as_bytes()).unwrap();
    assert!(verdict.is_sound() && verdict.seals >= 1, "{verdict:?}");
    let of_journal = console::audit::of_journal(&*bench.journal).await.unwrap();
    assert!(of_journal.is_sound(), "{of_journal:?}");
    let touched = export.replace("33.0", "39.0");
    assert_ne!(touched, export);
    assert!(!console::audit::of_export(touched.as_bytes()).unwrap().is_sound());
}

#[tokio::test]
async fn when_the_one_that_evaluates_is_gone_the_other_goes_on() {
    let mut bench = Bench::start(2).await;
    bench.queue("sales", 0, 3).await;
    bench.until("/v1/plans/sales", |shown| shown["plan"]["version"] == 1).await;
    bench.queue("sales", 40, 0).await;
    bench.until("/v1/plans/sales", |shown| shown["level_number"].as_u64() >= Some(2)).await;
    for _ in 0..2 {
        let before = bench.decided().await;
        let writer = told(&before).last().unwrap().source.to_string();
        bench.stop(&writer).await;
        bench.until_affirmed(1, &writer).await;
        bench.start_again(&writer).await;
    }
    let mut last = 0;
    let mut level = Level::Normal;
    for envelope in told(&bench.decided().await) {
        match &envelope.event {
            Event::PlanIssued(plan) => {
                assert_eq!(plan.version, last + 1, "versions go on");
                last = plan.version;
            }
            Event::LevelChanged(changed) => {
                assert_eq!(changed.was, level);
                level = changed.level;
                assert!(level >= Level::DivertShare, "no level jumps: the flood has not ended");
            }
            _ => {}
        }
    }
    let shown: Value = bench.get("/v1/plans/sales").await;
    assert!(shown["level_number"].as_u64() >= Some(2), "{shown}");
}
