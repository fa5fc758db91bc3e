//! Call services: vendors and trunks that carry calls at the same time, by weight.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::ServiceId;
use model::control::problem::Problems;
use model::control::{ServiceConfigured, ServiceRemoved};
use serde::Deserialize;
use serde_json::{Value, json};
use service::http::{Json, Path, Principal, Problem, Query};

use super::openapi::ProblemBody;
use super::{Asked, Face, changed, operator, replaced, versioned, wrong};
use crate::writer::Writer;

/// How a service is set up.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Where it is, in the words of whoever dials.
    address: String,
    /// Its part of the calls, relative to the others.
    #[serde(default = "one")]
    weight: f64,
    /// Whether it takes calls.
    #[serde(default = "yes")]
    enabled: bool,
}

fn one() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

/// Every service, as it is set up and as it was seen.
#[utoipa::path(get, path = "/v1/services", tag = "services", params(Asked), responses(
    (status = 200, description = "By name.", body = Value),
))]
pub async fn list(
    State(face): State<Face>,
    principal: Principal,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let (services, weighed) = {
        let book = face.books.look();
        let held = book.table.tenant(&tenant);
        let weighed = held.and_then(|tenant| tenant.weighed()).cloned();
        let found = held.into_iter().flat_map(|tenant| tenant.services());
        let services: Vec<Value> = found
            .map(|(_, held)| json!({ "configured": held.configured, "set_by": held.stamp.by, "set_at": held.stamp.at }))
            .collect();
        (services, weighed)
    };
    Ok(versioned(StatusCode::OK, 0, &json!({ "services": services, "weighed": weighed })))
}

/// Sets a service up, or anew.
#[utoipa::path(put, path = "/v1/services/{service}", tag = "services", params(("service" = String, Path, description = "The service."), Asked, ("If-Match" = String, Header, description = "The version that is replaced; \"0\" for a new one.")), request_body = Wish, responses(
    (status = 200, description = "It is set up.", body = Value),
    (status = 412, description = "Somebody else changed it.", body = ProblemBody),
    (status = 422, description = "It cannot be: every problem is named.", body = ProblemBody),
))]
pub async fn put(
    State(face): State<Face>,
    principal: Principal,
    Path(service): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    Json(wish): Json<Wish>,
) -> Result<Response, Problem> {
    operator(&principal)?;
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let service = ServiceId::new(service);
    let mut found = Problems::default();
    found.within("weight", wish.weight, 0.0, 1_000.0);
    let fits = |text: &str| !text.is_empty() && text.len() <= 256 && !text.contains(['\r', '\n', '\0']);
    found.unless(
        fits(&wish.address),
        "address",
        || "it is empty, too long or has line ends".to_owned(),
        "write up to 256 letters of one line",
    );
    found.unless(
        fits(service.as_str()),
        "service",
        || "its name is too long or has line ends".to_owned(),
        "shorten it",
    );
    let found = found.all();
    if !found.is_empty() {
        return Err(wrong("the service", found));
    }
    let held = version(&face, &tenant, &service);
    let configured = ServiceConfigured {
        version: replaced(&headers, held)? + 1,
        service: service.clone(),
        address: wish.address,
        weight: wish.weight,
        enabled: wish.enabled,
    };
    if asked.dry_run == Some(true) {
        return Ok(versioned(StatusCode::OK, held, &configured));
    }
    let change = face.decide(&principal, &tenant, asked.why.as_deref(), None, configured.clone()).await?;
    if !Writer::held(&change) {
        return Err(changed(version(&face, &tenant, &service)));
    }
    Ok(versioned(StatusCode::OK, configured.version, &configured))
}

/// Takes a service away.
#[utoipa::path(delete, path = "/v1/services/{service}", tag = "services", params(("service" = String, Path, description = "The service."), Asked, ("If-Match" = String, Header, description = "The version that is removed.")), responses(
    (status = 200, description = "It is gone.", body = Value),
    (status = 404, description = "There is no such service.", body = ProblemBody),
    (status = 412, description = "Somebody else changed it.", body = ProblemBody),
))]
pub async fn remove(
    State(face): State<Face>,
    principal: Principal,
    Path(service): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    operator(&principal)?;
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let service = ServiceId::new(service);
    let there = face
        .books
        .look()
        .table
        .tenant(&tenant)
        .and_then(|tenant| tenant.service(&service))
        .is_some_and(|held| held.present);
    if !there {
        return Err(Problem::not_found(format!("there is no service {:?}", service.as_str())));
    }
    let removed = ServiceRemoved {
        version: replaced(&headers, version(&face, &tenant, &service))? + 1,
        service: service.clone(),
    };
    let change = face.decide(&principal, &tenant, asked.why.as_deref(), None, removed.clone()).await?;
    if !Writer::held(&change) {
        return Err(changed(version(&face, &tenant, &service)));
    }
    Ok(versioned(StatusCode::OK, removed.version, &removed))
}

fn version(face: &Face, tenant: &model::TenantId, service: &ServiceId) -> u64 {
    face.books.look().table.tenant(tenant).map_or(0, |tenant| tenant.service_version(service))
}
