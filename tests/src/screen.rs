//! A screen: follows one topic over the WebSocket, as the wallboard does.

use anyhow::{Context as _, Result, bail};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A subscribed connection.
#[derive(Debug)]
pub struct Screen(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Screen {
    /// Connects and subscribes to `topic`; back with the first snapshot in hand.
    pub async fn follow(server: SocketAddr, topic: &str) -> Result<Self> {
        let (socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{server}/v1/ws")).await.context("no WebSocket")?;
        let mut screen = Self(socket);
        let subscribe = json!({ "op": "subscribe", "id": "screen", "topics": [topic] });
        screen.0.send(Message::text(subscribe.to_string())).await?;
        screen.until(|frame| frame["op"] == "snapshot").await?;
        Ok(screen)
    }

    /// Reads frames until one is wanted, and tells when it came.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Instant> {
        while let Some(message) = self.0.next().await {
            let Message::Text(text) = message? else { continue };
            let frame: Value = serde_json::from_str(&text).with_context(|| format!("a frame is no JSON: {text}"))?;
            if frame["op"] == "error" {
                bail!("the server refused: {frame}");
            }
            if wanted(&frame) {
                return Ok(Instant::now());
            }
        }
        bail!("the server closed the WebSocket")
    }
}
