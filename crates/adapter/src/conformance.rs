//! What every adapter is examined for, whatever the vendor. One call in the adapter's tests:
//!
//! ```text
//! adapter::conformance::examine::<Replay>(async || Stand::recording(config)).await;
//! ```
//!
//! The stand-in vendor that the closure starts must say the same each time it is started: a recorded capture behind a
//! socket, a file. Real vendors are examined through what they recorded, and live in the end-to-end tests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::event::call::QueueExit;
use model::event::source;
use model::{Event, Fact, SourceId};
use serde_json::Value;
use service::{Clock, Seeds};

use crate::contract::{Adapter, Context, Known, Verbatim};
use crate::fault::Fault;
use crate::registry::{Kind, Live, Registry};

/// A stand-in vendor, started and ready to be collected from.
pub struct Stand {
    /// The adapter's config that leads to it.
    pub config: Value,
    /// Of a live vendor: when nothing came for so long, it has said everything. A recording ends by itself.
    pub silence: Duration,
    /// Whatever keeps it alive.
    pub keep: Box<dyn std::any::Any + Send>,
}

impl Stand {
    /// A recording: only its config.
    pub fn recording(config: Value) -> Stand {
        Stand { config, silence: Duration::from_secs(5), keep: Box::new(()) }
    }
}

/// Everything one session gave.
#[derive(Default)]
struct Heard {
    facts: Vec<Fact>,
    verbatim: Vec<Verbatim>,
}

/// Examines `A`; panics with the broken promise.
pub async fn examine<A: Adapter>(start: impl AsyncFn() -> Stand) {
    let registry = Registry::default().with::<A>();
    let kind = registry.kind(A::KIND).expect("the kind was just registered");
    refuses_what_it_does_not_know(kind, start().await.config);
    let whole = listen(kind, start().await, None).await;
    assert!(!whole.facts.is_empty() || !whole.verbatim.is_empty(), "the stand-in vendor said nothing");
    speaks_the_vocabulary(&whole);
    let ids = ids(&whole);
    let again = listen(kind, start().await, None).await;
    assert_eq!(ids, self::ids(&again), "two sessions of one vendor gave different events");
    let interrupted = listen(kind, start().await, Some(Duration::from_micros(300))).await;
    assert_eq!(ids, self::ids(&interrupted), "dropping a waiting `next` lost or doubled events");
}

fn refuses_what_it_does_not_know(kind: &dyn Kind, mut config: Value) {
    assert!(kind.plan(&config).is_ok(), "the stand-in's own config is refused: {:?}", kind.plan(&config).err());
    let table = config.as_object_mut().expect("a config is a table");
    table.insert("no_such_key".to_owned(), Value::from(1));
    let problems = kind.plan(&config).err().expect("an unknown key was accepted");
    assert!(problems.iter().any(|p| p.path.contains("no_such_key")), "the unknown key is not named: {problems:?}");
    assert!(kind.schema().as_object().is_some_and(|s| s.contains_key("properties")), "the config has no schema");
}

/// Reads to the end; with `cut`, `next` is dropped and asked again whenever it waits longer than that.
async fn listen(kind: &dyn Kind, stand: Stand, cut: Option<Duration>) -> Heard {
    let clock = Clock::system();
    let planned = kind.plan(&stand.config).expect("the stand-in's config is good");
    let source = SourceId::new("exam");
    let context = Context { source, known: Known::default(), clock: clock.clone(), seeds: Seeds::fixed(1) };
    let mut session = planned.connect(context).await.expect("the stand-in can be reached");
    let mut heard = Heard::default();
    loop {
        let batch = match next(session.as_mut(), &clock, cut, stand.silence).await {
            None => break,
            Some(Err(Fault::Transient(_))) if !planned.recording() => break,
            Some(batch) => batch.expect("the stand-in is no broken vendor"),
        };
        heard.facts.extend(batch.facts);
        heard.verbatim.extend(batch.verbatim);
        session.acked().await.expect("an acknowledgement is taken");
        if batch.done {
            break;
        }
    }
    let _ = session.close().await; // a stand-in may be gone already
    drop(stand.keep);
    heard
}

async fn next(
    session: &mut dyn Live,
    clock: &Clock,
    cut: Option<Duration>,
    silence: Duration,
) -> Option<Result<crate::Batch, Fault>> {
    let until = clock.monotonic() + silence;
    while clock.monotonic() < until {
        let left = until - clock.monotonic();
        if let Ok(batch) = clock.timeout(cut.unwrap_or(left), session.next(50)).await {
            return Some(batch);
        }
    }
    None
}

fn speaks_the_vocabulary(heard: &Heard) {
    for fact in &heard.facts {
        assert_eq!(fact.event.family(), fact.subject.family(), "{} is not about {}", fact.event.ty(), fact.subject);
        let theirs = matches!(
            fact.event,
            Event::SourceConnected(_) | Event::SourceDisconnected(_) | Event::SourceGap(_) | Event::SourceHeartbeat(_)
        );
        assert!(!theirs, "{} is the runtime's to say, not the adapter's", fact.event.ty());
        if let Event::CallDequeued(left) = &fact.event {
            let knows = left.cause != QueueExit::Abandoned || left.waited_ms.is_some();
            assert!(knows, "an abandon without waited_ms: the receiver could not tell a short one");
        }
        if let Event::SourceSnapshotTaken(source::SnapshotTaken { calls, .. }) = &fact.event {
            let once: BTreeSet<_> = calls.iter().collect();
            assert_eq!(once.len(), calls.len(), "a snapshot names a call twice");
        }
    }
}

/// Every event by id. Two different events under one id would be one of them lost.
fn ids(heard: &Heard) -> BTreeSet<String> {
    let source = SourceId::new("exam");
    let mut seen: BTreeMap<String, &Fact> = BTreeMap::new();
    for fact in &heard.facts {
        let id = fact.id(&source).to_string();
        if let Some(other) = seen.insert(id, fact) {
            assert_eq!(other, fact, "two different events have one id");
        }
    }
    let verbatim = heard.verbatim.iter().map(|v| String::from_utf8_lossy(&v.bytes).into_owned());
    seen.keys().cloned().chain(verbatim).collect()
}
