//! The oracle's truth, summed the way reports sum it: per queue and per agent.

use crate::oracle::{Exit, Oracle, Pause, Stay, Transfer};
use std::collections::BTreeMap;
use std::fmt;

/// Waits up to this are short abandons (metrics.md: default 5 s).
const SHORT_MS: i64 = 5000;

/// A queue's counts and sums; times in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Stays.
    pub offered: i64,
    /// Answered by an agent.
    pub answered: i64,
    /// Caller left after more than the short limit.
    pub abandoned: i64,
    /// Caller left within it.
    pub short_abandoned: i64,
    /// Taken out by the PBX.
    pub timed_out: i64,
    /// Alerts that nobody answered while the caller waited.
    pub rona: i64,
    /// Caller left while a phone rang.
    pub abandon_ringing: i64,
    /// Calls that agents handed on, unannounced.
    pub blind: i64,
    /// Calls that agents handed on after asking.
    pub attended: i64,
    /// Sum of waits of the answered.
    pub wait_answered_ms: i64,
    /// Sum of waits of those who left (short ones included).
    pub wait_abandoned_ms: i64,
    /// Longest wait of all.
    pub max_wait_ms: i64,
    /// Sum of talk, holds taken out.
    pub talk_ms: i64,
    /// Sum of holds.
    pub hold_ms: i64,
}

/// An agent's counts and sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// Answered out of queues.
    pub answered: i64,
    /// Did not answer.
    pub rona: i64,
    /// Handed on, either way.
    pub transfers: i64,
    /// Sum of talk, holds taken out (ms).
    pub talk_ms: i64,
    /// Sum of holds (ms).
    pub hold_ms: i64,
    /// Pauses, busy times taken out.
    pub pauses: Vec<Pause>,
}

impl Queue {
    /// The figures of these stays.
    pub fn of(stays: &[&Stay]) -> Self {
        let mut queue = Self::default();
        for stay in stays {
            queue.count(stay);
        }
        queue
    }

    fn count(&mut self, stay: &Stay) {
        self.offered += 1;
        self.rona += stay.unanswered.len() as i64;
        self.abandon_ringing += i64::from(stay.left_ringing);
        self.max_wait_ms = self.max_wait_ms.max(stay.wait_ms);
        match stay.exit {
            Exit::Answered => {
                self.answered += 1;
                self.wait_answered_ms += stay.wait_ms;
            }
            Exit::Abandoned => {
                self.wait_abandoned_ms += stay.wait_ms;
                *(if stay.wait_ms <= SHORT_MS { &mut self.short_abandoned } else { &mut self.abandoned }) += 1;
            }
            Exit::TimedOut => self.timed_out += 1,
        }
        if let Some(service) = &stay.service {
            self.talk_ms += service.talk_ms();
            self.hold_ms += service.hold_ms;
            self.blind += i64::from(service.transfer == Some(Transfer::Blind));
            self.attended += i64::from(service.transfer == Some(Transfer::Attended));
        }
    }
}

