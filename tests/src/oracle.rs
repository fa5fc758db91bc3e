//! What really happened, told by the PBX's records alone. Counts come from `queue_log`, times from the channel events, and the
//! call details have to agree: a disagreement among the three is an error of the oracle, never a tolerance.

use crate::records::{CallDetail, ChannelEvent, QueueLine, Records, spells};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// `queue_log` cuts times to whole seconds at both ends of a duration.
const QUEUE_LOG_ERROR_MS: i64 = 1100;

/// How a stay in a queue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// An agent answered.
    Answered,
    /// The caller left.
    Abandoned,
    /// The PBX took the caller out after the queue's limit.
    TimedOut,
}

/// How an agent handed a call on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Unannounced.
    Blind,
    /// After asking.
    Attended,
}

/// An agent's part in a stay.
#[derive(Clone, Debug)]
pub struct Service {
    /// Number of the agent.
    pub agent: String,
    /// Name of the agent's channel.
    pub leg: String,
    /// When the two were joined (ms since the epoch).
    pub answered_at: i64,
    /// From then on until either left the other, holds included.
    pub engaged_ms: i64,
    /// Of that, the caller listened to music.
    pub hold_ms: i64,
    /// How the agent handed the call on, if so.
    pub transfer: Option<Transfer>,
}

impl Service {
    /// Time in which the two could talk.
    pub fn talk_ms(&self) -> i64 {
        self.engaged_ms - self.hold_ms
    }
}

/// One stay of a caller in a queue.
#[derive(Clone, Debug)]
pub struct Stay {
    /// Unique id of the caller's channel, which is also the id of the whole call.
    pub call: String,
    /// The queue.
    pub queue: String,
    /// When he entered (ms since the epoch).
    pub queued_at: i64,
    /// How it ended.
    pub exit: Exit,
    /// From entering to the answer or the exit.
    pub wait_ms: i64,
    /// Agents who were rung and did not answer while he waited, in order.
    pub unanswered: Vec<String>,
    /// He left while a phone was ringing for him.
    pub left_ringing: bool,
    /// The agent's part, if one answered.
    pub service: Option<Service>,
}

/// After-call work that `queues.conf` gives an agent after a queue's call.
const WRAP_UP_MS: i64 = 2000;

/// A paused spell of an agent. `queue_log` cuts both moments to whole seconds, so what was paused is known as a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Number of the agent.
    pub agent: String,
    /// Reason given.
    pub reason: String,
    /// Begin and end (s since the epoch).
    pub from: i64,
    /// End.
    pub to: i64,
    /// How long the agent was neither rung nor in a conversation nor wrapping up meanwhile (those states outrank a pause), at
    /// least: from the end of the second in which it began to the begin of the one in which it ended (ms).
    pub least_ms: i64,
    /// The same at most, from the begin of the first second to the end of the last.
    pub most_ms: i64,
}

/// A call from outside, from the trunk's first sign to the last channel's end.
#[derive(Clone, Debug)]
pub struct Call {
    /// Unique id of the caller's channel.
    pub id: String,
    /// Number that was dialled.
    pub dialled: String,
    /// Begin (ms since the epoch).
    pub from: i64,
    /// End of the caller's channel (ms since the epoch).
    pub to: i64,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// Stays in queues, in the order in which they began.
    pub stays: Vec<Stay>,
    /// Calls from outside.
    pub calls: Vec<Call>,
    /// Pauses.
    pub pauses: Vec<Pause>,
}

impl Oracle {
    /// Draws the truth from the records, once all calls are over.
    pub fn of(records: &Records) -> Result<Self> {
        let oracle = Self { stays: stays(records)?, calls: calls(&records.channel)?, pauses: pauses(records)? };
        oracle.agree_with(records)?;
        Ok(oracle)
    }

    /// The queues that anyone entered.
    pub fn queues(&self) -> BTreeSet<&str> {
        self.stays.iter().map(|stay| stay.queue.as_str()).collect()
    }

    /// The stays in one queue.
    pub fn stays_in(&self, queue: &str) -> Vec<&Stay> {
        self.stays.iter().filter(|stay| stay.queue == queue).collect()
    }

