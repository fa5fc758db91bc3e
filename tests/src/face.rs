//! The HTTP face of a pusher, whichever process it is in.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// Who is asked.
#[derive(Clone, Debug)]
pub struct Face {
    http: SocketAddr,
    client: reqwest::Client,
}

impl Face {
    /// The pusher that listens there.
    pub fn at(http: SocketAddr) -> Result<Face> {
        Ok(Face { http, client: reqwest::Client::builder().timeout(Duration::from_secs(60)).build()? })
    }

    /// Asks it for JSON.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let body = self.text(path, query).await?;
        serde_json::from_str(&body).with_context(|| format!("{path} answered no JSON: {body}"))
    }

    /// Asks it for whatever the path answers.
    pub async fn text(&self, path: &str, query: &[(&str, &str)]) -> Result<String> {
        let url = format!("http://{}{path}", self.http);
        let response =
            self.client.get(&url).query(query).send().await.with_context(|| format!("no answer from {url}"))?;
        let status = response.status();
        let body = response.text().await?;
        ensure!(status.is_success(), "{url} {query:?}: {status}: {body}");
        Ok(body)
    }

    /// Where it serves HTTP and the WebSocket.
    pub fn address(&self) -> SocketAddr {
        self.http
    }
}
