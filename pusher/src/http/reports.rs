//! Reports over HTTP: what [`crate::report`] answers, in three forms.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, json};
use service::http::{Principal, Problem};

use super::Face;
use super::answer::{Params, accept, failed, refused, rows};
use super::openapi::{AgentsBody, CallsBody, IntervalsBody, ProblemBody};
use crate::report::agents::agents as report_agents;
use crate::report::ask::{Asker, CallsAsked, IntervalsAsked};
use crate::report::calls::calls as report_calls;
use crate::report::intervals::intervals as report_intervals;

/// One row per interval and queue, agent, team, source, … with every figure.
#[utoipa::path(get, path = "/v1/reports/intervals", tag = "reports", params(IntervalsAsked), responses(
    (status = 200, description = "Rows in order of interval, tenant and id. CSV and NDJSON have the same columns.", content(
        (IntervalsBody = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
    (status = 304, description = "As the asker has it (If-None-Match)."),
    (status = 400, description = "A parameter cannot be; the problem names it.", body = ProblemBody),
    (status = 429, description = "As many reports are being computed as may be.", body = ProblemBody),
))]
pub async fn intervals(
    State(face): State<Face>,
    principal: Principal,
    headers: HeaderMap,
    Params(params): Params<IntervalsAsked>,
) -> Result<Response, Problem> {
    let format = Asker::format(params.format.as_deref(), accept(&headers)).map_err(refused)?;
    let asked = face.asker(&principal).intervals(&params).map_err(refused)?;
    let (inner, head) = (face.clone(), asked.head());
    let work = async move {
        let found = report_intervals(&*inner.reports, &inner.directory, &asked, inner.now()).await.map_err(failed)?;
        rows(&headers, format, &head, &found, None)
    };
    face.apart(work).await?
}

/// One row per agent for the range, or per interval and agent.
#[utoipa::path(get, path = "/v1/reports/agents", tag = "reports", params(IntervalsAsked), responses(
    (status = 200, description = "Rows in order of interval, tenant and agent.", content(
        (AgentsBody = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
    (status = 304, description = "As the asker has it (If-None-Match)."),
    (status = 400, description = "A parameter cannot be; the problem names it.", body = ProblemBody),
    (status = 429, description = "As many reports are being computed as may be.", body = ProblemBody),
))]
pub async fn agents(
    State(face): State<Face>,
    principal: Principal,
    headers: HeaderMap,
    Params(params): Params<IntervalsAsked>,
) -> Result<Response, Problem> {
    let format = Asker::format(params.format.as_deref(), accept(&headers)).map_err(refused)?;
    let asked = face.asker(&principal).agents(&params).map_err(refused)?;
    let (inner, head) = (face.clone(), asked.head());
    let work = async move {
        let found = report_agents(&*inner.reports, &inner.directory, &asked, inner.now()).await.map_err(failed)?;
        rows(&headers, format, &head, &found, None)
    };
    face.apart(work).await?
}

/// Calls, page by page: `next` of the answer (or the header `Link`) is the `cursor` of the next page.
#[utoipa::path(get, path = "/v1/reports/calls", tag = "reports", params(CallsAsked), responses(
    (status = 200, description = "Calls in order of offer. A cursor stays where it is when calls are added.", content(
        (CallsBody = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
    (status = 304, description = "As the asker has it (If-None-Match)."),
    (status = 400, description = "A parameter cannot be; the problem names it.", body = ProblemBody),
))]
pub async fn calls(
    State(face): State<Face>,
    principal: Principal,
    headers: HeaderMap,
    Params(params): Params<CallsAsked>,
) -> Result<Response, Problem> {
    let format = Asker::format(params.format.as_deref(), accept(&headers)).map_err(refused)?;
    let asked = face.asker(&principal).calls(&params).map_err(refused)?;
    let inner = face.clone();
    let work = async move {
        let page = report_calls(&*inner.reports, &asked).await.map_err(failed)?;
        let head = Map::from_iter([("next".to_owned(), json!(page.next))]);
        rows(&headers, format, &head, &page.rows, page.next.as_deref())
    };
    face.apart(work).await?
}
