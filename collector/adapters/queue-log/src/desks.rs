//! Lines that our own dialplan writes: the desk phones of a queue rang without the queue (`deploy/asterisk`).
//!
//! A caller who comes to desk phones is offered to the queue there and then. If none answers and the queue itself goes on with the
//! same caller, that is the same stay: nobody is counted twice.

use model::event::agent::State;
use model::event::call::{Answered, Direction, Offered, Party, QueueExit, Queued};
use model::{AgentId, CallId, Number, QueueId, Subject};

use crate::line::{Left, Talk, Verb};
use crate::translate::{Line, Translator};

impl Translator {
    /// One line about desk phones.
    pub(crate) fn of_desk(&mut self, out: &mut Line<'_>, call: &str, queue: &str, agent: Option<AgentId>, verb: &Verb) {
        match verb {
            Verb::DeskEnter { caller, .. } => {
                if self.waits_at_desks(call, queue) {
                    return;
                }
                self.entered(out, call, queue, caller.as_deref(), None);
                self.open(call, out.text).desk = true;
            }
            Verb::DeskConnect { hold_s, .. } => {
                let agent = agent.map(|device| self.agent_at(device.as_str()));
                self.leave(out, call, queue, QueueExit::Answered, hold_s * 1000);
                let answered = Answered {
                    agent: agent.clone(),
                    queue: Some(QueueId::new(queue)),
                    waited_ms: Some(hold_s * 1000),
                    ..Answered::default()
                };
                out.add(Subject::Call(CallId::new(call)), answered);
                self.open(call, out.text).desk_agent = agent.as_ref().map(ToString::to_string);
                self.state(out, agent, State::Talking, Some((call, queue)));
            }
            Verb::DeskEnd { answered: true, hold_s, talk_s } => {
                let agent = self.open(call, out.text).desk_agent.take().map(AgentId::new);
                let talk = Talk { hold_s: *hold_s, talk_s: *talk_s };
                self.complete(out, call, queue, agent, Party::Unknown, talk);
            }
            Verb::DeskEnd { hold_s, .. } => {
                let left = Left { wait_s: *hold_s, ..Left::default() };
                self.left(out, call, queue, QueueExit::Abandoned, left, Party::Caller);
            }
            _ => {}
        }
    }

    /// The caller is offered to the queue.
    pub(crate) fn entered(
        &mut self,
        out: &mut Line<'_>,
        call: &str,
        queue: &str,
        caller: Option<&str>,
        position: Option<u32>,
    ) {
        let subject = || Subject::Call(CallId::new(call));
        if !self.memory.knows(call) {
            let ani = caller.filter(|c| *c != "unknown").map(Number::plain);
            out.add(subject(), Offered { direction: Direction::Inbound, ani, ..Offered::default() });
        }
        self.open(call, out.text).waiting = Some((queue.to_owned(), out.at.ms(), out.seq));
        out.add(subject(), Queued { queue: QueueId::new(queue), priority: None, position, offered_at: None });
    }

    /// The agent at a phone: whose name the configuration gives it, or its extension.
    fn agent_at(&self, device: &str) -> AgentId {
        let extension = device.split_once('/').map_or(device, |(_, name)| name);
        self.agent(if self.names(device) { device } else { extension })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::line::QueueLogLine;
    use crate::translate::{Memory, Translator};

    fn told(lines: &[&str]) -> Vec<String> {
        let mut translator = Translator::new(Memory::default(), BTreeMap::new());
        let mut said = Vec::new();
        for text in lines {
            let line = QueueLogLine::parse(text).unwrap();
            said.extend(translator.facts(text, &line));
        }
        said.extend(translator.finish());
        said.iter().map(|fact| format!("{} {}", fact.subject, fact.event.ty().trim_end_matches(".v1"))).collect()
    }

    #[test]
    fn a_call_that_a_desk_phone_took_is_the_queues() {
        let said = told(&[
            "1700000000|1|sales|NONE|TGDESKENTER|0301|silent",
            "1700000004|1|sales|PJSIP/101-0000002a|TGDESKCONNECT|4|2",
            "1700000010|1|sales|NONE|TGDESKEND|ANSWER|4|6",
        ]);
        let want = ["offered", "queued", "dequeued", "answered"].map(|what| format!("call/1 call.{what}"));
        assert_eq!(said[..4], want);
        assert!(said.contains(&"agent/101 agent.state_changed".to_owned()), "{said:?}");
        assert!(said.contains(&"call/1 call.released".to_owned()), "{said:?}");
        assert_eq!(said.last().unwrap(), "call/1 call.ended");
    }

    #[test]
    fn a_caller_whom_no_desk_phone_took_and_who_goes_on_in_the_queue_is_offered_once() {
        let said = told(&[
            "1700000000|1|sales|NONE|TGDESKENTER|0301|silent",
            "1700000020|1|sales|NONE|ENTERQUEUE||0301|1",
            "1700000025|1|sales|Ann|CONNECT|5|2|1",
            "1700000030|1|sales|Ann|COMPLETECALLER|5|5|1",
        ]);
        assert_eq!(said.iter().filter(|what| *what == "call/1 call.queued").count(), 1, "{said:?}");
        assert_eq!(said.iter().filter(|what| *what == "call/1 call.dequeued").count(), 1, "{said:?}");
    }

    #[test]
    fn a_caller_who_gives_up_at_the_desk_phones_has_abandoned_the_queue() {
        let said = told(&["1700000000|1|sales|NONE|TGDESKENTER|0301|silent", "1700000009|1|sales|NONE|TGDESKEND||9"]);
        assert_eq!(said, ["offered", "queued", "dequeued", "ended"].map(|what| format!("call/1 call.{what}")));
    }
}
