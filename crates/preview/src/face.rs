//! `POST /v1/preview`: a router that whoever keeps the thresholds mounts behind its own guard.
//!
//! One preview at a time; a second one is told to come back. The period, the calls and the seeds are bounded. When the asker goes away
//! or the process drains, the play ends within some thousands of moments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use jiff::civil;
use jiff::tz::TimeZone;
use model::{Directory, QueueId, TenantId, Time};
use serde::Deserialize;
use service::Tasks;
use service::http::{Json, Principal, Problem, Role};
use store::Reports;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::answer::Answer;
use crate::recorded::Recorded;
use crate::run::{Asked, Preview, SEEDS_MAX};
use crate::scenario::Scenario;
use crate::{Error, Fault};

/// The longest period that may be asked for, days.
pub const DAYS_MAX: i64 = 62;
/// The longest question, bytes.
const BODY_MAX: usize = 1 << 20;
/// Seeds, where nobody says how many.
const SEEDS: u32 = 10;
/// When to come back, seconds.
const AGAIN_S: u64 = 10;

/// The thresholds of a tenant that are in force, with the targets that are there.
pub type InForce = Arc<dyn Fn(&TenantId) -> Scenario + Send + Sync>;

/// What the route works with. A cheap handle.
#[derive(Clone)]
pub struct Face {
    reports: Arc<dyn Reports>,
    directory: Arc<Directory>,
    in_force: InForce,
    tasks: Tasks,
    seat: Arc<Semaphore>,
}

impl Face {
    /// Over these reports; `in_force` is what proposals are compared with, and whose targets they may name.
    pub fn new(reports: Arc<dyn Reports>, directory: Arc<Directory>, in_force: InForce, tasks: Tasks) -> Face {
        Face { reports, directory, in_force, tasks, seat: Arc::new(Semaphore::new(1)) }
    }
}

/// The question.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// From when: RFC 3339, or a date or date-time in the tenant's zone.
    pub from: String,
    /// Up to when, exclusive.
    pub to: String,
    /// The tenant, where the asker may see more than one.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// What shall be tried. A queue that is not named lets everybody in.
    pub thresholds: Scenario,
    /// What it is compared with; absent: what is in force.
    #[serde(default)]
    pub current: Option<Scenario>,
    /// Only these queues are told one by one; empty: all.
    #[serde(default)]
    pub queues: Vec<QueueId>,
    /// The first seed.
    #[serde(default)]
    pub seed: u64,
    /// How many seeds are played; absent: 10.
    #[serde(default)]
    pub seeds: Option<u32>,
    /// How old the controller's figures are, seconds.
    #[serde(default)]
    pub age_s: f64,
}

/// `POST /v1/preview`, to be put behind a [`service::http::auth::Guard`].
pub fn router(face: Face) -> Router {
    Router::new().route("/v1/preview", post(preview)).layer(DefaultBodyLimit::max(BODY_MAX)).with_state(face)
}

async fn preview(
    State(face): State<Face>,
    principal: Principal,
    Json(question): Json<Question>,
) -> Result<Json<Answer>, Problem> {
    principal.require(Role::Supervisor)?;
    let (tenant, from, to) = face.about(&principal, &question)?;
    let seat = Arc::clone(&face.seat).try_acquire_owned();
    let seat = seat.map_err(|_| Problem::too_many("a preview is being played; one at a time", AGAIN_S))?;
    let gone = Gone::default();
    let (called_off, drain) = (Arc::clone(&gone.0), face.tasks.drain().clone());
    let (tell, told) = oneshot::channel();
    let (runtime, tasks) = (Handle::current(), face.tasks.clone());
    let work = move || {
        let still = move |_| !called_off.load(Ordering::Relaxed) && !drain.is_started();
        let answer = runtime.block_on(face.answer(&tenant, from, to, question, &still));
        // first the seat: who has their answer may ask again
        drop(seat);
        let _ = tell.send(answer); // nobody listens when the asker is gone
    };
    let full = |_| Problem::too_many("as many tasks are running as may be", AGAIN_S);
    tasks.spawn_blocking("preview", work).map_err(full)?;
    let answer = told.await.map_err(|_| Problem::internal(&"the preview ended without an answer"))?;
    drop(gone);
    answer.map(Json).map_err(problem)
}

