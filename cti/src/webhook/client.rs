//! One try of a hand-over: a signed POST and its answer, with a deadline and a bound.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use service::Clock;

use super::config::Webhook;
use super::signature;

/// What a platform answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct Answer {
    /// Whether it takes this caller.
    pub accepted: bool,
    /// How many a second it takes from now on.
    #[serde(default)]
    pub capacity_per_s: Option<f64>,
    /// The share of those led there whom it helps, as it sees it; ours, once measured, goes before it.
    #[serde(default)]
    pub containment: Option<f64>,
}

/// Why a try came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may pass: try again.
    #[error("{0}")]
    Passing(String),
    /// It will not: the platform refuses, or says what cannot be read.
    #[error("{0}")]
    Lasting(String),
}

/// Posts to one platform.
pub(crate) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    secret: Vec<u8>,
    webhook: Webhook,
    clock: Clock,
}

impl Client {
    /// One for this platform.
    ///
    /// # Errors
    /// When the secret or the certificates of this machine cannot be read.
    pub(crate) fn new(webhook: &Webhook, clock: Clock) -> Result<Client, String> {
        let secret = webhook.secret.read().map_err(|error| error.to_string())?;
        let uri: Uri = webhook.url.parse().map_err(|error| format!("{:?} is no address: {error}", webhook.url))?;
        let roots = HttpsConnectorBuilder::new().with_native_roots();
        let roots = roots.map_err(|error| format!("no certificates to believe on this machine: {error}"))?;
        // a redirect is not followed: it would take the caller elsewhere than where was configured
        let connector = roots.https_or_http().enable_http1().build();
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Client { pool, uri, secret: secret.into_bytes(), webhook: webhook.clone(), clock })
    }

    /// Tries once.
    pub(crate) async fn post(&self, id: &str, body: &[u8]) -> Result<Answer, Failure> {
        match self.clock.timeout(self.webhook.deadline.duration(), self.talk(id, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Passing(format!("no answer within {}", self.webhook.deadline))),
        }
    }

    async fn talk(&self, id: &str, body: &[u8]) -> Result<Answer, Failure> {
        let signed = signature::sign(&self.secret, self.clock.now_ms().div_euclid(1_000), body);
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static("tidegate"))
            .header(signature::HEADER, signed)
            .header("tidegate-id", id)
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(|error| Failure::Lasting(error.to_string()))?;
        let answer = self.pool.request(request).await.map_err(|error| Failure::Passing(reason(&error)))?;
        let status = answer.status();
        let limited = Limited::new(answer.into_body(), self.webhook.answer_max.to_usize());
        let text = limited.collect().await.map_err(|error| Failure::Lasting(format!("its answer: {error}")))?;
        judge(status, &text.to_bytes())
    }
}

/// The deepest cause: the outer ones say only that it failed.
fn reason(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    format!("cannot be reached: {deepest}")
}

fn judge(status: StatusCode, body: &[u8]) -> Result<Answer, Failure> {
    if status.is_success() {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Answer { accepted: true, ..Answer::default() });
        }
        let answer: Answer =
            serde_json::from_slice(body).map_err(|error| Failure::Lasting(format!("its answer: {error}")))?;
        let fits = |number: Option<f64>, most: f64| number.is_none_or(|number| (0.0..=most).contains(&number));
        return match fits(answer.capacity_per_s, 10_000.0) && fits(answer.containment, 1.0) {
            true => Ok(answer),
            false => Err(Failure::Lasting("its answer has a number that cannot be".to_owned())),
        };
    }
    let busy =
        status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    let why = format!("it answers {status}");
    Err(if busy { Failure::Passing(why) } else { Failure::Lasting(why) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_it_takes_the_caller_and_how_many_it_takes() {
        let judged = |status: u16, body: &str| judge(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        let answer = Answer { accepted: true, capacity_per_s: Some(2.5), containment: Some(0.5) };
        assert_eq!(judged(200, r#"{"accepted":true,"capacity_per_s":2.5,"containment":0.5,"more":1}"#), Ok(answer));
        assert_eq!(judged(204, ""), Ok(Answer { accepted: true, ..Answer::default() }));
        assert_eq!(judged(200, r#"{"accepted":false}"#), Ok(Answer::default()));
        for body in ["[]", "yes", r#"{"accepted":true,"capacity_per_s":-1}"#, r#"{"accepted":true,"containment":2}"#] {
            assert!(matches!(judged(200, body), Err(Failure::Lasting(_))), "{body}");
        }
        assert!(
            matches!(judged(503, ""), Err(Failure::Passing(_))) && matches!(judged(429, ""), Err(Failure::Passing(_)))
        );
        assert!(
            matches!(judged(401, ""), Err(Failure::Lasting(_))) && matches!(judged(302, ""), Err(Failure::Lasting(_)))
        );
    }
}
