//! Targets: where callers are led who cannot wait for a person.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::TargetId;
use model::control::problem::Problems;
use model::control::{Kind, TargetConfigured, TargetRemoved};
use policy::plan::Tenant;
use serde::Deserialize;
use serde_json::{Value, json};
use service::http::{Json, Path, Principal, Problem, Query};

use super::openapi::ProblemBody;
use super::place::{Change, judged};
use super::{Asked, Face, versioned};

/// How a target is set up.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// `human_queue`, `call_service`, `smart_ivr`, `chat`, `keypad_ivr`, `callback` or `external`.
    #[schema(value_type = String)]
    kind: Kind,
    /// Where it is, in the words of whoever leads there.
    address: String,
    /// Calls per second that it takes at most.
    capacity_per_s: f64,
    /// The share of those led there who will not call again, until it is measured.
    #[serde(default = "half")]
    containment: f64,
    /// Whether anybody may be led there.
    #[serde(default = "yes")]
    enabled: bool,
}

fn half() -> f64 {
    0.5
}

fn yes() -> bool {
    true
}

/// Every target, as it is set up and as it was seen.
#[utoipa::path(get, path = "/v1/targets", tag = "targets", params(Asked), responses(
    (status = 200, description = "By name.", body = Value),
))]
pub async fn list(
    State(face): State<Face>,
    principal: Principal,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let targets: Vec<Value> = {
        let book = face.books.look();
        let found = book.table.tenant(&tenant).into_iter().flat_map(|tenant| tenant.targets());
        found
            .map(|(_, held)| {
                json!({ "configured": held.configured, "observed": held.observed, "set_by": held.stamp.by, "set_at": held.stamp.at })
            })
            .collect()
    };
    Ok(versioned(StatusCode::OK, 0, &json!({ "targets": targets })))
}

/// Sets a target up, or anew.
#[utoipa::path(put, path = "/v1/targets/{target}", tag = "targets", params(("target" = String, Path, description = "The target."), Asked, ("If-Match" = String, Header, description = "The version that is replaced; \"0\" for a new one.")), request_body = Wish, responses(
    (status = 200, description = "It is set up.", body = Value),
    (status = 412, description = "Somebody else changed it.", body = ProblemBody),
    (status = 422, description = "It cannot be: every problem is named.", body = ProblemBody),
))]
pub async fn put(
    State(face): State<Face>,
    principal: Principal,
    Path(target): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    Json(wish): Json<Wish>,
) -> Result<Response, Problem> {
    let change = Change { face: &face, principal: &principal, headers: &headers, asked };
    let tenant = change.tenant()?;
    let target = TargetId::new(target);
    let mut found = Problems::default();
    found.within("capacity_per_s", wish.capacity_per_s, 0.0, 10_000.0);
    found.within("containment", wish.containment, 0.0, 1.0);
    let problems = judged(found, "target", target.as_str(), &wish.address);
    let held = |tenant: &Tenant| tenant.target_version(&target);
    let configured = |version| TargetConfigured {
        version,
        target: target.clone(),
        kind: wish.kind,
        address: wish.address.clone(),
        capacity_per_s: wish.capacity_per_s,
        containment: wish.containment,
        enabled: wish.enabled,
    };
    change.make(&tenant, "the target", problems, held, configured).await
}

/// Takes a target away.
#[utoipa::path(delete, path = "/v1/targets/{target}", tag = "targets", params(("target" = String, Path, description = "The target."), Asked, ("If-Match" = String, Header, description = "The version that is removed.")), responses(
    (status = 200, description = "It is gone.", body = Value),
    (status = 404, description = "There is no such target.", body = ProblemBody),
    (status = 412, description = "Somebody else changed it.", body = ProblemBody),
))]
pub async fn remove(
    State(face): State<Face>,
    principal: Principal,
    Path(target): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let change = Change { face: &face, principal: &principal, headers: &headers, asked };
    let tenant = change.tenant()?;
    let target = TargetId::new(target);
    let there = |tenant: &Tenant| tenant.target(&target).is_some_and(|held| held.present);
    if !face.books.look().table.tenant(&tenant).is_some_and(there) {
        return Err(Problem::not_found(format!("there is no target {:?}", target.as_str())));
    }
    let held = |tenant: &Tenant| tenant.target_version(&target);
    let removed = |version| TargetRemoved { version, target: target.clone() };
    change.make(&tenant, "the target", Vec::new(), held, removed).await
}
