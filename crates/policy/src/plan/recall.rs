//! Taking in what somebody else's table holds, without the records before it.

use model::control::{Envelope, Event, TargetConfigured};

use super::{Applied, Service, Stamp, Table, Target, Tenant};

impl Table {
    /// Takes in a record that is known to have changed a table elsewhere. What it replaces need not have been heard: only an older version
    /// than the one that is known is refused. The records are to come in the order of the stream, the last of each subject is enough.
    pub fn recall(&mut self, envelope: &Envelope) -> Applied {
        self.tenants.entry(envelope.tenant.clone()).or_default().make_way(envelope);
        self.apply(envelope)
    }
}

impl Tenant {
    /// Puts the version in place that the record replaces.
    fn make_way(&mut self, envelope: &Envelope) {
        let stamp = || Stamp {
            event: envelope.id.clone(),
            at: envelope.time,
            by: envelope.by.clone(),
            why: envelope.why.clone(),
        };
        match &envelope.event {
            Event::ThresholdsSet(set) => {
                let queue = self.queues.entry(set.queue.clone()).or_default();
                queue.thresholds_version = queue.thresholds_version.max(set.version.saturating_sub(1));
            }
            Event::TargetConfigured(set) if set.version > 1 => {
                let held = self.targets.entry(set.target.clone()).or_insert_with(|| Target {
                    configured: TargetConfigured { version: 0, ..(**set).clone() },
                    observed: None,
                    present: true,
                    stamp: stamp(),
                });
                held.configured.version = held.configured.version.max(set.version - 1);
            }
            Event::TargetRemoved(gone) => {
                if let Some(held) = self.targets.get_mut(&gone.target) {
                    held.configured.version = held.configured.version.max(gone.version.saturating_sub(1));
                }
            }
            Event::ServiceConfigured(set) if set.version > 1 => {
                let mut before = (**set).clone();
                before.version = 0;
                let held = self.services.entry(set.service.clone()).or_insert_with(|| Service {
                    configured: before,
                    present: true,
                    stamp: stamp(),
                });
                held.configured.version = held.configured.version.max(set.version - 1);
            }
            Event::ServiceRemoved(gone) => {
                if let Some(held) = self.services.get_mut(&gone.service) {
                    held.configured.version = held.configured.version.max(gone.version.saturating_sub(1));
                }
            }
            _ => {}
        }
    }
}
