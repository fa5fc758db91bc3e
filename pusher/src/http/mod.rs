//! The HTTP face: routes, their documentation, and what all answers share.
//!
//! Start at [`router`]; each module beside it is a group of routes.

pub mod answer;
pub mod calls;
pub mod live;
pub mod meta;
pub mod openapi;
pub mod page;
pub mod reports;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::{Directory, Time};
use service::http::{Principal, Problem};
use service::{Clock, Tasks};
use store::Reports;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tower_http::compression::CompressionLayer;

use crate::report::ask::{Asker, Bounds};
use crate::ws::hub::Hub;
use crate::ws::socket::Door;

/// What the routes work with. A cheap handle.
#[derive(Clone)]
pub struct Face {
    /// The live figures.
    pub hub: Arc<Hub>,
    /// The reports.
    pub reports: Arc<dyn Reports>,
    /// Names, thresholds, zones.
    pub directory: Arc<Directory>,
    /// The time.
    pub clock: Clock,
    /// Bounds of reports.
    pub bounds: Bounds,
    /// A place for each report that is being computed.
    pub places: Arc<Semaphore>,
    /// Where they are computed.
    pub tasks: Tasks,
    /// How long a request may take.
    pub timeout: Duration,
    /// The WebSocket.
    pub door: Arc<Door>,
}

impl Face {
    fn now(&self) -> Time {
        Time(self.clock.now_ms())
    }

    /// Who asks, as the reports see it.
    fn asker<'a>(&'a self, principal: &'a Principal) -> Asker<'a> {
        Asker { directory: &self.directory, tenant: scope(principal), now: self.now(), bounds: self.bounds }
    }

    /// Computes a report on a thread of its own, so that a long one holds up nobody's live figures. It keeps its place until it
    /// is done, even when the asker is gone.
    async fn apart<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
        let full = || Problem::too_many("as many reports are being computed as may be at once", 2);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| full())?;
        let (tell, told) = oneshot::channel();
        let runtime = Handle::current();
        let started = self.tasks.spawn_blocking("report", move || {
            let _ = tell.send(runtime.block_on(work)); // nobody listens when the asker is gone
            drop(place);
        });
        started.map_err(|_| full())?;
        told.await.map_err(|_| Problem::internal(&"the report ended without an answer"))
    }
}

/// The only tenant that a principal may see; `None`: all.
fn scope(principal: &Principal) -> Option<&str> {
    (principal.tenant != "*").then_some(principal.tenant.as_str())
}

/// Every route.
pub fn router(face: Face) -> Router {
    let guard = face.door.guard.clone();
    let documented = openapi::documented().split_for_parts().0;
    let timed = middleware::from_fn_with_state(face.clone(), within_time);
    let guarded = guard.protect(documented.layer(timed));
    Router::new()
        .merge(guarded)
        .merge(page::routes())
        .route("/v1/ws", get(socket))
        .route("/v1/openapi.json", get(openapi::serve))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(CompressionLayer::new())
        .with_state(face)
}

async fn socket(State(face): State<Face>, request: Request) -> Response {
    face.door.open(&mut request.into_parts().0).into_response()
}

async fn nothing_here(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at {}: the routes are in /v1/openapi.json", request.uri().path()))
}

async fn wrong_method(request: Request) -> Problem {
    Problem::method_not_allowed(format!("{} does not answer {}", request.uri().path(), request.method()))
}

async fn within_time(State(face): State<Face>, request: Request, next: Next) -> Response {
    match face.clock.timeout(face.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(elapsed) => Problem::unavailable(format!("no answer: {elapsed}; ask for less"), 5).into_response(),
    }
}
