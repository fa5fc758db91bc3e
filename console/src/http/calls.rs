//! Why a call was let in or led elsewhere.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use model::CallId;
use service::http::{Path, Principal, Problem};

use super::openapi::ProblemBody;
use super::{Face, versioned};
use crate::explain::Error;

/// Every decision about a call, with the plan, its figures, the thresholds and the orders of that time.
#[utoipa::path(get, path = "/v1/explain/{call}", tag = "calls", params(("call" = String, Path, description = "The call.")), responses(
    (status = 200, description = "`decisions`, in order; none when no gate was asked.", body = Value),
    (status = 404, description = "There is no such call.", body = ProblemBody),
))]
pub async fn explain(
    State(face): State<Face>,
    principal: Principal,
    Path(call): Path<String>,
) -> Result<Response, Problem> {
    let tenant = (principal.tenant != "*").then_some(principal.tenant.as_str());
    match face.explainer.explain(&CallId::new(&call), tenant).await {
        Ok(Some(explained)) => Ok(versioned(StatusCode::OK, 0, &explained)),
        Ok(None) => Err(Problem::not_found(format!("there is no call {call:?}"))),
        Err(Error::Store(error)) if error.class() == store::Class::Transient => {
            tracing::warn!(%error, "the store did not answer");
            Err(Problem::unavailable("the store is busy", 1))
        }
        Err(error) => Err(Problem::internal(&error)),
    }
}
