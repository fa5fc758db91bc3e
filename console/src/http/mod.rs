//! The HTTP face: what holds, what is so, and what persons decide.
//!
//! Everybody who may see may see what holds; `operator` and above decide. Each decision names why, is written to `control` with the name
//! of the token, and is answered when it was read back.

pub mod audit;
pub mod callbacks;
pub mod calls;
pub mod openapi;
pub mod overrides;
mod place;
pub mod plans;
pub mod services;
pub mod targets;
pub mod thresholds;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::control::problem::Problem as Wrong;
use model::control::{By, Event};
use model::{Directory, EventId, QueueId, TargetId, TenantId, Time};
use serde::{Deserialize, Serialize};
use service::Clock;
use service::http::{Guard, Principal, Problem, Role, with_fallbacks};
use utoipa::IntoParams;

use crate::book::{Books, Change};
use crate::explain::Explainer;
use crate::figures::{Figures, Look};
use crate::wanted::Known;
use crate::writer::{Error, Writer};

/// What the routes work with. A cheap handle.
#[derive(Clone)]
pub struct Face {
    /// What was decided.
    pub books: Books,
    /// Where decisions are written.
    pub writer: Writer,
    /// What is so.
    pub figures: Arc<Mutex<Figures>>,
    /// The newest look at it.
    pub look: Arc<Mutex<Look>>,
    /// Names, thresholds, zones.
    pub directory: Arc<Directory>,
    /// Where calls and plans are looked up.
    pub explainer: Explainer,
    /// The time.
    pub clock: Clock,
    /// The longest override, milliseconds.
    pub override_max_ms: i64,
    /// How long a request may take.
    pub timeout: std::time::Duration,
}

/// Whose, and why.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// The tenant; a token of one tenant need not say it.
    pub tenant: Option<String>,
    /// Why, in words: it is in the audit.
    pub why: Option<String>,
    /// Judge only, and change nothing.
    pub dry_run: Option<bool>,
}

impl Face {
    fn now(&self) -> Time {
        Time(self.clock.now_ms())
    }

    /// The tenant that is asked for, as far as the asker may.
    fn tenant(&self, principal: &Principal, asked: Option<&str>) -> Result<TenantId, Problem> {
        match asked {
            Some(tenant) if principal.sees(tenant) => Ok(tenant.into()),
            Some(tenant) => Err(Problem::forbidden(format!("{} has nothing to do with {tenant:?}", principal.name))),
            None if principal.tenant == "*" => Ok("default".into()),
            None => Ok(principal.tenant.as_str().into()),
        }
    }

    /// What exists of a tenant.
    fn known(&self, tenant: &TenantId) -> Known {
        let seen = self.figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).queues(tenant);
        let book = self.books.look();
        let held = book.table.tenant(tenant);
        let mut queues: BTreeSet<QueueId> = seen;
        queues.extend(self.directory.queues.keys().cloned());
        queues.extend(held.into_iter().flat_map(|held| held.queues()).map(|(queue, _)| queue.clone()));
        let targets: BTreeSet<TargetId> =
            held.into_iter().flat_map(|held| held.targets()).map(|(target, _)| target.clone()).collect();
        Known { queues: Some(queues), targets: Some(targets) }
    }

    /// Writes a decision of a person.
    async fn decide(
        &self,
        principal: &Principal,
        tenant: &TenantId,
        why: Option<&str>,
        cause: Option<EventId>,
        event: impl Into<Event>,
    ) -> Result<Change, Problem> {
        let why: String = why.unwrap_or("no reason was given").chars().take(500).collect();
        let by = By::Operator(principal.name.clone());
        match self.writer.write(tenant, by, why, cause, event.into()).await {
            Ok(change) => Ok(change),
            Err(Error::Journal(error)) => {
                tracing::warn!(%error, "a decision was not written");
                Err(Problem::unavailable("the journal does not take decisions now; nothing changed, try again", 2))
            }
            Err(error @ Error::Unread) => Err(Problem::unavailable(format!("{error}; look before you try again"), 5)),
        }
    }
}

/// Who may decide.
fn operator(principal: &Principal) -> Result<(), Problem> {
    principal.require(Role::Operator)
}

/// All that is wrong with what was sent.
fn wrong(what: &str, problems: Vec<Wrong>) -> Problem {
    let count = problems.len();
    let detail = format!("{count} problem{} in {what}; nothing changed", if count == 1 { "" } else { "s" });
    let refused = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "TG0334", "what was sent cannot hold", detail);
    problems.into_iter().fold(refused, |refused, problem| {
        refused.with_fault(problem.path, format!("{}; {}", problem.what, problem.fix))
    })
}

/// The version that the asker wants to replace.
fn replaced(headers: &HeaderMap, held: u64) -> Result<u64, Problem> {
    let Some(said) = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()) else {
        let detail = format!("send If-Match with the version that you saw: it is \"{held}\" now");
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "TG0331", "which version is replaced?", detail));
    };
    let said = said.trim();
    if said == "*" || said.trim_start_matches("W/").trim_matches('"') == held.to_string() {
        Ok(held)
    } else {
        Err(changed(held))
    }
}

/// Somebody else was quicker.
fn changed(held: u64) -> Problem {
    let detail = format!("version {held} holds now: look at it, and decide again");
    Problem::new(StatusCode::PRECONDITION_FAILED, "TG0331", "somebody else changed it", detail)
}

/// An answer with its version as the entity tag.
fn versioned<T: Serialize>(status: StatusCode, version: u64, body: &T) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Every route. `more` are routes of others that stand behind the same guard.
pub fn router(face: Face, guard: &Guard, more: Router) -> Router {
    let timeout = face.timeout;
    let clock = face.clock.clone();
    let timed = axum::middleware::from_fn(move |request: axum::extract::Request, next: axum::middleware::Next| {
        let clock = clock.clone();
        async move {
            match clock.timeout(timeout, next.run(request)).await {
                Ok(response) => response,
                Err(elapsed) => Problem::unavailable(format!("no answer: {elapsed}"), 5).into_response(),
            }
        }
    });
    let documented = openapi::documented().split_for_parts().0.layer(timed).with_state(face);
    let open = Router::new().route("/v1/openapi.json", axum::routing::get(openapi::serve));
    with_fallbacks(guard.protect(documented.merge(more)).merge(open))
}
