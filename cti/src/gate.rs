//! One decision: who asks, what holds for the queue now, where the call goes. From memory alone, in microseconds.
//!
//! Nothing here waits for anything but short locks of its own: journal, console and views feed the memory from other tasks, and when they
//! are gone the memory stays. `policy` judges; this remembers.

mod handing;
mod leading;
mod memory;
mod state;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use model::control::{self, Kind, Level, QueueCounted, TargetCounted};
use model::event::call::{Admitted, Diverted};
use model::{Directory, Envelope, Event, Fact, QueueId, Subject, TenantId, Time};
use policy::gate::{Caller, Heard, Protected, Reason};
use policy::plan::{Applied, Force, Table, seconds};
use policy::sticky;
use service::{Clock, metric};
use xxhash_rust::xxh3::xxh3_64;

use crate::ask::{Answer, Ask, Why};
use crate::callers::{Callers, Known};
use crate::config::Config;
use crate::emit::Emitter;
pub use crate::live::Now;
use crate::recent;
use crate::webhook::Webhooks;
pub(crate) use memory::{Memory, lock};
pub use state::Enforced;

/// What was decided, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// What the phone system is told.
    pub answer: Answer,
    /// When.
    pub at: Time,
}

/// How the answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// To an Asterisk, whose events are in order by its microseconds.
    Asterisk,
    /// To anybody over HTTP.
    Http,
}

/// The gate of all queues.
pub struct Gate {
    pub(crate) memory: Memory,
    /// Whether the stream `control` was read to its end once.
    has_read: AtomicBool,
    pub(crate) callers: Callers,
    directory: Arc<Directory>,
    clock: Clock,
    emitter: Emitter,
    webhooks: Webhooks,
    promises: crate::callbacks::Config,
    instance: String,
    deadline: Duration,
    again_ms: i64,
    decisions: AtomicU64,
    caught_up: AtomicBool,
    counters: Vec<metric::Counter>,
    late: metric::Counter,
}

const HOUR_MS: i64 = 3_600_000;

/// The key that numbers are sealed with.
pub(crate) struct Key {
    pub(crate) bytes: Vec<u8>,
    /// Whether it is that of all gates, and not one of this process alone.
    pub(crate) lasting: bool,
}

impl Gate {
    /// A gate that knows nothing yet: every queue is open.
    pub(crate) fn new(
        config: &Config,
        key: Key,
        directory: Arc<Directory>,
        clock: Clock,
        ways: (Emitter, Webhooks),
        instance: &str,
    ) -> Gate {
        metric::describe_counter("cti_decisions_total", "decisions of the route gate, by the rule that decided");
        metric::describe_counter(
            "cti_late_total",
            "requests that were answered with the fallback because a decision would have come late",
        );
        let counter = |why: &Why| metric::counter("cti_decisions_total", &[("rule", why.as_str())]);
        Gate {
            memory: Memory::new(config, &directory),
            has_read: AtomicBool::new(false),
            callers: Callers::new(key.bytes, key.lasting, &config.vip, &config.emergency),
            directory,
            clock,
            emitter: ways.0,
            webhooks: ways.1,
            promises: config.callbacks.clone(),
            instance: instance.to_owned(),
            deadline: config.deadline.duration(),
            again_ms: config.again_within.signed(),
            decisions: AtomicU64::new(0),
            caught_up: AtomicBool::new(false),
            counters: Why::ALL.iter().map(counter).collect(),
            late: metric::counter("cti_late_total", &[]),
        }
    }

    /// Takes in a decision of the console or of a person. Whoever follows the stream `control` calls this; so does a simulation.
    pub fn hear(&self, decision: &control::Envelope) -> Applied {
        self.memory.change(|table| table.apply(decision))
    }

    /// The whole stream was read, and this is what it says: it holds from now on, in place of all that was known.
    pub(crate) fn read(&self, decided: Table) {
        self.memory.change(|table| {
            self.has_read.store(true, Ordering::Release);
            *table = decided;
        });
    }

    /// Whether the stream was read to its end once.
    pub(crate) fn has_read(&self) -> bool {
        self.has_read.load(Ordering::Acquire)
    }

