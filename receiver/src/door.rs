//! The HTTP door: `POST /v1/ingest` takes events from whoever has no adapter, and answers when they are on disk.
//!
//! A body is one CloudEvents envelope, a JSON array of them (`application/cloudevents-batch+json`) or one a line (NDJSON).
//! Each is checked; good ones are written to `ingest` together, bad ones are named by their place and reason, and nothing of
//! a batch is lost because of another of its events. A bearer token with role `operator` opens the door, or a signature:
//! `tidegate-timestamp: <Unix seconds>` and `tidegate-signature: v1=<hex HMAC-SHA256 of "timestamp.body">`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use hmac::{Hmac, Mac};
use journal::{Entry, Journal, Stream};
use model::envelope::Parsed;
use model::{Directory, Envelope, SourceId};
use serde::Serialize;
use serde_json::value::RawValue;
use service::Clock;
use service::http::{Guard, Principal, Problem, Role};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// What the door needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) guard: Guard,
    pub(crate) webhook_key: Option<Arc<Vec<u8>>>,
    pub(crate) webhook_age_max_s: i64,
    pub(crate) batch_max: usize,
    pub(crate) body_max: usize,
    pub(crate) clock: Clock,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    /// On disk.
    accepted: usize,
    /// Refused, each with its place in the batch (from 0).
    refused: Vec<Refusal>,
}

#[derive(Debug, Serialize)]
struct Refusal {
    index: usize,
    reason: String,
}

pub(crate) fn router(door: Door) -> Router {
    let limit = DefaultBodyLimit::max(door.body_max);
    Router::new().route("/v1/ingest", post(ingest)).layer(limit).with_state(door)
}

async fn ingest(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Answer>), Problem> {
    let who = door.who(&headers, &body)?;
    let (good, refused) = door.read(&who, &body)?;
    let accepted = good.len();
    if !good.is_empty() {
        door.journal.append(good).await.map_err(|error| {
            tracing::warn!(%error, "the journal refused a batch");
            Problem::unavailable(
                "the journal does not take events now; nothing of this batch was kept, send it again",
                1,
            )
        })?;
    }
    let status = if accepted == 0 { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::ACCEPTED };
    Ok((status, Json(Answer { accepted, refused })))
}

impl Door {
    /// A token or a signature; a signature stands for an operator of every tenant.
    fn who(&self, headers: &HeaderMap, body: &[u8]) -> Result<Principal, Problem> {
        if headers.contains_key("tidegate-signature") {
            self.signed(headers, body)?;
            return Ok(Principal { name: "webhook".to_owned(), tenant: "*".to_owned(), role: Role::Operator });
        }
        let who = self.guard.judge(headers)?;
        who.require(Role::Operator)?;
        Ok(who)
    }

    fn signed(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
        let Some(key) = &self.webhook_key else {
            return Err(Problem::unauthenticated("signed batches are not set up here: set receiver.webhook_key"));
        };
        let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let stamp = text("tidegate-timestamp");
        let seconds: i64 = stamp.parse().map_err(|_| {
            Problem::unauthenticated("the header tidegate-timestamp must be the time of sending in Unix seconds")
        })?;
        let age_s = (self.clock.now_ms() / 1000 - seconds).abs();
        if age_s > self.webhook_age_max_s {
            let detail = format!(
                "the batch was signed {age_s} s from now, {} s are allowed; sign it anew",
                self.webhook_age_max_s
            );
            return Err(Problem::unauthenticated(detail));
        }
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
        mac.update(stamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        let given =
            text("tidegate-signature").strip_prefix("v1=").and_then(|h| hex::decode(h).ok()).unwrap_or_default();
        if bool::from(mac.finalize().into_bytes().as_slice().ct_eq(&given)) {
            Ok(())
        } else {
            Err(Problem::unauthenticated(
                "the signature does not fit the body: v1=hex(HMAC-SHA256(key, timestamp + \".\" + body))",
            ))
        }
    }

    fn read(&self, who: &Principal, body: &[u8]) -> Result<(Vec<Entry>, Vec<Refusal>), Problem> {
        let events = split(body).map_err(|e| Problem::bad_request(format!("the body is no JSON: {e}")))?;
        if events.is_empty() {
            return Err(Problem::bad_request("the body holds no event: send one envelope, an array, or one a line"));
        }
        if events.len() > self.batch_max {
            let detail =
                format!("{} events in one batch, {} are allowed; send smaller ones", events.len(), self.batch_max);
            return Err(Problem::too_large(detail));
        }
        let (mut good, mut refused) = (Vec::with_capacity(events.len()), Vec::new());
        for (index, text) in events.into_iter().enumerate() {
            match self.judge(who, text.as_bytes()) {
                Ok(source) => good.push(Entry::new(Stream::Ingest, source.as_str().to_owned(), text.into_bytes())),
                Err(reason) => refused.push(Refusal { index, reason }),
            }
        }
        Ok((good, refused))
    }

    fn judge(&self, who: &Principal, bytes: &[u8]) -> Result<SourceId, String> {
        let source = match Envelope::parse(bytes).map_err(|e| e.to_string())? {
            Parsed::Known(known) => known.source,
            Parsed::Unknown(head) => head.source,
        };
        let tenant = self.directory.tenant_of(&source);
        if who.sees(tenant.as_str()) {
            Ok(source)
        } else {
            Err(format!("source {source} belongs to another tenant than the token"))
        }
    }
}

/// The events of a body, each as its own text.
fn split(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    if body.trim_ascii_start().first() == Some(&b'[') {
        let all: Vec<&RawValue> = serde_json::from_slice(body)?;
        return Ok(all.into_iter().map(|raw| raw.get().to_owned()).collect());
    }
    // One after the other, with or without line ends between them.
    let stream = serde_json::Deserializer::from_slice(body).into_iter::<Box<RawValue>>();
    stream.map(|raw| raw.map(|raw| raw.get().to_owned())).collect()
}
