//! Where callers are led: whom a target helped is counted, and call services take turns by weight.
#![allow(clippy::disallowed_methods, reason = "these tests run real sockets in real time")]

#[path = "support/life.rs"]
mod life;
mod support;

use cti::Config;
use journal::Stream;
use life::{Life, journal};
use model::control::{
    By, Envelope, Event, Kind, Level, Parsed, PlanAffirmed, ServiceConfigured, ServiceWeighed, Standing, TargetCounted,
    Weighed,
};
use service::config::Millis;

/// What the gate told last of its targets.
async fn counted(life: &Life) -> Vec<TargetCounted> {
    let mut last = Vec::new();
    for partition in 0..life.journal.partitions(Stream::Health) {
        if life.journal.end(Stream::Health, partition).await.unwrap() == 0 {
            continue;
        }
        let batch = life.journal.read(Stream::Health, partition, 0, 100_000, usize::MAX).await.unwrap();
        for record in &batch.records {
            if let Ok(Parsed::Known(Envelope { event: Event::GateCounted(told), .. })) = Envelope::parse(&record.value)
            {
                last = told.targets;
            }
        }
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_target_helped_is_counted_when_they_had_time_to_come_back() {
    let config = Config { contained_within: Millis::seconds(10), again_within: Millis::new(0), ..Config::default() };
    let life = Life::start(&journal(), config).await;
    life.lead_to("bot", Kind::SmartIvr).await;
    life.plan(7, Level::DivertAll, 0.0).await;
    for caller in ["4930001", "4930002", "4930003"] {
        assert_eq!(life.ask(caller).await["name"], "bot");
    }
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    // one comes back at once, and is protected then: they were led away in vain
    assert_eq!(life.ask("4930002").await["reason"], "diverted_in_vain");
    let told = life.until("all had time to come back", || async {
        let told = counted(&life).await;
        told.first().is_some_and(|one| one.settled == 3).then_some(told)
    });
    assert_eq!(told.await, [TargetCounted { target: "bot".into(), settled: 3, returned: 1 }]);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn call_services_carry_callers_by_weight_and_one_that_is_out_carries_nobody() {
    let life = Life::start(&journal(), Config::default()).await;
    life.lead_to("elsewhere", Kind::CallService).await;
    let ann = || By::Operator("ann".into());
    for name in ["a", "b", "c"] {
        let address = format!("PJSIP/{name}");
        life.say(ann(), ServiceConfigured { service: name.into(), version: 1, address, weight: 1.0, enabled: true })
            .await;
    }
    let weighed = |(service, weight, standing): (&str, f64, Standing)| Weighed {
        service: service.into(),
        weight,
        standing,
        score: 1.0,
    };
    let all = [("a", 0.95, Standing::In), ("b", 0.05, Standing::In), ("c", 0.0, Standing::Out)].map(weighed);
    life.say(By::Automatic, ServiceWeighed { services: all.to_vec() }).await;
    life.plan(7, Level::DivertAll, 0.0).await;
    let mut carried = Vec::new();
    for caller in 0..40 {
        let answer = life.ask(&format!("49300{caller:02}")).await;
        assert_eq!(answer["target"], "call_service");
        carried.push(answer["service"].as_str().unwrap().to_owned());
    }
    let by = |name: &str| carried.iter().filter(|service| *service == name).count();
    assert_eq!((by("PJSIP/a"), by("PJSIP/b"), by("PJSIP/c")), (38, 2, 0));
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_affirmed_on_health_is_known_to_be_watched_over() {
    let life = Life::start(&journal(), Config::default()).await;
    life.lead_to("bot", Kind::SmartIvr).await;
    life.plan(7, Level::DivertShare, 0.0).await;
    let silent = || async {
        let answer = reqwest::get(format!("http://{}/v1/route/plan", life.http)).await.ok()?;
        answer.json::<serde_json::Value>().await.ok()?["queues"][0]["silent_s"].as_f64()
    };
    let waited = life.until("the plan grows old", || async { silent().await.filter(|silent| *silent > 2.0) }).await;
    let figures = model::control::Figures { at: life.now(), ..Default::default() };
    let plans = vec![model::control::Affirmed { queue: "sales".into(), version: 7, figures }];
    let affirmed = support::said(life.now(), By::Automatic, PlanAffirmed { plans });
    let entry = journal::Entry::new(Stream::Health, "default", affirmed.to_json());
    life.journal.append(vec![entry]).await.unwrap();
    life.until("it is fresh again", || async { silent().await.filter(|silent| *silent < waited) }).await;
    life.stop().await;
}
