//! A process's way to the store, and what a power cut does to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use model::{CallId, Time};
use service::Clock;
use service::simulation::Place;
use stats::call::Record;
use stats::{Row, RowKey};
use store::memory::Memory;
use store::reports::{
    Block, BlockKey, CallFilter, Change, Cursor, Held, Kind, Page, Progress, Reports, Resumed, Retention, RowFilter,
    State, Swept, Taken,
};
use store::{Error, Part, Result};

use crate::sabotage::Sabotage;
use crate::trace::{Trace, digest};
use crate::weather::{Fate, Weather};

const BUSY: Duration = Duration::from_secs(10);
const READ: Duration = Duration::from_micros(300);
const WRITE: Duration = Duration::from_millis(4);
/// Copies kept of the store as it was: any of them may be what a power cut leaves.
const COPIES: usize = 8;

/// The store's file. It survives crashes; a power cut takes it back to a former moment, whole.
#[derive(Default)]
pub struct Vault(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    now: Arc<Memory>,
    copies: VecDeque<Memory>,
}

impl Vault {
    /// As it is.
    pub fn now(&self) -> Arc<Memory> {
        Arc::clone(&self.lock().now)
    }

    /// Remembers the present moment as one that the disk surely has, or may go back to.
    pub fn remember(&self) {
        let mut kept = self.lock();
        let copy = kept.now.copy();
        kept.copies.push_back(copy);
        while kept.copies.len() > COPIES {
            kept.copies.pop_front();
        }
    }

