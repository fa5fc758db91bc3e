//! Blind transfers: to a queue, to an agent's number or to an outside line, by the phone or by order.

use std::sync::Arc;

use super::agenda::{Due, Turn};
use super::truth::{EndedBy, TransferKind};
use super::voice::Class;
use super::{Centre, Phase};

impl Centre {
    /// The agent sends the caller to another queue.
    pub(super) fn blind_to_queue(&mut self, no: u64, queue: usize) {
        let exten = self.words.queues[queue].clone();
        let to = format!("queue:{}", self.plan.queues[queue].id);
        if let Some(agent) = self.blind(no, "route-queue", &exten, to) {
            self.join(no, queue);
            self.settle(agent);
        }
    }

    /// The agent sends the caller to an outside line that answers by itself.
    pub(super) fn blind_outside(&mut self, no: u64, number: Option<&str>) {
        let exten: Arc<str> = Arc::from(number.unwrap_or("600"));
        let Some(agent) = self.blind(no, "agents", &exten, format!("number:{exten}")) else { return };
        let plan = self.plan.clone();
        let Some(call) = self.calls.get_mut(&no) else { return };
        let lasts = plan.manners.out_talk.draw(&mut call.rng).max(1_000);
        call.phase = Phase::Outside;
        let leg = call.leg;
        if let Some(channel) = self.channels.get_mut(&call.chan) {
            channel.run("Wait", "");
        }
        self.truth.leg_begins(no, None, self.now);
        self.later(lasts, Due::Talk { call: no, leg, turn: Turn::SystemEnds });
        self.settle(agent);
    }

    /// The outside line is done.
    pub(super) fn outside_ends(&mut self, no: u64) {
        self.truth.leg_ends(no, self.now);
        self.end_call(no, EndedBy::System, 16);
    }

    /// What every blind transfer has in common. Answers the agent, who is free of the call but not yet settled.
    ///
    /// `Unhold` comes without a `Hold`, as the real PBX says it on every transfer.
    fn blind(&mut self, no: u64, context: &'static str, exten: &Arc<str>, to: String) -> Option<usize> {
        // A call out has the agent's channel first: this centre transfers only what came in.
        let first = self.calls.get(&no)?.chan;
        if self.talking(no).is_none_or(|talking| talking.customer != first || talking.consult.is_some()) {
            return None;
        }
        if self.talking(no).is_some_and(|talking| talking.held_since_ms.is_some()) {
            self.end_hold(no);
        } else if let Some(phone) = self.talking(no).map(|talking| talking.phone)
            && let Some(channel) = self.channels.get(&phone)
        {
            self.voice.plain(self.now, "Unhold", channel);
        }
        let mut talking = self.take_talking(no)?;
        self.say_blind(&talking, context, exten);
        if let Some(channel) = self.channels.get_mut(&talking.customer) {
            channel.goto(context, exten, 1);
        }
        self.complete(no, &talking, "transfer");
        let bridge = talking.bridge.clone();
        self.leave_bridge(&bridge, talking.customer, 1);
        self.leave_bridge(&bridge, talking.near(), 0);
        self.voice.bridge_life(self.now, "BridgeDestroy", &bridge);
        self.leave_local(&mut talking);
        self.truth.transferred(no, TransferKind::Blind, talking.agent, to, self.now);
        self.conversation_over(no, &talking, None);
        self.hang_phone(talking.agent, talking.phone);
        self.mark(talking.agent);
        Some(talking.agent)
    }

    fn say_blind(&mut self, talking: &super::talk::Talking, context: &str, exten: &str) {
        let (Some(from), Some(who)) = (self.channels.get(&talking.phone), self.channels.get(&talking.customer)) else {
            return;
        };
        self.voice
            .event("BlindTransfer", Class::Call, self.now)
            .put("Result", "Success")
            .channel("Transferer", from)
            .channel("Transferee", who)
            .bridge("", &talking.bridge, 2)
            .put("IsExternal", "Yes")
            .put("Context", context)
            .put("Extension", exten)
            .end();
    }
}
