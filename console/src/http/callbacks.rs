//! Callbacks: who was promised one, and what became of it. Numbers are not shown: people see masks, the gate dials.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use model::control::{CallbackClaimed, CallbackClosed, Close, Event};
use model::{CallbackId, TenantId};
use policy::callback::{Entry, State as Stands};
use serde::Deserialize;
use serde_json::{Value, json};
use service::http::{Path, Principal, Problem, Query};

use super::openapi::ProblemBody;
use super::{Asked, Face, operator, versioned};
use crate::writer::Writer;

/// Which callbacks.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The tenant; a token of one tenant need not say it.
    tenant: Option<String>,
    /// Only of this queue.
    queue: Option<String>,
    /// Those that are over, the youngest first, and not those that are open, the oldest first.
    closed: Option<bool>,
    /// At most so many, 1 to 1,000; 100 when it is not said.
    limit: Option<usize>,
}

fn told(entry: &Entry) -> Value {
    let asked = &entry.asked;
    let attempts = entry.attempts.iter();
    let attempts: Vec<Value> =
        attempts.map(|one| json!({ "at": one.at, "service": one.service, "outcome": one.outcome })).collect();
    let (state, since, close, by) = match &entry.state {
        Stands::Waiting { again_at } => ("waiting", Some(*again_at), None, None),
        Stands::Dialling { since } => ("dialling", Some(*since), None, None),
        Stands::Claimed(stamp) => ("claimed", Some(stamp.at), None, Some(stamp.by.to_string())),
        Stands::Closed { close, at } => ("closed", Some(*at), Some(*close), None),
    };
    json!({
        "callback": asked.callback,
        "queue": asked.queue,
        "caller": { "token": asked.caller, "mask": asked.mask },
        "source": asked.source,
        "call": asked.call,
        "asked_at": entry.at,
        "until": asked.until,
        "hours": asked.hours,
        "attempts_max": asked.attempts_max,
        "attempts": attempts,
        "state": state,
        "since": since,
        "close": close,
        "claimed_by": by,
    })
}

/// Callers who were promised a callback.
#[utoipa::path(get, path = "/v1/callbacks", tag = "callbacks", params(Wanted), responses(
    (status = 200, description = "`callbacks`, and how many are `open` in all.", body = Value),
))]
pub async fn list(
    State(face): State<Face>,
    principal: Principal,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let tenant = face.tenant(&principal, wanted.tenant.as_deref())?;
    let limit = wanted.limit.unwrap_or(100).clamp(1, 1_000);
    let of = |entry: &&Entry| wanted.queue.as_ref().is_none_or(|queue| entry.asked.queue.as_str() == queue);
    let (found, open): (Vec<Value>, usize) = {
        let book = face.books.look();
        let list = book.table.tenant(&tenant).map(|tenant| tenant.callbacks());
        let found = match (list, wanted.closed.unwrap_or(false)) {
            (None, _) => Vec::new(),
            (Some(list), true) => list.closed().filter(of).take(limit).map(told).collect(),
            (Some(list), false) => list.open().filter(of).take(limit).map(told).collect(),
        };
        (found, list.map_or(0, |list| list.open().count()))
    };
    Ok(versioned(StatusCode::OK, 0, &json!({ "callbacks": found, "open": open })))
}

/// A person takes a callback upon themselves: the platform does not dial it any more.
#[utoipa::path(post, path = "/v1/callbacks/{callback}/claim", tag = "callbacks", params(("callback" = String, Path, description = "The callback."), Asked), responses(
    (status = 200, description = "It is theirs.", body = Value),
    (status = 404, description = "There is no such callback.", body = ProblemBody),
    (status = 409, description = "It is being dialled, taken, or over.", body = ProblemBody),
))]
pub async fn claim(
    State(face): State<Face>,
    principal: Principal,
    Path(callback): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    decide(&face, &principal, &callback, asked, |callback| CallbackClaimed { callback }.into()).await
}

/// A person who has claimed a callback has called, or settled it otherwise.
#[utoipa::path(post, path = "/v1/callbacks/{callback}/done", tag = "callbacks", params(("callback" = String, Path, description = "The callback."), Asked), responses(
    (status = 200, description = "It is over.", body = Value),
    (status = 404, description = "There is no such callback.", body = ProblemBody),
    (status = 409, description = "It is over already.", body = ProblemBody),
))]
pub async fn done(
    State(face): State<Face>,
    principal: Principal,
    Path(callback): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let close = Close::Handled;
    decide(&face, &principal, &callback, asked, |callback| CallbackClosed { callback, close }.into()).await
}

/// Takes a callback off the list: nobody is called.
#[utoipa::path(delete, path = "/v1/callbacks/{callback}", tag = "callbacks", params(("callback" = String, Path, description = "The callback."), Asked), responses(
    (status = 200, description = "It is over.", body = Value),
    (status = 404, description = "There is no such callback.", body = ProblemBody),
    (status = 409, description = "It is over already.", body = ProblemBody),
))]
pub async fn cancel(
    State(face): State<Face>,
    principal: Principal,
    Path(callback): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let close = Close::Cancelled;
    decide(&face, &principal, &callback, asked, |callback| CallbackClosed { callback, close }.into()).await
}

async fn decide(
    face: &Face,
    principal: &Principal,
    callback: &str,
    asked: Asked,
    event: impl FnOnce(CallbackId) -> Event,
) -> Result<Response, Problem> {
    operator(principal)?;
    let tenant = face.tenant(principal, asked.tenant.as_deref())?;
    let callback = CallbackId::new(callback);
    let before = shown(face, &tenant, &callback)?;
    let event = event(callback.clone());
    let overtaken =
        || Problem::conflict("it is being dialled, taken by somebody, or over: look at it, and decide again");
    let claims = matches!(event, Event::CallbackClaimed(_));
    if before["state"] == "closed" || (claims && before["state"] != "waiting") {
        return Err(overtaken()); // what cannot hold need not be in the audit
    }
    if asked.dry_run == Some(true) {
        return Ok(versioned(StatusCode::OK, 0, &before));
    }
    let change = face.decide(principal, &tenant, asked.why.as_deref(), None, event).await?;
    if !Writer::held(&change) {
        return Err(overtaken()); // somebody was quicker
    }
    Ok(versioned(StatusCode::OK, 0, &shown(face, &tenant, &callback)?))
}

fn shown(face: &Face, tenant: &TenantId, callback: &CallbackId) -> Result<Value, Problem> {
    let book = face.books.look();
    let entry = book.table.tenant(tenant).and_then(|tenant| tenant.callbacks().entry(callback));
    entry.map(told).ok_or_else(|| Problem::not_found(format!("there is no callback {:?}", callback.as_str())))
}
