//! Somebody without an adapter, who posts events to the receivers' doors over a bad network, and again until they are accepted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use model::SourceId;
use service::simulation::Place;
use service::{Clock, Tasks};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use crate::load::{Due, Item, Ledger};
use crate::trace::{Trace, digest};
use crate::weather::Weather;

/// The token that opens the doors.
pub const TOKEN: &str = "a simulated operator";
const PATIENCE: Duration = Duration::from_secs(3);
/// Batches on their way at once: they may overtake each other.
const AT_ONCE: usize = 3;

/// The door of one receiver; `None` while it is dead. Its requests run in the receiver's process.
pub type Door = Arc<Mutex<Option<(Router, Tasks)>>>;

/// The network between those who post and the doors.
pub struct Network {
    pub clock: Clock,
    pub place: Place,
    pub weather: Arc<Weather>,
    pub trace: Arc<Trace>,
    pub doors: Vec<Door>,
    /// What is on its way.
    pub tasks: Tasks,
}

impl Network {
    /// Posts once; `None`: nothing was heard.
    async fn post(self: &Arc<Self>, kind: &'static str, body: Vec<u8>) -> Option<StatusCode> {
        let door = Arc::clone(&self.doors[self.weather.below(self.doors.len())]);
        let sky = self.weather.sky();
        if self.weather.happens(sky.twice) {
            self.trace.count("requests that came twice");
            let (network, door, body) = (Arc::clone(self), Arc::clone(&door), body.clone());
            let again = async move {
                network.clock.sleep(network.weather.delay(Duration::from_millis(500))).await;
                network.deliver(&door, kind, body).await;
            };
            let _ = self.tasks.spawn("a request again", again);
        }
        self.clock.sleep(self.weather.delay(Duration::from_millis(30))).await;
        if sky.cut || self.weather.happens(sky.lost) {
            self.trace.count("requests lost");
            return None;
        }
        let status = self.deliver(&door, kind, body).await?;
        self.clock.sleep(self.weather.delay(Duration::from_millis(30))).await;
        let sky = self.weather.sky();
        if sky.cut || self.weather.happens(sky.lost) {
            self.trace.count("answers lost");
            return None;
        }
        Some(status)
    }

    /// Brings a request to a door and its answer back; `None` when the receiver is dead or dies meanwhile.
    async fn deliver(&self, door: &Door, kind: &'static str, body: Vec<u8>) -> Option<StatusCode> {
        let (router, tasks) = door.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        self.trace.tell(&self.place, format_args!("delivers {kind} {:016x}", digest([body.as_slice()])));
        let request = Request::post("/v1/ingest")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .expect("a request");
        let (tell, told) = oneshot::channel();
        let serve = async move {
            let Ok(response) = router.oneshot(request).await;
            let status = response.status();
            if to_bytes(response.into_body(), 1 << 20).await.is_ok() {
                let _ = tell.send(status);
            }
        };
        tasks.spawn("request", serve).ok()?;
        told.await.ok()
    }
}

/// Who posts.
pub struct Caller {
    pub source: SourceId,
    pub network: Arc<Network>,
    pub ledger: Arc<Ledger>,
    pub place: Place,
    pub clock: Clock,
    pub tasks: Tasks,
    pub busy: AtomicUsize,
}

impl Caller {
    /// Posts everything that is due, in batches, several at once, each until it is accepted.
    pub async fn run(self: Arc<Self>, list: Vec<Due>) {
        let mut left = list.as_slice();
        while let Some(first) = left.first() {
            let wait = first.at.saturating_sub(self.clock.monotonic());
            self.clock.sleep(wait).await;
            while self.busy.load(Ordering::Relaxed) >= AT_ONCE {
                self.clock.sleep(Duration::from_millis(20)).await;
            }
            let due = left.partition_point(|due| due.at <= self.clock.monotonic());
            let many = (1 + self.network.weather.below(6)).min(due.max(1));
            let (batch, rest) = left.split_at(many);
            left = rest;
            self.post(batch.to_vec());
        }
    }

    /// Posts a batch beside what else is done.
    pub fn post(self: &Arc<Self>, batch: Vec<Due>) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let own = Arc::clone(self);
        let work = async move {
            own.insist(&batch).await;
            own.busy.fetch_sub(1, Ordering::Relaxed);
        };
        self.tasks.spawn("batch", work).expect("few are posted at once");
    }

    /// Whether everything was accepted.
    pub fn is_done(&self) -> bool {
        self.tasks.is_empty()
    }

    async fn insist(&self, batch: &[Due]) {
        let texts: Vec<&[u8]> = batch.iter().filter_map(text).collect();
        let (kind, body) = match self.network.weather.below(2) {
            0 => ("application/x-ndjson", texts.join(&b'\n')),
            _ => ("application/cloudevents-batch+json", [&b"["[..], &texts.join(&b','), &b"]"[..]].concat()),
        };
        for due in batch {
            self.ledger.send(&self.source, due);
        }
        loop {
            match self.clock.timeout(PATIENCE, self.network.post(kind, body.clone())).await {
                Ok(Some(StatusCode::ACCEPTED)) => break,
                Ok(Some(status)) if !status.is_server_error() => {
                    self.ledger.wrong(format!("the door answered {status}"));
                    return;
                }
                _ => self.network.trace.count("requests repeated"),
            }
            self.clock.sleep(self.network.weather.delay(Duration::from_millis(400))).await;
        }
        for due in batch {
            self.ledger.acknowledge(&due.id);
        }
        self.network.trace.tell(&self.place, format_args!("{} accepted, {} first", batch.len(), batch[0].id));
    }
}

fn text(due: &Due) -> Option<&[u8]> {
    match &due.item {
        Item::Envelope(bytes) => Some(bytes),
        Item::Fact(_) => None,
    }
}
