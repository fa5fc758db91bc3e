//! Overrides: what a person or a carrier orders, for a time.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use model::control::problem::Problems;
use model::control::{Order, OverrideCleared, OverrideSet};
use model::{OverrideId, QueueId, Time};
use serde::{Deserialize, Serialize};
use service::http::{Json, Path, Principal, Problem, Query};

use super::openapi::ProblemBody;
use super::{Asked, Face, operator, versioned, wrong};

/// What is ordered.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// For this queue; absent: for all of the tenant.
    queue: Option<String>,
    /// What: `{"rate_at_most":{"per_s":0.5}}`, `{"level_at_least":{"level":"offer"}}` or `{"level_locked":{"level":"normal"}}`.
    #[schema(value_type = Value)]
    order: Order,
    /// For how long, seconds.
    for_s: f64,
}

#[derive(Debug, Serialize)]
struct Held {
    #[serde(flatten)]
    set: OverrideSet,
    by: String,
    why: String,
    set_at: Time,
}

/// Overrides that are in force.
#[utoipa::path(get, path = "/v1/overrides", tag = "overrides", params(Asked), responses(
    (status = 200, description = "The oldest first.", body = Value),
))]
pub async fn list(
    State(face): State<Face>,
    principal: Principal,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let now = face.now();
    let held: Vec<Held> = {
        let book = face.books.look();
        let found = book.table.tenant(&tenant).into_iter().flat_map(|tenant| tenant.overrides(now));
        let told = |held: &policy::plan::Override| Held {
            set: held.set.clone(),
            by: held.stamp.by.to_string(),
            why: held.stamp.why.clone(),
            set_at: held.stamp.at,
        };
        found.map(told).collect()
    };
    Ok(versioned(StatusCode::OK, 0, &serde_json::json!({ "overrides": held })))
}

/// Orders something for a time.
#[utoipa::path(post, path = "/v1/overrides", tag = "overrides", params(Asked), request_body = Wish, responses(
    (status = 201, description = "It is in force.", body = Value),
    (status = 422, description = "It cannot hold: every problem is named.", body = ProblemBody),
))]
pub async fn set(
    State(face): State<Face>,
    principal: Principal,
    Query(asked): Query<Asked>,
    Json(wish): Json<Wish>,
) -> Result<Response, Problem> {
    operator(&principal)?;
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let mut found = Problems::default();
    found.within("for_s", wish.for_s, 1.0, face.override_max_ms as f64 / 1_000.0);
    if let Order::RateAtMost { per_s } = wish.order {
        found.within("order.rate_at_most.per_s", per_s, 0.0, 10_000.0);
    }
    let queue = wish.queue.map(QueueId::from);
    if let Some(queue) = &queue {
        let known = face.known(&tenant).queues.is_some_and(|known| known.contains(queue));
        found.unless(known, "queue", || format!("there is no queue {:?}", queue.as_str()), "name one that exists");
    }
    let found = found.all();
    if !found.is_empty() {
        return Err(wrong("the override", found));
    }
    let until = face.now() + (wish.for_s * 1_000.0) as i64;
    let set = OverrideSet { id: OverrideId::new(face.writer.unique("override")), queue, order: wish.order, until };
    if asked.dry_run == Some(true) {
        return Ok(versioned(StatusCode::OK, 0, &set));
    }
    face.decide(&principal, &tenant, asked.why.as_deref(), None, set.clone()).await?;
    Ok(versioned(StatusCode::CREATED, 0, &set))
}

/// Ends an override before its time.
#[utoipa::path(delete, path = "/v1/overrides/{id}", tag = "overrides", params(("id" = String, Path, description = "The override."), Asked), responses(
    (status = 200, description = "It is over.", body = Value),
    (status = 404, description = "There is no such override in force.", body = ProblemBody),
))]
pub async fn clear(
    State(face): State<Face>,
    principal: Principal,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    operator(&principal)?;
    let tenant = face.tenant(&principal, asked.tenant.as_deref())?;
    let id = OverrideId::new(id);
    let there = face.books.look().table.tenant(&tenant).is_some_and(|tenant| tenant.held(&id).is_some());
    if !there {
        return Err(Problem::not_found(format!("there is no override {id} in force")));
    }
    face.decide(&principal, &tenant, asked.why.as_deref(), None, OverrideCleared { id: id.clone() }).await?;
    Ok(versioned(StatusCode::OK, 0, &serde_json::json!({ "id": id })))
}
