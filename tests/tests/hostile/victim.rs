//! The process under attack, an honest client beside it, and the tally.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tidegate_tests::product::{Product, free_ports};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How long an answer may take on a machine that does a lot beside it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer may take to begin: of some attacks none is due.
const FIRST_WORD: Duration = Duration::from_secs(20);
/// Connections that the door takes, here.
pub const PLACES: u32 = 200;

/// What was tried, and how it ended.
#[derive(Debug, Default)]
pub struct Tally {
    pub attacks: u64,
    pub kinds: BTreeMap<&'static str, u64>,
    pub unclear: Vec<String>,
}

impl Tally {
    /// Notes one attack; `fault` says what was wrong with the answer.
    pub fn note(&mut self, kind: &'static str, fault: Option<String>) {
        self.attacks += 1;
        *self.kinds.entry(kind).or_default() += 1;
        if let Some(fault) = fault {
            self.unclear.push(format!("{kind}: {}", fault.chars().take(400).collect::<String>()));
        }
    }

    /// Notes one attack whose answer must begin with one of these statuses and, where it has a body, be a problem.
    pub fn expect(&mut self, kind: &'static str, answer: &str, statuses: &[u16]) {
        let status = status(answer);
        let told = statuses.contains(&status) && (!answer.contains("{") || answer.contains("\"code\":\"TG"));
        self.note(kind, (!told).then(|| format!("wanted {statuses:?}: {answer:?}")));
    }
}

/// The status of an HTTP answer; 0 when it is none.
pub fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// What an honest client saw.
#[derive(Debug)]
pub struct Witnessed {
    pub asked: u64,
    pub failed: u64,
    pub slowest_ms: f64,
    pub resident_first_mb: f64,
    pub resident_max_mb: f64,
}

/// The process under attack.
pub struct Victim {
    product: Arc<Product>,
    pub face: SocketAddr,
    pub door: SocketAddr,
    pub token: String,
    client: reqwest::Client,
    next: Arc<AtomicU64>,
    accepted: Arc<AtomicU64>,
}

/// The honest client at work.
pub struct Witness {
    over: Arc<AtomicBool>,
    task: JoinHandle<Result<Witnessed>>,
}

impl Victim {
    /// Starts it; `more` are further lines of its configuration.
    pub async fn up(folder: &Path, more: &str) -> Result<Victim> {
        let (token, sha256) = service::http::auth::generate();
        let log = folder.join("empty_queue_log");
        std::fs::write(&log, "")?;
        let config = folder.join("tidegate.toml");
        let text = format!(
            "[collector.sources.idle]\nkind = \"queue-log\"\nconfig = {{ paths = [{log:?}], follow = true }}\n\
             [receiver]\nlisten = {{ connections_max = {PLACES} }}\n\
             auth = {{ tokens = [{{ name = \"t\", sha256 = \"{sha256}\", tenant = \"*\", role = \"operator\" }}] }}\n\
             [pusher]\nlimits = {{ write_timeout = \"2s\", auth_timeout = \"2s\" }}\n{more}"
        );
        std::fs::write(&config, text)?;
        let base = free_ports(3);
        let config = config.to_string_lossy();
        let product = Product::up(folder, base, &["--config", &config]).await?;
        let face = product.address();
        let door = SocketAddr::new(face.ip(), base + 1);
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let (next, accepted) = (Arc::default(), Arc::default());
        Ok(Victim { product: Arc::new(product), face, door, token, client, next, accepted })
    }

