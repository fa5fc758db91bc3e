//! Desk phones that ring for a queue without its application: the dialplan fell back to them (`deploy/asterisk`), by its own switch,
//! because nobody told it where to go, or because it was told so.
//!
//! The dialplan says who comes for which queue (`UserEvent`); from then on until an answer, an end, or the queue itself the caller
//! waits in that queue, and every phone that the dialplan dials rings for it. So the call is counted as what it is: the queue's.
//! Test calls of a drill are nobody's calls: nothing is said of them.

use model::event::call;

use super::Translator;
use crate::frame::Frame;
use crate::state::{Call, Talk};

/// How the channels of a drill's test calls begin.
const DRILL: &str = "Local/s@tidegate-drill-";

/// Whether a channel belongs to a test call of a drill.
pub(super) fn is_drill(channel: &str) -> bool {
    channel.starts_with(DRILL)
}

impl Translator {
    /// The dialplan rings the desk phones of a queue for this caller.
    pub(super) fn desks_ring(&mut self, frame: &Frame, at: i64) {
        let (Some(uid), Some(queue)) = (frame.get("Uniqueid").map(str::to_owned), frame.get("Queue")) else { return };
        let Some(mut call) = self.call_of(&uid).and_then(|id| self.take(&id)) else { return };
        self.at_desks(&mut call, &uid, queue, frame.get("Why").unwrap_or_default(), at);
        self.put(call);
    }

    /// The caller waits in a queue whose desk phones ring from now on. `why`: the dialplan's own word, if it was asked nobody.
    pub(crate) fn at_desks(&mut self, call: &mut Call, uid: &str, queue: &str, why: &str, at: i64) {
        if call.over_us.is_some() || call.drill {
            return;
        }
        self.enter_queue(call, uid, queue, None, None, at);
        let Some(stay) = call.stay.as_mut().filter(|stay| stay.uid == uid && stay.queue == queue) else { return };
        if std::mem::replace(&mut stay.desk, true) {
            return;
        }
        // What the gate ordered the gate says itself; of what it was not asked for nobody else would.
        if matches!(why, "switch" | "silent") {
            let admitted = call::Admitted { queue: queue.into(), rule: why.to_owned(), level: 4, plan: 0 };
            self.say_call(call, at, admitted, format!("desks|{uid}|{queue}|{at}"));
        }
    }

    /// The queue whose desk phones ring for this channel.
    pub(super) fn desk_queue(call: &Call, uid: &str) -> Option<String> {
        let stay = call.stay.as_ref().filter(|stay| stay.desk && stay.uid == uid && stay.left.is_none())?;
        Some(stay.queue.clone())
    }

    /// A talk is over whose channel is gone. No queue says that a desk phone is done: the end of the channel does.
    pub(crate) fn talk_gone(&mut self, talk: &Talk, uid: &str, at: i64) {
        if talk.desk
            && let Some((_, queue)) = self.agents.get_mut(&talk.agent).and_then(|agent| agent.talks.get_mut(uid))
        {
            *queue = None;
        }
        self.talk_over(&talk.agent, uid, at);
    }

    /// The waiting caller was answered at a desk phone.
    pub(crate) fn answered_at_desk(&mut self, call: &mut Call, dest: &str, agent: &str, device: &str, at: i64) {
        self.connect(call, dest, agent, device, at);
        if let Some(talk) = call.talks.get_mut(dest) {
            talk.desk = true;
        }
    }
}
