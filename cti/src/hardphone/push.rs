//! Brings the map to the phone systems: one gate of all that run does, when something has settled, and now and then to see what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ami::Fault;
use journal::{Delivery, Journal, Position, Start, Stream, Subscription};
use model::{Directory, SourceId, Time};
use service::health::{Check, Pulse};
use service::{Clock, Drain, metric};
use stats::live::View;

use super::map::{self, Map, OfSource};
use super::settle::Settling;
use super::status::{All, Status};
use super::{Config, Diff, Wanted, bring, look};
use crate::gate::{Gate, lock};
use crate::pbx::Pbx;

/// The group whose member with the only partition of `control` writes.
const GROUP: &str = "cti-hard-phones";
/// How often what shall be is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long one visit to a phone system may take.
const VISIT_MAX: Duration = Duration::from_secs(15);
/// After a visit that failed, the next one comes not before this.
const AGAIN: Duration = Duration::from_secs(5);

/// What the follower of views, the pusher and the door share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    config: Config,
    map: Mutex<Map>,
    status: Mutex<All>,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Shared {
        Shared { config, ..Shared::default() }
    }

    /// Works the map out anew.
    pub(crate) fn see(&self, views: &[View], now: Time) {
        *lock(&self.map) = super::map_of(views, now, &self.config);
    }

    /// How every phone system stands.
    pub(crate) fn status(&self) -> All {
        let mut all = lock(&self.status).clone();
        for (source, of) in &lock(&self.map).sources {
            let status = all.entry(source.clone()).or_default();
            (status.map, status.version) = (of.clone(), of.version());
        }
        all
    }
}

/// What it works with.
#[derive(Clone)]
pub(crate) struct Follow {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pbxs: BTreeMap<SourceId, Pbx>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) instance: String,
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
}

/// What is remembered of one phone system.
#[derive(Default)]
struct Work {
    settling: Settling,
    seeded: bool,
    done: Option<Wanted>,
    read_at: Option<Duration>,
    again_at: Duration,
}

impl Follow {
    /// Takes part in choosing who writes, until the drain.
    pub(crate) async fn choose(self, writes: Arc<AtomicBool>) {
        while !self.drain.is_started() {
            let outcome = self.member(&writes).await;
            writes.store(false, Ordering::Relaxed);
            if let Err(error) = outcome {
                tracing::warn!(%error, "cannot take part in writing hard phones; joining again");
                tokio::select! {
                    biased;
                    () = self.drain.started() => {}
                    () = self.clock.sleep(TICK) => {}
                }
            }
        }
    }

    async fn member(&self, writes: &AtomicBool) -> journal::Result<()> {
        let subscription = Subscription::new(GROUP, &self.instance, [Stream::Control]).start(Start::Latest);
        let mut consumer = self.journal.subscribe(subscription).await?;
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.drain.started() => {
                    writes.store(false, Ordering::Relaxed);
                    return consumer.close().await;
                }
                delivery = consumer.next() => delivery,
            };
            match delivery {
                Ok(Delivery::Assigned(partitions)) => {
                    writes.store(partitions.contains(&(Stream::Control, 0)), Ordering::Relaxed);
                }
                Ok(Delivery::Revoked(_)) => writes.store(false, Ordering::Relaxed),
                // others read the records; here they only keep the membership alive
                Ok(Delivery::Batch(_) | Delivery::Idle) => {}
                Err(journal::Error::Damaged { offset, .. }) => {
                    consumer.seek(Position::new(Stream::Control, 0, offset + 1)).await?;
                }
                Err(journal::Error::Truncated { earliest, .. }) => {
                    consumer.seek(Position::new(Stream::Control, 0, earliest)).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes while it is its turn, until the drain.
    pub(crate) async fn run(self, writes: Arc<AtomicBool>, health: Check, pulse: Pulse) {
        describe();
        let mut works: BTreeMap<SourceId, Work> = BTreeMap::new();
        let mut every = self.clock.interval(TICK);
        let mut troubles: BTreeMap<SourceId, String> = BTreeMap::new();
        while !self.drain.is_started() {
            pulse.beat();
            tokio::select! {
                biased;
                () = self.drain.started() => return,
                () = every.tick() => {}
            }
            let ours = writes.load(Ordering::Relaxed);
            for (source, pbx) in &self.pbxs {
                if let Some(status) = lock(&self.shared.status).get_mut(source) {
                    status.writes = ours;
                }
                // before all orders are read nobody knows which switch is still meant
                if !ours || !self.gate.has_caught_up() {
                    works.remove(source);
                    continue;
                }
                if let Some(trouble) = self.tend(source, pbx, works.entry(source.clone()).or_default()).await {
                    match trouble {
                        Some(why) => _ = troubles.insert(source.clone(), why),
                        None => _ = troubles.remove(source),
                    }
                }
            }
            match troubles.values().next() {
                Some(why) => health.degraded(why.clone()),
                None => health.ok(),
            }
        }
    }

    /// Visits a phone system when there is a reason to; what is wrong there, when it was visited.
    async fn tend(&self, source: &SourceId, pbx: &Pbx, work: &mut Work) -> Option<Option<String>> {
        let of = lock(&self.shared.map).sources.get(source).cloned();
        // what is not known changes nothing: the phones of before are the best that there are
        let of = of.filter(|of| !of.lost)?;
        let now = self.clock.monotonic();
        let wanted = self.wanted(source, &of, work, now);
        let due = work.read_at.is_none_or(|at| now.saturating_sub(at) >= self.shared.config.check_every.duration());
        if now < work.again_at || (!due && work.done.as_ref() == Some(&wanted)) {
            return None;
        }
        let visit = self.visit(source, &of, pbx, work, &wanted);
        let outcome = match self.clock.timeout(VISIT_MAX, visit).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::Transient(format!("{}:{} was not done within {VISIT_MAX:?}", pbx.host, pbx.port))),
        };
        Some(self.visited(source, work, wanted, outcome))
    }