    /// An honest client: it sends a call and asks for the figures, again and again.
    pub fn witness(&self) -> Witness {
        let over = Arc::new(AtomicBool::new(false));
        let (mine, product, client) = (Arc::clone(&over), Arc::clone(&self.product), self.client.clone());
        let (face, door, token) = (self.face, self.door, self.token.clone());
        let (next, accepted) = (Arc::clone(&self.next), Arc::clone(&self.accepted));
        let task = tokio::spawn(async move {
            let first = product.resident_mb()?;
            let mut seen =
                Witnessed { asked: 0, failed: 0, slowest_ms: 0.0, resident_first_mb: first, resident_max_mb: first };
            while !mine.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let body = call(next.fetch_add(1, Ordering::Relaxed));
                let send =
                    || client.post(format!("http://{door}/v1/ingest")).bearer_auth(&token).body(body.clone()).send();
                let mut sent = send().await;
                // "Not now" is a service too, on a slow machine: an honest client comes again.
                while sent.as_ref().is_ok_and(|answer| answer.status() == 429) && begun.elapsed() < PATIENCE {
                    sleep(Duration::from_secs(1)).await;
                    sent = send().await;
                }
                let sent = sent.is_ok_and(|answer| answer.status() == 202);
                accepted.fetch_add(u64::from(sent), Ordering::Relaxed);
                let read = client.get(format!("http://{face}/v1/live/queues")).send().await;
                let read = read.is_ok_and(|answer| answer.status() == 200);
                seen.asked += 2;
                seen.failed += u64::from(!sent) + u64::from(!read);
                seen.slowest_ms = seen.slowest_ms.max(begun.elapsed().as_secs_f64() * 1e3);
                seen.resident_max_mb = seen.resident_max_mb.max(product.resident_mb()?);
                sleep(Duration::from_millis(50)).await;
            }
            Ok(seen)
        });
        Witness { over, task }
    }

    /// How many calls were accepted from the honest client.
    pub fn good_calls(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until the figures have at least so many calls, and no others.
    pub async fn settled(&self, at_least: u64) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let report = self.product.get("/v1/reports/intervals?by=queue&interval=all", &[]).await?;
            let rows = report["rows"].as_array().context("rows")?;
            let other: Vec<_> = rows.iter().filter(|row| row["id"] != "honest").collect();
            ensure!(other.is_empty(), "what was refused is counted: {other:?}");
            let offered = rows.iter().filter_map(|row| row["offered"].as_u64()).sum::<u64>();
            if offered >= at_least {
                return Ok(());
            }
            if Instant::now() > patience {
                bail!("{at_least} calls were accepted and {offered} are counted");
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Its resident memory now, in MB.
    pub fn resident_mb(&self) -> Result<f64> {
        self.product.resident_mb()
    }

    /// Sends a batch; again when it is told to come back. How many events were accepted.
    pub async fn send(&self, body: String) -> Result<u64> {
        for _ in 0..120 {
            let ask = self.client.post(format!("http://{}/v1/ingest", self.door)).bearer_auth(&self.token);
            let answer = ask.body(body.clone()).send().await?;
            if answer.status() != 429 {
                let text = answer.text().await?;
                let accepted =
                    text.split_once("\"accepted\":").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
                return accepted.with_context(|| format!("neither taken nor refused: {text}"));
            }
            sleep(Duration::from_millis(500)).await;
        }
        bail!("refused for a minute")
    }

    /// Asks the API.
    pub async fn get(&self, path: &str) -> Result<serde_json::Value> {
        self.product.get(path, &[]).await
    }

    /// A metric, by its name.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.door.port() + 1);
        let text = self.client.get(url).send().await?.text().await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.with_context(|| format!("no metric {name}"))
    }

    pub async fn stop(self) -> Result<()> {
        let product = Arc::try_unwrap(self.product).map_err(|_| anyhow::anyhow!("somebody still holds the product"))?;
        product.stop().await
    }

    /// Sends these bytes to `to`, and what came back until the other side had nothing more to say (or hung up).
    pub async fn raw(&self, to: SocketAddr, bytes: &[u8]) -> Result<String> {
        let mut stream = TcpStream::connect(to).await?;
        // It may hang up before it has all: its answer counts.
        let _ = timeout(PATIENCE, stream.write_all(bytes)).await?;
        Ok(rest(&mut stream, Duration::from_secs(2)).await)
    }

    /// The head of a request to the door.
    pub fn head(&self, more: &str) -> String {
        format!("POST /v1/ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n{more}\r\n", self.token)
    }
}

impl Witness {
    pub async fn end(self) -> Result<Witnessed> {
        self.over.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

/// What comes until the other side hangs up or is quiet for so long after its first word.
pub async fn rest(stream: &mut TcpStream, quiet: Duration) -> String {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    let mut patience = FIRST_WORD;
    while let Ok(Ok(read @ 1..)) = timeout(patience, stream.read(&mut buffer)).await {
        all.extend_from_slice(&buffer[..read]);
        patience = quiet;
        // A whole answer is enough.
        if let Some((head, body)) = String::from_utf8_lossy(&all).split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().split("content-length: ").nth(1).and_then(|l| l.lines().next()?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                break;
            }
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// An event as text.
pub fn event(id: &str, ty: &str, call: &str, data: &str) -> String {
    let mut text = String::new();
    let time = jiff::Timestamp::now();
    let _ = write!(
        text,
        r#"{{"specversion":"1.0","id":"{id}","source":"web","type":"{ty}","subject":"call/{call}","time":"{time:.3}","data":{data}}}"#
    );
    text
}

/// An honest call of the queue `honest`.
fn call(number: u64) -> String {
    let name = format!("h{number}");
    [
        event(&format!("{name}-o"), "call.offered.v1", &name, r#"{"direction":"inbound"}"#),
        event(&format!("{name}-q"), "call.queued.v1", &name, r#"{"queue":"honest"}"#),
        event(&format!("{name}-e"), "call.ended.v1", &name, r#"{"by":"caller"}"#),
    ]
    .join("\n")
}
