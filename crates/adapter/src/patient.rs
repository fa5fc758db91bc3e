//! An intake that asks again while the journal does not answer: a full disk, brokers that are away. What a vendor says is said once, so it
//! is not given up because of something that passes by itself.
//!
//! Where collectors take turns at a source only what earlier sessions left is read through it: what is written goes with the proof of the
//! turn, and waits in the [outbox](crate::outbox) while the journal is away. It is not for recordings, which begin again where they ended.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use journal::Class;
use model::SourceId;
use service::{Clock, Drain, metric};

use crate::intake::{Handover, Intake};

/// The first wait; it doubles up to `LONGEST`.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3);

/// The patient one.
pub(crate) struct Patient {
    pub(crate) intake: Arc<dyn Intake>,
    pub(crate) source: SourceId,
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
}

impl Patient {
    /// Waits for another attempt; `false` where none helps, or nobody waits for it any more.
    async fn again(&self, error: &journal::Error, wait: &mut Duration) -> bool {
        if error.class() != Class::Transient || self.drain.is_started() {
            return false;
        }
        let code = error.code().unwrap_or_default();
        tracing::warn!(source = %self.source, code, %error, "the journal does not answer now; it is asked again");
        metric::counter("collector_repeats_total", &[("source", self.source.as_str())]).increment(1);
        tokio::select! {
            biased;
            // One more attempt: it may be back.
            () = self.drain.started() => {}
            () = self.clock.sleep(*wait) => {}
        }
        *wait = (*wait * 2).min(LONGEST);
        true
    }
}

#[async_trait]
impl Intake for Patient {
    async fn state(&self, group: &str) -> journal::Result<Vec<(Bytes, Bytes)>> {
        let mut wait = FIRST;
        loop {
            match self.intake.state(group).await {
                Err(error) if self.again(&error, &mut wait).await => {}
                answer => return answer,
            }
        }
    }

    async fn hand_over(&self, handover: Handover) -> journal::Result<()> {
        let mut wait = FIRST;
        loop {
            match self.intake.hand_over(handover.clone()).await {
                Err(error) if self.again(&error, &mut wait).await => {}
                answer => return answer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use journal::Error;

    use super::*;

    /// Fails so often before it takes anything.
    struct Moody {
        failures: Mutex<Vec<Error>>,
        taken: Mutex<u32>,
    }

    #[async_trait]
    impl Intake for Moody {
        async fn state(&self, _: &str) -> journal::Result<Vec<(Bytes, Bytes)>> {
            self.failures.lock().unwrap().pop().map_or(Ok(Vec::new()), Err)
        }

        async fn hand_over(&self, _: Handover) -> journal::Result<()> {
            if let Some(error) = self.failures.lock().unwrap().pop() {
                return Err(error);
            }
            *self.taken.lock().unwrap() += 1;
            Ok(())
        }
    }

    fn patient(failures: Vec<Error>) -> (Patient, Arc<Moody>) {
        let moody = Arc::new(Moody { failures: Mutex::new(failures), taken: Mutex::default() });
        let intake = Arc::clone(&moody) as Arc<dyn Intake>;
        (Patient { intake, source: "pbx1".into(), clock: Clock::system(), drain: Drain::new() }, moody)
    }

    fn handover() -> Handover {
        Handover {
            group: "g".to_owned(),
            source: "pbx1".into(),
            envelopes: Vec::new(),
            verbatim: Vec::new(),
            raw: Vec::new(),
            state: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_journal_does_not_take_for_a_while_is_handed_over_again_until_it_does() {
        let (patient, moody) = patient(vec![Error::Full, Error::Unanswered("no".to_owned()), Error::Full]);
        patient.hand_over(handover()).await.unwrap();
        assert_eq!(*moody.taken.lock().unwrap(), 1);
        moody.failures.lock().unwrap().extend([Error::Full, Error::Storage("gone".to_owned())]);
        assert!(patient.state("g").await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_never_be_taken_and_what_nobody_waits_for_is_said_at_once() {
        let (patient, moody) = patient(vec![Error::Poisoned("io".to_owned())]);
        assert!(matches!(patient.hand_over(handover()).await, Err(Error::Poisoned(_))));
        patient.drain.start("over");
        moody.failures.lock().unwrap().push(Error::Full);
        assert!(matches!(patient.hand_over(handover()).await, Err(Error::Full)));
    }
}