    fn wanted(&self, source: &SourceId, of: &OfSource, work: &mut Work, now: Duration) -> Wanted {
        let config = &self.shared.config;
        let (settle, emptied) = (config.settle.duration(), config.emptied_after.duration());
        let phones = work.settling.see(&of.wanted(), now, settle, emptied).clone();
        let tenant = self.directory.tenant_of(source);
        let here = |queue: &String| map::is_key(queue) && of.queues.contains_key(queue.as_str());
        let switched: BTreeSet<String> =
            self.gate.hard_phones(&tenant).iter().map(|queue| queue.as_str().to_owned()).filter(here).collect();
        Wanted { phones, switched }
    }

    async fn visit(
        &self,
        source: &SourceId,
        of: &OfSource,
        pbx: &Pbx,
        work: &mut Work,
        wanted: &Wanted,
    ) -> Result<(Diff, usize), Fault> {
        let mut link = pbx.open(&self.clock).await?;
        if !work.seeded {
            // what we wrote before we were started stays for as long as it would have, had we been here
            let diff = look(&mut link, wanted).await?;
            let ours = diff.phones.into_iter().filter(|row| row.recorded);
            work.settling.seed(ours.filter_map(|row| Some((row.key, row.found?))));
            work.seeded = true;
        }
        let wanted = self.wanted(source, of, work, self.clock.monotonic());
        let done = match self.shared.config.enabled {
            true => bring(&mut link, &wanted, self.shared.config.overwrite).await?,
            false => (look(&mut link, &wanted).await?, 0),
        };
        link.close(&self.clock).await;
        Ok(done)
    }

    /// Notes how a visit went; what is wrong, in words.
    fn visited(
        &self,
        source: &SourceId,
        work: &mut Work,
        wanted: Wanted,
        outcome: Result<(Diff, usize), Fault>,
    ) -> Option<String> {
        let now = self.clock.monotonic();
        let mut all = lock(&self.shared.status);
        let status: &mut Status = all.entry(source.clone()).or_default();
        status.writes = true;
        match outcome {
            Ok((diff, written)) => {
                (work.done, work.read_at, work.again_at) = (Some(wanted), Some(now), now);
                if written > 0 {
                    tracing::info!(%source, written, "hard phones written to the PBX");
                }
                metric::counter("cti_hard_phones_written_total", &[("source", source.as_str())])
                    .increment(written as u64);
                status.written += written as u64;
                let by_hand: Vec<String> = diff.by_hand().map(|row| row.key.clone()).collect();
                metric::gauge("cti_hard_phones_by_hand", &[("source", source.as_str())]).set(by_hand.len() as f64);
                let first = status.held.as_ref().is_none_or(|held| held.by_hand().count() != by_hand.len());
                (status.held, status.read_at, status.fault) = (Some(diff), Some(Time(self.clock.now_ms())), None);
                let told = (!by_hand.is_empty()).then(|| by_hand_words(source, &by_hand));
                if let Some(words) = told.as_ref().filter(|_| first) {
                    tracing::warn!(code = "TG0351", "{words}");
                }
                told
            }
            Err(fault) => {
                work.again_at = now + AGAIN;
                let why = format!("TG0350: the hard phones of {source} cannot be kept: {fault}");
                if status.fault.as_ref() != Some(&why) {
                    tracing::warn!("{why}");
                }
                status.fault = Some(why.clone());
                Some(why)
            }
        }
    }
}

fn by_hand_words(source: &SourceId, queues: &[String]) -> String {
    format!("TG0351: the hard phones of {} on {source} were changed by hand, and stay so", queues.join(", "))
}

fn describe() {
    metric::describe_counter("cti_hard_phones_written_total", "entries of hard phones written to a phone system");
    metric::describe_gauge("cti_hard_phones_by_hand", "entries of hard phones that somebody changed by hand");
}
