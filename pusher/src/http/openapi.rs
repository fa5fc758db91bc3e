//! The description of the HTTP face: OpenAPI 3.1, served, and kept in `docs/reference/openapi.json`.

use axum::http::HeaderMap;
use axum::response::Response;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Face, answer, calls, live, meta, reports};
use crate::report::agents::AgentRow;
use crate::report::calls::CallRow;
use crate::report::intervals::IntervalRow;

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
    /// Single faults: `at` (the parameter) and `detail`.
    errors: Option<Vec<serde_json::Value>>,
    /// When to try again, seconds.
    retry_after_seconds: Option<u64>,
}

/// The JSON form of the report by interval.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what is written by crate::report::flat")]
pub struct IntervalsBody {
    /// The first moment asked for.
    from: String,
    /// The moment after the last asked for.
    to: String,
    /// The zone of borders and local times.
    zone: String,
    /// The service-level policy.
    policy: String,
    /// The rows.
    rows: Vec<IntervalRow>,
}

/// The JSON form of the report of agents.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what is written by crate::report::flat")]
pub struct AgentsBody {
    /// The first moment asked for.
    from: String,
    /// The moment after the last asked for.
    to: String,
    /// The zone of borders and local times.
    zone: String,
    /// The service-level policy.
    policy: String,
    /// The rows.
    rows: Vec<AgentRow>,
}

/// The JSON form of a page of calls.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what is written by crate::report::flat")]
pub struct CallsBody {
    /// The `cursor` of the next page; `null`: there is none.
    next: Option<String>,
    /// The rows.
    rows: Vec<CallRow>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidegate pusher",
        version = "1",
        description = "Live figures and reports. The WebSocket /v1/ws is described in docs/spec/websocket.md and asyncapi.yaml. \
                       Times are RFC 3339; `_ms` are milliseconds; rates are decimals. Errors are RFC 9457 problems.",
        license(name = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "live", description = "What is so now."),
        (name = "reports", description = "What was."),
        (name = "calls", description = "One call."),
        (name = "meta", description = "What the figures mean, and how far they can be trusted.")
    )
)]
struct Description;

/// The documented routes.
pub(super) fn documented() -> OpenApiRouter<Face> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(live::totals))
        .routes(routes!(live::queues))
        .routes(routes!(live::queue))
        .routes(routes!(live::agents))
        .routes(routes!(live::calls))
        .routes(routes!(live::devices))
        .routes(routes!(live::sources))
        .routes(routes!(live::teams))
        .routes(routes!(live::intervals))
        .routes(routes!(reports::intervals))
        .routes(routes!(reports::agents))
        .routes(routes!(reports::calls))
        .routes(routes!(calls::record))
        .routes(routes!(calls::timeline))
        .routes(routes!(meta::dictionary))
        .routes(routes!(meta::sources))
        .routes(routes!(meta::quality))
}

/// The description as JSON.
pub fn description() -> String {
    let (_, api) = documented().split_for_parts();
    let mut text = api.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Serves the description.
pub(super) async fn serve(headers: HeaderMap) -> Response {
    answer::tagged(&headers, "application/json", description().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_says_what_the_routes_do() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/openapi.json");
        if option_env!("TIDEGATE_BLESS").is_some() {
            std::fs::write(path, description()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == description(),
            "docs/reference/openapi.json is not current: run TIDEGATE_BLESS=1 cargo test -p pusher openapi and look at the difference"
        );
    }

    #[test]
    fn it_is_openapi_3_1_and_every_operation_tells_what_it_does() {
        let api: serde_json::Value = serde_json::from_str(&description()).unwrap();
        assert_eq!(api["openapi"], "3.1.0");
        let paths = api["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 17);
        for (path, item) in paths {
            assert!(item["get"]["summary"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
        }
    }
}
