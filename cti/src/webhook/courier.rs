//! The courier of one platform: hands over, tries again, notices when the platform is gone and when it is back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::{Entry, Journal, Stream};
use model::control::{By, Envelope, TargetObserved};
use model::{EventId, SourceId, TargetId, TenantId, Time};
use service::retry::{Backoff, Policy};
use service::{Clock, Drain, Millis, Seeds, Tasks};
use tokio::sync::{Semaphore, mpsc};

use super::client::{Answer, Client, Failure};
use super::config::Webhook;
use super::{HandOver, Known, counted};
use crate::gate::{Gate, lock};

/// As many hand-overs that came to nothing in a row: the platform is gone.
const GONE: u32 = 3;
/// A capacity that moved so much, as a share, is told anew.
const MOVES: f64 = 0.1;

/// Carries to one platform.
pub(crate) struct Courier {
    pub(crate) target: TargetId,
    pub(crate) webhook: Webhook,
    pub(crate) client: Client,
    pub(crate) gate: Arc<Gate>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) instance: String,
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
    pub(crate) seeds: Seeds,
    pub(crate) tasks: Tasks,
}

/// What is known of the platform.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seen {
    failed_in_a_row: u32,
    gone: bool,
    capacity_per_s: Option<f64>,
    containment: Option<f64>,
}

impl Seen {
    /// What an end says of it.
    fn take(&mut self, outcome: &Result<Answer, Failure>) {
        match outcome {
            Ok(answer) => {
                (self.failed_in_a_row, self.gone) = (0, false);
                // one that takes nobody now says so, or has room for nobody
                let room = if answer.accepted { answer.capacity_per_s } else { answer.capacity_per_s.or(Some(0.0)) };
                self.capacity_per_s = room.or(self.capacity_per_s);
                self.containment = answer.containment.or(self.containment);
            }
            Err(_) => {
                self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
                self.gone |= self.failed_in_a_row >= GONE;
            }
        }
    }

    /// Whether it can take nobody, so that only a probe can say when it can again.
    fn is_shut(&self) -> bool {
        self.gone || self.capacity_per_s == Some(0.0)
    }
}

impl Courier {
    /// Carries until the drain.
    pub(crate) async fn run(self, mut way: mpsc::Receiver<HandOver>) {
        let courier = Arc::new(self);
        let seats = Arc::new(Semaphore::new(courier.webhook.at_once));
        let seen = Arc::<Mutex<Seen>>::default();
        let mut number = 0_u64;
        loop {
            let shut = lock(&seen).is_shut();
            let over = tokio::select! {
                biased;
                () = courier.drain.started() => return,
                over = way.recv() => match over {
                    Some(over) => over,
                    None => return,
                },
                () = courier.clock.sleep(courier.webhook.probe.duration()), if shut => courier.probe(),
            };
            let seat = tokio::select! {
                biased;
                () = courier.drain.started() => return,
                seat = Arc::clone(&seats).acquire_owned() => seat,
            };
            number += 1;
            let (one, seen) = (Arc::clone(&courier), Arc::clone(&seen));
            let carried = courier.tasks.spawn(format!("hand-over {number}"), async move {
                one.carry(&over, &seen).await;
                drop(seat);
            });
            if carried.is_err() {
                counted(&courier.target, "left_out");
            }
        }
    }

    fn probe(&self) -> HandOver {
        let at = Time(self.clock.now_ms());
        HandOver {
            r#type: "probe",
            id: EventId::from_reference(&SourceId::new(&self.instance), &format!("probe|{}|{}", self.target, at.ms()))
                .to_string(),
            at,
            tenant: TenantId::new("*"),
            target: self.target.clone(),
            source: String::new(),
            call: String::new(),
            queue: String::new(),
            language: None,
            reason: "",
            level: 0,
            caller: Known::default(),
        }
    }

    async fn carry(&self, over: &HandOver, seen: &Mutex<Seen>) {
        let body = serde_json::to_vec(over).unwrap_or_default();
        let policy = Policy { first: Millis::new(250), max: Millis::seconds(5), ..Policy::default() };
        let mut backoff = Backoff::new(policy, self.seeds.stream(&over.id), self.clock.clone());
        let mut attempt = 0;
        let outcome = loop {
            attempt += 1;
            let outcome = self.client.post(&over.id, &body).await;
            match &outcome {
                Err(Failure::Passing(why)) if attempt < self.webhook.attempts && !self.drain.is_started() => {
                    tracing::debug!(target = %self.target, why, attempt, "a hand-over is tried again");
                    let wait: Duration = backoff.failed();
                    self.clock.sleep(wait).await;
                }
                _ => break outcome,
            }
        };
        match &outcome {
            Ok(answer) => counted(&self.target, if answer.accepted { "accepted" } else { "declined" }),
            Err(why) => {
                tracing::warn!(target = %self.target, %why, call = over.call, "a chat platform was not told of a caller");
                counted(&self.target, "failed");
            }
        }
        let now = {
            let mut seen = lock(seen);
            seen.take(&outcome);
            *seen
        };
        let why = match &outcome {
            Ok(_) => "as the platform says".to_owned(),
            Err(why) => format!("the platform {why}"),
        };
        self.observe(now, &why).await;
    }

