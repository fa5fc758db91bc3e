//! Calls written down event by event, as the PBX would tell them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;

use adapter_asterisk::frame::Frame;
use adapter_asterisk::translate::Translator;
use model::event::Event;
use model::{Fact, Subject};

use super::plan;

/// When every story begins, in microseconds.
pub const BEGIN_US: i64 = 1_700_000_000_000_000;

/// A story being written. Times are milliseconds from its beginning.
#[derive(Default)]
pub struct Story {
    pub frames: Vec<Frame>,
    now_ms: i64,
    names: BTreeMap<String, (String, String)>,
}

impl Story {
    pub fn at(&mut self, ms: i64) -> &mut Story {
        self.now_ms = ms;
        self
    }

    pub fn event(&mut self, name: &str, headers: &[(&str, &str)]) -> &mut Story {
        let us = BEGIN_US + self.now_ms * 1000;
        let stamp = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
        let head = [("Event", name), ("Privilege", "call,all"), ("Timestamp", stamp.as_str())];
        self.frames.push(Frame::of(
            head.into_iter().chain(headers.iter().copied()).map(|(k, v)| (k.to_owned(), v.to_owned())),
        ));
        self
    }

    /// A new channel `uid` called `name`, in the call of `linked`.
    pub fn channel(&mut self, uid: &str, name: &str, linked: &str, context: &str, exten: &str) -> &mut Story {
        self.names.insert(uid.into(), (name.into(), linked.into()));
        let headers = [
            ("Channel", name),
            ("CallerIDNum", "0301234567"),
            ("Context", context),
            ("Exten", exten),
            ("Uniqueid", uid),
            ("Linkedid", linked),
        ];
        self.event("Newchannel", &headers)
    }

    /// A caller from the trunk who dialled 5001.
    pub fn caller(&mut self, uid: &str) -> &mut Story {
        self.channel(uid, &format!("PJSIP/trunk-0000{uid:0>4}"), uid, "inbound", "5001")
    }

    /// An agent's phone, dialled for a call.
    pub fn phone(&mut self, uid: &str, device: &str, linked: &str) -> &mut Story {
        self.channel(uid, &format!("{device}-0000{uid:0>4}"), linked, "agents", "s")
    }

    /// An event of one channel.
    pub fn on(&mut self, name: &str, uid: &str, more: &[(&str, &str)]) -> &mut Story {
        let (channel, linked) = self.names.get(uid).cloned().unwrap_or((format!("PJSIP/x-{uid:0>8}"), uid.to_owned()));
        let own =
            [("Channel", channel.as_str()), ("Uniqueid", uid), ("Linkedid", linked.as_str()), ("ChannelState", "6")];
        let all: Vec<_> = own.into_iter().chain(more.iter().copied()).collect();
        self.event(name, &all)
    }

    /// An event of a caller and a phone.
    pub fn pair(&mut self, name: &str, uid: &str, dest: &str, more: &[(&str, &str)]) -> &mut Story {
        let (channel, _) = self.names.get(dest).cloned().unwrap_or_default();
        let device = channel.rsplit_once('-').map_or(channel.clone(), |(device, _)| device.to_owned());
        let own = [("DestChannel", channel.as_str()), ("DestUniqueid", dest), ("Interface", device.as_str())];
        let all: Vec<_> = more.iter().copied().chain(own).collect();
        self.on(name, uid, &all)
    }

    pub fn member(&mut self, queue: &str, interface: &str) -> &mut Story {
        let headers =
            [("Queue", queue), ("MemberName", interface), ("Interface", interface), ("Status", "1"), ("Paused", "0")];
        self.event("QueueMemberAdded", &headers)
    }

    pub fn join(&mut self, uid: &str, queue: &str) -> &mut Story {
        self.on("QueueCallerJoin", uid, &[("Queue", queue), ("Position", "1")])
    }

    /// The queue gives up a caller: abandon or timeout, in one event and its leave.
    pub fn given_up(&mut self, uid: &str, queue: &str) -> &mut Story {
        self.on("QueueCallerAbandon", uid, &[("Queue", queue), ("HoldTime", "1")]);
        self.on("QueueCallerLeave", uid, &[("Queue", queue)])
    }

