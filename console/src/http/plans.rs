//! What holds and what is so: the plan and the figures of each queue.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use model::control::{Level, PlanIssued};
use model::{QueueId, TenantId, Time};
use serde::Serialize;
use serde_json::json;
use service::http::{Path, Principal, Problem, Query};

use super::openapi::ProblemBody;
use super::{Asked, Face, versioned};
use crate::figures::Queued;

/// A queue under control.
#[derive(Debug, Serialize)]
struct Shown {
    queue: QueueId,
    /// The level that holds now, overrides included.
    level: Level,
    level_number: u8,
    /// The rate that holds now, calls per second.
    rate_per_s: f64,
    divert_share: f64,
    thresholds_version: u64,
    /// Callers who wait now.
    waiting: i64,
    in_service: i64,
    /// How old that is, milliseconds.
    age_ms: Option<i64>,
    /// The expected wait of the next caller, seconds, and the mean error of the waits that were expected so far.
    wait_s: Option<f64>,
    wait_error_s: Option<f64>,
    affirmed_at: Option<Time>,
    issued_at: Option<Time>,
    issued_why: Option<String>,
    plan: Option<PlanIssued>,
}

fn shown(face: &Face, tenant: &TenantId, queue: &QueueId, now: &Queued, age_ms: Option<i64>) -> Shown {
    let book = face.books.look();
    let held = book.table.tenant(tenant);
    let found = held.and_then(|held| held.queue(queue));
    let plan = found.and_then(|found| found.plan()).cloned();
    let automatic = plan.as_ref().map(|plan| plan.automatic).unwrap_or_default();
    let all = held.map_or(automatic, |held| held.combined(queue, automatic, face.now()));
    let issued = found.and_then(|found| found.plan_issued());
    Shown {
        queue: queue.clone(),
        level: all.level,
        level_number: all.level.number(),
        rate_per_s: all.rate_per_s,
        divert_share: all.divert_share,
        thresholds_version: found.map_or(0, |found| found.thresholds_version()),
        waiting: now.waiting,
        in_service: now.in_service,
        age_ms,
        wait_s: plan.as_ref().and_then(|plan| plan.wait_s),
        wait_error_s: plan.as_ref().and_then(|plan| plan.wait_error_s),
        affirmed_at: found.and_then(|found| found.affirmed_at()),
        issued_at: issued.map(|issued| issued.at),
        issued_why: issued.map(|issued| issued.why.clone()),
        plan,
    }
}

fn all(face: &Face, tenant: &TenantId) -> Vec<Shown> {
    let (queues, age_ms) = {
        let look = face.look.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let of = look.queues.iter().filter(|((whose, _), _)| whose == tenant);
        let queues: Vec<(QueueId, Queued)> = of.map(|((_, queue), now)| (queue.clone(), now.clone())).collect();
        (queues, look.fresh_at.map(|at| face.now().since(at)))
    };
    let mut all: Vec<Shown> = queues.iter().map(|(queue, now)| shown(face, tenant, queue, now, age_ms)).collect();
    let unseen: Vec<QueueId> = face
        .known(tenant)
        .queues
        .unwrap_or_default()
        .into_iter()
        .filter(|queue| !queues.iter().any(|(seen, _)| seen == queue))
        .collect();
    all.extend(unseen.iter().map(|queue| shown(face, tenant, queue, &Queued::default(), None)));
    all.sort_by(|a, b| a.queue.cmp(&b.queue));
    all
}

/// Every queue: its level, its plan, its figures.
#[utoipa::path(get, path = "/v1/plans", tag = "plans", params(Asked), responses(
    (status = 200, description = "By queue, with the tiers of the platform's parts.", body = Value),
))]
pub async fn list(
    State(face): State<Face>,
    principal: Principal,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let queues = all(&face, &tenant);
    let tiers = face.books.look().table.tenant(&tenant).map(|tenant| tenant.tiers().clone()).unwrap_or_default();
    Ok(versioned(StatusCode::OK, 0, &json!({ "time": face.now(), "queues": queues, "tiers": tiers })))
}

/// One queue: its level, its plan, its figures.
#[utoipa::path(get, path = "/v1/plans/{queue}", tag = "plans", params(("queue" = String, Path, description = "The queue."), Asked), responses(
    (status = 200, description = "With the plan's version as the ETag.", body = Value),
    (status = 404, description = "There is no such queue.", body = ProblemBody),
))]
pub async fn get(
    State(face): State<Face>,
    principal: Principal,
    Path(queue): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let found = all(&face, &tenant).into_iter().find(|shown| shown.queue.as_str() == queue);
    let shown = found.ok_or_else(|| Problem::not_found(format!("there is no queue {queue:?}")))?;
    Ok(versioned(StatusCode::OK, shown.plan.as_ref().map_or(0, |plan| plan.version), &shown))
}
