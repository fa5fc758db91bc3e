//! Which web pages may talk to us: a browser sends cookies and opens sockets for any page, so the page must be known.

use axum::http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;

/// Pages, by origin (`https://board.example.com`), beside those we serve ourselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Origins(pub Vec<String>);

impl Origins {
    /// Lets pass: no origin (not a browser), our own pages (the origin is the host asked), and the pages listed.
    ///
    /// # Errors
    /// 403 naming the origin.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let origin = origin.to_str().unwrap_or("");
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        let own = !authority.is_empty() && authority.eq_ignore_ascii_case(host);
        if own || self.0.iter().any(|known| known.eq_ignore_ascii_case(origin)) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("pages of {origin:?} may not connect: add it to origins")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "127.0.0.1:7400".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn our_own_and_listed_pages_pass_and_others_do_not() {
        let origins = Origins(vec!["https://board.example.com".into()]);
        for fine in [None, Some("http://127.0.0.1:7400"), Some("https://board.example.com")] {
            assert!(origins.check(&headers(fine)).is_ok(), "{fine:?}");
        }
        for bad in ["https://evil.example", "null", "http://127.0.0.1:7401", ""] {
            assert!(origins.check(&headers(Some(bad))).is_err(), "{bad}");
        }
    }
}
