//! Gates that share the decisions in force on a real Redis.

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use cti::{Config, Cti};
use journal::memory::Memory;
use journal::{Entry, Journal, Stream, Topology};
use model::control::{
    Automatic, By, Envelope, Event, Figures, Flow, Level, Order, OverrideCleared, OverrideSet, PlanIssued, Thresholds,
    ThresholdsSet,
};
use model::{EventId, Time};
use service::{Clock, Component, Context, Secret, Seeds};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::config::{Shared, Sharing};
use tidegate_tests::stores::{self, PASSWORD};
use tower::ServiceExt as _;

fn sharing(server: &stores::Redis) -> Sharing {
    let password = Some(Secret::plain(PASSWORD));
    Sharing { kind: Shared::Redis, url: server.url(), password, ..Sharing::default() }
}

fn said(number: u64, event: impl Into<Event>) -> Entry {
    let (event, time) = (event.into(), Time(Clock::system().now_ms()));
    let (id, tenant) = (EventId::new(format!("event-{number}")), "default".into());
    let envelope = Envelope {
        id,
        source: "console-1".into(),
        time,
        tenant,
        by: By::Automatic,
        why: "test".into(),
        cause_id: None,
        event,
    };
    Entry::new(Stream::Control, "default".to_owned(), envelope.to_json())
}

fn plan(version: u64, rate_per_s: f64) -> PlanIssued {
    let level = Level::DivertShare;
    PlanIssued {
        queue: "sales".into(),
        version,
        thresholds: 2,
        automatic: Automatic { level, rate_per_s, divert_share: 0.5 },
        level,
        rate_per_s,
        capacity_per_s: 0.5,
        patience_per_s: 0.01,
        sustainable_per_s: 0.4,
        wait_s: None,
        wait_error_s: None,
        split: Vec::new(),
        valid_s: 75.0,
        figures: Figures { at: Time(Clock::system().now_ms()), ..Figures::default() },
        flow: Flow::default(),
    }
}

fn set(version: u64) -> ThresholdsSet {
    ThresholdsSet { queue: "sales".into(), version, thresholds: Thresholds::default() }
}

fn order(id: &str) -> OverrideSet {
    let until = Time(Clock::system().now_ms() + 3_600_000);
    OverrideSet { id: id.into(), queue: None, order: Order::LevelAtLeast { level: Level::DivertAll }, until }
}

/// A gate at work; it stops when it is dropped.
struct Gate {
    door: Router,
    context: Context,
}

impl Gate {
    async fn start(name: &str, server: &stores::Redis, journal: Option<Arc<dyn Journal>>) -> Result<Self> {
        let nowhere =
            journal::config::Config { path: Path::new("/proc/nowhere/journal.db").into(), ..Default::default() };
        let config = Config { live: sharing(server), journal: nowhere, ..Config::default() };
        let config = Config { number_key: Some(Secret::plain("key")), auth: anonymous(), ..config };
        let mut context = Context::new("cti", name, Clock::system(), &Seeds::fixed(1));
        if let Some(journal) = journal {
            context = context.with_shared(journal);
        }
        let cti = Cti::unbound(config, &context).await?;
        let door = cti.door(&context);
        let own = context.clone();
        context.tasks.spawn("gate", async move { cti.run(own).await.map_err(|error| error.to_string()) })?;
        Ok(Self { door, context })
    }

    /// The plan and the rate of `sales` that it enforces.
    async fn enforces(&self) -> Result<(Option<u64>, Option<f64>)> {
        let request = Request::get("/v1/route/plan").body(Body::empty())?;
        let answer = self.door.clone().oneshot(request).await?;
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await?;
        let told: serde_json::Value = serde_json::from_slice(&body)?;
        let sales = &told["queues"][0];
        Ok((sales["plan"].as_u64(), sales["rate_per_s"].as_f64()))
    }

    async fn until(&self, wanted: (Option<u64>, Option<f64>)) -> Result<()> {
        for _ in 0..1_200 {
            if self.enforces().await? == wanted {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("{:?} is enforced, and not {wanted:?}", self.enforces().await?)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.context.drain.start("the test is over");
    }
}

fn anonymous() -> service::http::Auth {
    service::http::Auth { anonymous: Some(service::http::Role::Operator), ..service::http::Auth::default() }
}

fn journal() -> Arc<dyn Journal> {
    Memory::new(Topology::default(), Clock::system())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_starts_without_a_journal_knows_what_held_last() -> Result<()> {
    let mut server = stores::Redis::start()?;
    let truth = journal();
    // A version that replaces another, an order that was taken back, and the plan before the last: none of them counts.
    truth.append(vec![said(1, set(1)), said(2, set(2)), said(3, order("o")), said(4, plan(1, 0.3))]).await?;
    let first = Gate::start("cti-1", &server, Some(Arc::clone(&truth))).await?;
    truth.append(vec![said(5, OverrideCleared { id: "o".into() }), said(6, plan(2, 0.7))]).await?;
    first.until((Some(2), Some(0.7))).await?;
    let second = Gate::start("cti-2", &server, None).await?;
    second.until((Some(2), Some(0.7))).await?;

    // What happens later is shared, too; also after Redis was away and has lost everything.
    server.stop()?;
    truth.append(vec![said(7, plan(3, 0.9))]).await?;
    first.until((Some(3), Some(0.9))).await?;
    server.lose_everything()?;
    server.start_again()?;
    let third = Gate::start("cti-3", &server, None).await?;
    third.until((Some(3), Some(0.9))).await?;
    drop((first, second, third));

    // A gate of a journal that is shorter shares its own decisions, and nothing of the former ones.
    let other = journal();
    other.append(vec![said(8, set(1)), said(9, plan(1, 0.1))]).await?;
    let fourth = Gate::start("cti-4", &server, Some(other)).await?;
    fourth.until((Some(1), Some(0.1))).await?;
    for _ in 0..60 {
        let fifth = Gate::start("cti-5", &server, None).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if fifth.enforces().await? == (Some(1), Some(0.1)) {
            return Ok(());
        }
    }
    anyhow::bail!("the former decisions are still shared")
}