    pub fn rung(&mut self, uid: &str, dest: &str, device: &str, queue: &str) -> &mut Story {
        self.phone(dest, device, uid);
        self.pair("AgentCalled", uid, dest, &[("Queue", queue)]);
        self.pair("DialBegin", uid, dest, &[])
    }

    pub fn connected(&mut self, uid: &str, dest: &str, queue: &str) -> &mut Story {
        self.pair("DialEnd", uid, dest, &[("DialStatus", "ANSWER")]);
        self.on("QueueCallerLeave", uid, &[("Queue", queue)]);
        self.pair("AgentConnect", uid, dest, &[("Queue", queue), ("HoldTime", "1"), ("RingTime", "1")])
    }

    pub fn completed(&mut self, uid: &str, dest: &str, queue: &str, reason: &str) -> &mut Story {
        self.pair("AgentComplete", uid, dest, &[("Queue", queue), ("Reason", reason), ("TalkTime", "1")])
    }

    pub fn hangup(&mut self, uid: &str, cause: &str) -> &mut Story {
        self.on("Hangup", uid, &[("Cause", cause)])
    }

    /// A call answered by agent 101 of sales, talking since 2000 ms.
    pub fn talk(&mut self) -> &mut Story {
        self.at(0).caller("1").join("1", "sales");
        self.at(1000).rung("1", "2", "PJSIP/101", "sales");
        self.at(2000).connected("1", "2", "sales")
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.frames.iter().map(Frame::to_text).collect::<String>().into_bytes()
    }

    /// What the adapter says of it; an hour passes afterwards.
    pub fn facts(&self) -> Vec<Fact> {
        let mut translator = Translator::new(plan(), &BTreeMap::new());
        self.frames.iter().for_each(|frame| translator.event(frame, 0));
        translator.advance(BEGIN_US + 3_600_000_000);
        translator.take_facts()
    }

    /// What it says of one call: `ms type detail`.
    pub fn call(&self, id: &str) -> Vec<String> {
        let facts = self.facts();
        facts.iter().filter(|f| f.subject == Subject::Call(id.into())).map(line).collect()
    }

    pub fn agent(&self, id: &str) -> Vec<String> {
        let facts = self.facts();
        facts.iter().filter(|f| f.subject == Subject::Agent(id.into())).map(line).collect()
    }
}

/// `ms type detail` of a fact, with what tells most of it.
pub fn line(fact: &Fact) -> String {
    let ms = fact.occurred_at.ms() - BEGIN_US / 1000;
    let ty = fact.event.ty().trim_end_matches(".v1").split_once('.').map_or("", |(_, word)| word);
    let detail = match &fact.event {
        Event::CallOffered(e) => format!("{:?}", e.direction).to_lowercase(),
        Event::CallQueued(e) => e.queue.to_string(),
        Event::CallDequeued(e) => format!("{} {}", e.queue, e.cause.as_str()),
        Event::CallAlerting(e) => format!("{} {}", e.agent, e.queue.as_ref().map_or("-", |q| q.as_str())),
        Event::CallRona(e) => format!("{} {:?} {:?}", e.agent, e.reason, e.rang_ms),
        Event::CallAlertCancelled(e) => e.agent.to_string(),
        Event::CallAnswered(e) => {
            format!("{} {}", e.agent.as_ref().unwrap(), e.queue.as_ref().map_or("-", |q| q.as_str()))
        }
        Event::CallReleased(e) => format!("{} by {:?}", e.agent.as_ref().unwrap(), e.by),
        Event::CallConsulted(e) => format!("{} {:?}", e.agent.as_ref().unwrap(), e.to),
        Event::CallTransferred(e) => format!("{:?} {:?} {:?}", e.kind, e.agent.as_ref().map(|a| a.as_str()), e.to),
        Event::CallEnded(e) => {
            format!("{:?} {} {:?}", e.by, e.cause.as_deref().unwrap_or("-"), e.merged_into.as_ref().map(|c| c.as_str()))
        }
        Event::CallIvrSelected(e) => format!("{} {}", e.node, e.choice),
        Event::CallWrappedUp(e) => e.wrap_up_ms.to_string(),
        Event::AgentStateChanged(e) => format!("{:?} {}", e.state, e.reason.as_deref().unwrap_or("-")),
        _ => String::new(),
    };
    format!("{ms} {ty} {detail}").trim_end().to_owned()
}
