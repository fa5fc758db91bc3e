//! The control API: a small HTTP face for people and tests. Reads need the role viewer, orders the role operator. Refusals are
//! RFC 9457 problems that name the key, the value and the range.

use std::ops::RangeInclusive;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State as Given};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use service::http::{Principal, Problem, Role};

use crate::centre::orders::Wish;
use crate::centre::{AgentNow, Gauge, truth};
use crate::doors::Handle;
use crate::drive::{Driver, ask};
use crate::faults::{Fault, Kind};

/// `GET /v1/state`.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// How the centre goes.
    pub centre: Gauge,
    /// Whether simulated time runs.
    pub begun: bool,
    /// Whether no more callers will come and none is left.
    pub finished: bool,
    /// The seed, to play this again.
    pub seed: u64,
    /// Simulated seconds per second; 0 is as fast as possible.
    pub speed: f64,
    /// The flood's factor; 1 without one.
    pub flood_factor: f64,
    /// Faults in progress, and when each ends, ms of simulated time.
    pub faults: Vec<(Kind, i64)>,
    /// AMI sessions that are logged in.
    pub sessions: usize,
}

/// The most lines of one answer.
const LINES_MAX: usize = 10_000;
/// The longest order, seconds of simulated time.
const SECONDS: RangeInclusive<f64> = 1.0..=3_600.0;

/// The routes.
pub(crate) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/v1/state", get(state))
        .route("/v1/truth", get(truth_calls))
        .route("/v1/truth/agents", get(truth_agents))
        .route("/v1/truth/queues", get(truth_queues))
        .route("/v1/flood", post(flood))
        .route("/v1/fault", post(fault))
        .route("/v1/speed", post(speed))
        .route("/v1/calls", post(place_call))
        .route("/v1/agents", get(agents))
        .route("/v1/agents/{extension}", post(agent))
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed("this path takes another method"))
        .with_state(handle)
}

async fn with<T: Send + 'static>(
    handle: &Handle,
    work: impl FnOnce(&mut Driver) -> T + Send + 'static,
) -> Result<T, Problem> {
    ask(&handle.inbox, work).await.ok_or_else(|| Problem::unavailable("the centre is closing", 5))
}

fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::bad_request(format!("the body is not as documented: {error}")))
}

fn in_range(key: &str, value: f64, range: RangeInclusive<f64>) -> Result<f64, Problem> {
    if range.contains(&value) {
        return Ok(value);
    }
    let detail = format!("{key} is {value}, it must be {} to {}", range.start(), range.end());
    Err(Problem::bad_request(detail.clone()).with_fault(key, detail))
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

async fn state(who: Principal, Given(handle): Given<Handle>) -> Result<axum::Json<State>, Problem> {
    who.require(Role::Viewer)?;
    let state = with(&handle, |driver| State {
        centre: driver.centre().gauge(),
        begun: driver.has_begun(),
        finished: driver.centre().is_finished(),
        seed: driver.seed(),
        speed: driver.speed(),
        flood_factor: driver.centre().flood_factor(),
        faults: driver.faults().to_vec(),
        sessions: driver.sessions(),
    });
    state.await.map(axum::Json)
}

fn ndjson<T: Serialize>(lines: &[T]) -> Response {
    let mut text = Vec::new();
    for line in lines {
        // The ledger's types always serialise.
        let _ = serde_json::to_writer(&mut text, line);
        text.push(b'\n');
    }
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from(text)).into_response()
}

/// What of the ledger is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Only calls that ended at or after this, ms.
    since_ms: Option<i64>,
    /// Calls still in progress as well.
    #[serde(default)]
    open: bool,
    limit: Option<usize>,
}

fn query<T>(query: Result<Query<T>, axum::extract::rejection::QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(value)| value).map_err(|error| Problem::bad_request(error.body_text()))
}

fn limit(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(LINES_MAX);
    in_range("limit", limit as f64, 1.0..=LINES_MAX as f64).map(|_| limit)
}

async fn truth_calls(
    who: Principal,
    Given(handle): Given<Handle>,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    who.require(Role::Viewer)?;
    let page = query(page)?;
    let limit = limit(page.limit)?;
    let calls = with(&handle, move |driver| -> Vec<truth::Call> {
        let ledger = driver.centre().truth();
        let since = page.since_ms.unwrap_or(i64::MIN);
        let ended = ledger.ended().filter(|call| call.ended_ms.is_some_and(|at| at >= since));
        ended.chain(ledger.open().filter(|_| page.open)).take(limit).cloned().collect()
    });
    Ok(ndjson(&calls.await?))
}

async fn truth_agents(who: Principal, Given(handle): Given<Handle>) -> Result<Response, Problem> {
    who.require(Role::Viewer)?;
    let agents = with(&handle, |driver| -> Vec<truth::Agent> {
        let now = driver.centre().now_ms();
        driver.centre().truth().agents(now).take(LINES_MAX).collect()
    });
    Ok(ndjson(&agents.await?))
}

