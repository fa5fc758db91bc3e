//! Targets: where callers are led who cannot wait for a person.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::TargetId;
use model::control::problem::Problems;
use model::control::{Kind, TargetConfigured, TargetRemoved};
use serde::Deserialize;
use serde_json::{Value, json};
use service::http::{Json, Path, Principal, Problem, Query};

use super::openapi::ProblemBody;
use super::{Asked, Face, changed, operator, replaced, versioned, wrong};
use crate::writer::Writer;

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
    operator(&principal)?;
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let target = TargetId::new(target);
    let mut found = Problems::default();
    found.within("capacity_per_s", wish.capacity_per_s, 0.0, 10_000.0);
    found.within("containment", wish.containment, 0.0, 1.0);
    let fits = |text: &str| !text.is_empty() && text.len() <= 256 && !text.contains(['\r', '\n', '\0']);
    found.unless(
        fits(&wish.address),
        "address",
        || "it is empty, too long or has line ends".to_owned(),
        "write up to 256 letters of one line",
    );
    found.unless(fits(target.as_str()), "target", || "its name is too long or has line ends".to_owned(), "shorten it");
    let found = found.all();
    if !found.is_empty() {
        return Err(wrong("the target", found));
    }
    let held = version(&face, &tenant, &target);
    let configured = TargetConfigured {
        version: replaced(&headers, held)? + 1,
        target: target.clone(),
        kind: wish.kind,
        address: wish.address,
        capacity_per_s: wish.capacity_per_s,
        containment: wish.containment,
        enabled: wish.enabled,
    };
    if asked.dry_run == Some(true) {
        return Ok(versioned(StatusCode::OK, held, &configured));
    }
    let change = face.decide(&principal, &tenant, asked.why.as_deref(), None, configured.clone()).await?;
    if !Writer::held(&change) {
        return Err(changed(version(&face, &tenant, &target)));
    }
    Ok(versioned(StatusCode::OK, configured.version, &configured))
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
    operator(&principal)?;
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let target = TargetId::new(target);
    let there = face.known(&tenant).targets.is_some_and(|targets| targets.contains(&target));
    if !there {
        return Err(Problem::not_found(format!("there is no target {:?}", target.as_str())));
    }
    let removed =
        TargetRemoved { version: replaced(&headers, version(&face, &tenant, &target))? + 1, target: target.clone() };
    let change = face.decide(&principal, &tenant, asked.why.as_deref(), None, removed.clone()).await?;
    if !Writer::held(&change) {
        return Err(changed(version(&face, &tenant, &target)));
    }
    Ok(versioned(StatusCode::OK, removed.version, &removed))
}

fn version(face: &Face, tenant: &model::TenantId, target: &TargetId) -> u64 {
    face.books.look().table.tenant(tenant).map_or(0, |tenant| tenant.target_version(target))
}
