//! The wallboard: a page without a build step, compiled in.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use service::http::Problem;

use super::Face;
use super::answer::tagged;

/// Only our own scripts and styles, no inline ones, nothing from elsewhere, and in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($name:literal $media:ident),* $(,)?) => {
        &[$(($name, $media, include_str!(concat!("../../wallboard/", $name)))),*]
    };
}

const ASSETS: &[(&str, &str, &str)] = assets! {
    "app.js" SCRIPT,
    "board.css" STYLE,
    "dom.js" SCRIPT,
    "format.js" SCRIPT,
    "index.html" HTML,
    "link.js" SCRIPT,
    "mark.svg" SVG,
    "panels.js" SCRIPT,
    "words.js" SCRIPT,
};

pub(super) fn routes() -> Router<Face> {
    Router::new().route("/", get(|headers: HeaderMap| async move { asset(&headers, "index.html") })).route(
        "/board/{name}",
        get(|Path(name): Path<String>, headers: HeaderMap| async move { asset(&headers, &name) }),
    )
}

fn asset(asked: &HeaderMap, name: &str) -> Response {
    let Some((_, media, body)) = ASSETS.iter().find(|(known, _, _)| *known == name) else {
        return Problem::not_found(format!("the wallboard has no file {name:?}")).into_response();
    };
    let mut response = tagged(asked, media, body.as_bytes().to_vec());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_nothing_inline_and_nothing_from_elsewhere() {
        for (name, _, body) in ASSETS {
            let code = body.replace("http://www.w3.org/2000/svg", "");
            for banned in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "http://",
                "https://",
                " style=\"",
                "onclick=",
            ] {
                assert!(!code.contains(banned), "{name} has {banned}");
            }
            if *name == "index.html" {
                assert_eq!(code.matches("<script").count(), code.matches("<script type=\"module\" src=").count());
            }
        }
    }

    #[test]
    fn every_module_that_is_imported_is_served() {
        for (name, _, body) in ASSETS {
            for import in body.split("from './").skip(1) {
                let file = import.split('\'').next().unwrap_or("");
                assert!(ASSETS.iter().any(|(known, _, _)| *known == file), "{name} imports {file}");
            }
        }
    }
}
