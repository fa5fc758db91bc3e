//! Thresholds: what each queue is held to.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::control::{Thresholds, ThresholdsSet};
use model::{QueueId, TenantId, Time};
use serde::Serialize;
use serde_json::Value;
use service::http::{Json, Path, Principal, Problem, Query};

use super::openapi::ProblemBody;
use super::{Asked, Face, changed, operator, replaced, versioned, wrong};
use crate::wanted;
use crate::writer::Writer;

/// The thresholds of a queue, as they hold.
#[derive(Debug, Serialize)]
struct Held {
    queue: QueueId,
    /// 0: nobody set any, and the defaults hold.
    version: u64,
    set_at: Option<Time>,
    set_by: Option<String>,
    why: Option<String>,
    thresholds: Thresholds,
}

fn held(face: &Face, tenant: &TenantId, queue: &QueueId) -> Held {
    let book = face.books.look();
    let found = book.table.tenant(tenant).and_then(|tenant| tenant.queue(queue));
    let stamp = found.and_then(|found| found.thresholds_set());
    Held {
        queue: queue.clone(),
        version: found.map_or(0, |found| found.thresholds_version()),
        set_at: stamp.map(|stamp| stamp.at),
        set_by: stamp.map(|stamp| stamp.by.to_string()),
        why: stamp.map(|stamp| stamp.why.clone()),
        thresholds: found.map_or_else(Thresholds::default, |found| (**found.thresholds()).clone()),
    }
}

/// What a queue is held to.
#[utoipa::path(get, path = "/v1/thresholds/{queue}", tag = "thresholds", params(("queue" = String, Path, description = "The queue."), Asked), responses(
    (status = 200, description = "With their version as the ETag; version 0: the defaults.", body = Value),
    (status = 404, description = "There is no such queue.", body = ProblemBody),
))]
pub async fn get(
    State(face): State<Face>,
    principal: Principal,
    Path(queue): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let queue = QueueId::new(queue);
    exists(&face, &tenant, &queue)?;
    let held = held(&face, &tenant, &queue);
    Ok(versioned(StatusCode::OK, held.version, &held))
}

/// Sets what a queue is held to: all of it, what is not said has its default.
#[utoipa::path(put, path = "/v1/thresholds/{queue}", tag = "thresholds", params(("queue" = String, Path, description = "The queue."), Asked, ("If-Match" = String, Header, description = "The version that is replaced: the ETag of what was seen.")), request_body(content = Value, description = "Thresholds: docs/spec/control.md, and the schema of `tidegate thresholds`."), responses(
    (status = 200, description = "They hold, or would (dry_run).", body = Value),
    (status = 412, description = "Somebody else changed them.", body = ProblemBody),
    (status = 422, description = "They cannot hold: every problem is named.", body = ProblemBody),
    (status = 428, description = "If-Match is missing.", body = ProblemBody),
))]
pub async fn put(
    State(face): State<Face>,
    principal: Principal,
    Path(queue): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    Json(written): Json<Value>,
) -> Result<Response, Problem> {
    operator(&principal)?;
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let queue = QueueId::new(queue);
    exists(&face, &tenant, &queue)?;
    let thresholds =
        wanted::thresholds(&written, &face.known(&tenant)).map_err(|found| wrong("the thresholds", found))?;
    let before = held(&face, &tenant, &queue);
    let version = replaced(&headers, before.version)? + 1;
    if asked.dry_run == Some(true) {
        let would = Held { version, set_at: None, set_by: None, why: None, thresholds, queue };
        return Ok(versioned(StatusCode::OK, before.version, &would));
    }
    let set = ThresholdsSet { queue: queue.clone(), version, thresholds };
    let change = face.decide(&principal, &tenant, asked.why.as_deref(), None, set).await?;
    let held = held(&face, &tenant, &queue);
    if !Writer::held(&change) {
        return Err(changed(held.version));
    }
    Ok(versioned(StatusCode::OK, held.version, &held))
}

fn exists(face: &Face, tenant: &TenantId, queue: &QueueId) -> Result<(), Problem> {
    let known = face.known(tenant).queues.unwrap_or_default();
    if known.contains(queue) {
        return Ok(());
    }
    let some: Vec<&str> = known.iter().take(20).map(QueueId::as_str).collect();
    Err(Problem::not_found(format!(
        "there is no queue {:?} of {tenant}; there are {}",
        queue.as_str(),
        some.join(", ")
    )))
}