    /// Tells what is news of the target, of every tenant that leads to it.
    async fn observe(&self, seen: Seen, why: &str) {
        let at = Time(self.clock.now_ms());
        let told: Vec<Envelope> = {
            let table = self.gate.memory.table();
            let known = table.tenants().filter_map(|(tenant, of)| {
                let held = of.target(&self.target).filter(|held| held.present)?;
                let event = news(&self.target, held.observed.as_ref(), seen)?;
                let reference = format!("observed|{tenant}|{}|{}", self.target, at.ms());
                Some(Envelope {
                    id: EventId::from_reference(&SourceId::new(&self.instance), &reference),
                    source: SourceId::new(&self.instance),
                    time: at,
                    tenant: tenant.clone(),
                    by: By::Automatic,
                    why: why.chars().take(200).collect(),
                    cause_id: None,
                    event: event.into(),
                })
            });
            known.collect()
        };
        for envelope in told {
            // here at once, also without a journal: the next caller must not be led to nobody
            self.gate.hear(&envelope);
            let entry = Entry::new(Stream::Control, envelope.tenant.as_str().to_owned(), envelope.to_json());
            if let Err(error) = self.journal.append(vec![entry]).await {
                tracing::warn!(%error, target = %self.target, "what was seen of a target is not told to the others");
            }
        }
    }
}

/// What is to be told, if it is news. What a caller's return says of the target is the console's to judge, and stays.
fn news(target: &TargetId, held: Option<&TargetObserved>, seen: Seen) -> Option<TargetObserved> {
    let (healthy, capacity_per_s) = (!seen.gone, seen.capacity_per_s);
    let moved = match (held.and_then(|held| held.capacity_per_s), capacity_per_s) {
        (Some(was), Some(now)) => (was - now).abs() > MOVES * was.max(now),
        (was, now) => was != now,
    };
    let changed = held.map_or(!healthy || capacity_per_s.is_some(), |held| held.healthy != healthy || moved);
    let containment = held.and_then(|held| held.containment).or(seen.containment);
    changed.then(|| TargetObserved { target: target.clone(), healthy, capacity_per_s, containment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_gone_after_three_failures_and_back_after_one_answer() {
        let failed = || Err(Failure::Passing("no".to_owned()));
        let mut seen = Seen::default();
        let gone: Vec<bool> = (0..3)
            .map(|_| {
                seen.take(&failed());
                seen.gone
            })
            .collect();
        assert_eq!(gone, [false, false, true]);
        assert!(seen.is_shut());
        seen.take(&Ok(Answer { accepted: true, capacity_per_s: Some(2.0), containment: None }));
        assert_eq!((seen.is_shut(), seen.capacity_per_s), (false, Some(2.0)));
        seen.take(&Ok(Answer { accepted: false, ..Answer::default() }));
        assert!(seen.is_shut(), "who declines takes nobody");
    }

    #[test]
    fn only_news_is_told_and_what_was_measured_stays() {
        let target = TargetId::new("chat");
        let seen = Seen { capacity_per_s: Some(2.0), containment: Some(0.9), ..Seen::default() };
        assert_eq!(news(&target, None, Seen::default()), None);
        let held =
            TargetObserved { target: target.clone(), healthy: true, capacity_per_s: Some(2.1), containment: Some(0.5) };
        assert_eq!(news(&target, Some(&held), seen), None, "nearly the same");
        let told = news(&target, Some(&held), Seen { capacity_per_s: Some(1.0), ..seen }).unwrap();
        assert_eq!((told.capacity_per_s, told.containment), (Some(1.0), Some(0.5)));
        let told = news(&target, Some(&held), Seen { gone: true, ..seen }).unwrap();
        assert_eq!((told.healthy, told.containment), (false, Some(0.5)));
        assert_eq!(news(&target, None, seen).unwrap().containment, Some(0.9), "as it says, until it is measured");
    }
}