async fn truth_queues(who: Principal, Given(handle): Given<Handle>) -> Result<Response, Problem> {
    who.require(Role::Viewer)?;
    let queues = with(&handle, |driver| driver.centre().truth().queues().to_vec());
    Ok(ndjson(&queues.await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flood {
    factor: f64,
    seconds: f64,
}

async fn flood(who: Principal, Given(handle): Given<Handle>, bytes: Bytes) -> Result<Response, Problem> {
    who.require(Role::Operator)?;
    let flood: Flood = body(&bytes)?;
    let factor = in_range("factor", flood.factor, 0.0..=100.0)?;
    let lasts_ms = milliseconds(in_range("seconds", flood.seconds, SECONDS)?);
    with(&handle, move |driver| driver.centre_mut().flood(factor, lasts_ms)).await?;
    Ok(done())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultOrder {
    kind: Kind,
    seconds: f64,
}

async fn fault(who: Principal, Given(handle): Given<Handle>, bytes: Bytes) -> Result<Response, Problem> {
    who.require(Role::Operator)?;
    let order: FaultOrder = body(&bytes)?;
    let lasts_ms = milliseconds(in_range("seconds", order.seconds, SECONDS)?);
    with(&handle, move |driver| driver.start_fault(Fault { kind: order.kind, lasts_ms })).await?;
    Ok(done())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Speed {
    speed: f64,
}

async fn speed(who: Principal, Given(handle): Given<Handle>, bytes: Bytes) -> Result<Response, Problem> {
    who.require(Role::Operator)?;
    let Speed { speed } = body(&bytes)?;
    if speed != 0.0 {
        in_range("speed", speed, 0.1..=1_000.0)?;
    }
    with(&handle, move |driver| driver.set_speed(speed)).await?;
    Ok(done())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCall {
    did: String,
    number: Option<u64>,
    patience_seconds: Option<f64>,
    talk_seconds: Option<f64>,
    /// No holds and no transfers.
    plain: Option<bool>,
}

async fn place_call(who: Principal, Given(handle): Given<Handle>, bytes: Bytes) -> Result<Response, Problem> {
    who.require(Role::Operator)?;
    let call: NewCall = body(&bytes)?;
    let span = |key: &str, value: Option<f64>| -> Result<Option<i64>, Problem> {
        value.map(|value| in_range(key, value, 0.1..=86_400.0).map(milliseconds)).transpose()
    };
    let wish = Wish {
        patience_ms: span("patience_seconds", call.patience_seconds)?,
        talk_ms: span("talk_seconds", call.talk_seconds)?,
        plain: call.plain,
    };
    let (did, number) = (call.did.clone(), call.number.unwrap_or(13_900_000_000));
    let id = with(&handle, move |driver| driver.centre_mut().place_call(&did, number, wish)).await?;
    match id {
        Some(id) => Ok(axum::Json(serde_json::json!({ "call": id })).into_response()),
        None => Err(Problem::not_found(format!("did {:?} is no line of this centre", call.did))),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentPage {
    after: Option<usize>,
    limit: Option<usize>,
}

async fn agents(
    who: Principal,
    Given(handle): Given<Handle>,
    page: Result<Query<AgentPage>, axum::extract::rejection::QueryRejection>,
) -> Result<axum::Json<Vec<AgentNow>>, Problem> {
    who.require(Role::Viewer)?;
    let page = query(page)?;
    let limit = limit(page.limit)?;
    let from = page.after.map_or(0, |after| after.saturating_add(1));
    with(&handle, move |driver| driver.centre().agents_now(from, limit)).await.map(axum::Json)
}

/// What can be ordered of an agent.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    LogIn,
    LogOut,
    Pause,
    Resume,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentOrder {
    #[serde(rename = "do")]
    deed: Deed,
    #[serde(default)]
    reason: String,
}

async fn agent(
    who: Principal,
    Given(handle): Given<Handle>,
    Path(extension): Path<String>,
    bytes: Bytes,
) -> Result<Response, Problem> {
    who.require(Role::Operator)?;
    let order: AgentOrder = body(&bytes)?;
    let interface = format!("PJSIP/{extension}");
    let outcome = with(&handle, move |driver| {
        let centre = driver.centre_mut();
        let agent = centre.agent_of(&interface)?;
        Some(match order.deed {
            Deed::LogIn => {
                centre.order_log_in(agent);
                Ok("")
            }
            Deed::LogOut => {
                centre.order_log_out(agent);
                Ok("")
            }
            Deed::Pause => centre.order_pause(&interface, true, &order.reason),
            Deed::Resume => centre.order_pause(&interface, false, ""),
        })
    });
    match outcome.await? {
        Some(Ok(_)) => Ok(done()),
        Some(Err(_)) => Err(Problem::conflict(format!("agent {extension} is not logged in"))),
        None => Err(Problem::not_found(format!("extension {extension:?} is no agent of this centre"))),
    }
}

fn done() -> Response {
    axum::Json(serde_json::json!({ "done": true })).into_response()
}