    /// The power fails: `back` copies ago is what is left.
    pub fn cut(&self, back: usize) {
        let mut kept = self.lock();
        let at = kept.copies.len().checked_sub(back + 1);
        if let Some(copy) = at.and_then(|at| kept.copies.get(at).map(Memory::copy)) {
            kept.now = Arc::new(copy);
            let keep = at.unwrap_or(0) + 1;
            kept.copies.truncate(keep);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process's handle of the store.
pub struct Shelf {
    pub vault: Arc<Vault>,
    pub place: Place,
    pub clock: Clock,
    pub weather: Arc<Weather>,
    pub trace: Arc<Trace>,
    pub sabotage: Sabotage,
    /// The last checkpoint, for ghosts.
    pub former: Mutex<Vec<Change>>,
}

impl Shelf {
    async fn way(&self, usual: Duration) -> Result<Arc<Memory>> {
        self.clock.sleep(self.weather.delay(usual)).await;
        let until = self.clock.monotonic() + BUSY;
        while self.weather.sky().cut {
            if self.clock.monotonic() >= until {
                return Err(Error::Busy);
            }
            self.clock.sleep(Duration::from_millis(50)).await;
        }
        Ok(self.vault.now())
    }

    async fn read_way(&self) -> Result<Arc<Memory>> {
        let store = self.way(READ).await?;
        let share = self.weather.sky().refused / 4.0;
        if self.weather.happens(share) { Err(Error::Storage("simulated: a read failed".to_owned())) } else { Ok(store) }
    }

    async fn write_way(&self) -> Result<Arc<Memory>> {
        let store = self.way(WRITE).await?;
        if self.weather.fate() == Fate::Fair {
            return Ok(store);
        }
        self.trace.count("checkpoints refused");
        Err(match self.weather.below(3) {
            0 => Error::Busy,
            1 => Error::Full,
            _ => Error::Storage("simulated".to_owned()),
        })
    }

    /// Now and then a former checkpoint is written after a later one, as by an owner that was thought dead.
    async fn haunt(&self, store: &Memory, changes: &[Change]) {
        let former =
            std::mem::replace(&mut *self.former.lock().unwrap_or_else(PoisonError::into_inner), changes.to_vec());
        if self.weather.below(8) == 0 {
            let ghosts = self.sabotaged(store, &former).await;
            let _ = store.checkpoint(&ghosts).await;
        }
    }

    async fn sabotaged(&self, store: &Memory, changes: &[Change]) -> Vec<Change> {
        let mut changes = changes.to_vec();
        match self.sabotage {
            Sabotage::WritesPositionsWithoutRows => {
                changes.iter_mut().filter(|_| self.weather.below(20) == 0).for_each(|change| change.blocks.clear());
            }
            Sabotage::LetsGhostsWrite => {
                let current = store.progress().await.unwrap_or_default();
                for change in &mut changes {
                    let now = current.iter().find(|progress| progress.part == change.held.part);
                    let fence = now.map_or(change.held.fence, |progress| progress.fence);
                    change.held = Held { fence, ..change.held.clone() };
                }
            }
            _ => {}
        }
        changes
    }
}

fn describe(changes: &[Change]) -> String {
    let one = |change: &Change| {
        let states = change.states.iter().flat_map(|state| [state.id.as_bytes(), state.body.as_deref().unwrap_or(&[])]);
        let calls = change.calls.iter().map(|call| call.id().as_str().as_bytes());
        let blocks: u64 = change.blocks.iter().map(|block| block.rows.len() as u64).sum();
        let content = digest(states.chain(calls));
        format!("{}→{} fence {} {blocks} rows {content:016x}", change.held.part, change.next, change.held.fence)
    };
    changes.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[async_trait]
impl Reports for Shelf {
    async fn take(&self, owner: &str, journal: &str, parts: &[Part]) -> Result<Vec<Taken>> {
        let taken = self.write_way().await?.take(owner, journal, parts).await?;
        let told = taken.iter().map(|one| format!("{} fence {} at {:?}", one.held.part, one.held.fence, one.next));
        self.trace.tell(&self.place, format_args!("takes {}", told.collect::<Vec<_>>().join(", ")));
        self.clock.sleep(self.weather.delay(WRITE)).await;
        Ok(taken)
    }

    async fn resume(&self, part: &Part) -> Result<Resumed> {
        self.read_way().await?.resume(part).await
    }

    async fn checkpoint(&self, changes: &[Change]) -> Result<()> {
        let store = self.write_way().await?;
        let outcome = match self.sabotage {
            Sabotage::None => store.checkpoint(changes).await,
            _ => store.checkpoint(&self.sabotaged(&store, changes).await).await,
        };
        if self.sabotage == Sabotage::LetsGhostsWrite {
            self.haunt(&store, changes).await;
        }
        let how = outcome.as_ref().err().map_or_else(String::new, |error| format!(": {error}"));
        self.trace.tell(&self.place, format_args!("checkpoint {}{how}", describe(changes)));
        self.clock.sleep(self.weather.delay(WRITE)).await;
        outcome
    }

    async fn calls_by_id(&self, ids: &[CallId]) -> Result<Vec<Record>> {
        self.read_way().await?.calls_by_id(ids).await
    }

    async fn blocks_by_key(&self, part: &Part, keys: &[BlockKey]) -> Result<Vec<Block>> {
        self.read_way().await?.blocks_by_key(part, keys).await
    }

    async fn span(&self) -> Result<Option<(Time, Time)>> {
        self.read_way().await?.span().await
    }

    async fn progress(&self) -> Result<Vec<Progress>> {
        self.read_way().await?.progress().await
    }

    async fn rows(&self, filter: &RowFilter) -> Result<BTreeMap<RowKey, Row>> {
        self.read_way().await?.rows(filter).await
    }

    async fn blocks_in(&self, filter: &RowFilter) -> Result<Vec<(Part, Block)>> {
        self.read_way().await?.blocks_in(filter).await
    }

    async fn calls(&self, filter: &CallFilter, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.read_way().await?.calls(filter, after, limit).await
    }

    async fn call(&self, id: &CallId) -> Result<Option<Record>> {
        self.read_way().await?.call(id).await
    }

    async fn open_calls(&self) -> Result<Vec<Record>> {
        self.read_way().await?.open_calls().await
    }

    async fn states(&self, kind: Kind) -> Result<Vec<State>> {
        self.read_way().await?.states(kind).await
    }

    async fn meta(&self, name: &str) -> Result<Option<String>> {
        self.read_way().await?.meta(name).await
    }

    async fn put_meta(&self, name: &str, value: &str) -> Result<()> {
        self.write_way().await?.put_meta(name, value).await
    }

    async fn sweep(&self, retention: Retention) -> Result<Swept> {
        self.write_way().await?.sweep(retention).await
    }

    async fn wipe(&self) -> Result<()> {
        self.write_way().await?.wipe().await
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
