//! How a face says no: RFC 9457 problem details.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// A refusal, as `application/problem+json`; its `type` is [`Problem::kind`]. `code` has a page in `docs/errors`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The kind in words; the same for each occurrence.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, naming the value.
    pub detail: String,
    /// The code with a page in `docs/errors`.
    pub code: Cow<'static, str>,
    /// Single faults of a request that has several (a batch): where, and what.
    #[serde(default)]
    pub errors: Vec<Fault>,
    /// When to try again, seconds; also sent as `Retry-After`.
    #[serde(default)]
    pub retry_after_seconds: Option<u64>,
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Where in the request: a JSON pointer (`/events/3/time`) or the name of a parameter.
    pub at: String,
    /// What is wrong there, naming the value.
    pub detail: String,
}

impl Problem {
    /// Any problem.
    pub fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Problem {
            title: Cow::Borrowed(title),
            status: status.as_u16(),
            detail: detail.into(),
            code: Cow::Borrowed(code),
            errors: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// The URI for the kind of problem: `urn:tidegate:problem:TG0041`.
    pub fn kind(&self) -> String {
        format!("urn:tidegate:problem:{}", self.code)
    }

    /// 400: the request cannot be read or breaks a rule.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "TG0040", "the request is not valid", detail)
    }

    /// 401: no token, or one we do not know.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNAUTHORIZED, "TG0041", "a token is needed", detail)
    }

    /// 403: known, and not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::FORBIDDEN, "TG0042", "not allowed", detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, "TG0043", "not found", detail)
    }

    /// 405.
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "TG0043", "not found", detail)
    }

    /// 409: against the present state.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::CONFLICT, "TG0044", "conflicts with the present state", detail)
    }

    /// 413: more than the bound.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "TG0045", "too large", detail)
    }

    /// 429: too many; try again after `seconds`.
    pub fn too_many(detail: impl Into<String>, seconds: u64) -> Self {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "TG0046", "too many requests", detail);
        Problem { retry_after_seconds: Some(seconds), ..problem }
    }

    /// 503: a dependency is not there; try again after `seconds`.
    pub fn unavailable(detail: impl Into<String>, seconds: u64) -> Self {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "TG0047", "not available now", detail);
        Problem { retry_after_seconds: Some(seconds), ..problem }
    }

    /// 500: our fault. The cause goes to the log, not to the client.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, code = "TG0048", "request failed");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "TG0048",
            "our fault",
            "the request failed here; the log says why",
        )
    }

    /// With one more fault of the request.
    #[must_use]
    pub fn with_fault(mut self, at: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(Fault { at: at.into(), detail: detail.into() });
        self
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("type", &self.kind())?;
        object.serialize_entry("title", &self.title)?;
        object.serialize_entry("status", &self.status)?;
        object.serialize_entry("detail", &self.detail)?;
        object.serialize_entry("code", &self.code)?;
        if !self.errors.is_empty() {
            object.serialize_entry("errors", &self.errors)?;
        }
        if let Some(seconds) = self.retry_after_seconds {
            object.serialize_entry("retry_after_seconds", &seconds)?;
        }
        object.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tidegate\""));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.code, self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_served_as_rfc_9457_says() {
        let problem = Problem::too_many("600 requests in a minute", 12).with_fault("/events/3", "no id");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!((json["type"].as_str(), json["status"].as_u64()), (Some("urn:tidegate:problem:TG0046"), Some(429)));
        let response = problem.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::RETRY_AFTER], "12");
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    }
}
