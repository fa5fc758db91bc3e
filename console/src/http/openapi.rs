//! The description of the HTTP face: OpenAPI 3.1, served, and kept in `docs/reference/console-openapi.json`.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Face, audit, callbacks, calls, overrides, plans, services, targets, thresholds};

/// RFC 9457 problem details.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents service::http::Problem, which knows nothing of OpenAPI")]
pub struct ProblemBody {
    /// `urn:tidegate:problem:CODE`.
    r#type: String,
    /// The kind in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time, and what to do.
    detail: String,
    /// `TGnnnn`; has a page in `docs/errors`.
    code: String,
    /// Every single fault: `at` (where) and `detail`.
    errors: Option<Vec<serde_json::Value>>,
    /// When to try again, seconds.
    retry_after_seconds: Option<u64>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidegate console",
        version = "1",
        description = "What holds of each queue, and what persons decide: thresholds, targets, call services, orders for a time. \
                       Rates are per second, times RFC 3339. A change names the version that it replaces (If-Match) and why. \
                       Errors are RFC 9457 problems that name everything that is wrong. docs/spec/control.md says what it means.",
        license(name = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "plans", description = "What holds now."),
        (name = "thresholds", description = "What each queue is held to."),
        (name = "overrides", description = "What persons order, for a time."),
        (name = "targets", description = "Where callers are led who cannot wait."),
        (name = "services", description = "Call services and their weights."),
        (name = "callbacks", description = "Callers who were promised a callback."),
        (name = "calls", description = "Why a call was led where it was."),
        (name = "audit", description = "Who decided what, and taking it back.")
    )
)]
struct Description;

/// The documented routes.
pub(super) fn documented() -> OpenApiRouter<Face> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(plans::list))
        .routes(routes!(plans::get))
        .routes(routes!(thresholds::get, thresholds::put))
        .routes(routes!(overrides::list, overrides::set))
        .routes(routes!(overrides::clear))
        .routes(routes!(targets::list))
        .routes(routes!(targets::put, targets::remove))
        .routes(routes!(services::list))
        .routes(routes!(services::put, services::remove))
        .routes(routes!(callbacks::list))
        .routes(routes!(callbacks::cancel))
        .routes(routes!(callbacks::claim))
        .routes(routes!(callbacks::done))
        .routes(routes!(calls::explain))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(audit::undo))
}

/// The description as JSON.
pub fn description() -> String {
    let (_, api) = documented().split_for_parts();
    let mut text = api.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Serves the description.
pub(super) async fn serve() -> Response {
    let mut response = description().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_says_what_the_routes_do() {
        service::conformance::golden("docs/reference/console-openapi.json", &super::description());
    }
}
