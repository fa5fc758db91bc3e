//! The audit: what was decided, by whom and why; taking a decision back; and the records themselves, to be verified elsewhere.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use journal::Stream;
use model::control::{
    Event, OverrideCleared, ServiceConfigured, ServiceRemoved, TargetConfigured, TargetRemoved, ThresholdsSet,
};
use model::{EventId, ServiceId, TargetId, Time};
use policy::plan::Tenant;
use serde::Deserialize;
use serde_json::{Value, json};
use service::http::{Path, Principal, Problem, Query, Role};

use super::openapi::ProblemBody;
use super::{Asked, Face, changed, operator, versioned};
use crate::audit::Line;
use crate::book::Change;
use crate::writer::Writer;

/// Which changes.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The tenant; a token of one tenant need not say it.
    tenant: Option<String>,
    /// Only of this person, by the name of the token.
    by: Option<String>,
    /// Only older than the record at this offset.
    before: Option<u64>,
    /// At most so many, 1 to 1,000; 100 when it is not said.
    limit: Option<usize>,
}

/// Which records.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Range {
    /// From this offset on.
    from: Option<u64>,
    /// At most so many, 1 to 5,000; 1,000 when it is not said.
    limit: Option<usize>,
}

fn told(change: &Change) -> Value {
    json!({
        "offset": change.offset,
        "event": change.envelope,
        "before": change.before,
        "held": Writer::held(change),
    })
}

/// What persons and carriers decided, the youngest first, with what held before.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(Wanted), responses(
    (status = 200, description = "`changes`, and the hash of everything so far.", body = Value),
))]
pub async fn list(
    State(face): State<Face>,
    principal: Principal,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    principal.require(Role::Supervisor)?;
    let tenant = face.tenant(&principal, wanted.tenant.as_deref())?;
    let limit = wanted.limit.unwrap_or(100).clamp(1, 1_000);
    let book = face.books.look();
    let wants = |change: &&Change| {
        let by = change.envelope.by.to_string();
        change.envelope.tenant == tenant
            && wanted.before.is_none_or(|before| change.offset < before)
            && wanted.by.as_ref().is_none_or(|name| by.split_once('/').is_some_and(|(_, own)| own == name))
    };
    let changes: Vec<Value> = book.changes().filter(wants).take(limit).map(told).collect();
    let body = json!({ "changes": changes, "hash": book.chain.seal(), "sealed": book.sealed() });
    drop(book);
    Ok(versioned(StatusCode::OK, 0, &body))
}

/// The records themselves, one to a line, for `tidegate audit verify --export`.
#[utoipa::path(get, path = "/v1/audit/export", tag = "audit", params(Range), responses(
    (status = 200, description = "NDJSON: offset, recorded_at, key, event. The header `tidegate-next` says where to go on.", body = String),
    (status = 403, description = "The records are of all tenants: a token of all is needed.", body = ProblemBody),
))]
pub async fn export(
    State(face): State<Face>,
    principal: Principal,
    Query(range): Query<Range>,
) -> Result<Response, Problem> {
    operator(&principal)?;
    if principal.tenant != "*" {
        return Err(Problem::forbidden(
            "the records are of all tenants, and their hash is of all: a token of all is needed",
        ));
    }
    let (from, limit) = (range.from.unwrap_or(0), range.limit.unwrap_or(1_000).clamp(1, 5_000));
    let read = face.explainer.journal.read(Stream::Control, 0, from, limit, 16 << 20).await;
    let batch = read.map_err(|error| match error {
        journal::Error::Beyond { end, .. } => Problem::bad_request(format!("the records end at {end}")),
        error => Problem::internal(&error),
    })?;
    let mut body = Vec::new();
    for record in &batch.records {
        let line = Line {
            offset: record.offset,
            recorded_at: Time(record.recorded_at_ms),
            key: String::from_utf8_lossy(&record.key).into_owned(),
            event: String::from_utf8_lossy(&record.value).into_owned(),
        };
        serde_json::to_writer(&mut body, &line).map_err(|error| Problem::internal(&error))?;
        body.push(b'\n');
    }
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response.headers_mut().insert("tidegate-next", HeaderValue::from(batch.next));
    Ok(response)
}

