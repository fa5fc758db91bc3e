//! The doors of a running centre: AMI connections, and the handle for questions.

use std::sync::Arc;

use service::{Clock, Tasks, metric};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::ami::session;
use crate::centre::orders::Wish;
use crate::centre::{Gauge, truth};
use crate::drive::{Inbox, ask};
use crate::faults::{Fault, Kind};
use crate::plan::Plan;

/// Asks a running centre, and orders things. A cheap handle; every answer is none once the centre is gone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) inbox: Inbox,
}

impl Handle {
    pub(crate) fn new(inbox: Inbox) -> Handle {
        Handle { inbox }
    }

    /// How it goes.
    pub async fn gauge(&self) -> Option<Gauge> {
        ask(&self.inbox, |driver| driver.centre().gauge()).await
    }

    /// A copy of the ledger of what really happened.
    pub async fn truth(&self) -> Option<truth::Ledger> {
        ask(&self.inbox, |driver| driver.centre().truth().clone()).await
    }

    /// True when no more callers will come and none is left.
    pub async fn is_finished(&self) -> Option<bool> {
        ask(&self.inbox, |driver| driver.has_begun() && driver.centre().is_finished()).await
    }

    /// Multiplies the rate of fresh calls for so many simulated milliseconds.
    pub async fn flood(&self, factor: f64, lasts_ms: i64) -> Option<()> {
        ask(&self.inbox, move |driver| driver.centre_mut().flood(factor, lasts_ms)).await
    }

    /// Starts a fault of the link.
    pub async fn fault(&self, kind: Kind, lasts_ms: i64) -> Option<()> {
        ask(&self.inbox, move |driver| driver.start_fault(Fault { kind, lasts_ms })).await
    }

    /// Sets how fast simulated time runs; 0 is as fast as the sessions take the events.
    pub async fn set_speed(&self, speed: f64) -> Option<()> {
        ask(&self.inbox, move |driver| driver.set_speed(speed)).await
    }

    /// Places a call to a line; answers its id, or none when there is no such line.
    pub async fn place_call(&self, did: &str, number: u64, wish: Wish) -> Option<Option<String>> {
        let did = did.to_owned();
        ask(&self.inbox, move |driver| driver.centre_mut().place_call(&did, number, wish)).await
    }
}

/// The AMI door.
pub(crate) struct Door {
    plan: Arc<Plan>,
    handle: Handle,
    clock: Clock,
    room: Arc<Notify>,
    sessions: Tasks,
}

impl Door {
    pub(crate) fn new(plan: Arc<Plan>, handle: Handle, clock: Clock, room: Arc<Notify>, tasks: &Tasks) -> Door {
        let sessions = tasks.group("sessions", plan.ami.sessions_max);
        Door { plan, handle, clock, room, sessions }
    }

    /// Accepts until the drain starts.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let drain = self.sessions.drain().clone();
        let mut next = 0_u64;
        loop {
            let stream = tokio::select! {
                biased;
                () = drain.started() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors, most likely: a moment later there may be some.
                        tracing::warn!(%error, "cannot accept a session");
                        self.clock.sleep(std::time::Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            next += 1;
            self.admit(stream, next).await;
        }
        let _ = self.sessions.shutdown(std::time::Duration::from_secs(1)).await;
    }

    async fn admit(&self, stream: TcpStream, id: u64) {
        let down =
            ask(&self.handle.inbox, |driver| driver.faults().iter().any(|(kind, _)| *kind == Kind::LinkDrop)).await;
        if down != Some(false) {
            return;
        }
        let given = session::Given {
            ami: Arc::new(self.plan.ami.clone()),
            inbox: self.handle.inbox.clone(),
            clock: self.clock.clone(),
            room: self.room.clone(),
        };
        let drain = self.sessions.drain().clone();
        let work = async move {
            let ended = tokio::select! {
                ended = session::serve(stream, id, given) => ended,
                () = drain.started() => session::Ended::Cut,
            };
            tracing::info!(session = id, ?ended, "session is over");
        };
        metric::counter("simulator_sessions_total", &[]).increment(1);
        if self.sessions.spawn(format!("session {id}"), work).is_err() {
            tracing::warn!(sessions_max = self.plan.ami.sessions_max, "no room for another session");
        }
    }
}
