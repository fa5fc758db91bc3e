//! One source: its link, its heartbeat, its gaps. Gaps are counted in the source's rows; those that overlap count once.

use std::collections::BTreeMap;

use model::{Envelope, Event, SourceId, TenantId, Time, TrunkId};
use serde::{Deserialize, Serialize};

use crate::agent::Change;
use crate::field::Field;
use crate::key::Dim;
use crate::live::{self, Gap, Trunk};
use crate::register::{Latest, Stamp};
use crate::rows::Rows;

/// So many gaps are kept; older ones stay counted in rows and are forgotten here.
pub const GAPS_MAX: usize = 1_000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Link {
    up: bool,
    reason: Option<String>,
}

/// One source's fold state; this is what a checkpoint stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Which source.
    pub source: SourceId,
    /// Whose.
    pub tenant: TenantId,
    link: Latest<Link>,
    vendor: Latest<(String, Option<String>)>,
    beat: Latest<(Option<u64>, Option<u64>)>,
    snapshot: Latest<()>,
    trunks: BTreeMap<TrunkId, Latest<(u32, Option<u32>)>>,
    gaps: Vec<Gap>,
    #[serde(with = "crate::track::ms")]
    last_at: Time,
}

impl State {
    /// A source of which nothing is known.
    pub fn new(source: SourceId, tenant: TenantId) -> State {
        State {
            source,
            tenant,
            link: Latest::default(),
            vendor: Latest::default(),
            beat: Latest::default(),
            snapshot: Latest::default(),
            trunks: BTreeMap::new(),
            gaps: Vec::new(),
            last_at: Time(0),
        }
    }

    /// Folds one event in, and what it changes into `rows`.
    pub fn apply(&mut self, e: &Envelope, rows: &mut Rows) -> Change {
        let stamp = Stamp::of(e);
        let changed = match &e.event {
            Event::SourceConnected(v) => {
                let vendor = self.vendor.set(&stamp, (v.vendor.clone(), v.version.clone()));
                self.link.set(&stamp, Link { up: true, reason: None }) | vendor
            }
            Event::SourceDisconnected(v) => self.link.set(&stamp, Link { up: false, reason: Some(v.reason.clone()) }),
            Event::SourceHeartbeat(v) => self.beat.set(&stamp, (v.every_ms, v.round_trip_ms)),
            Event::SourceSnapshotTaken(_) => self.snapshot.set(&stamp, ()),
            Event::SourceTrunkUsage(v) => {
                self.trunks.entry(v.trunk.clone()).or_default().set(&stamp, (v.in_use, v.capacity))
            }
            Event::SourceGap(v) => {
                self.add_gap(Gap { from: v.from, to: v.to.max(v.from), reason: v.reason.clone() }, rows)
            }
            _ => return Change::Unchanged,
        };
        self.last_at = self.last_at.max(e.time);
        if changed { Change::Changed } else { Change::Unchanged }
    }

    fn add_gap(&mut self, gap: Gap, rows: &mut Rows) -> bool {
        let Err(place) = self.gaps.binary_search(&gap) else { return false };
        self.count_gaps(-1, rows);
        self.gaps.insert(place, gap);
        self.count_gaps(1, rows);
        let old = self.gaps.len().saturating_sub(GAPS_MAX);
        self.gaps.drain(..old);
        true
    }

    fn count_gaps(&self, sign: i64, rows: &mut Rows) {
        let scope = rows.scope(&self.tenant, &self.source, Dim::Source, &self.source.0);
        let mut end = Time(i64::MIN);
        for gap in &self.gaps {
            rows.span(&scope, gap.from.max(end), gap.to, sign, |t, ms| t.add(Field::GapMs, ms));
            end = end.max(gap.to);
        }
    }

    /// The live view.
    pub fn live(&self) -> live::Source {
        let (vendor, version) = self.vendor.get().cloned().unwrap_or_default();
        let link = self.link.get();
        let (every, round_trip_ms) = self.beat.get().copied().unwrap_or_default();
        let trunks = self.trunks.iter().filter_map(|(id, t)| {
            let &(in_use, capacity) = t.get()?;
            Some((id.clone(), Trunk { in_use, capacity, at: t.at()? }))
        });
        live::Source {
            source: self.source.clone(),
            tenant: self.tenant.clone(),
            vendor,
            version,
            connected: link.map(|l| l.up),
            since: self.link.at().unwrap_or(Time(0)),
            reason: link.and_then(|l| l.reason.clone()),
            heartbeat_at: self.beat.at(),
            every_ms: every.map(|ms| ms as i64),
            round_trip_ms,
            snapshot_at: self.snapshot.at(),
            gaps: self.gaps.clone(),
            trunks: trunks.collect(),
            last_at: self.last_at,
        }
    }
}
