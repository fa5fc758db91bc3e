//! `POST /v1/route`: the same question over HTTP, and the forms that FreeSWITCH understands.

mod freeswitch;
mod hardphone;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use model::Directory;
use service::Clock;
use service::http::{Guard, Problem, Role, with_fallbacks};

use crate::ask::{Answer, Ask};
use crate::gate::{Channel, Gate};
use crate::hardphone::Shared;

/// The largest body: an ask has some two hundred bytes, FreeSWITCH tells some ten thousand more.
const BODY_MAX: usize = 64 << 10;

/// What the door needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) gate: Arc<Gate>,
    pub(crate) phones: Arc<Shared>,
    pub(crate) guard: Guard,
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Clock,
}

pub(crate) fn router(door: Door) -> Router {
    let routes = Router::new()
        .route("/v1/route", post(route))
        .route("/v1/route/text", get(freeswitch::text).post(freeswitch::text))
        .route("/v1/route/httapi", get(freeswitch::httapi).post(freeswitch::httapi))
        .route("/v1/route/plan", get(plan))
        .route("/v1/hard-phones", get(hardphone::show));
    with_fallbacks(routes).with_state(Arc::new(door))
}

// It takes the request as it came: an extractor of headers copies them all, at a twentieth of what an answer costs.
async fn route(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let began = door.clock.monotonic();
    let who = door.operator(request.headers())?;
    let Some(bytes) = door.body(request.into_body()).await? else { return Ok(json(&door.gate.late())) };
    let ask: Ask =
        serde_json::from_slice(&bytes).map_err(|e| Problem::bad_request(format!("the body is no ask: {e}")))?;
    let answer = door.answer(who, &ask, began)?;
    Ok(json(&answer))
}

/// What is enforced for each queue now: for people and tests; it decides nothing.
async fn plan(State(door): State<Arc<Door>>, headers: HeaderMap) -> Result<Response, Problem> {
    let who = door.guard.judge(&headers)?;
    who.require(Role::Supervisor)?;
    let mut queues = door.gate.enforced();
    queues.retain(|queue| who.sees(queue.tenant.as_str()));
    Ok(axum::Json(serde_json::json!({ "queues": queues })).into_response())
}

impl Door {
    fn operator(&self, headers: &HeaderMap) -> Result<&service::http::Principal, Problem> {
        let who = self.guard.judge(headers)?;
        who.require(Role::Operator)?;
        Ok(who)
    }

    /// The body, or nothing when it does not come in time.
    async fn body(&self, body: Body) -> Result<Option<bytes::Bytes>, Problem> {
        let whole = axum::body::to_bytes(body, BODY_MAX);
        match self.clock.timeout(self.gate.deadline(), whole).await {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(_)) => Err(Problem::too_large(format!("an ask may have {BODY_MAX} bytes"))),
            Err(_) => Ok(None),
        }
    }

    fn answer(&self, who: &service::http::Principal, ask: &Ask, began: std::time::Duration) -> Result<Answer, Problem> {
        if let Some(fault) = ask.fault() {
            return Err(Problem::bad_request(fault));
        }
        if who.tenant != "*" && !who.sees(self.directory.tenant_of(&ask.source).as_str()) {
            return Err(Problem::forbidden(format!("source {} belongs to another tenant than the token", ask.source)));
        }
        let decided = self.gate.decide(ask, began);
        self.gate.carried_out(ask, &decided, Channel::Http);
        Ok(decided.answer)
    }
}

fn json(answer: &Answer) -> Response {
    let body = serde_json::to_vec(answer).unwrap_or_default();
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// The parameters of a query and of a form, in that order: `a=1&b=%2B49`.
fn parameters(query: RawQuery, form: &[u8]) -> Vec<(String, String)> {
    let query = query.0.unwrap_or_default();
    let form = String::from_utf8_lossy(form);
    let pairs = query.split('&').chain(form.split('&')).filter(|pair| !pair.is_empty()).take(1_000);
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}

/// Undoes the encoding of forms: `+` is a space, `%XX` a byte.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let coded = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match (bytes[at], coded.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (_, Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', None) => out.push(b' '),
            (byte, None) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_odd_ones_are_taken_as_they_are() {
        let read = |query: &str, form: &[u8]| parameters(RawQuery(Some(query.to_owned())), form);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read("caller=%2B49+30&x", b"y=%C3%A9"), [pair("caller", "+49 30"), pair("x", ""), pair("y", "é")]);
        assert_eq!(read("a=%zz&b=%", b""), [pair("a", "%zz"), pair("b", "%")]);
    }
}
