//! A session that stands by beside one that writes saw the PBX only from some moment on: of what was there before, a snapshot tells when it
//! began to the second at best, and what happened between the state that was read and the first event nobody told it. What the other one has
//! stored is exact: it is taken over, thing by thing, as soon as it is of a time at which both know the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::Time;

use crate::translate::Translator;

/// What is still to be learned.
#[derive(Debug, Default)]
pub(crate) enum Unsure {
    /// Everything that is there.
    #[default]
    All,
    /// These keys of the state, each with when we last changed it (microseconds).
    Some(BTreeMap<String, i64>),
}

impl Unsure {
    /// Something of ours has changed.
    pub(super) fn touched(&mut self, key: &str, now_us: i64) {
        if let Unsure::Some(keys) = self
            && let Some(at) = keys.get_mut(key)
        {
            *at = now_us;
        }
    }
}

impl Translator {
    /// Takes over what another session has stored, which has seen the PBX up to `seen`: calls and agents that have not changed here since a
    /// moment that it has seen wholly, when we have seen as much as it has. True: there is more to learn, from what is stored later.
    pub fn learn(&mut self, stored: &BTreeMap<String, Bytes>, seen: Time) -> bool {
        let (now_us, seen_us) = (self.now_us(), seen.ms().saturating_mul(1_000));
        if matches!(self.unsure, Unsure::All) {
            let calls = self.calls.keys().map(|id| format!("call/{id}"));
            let agents = self.agents.keys().map(|id| format!("agent/{id}"));
            self.unsure = Unsure::Some(calls.chain(agents).map(|key| (key, now_us)).collect());
        }
        let Unsure::Some(keys) = &mut self.unsure else { return true };
        // Its last millisecond may be half told.
        if now_us < seen_us + 1_000 {
            return !keys.is_empty();
        }
        let same: Vec<String> = keys.extract_if(.., |_, at| *at < seen_us).map(|(key, _)| key).collect();
        let more = !keys.is_empty();
        for key in same {
            self.put_stored(&key, stored.get(&key));
        }
        more
    }

    /// Puts what is stored in the place of what we believed.
    fn put_stored(&mut self, key: &str, stored: Option<&Bytes>) {
        match key.split_once('/') {
            Some(("call", id)) => {
                if let Some(call) = self.take(id) {
                    self.legs.retain(|uid, of| of != id || !call.legs.contains_key(uid));
                }
            }
            Some(("agent", id)) => {
                if let Some(agent) = self.agents.remove(id) {
                    self.memberships -= agent.queues.len();
                }
            }
            _ => return,
        }
        if let Some(stored) = stored {
            self.restore(key, stored);
        }
        if let Some((family, id)) = key.split_once('/') {
            self.touch(family, id);
        }
    }
}
