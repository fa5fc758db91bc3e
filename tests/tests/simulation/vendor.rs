//! A phone system behind a bad line: it tells everything until it is acknowledged, breaks off, hangs, repeats itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapter::contract::{Batch, Context, Known};
use adapter::fault::Fault;
use adapter::registry::{Live, Planned};
use async_trait::async_trait;
use bytes::Bytes;
use model::SourceId;
use service::Clock;
use service::simulation::Place;

use crate::load::{Due, Item, Ledger};
use crate::sabotage::Sabotage;
use crate::trace::Trace;
use crate::weather::Weather;

/// A phone system: a queue of facts that keeps each until it is acknowledged.
pub struct Vendor {
    pub source: SourceId,
    pub log: Mutex<Vec<Due>>,
    /// How many are acknowledged, from the first.
    pub acked: AtomicUsize,
    pub place: Place,
    /// Of the line.
    pub weather: Arc<Weather>,
    pub ledger: Arc<Ledger>,
    pub trace: Arc<Trace>,
    pub sabotage: Sabotage,
    /// Collectors that watch it: with several, one may repeat what another has stored.
    pub watchers: usize,
}

impl Vendor {
    /// How many facts there are up to now.
    fn happened(&self, now: Duration) -> usize {
        self.log().partition_point(|due| due.at <= now)
    }

    /// Whether everything was told and acknowledged.
    pub fn is_done(&self) -> bool {
        self.acked.load(Ordering::Relaxed) >= self.log().len()
    }

    /// Something happens now.
    pub fn happens(&self, due: Due) {
        self.log().push(due);
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Vec<Due>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, known: &Known) {
        let stored = known.state.get("told").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0);
        let acked = self.acked.load(Ordering::Relaxed);
        if self.watchers == 1 && stored < acked {
            self.ledger.wrong(format!("{}: {acked} facts were acknowledged, and the state says {stored}", self.source));
        }
    }
}

/// What a collector plans: to watch this one.
pub struct Watch(pub Arc<Vendor>);

#[async_trait]
impl Planned for Watch {
    fn recording(&self) -> bool {
        false
    }

    async fn connect(&self, context: Context) -> Result<Box<dyn Live>, Fault> {
        let vendor = &self.0;
        context.clock.sleep(vendor.weather.delay(Duration::from_millis(30))).await;
        if vendor.weather.sky().cut {
            std::future::pending::<()>().await;
        }
        if vendor.weather.happens(vendor.weather.sky().lost) {
            return Err(Fault::Transient("simulated: refused".to_owned()));
        }
        vendor.check(&context.known);
        let acked = vendor.acked.load(Ordering::Relaxed);
        let given = acked.saturating_sub(vendor.weather.below(12));
        vendor.trace.count("links made");
        vendor
            .trace
            .tell(&vendor.place, format_args!("{} tells from {given}, {acked} are acknowledged", vendor.source));
        Ok(Box::new(Line { vendor: Arc::clone(vendor), clock: context.clock, given }))
    }
}

/// One link.
struct Line {
    vendor: Arc<Vendor>,
    clock: Clock,
    given: usize,
}

#[async_trait]
impl Live for Line {
    async fn next(&mut self, max: usize) -> Result<Batch, Fault> {
        let vendor = Arc::clone(&self.vendor);
        loop {
            self.clock.sleep(vendor.weather.delay(Duration::from_millis(20))).await;
            let sky = vendor.weather.sky();
            if vendor.weather.happens(sky.lost / 4.0) {
                vendor.trace.count("links broken");
                return Err(Fault::Transient("simulated: the line broke".to_owned()));
            }
            let happened = vendor.happened(self.clock.monotonic());
            if sky.cut || happened <= self.given {
                self.clock.sleep(Duration::from_millis(40)).await;
                continue;
            }
            // From here on nothing is waited for: a dropped future loses nothing.
            let many = (1 + vendor.weather.below(8)).min(max).min(happened - self.given);
            let log = vendor.log();
            let mut told: Vec<&Due> = log[self.given..self.given + many].iter().collect();
            if vendor.weather.happens(sky.twice) {
                let again = vendor.weather.below(self.given + many);
                told.extend(&log[again..(again + 3).min(self.given + many)]);
                vendor.trace.count("facts told twice");
            }
            self.given += many;
            let mut batch = Batch::default();
            for due in told {
                vendor.ledger.send(&vendor.source, due);
                if let Item::Fact(fact) = &due.item {
                    batch.facts.push(fact.clone());
                }
            }
            let upto = self.given.max(vendor.acked.load(Ordering::Relaxed));
            batch.state.push(("told".to_owned(), Some(Bytes::from(upto.to_string()))));
            return Ok(batch);
        }
    }

    async fn acked(&mut self) -> Result<(), Fault> {
        let vendor = &self.vendor;
        let mut upto = self.given;
        if vendor.sabotage == Sabotage::AcknowledgesTooMuch && vendor.weather.below(10) == 0 {
            upto = (upto + 1).min(vendor.happened(self.clock.monotonic()));
            self.given = upto;
        }
        let before = vendor.acked.fetch_max(upto, Ordering::Relaxed);
        let log = vendor.log();
        for due in &log[before.min(upto)..upto] {
            vendor.ledger.acknowledge(&due.id);
        }
        if upto > before {
            vendor.trace.tell(&vendor.place, format_args!("{} has {upto} acknowledged", vendor.source));
        }
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), Fault> {
        Ok(())
    }
}