    /// The stays that one agent answered.
    pub fn answered_by(&self, agent: &str) -> Vec<&Stay> {
        self.stays.iter().filter(|stay| stay.service.as_ref().is_some_and(|service| service.agent == agent)).collect()
    }

    /// What agents did, over all stays.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.stays.iter().filter_map(|stay| stay.service.as_ref())
    }

    /// The call details know the same conversations: one per pair of a caller's channel and one that the queue rang.
    /// (Those whom an agent transferred to are in the details too, but no queue rang them.)
    fn agree_with(&self, records: &Records) -> Result<()> {
        let rung: BTreeSet<_> = records
            .channel
            .iter()
            .filter(|event| event.application == "AppQueue")
            .map(|event| event.name.as_str())
            .collect();
        let queued: BTreeSet<_> = self.stays.iter().map(|stay| stay.call.as_str()).collect();
        let answered = |detail: &&CallDetail| {
            detail.answered && queued.contains(&*detail.channel) && rung.contains(&*detail.destination)
        };
        let told: BTreeSet<_> =
            records.detail.iter().filter(answered).map(|detail| (&*detail.channel, &*detail.destination)).collect();
        let found: BTreeSet<_> =
            self.stays.iter().filter_map(|stay| Some((&*stay.call, &*stay.service.as_ref()?.leg))).collect();
        let differing: Vec<_> = told.symmetric_difference(&found).collect();
        ensure!(
            differing.is_empty(),
            "the call details and queue_log know different answers out of queues: {differing:?}"
        );
        Ok(())
    }
}

fn stays(records: &Records) -> Result<Vec<Stay>> {
    let mut by_call: BTreeMap<&str, Vec<&QueueLine>> = BTreeMap::new();
    for line in &records.queue {
        if !matches!(line.call.as_str(), "NONE" | "MANAGER") {
            by_call.entry(&line.call).or_default().push(line);
        }
    }
    let mut channels: BTreeMap<&str, Vec<&ChannelEvent>> = BTreeMap::new();
    for event in &records.channel {
        channels.entry(&event.channel).or_default().push(event);
    }
    let mut stays = Vec::new();
    for (call, mut lines) in by_call {
        transfers_first(&mut lines);
        let events = channels.get(call).with_context(|| format!("queue_log has {call}, the channel events do not"))?;
        let begins: Vec<_> =
            lines.iter().enumerate().filter(|(_, line)| line.event == "ENTERQUEUE").map(|(at, _)| at).collect();
        let mut entries =
            events.iter().enumerate().filter(|(_, event)| event.kind == "APP_START" && event.application == "Queue");
        for (nth, begin) in begins.iter().enumerate() {
            let (at, _) =
                entries.next().with_context(|| format!("{call} entered {} queues, its channel fewer", begins.len()))?;
            let end = begins.get(nth + 1).copied().unwrap_or(lines.len());
            let stay = stay(&lines[*begin..end], &events[at..], &channels)
                .with_context(|| format!("in stay {nth} of call {call}"))?;
            stays.push(stay);
        }
    }
    stays.sort_by_key(|stay| stay.queued_at);
    Ok(stays)
}

/// The PBX writes a transfer and the queue entry that it leads to from two threads: within a second the entry may stand first.
/// A transfer ends the stay in which its agent was connected.
fn transfers_first(lines: &mut [&QueueLine]) {
    let Some(at) = lines.iter().position(|line| line.event.ends_with("TRANSFER")) else { return };
    for at in at..lines.len() {
        let line = lines[at];
        if !line.event.ends_with("TRANSFER") {
            continue;
        }
        let connected = lines[..at].iter().rposition(|other| other.event == "CONNECT" && other.agent == line.agent);
        let entered = connected.and_then(|from| (from..at).find(|&n| lines[n].event == "ENTERQUEUE"));
        if let Some(entered) = entered {
            lines[entered..=at].rotate_right(1);
        }
    }
}

