//! The handshake (RFC 6455, section 4.2), and the connection that is left when it is done.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use service::http::{Connection, Problem, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// The sub-protocol that we speak.
pub const SUBPROTOCOL: &str = "tidegate.v1";

/// Room for what a client sends, at first: few say more than a subscription, and most are silent most of the time.
const READ_ROOM: usize = 256;

/// A client that asks for a WebSocket, rightly.
#[derive(Debug)]
pub struct Handshake {
    accept: String,
    speaks_ours: bool,
    upgrade: OnUpgrade,
}

impl Handshake {
    /// Reads the request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(request: &mut Parts) -> Result<Handshake, Problem> {
        let headers = &request.headers;
        let wrong = |what: &str| Err(Problem::bad_request(format!("this is a WebSocket: {what}")));
        if request.method != Method::GET {
            return wrong("it is opened with GET");
        }
        if !lists(headers, &header::CONNECTION, "upgrade") || !lists(headers, &header::UPGRADE, "websocket") {
            return wrong("ask for it with Connection: Upgrade and Upgrade: websocket");
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return wrong("this server speaks version 13 of the protocol (Sec-WebSocket-Version)");
        }
        let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
            return wrong("Sec-WebSocket-Key is missing");
        };
        let accept = derive_accept_key(key.as_bytes());
        let speaks_ours = lists(headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
        let Some(upgrade) = request.extensions.remove::<OnUpgrade>() else {
            return wrong("this connection cannot become one");
        };
        Ok(Handshake { accept, speaks_ours, upgrade })
    }

    /// The answer, and what becomes the connection once the answer is sent.
    pub fn accept(self) -> (Response, OnUpgrade) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        match HeaderValue::try_from(self.accept) {
            Ok(accept) => headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept),
            Err(error) => return (Problem::internal(&error).into_response(), self.upgrade),
        };
        if self.speaks_ours {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        (response, self.upgrade)
    }
}

/// Whether a header that lists names lists this one.
fn lists(headers: &HeaderMap, name: &header::HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(wanted))
}

/// The socket that an upgrade leads to; `None` when the client is gone, or came by something else than our listener.
///
/// `message_bytes`: the largest message of the client. `unsent_bytes`: the most that may wait in the kernel for a client that does
/// not read.
pub async fn socket(
    upgrade: OnUpgrade,
    message_bytes: usize,
    unsent_bytes: usize,
) -> Option<WebSocketStream<Upgraded>> {
    let upgraded = upgrade.await.ok()?;
    let parts = downcast::<TokioIo<Connection>>(upgraded).ok()?;
    let connection = parts.io.into_inner().upgraded();
    if let Err(error) = connection.bound_unsent(unsent_bytes) {
        tracing::debug!(%error, "the kernel keeps its own bound of unsent bytes");
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
        .read_buffer_size(READ_ROOM)
        .write_buffer_size(0);
    let early = parts.read_buf.to_vec();
    Some(WebSocketStream::from_partially_read(connection, early, Role::Server, Some(config)).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn ask(pairs: &[(&str, &str)]) -> Result<Handshake, Problem> {
        let mut request = Request::get("/v1/ws");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        Handshake::read(&mut request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_request_that_is_no_handshake_is_told_what_is_missing() {
        let (connection, upgrade) = (("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket"));
        let (version, key) = (("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="));
        for (pairs, missing) in [
            (vec![], "Connection: Upgrade"),
            (vec![connection, ("upgrade", "h2c")], "Upgrade: websocket"),
            (vec![connection, upgrade], "version 13"),
            (vec![connection, upgrade, ("sec-websocket-version", "8")], "version 13"),
            (vec![connection, upgrade, version], "Sec-WebSocket-Key"),
            (vec![connection, upgrade, version, key], "cannot become one"),
        ] {
            let problem = ask(&pairs).unwrap_err();
            assert!(problem.detail.contains(missing), "{pairs:?}: {}", problem.detail);
        }
    }
}
