//! Call services: vendors and trunks that carry calls at the same time, by weight.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::ServiceId;
use model::control::problem::Problems;
use model::control::{ServiceConfigured, ServiceRemoved};
use policy::plan::Tenant;
use serde::Deserialize;
use serde_json::{Value, json};
use service::http::{Json, Path, Principal, Problem, Query};

use super::openapi::ProblemBody;
use super::place::{Change, judged};
use super::{Asked, Face, versioned};

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
    let change = Change { face: &face, principal: &principal, headers: &headers, asked };
    let tenant = change.tenant()?;
    let service = ServiceId::new(service);
    let mut found = Problems::default();
    found.within("weight", wish.weight, 0.0, 1_000.0);
    let problems = judged(found, "service", service.as_str(), &wish.address);
    let held = |tenant: &Tenant| tenant.service_version(&service);
    let configured = |version| ServiceConfigured {
        version,
        service: service.clone(),
        address: wish.address.clone(),
        weight: wish.weight,
        enabled: wish.enabled,
    };
    change.make(&tenant, "the service", problems, held, configured).await
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
    let change = Change { face: &face, principal: &principal, headers: &headers, asked };
    let tenant = change.tenant()?;
    let service = ServiceId::new(service);
    let there = |tenant: &Tenant| tenant.service(&service).is_some_and(|held| held.present);
    if !face.books.look().table.tenant(&tenant).is_some_and(there) {
        return Err(Problem::not_found(format!("there is no service {:?}", service.as_str())));
    }
    let held = |tenant: &Tenant| tenant.service_version(&service);
    let removed = |version| ServiceRemoved { version, service: service.clone() };
    change.make(&tenant, "the service", Vec::new(), held, removed).await
}