/// One stay: its lines of `queue_log`, and the caller's channel from the entry on.
fn stay(lines: &[&QueueLine], events: &[&ChannelEvent], channels: &BTreeMap<&str, Vec<&ChannelEvent>>) -> Result<Stay> {
    let (entered, queued_at) = (lines[0], events[0].at());
    let line = |names: &[&str]| lines.iter().find(|line| names.contains(&line.event.as_str())).copied();
    let left_at = || {
        events
            .iter()
            .find(|event| event.kind == "APP_END")
            .map(|event| event.at())
            .context("the queue never let go of the caller")
    };
    let (exit, exit_at, logged_wait, service) = if let Some(connect) = line(&["CONNECT"]) {
        let leg = connect
            .rest
            .get(1)
            .and_then(|leg| channels.get(leg.as_str()))
            .context("the agent's channel left no events")?;
        let end = line(&["COMPLETEAGENT", "COMPLETECALLER", "BLINDTRANSFER", "ATTENDEDTRANSFER"])
            .context("an answered call has no end")?;
        let service = service(connect, end, leg, events)?;
        (Exit::Answered, service.answered_at, connect.number(0), Some(service))
    } else if let Some(abandon) = line(&["ABANDON"]) {
        (Exit::Abandoned, left_at()?, abandon.number(2), None)
    } else if let Some(timeout) = line(&["EXITWITHTIMEOUT"]) {
        (Exit::TimedOut, left_at()?, timeout.number(2), None)
    } else {
        bail!("no exit among {lines:?}")
    };
    let wait_ms = exit_at - queued_at;
    near("wait", wait_ms, logged_wait * 1000)?;
    Ok(Stay {
        call: entered.call.clone(),
        queue: entered.queue.clone(),
        queued_at,
        exit,
        wait_ms,
        unanswered: lines
            .iter()
            .filter(|line| line.event == "RINGNOANSWER")
            .map(|line| line.agent_number().to_owned())
            .collect(),
        left_ringing: exit == Exit::Abandoned && line(&["RINGCANCELED"]).is_some(),
        service,
    })
}

/// An agent's part: `leg` is the agent's channel, `events` the caller's from the entry into the queue on.
fn service(connect: &QueueLine, end: &QueueLine, leg: &[&ChannelEvent], events: &[&ChannelEvent]) -> Result<Service> {
    let answered_at =
        leg.iter().find(|event| event.kind == "BRIDGE_ENTER").context("the agent never met the caller")?.at();
    let agent_left = leg.iter().rfind(|event| event.kind == "BRIDGE_EXIT").context("the agent never left")?.at();
    // in an announced transfer the agent leaves and the caller stays; in all other ends the caller's leaving is as good
    let caller_left = events.iter().find(|event| event.kind == "BRIDGE_EXIT" && event.at() >= answered_at);
    let released_at = caller_left.map_or(agent_left, |event| event.at().min(agent_left));
    let mut hold_ms = 0;
    let mut held_since = None;
    for event in events.iter().filter(|event| (answered_at..released_at).contains(&event.at())) {
        match event.kind.as_str() {
            "STREAM_BEGIN" if event.extra.contains("\"class\"") => held_since = held_since.or(Some(event.at())),
            "STREAM_END" => hold_ms += held_since.take().map_or(0, |since| event.at() - since),
            _ => {}
        }
    }
    hold_ms += held_since.map_or(0, |since| released_at - since);
    // The channel event is the truth: where the agent hangs up to complete a transfer, queue_log at times calls it COMPLETEAGENT.
    let transfer = leg.iter().find_map(|event| match event.kind.as_str() {
        "BLINDTRANSFER" => Some(Transfer::Blind),
        "ATTENDEDTRANSFER" => Some(Transfer::Attended),
        _ => None,
    });
    let (told, logged) = match end.event.as_str() {
        "BLINDTRANSFER" => (Some(Transfer::Blind), end.number(3)),
        "ATTENDEDTRANSFER" => (Some(Transfer::Attended), end.number(3)),
        _ => (None, end.number(1)),
    };
    ensure!(
        told.is_none() || told == transfer,
        "queue_log tells of a transfer ({told:?}), the channel of {transfer:?}"
    );
    let engaged_ms = released_at - answered_at;
    near("talk", engaged_ms, logged * 1000)?;
    Ok(Service {
        agent: connect.agent_number().to_owned(),
        leg: leg[0].name.clone(),
        answered_at,
        engaged_ms,
        hold_ms,
        transfer,
    })
}

fn near(what: &str, exact_ms: i64, logged_ms: i64) -> Result<()> {
    ensure!(
        (exact_ms - logged_ms).abs() <= QUEUE_LOG_ERROR_MS,
        "{what}: {exact_ms} ms by channel events, {logged_ms} ms by queue_log"
    );
    Ok(())
}

