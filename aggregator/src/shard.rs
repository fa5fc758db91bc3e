//! One partition: its fold, its rows, and what has to be stored and told of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use journal::{Batch, Partition, Position, Record};
use model::envelope::{Parsed, Reader};
use model::{CallId, Envelope, Subject, Time};
use stats::fold::{Changes, PartitionFold};
use stats::live::View;
use stats::{Dim, RowKey};
use store::Part;
use store::frame::Version;
use store::reports::{BlockKey, Change, Held, Reports, StoredCall, Taken};

use crate::ledger::Ledger;
use crate::rules::Rules;
use crate::sounding::{Sounding, Soundings};
use crate::telemetry::Telemetry;
use crate::{Result, states};

/// Events folded between two looks at other tasks while others live on the same threads: less than a millisecond.
const LIVE_CHUNK: usize = 256;
/// The same when nobody waits.
const BULK_CHUNK: usize = 2_048;
/// Records encoded or loaded between two looks at other tasks.
const CHUNK: usize = 256;
/// Calls whose ids are remembered to spare look-ups. Beyond, every unknown call is looked up.
const KNOWN_MAX: usize = 2_000_000;

/// An open call of which nothing was heard for so long is not loaded at a takeover, in milliseconds: 48 hours. Its end
/// was lost; it counts nowhere as open any more. Should something be heard of it after all, it is looked up like others.
const FORGOTTEN_MS: i64 = 48 * 3_600_000;

/// One partition, folded by us.
pub(crate) struct Shard {
    pub(crate) partition: Partition,
    pub(crate) held: Held,
    /// The next offset to fold.
    pub(crate) next: u64,
    /// How far the partition is, and how old what is folded.
    soundings: Soundings,
    /// Where the partition ended when it was taken: what a former owner has told is of events before this.
    told_before: u64,
    /// The time of the latest event.
    pub(crate) as_of: Time,
    /// Whether live details (calls, agents, devices) are as old as this, because they were put off.
    pub(crate) details_held_since: Option<Time>,
    /// Events folded since the last snapshot.
    pub(crate) unsaved: u64,
    /// When the last snapshot was taken, on the monotonic clock.
    pub(crate) saved_at: Duration,
    /// The [generation](journal::Generation::number) at which the partition came to us: what is told later, by a later owner, has a
    /// greater one, whatever a power cut or a new store does to the fences. `None`: nothing is told.
    told_as: Option<u64>,
    /// Events folded at once.
    chunk: usize,
    reader: Reader,
    fold: PartitionFold,
    ledger: Ledger,
    rules: Rules,
    changed: Changed,
    /// Whether a snapshot is being written: what is in it is newer than what is in the store.
    saving: bool,
    /// Closed calls that are being written.
    in_flight: HashMap<CallId, StoredCall>,
    /// Hashes of all calls of the partition there ever were, when we have folded it from its beginning.
    known: Option<HashSet<u64>>,
}

/// What changed since it was last taken.
#[derive(Default)]
struct Changed {
    calls: BTreeSet<CallId>,
    closed: BTreeSet<CallId>,
    others: BTreeSet<Subject>,
    totals: News,
    details: News,
    restated: BTreeSet<RowKey>,
}

/// What there is to tell live readers: the latest of each thing.
#[derive(Default)]
pub(crate) struct News {
    /// Views by key; `None`: it is gone.
    pub(crate) views: BTreeMap<String, Option<View>>,
    /// Rows that changed.
    pub(crate) rows: BTreeSet<RowKey>,
}

/// What of the news is meant; views of totals always are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// Rows too.
    pub(crate) rows: bool,
    /// Views (and with `rows`, rows) of single calls, agents and devices too.
    pub(crate) details: bool,
}

impl News {
    fn has(&self, scope: Scope) -> bool {
        !self.views.is_empty() || (scope.rows && !self.rows.is_empty())
    }

    fn take(&mut self, scope: Scope) -> News {
        let rows = if scope.rows { std::mem::take(&mut self.rows) } else { BTreeSet::new() };
        News { views: std::mem::take(&mut self.views), rows }
    }
}

impl Changed {
    fn view(&mut self, key: String, view: Option<View>) {
        let news = if is_detail(&key) { &mut self.details } else { &mut self.totals };
        news.views.insert(key, view);
    }

    fn row(&mut self, key: &RowKey) {
        let detail = matches!(key.dim, Dim::Agent | Dim::Device);
        let news = if detail { &mut self.details } else { &mut self.totals };
        news.rows.insert(key.clone());
    }
}