    /// What others say holds; whether it is taken: not when the stream was read meanwhile.
    pub(crate) fn recall(&self, decided: Table) -> bool {
        self.memory.change(|table| {
            let taken = !self.has_read();
            if taken {
                *table = decided;
            }
            taken
        })
    }

    /// Takes in the figures of all queues that somebody waits in or works for, in place of the former ones.
    pub fn see(&self, figures: HashMap<TenantId, HashMap<QueueId, Now>>) {
        self.memory.take_figures(figures);
    }

    /// Everything that was decided before this gate started is known from now on.
    pub(crate) fn caught_up(&self) {
        self.caught_up.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Relaxed)
    }

    /// Queues of a tenant that are ordered to their hard phones now.
    pub(crate) fn hard_phones(&self, tenant: &TenantId) -> BTreeSet<QueueId> {
        let (now, table) = (Time(self.clock.now_ms()), self.memory.table());
        let level = |queue: &QueueId| Some(table.force(tenant, queue, now, 0)?.orders.level);
        let queues = table.tenant(tenant).into_iter().flat_map(|tenant| tenant.queues());
        queues.map(|(queue, _)| queue).filter(|queue| level(queue) == Some(Level::HardPhone)).cloned().collect()
    }

    /// After so long an answer is late.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The fallback: the call enters its queue.
    pub(crate) fn late(&self) -> Answer {
        self.late.increment(1);
        Answer::enter(Why::Late)
    }

    /// Decides. `began`: when the request was first heard of, on the clock's monotonic time.
    pub fn decide(&self, ask: &Ask, began: Duration) -> Decided {
        let at = Time(self.clock.now_ms());
        let answer = match self.clock.monotonic().saturating_sub(began) > self.deadline {
            true => self.late(),
            false => self.judge(ask, at),
        };
        self.counters[answer.reason as usize].increment(1);
        Decided { answer, at }
    }

    fn judge(&self, ask: &Ask, at: Time) -> Answer {
        let tenant = self.directory.tenant_of(&ask.source);
        let who = self.callers.know(ask.caller.as_deref(), ask.dialled.as_deref());
        let before = who.token.as_ref().map(|token| lock(&self.memory.recent).attempt(token.as_bytes(), at.ms()));
        let before = before.unwrap_or_default();
        if let Some(token) = who.token.as_ref().filter(|_| ask.returned || before.diverted_ms > 0) {
            // whoever was led elsewhere and asks for a person again was not helped there
            let caller = came_back(token, ask.queue.as_str());
            lock(&self.memory.led).returned(caller, at.ms());
        }
        let Some(standing) = self.memory.standing(&tenant, &ask.queue) else { return Answer::enter(Why::NoPlan) };
        let table = self.memory.table();
        let force = table.force(&tenant, &ask.queue, at, self.memory.hour(&tenant, at));
        let mut standing = lock(&standing);
        standing.counted.attempts += 1;
        standing.counted.first += u64::from(before.attempts == 0);
        let answer = match force.filter(|force| force.plan > 0 || force.orders.level >= Level::DivertShare) {
            Some(force) => {
                let force = self.seeing(force, &tenant, ask);
                let asked = Asked { tenant: &tenant, ask, at, who: &who, before };
                self.enforce(&mut standing, &asked, &force)
            }
            None => standing.unplanned(seconds(at), who.emergency),
        };
        standing.counted.admitted += u64::from(answer.enters());
        answer
    }

    /// The orders, with the freshest figures there are.
    fn seeing<'a>(&self, force: Force<'a>, tenant: &TenantId, ask: &Ask) -> Force<'a> {
        match self.memory.figures(tenant, &ask.queue) {
            Some(now) => force.seeing(now.at, now.waiting, now.free),
            None => force,
        }
    }

    fn enforce(&self, standing: &mut state::Standing, asked: &Asked<'_>, force: &Force<'_>) -> Answer {
        let (now_s, orders) = (seconds(asked.at), &force.orders);
        let with = |reason, answer: Answer| Answer { reason, level: orders.level.number(), plan: force.plan, ..answer };
        if orders.level == Level::HardPhone {
            return with(Why::HardPhone, Answer::enter(Why::HardPhone));
        }
        let (caller, again) = self.caller(asked, force);
        let heard = heard(asked.at, force);
        if force.plan == 0 && caller.protected.is_some() {
            // An order without a plan says nothing of what the queue bears: that nobody knows a rate is no reason to refuse these.
            standing.gate.entered_anyway(now_s, orders, &force.rules, &force.stale, heard);
            return with(why(Reason::Protected, caller.protected, again), Answer::enter(Why::Open));
        }
        let reason = standing.gate.decide_heard(now_s, &caller, orders, &force.rules, &force.stale, heard);
        if reason.enters() {
            let offers = if orders.level >= Level::Offer { force.offers } else { &[] };
            let offers = offers.iter().map(|lead| lead.target.as_str().to_owned()).collect();
            return with(why(reason, caller.protected, again), Answer { offers, ..Answer::enter(Why::Open) });
        }
        match self.lead(asked, force) {
            Some(lead) => {
                if let Some(token) = &asked.who.token {
                    let target = xxh3_64(lead.target.as_str().as_bytes());
                    lock(&self.memory.recent).diverted(token.as_bytes(), asked.queue_hash(), target, asked.at.ms());
                    let caller = came_back(token, asked.ask.queue.as_str());
                    let target = [asked.tenant.as_str(), "/", lead.target.as_str()].concat();
                    lock(&self.memory.led).led(caller, &target.as_str().into(), asked.at.ms());
                }
                let answer = Answer {
                    target: lead.kind,
                    name: Some(lead.target.as_str().to_owned()),
                    address: Some(lead.address.clone()),
                    service: self.service_of(lead.kind, asked.tenant),
                    ..Answer::enter(Why::Open)
                };
                with(why(reason, caller.protected, again), answer)
            }
            // Nobody is dropped by us: who can be led nowhere waits like the others.
            None => {
                standing.gate.entered_anyway(now_s, orders, &force.rules, &force.stale, heard);
                with(Why::NoTarget, Answer::enter(Why::NoTarget))
            }
        }
    }

    /// By which call service a caller is led on, where one is: in turn by weight.
    fn service_of(&self, kind: Kind, tenant: &TenantId) -> Option<String> {
        (kind == Kind::CallService).then(|| self.next_service(tenant)).flatten().map(|(_, address)| address)
    }

    /// The caller as the rules see them, and whether they only dialled again.
    fn caller(&self, asked: &Asked<'_>, force: &Force<'_>) -> (Caller, bool) {
        let (who, before, ask) = (asked.who, &asked.before, asked.ask);
        let protection = force.queue.thresholds().protection;
        let since_ms = asked.at.ms() - before.diverted_ms;
        let diverted = before.diverted_ms > 0 && before.queue == asked.queue_hash();
        let again = diverted && !ask.returned && since_ms <= self.again_ms;
        let in_vain = ask.returned || (diverted && since_ms > self.again_ms);
        let known = policy::gate::Known {
            emergency: who.emergency,
            vip: who.vip && protection.vip,
            attempts: before.attempts,
            diverted_in_vain: in_vain && protection.diverted_in_vain,
        };
        let name = who.token.as_deref().unwrap_or(ask.call.as_str());
        // below every share: who dials again at once holds the same ticket, whatever became of the shares
        let place = match again {
            true => -1.0,
            false => sticky::place(name.as_bytes(), asked.at.ms().div_euclid(HOUR_MS), before.attempts),
        };
        let protected = known.protected(protection.attempts_min);
        (Caller { place, first: before.attempts == 0, protected }, again)
    }

    /// Puts a decision on record: the phone system has taken it.
    pub fn carried_out(&self, ask: &Ask, decided: &Decided, channel: Channel) {
        let answer = &decided.answer;
        let (rule, level, plan) = (answer.reason.as_str().to_owned(), answer.level, answer.plan);
        let queue = ask.queue.clone();
        let event: Event = match answer.enters() {
            true => Admitted { queue, rule, level, plan }.into(),
            false => {
                let target = answer.target.as_str().to_owned();
                let name = answer.name.as_deref().map(Into::into);
                Diverted { target, name, rule, level, plan, queue: Some(queue) }.into()
            }
        };
        let number = self.decisions.fetch_add(1, Ordering::Relaxed);
        let (ms, number) = (decided.at.ms().to_string(), number.to_string());
        let reference = ["route", &self.instance, ask.call.as_str(), &ms, &number].join("|");
        let mut fact = Fact::new(decided.at, Subject::Call(ask.call.clone()), event).reference(reference);
        if channel == Channel::Asterisk {
            // The order of a call's events is by its numbers only if each has one; those of Asterisk are microseconds. Within its
            // millisecond a decision comes last: the call was there before it.
            fact.seq = u64::try_from(decided.at.ms()).ok().map(|ms| ms * 1_000 + 999);
        }
        let envelope: Envelope = fact.into_envelope(&ask.source, decided.at);
        if !answer.enters() {
            self.hand_over(ask, decided, envelope.id.as_str());
        }
        self.emitter.tell(&envelope);
    }

    /// What came so far, by tenant.
    pub(crate) fn counted(&self) -> Vec<(TenantId, Vec<QueueCounted>)> {
        self.memory.counted()
    }

    /// Whom each target of a tenant helped so far: who was led to it, and who of them came back.
    pub(crate) fn targets_counted(&self, tenant: &TenantId) -> Vec<TargetCounted> {
        let settled = lock(&self.memory.led).settled(self.clock.now_ms());
        let own = |(target, settled, returned): (model::TargetId, u64, u64)| {
            let target = target.as_str().strip_prefix(tenant.as_str())?.strip_prefix('/')?.into();
            Some(TargetCounted { target, settled, returned })
        };
        settled.into_iter().filter_map(own).collect()
    }

    /// What holds for each queue now, by the directory's tenants.
    pub(crate) fn enforced(&self) -> Vec<Enforced> {
        self.memory.enforced(Time(self.clock.now_ms()))
    }
}

