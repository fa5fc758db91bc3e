//! An agent as a member of queues: the device's state and the `QueueMember…` events.

use super::Centre;
use super::voice::{Class, Event};

/// The state of a phone, as `DeviceStateChange` and the member's `Status` say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    NotInUse,
    InUse,
    Unavailable,
    Ringing,
    OnHold,
}

impl Device {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Device::NotInUse => "NOT_INUSE",
            Device::InUse => "INUSE",
            Device::Unavailable => "UNAVAILABLE",
            Device::Ringing => "RINGING",
            Device::OnHold => "ONHOLD",
        }
    }

    /// The number in `Status` (`ast_device_state`).
    pub(crate) fn code(self) -> u8 {
        match self {
            Device::NotInUse => 1,
            Device::InUse => 2,
            Device::Unavailable => 5,
            Device::Ringing => 6,
            Device::OnHold => 8,
        }
    }
}

impl Centre {
    /// Sets the state of an agent's phone and says so, for the device and for each membership.
    pub(super) fn set_device(&mut self, agent: usize, device: Device) {
        if self.agents[agent].device == device {
            return;
        }
        self.agents[agent].device = device;
        let name = self.agents[agent].interface.clone();
        self.voice.device(self.now, &name, device.text());
        self.say_status(agent);
    }

    /// `QueueMemberStatus` for each membership.
    pub(super) fn say_status(&mut self, agent: usize) {
        if self.agents[agent].logged_in {
            for at in 0..self.agents[agent].skills.len() {
                self.say_member("QueueMemberStatus", agent, at);
            }
        }
    }

    /// A `QueueMember…` event about one membership.
    pub(super) fn say_member(&mut self, name: &'static str, agent: usize, membership: usize) {
        let a = &self.agents[agent];
        let (queue, penalty) = a.skills[membership];
        let event = self
            .voice
            .event(name, Class::Agent, self.now)
            .put("Queue", &self.plan.queues[queue].id)
            .put("MemberName", &a.party.name)
            .put("Interface", &a.interface)
            .put("StateInterface", &a.interface);
        let event = a.put_membership(event, penalty, self.plan.agents[agent].wrap_up_s, true);
        event.end();
    }
}

impl super::desk::Agent {
    /// The headers that a `QueueMember…` event and a `QueueMember` of a list share, in their order.
    pub(super) fn put_membership<'a>(
        &self,
        event: Event<'a>,
        penalty: u16,
        wrap_up_s: i64,
        ring_in_use: bool,
    ) -> Event<'a> {
        let event = event
            .put("Membership", "dynamic")
            .put("Penalty", penalty)
            .put("CallsTaken", self.taken)
            .put("LastCall", self.last_call_s)
            .put("LastPause", self.last_pause_s)
            .put("LoginTime", self.login_s)
            .put("InCall", u8::from(self.in_call))
            .put("Status", self.device.code())
            .put("Paused", u8::from(self.paused.is_some()))
            .put("PausedReason", self.paused.as_deref().unwrap_or(""));
        // The list leaves this one header out.
        let event = if ring_in_use { event.put("Ringinuse", 0) } else { event };
        event.put("Wrapuptime", wrap_up_s)
    }
}