/// Figures of every agent who was rung for a queue or paused.
pub fn agents(oracle: &Oracle) -> BTreeMap<String, Agent> {
    let mut agents: BTreeMap<String, Agent> = BTreeMap::new();
    for stay in &oracle.stays {
        for agent in &stay.unanswered {
            agents.entry(agent.clone()).or_default().rona += 1;
        }
        if let Some(service) = &stay.service {
            let agent = agents.entry(service.agent.clone()).or_default();
            agent.answered += 1;
            agent.talk_ms += service.talk_ms();
            agent.hold_ms += service.hold_ms;
            agent.transfers += i64::from(service.transfer.is_some());
        }
    }
    for pause in &oracle.pauses {
        agents.entry(pause.agent.clone()).or_default().pauses.push(pause.clone());
    }
    agents
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls from outside, {} stays in queues", self.calls.len(), self.stays.len())?;
        for name in self.queues() {
            writeln!(f, "{name}: {:?}", Queue::of(&self.stays_in(name)))?;
        }
        for (name, agent) in agents(self) {
            writeln!(f, "{name}: {agent:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Records;

    const QUEUE_LOG: &str = "\
1000|NONE|NONE|NONE|QUEUESTART|
1000|NONE|NONE|Agent 103|PAUSEALL|lunch
1004|NONE|NONE|Agent 103|PAUSEALL|coffee
1010|NONE|NONE|Agent 103|UNPAUSEALL|
1010|p.1|sales|NONE|ENTERQUEUE||4930|1
1015|p.1|sales|Agent 105|RINGNOANSWER|5000
1018|p.1|sales|Agent 103|CONNECT|8|p.3|0
1024|p.1|sales|Agent 103|BLINDTRANSFER|602|agents|8|6|1
1024|p.1|support|NONE|ENTERQUEUE||4930|1
1030|p.1|support|Agent 106|RINGCANCELED|700
1030|p.1|support|NONE|ABANDON|1|1|6
1031|p.4|sales|NONE|ENTERQUEUE||4931|1
1033|p.4|sales|NONE|ABANDON|1|1|2
";

    fn event(kind: &str, at: &str, channel: &str, name: &str, application: &str, extra: &str) -> String {
        let linked = if channel == "p.4" { "p.4" } else { "p.1" };
        let extra = extra.replace('"', "\"\"");
        format!(
            "\"{kind}\",\"{at}\",\"{channel}\",\"{linked}\",\"{name}\",\"sales\",\"queues\",\"{application}\",\"\",\"4930\",\"\",\"{extra}\"\n"
        )
    }

    fn channel_events() -> String {
        let (caller, agent, other) = ("PJSIP/trunk-1", "PJSIP/103-2", "PJSIP/trunk-3");
        let music = r#"{"class":"default"}"#;
        [
            event("CHAN_START", "1009.500000", "p.1", caller, "", ""),
            event("APP_START", "1010.000000", "p.1", caller, "Queue", ""),
            event("STREAM_BEGIN", "1010.000000", "p.1", caller, "Queue", music),
            event("STREAM_END", "1018.200000", "p.1", caller, "Queue", ""),
            event("BRIDGE_ENTER", "1018.250000", "p.3", agent, "AppQueue", ""),
            event("BRIDGE_ENTER", "1018.251000", "p.1", caller, "Queue", ""),
            event("STREAM_BEGIN", "1020.000000", "p.1", caller, "Queue", music),
            event("STREAM_END", "1022.000000", "p.1", caller, "Queue", ""),
            event("BLINDTRANSFER", "1024.249000", "p.3", agent, "AppQueue", ""),
            event("BRIDGE_EXIT", "1024.250000", "p.1", caller, "Queue", ""),
            event("APP_END", "1024.250000", "p.1", caller, "Queue", ""),
            event("BRIDGE_EXIT", "1024.251000", "p.3", agent, "AppQueue", ""),
            event("APP_START", "1024.300000", "p.1", caller, "Queue", ""),
            event("APP_END", "1030.300000", "p.1", caller, "Queue", ""),
            event("CHAN_END", "1030.301000", "p.1", caller, "", ""),
            event("CHAN_START", "1030.900000", "p.4", other, "", ""),
            event("APP_START", "1031.000000", "p.4", other, "Queue", ""),
            event("APP_END", "1033.000000", "p.4", other, "Queue", ""),
            event("CHAN_END", "1033.001000", "p.4", other, "", ""),
        ]
        .concat()
    }

    fn detail(channel: &str, destination: &str, disposition: &str) -> String {
        format!(
            "\"\",\"4930\",\"sales\",\"queues\",\"\",\"PJSIP/trunk-1\",\"{destination}\",\"Queue\",\"sales\",\"\",\"\",\"\",9,9,\"{disposition}\",\"\",\"{channel}\",\"\"\n"
        )
    }

    #[test]
    fn figures_follow_a_call_through_two_queues() {
        let details = detail("p.1", "PJSIP/103-2", "ANSWERED") + &detail("p.1", "PJSIP/105-9", "NO ANSWER");
        let oracle =
            Oracle::of(&Records::parse(QUEUE_LOG, &channel_events(), &details).expect("records")).expect("a truth");
        let sales = Queue::of(&oracle.stays_in("sales"));
        assert_eq!((sales.offered, sales.answered, sales.short_abandoned, sales.rona, sales.blind), (2, 1, 1, 1, 1));
        assert_eq!((sales.wait_answered_ms, sales.talk_ms, sales.hold_ms), (8250, 4000, 2000));
        let support = Queue::of(&oracle.stays_in("support"));
        assert_eq!(
            (support.offered, support.abandoned, support.abandon_ringing, support.wait_abandoned_ms),
            (1, 1, 1, 6000)
        );
        let agents = agents(&oracle);
        let pauses: Vec<_> =
            agents["103"].pauses.iter().map(|pause| (&*pause.reason, pause.least_ms, pause.most_ms)).collect();
        assert_eq!(pauses, [("lunch", 3000, 5000), ("coffee", 5000, 7000)]);
        assert_eq!((agents["105"].rona, agents["103"].transfers), (1, 1));
        assert_eq!(oracle.calls.len(), 2);
    }

    #[test]
    fn records_that_contradict_each_other_are_refused() {
        let none_answered = detail("p.1", "PJSIP/103-2", "NO ANSWER");
        let records = Records::parse(QUEUE_LOG, &channel_events(), &none_answered).expect("records");
        assert!(Oracle::of(&records).is_err_and(|error| error.to_string().contains("different answers")));
        let later = QUEUE_LOG.replace("1018|p.1|sales|Agent 103|CONNECT|8", "1018|p.1|sales|Agent 103|CONNECT|12");
        let details = detail("p.1", "PJSIP/103-2", "ANSWERED");
        let records = Records::parse(&later, &channel_events(), &details).expect("records");
        assert!(Oracle::of(&records).is_err_and(|error| format!("{error:#}").contains("wait: 8250 ms")));
    }
}
