//! Why a call was let in or led elsewhere: from its events, and from what was decided at the time.

use std::sync::Arc;

use journal::{Journal, Stream};
use model::control::{By, Envelope, Event as Decision, OverrideSet, Parsed, PlanIssued, Thresholds};
use model::{CallId, Event, QueueId, TargetId, TenantId, Time};
use serde::Serialize;
use store::Reports;

use crate::book::Books;

/// Everything that decided about a call.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// The call.
    pub call: CallId,
    /// Each decision of a gate, in order. Empty: no gate was asked.
    pub decisions: Vec<Decided>,
}

/// One decision of a gate.
#[derive(Debug, Serialize)]
pub struct Decided {
    /// When.
    pub at: Time,
    /// The queue that it was meant for.
    pub queue: Option<QueueId>,
    /// `admitted`, or where it was led.
    pub outcome: String,
    /// Which target of the plan it was led to, where it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetId>,
    /// The rule that decided.
    pub rule: String,
    /// The level then.
    pub level: u8,
    /// The version of the plan; 0: none was known.
    pub plan_version: u64,
    /// The plan, with the figures that it was made of.
    pub plan: Option<Box<PlanIssued>>,
    /// Why that plan was issued.
    pub plan_why: Option<String>,
    /// The thresholds that the plan followed.
    pub thresholds: Option<Thresholds>,
    /// Orders of persons and carriers that were in force.
    pub overrides: Vec<Ordered>,
}

/// An order that was in force.
#[derive(Debug, Serialize)]
pub struct Ordered {
    /// Who ordered it.
    pub by: By,
    /// What.
    pub set: OverrideSet,
}

/// Why something could not be explained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer.
    #[error("the store did not answer")]
    Store(#[from] store::Error),
    /// The journal did not answer.
    #[error("the journal did not answer")]
    Journal(#[from] journal::Error),
}

/// Where it is all looked up.
#[derive(Clone)]
pub struct Explainer {
    /// Calls, with their events.
    pub reports: Arc<dyn Reports>,
    /// What was decided, as it stands there.
    pub journal: Arc<dyn Journal>,
    /// What was decided, as it was read.
    pub books: Books,
}

impl Explainer {
    /// Explains a call of a tenant (`None`: of any). `None`: there is no such call.
    ///
    /// # Errors
    /// When something it is looked up in does not answer.
    pub async fn explain(&self, call: &CallId, tenant: Option<&str>) -> Result<Option<Explained>, Error> {
        let Some(record) = self.reports.call(call).await? else { return Ok(None) };
        if tenant.is_some_and(|own| own != record.tenant.as_str()) {
            return Ok(None);
        }
        let mut decisions = Vec::new();
        for envelope in record.envelopes() {
            if let Some(mut decided) = decision(envelope.time, &envelope.event) {
                self.look_up(&record.tenant, &mut decided).await?;
                decisions.push(decided);
            }
        }
        Ok(Some(Explained { call: call.clone(), decisions }))
    }

    async fn look_up(&self, tenant: &TenantId, decided: &mut Decided) -> Result<(), Error> {
        let Some(queue) = decided.queue.clone() else { return Ok(()) };
        let place = {
            let book = self.books.look();
            let held = book.overrides_at(tenant, &queue, decided.at);
            decided.overrides =
                held.into_iter().map(|(set, by)| Ordered { by: by.clone(), set: set.clone() }).collect();
            book.plan_at(tenant, &queue, decided.plan_version)
        };
        let Some(Envelope { event: Decision::PlanIssued(plan), why, .. }) = self.at(place).await? else {
            return Ok(());
        };
        decided.thresholds = self.thresholds(tenant, &queue, plan.thresholds).await?;
        decided.plan_why = Some(why);
        decided.plan = Some(plan);
        Ok(())
    }

    async fn thresholds(&self, tenant: &TenantId, queue: &QueueId, version: u64) -> Result<Option<Thresholds>, Error> {
        if version == 0 {
            return Ok(Some(Thresholds::default()));
        }
        let place = self.books.look().thresholds_at(tenant, queue, version);
        Ok(match self.at(place).await? {
            Some(Envelope { event: Decision::ThresholdsSet(set), .. }) => Some(set.thresholds),
            _ => None,
        })
    }

    async fn at(&self, place: Option<u64>) -> Result<Option<Envelope>, Error> {
        let Some(offset) = place else { return Ok(None) };
        let batch = self.journal.read(Stream::Control, 0, offset, 1, 1).await?;
        let record = batch.records.into_iter().next();
        Ok(record.and_then(|record| match Envelope::parse(&record.value) {
            Ok(Parsed::Known(envelope)) => Some(envelope),
            _ => None,
        }))
    }
}

fn decision(at: Time, event: &Event) -> Option<Decided> {
    let decided = |queue, outcome: &str, rule: &str, level, plan_version| Decided {
        at,
        queue,
        outcome: outcome.to_owned(),
        target: None,
        rule: rule.to_owned(),
        level,
        plan_version,
        plan: None,
        plan_why: None,
        thresholds: None,
        overrides: Vec::new(),
    };
    match event {
        Event::CallAdmitted(entered) => {
            let queue = Some(entered.queue.clone());
            Some(decided(queue, "admitted", &entered.rule, entered.level, entered.plan))
        }
        Event::CallDiverted(led) => Some(Decided {
            target: led.name.clone(),
            ..decided(led.queue.clone(), &led.target, &led.rule, led.level, led.plan)
        }),
        _ => None,
    }
}