fn calls(events: &[ChannelEvent]) -> Result<Vec<Call>> {
    let started = events.iter().filter(|event| {
        event.kind == "CHAN_START" && event.channel == event.linked && event.name.starts_with("PJSIP/trunk-")
    });
    started
        .map(|start| {
            let end = events.iter().find(|event| event.kind == "CHAN_END" && event.channel == start.channel);
            let to = end.with_context(|| format!("call {} has no end", start.channel))?.at();
            Ok(Call { id: start.channel.clone(), dialled: start.extension.clone(), from: start.at(), to })
        })
        .collect()
}

fn pauses(records: &Records) -> Result<Vec<Pause>> {
    let mut open: BTreeMap<&str, &QueueLine> = BTreeMap::new();
    let mut pauses = Vec::new();
    for line in &records.queue {
        let (begins, ends) = (line.event == "PAUSEALL", matches!(line.event.as_str(), "PAUSEALL" | "UNPAUSEALL"));
        // a new reason ends the old one
        if ends && let Some(began) = open.remove(line.agent_number()) {
            let (agent, reason) = (line.agent_number().to_owned(), began.rest.first().cloned().unwrap_or_default());
            let (from, to) = (began.at, line.at);
            let least_ms = free(&agent, (from + 1) * 1000, to * 1000, &records.channel);
            let most_ms = free(&agent, from * 1000, (to + 1) * 1000, &records.channel);
            pauses.push(Pause { agent, reason, from, to, least_ms, most_ms });
        }
        if begins {
            open.insert(line.agent_number(), line);
        }
    }
    ensure!(open.is_empty(), "agents who never came back from a pause: {:?}", open.keys());
    Ok(pauses)
}

/// How long between two moments (ms) the agent's phone had no channel and no after-call work ran. The PBX counts after-call work
/// in whole seconds, too: the next call may come before the end of it.
fn free(agent: &str, from: i64, to: i64, events: &[ChannelEvent]) -> i64 {
    let mut busy = spells(agent, events, WRAP_UP_MS);
    busy.sort_unstable();
    let (mut free, mut until) = (0, from);
    for (begin, end) in busy {
        free += (begin.min(to) - until).max(0);
        until = until.max(end);
    }
    free + (to - until).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_written_after_the_entry_that_it_leads_to_ends_the_stay_before() {
        let line = |event: &str, agent: &str| QueueLine {
            at: 1,
            call: "c".into(),
            queue: "support".into(),
            agent: agent.into(),
            event: event.into(),
            rest: Vec::new(),
        };
        let told = [
            line("ENTERQUEUE", "NONE"),
            line("CONNECT", "102"),
            line("ENTERQUEUE", "NONE"),
            line("BLINDTRANSFER", "102"),
            line("ABANDON", "NONE"),
        ];
        let mut lines: Vec<_> = told.iter().collect();
        transfers_first(&mut lines);
        let events: Vec<_> = lines.iter().map(|line| line.event.as_str()).collect();
        assert_eq!(events, ["ENTERQUEUE", "CONNECT", "BLINDTRANSFER", "ENTERQUEUE", "ABANDON"]);
    }
    #[test]
    fn what_outranks_a_pause_is_taken_out_once() {
        let event = |kind: &str, channel: &str, at: i64| ChannelEvent {
            kind: kind.into(),
            channel: channel.into(),
            name: "PJSIP/103-0001".into(),
            time: format!("{}.{:03}000", at / 1000, at % 1000),
            ..ChannelEvent::default()
        };
        // the second call comes while the first is wrapped up
        let told = [
            event("CHAN_START", "a", 1_000),
            event("BRIDGE_ENTER", "a", 2_000),
            event("CHAN_END", "a", 5_000),
            event("CHAN_START", "b", 6_500),
            event("CHAN_END", "b", 8_000),
        ];
        assert_eq!(free("103", 0, 10_000, &told), 1_000 + 2_000);
        assert_eq!(free("103", 3_000, 7_000, &told), 0);
        assert_eq!(free("103", 9_000, 8_500, &told), 0, "a pause within one second may have been none");
        assert_eq!(free("104", 0, 10_000, &told), 10_000);
    }
}
