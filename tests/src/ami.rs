//! The driver's own small client of the Asterisk Manager Interface. It shares no code with the adapter under test.

use anyhow::{Context as _, Result, bail};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

/// The lines of one AMI message by their (case-sensitive) names; a repeated name keeps its last value.
pub type Fields = BTreeMap<String, String>;

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Fields>>>>;

/// One logged-in connection.
#[derive(Debug)]
pub struct Ami {
    writer: OwnedWriteHalf,
    waiting: Waiting,
    next: u64,
}

impl Ami {
    /// Connects, logs in, and hands back the events as they come.
    pub async fn log_in(at: SocketAddr, user: &str, secret: &str) -> Result<(Self, mpsc::Receiver<Fields>)> {
        let stream = TcpStream::connect(at).await.with_context(|| format!("no AMI at {at}"))?;
        let (reader, writer) = stream.into_split();
        let waiting = Waiting::default();
        let (sender, events) = mpsc::channel(10_000);
        tokio::spawn(read(BufReader::new(reader), Arc::clone(&waiting), sender));
        let mut ami = Self { writer, waiting, next: 0 };
        ami.ask("Login", &[("Username", user), ("Secret", secret)]).await?;
        Ok((ami, events))
    }

    /// Sends an action and waits for its response, whatever it says.
    pub async fn act(&mut self, action: &str, fields: &[(&str, &str)]) -> Result<Fields> {
        self.next += 1;
        let id = self.next.to_string();
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().expect("no holder panics").insert(id.clone(), sender);
        let mut text = format!("Action: {action}\r\nActionID: {id}\r\n");
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        self.writer.write_all((text + "\r\n").as_bytes()).await?;
        tokio::time::timeout(Duration::from_secs(10), answer)
            .await
            .with_context(|| format!("no answer to {action}"))?
            .context("the AMI link is gone")
    }

    /// Sends an action that has to succeed.
    pub async fn ask(&mut self, action: &str, fields: &[(&str, &str)]) -> Result<Fields> {
        let answer = self.act(action, fields).await?;
        if answer.get("Response").map(String::as_str) != Some("Success") {
            bail!("{action} {fields:?} was refused: {}", answer.get("Message").map_or("", String::as_str));
        }
        Ok(answer)
    }
}

async fn read(reader: BufReader<OwnedReadHalf>, waiting: Waiting, events: mpsc::Sender<Fields>) {
    let mut lines = reader.lines();
    let mut fields = Fields::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some((name, value)) = line.split_once(": ").or_else(|| line.strip_suffix(':').map(|name| (name, ""))) {
            fields.insert(name.to_owned(), value.to_owned());
        } else if line.is_empty() {
            let message = std::mem::take(&mut fields);
            // OriginateResponse is an event that carries `Response`: an event is known by `Event`
            if message.contains_key("Event") {
                let _ = events.try_send(message);
            } else if let Some(asker) =
                message.get("ActionID").and_then(|id| waiting.lock().expect("no holder panics").remove(id))
            {
                let _ = asker.send(message);
            }
        }
    }
}
