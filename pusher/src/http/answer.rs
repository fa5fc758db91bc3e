//! What all answers share: parameters that are refused by name, entity tags, forms.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use service::http::Problem;

use crate::report::flat::{Flat, Format, write};
use crate::report::{Error, Refused};

/// The query string; a parameter that is unknown or misspelt is refused by name.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Params(params)),
            Err(error) => Err(Problem::bad_request(format!("query string: {}", error.body_text()))),
        }
    }
}

/// A refusal as a problem.
pub fn refused(refused: Refused) -> Problem {
    Problem::bad_request(refused.detail.clone()).with_fault(refused.parameter, refused.detail)
}

/// A failed report as a problem.
pub fn failed(error: Error) -> Problem {
    match error {
        Error::Refused(reason) => refused(reason),
        Error::Store(store::Error::TooLarge { what, size, limit }) => {
            Problem::too_large(format!("{what}: {size} is over the limit of {limit}: ask for less time or fewer ids"))
        }
        Error::Store(error) if error.class() == store::Class::Transient => {
            tracing::warn!(%error, "the store did not answer");
            Problem::unavailable("the store is busy", 1)
        }
        error => Problem::internal(&error),
    }
}

/// An answer with an entity tag; 304 when the asker has it.
pub fn tagged(asked: &HeaderMap, media_type: &'static str, body: Vec<u8>) -> Response {
    // Weak: the same answer compressed is the same answer.
    let tag = format!("W/\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(&body));
    let held = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let same = held.flat_map(|value| value.split(',')).any(|one| one.trim() == tag || one.trim() == "*");
    let mut response = if same { StatusCode::NOT_MODIFIED.into_response() } else { body.into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept, authorization"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// What a client accepts.
pub fn accept(headers: &HeaderMap) -> &str {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("")
}

/// Rows in a form. `next`: where the next page begins; in the header `Link` for forms that have no place for it.
pub fn rows<R: Flat>(
    asked: &HeaderMap,
    format: Format,
    head: &serde_json::Map<String, serde_json::Value>,
    rows: &[R],
    next: Option<&str>,
) -> Result<Response, Problem> {
    let mut body = Vec::with_capacity(256 + rows.len() * 512);
    write(&mut body, format, head, rows).map_err(|error| Problem::internal(&error))?;
    let mut response = tagged(asked, format.media_type(), body);
    if let Some(link) = next.and_then(|next| HeaderValue::from_str(&format!("<?cursor={next}>; rel=\"next\"")).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}
