//! The HTTP door: `POST /v1/ingest` takes events from whoever has no adapter, and answers when they are on disk.
//!
//! A body is one CloudEvents envelope, a JSON array of them (`application/cloudevents-batch+json`) or one a line (NDJSON).
//! Each is checked; good ones are written to `ingest` together, bad ones are named by their place and reason, and nothing of
//! a batch is lost because of another of its events. A bearer token with role `operator` opens the door, or a signature:
//! `tidegate-timestamp: <Unix seconds>` and `tidegate-signature: v1=<hex HMAC-SHA256 of "timestamp.body">`.
//!
//! Refusals come before reading wherever they can: who it is, whether there is room ([`crate::gate`]), how large the batch says
//! it is. A refused batch is still read to its end, and thrown away as it comes: a sender that is cut off while it writes
//! sees a broken connection and not the refusal.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum::{Json, Router};
use bytes::BytesMut;
use futures::StreamExt;
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

use crate::gate::{Bounds, Gate, Hand};

/// How long a batch may take to come in, accepted or not.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// The largest event. What a call, an agent or a queue is called goes into the key of every figure about it.
const EVENT_MAX: usize = 64 << 10;
/// Of a refused batch so much is read, so that the sender sees the answer.
const DISCARDED_MAX: usize = 256 << 20;

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
    pub(crate) bounds: Bounds,
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

/// The door with its gate.
#[derive(Clone)]
struct Entrance {
    door: Door,
    gate: Arc<Gate>,
}

pub(crate) fn router(door: Door) -> Router {
    let gate = Gate::new(Arc::clone(&door.journal), door.clock.clone(), door.bounds);
    service::http::with_fallbacks(Router::new().route("/v1/ingest", post(ingest))).with_state(Entrance { door, gate })
}

async fn ingest(
    State(entrance): State<Entrance>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Answer>), Problem> {
    let mut body = body.into_data_stream();
    let clock = entrance.door.clock.clone();
    let within = clock.timeout(BODY_WITHIN, entrance.take(&headers, &mut body)).await;
    match within.unwrap_or_else(|_| Err(slow())) {
        Ok(answer) => Ok(answer),
        Err(problem) => {
            // However it ends: the answer is the refusal.
            let _ = clock.timeout(BODY_WITHIN, discard(&mut body)).await;
            Err(problem)
        }
    }
}

/// What a sender is told when the journal does not take a batch: why, under the journal's own code, and that it must send it again. Whether
/// something of it was kept need not concern it: what comes twice is counted once.
fn not_taken(error: &journal::Error) -> Problem {
    let code = error.code().unwrap_or("TG0047");
    tracing::warn!(code, %error, "the journal refused a batch");
    let detail =
        format!("the journal does not take events now ({error}); send the batch again, nothing is counted twice");
    Problem { code: code.into(), ..Problem::unavailable(detail, 1) }
}

fn slow() -> Problem {
    let detail =
        format!("the batch did not come within {} s; nothing of it was kept, send it again", BODY_WITHIN.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "TG0046", "too slow", detail)
}

async fn discard(body: &mut BodyDataStream) {
    let mut read = 0;
    while let Some(Ok(chunk)) = body.next().await {
        read += chunk.len();
        if read > DISCARDED_MAX {
            break;
        }
    }
}

impl Entrance {
    async fn take(
        &self,
        headers: &HeaderMap,
        body: &mut BodyDataStream,
    ) -> Result<(StatusCode, Json<Answer>), Problem> {
        let known = self.door.known(headers)?;
        self.gate.ask().await?;
        let mut hand = self.gate.hand();
        let body = self.read(headers, body, &mut hand).await?;
        let who = match known {
            Some(who) => who,
            None => self.door.signer(headers, &body)?,
        };
        let (good, refused) = self.door.read(&who, &body)?;
        drop(body);
        let accepted = good.len();
        if !good.is_empty() {
            self.gate.pass(accepted)?;
            let _turn = self.gate.turn(accepted).await;
            self.door.journal.append(good).await.map_err(|error| not_taken(&error))?;
        }
        let status = if accepted == 0 { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::ACCEPTED };
        Ok((status, Json(Answer { accepted, refused })))
    }

