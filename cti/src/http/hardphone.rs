//! `GET /v1/hard-phones`: which desk phones ring for which queue, and what the phone systems hold.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use service::http::{Problem, Role};

use super::Door;

/// Every phone system of the asker's tenant; it changes nothing.
pub(super) async fn show(State(door): State<Arc<Door>>, headers: HeaderMap) -> Result<Response, Problem> {
    let who = door.guard.judge(&headers)?;
    who.require(Role::Supervisor)?;
    let mut sources = door.phones.status();
    sources.retain(|source, _| who.sees(door.directory.tenant_of(source).as_str()));
    Ok(axum::Json(serde_json::json!({ "sources": sources })).into_response())
}
