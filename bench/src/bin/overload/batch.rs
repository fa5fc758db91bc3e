//! Batches of events: whole calls, written by patching a template, so that offering costs the machine little beside what is
//! measured.
//!
//! Every call of batch `n` talks for a time that only depends on `n`: the sum of all talk is a check sum over the batches.

use model::Time;

/// Calls of one batch.
pub const CALLS: u64 = 50;
/// Events of one call: offered, queued, alerting, answered, the agent's state, ended.
pub const EVENTS: u64 = 6;

const NUMBER: &str = "NNNNNNNNNNNN";
const OFFERED: &str = "OOOOOOOOOOOOOOOOOOOOOOOO";
const ANSWERED: &str = "AAAAAAAAAAAAAAAAAAAAAAAA";
const ENDED: &str = "EEEEEEEEEEEEEEEEEEEEEEEE";

/// How long before its end a call was offered, and answered: it waits for half a minute.
const WAIT_MS: i64 = 30_000;

/// A batch with holes, and where they are.
pub struct Template {
    text: Vec<u8>,
    numbers: Vec<(usize, u64)>,
    offered: Vec<usize>,
    answered: Vec<usize>,
    ended: Vec<usize>,
}

/// The name of call `n` in the figures.
pub fn call_name(n: u64) -> String {
    format!("o{n:012}")
}

/// How long each call of batch `n` talks, in milliseconds.
pub fn talk_ms(batch: u64) -> i64 {
    20_000 + i64::try_from(batch.wrapping_mul(7_919) % 10_007).unwrap_or(0)
}

impl Template {
    /// Calls of twenty queues and two hundred agents.
    pub fn new() -> Template {
        let mut text = String::new();
        for call in 0..CALLS {
            let (queue, agent) = (call % 20, call * 37 % 200);
            let subject = format!("call/o{NUMBER}");
            let lines = [
                ("offered", OFFERED, format!(r#"{{"direction":"inbound","ani":{{"digits":"+{NUMBER}"}}}}"#)),
                ("queued", OFFERED, format!(r#"{{"queue":"q{queue}"}}"#)),
                ("alerting", ANSWERED, format!(r#"{{"agent":"a{agent}","queue":"q{queue}"}}"#)),
                ("answered", ANSWERED, format!(r#"{{"agent":"a{agent}","queue":"q{queue}","waited_ms":{WAIT_MS}}}"#)),
                ("ended", ENDED, r#"{"by":"caller","cause":"normal"}"#.to_owned()),
            ];
            for (kind, time, data) in &lines {
                text += &event(&format!("{NUMBER}-{kind}"), &format!("call.{kind}.v1"), &subject, time, data);
            }
            let state = format!(r#"{{"state":"talking","call":"o{NUMBER}","queue":"q{queue}"}}"#);
            let subject = format!("agent/a{agent}");
            text += &event(&format!("{NUMBER}-agent"), "agent.state_changed.v1", &subject, ANSWERED, &state);
        }
        let per_call = text.matches(NUMBER).count() as u64 / CALLS;
        let places = |marker: &str| text.match_indices(marker).map(|(at, _)| at).collect::<Vec<_>>();
        let numbers = places(NUMBER).into_iter().zip(0_u64..).map(|(at, n)| (at, n / per_call)).collect();
        let (offered, answered, ended) = (places(OFFERED), places(ANSWERED), places(ENDED));
        Template { text: text.into_bytes(), numbers, offered, answered, ended }
    }

    /// Batch `n`, of calls that end now.
    pub fn fill(&self, batch: u64, now_ms: i64) -> Vec<u8> {
        let mut body = self.text.clone();
        for (at, call) in &self.numbers {
            let number = format!("{:012}", batch * CALLS + call);
            body[*at..at + NUMBER.len()].copy_from_slice(number.as_bytes());
        }
        let ended = now_ms;
        let answered = ended - talk_ms(batch);
        for (places, ms) in [(&self.offered, answered - WAIT_MS), (&self.answered, answered), (&self.ended, ended)] {
            let text = Time(ms).to_string();
            debug_assert_eq!(text.len(), ENDED.len());
            for at in places {
                body[*at..at + text.len()].copy_from_slice(text.as_bytes());
            }
        }
        body
    }
}

fn event(id: &str, ty: &str, subject: &str, time: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"flood","type":"{ty}","subject":"{subject}","time":"{time}","data":{data}}}"#
    ) + "\n"
}
