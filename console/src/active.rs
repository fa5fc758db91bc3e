//! Who evaluates: the member of the group `console` that holds the only partition of `control`; and what it does each second.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use journal::{Class, Commit, Consumer, Delivery, Entry, Generation, Journal, Position, Start, Stream, Subscription};
use model::control::{By, Envelope, Event};
use model::{SourceId, Time};
use service::config::Millis;
use service::health::{Check, Pulse};
use service::retry::{Backoff, Policy};
use service::{Context, metric};

use crate::book::Books;
use crate::evaluate::{Decided, Evaluator, Pace, Watch};
use crate::figures::{Figures, Key, Look};

/// The group whose only member with the partition evaluates.
pub(crate) const GROUP: &str = "console";
/// How often what is remembered of the queues is written for whoever takes over.
const REMEMBER: Duration = Duration::from_secs(10);
/// How long to wait for the book to come to the end before the first tick, and for our own records after each.
const CATCH_UP: Duration = Duration::from_secs(30);
/// Between attempts to take part: nobody decides anything meanwhile.
const REJOIN: Policy = Policy { first: Millis::new(250), max: Millis::seconds(3), stable_after: Millis::seconds(30) };
/// Tenant and key of the seals: they are of all tenants.
const ALL: &str = "*";

/// What evaluates, when it is its turn.
pub(crate) struct Active {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) context: Context,
    pub(crate) books: Books,
    pub(crate) figures: Arc<Mutex<Figures>>,
    pub(crate) evaluator: Arc<Mutex<Evaluator>>,
    /// The newest look, for the face.
    pub(crate) look: Arc<Mutex<Look>>,
    pub(crate) pace: Pace,
    pub(crate) tick: Duration,
    pub(crate) seal: Duration,
    pub(crate) health: Check,
    pub(crate) pulse: Pulse,
}

/// While the partition is ours.
struct Turn {
    consumer: Box<dyn Consumer>,
    holds: bool,
    remembered_at: Duration,
    sealed_at: Duration,
    /// Our own records end here: before they are read back nothing new is decided.
    written: u64,
}

impl Active {
    /// Takes part until the drain.
    ///
    /// # Errors
    /// When the journal cannot be used any more.
    pub(crate) async fn run(self) -> journal::Result<()> {
        let clock = self.context.clock.clone();
        let mut backoff = Backoff::new(REJOIN, self.context.seeds.stream("rejoin"), clock.clone());
        while !self.context.drain.is_started() {
            let error = match self.member().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            metric::gauge("console_active", &[]).set(0.0);
            let fenced = matches!(error, journal::Error::Fenced { .. });
            if !fenced && error.class() != Class::Transient {
                return Err(error);
            }
            tracing::warn!(%error, "no longer takes part in evaluating; joining again");
            self.health.degraded(error.to_string());
            tokio::select! {
                biased;
                () = self.context.drain.started() => {}
                () = backoff.wait() => {}
            }
        }
        Ok(())
    }

    async fn member(&self) -> journal::Result<()> {
        let subscription = Subscription::new(GROUP, &self.context.instance, [Stream::Control]).start(Start::Latest);
        let consumer = self.journal.subscribe(subscription).await?;
        self.health.ok();
        let now = self.context.clock.monotonic();
        let mut turn = Turn { consumer, holds: false, remembered_at: now, sealed_at: now, written: 0 };
        let outcome = self.turn(&mut turn).await;
        self.evaluator.lock().unwrap_or_else(PoisonError::into_inner).rest();
        metric::gauge("console_active", &[]).set(0.0);
        let left = turn.consumer.close().await;
        outcome.and(left)
    }

