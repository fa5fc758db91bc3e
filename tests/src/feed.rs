//! Whoever sends events through `POST /v1/ingest`, outside of the product: producers that repeat what was not acknowledged, send
//! some twice on purpose, and a ledger of what was sent and what was acknowledged.

use crate::life::{self, Dice, Event, Figures, life};
use anyhow::{Result, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Calls of one producer that go on at the same time.
const CALLS: usize = 30;
/// The largest batch.
const BATCH: u64 = 60;
/// Acknowledged batches from which some are sent again.
const KEPT: usize = 50;

/// What was sent and what was acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// What all events give that were ever sent, acknowledged or not.
    pub sent: Figures,
    /// What the acknowledged events give.
    pub acknowledged: Figures,
    /// Acknowledged events, each once.
    pub events: u64,
    /// Calls begun.
    pub calls: u64,
    /// Events sent again because no answer came.
    pub repeated: u64,
    /// Events sent again although they were acknowledged.
    pub doubled: u64,
    /// Answers that said "not now".
    pub refusals: u64,
    /// How often each code was the reason.
    pub codes: BTreeMap<String, u64>,
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events of {} calls acknowledged, {} sent again unacknowledged, {} sent twice on purpose",
            self.events, self.calls, self.repeated, self.doubled
        )
    }
}

/// Producers at work.
pub struct Feed {
    ledger: Arc<Mutex<Ledger>>,
    finish: Arc<AtomicBool>,
    producers: Vec<JoinHandle<Result<()>>>,
}

struct Producer {
    number: usize,
    dice: Dice,
    /// The doors; the first is the one that it uses.
    urls: VecDeque<String>,
    client: reqwest::Client,
    ledger: Arc<Mutex<Ledger>>,
    finish: Arc<AtomicBool>,
    pause: Duration,
    begun: u64,
    live: Vec<VecDeque<Event>>,
    /// Sent and not acknowledged: sent again until it is.
    pending: Vec<Event>,
    kept: VecDeque<Vec<Event>>,
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Feed {
    /// Starts so many producers that send to one of these doors, each pausing between its batches. Who gets no answer sends the same again,
    /// to the next door.
    pub fn start(doors: &[SocketAddr], producers: usize, seed: u64, pause: Duration) -> Result<Self> {
        let ledger = Arc::<Mutex<Ledger>>::default();
        let finish = Arc::<AtomicBool>::default();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        let start = |number| {
            let mut urls: VecDeque<_> = doors.iter().map(|address| format!("http://{address}/v1/ingest")).collect();
            urls.rotate_left(number % doors.len());
            let producer = Producer {
                number,
                dice: Dice(seed ^ (number as u64) << 40),
                urls,
                client: client.clone(),
                ledger: Arc::clone(&ledger),
                finish: Arc::clone(&finish),
                pause,
                begun: 0,
                live: Vec::new(),
                pending: Vec::new(),
                kept: VecDeque::new(),
            };
            tokio::spawn(producer.run())
        };
        Ok(Self { producers: (0..producers).map(start).collect(), ledger, finish })
    }

    /// The ledger as it stands.
    pub fn ledger(&self) -> Ledger {
        lock(&self.ledger).clone()
    }

    /// Whether all producers still work; the error of one that does not.
    pub async fn check(&mut self) -> Result<()> {
        let Some(producer) = self.producers.iter_mut().find(|producer| producer.is_finished()) else { return Ok(()) };
        producer.await??;
        bail!("a producer stopped");
    }

    /// Begins no more calls, sends what is left of those that began, and answers when everything is acknowledged.
    pub async fn finish(self) -> Result<Ledger> {
        self.finish.store(true, Ordering::SeqCst);
        for producer in self.producers {
            producer.await??;
        }
        let ledger = lock(&self.ledger).clone();
        ensure!(ledger.sent == ledger.acknowledged, "something sent was never acknowledged");
        Ok(ledger)
    }
}

impl Producer {
    async fn run(mut self) -> Result<()> {
        loop {
            if self.pending.is_empty() {
                self.pending = self.next_batch();
                let mut ledger = lock(&self.ledger);
                self.pending.iter().for_each(|event| life::add(&mut ledger.sent, event));
            }
            if self.pending.is_empty() {
                return Ok(());
            }
            self.send().await?;
            tokio::time::sleep(self.pause).await;
        }
    }

