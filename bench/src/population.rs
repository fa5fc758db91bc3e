//! Made-up agents and calls, as a recording that the adapter `replay` plays.

use std::io::{BufWriter, Write};
use std::path::Path;

use model::event::agent::{LoggedIn, State, StateChanged};
use model::event::call::{Answered, Dequeued, Ended, Offered, QueueExit, Queued, Released};
use model::{Event, Fact, Number, SourceId, Subject, Time};

/// Who is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Population {
    /// Agents who are logged in and ready.
    pub agents: usize,
    /// Calls that wait in a queue.
    pub waiting: usize,
    /// How many queues they wait in.
    pub queues: usize,
    /// Calls of the last month that are over.
    pub closed: usize,
}

const DAY_MS: i64 = 86_400_000;

impl Population {
    /// Writes what happened, up to `now`, a JSON envelope a line. The same population gives the same events.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn record(&self, path: &Path, now: Time) -> anyhow::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        let source = SourceId::new("made");
        let mut say = |at: Time, subject: Subject, event: Event| -> anyhow::Result<()> {
            let envelope = Fact::new(at, subject, event).into_envelope(&source, at);
            out.write_all(&envelope.to_json())?;
            Ok(out.write_all(b"\n")?)
        };
        for n in 0..self.closed {
            let begun = now + -(31 * DAY_MS) + (30 * DAY_MS * n as i64 / self.closed as i64);
            self.closed_call(n, begun, &mut say)?;
        }
        for n in 0..self.agents {
            let subject = || Subject::Agent(format!("{}", 10_000 + n).as_str().into());
            say(now + -600_000, subject(), LoggedIn::default().into())?;
            let ready = StateChanged { state: State::Ready, reason: None, call: None, queue: None, team: None };
            say(now + -599_000, subject(), ready.into())?;
        }
        for n in 0..self.waiting {
            let subject = || Subject::Call(format!("made-{n:08}").as_str().into());
            let offered = Offered { ani: Some(number(n)), ..Offered::default() };
            say(now + -60_000, subject(), offered.into())?;
            say(now + -59_000, subject(), self.queued(n).into())?;
        }
        Ok(out.flush()?)
    }

    /// A call that was answered and is over.
    fn closed_call(
        &self,
        n: usize,
        at: Time,
        say: &mut impl FnMut(Time, Subject, Event) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let subject = || Subject::Call(format!("past-{n:08}").as_str().into());
        let queued = self.queued(n);
        let queue = queued.queue.clone();
        let agent = Some(format!("{}", 10_000 + n % self.agents.max(1)).as_str().into());
        say(at, subject(), Offered { ani: Some(number(n)), ..Offered::default() }.into())?;
        say(at + 1_000, subject(), queued.into())?;
        let left = Dequeued { queue: queue.clone(), cause: QueueExit::Answered, waited_ms: Some(20_000) };
        say(at + 21_000, subject(), left.into())?;
        let answered =
            Answered { agent: agent.clone(), queue: Some(queue), waited_ms: Some(20_000), ..Answered::default() };
        say(at + 21_000, subject(), answered.into())?;
        let released = Released { agent, talked_ms: Some(180_000), ..Released::default() };
        say(at + 201_000, subject(), released.into())?;
        say(at + 201_000, subject(), Ended::default().into())
    }

    fn queued(&self, n: usize) -> Queued {
        let queue = format!("queue-{:05}", n % self.queues.max(1));
        Queued { queue: queue.as_str().into(), priority: None, position: None, offered_at: None }
    }
}

fn number(n: usize) -> Number {
    Number::plain(format!("138{n:08}"))
}
