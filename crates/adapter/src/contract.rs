//! The trait that the author of an adapter writes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use model::{Fact, SourceId, Time};
use service::config::{ConfigFile, Problems};
use service::{Clock, Seeds};

use crate::fault::Fault;

/// One kind of vendor. Implemented once per folder under `collector/adapters`.
///
/// The contract:
/// 1. [`Adapter::plan`] is pure: it checks the config and reports every problem at once.
/// 2. [`Adapter::connect`] may talk to the vendor and must not spawn anything that outlives the session.
/// 3. A session's first batches repair what was missed: a snapshot of the vendor's state, reconciled with
///    [`Context::known`]; snapshot facts carry `Quality::Snapshot`, conclusions `Quality::Inferred`.
/// 4. [`Session::next`] is cancel-safe: dropping the future loses nothing that a later call would not give.
/// 5. Facts of one subject come in the order in which the vendor sent them; ids depend on the vendor's words alone.
/// 6. `source.connected`, `source.disconnected`, `source.gap` and `source.heartbeat` are emitted by the runtime from
///    what the session reports; an adapter only emits `source.snapshot_taken` and `source.trunk_usage` itself.
#[async_trait]
pub trait Adapter: Send + Sync + 'static {
    /// The word in config and on the command line: `asterisk`, `queue-log`.
    const KIND: &'static str;
    /// Typed config: `#[serde(default, deny_unknown_fields)]`, each field documented.
    type Config: ConfigFile;
    /// The checked config.
    type Plan: Send + Sync + 'static;
    /// A live connection.
    type Session: Session;

    /// Makes a plan of a config that [`ConfigFile::check`] found nothing wrong with. Pure; every further problem is named.
    fn plan(config: Self::Config) -> Result<Self::Plan, Problems>;

    /// Whether it is a recording: it ends, is never reconnected, has no gaps and no heartbeats, and may be paced.
    fn recording(plan: &Self::Plan) -> bool {
        let _ = plan;
        false
    }

    /// Whether two sessions at once hear the same, and a batch that is whole says by the vendor's own clock how far it has seen
    /// ([`Batch::seen_until`]). Then collectors that stand by for this source are connected, and lose nothing when they take over; else
    /// they connect when it is their turn. A session that stands by is [acknowledged](Session::acked) what another one has written.
    fn paired(plan: &Self::Plan) -> bool {
        let _ = plan;
        false
    }

    /// Connects, logs in, asks for what it needs. Bounded by the runtime's connect timeout.
    async fn connect(plan: &Self::Plan, context: Context) -> Result<Self::Session, Fault>;
}

/// A live connection to one vendor instance, or an open recording.
#[async_trait]
pub trait Session: Send + 'static {
    /// Waits for what comes next: at least one fact or a sign of life, at most about `max` facts. Cancel-safe.
    async fn next(&mut self, max: usize) -> Result<Batch, Fault>;

    /// The journal has everything up to and including the batch that was last given. Default: nothing to do.
    async fn acked(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Learns, while it stands by, from what the session that writes has stored: of what was there before this one began, that one may know
    /// better. True: it wants to be told again, later. Default: there is nothing to learn.
    fn learn(&mut self, known: &Known) -> bool {
        let _ = known;
        false
    }

    /// Says goodbye to the vendor. Default: drops the link.
    async fn close(self) -> Result<(), Fault>
    where
        Self: Sized,
    {
        Ok(())
    }
}

/// What a session is given.
#[derive(Clone)]
pub struct Context {
    /// The name of this vendor instance.
    pub source: SourceId,
    /// What earlier sessions stored, and when they last saw the vendor.
    pub known: Known,
    /// The clock; the only one an adapter may read.
    pub clock: Clock,
    /// Seeded randomness.
    pub seeds: Seeds,
}

/// What was known of the vendor before this session.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The adapter's own state, as its last acknowledged batches left it. Keys and values are the adapter's.
    pub state: BTreeMap<String, Bytes>,
    /// The last moment at which the link was seen to work, by the vendor's clock; `None` at the very first.
    pub last_seen: Option<Time>,
}

/// An envelope of a recording, as the bytes it was recorded in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verbatim {
    /// Its source: the key in `ingest`.
    pub source: SourceId,
    /// Its time, for the pace.
    pub time: Time,
    /// The envelope.
    pub bytes: Bytes,
}

/// What a session gives at once.
#[derive(Debug, Default)]
pub struct Batch {
    /// What happened, in the vendor's order.
    pub facts: Vec<Fact>,
    /// Envelopes that were recorded from a Tidegate: they keep their ids and types, and are written as the bytes they are.
    pub verbatim: Vec<Verbatim>,
    /// Changes of the adapter's own state: stored with the facts, in one transaction; `None` deletes.
    pub state: Vec<(String, Option<Bytes>)>,
    /// Vendor frames verbatim, for the `raw` stream (kept short; written only when the operator asks for it).
    pub raw: Vec<Bytes>,
    /// The vendor's time at the end of this batch, when it said one: how far we have seen.
    pub seen_until: Option<Time>,
    /// Messages that made no sense and were left out: what they were, shortened, and why. Counted and set aside.
    pub malformed: Vec<(Bytes, String)>,
    /// Messages that were left out beyond those: more of a kind that was named before, or too many to keep. Only counted.
    pub left_out: u64,
    /// The session answered a probe: round trip in milliseconds.
    pub round_trip_ms: Option<u64>,
    /// The recording is over: nothing will follow.
    pub done: bool,
    /// Of a recording: how far we are and how far it goes, in bytes, for the progress bar.
    pub progress: Option<(u64, u64)>,
}