/// Takes a decision back: what held before it holds again. Only the last one about a thing can be: what was decided since must be seen.
#[utoipa::path(post, path = "/v1/audit/{event}/undo", tag = "audit", params(("event" = String, Path, description = "The id of the decision's event."), Asked), responses(
    (status = 200, description = "The decision that takes it back.", body = Value),
    (status = 404, description = "There is no such decision, or it is too old to be remembered.", body = ProblemBody),
    (status = 409, description = "It did not take effect, or something was decided about the same since.", body = ProblemBody),
))]
pub async fn undo(
    State(face): State<Face>,
    principal: Principal,
    Path(event): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    operator(&principal)?;
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let id = EventId::new(&event);
    let back = {
        let book = face.books.look();
        let change = book.change(&id).filter(|change| change.envelope.tenant == tenant);
        let change =
            change.ok_or_else(|| Problem::not_found(format!("there is no decision {event:?} to take back")))?;
        if !Writer::held(change) {
            return Err(Problem::conflict("it never took effect: there is nothing to take back"));
        }
        let held = book.table.tenant(&tenant).ok_or_else(|| Problem::not_found("nothing is decided of this tenant"))?;
        taken_back(change, held, face.now())?
    };
    let why = asked.why.unwrap_or_else(|| format!("takes back {event}"));
    let change = face.decide(&principal, &tenant, Some(&why), Some(id), back).await?;
    if !Writer::held(&change) {
        return Err(changed(change.offset));
    }
    Ok(versioned(StatusCode::OK, 0, &told(&change)))
}

/// The event that brings back what held before a change.
fn taken_back(change: &Change, tenant: &Tenant, now: Time) -> Result<Event, Problem> {
    let overtaken =
        || Problem::conflict("something was decided about the same since: take that back first, or decide anew");
    let before = change.before.as_ref();
    let last = |version: u64, held: u64| if version == held { Ok(held + 1) } else { Err(overtaken()) };
    Ok(match &change.envelope.event {
        Event::ThresholdsSet(set) => {
            let held = tenant.queue(&set.queue).map_or(0, |queue| queue.thresholds_version());
            let thresholds = match before {
                Some(Event::ThresholdsSet(before)) => before.thresholds.clone(),
                _ => Default::default(),
            };
            ThresholdsSet { queue: set.queue.clone(), version: last(set.version, held)?, thresholds }.into()
        }
        Event::OverrideSet(set) => match (before, tenant.held(&set.id)) {
            (_, None) => return Err(Problem::conflict("it is over already")),
            (Some(before), Some(_)) => before.clone(),
            (None, Some(_)) => OverrideCleared { id: set.id.clone() }.into(),
        },
        Event::OverrideCleared(cleared) => match (before, tenant.held(&cleared.id)) {
            (_, Some(_)) => return Err(overtaken()),
            (Some(Event::OverrideSet(before)), None) if before.until > now => Event::OverrideSet(before.clone()),
            _ => return Err(Problem::conflict("its time is over: order it anew")),
        },
        Event::TargetConfigured(set) => {
            target(before, &set.target, last(set.version, tenant.target_version(&set.target))?)
        }
        Event::TargetRemoved(gone) => {
            target(before, &gone.target, last(gone.version, tenant.target_version(&gone.target))?)
        }
        Event::ServiceConfigured(set) => {
            service(before, &set.service, last(set.version, tenant.service_version(&set.service))?)
        }
        Event::ServiceRemoved(gone) => {
            service(before, &gone.service, last(gone.version, tenant.service_version(&gone.service))?)
        }
        _ => return Err(Problem::conflict("a decision of this kind cannot be taken back")),
    })
}

fn target(before: Option<&Event>, target: &TargetId, version: u64) -> Event {
    match before {
        Some(Event::TargetConfigured(before)) => TargetConfigured { version, ..(**before).clone() }.into(),
        _ => TargetRemoved { target: target.clone(), version }.into(),
    }
}

fn service(before: Option<&Event>, service: &ServiceId, version: u64) -> Event {
    match before {
        Some(Event::ServiceConfigured(before)) => ServiceConfigured { version, ..(**before).clone() }.into(),
        _ => ServiceRemoved { service: service.clone(), version }.into(),
    }
}