/// Whether a view speaks of a single call, agent or device: what nobody needs to the tick while there is too much to do.
fn is_detail(view: &str) -> bool {
    ["call/", "agent/", "device/"].iter().any(|kind| view.starts_with(kind))
}

/// What there is to store, and to tell of the past.
pub(crate) struct Snapshot {
    pub(crate) change: Change,
    /// Calls that are over, in the JSON of [`stats::call::Record`].
    pub(crate) closed: Vec<(CallId, Box<serde_json::value::RawValue>)>,
    /// Rows of the past that changed.
    pub(crate) restated: Vec<(RowKey, stats::Row)>,
}

impl Shard {
    /// Loads what the store has of a partition that was taken. `start`: where to begin when it has nothing.
    pub(crate) async fn open(
        store: &dyn Reports,
        partition: Partition,
        taken: Taken,
        start: u64,
        told_as: Option<u64>,
        rules: Rules,
    ) -> Result<Self> {
        let resumed = store.resume(&taken.held.part).await?;
        let fold = PartitionFold::new(rules.settings);
        let mut fold = if told_as.is_some() { fold } else { fold.untold() };
        states::load(&mut fold, &resumed.states)?;
        let as_of = resumed.open_calls.iter().map(stats::call::Record::last_at).max().unwrap_or_default();
        let alive = resumed.open_calls.into_iter().filter(|record| as_of - record.last_at() <= FORGOTTEN_MS);
        for (n, record) in alive.enumerate() {
            fold.load_calls([record]);
            if n % CHUNK == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(Self {
            partition,
            next: taken.next.unwrap_or(start),
            held: taken.held,
            soundings: Soundings::default(),
            told_before: 0,
            as_of,
            details_held_since: None,
            unsaved: 0,
            saved_at: Duration::ZERO,
            told_as,
            chunk: if told_as.is_some() { LIVE_CHUNK } else { BULK_CHUNK },
            reader: Reader::default(),
            fold,
            ledger: Ledger::new(resumed.newest_hour),
            rules,
            changed: Changed::default(),
            saving: false,
            in_flight: HashMap::new(),
            known: taken.next.is_none().then(HashSet::new),
        })
    }

    pub(crate) fn part(&self) -> &Part {
        &self.held.part
    }

    /// The version of what is told now.
    pub(crate) fn version(&self) -> Version {
        Version { epoch: self.told_as.unwrap_or(0), number: self.next }
    }

    pub(crate) fn position(&self) -> Position {
        Position::new(self.partition.0, self.partition.1, self.next)
    }

    /// The partition is ours; so far it was when it was taken. Everything is told anew.
    pub(crate) fn begin(&mut self, sounding: Sounding, now: Duration) {
        self.saved_at = now;
        self.sounded(sounding);
        self.told_before = sounding.end;
        self.renew();
    }

    /// Folds a batch. What was folded before (the offsets below [`Self::next`]) is skipped. What changed is taken out once, at the
    /// end, or, when nobody waits for it, not before [`Self::settle`]: a call is counted once for all its events until then.
    pub(crate) async fn ingest(&mut self, store: &dyn Reports, batch: &Batch, telemetry: &Telemetry) -> Result<()> {
        for records in batch.records.chunks(self.chunk) {
            let next = self.next;
            let new = records.iter().filter(|record| record.offset >= next);
            if self.told_as.is_some() && next < self.told_before {
                self.retrace(store, new, telemetry).await?;
            } else {
                self.advance(store, new, telemetry).await?;
            }
            let Some(last) = records.last() else { continue };
            if last.offset >= self.next {
                self.unsaved += last.offset + 1 - self.next;
                telemetry.folded(last.offset + 1 - self.next);
                self.next = last.offset + 1;
                self.soundings.folded(self.next);
            }
            tokio::task::yield_now().await;
        }
        self.next = self.next.max(batch.next);
        self.soundings.folded(self.next);
        if self.told_as.is_some() { self.settle(store).await } else { Ok(()) }
    }

    async fn advance(
        &mut self,
        store: &dyn Reports,
        records: impl Iterator<Item = &Record>,
        telemetry: &Telemetry,
    ) -> Result<()> {
        let mut waiting = Vec::new();
        for record in records {
            match self.read(record, telemetry) {
                Some(event) if self.is_stored(&event.subject) => waiting.push(event),
                Some(event) => self.apply(event, telemetry),
                None => {}
            }
        }
        self.load_calls(store, &waiting).await?;
        waiting.into_iter().for_each(|event| self.apply(event, telemetry));
        Ok(())
    }

    /// Goes the way once more that a former owner has gone, event by event. He may have told of a row that a call had touched only between
    /// two of its events, and who takes out what changed less often than he did would never speak of it again.
    async fn retrace(
        &mut self,
        store: &dyn Reports,
        records: impl Iterator<Item = &Record>,
        telemetry: &Telemetry,
    ) -> Result<()> {
        let events: Vec<Envelope> = records.filter_map(|record| self.read(record, telemetry)).collect();
        let stored = events.iter().filter(|event| self.is_stored(&event.subject)).count();
        if stored > 0 {
            self.load_calls(store, &events).await?;
        }
        for event in events {
            self.apply(event, telemetry);
            self.settle(store).await?;
        }
        Ok(())
    }

    fn read(&mut self, record: &Record, telemetry: &Telemetry) -> Option<Envelope> {
        match self.reader.read(&record.value) {
            Ok(Parsed::Known(event)) => return Some(event),
            Ok(Parsed::Unknown(head)) => telemetry.unknown(&head.ty),
            Err(error) => telemetry.malformed(self.part(), record.offset, &error),
        }
        None
    }

    fn apply(&mut self, event: Envelope, telemetry: &Telemetry) {
        self.as_of = self.as_of.max(event.time);
        let subject = event.subject.clone();
        if self.fold.apply(event) == stats::agent::Change::Refused {
            telemetry.refused(self.part(), &subject);
        }
    }

    /// Takes what changed out of the fold: into the rows, and among what is to be stored and told.
    pub(crate) async fn settle(&mut self, store: &dyn Reports) -> Result<()> {
        let changes = self.fold.take_changes();
        let missing = self.ledger.missing(&changes.rows);
        if !missing.is_empty() {
            self.ledger.load(store.blocks_by_key(self.part(), &missing).await?);
        }
        self.ledger.add(&changes.rows);
        self.note(changes);
        Ok(())
    }

    /// Whether it is a call that is not in memory and that the store may have: it must be loaded before it is spoken of. A call of
    /// which nothing was heard before is remembered.
    fn is_stored(&mut self, subject: &Subject) -> bool {
        let Subject::Call(id) = subject else { return false };
        if self.fold.holds(subject) {
            return false;
        }
        match &mut self.known {
            Some(known) => self.in_flight.contains_key(id) || !known.insert(hash(id)),
            None => true,
        }
    }

    /// Loads what the store has of the calls that these events speak of.
    async fn load_calls(&mut self, store: &dyn Reports, events: &[Envelope]) -> Result<()> {
        if self.known.as_ref().is_some_and(|known| known.len() > KNOWN_MAX) {
            self.known = None;
        }
        let mut wanted = Vec::new();
        let mut loaded = Vec::new();
        for id in self.fold.needs(events) {
            match self.in_flight.get(&id) {
                Some(call) => loaded.push(call.record()?),
                None => wanted.push(id),
            }
        }
        if !wanted.is_empty() {
            loaded.extend(store.calls_by_id(&wanted).await?);
        }
        self.fold.load_calls(loaded);
        Ok(())
    }

    fn note(&mut self, changes: Changes) {
        let changed = &mut self.changed;
        if self.told_as.is_some() {
            let horizon = self.as_of + -self.rules.restated_after_ms;
            for (key, _) in &changes.rows {
                if key.start + self.rules.settings.grains.of(key.dim) < horizon {
                    changed.restated.insert(key.clone());
                }
                changed.row(key);
            }
            // A call may have been shown by a former owner that died before it could take it back.
            changes.closed.iter().for_each(|id| changed.view(format!("call/{id}"), None));
            changes.views.into_iter().for_each(|(key, view)| changed.view(key, view));
            changed.closed.extend(changes.closed);
        }
        changed.calls.extend(changes.calls);
        changed.others.extend(changes.agents.into_iter().map(Subject::Agent));
        changed.others.extend(changes.devices.into_iter().map(Subject::Device));
        changed.others.extend(changes.queues.into_iter().map(Subject::Queue));
        changed.others.extend(changes.sources.into_iter().map(Subject::Source));
    }

    /// A moment such that all that the journal took before it, here or for `ingest`, is folded.
    pub(crate) fn current_at(&self) -> Time {
        self.soundings.current_at()
    }

    /// How far the partition was when that was last found out, or where we are by now.
    pub(crate) fn end(&self) -> u64 {
        self.soundings.end().max(self.next)
    }

    /// It was found out how far the partition is.
    pub(crate) fn sounded(&mut self, sounding: Sounding) {
        self.soundings.sounded(sounding, self.next);
    }

    /// All that the journal took before this moment is folded.
    pub(crate) fn is_current_until(&mut self, at: Time) {
        self.soundings.is_current_until(at);
    }

    /// Whether there is news of this scope.
    pub(crate) fn has_news(&self, scope: Scope) -> bool {
        self.changed.totals.has(scope) || (scope.details && self.changed.details.has(scope))
    }

    /// Whether rows of totals wait to be told.
    pub(crate) fn has_rows(&self) -> bool {
        !self.changed.totals.rows.is_empty()
    }

    /// Takes the news of this scope; the rest stays.
    pub(crate) fn take_news(&mut self, scope: Scope) -> News {
        let mut news = self.changed.totals.take(scope);
        if scope.details {
            let mut more = self.changed.details.take(scope);
            news.views.append(&mut more.views);
            news.rows.append(&mut more.rows);
        }
        news
    }

    /// Rows of details are news like those of totals now.
    pub(crate) fn hurry_rows(&mut self) {
        self.changed.totals.rows.append(&mut self.changed.details.rows);
    }

    /// Every view there is, as news: at start and takeover.
    fn renew(&mut self) {
        for view in self.fold.views() {
            self.changed.view(view.key(), Some(view));
        }
    }

    /// Calls of which nothing was heard for half a day give their place in the queue back, as news. They leave memory, so all of them must be
    /// in the store by then: not while that is still being written.
    pub(crate) fn retire(&mut self, now: Time) {
        if self.told_as.is_some() && self.unsaved == 0 && !self.saving {
            for (key, view) in self.fold.retire_stale(now) {
                self.changed.view(key, view);
            }
        }
    }

    /// A row as it is now.
    pub(crate) fn row(&self, key: &RowKey) -> stats::Row {
        self.ledger.row(key).cloned().unwrap_or_default()
    }

    /// Everything that changed since the last snapshot, to be written. Call [`Self::saved`] when it was.
    pub(crate) async fn snapshot(&mut self) -> Snapshot {
        let changed = &mut self.changed;
        let mut calls = Vec::with_capacity(changed.calls.len());
        for (n, id) in std::mem::take(&mut changed.calls).into_iter().enumerate() {
            calls.extend(self.fold.call(&id).map(StoredCall::of));
            if n % CHUNK == CHUNK - 1 {
                tokio::task::yield_now().await;
            }
        }
        let mut closed = Vec::with_capacity(changed.closed.len());
        for id in std::mem::take(&mut changed.closed) {
            let record = self.fold.call(&id).filter(|record| record.closed);
            closed.extend(record.and_then(|record| Some((id, serde_json::value::to_raw_value(record).ok()?))));
        }
        let others = std::mem::take(&mut changed.others);
        let states = others.iter().flat_map(|subject| states::stored(&mut self.fold, subject)).collect();
        let restated = std::mem::take(&mut changed.restated).into_iter();
        let restated = restated
            .map(|key| (self.ledger.row(&key).cloned().unwrap_or_default(), key))
            .map(|(row, key)| (key, row))
            .collect();
        // Nothing is unsaved but what is in the snapshot: closed calls may leave memory, and open ones that are too many, as
        // long as they are found in flight.
        let (retired, views) = self.fold.retire_surplus();
        if !retired.is_empty() {
            tracing::warn!(part = %self.part(), calls = retired.len(), "more open calls than are kept: the longest silent are no longer shown");
        }
        for (key, view) in views.into_iter().filter(|_| self.told_as.is_some()) {
            self.changed.view(key, view);
        }
        let retired: HashSet<CallId> = retired.into_iter().collect();
        let leaves = |call: &&StoredCall| call.is_closed() || retired.contains(call.id());
        self.in_flight = calls.iter().filter(leaves).map(|call| (call.id().clone(), call.clone())).collect();
        self.fold.evict_closed();
        (self.unsaved, self.saving) = (0, true);
        let blocks = self.ledger.take_dirty(self.next);
        Snapshot {
            change: Change { held: self.held.clone(), next: self.next, calls, blocks, states },
            closed,
            restated,
        }
    }

    /// The last snapshot was written.
    pub(crate) fn saved(&mut self) {
        self.saving = false;
        self.in_flight.clear();
        let rows = self.changed.totals.rows.iter().chain(&self.changed.details.rows);
        self.ledger.evict(self.rules.blocks_kept, &rows.map(BlockKey::of).collect());
    }

    /// Blocks in memory.
    pub(crate) fn blocks(&self) -> usize {
        self.ledger.len()
    }
}

fn hash(id: &CallId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
