//! `POST /v1/preview`, described. It is answered by the crate `preview`, which stands behind the same guard and knows nothing of OpenAPI.

use super::openapi::ProblemBody;

/// Plays a recorded period again under proposed thresholds, beside those in force. It changes nothing.
#[utoipa::path(post, path = "/v1/preview", tag = "preview", request_body(content = Value, description = "`from` and `to` (RFC 3339, or dates in the tenant's zone; 62 days at most), `thresholds` (docs/reference/preview.md), and perhaps `tenant`, `current`, `queues`, `seed`, `seeds` (10; 100 at most) and `age_s`."), responses(
    (status = 200, description = "Each figure as recorded, under the current and the proposed thresholds, and their difference with its interval; how well the simulation repeats the record (`fidelity`).", body = Value),
    (status = 403, description = "For supervisors and above.", body = ProblemBody),
    (status = 422, description = "It cannot be played: every problem is named.", body = ProblemBody),
    (status = 429, description = "One is being played: one at a time.", body = ProblemBody),
))]
#[expect(dead_code, reason = "describes a route of another crate")]
pub(super) fn preview() {}
