//! Folding everything anew, and comparing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use journal::{Journal, Stream};
use service::Context;
use stats::{Dim, Row, RowKey};
use store::Part;
use store::reports::{CallFilter, Cursor, PAGE_MAX, Reports, RowFilter};

use crate::catch_up::{CatchUp, Caught, catch_up_to};
use crate::{Error, Result};

/// Differences that are named; more are only counted.
const NAMED_MAX: usize = 1_000;
/// Rows compared at once: those of a week.
const STEP_MS: i64 = 7 * 24 * 3_600_000;

/// Folds every event anew into an empty store, exactly as far as `old` is folded, so that the two can be
/// [compared](diff). Nothing of `old` changes; it should rest meanwhile.
///
/// # Errors
/// `NotEmpty`; as [`crate::catch_up_to_end`].
pub async fn rebuild(
    journal: &Arc<dyn Journal>,
    old: &dyn Reports,
    fresh: &Arc<dyn Reports>,
    how: &CatchUp,
    context: &Context,
) -> Result<Caught> {
    if let Some(folded) = fresh.progress().await?.into_iter().find(|progress| progress.next.is_some()) {
        return Err(Error::NotEmpty(folded.part));
    }
    let mut targets = BTreeMap::new();
    for progress in old.progress().await? {
        // A partition of a stream that this version does not know was not folded by it either.
        if let (Ok(stream), Some(next)) = (progress.part.stream.parse::<Stream>(), progress.next) {
            targets.insert((stream, progress.part.number), next);
        }
    }
    catch_up_to(journal, fresh, how, context, &targets).await
}

/// How two stores differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Rows compared.
    pub rows: u64,
    /// Calls compared.
    pub calls: u64,
    /// How many differ.
    pub differing: u64,
    /// The first thousand of them.
    pub differences: Vec<Difference>,
}

/// Something that differs.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// A partition is folded up to different offsets.
    Position {
        /// The partition.
        part: Part,
        /// In the old store.
        old: Option<u64>,
        /// In the new one.
        new: Option<u64>,
    },
    /// A row.
    Row {
        /// Which.
        key: RowKey,
        /// In the old store, if it is there.
        old: Option<Box<Row>>,
        /// In the new one, if it is there.
        new: Option<Box<Row>>,
    },
    /// A call is in one store only.
    Missing {
        /// Which, and when it was offered.
        call: Cursor,
        /// Whether it is the old store that has it.
        in_old: bool,
    },
    /// A call differs.
    Call {
        /// Which, and when it was offered.
        call: Cursor,
    },
}

impl Verdict {
    /// Whether the two stores hold the same.
    pub fn is_same(&self) -> bool {
        self.differing == 0
    }

    fn add(&mut self, difference: Difference) {
        self.differing += 1;
        if self.differences.len() < NAMED_MAX {
            self.differences.push(difference);
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_same() { "identical" } else { "DIFFERENT" };
        write!(f, "{verdict}: {} rows and {} calls compared, {} differ", self.rows, self.calls, self.differing)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Position { part, old, new } => write!(f, "position of {part}: {old:?} was, {new:?} is"),
            Difference::Row { key, old, new } => {
                let text =
                    |row: &Option<Box<Row>>| row.as_ref().map(|row| serde_json::to_string(row).unwrap_or_default());
                let (old, new) = (text(old).unwrap_or_default(), text(new).unwrap_or_default());
                write!(
                    f,
                    "row {} {} of {}/{} at {}: {old} was, {new} is",
                    key.dim, key.id, key.tenant, key.source, key.start
                )
            }
            Difference::Missing { call, in_old } => {
                let place = if *in_old { "gone" } else { "new" };
                write!(f, "call {} offered at {}: {place}", call.id, call.offered_at)
            }
            Difference::Call { call } => write!(f, "call {} offered at {}: differs", call.id, call.offered_at),
        }
    }
}

