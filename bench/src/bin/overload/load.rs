//! Offering batches, and the ledger of what was answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bench::Spread;
use service::Clock;
use tokio::task::JoinSet;

use crate::batch::{self, Template};

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Answered 2xx, every event accepted: it must be in the figures, once.
    Acknowledged,
    /// Answered 429 or 503, with `Retry-After` and a problem document: it must not be in the figures.
    Refused,
    /// Answered anything else, or refused without saying how to come back.
    Wrong,
    /// No answer: it is in the figures wholly or not at all.
    Unknown,
}

/// One batch.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Which.
    pub batch: u64,
    /// When it was offered, and answered.
    pub span: (Duration, Duration),
    /// What became of it.
    pub fate: Fate,
}

/// Everything that was offered.
#[derive(Default)]
pub struct Ledger {
    sent: Vec<Sent>,
    /// Moments and how many calls were acknowledged by then.
    calls: Vec<(Duration, u64)>,
    wrong: Option<String>,
}

/// The sender.
#[derive(Clone)]
pub struct Sender {
    clock: Clock,
    client: reqwest::Client,
    url: String,
    token: String,
    template: Arc<Template>,
    next: Arc<AtomicU64>,
    ledger: Arc<Mutex<Ledger>>,
}

/// How a stretch of offering is paced.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each worker sends its next batch when the last was answered; a refused one waits as told (at most so long).
    Closed { workers: usize },
    /// So many batches a second, whatever is answered.
    Open { workers: usize, per_second: f64 },
}

impl Sender {
    /// Offers to this door.
    pub fn new(clock: Clock, door: &str, token: &str) -> Result<Sender> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).pool_max_idle_per_host(512).build()?;
        let url = format!("http://{door}/v1/ingest");
        let (template, next, ledger) = (Arc::new(Template::new()), Arc::default(), Arc::default());
        Ok(Sender { clock, client, url, token: token.to_owned(), template, next, ledger })
    }

    /// Offers for so long; returns when every answer came.
    pub async fn offer(&self, pace: Pace, lasting: Duration) {
        let begun = self.clock.monotonic();
        let tickets = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        let count = match pace {
            Pace::Closed { workers } | Pace::Open { workers, .. } => workers,
        };
        for _ in 0..count {
            let (sender, tickets) = (self.clone(), Arc::clone(&tickets));
            workers.spawn(async move {
                loop {
                    if let Pace::Open { per_second, .. } = pace {
                        let ticket = tickets.fetch_add(1, Ordering::Relaxed);
                        let due = begun + Duration::from_secs_f64(ticket as f64 / per_second);
                        if due >= begun + lasting {
                            return;
                        }
                        sender.clock.sleep(due.saturating_sub(sender.clock.monotonic())).await;
                    }
                    if sender.clock.monotonic() >= begun + lasting {
                        return;
                    }
                    let fate = sender.one().await;
                    if fate != Fate::Acknowledged && matches!(pace, Pace::Closed { .. }) {
                        sender.clock.sleep(Duration::from_millis(100)).await;
                    }
                }
            });
        }
        while workers.join_next().await.is_some() {}
    }

    async fn one(&self) -> Fate {
        let batch = self.next.fetch_add(1, Ordering::Relaxed);
        let body = self.template.fill(batch, self.clock.now_ms());
        let begun = self.clock.monotonic();
        let asked = self.client.post(&self.url).bearer_auth(&self.token).body(body).send().await;
        let (fate, why) = match asked {
            Ok(answer) => judge(answer).await,
            Err(_) => (Fate::Unknown, None),
        };
        let ended = self.clock.monotonic();
        let mut ledger = self.ledger();
        ledger.sent.push(Sent { batch, span: (begun, ended), fate });
        if fate == Fate::Acknowledged {
            let before = ledger.calls.last().map_or(0, |(_, calls)| *calls);
            ledger.calls.push((ended, before + batch::CALLS));
        }
        ledger.wrong = ledger.wrong.take().or(why);
        fate
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls were acknowledged so far.
    pub fn acknowledged_calls(&self) -> u64 {
        self.ledger().calls.last().map_or(0, |(_, calls)| *calls)
    }

    /// How old a figure of `calls` is at `now`: how long ago a call was acknowledged that it lacks.
    pub fn age_of(&self, calls: u64, now: Duration) -> Duration {
        let ledger = self.ledger();
        let lacking = ledger.calls.partition_point(|(_, acknowledged)| *acknowledged <= calls);
        ledger.calls.get(lacking).map_or(Duration::ZERO, |(at, _)| now.saturating_sub(*at))
    }

    /// Everything offered so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.ledger().sent.clone()
    }

    /// The first answer that should not have been given.
    pub fn wrong(&self) -> Option<String> {
        self.ledger().wrong.clone()
    }
}

/// What an answer means; for a wrong one, why.
async fn judge(answer: reqwest::Response) -> (Fate, Option<String>) {
    let status = answer.status().as_u16();
    let retry = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let problem = answer.headers().get("content-type").is_some_and(|v| v.as_bytes() == b"application/problem+json");
    let Ok(text) = answer.text().await else { return (Fate::Unknown, None) };
    let all = format!(r#""accepted":{},"refused":[]"#, batch::CALLS * batch::EVENTS);
    match status {
        202 if text.contains(&all) => (Fate::Acknowledged, None),
        429 | 503 if retry.is_some() && problem && text.contains("\"code\":\"TG") => (Fate::Refused, None),
        _ => (Fate::Wrong, Some(format!("{status}, Retry-After {retry:?}: {}", &text[..text.len().min(300)]))),
    }
}

/// What a stretch of time came to.
#[derive(Debug, Default)]
pub struct Stretch {
    /// Batches offered.
    pub offered: u64,
    /// Of those: acknowledged.
    pub acknowledged: u64,
    /// Of those: refused.
    pub refused: u64,
    /// Of those: without an answer.
    pub unknown: u64,
    /// Times from offering to the acknowledgement, in ms.
    pub acknowledging: Spread,
    /// Times from offering to the refusal, in ms.
    pub refusing: Spread,
}

/// What was offered from `from` to `to`.
pub fn stretch(sent: &[Sent], from: Duration, to: Duration) -> Stretch {
    let within: Vec<&Sent> = sent.iter().filter(|sent| sent.span.0 >= from && sent.span.0 < to).collect();
    let count = |fate| within.iter().filter(|sent| sent.fate == fate).count() as u64;
    let times = |fate: Fate| {
        let of = within.iter().filter(|sent| sent.fate == fate);
        of.map(|sent| (sent.span.1 - sent.span.0).as_secs_f64() * 1e3).collect()
    };
    Stretch {
        offered: within.len() as u64,
        acknowledged: count(Fate::Acknowledged),
        refused: count(Fate::Refused),
        unknown: count(Fate::Unknown),
        acknowledging: times(Fate::Acknowledged),
        refusing: times(Fate::Refused),
    }
}
