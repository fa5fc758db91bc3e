//! One call: its record, and what happened to it.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use model::CallId;
use serde_json::Value;
use service::http::{Principal, Problem};

use super::answer::{failed, tagged};
use super::openapi::ProblemBody;
use super::{Face, scope};
use crate::report::calls;

fn json(headers: &HeaderMap, value: &Value) -> Response {
    tagged(headers, "application/json", value.to_string().into_bytes())
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no call {id:?}"))
}

/// The record of one call: its segments, IVR visits, transfers, quality.
#[utoipa::path(get, path = "/v1/calls/{id}", tag = "calls", params(("id" = String, Path, description = "The call.")), responses(
    (status = 200, description = "The record. Numbers are masks and tokens.", body = Value),
    (status = 304, description = "As the asker has it (If-None-Match)."),
    (status = 404, description = "There is no such call.", body = ProblemBody),
))]
pub async fn record(
    State(face): State<Face>,
    principal: Principal,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let found = calls::call(&*face.reports, &CallId::new(&id), scope(&principal)).await.map_err(failed)?;
    found.map(|record| json(&headers, &record)).ok_or_else(|| missing(&id))
}

/// Every event of one call, in order, as CloudEvents.
#[utoipa::path(get, path = "/v1/calls/{id}/timeline", tag = "calls", params(("id" = String, Path, description = "The call.")), responses(
    (status = 200, description = "`call` and `events`: CloudEvents 1.0 in the order in which they count, not in which they came.", body = Value),
    (status = 304, description = "As the asker has it (If-None-Match)."),
    (status = 404, description = "There is no such call.", body = ProblemBody),
))]
pub async fn timeline(
    State(face): State<Face>,
    principal: Principal,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let found = calls::timeline(&*face.reports, &CallId::new(&id), scope(&principal)).await.map_err(failed)?;
    let events = found.ok_or_else(|| missing(&id))?;
    Ok(json(&headers, &serde_json::json!({ "call": id, "events": events })))
}