    /// The next events of some of the live calls, in their order; empty when everything was said.
    fn next_batch(&mut self) -> Vec<Event> {
        let mut batch = Vec::new();
        for _ in 0..=self.dice.below(BATCH) {
            while self.live.len() < CALLS && !self.finish.load(Ordering::SeqCst) {
                self.live.push(life(self.number, self.begun, &mut self.dice));
                self.begun += 1;
                lock(&self.ledger).calls += 1;
            }
            if self.live.is_empty() {
                break;
            }
            let which = self.dice.below(self.live.len() as u64) as usize;
            batch.extend(self.live[which].pop_front());
            if self.live[which].is_empty() {
                self.live.swap_remove(which);
            }
        }
        batch
    }

    /// Sends what is pending, once; some batches together with one that was acknowledged long ago.
    async fn send(&mut self) -> Result<()> {
        let again = match self.kept.len() {
            0 => Vec::new(),
            kept if self.dice.once_in(6) => self.kept[self.dice.below(kept as u64) as usize].clone(),
            _ => Vec::new(),
        };
        let texts: Vec<_> = again.iter().chain(&self.pending).map(|event| event.text.as_str()).collect();
        let count = texts.len() as u64;
        let body = if self.dice.once_in(2) { texts.join("\n") } else { format!("[{}]", texts.join(",")) };
        let answer = self.client.post(&self.urls[0]).header("content-type", "application/json").body(body).send().await;
        match answer {
            Ok(answer) if answer.status() == reqwest::StatusCode::ACCEPTED => {
                // The status says it: on disk. The rest of the answer may be lost with the process.
                if let Ok(said) = answer.json::<Value>().await {
                    ensure!(said["accepted"] == count, "{count} events were sent, and the door says {said}");
                }
                self.acknowledged(again.len() as u64);
            }
            Ok(answer) if answer.status() == reqwest::StatusCode::TOO_MANY_REQUESTS => {
                // A slow machine cannot carry what a quick one does: what is refused is sent again when the door says so.
                let told = answer
                    .headers()
                    .get(reqwest::header::RETRY_AFTER)
                    .and_then(|text| text.to_str().ok()?.parse().ok());
                let Some(seconds) = told else { bail!("a refusal says nothing of when to come again: {answer:?}") };
                self.unanswered(1);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            Ok(answer) if answer.status().is_server_error() => {
                let problem = answer.json::<Value>().await.unwrap_or_default();
                let code = problem["code"].as_str().unwrap_or("none").to_owned();
                *lock(&self.ledger).codes.entry(code).or_default() += 1;
                self.unanswered(1);
                self.urls.rotate_left(1);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(answer) => bail!("the door says {}: {}", answer.status(), answer.text().await.unwrap_or_default()),
            Err(_) => {
                self.unanswered(0);
                self.urls.rotate_left(1);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }

    fn unanswered(&self, refusals: u64) {
        let mut ledger = lock(&self.ledger);
        ledger.refusals += refusals;
        ledger.repeated += self.pending.len() as u64;
    }

    fn acknowledged(&mut self, doubled: u64) {
        let batch = std::mem::take(&mut self.pending);
        let mut ledger = lock(&self.ledger);
        batch.iter().for_each(|event| life::add(&mut ledger.acknowledged, event));
        ledger.events += batch.len() as u64;
        ledger.doubled += doubled;
        drop(ledger);
        self.kept.push_back(batch);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }
}