/// Compares two stores: every row, every call with its timeline, every position. `progress` is told a share from 0 to
/// 1 now and then.
///
/// # Errors
/// Those of the stores.
pub async fn diff(old: &dyn Reports, new: &dyn Reports, progress: impl Fn(f64)) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    positions(old, new, &mut verdict).await?;
    let (from, to) = match (old.span().await?, new.span().await?) {
        (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
        (Some(span), None) | (None, Some(span)) => span,
        (None, None) => return Ok(verdict),
    };
    let length = (to - from).max(1) as f64;
    let mut at = from;
    while at < to {
        let end = (at + STEP_MS).min(to);
        for dim in Dim::ALL {
            rows(old, new, &RowFilter::new(dim, at, end), &mut verdict).await?;
        }
        calls(old, new, &CallFilter::new(at, end), &mut verdict).await?;
        at = end;
        progress((at - from) as f64 / length);
    }
    Ok(verdict)
}

async fn positions(old: &dyn Reports, new: &dyn Reports, verdict: &mut Verdict) -> Result<()> {
    let mut parts: BTreeMap<Part, (Option<u64>, Option<u64>)> = BTreeMap::new();
    for progress in old.progress().await? {
        parts.entry(progress.part).or_default().0 = progress.next;
    }
    for progress in new.progress().await? {
        parts.entry(progress.part).or_default().1 = progress.next;
    }
    for (part, (old, new)) in parts {
        // Nothing folded, and folded up to the beginning, are the same.
        if old.unwrap_or(0) != new.unwrap_or(0) {
            verdict.add(Difference::Position { part, old, new });
        }
    }
    Ok(())
}

async fn rows(old: &dyn Reports, new: &dyn Reports, filter: &RowFilter, verdict: &mut Verdict) -> Result<()> {
    let (before, mut after) = (old.rows(filter).await?, new.rows(filter).await?);
    verdict.rows += before.len() as u64;
    for (key, row) in before {
        match after.remove(&key) {
            Some(same) if same == row => {}
            other => verdict.add(Difference::Row { key, old: Some(Box::new(row)), new: other.map(Box::new) }),
        }
    }
    verdict.rows += after.len() as u64;
    for (key, row) in after {
        verdict.add(Difference::Row { key, old: None, new: Some(Box::new(row)) });
    }
    Ok(())
}

/// Walks the calls of one store in order.
struct Walk<'a> {
    store: &'a dyn Reports,
    filter: &'a CallFilter,
    page: std::collections::VecDeque<stats::call::Record>,
    next: Option<Cursor>,
    over: bool,
}

impl<'a> Walk<'a> {
    fn new(store: &'a dyn Reports, filter: &'a CallFilter) -> Self {
        Self { store, filter, page: Default::default(), next: None, over: false }
    }

    /// The place of the call that is next.
    async fn peek(&mut self) -> Result<Option<Cursor>> {
        while self.page.is_empty() && !self.over {
            let page = self.store.calls(self.filter, self.next.as_ref(), PAGE_MAX).await?;
            self.over = page.next.is_none();
            self.next = page.next;
            self.page = page.calls.into();
        }
        Ok(self.page.front().map(|call| Cursor { offered_at: call.offered_at, id: call.call.clone() }))
    }
}

async fn calls(old: &dyn Reports, new: &dyn Reports, filter: &CallFilter, verdict: &mut Verdict) -> Result<()> {
    let (mut old, mut new) = (Walk::new(old, filter), Walk::new(new, filter));
    loop {
        let (before, after) = (old.peek().await?, new.peek().await?);
        let order = match (&before, &after) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.cmp(b),
        };
        verdict.calls += 1;
        let (mut was, mut is) = (None, None);
        if order.is_le() {
            was = old.page.pop_front();
        }
        if order.is_ge() {
            is = new.page.pop_front();
        }
        let Some(call) = (if order.is_le() { before } else { after }) else { return Ok(()) };
        match (was, is) {
            (Some(was), Some(is)) if was == is => {}
            (Some(_), Some(_)) => verdict.add(Difference::Call { call }),
            (was, _) => verdict.add(Difference::Missing { call, in_old: was.is_some() }),
        }
    }
}