/// A request with all that is known of its caller.
pub(crate) struct Asked<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) ask: &'a Ask,
    pub(crate) at: Time,
    pub(crate) who: &'a Known,
    pub(crate) before: recent::Caller,
}

impl Asked<'_> {
    /// A number that stands for the queue in the memory of callers.
    pub(crate) fn queue_hash(&self) -> u64 {
        xxh3_64(self.ask.queue.as_str().as_bytes())
    }
}

/// A number that stands for a caller and the queue that they want.
fn came_back(token: &str, queue: &str) -> u64 {
    xxh3_64([token, "|", queue].concat().as_bytes())
}

/// For how long the orders were not confirmed, and what a person allows at most.
fn heard(at: Time, force: &Force<'_>) -> Heard {
    let rate = force.orders.rate_per_s;
    match force.queue.plan() {
        Some(plan) => {
            let silent_s = force.affirmed_at.map_or(f64::INFINITY, |heard| seconds(at) - seconds(heard)).max(0.0);
            let ordered = rate != plan.automatic.rate_per_s;
            Heard { silent_s, most_per_s: if ordered { rate } else { f64::INFINITY } }
        }
        // An order without a plan: nothing is known of the queue but that. A level is enforced as it is, a rate by its bucket.
        None if force.orders.level == Level::DivertShare => Heard { silent_s: f64::INFINITY, most_per_s: rate },
        None => Heard::default(),
    }
}

fn why(reason: Reason, protected: Option<Protected>, again: bool) -> Why {
    match reason {
        Reason::Open => Why::Open,
        Reason::AgentFree => Why::AgentFree,
        Reason::Room => Why::Room,
        Reason::Protected => match protected {
            Some(Protected::Emergency) => Why::Emergency,
            Some(Protected::Vip) | None => Why::Vip,
            Some(Protected::Attempts) => Why::Attempts,
            Some(Protected::DivertedInVain) => Why::DivertedInVain,
        },
        Reason::Place if again => Why::Again,
        Reason::Place => Why::Place,
        Reason::NoRoom => Why::NoRoom,
        Reason::Rate => Why::Rate,
        Reason::AllDiverted => Why::AllDiverted,
    }
}