    async fn turn(&self, turn: &mut Turn) -> journal::Result<()> {
        let clock = &self.context.clock;
        let mut every = clock.interval(self.tick);
        loop {
            self.pulse.beat();
            tokio::select! {
                biased;
                () = self.context.drain.started() => return self.remember(turn, true).await,
                () = every.tick() => {
                    self.see();
                    if turn.holds {
                        self.decide(turn).await?;
                    }
                }
                delivery = turn.consumer.next() => match delivery {
                    Ok(Delivery::Assigned(partitions)) => {
                        turn.holds = partitions.contains(&(Stream::Control, 0));
                        if turn.holds {
                            self.take_over(turn).await?;
                        }
                    }
                    Ok(Delivery::Revoked(_)) => self.give_up(turn).await?,
                    // the book reads the records; here they only keep the membership alive
                    Ok(Delivery::Batch(_) | Delivery::Idle) => {}
                    Err(journal::Error::Damaged { offset, .. }) => {
                        turn.consumer.seek(Position::new(Stream::Control, 0, offset + 1)).await?;
                    }
                    Err(journal::Error::Truncated { earliest, .. }) => {
                        turn.consumer.seek(Position::new(Stream::Control, 0, earliest)).await?;
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// The partition goes to another one.
    async fn give_up(&self, turn: &mut Turn) -> journal::Result<()> {
        self.remember(turn, true).await?;
        turn.holds = false;
        self.evaluator.lock().unwrap_or_else(PoisonError::into_inner).rest();
        metric::gauge("console_active", &[]).set(0.0);
        tracing::info!("another console evaluates from now on");
        Ok(())
    }

    /// Looks at the figures: the face shows them, whoever evaluates.
    fn see(&self) {
        let now = Time(self.context.clock.now_ms());
        let look = self.figures.lock().unwrap_or_else(PoisonError::into_inner).look(now);
        let age = look.fresh_at.map_or(f64::NAN, |at| now.since(at) as f64 / 1_000.0);
        metric::gauge("console_age_seconds", &[]).set(age);
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }

    /// Goes on where another one stopped: everything that was written is read first, then what it remembered.
    async fn take_over(&self, turn: &mut Turn) -> journal::Result<()> {
        turn.written = self.journal.end(Stream::Control, 0).await?;
        let remembered = self.journal.state(GROUP, b"queue/").await?;
        let mut evaluator = self.evaluator.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in remembered {
            match read(&key, &value) {
                Some((key, watch)) => evaluator.resume(key, watch),
                None => {
                    tracing::warn!("what was remembered of a queue cannot be read; its level is known all the same")
                }
            }
        }
        metric::gauge("console_active", &[]).set(1.0);
        tracing::info!("evaluates from now on");
        Ok(())
    }

    async fn decide(&self, turn: &mut Turn) -> journal::Result<()> {
        let clock = &self.context.clock;
        if !self.books.until(turn.written, clock, CATCH_UP).await {
            self.health.degraded("what was decided so far is not read yet");
            return Ok(());
        }
        let now = Time(clock.now_ms());
        let (decided, state) = {
            let book = self.books.look();
            let look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
            let mut evaluator = self.evaluator.lock().unwrap_or_else(PoisonError::into_inner);
            let decided = evaluator.tick(now, &book.table, &look, self.pace);
            // with a plan goes what made it: whoever takes over must not know less than the plan says
            let state = planned(&decided, &evaluator);
            (decided, state)
        };
        let source: SourceId = self.context.instance.as_str().into();
        // the seal first: what it vouches for then ends right before it
        let mut entries: Vec<Entry> = self.seal(turn, &source, now).into_iter().collect();
        entries.extend(decided.into_iter().map(|decided| entry(decided, &source, now)));
        if !entries.is_empty() {
            let written = self.commit(turn.consumer.generation(), entries, state).await?;
            let ours = written.iter().filter(|written| written.stream == Stream::Control);
            turn.written = ours.map(|written| written.offset + 1).max().unwrap_or(turn.written);
        }
        self.health.ok();
        self.remember(turn, false).await
    }

    /// A seal, when there is something new that is worth one: at once for what a person did, else now and then.
    fn seal(&self, turn: &mut Turn, source: &SourceId, now: Time) -> Option<Entry> {
        let (due, seal) = {
            let book = self.books.look();
            let (unsealed, personal) = book.unsealed();
            let waited = self.context.clock.monotonic().saturating_sub(turn.sealed_at) >= self.seal;
            // one record behind a seal is the seal itself
            (personal || (waited && unsealed > 1), book.chain.seal())
        };
        if !due {
            return None;
        }
        turn.sealed_at = self.context.clock.monotonic();
        let why = format!("all records before {}", seal.until);
        let id = model::EventId::from_reference(source, &format!("seal/{}/{}", seal.until, now.ms()));
        Some(entry(Decided { id, tenant: ALL.into(), why, cause_id: None, event: seal.into() }, source, now))
    }

    /// Writes what is remembered of the queues, so that whoever takes over goes on with it.
    async fn remember(&self, turn: &mut Turn, at_once: bool) -> journal::Result<()> {
        let now = self.context.clock.monotonic();
        if !turn.holds || (!at_once && now.saturating_sub(turn.remembered_at) < REMEMBER) {
            return Ok(());
        }
        turn.remembered_at = now;
        let state: State = {
            let evaluator = self.evaluator.lock().unwrap_or_else(PoisonError::into_inner);
            evaluator.watches().map(|(key, watch)| written(key, watch)).collect()
        };
        match self.commit(turn.consumer.generation(), Vec::new(), state).await {
            // it is over: the heir has what was remembered last
            Err(journal::Error::Fenced { .. }) if at_once => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }

    async fn commit(&self, fence: Generation, entries: Vec<Entry>, state: State) -> journal::Result<Vec<Position>> {
        let read = self.books.look().next();
        let commit = Commit {
            entries,
            group: GROUP.to_owned(),
            positions: vec![Position::new(Stream::Control, 0, read)],
            state,
            fence: Some(fence),
        };
        self.journal.append_and_commit(commit).await
    }
}

type State = Vec<(Bytes, Option<Bytes>)>;

/// What is remembered of the queues that get a plan.
fn planned(decided: &[Decided], evaluator: &Evaluator) -> State {
    let issued: BTreeSet<Key> = decided
        .iter()
        .filter_map(|decided| match &decided.event {
            Event::PlanIssued(plan) => Some((decided.tenant.clone(), plan.queue.clone())),
            _ => None,
        })
        .collect();
    let watches = evaluator.watches().filter(|(key, _)| issued.contains(*key));
    watches.map(|(key, watch)| written(key, watch)).collect()
}

fn entry(decided: Decided, source: &SourceId, now: Time) -> Entry {
    let key = decided.tenant.as_str().to_owned();
    // that nothing changed is news of the moment, and no decision: it must not grow what is kept for ever
    let affirms = matches!(decided.event, Event::PlanAffirmed(_));
    let stream = if affirms { Stream::Health } else { Stream::Control };
    let envelope = Envelope {
        id: decided.id,
        source: source.clone(),
        time: now,
        tenant: decided.tenant,
        by: By::Automatic,
        why: decided.why,
        cause_id: decided.cause_id,
        event: decided.event,
    };
    Entry::new(stream, key, envelope.to_json())
}

fn written(key: &Key, watch: &Watch) -> (Bytes, Option<Bytes>) {
    let name = serde_json::to_string(&(&key.0, &key.1)).unwrap_or_default();
    let value = serde_json::to_vec(watch).unwrap_or_default();
    (format!("queue/{name}").into(), Some(value.into()))
}

fn read(key: &[u8], value: &[u8]) -> Option<(Key, Watch)> {
    let name = key.strip_prefix(b"queue/")?;
    Some((serde_json::from_slice(name).ok()?, serde_json::from_slice(value).ok()?))
}