    /// The whole body, as far as it may be large.
    async fn read(&self, headers: &HeaderMap, body: &mut BodyDataStream, hand: &mut Hand) -> Result<Bytes, Problem> {
        let max = self.door.body_max;
        let large = || Problem::too_large(format!("a batch may have {max} bytes; send smaller ones"));
        let told = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if told.is_some_and(|length| length > max) {
            return Err(large());
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| Problem::bad_request("the batch ended before it was whole"))?;
            if whole.len() + chunk.len() > max {
                return Err(large());
            }
            // Once as it came, once as the events that it is split into.
            hand.take(2 * chunk.len())?;
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}

impl Door {
    /// Who sends it, by its token, before anything is read. `None`: it is signed, which only the whole batch can prove.
    fn known(&self, headers: &HeaderMap) -> Result<Option<Principal>, Problem> {
        if headers.contains_key("tidegate-signature") {
            self.fresh(headers)?;
            return Ok(None);
        }
        let who = self.guard.judge(headers)?;
        who.require(Role::Operator)?;
        Ok(Some(who.clone()))
    }

    /// A signature stands for an operator of every tenant.
    fn signer(&self, headers: &HeaderMap, body: &[u8]) -> Result<Principal, Problem> {
        self.signed(headers, body)?;
        Ok(Principal { name: "webhook".to_owned(), tenant: "*".to_owned(), role: Role::Operator })
    }

    /// The key for signatures, and when this batch says that it was signed: not too long ago.
    fn fresh<'a>(&self, headers: &'a HeaderMap) -> Result<(&[u8], &'a str), Problem> {
        let Some(key) = &self.webhook_key else {
            return Err(Problem::unauthenticated("signed batches are not set up here: set receiver.webhook_key"));
        };
        let stamp = text(headers, "tidegate-timestamp");
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
        Ok((key, stamp))
    }

    fn signed(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
        let (key, stamp) = self.fresh(headers)?;
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
        mac.update(stamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        let given = text(headers, "tidegate-signature").strip_prefix("v1=").and_then(|h| hex::decode(h).ok());
        let given = given.unwrap_or_default();
        if bool::from(mac.finalize().into_bytes().as_slice().ct_eq(&given)) {
            Ok(())
        } else {
            Err(Problem::unauthenticated(
                "the signature does not fit the body: v1=hex(HMAC-SHA256(key, timestamp + \".\" + body))",
            ))
        }
    }

    fn read(&self, who: &Principal, body: &[u8]) -> Result<(Vec<Entry>, Vec<Refusal>), Problem> {
        let events =
            events_of(body, self.batch_max).map_err(|e| Problem::bad_request(format!("the body is no JSON: {e}")))?;
        if events.is_empty() {
            return Err(Problem::bad_request("the body holds no event: send one envelope, an array, or one a line"));
        }
        if events.len() > self.batch_max {
            let detail = format!("more than {} events in one batch; send smaller ones", self.batch_max);
            return Err(Problem::too_large(detail));
        }
        let (mut good, mut refused) = (Vec::with_capacity(events.len()), Vec::new());
        for (index, text) in events.into_iter().enumerate() {
            let text = text.get();
            match self.judge(who, text.as_bytes()) {
                Ok(source) => good.push(Entry::new(Stream::Ingest, source.as_str().to_owned(), text.to_owned())),
                Err(reason) => refused.push(Refusal { index, reason }),
            }
        }
        Ok((good, refused))
    }

    fn judge(&self, who: &Principal, bytes: &[u8]) -> Result<SourceId, String> {
        if bytes.len() > EVENT_MAX {
            return Err(format!("the event has {} bytes, {EVENT_MAX} are allowed", bytes.len()));
        }
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

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The events of a body, each as its own text; at most one more than `most`, so that a body of empty objects costs no more than
/// it weighs.
///
/// # Errors
/// A body that is no JSON.
pub fn events_of(body: &[u8], most: usize) -> Result<Vec<&RawValue>, serde_json::Error> {
    if body.trim_ascii_start().first() == Some(&b'[') {
        return serde_json::from_slice(body);
    }
    // One after the other, with or without line ends between them.
    serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>().take(most + 1).collect()
}