/// Says that the asker is gone, when the request is dropped.
#[derive(Default)]
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Face {
    /// Whose traffic, from when to when.
    fn about(&self, principal: &Principal, question: &Question) -> Result<(TenantId, Time, Time), Problem> {
        let tenant = match (&question.tenant, principal.tenant.as_str()) {
            (Some(asked), _) => asked.clone(),
            (None, "*") => self.only_tenant()?,
            (None, own) => TenantId::new(own),
        };
        if !principal.sees(tenant.as_str()) {
            return Err(Problem::forbidden(format!("{} may not see tenant {tenant}", principal.name)));
        }
        let (from, to) = period(&self.directory, &tenant, &question.from, &question.to).map_err(problem)?;
        Ok((tenant, from, to))
    }

    fn only_tenant(&self) -> Result<TenantId, Problem> {
        let mut tenants = self.directory.tenants.keys();
        match (tenants.next(), tenants.next()) {
            (Some(only), None) => Ok(only.clone()),
            _ => Err(Problem::bad_request("say whose traffic")
                .with_fault("tenant", "is missing, and there is more than one")),
        }
    }

    async fn answer(
        &self,
        tenant: &TenantId,
        from: Time,
        to: Time,
        question: Question,
        still: &(dyn Fn(f64) -> bool + Send + Sync),
    ) -> Result<Answer, Error> {
        let recorded = Recorded::read(self.reports.as_ref(), tenant, from, to, still).await?;
        let preview = Preview::of(recorded, tenant, &self.directory)?;
        let in_force = (self.in_force)(tenant).within(preview.queues());
        let asked = Asked {
            proposed: question.thresholds.with_targets_of(&in_force),
            current: question.current.map_or_else(|| in_force.clone(), |current| current.with_targets_of(&in_force)),
            queues: question.queues,
            seed: question.seed,
            seeds: question.seeds.unwrap_or(SEEDS).min(SEEDS_MAX + 1),
            age_s: question.age_s,
            threads: 1,
        };
        preview.play(&asked, &|part| still(part))
    }
}

/// Both ends of a period: RFC 3339, or dates in the tenant's zone.
///
/// # Errors
/// [`Error::Refused`] with everything that is wrong with them.
pub fn period(directory: &Directory, tenant: &TenantId, from: &str, to: &str) -> Result<(Time, Time), Error> {
    let zone = TimeZone::get(&directory.tenant(tenant).time_zone).unwrap_or(TimeZone::UTC);
    let moment = |text: &str| {
        let local =
            || text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(civil::DateTime::from));
        let zoned = || local().ok()?.to_zoned(zone.clone()).ok();
        Time::parse(text).ok().or_else(|| zoned().map(|zoned| Time(zoned.timestamp().as_millisecond())))
    };
    let (start, end) = (moment(from), moment(to));
    let mut faults = Vec::new();
    for (at, text, found) in [("from", from, start), ("to", to, end)] {
        if found.is_none() {
            let what = format!("{text:?} is no time: write 1999-02-01, 1999-02-01T08:00 or 1999-02-01T08:00:00Z");
            faults.push(Fault { at: at.to_owned(), what });
        }
    }
    let (Some(start), Some(end)) = (start, end) else { return Err(Error::Refused(faults)) };
    if end <= start {
        return Err(Error::refused("to", format!("{to:?} is not after from, {from:?}")));
    }
    if end.since(start) > DAYS_MAX * 86_400_000 {
        return Err(Error::refused("to", format!("{to:?} is more than {DAYS_MAX} days after from, {from:?}")));
    }
    Ok((start, end))
}

fn problem(error: Error) -> Problem {
    match error {
        Error::Refused(faults) => {
            let one = match faults.as_slice() {
                [one] => one.what.clone(),
                many => format!("{} things are wrong", many.len()),
            };
            let asked = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "TG0040", "the request is not valid", one);
            faults.into_iter().fold(asked, |problem, fault| problem.with_fault(fault.at, fault.what))
        }
        Error::CalledOff => Problem::unavailable("the preview was called off", AGAIN_S),
        error @ Error::Store(_) => Problem::internal(&error),
    }
}
