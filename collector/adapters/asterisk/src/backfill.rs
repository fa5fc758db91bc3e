//! What happened while nobody watched, from the PBX's own `queue_log`.
//!
//! The log knows seconds and queues; AMI knows more. So only what is not known is taken from it, and marked `inferred`. Facts
//! get the same references as AMI would have given them, wherever the log names the same things.

use std::path::Path;

use adapter_queue_log::line::{QueueLogLine, Verb};
use model::event::call::{self, Direction, Party, QueueExit, TransferKind};
use model::{Quality, Time};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::frame::Frame;
use crate::state::{Alert, Call, Left};
use crate::translate::Translator;

/// The lines of the log from `from` on, at most `bytes_max` from the file's end; and how many made no sense. When the file
/// begins later than that, it was rotated: the end of `PATH.1` is read before it.
pub async fn read(path: &Path, bytes_max: u64, from: Time) -> std::io::Result<(Vec<QueueLogLine>, usize)> {
    let floor = Time(from.ms().div_euclid(1000) * 1000);
    let (mut lines, mut bad) = tail(path, bytes_max).await?;
    if lines.first().is_none_or(|first| first.at >= floor) {
        let mut before = path.as_os_str().to_owned();
        before.push(".1");
        if let Ok((mut earlier, worse)) = tail(Path::new(&before), bytes_max).await {
            earlier.append(&mut lines);
            lines = earlier;
            bad += worse;
        }
    }
    lines.retain(|line| line.at >= floor);
    Ok((lines, bad))
}

/// The lines in the last `bytes_max` of a file.
async fn tail(path: &Path, bytes_max: u64) -> std::io::Result<(Vec<QueueLogLine>, usize)> {
    let mut file = tokio::fs::File::open(path).await?;
    let skipped = file.metadata().await?.len().saturating_sub(bytes_max);
    file.seek(std::io::SeekFrom::Start(skipped)).await?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)]; // the last line may still be being written
    let lines = whole.lines().skip(usize::from(skipped > 0)).filter(|line| !line.is_empty());
    let (mut known, mut bad) = (Vec::new(), 0);
    for line in lines {
        match QueueLogLine::parse(line) {
            Ok(line) => known.push(line),
            Err(_) => bad += 1,
        }
    }
    Ok((known, bad))
}

impl Translator {
    /// Says what the lines tell and nobody said: `seen` is the last moment that was watched, by the PBX's clock.
    pub fn backfill(&mut self, lines: &[QueueLogLine], seen: Time) {
        let seen_s = seen.ms().div_euclid(1000);
        self.quality = Some(Quality::Inferred);
        let mut clock = LogClock::default();
        for line in lines {
            let at = clock.place(line.at);
            self.advance(at);
            let edge = line.at.ms().div_euclid(1000) <= seen_s;
            match (&line.call, &line.queue) {
                (Some(uid), Some(queue)) => self.call_line(line, uid, queue, at, edge),
                (None, Some(queue)) => self.member_line(line, queue, at),
                _ => {}
            }
        }
        self.quality = None;
    }

    /// `edge`: the line is of the second in which we stopped seeing: it may be known.
    fn call_line(&mut self, line: &QueueLogLine, uid: &str, queue: &str, at: i64, edge: bool) {
        let id = self.call_of(uid).unwrap_or_else(|| uid.to_owned());
        let known = self.take(&id);
        if known.is_none() && !begins(&line.verb) {
            return;
        }
        let mut call = known.unwrap_or_else(|| {
            let mut call = Call::begin(&id, uid, at);
            call.direction = Some(Direction::Inbound);
            call
        });
        // What was seen before comes before, and never at the same moment.
        let at = if at > call.last_us { at } else { call.last_us + 1 };
        if call.over_us.is_none() {
            self.milestone(&mut call, line, uid, queue, at, edge);
        }
        self.put(call);
    }

    fn milestone(&mut self, call: &mut Call, line: &QueueLogLine, uid: &str, queue: &str, at: i64, edge: bool) {
        let agent = line.agent.as_deref().map(|name| self.agent_of_name(name)).unwrap_or_default();
        match &line.verb {
            Verb::EnterQueue { caller, position } => {
                let before = call.joins.contains_key(&format!("{uid}|{queue}"));
                if !(edge && before) {
                    call.ani = call.ani.take().or_else(|| caller.clone());
                    self.enter_queue(call, uid, queue, *position, None, at);
                }
            }
            Verb::Connect { hold_s, channel, .. } => {
                let dest = channel.clone().unwrap_or_else(|| format!("log-{agent}-{at}"));
                if !call.answered.contains(&dest) {
                    self.stay_until(call, uid, queue, *hold_s, at);
                    self.connect(call, &dest, &agent, &agent, at);
                }
            }
            Verb::CompleteAgent(_) => self.completed(call, &agent, queue, Party::Agent, at),
            Verb::CompleteCaller(_) => self.completed(call, &agent, queue, Party::Caller, at),
            Verb::BlindTransfer { exten, .. } | Verb::Transfer { exten, .. } => {
                let to = self.destination(exten);
                self.handed_on(call, &agent, queue, TransferKind::Blind, to, at);
            }
            Verb::AttendedTransfer { target, .. } => {
                let to = call::Destination::Device(target.as_str().into());
                self.handed_on(call, &agent, queue, TransferKind::Attended, to, at);
            }
            Verb::Abandon(left) => {
                self.gave_up(call, uid, queue, left.wait_s, QueueExit::Abandoned, at, edge);
                call.hung_by = Some(Party::Caller);
            }
            Verb::ExitWithTimeout(left) => self.gave_up(call, uid, queue, left.wait_s, QueueExit::Timeout, at, edge),
            Verb::ExitEmpty(left) => self.gave_up(call, uid, queue, left.wait_s, QueueExit::NoAgent, at, edge),
            Verb::ExitWithKey { left, .. } => self.gave_up(call, uid, queue, left.wait_s, QueueExit::ExitKey, at, edge),
            Verb::Withdraw(left) => self.gave_up(call, uid, queue, left.wait_s, QueueExit::Overflow, at, edge),
            Verb::RingNoAnswer { ring_ms } => self.rang_out(call, line, &agent, queue, *ring_ms, at),
            Verb::RingCanceled { ring_ms } => self.rang_until_left(call, &agent, queue, *ring_ms, at),
            Verb::DeskEnter { caller, why } if !(edge && call.joins.contains_key(&format!("{uid}|{queue}"))) => {
                call.ani = call.ani.take().or_else(|| caller.clone());
                self.at_desks(call, uid, queue, why, at);
            }
            Verb::DeskConnect { hold_s, channel } => {
                self.desk_connected(call, line, uid, queue, (*hold_s, channel), at)
            }
            Verb::DeskEnd { answered, hold_s, .. } => self.desk_ended(call, uid, queue, (*answered, *hold_s), at, edge),
            _ => {}
        }
    }

    /// The stay that a line is about; one that began unseen began so long before.
    fn stay_until(&mut self, call: &mut Call, uid: &str, queue: &str, wait_s: u64, at: i64) {
        if call.stay.as_ref().is_some_and(|stay| stay.queue == queue && stay.left.is_none()) {
            return;
        }
        let wait_us = i64::try_from(wait_s.min(86_400)).unwrap_or(0) * 1_000_000;
        self.enter_queue(call, uid, queue, None, None, (at - wait_us).max(call.last_us.min(at)));
    }

    #[expect(clippy::too_many_arguments, reason = "a line has so many fields")]
    fn gave_up(&mut self, call: &mut Call, uid: &str, queue: &str, wait_s: u64, cause: QueueExit, at: i64, edge: bool) {
        let waits = call.stay.as_ref().is_some_and(|stay| stay.queue == queue);
        if !waits && (edge || call.joins.contains_key(&format!("{uid}|{queue}"))) {
            return; // said before
        }
        self.stay_until(call, uid, queue, wait_s, at);
        let due_us = at + self.plan.config.queues.overflow_within.signed() * 1000 + 1_000_000;
        if let Some(stay) = call.stay.as_mut().filter(|stay| stay.left.is_none()) {
            stay.left = Some(Left { at_us: at, given_up: true, said: Some(cause), due_us });
        }
        if cause == QueueExit::Timeout {
            self.schedule_exit(&call.id, due_us);
        } else {
            self.settle_exit(call, cause);
        }
    }

    /// A desk phone answered: the line names it where it would name an agent.
    fn desk_connected(
        &mut self,
        call: &mut Call,
        line: &QueueLogLine,
        uid: &str,
        queue: &str,
        (hold_s, channel): (u64, &Option<String>),
        at: i64,
    ) {
        let device = line.agent.clone().unwrap_or_default();
        let agent = self.agent_of(&device);
        let dest = channel.clone().unwrap_or_else(|| format!("log-{agent}-{at}"));
        if device.is_empty() || call.answered.contains(&dest) {
            return;
        }
        self.stay_until(call, uid, queue, hold_s, at);
        self.answered_at_desk(call, &dest, &agent, &device, at);
    }

    /// The caller is done with the desk phones: the talk is over, or nobody had answered.
    fn desk_ended(
        &mut self,
        call: &mut Call,
        uid: &str,
        queue: &str,
        (answered, hold_s): (bool, u64),
        at: i64,
        edge: bool,
    ) {
        if !answered {
            self.gave_up(call, uid, queue, hold_s, QueueExit::Abandoned, at, edge);
            call.hung_by = Some(Party::Caller);
            return;
        }
        let mine = |talk: &crate::state::Talk| talk.desk && talk.queue.as_deref() == Some(queue);
        let Some((dest, talk)) = call.talks.iter().find(|(_, talk)| mine(talk)).map(|(d, t)| (d.clone(), t.clone()))
        else {
            return;
        };
        call.talks.remove(&dest);
        // who hung up first, the log does not say
        let released = call::Released { agent: Some(talk.agent.as_str().into()), by: Party::Unknown, talked_ms: None };
        self.say_call(call, at, released, format!("released|{dest}"));
        self.talk_gone(&talk, &dest, at);
    }

    fn completed(&mut self, call: &mut Call, agent: &str, queue: &str, by: Party, at: i64) {
        if let Some(dest) = talk_of(call, agent, queue) {
            self.complete(call, &dest, agent, queue, by, at);
        }
    }

    fn handed_on(
        &mut self,
        call: &mut Call,
        agent: &str,
        queue: &str,
        kind: TransferKind,
        to: call::Destination,
        at: i64,
    ) {
        let Some(dest) = talk_of(call, agent, queue) else { return };
        call.talks.remove(&dest);
        let transferred = call::Transferred { kind, agent: Some(agent.into()), to };
        self.say_call(call, at, transferred, format!("transferred|{dest}"));
        self.complete(call, &dest, agent, queue, Party::Unknown, at);
    }

    fn rang_out(&mut self, call: &mut Call, line: &QueueLogLine, agent: &str, queue: &str, ring_ms: u64, at: i64) {
        let second = line.at.ms().div_euclid(1000);
        // AMI's stamp of the same ringing is in this second, or just over its end.
        let same = |at_s: i64| at_s == second || at_s == second + 1;
        if let Some(known) = call.marks.iter().position(|mark| mark.agent == agent && same(mark.at_s)) {
            call.marks.remove(known);
            return;
        }
        let open = call.alerts.iter().find(|(_, alert)| alert.agent == agent).map(|(uid, _)| uid.clone());
        let uid = open.unwrap_or_else(|| format!("log-{}-{agent}-{second}-{}", call.id, call.marks.len()));
        let alert = call.alerts.remove(&uid).unwrap_or_else(|| self.alert(agent, queue, at));
        self.alert_ended(call, &uid, &alert, Some(call::RonaReason::NoAnswer), Some(ring_ms), at);
    }

    /// The caller left while a phone rang: the ringing is opened here, and closed by the line that follows.
    fn rang_until_left(&mut self, call: &mut Call, agent: &str, queue: &str, ring_ms: u64, at: i64) {
        let waits = call.stay.as_ref().is_some_and(|stay| stay.queue == queue && stay.left.is_none());
        if !waits || call.alerts.values().any(|alert| alert.agent == agent) {
            return;
        }
        let since = (at - i64::try_from(ring_ms.min(600_000)).unwrap_or(0) * 1000).max(call.last_us.min(at));
        let alert = self.alert(agent, queue, since);
        let uid = format!("log-{}-{agent}-{at}", call.id);
        let alerting = call::Alerting {
            agent: agent.into(),
            device: Some(alert.device.as_str().into()),
            queue: Some(queue.into()),
            team: None,
        };
        self.say_call(call, since, alerting, format!("alerting|{uid}"));
        call.alerts.insert(uid, alert);
    }

    fn alert(&self, agent: &str, queue: &str, since_us: i64) -> Alert {
        let device = self.device_of(agent, agent);
        Alert { agent: agent.into(), device, queue: Some(queue.into()), since_us, cancelled_us: None, desk: false }
    }

    fn member_line(&mut self, line: &QueueLogLine, queue: &str, at: i64) {
        let Some(name) = line.agent.as_deref() else { return };
        let id = self.agent_of_name(name);
        let known = self.agents.get(&id).and_then(|agent| agent.queues.get(queue)).cloned();
        let paused = match (&line.verb, &known) {
            (Verb::RemoveMember, Some(_)) => return self.leave_queue(&id, queue, at),
            (Verb::AddMember { paused }, None) => Some((*paused, None)),
            (Verb::Pause { reason }, Some(member)) if !member.paused => Some((true, reason.clone())),
            (Verb::Unpause, Some(member)) if member.paused => Some((false, None)),
            _ => None,
        };
        let Some((paused, reason)) = paused else { return };
        let member = known.unwrap_or_default();
        let interface = if member.interface.is_empty() { name } else { &member.interface };
        let penalty = member.penalty.to_string();
        let row = Frame::of([
            ("Queue", queue),
            ("Interface", interface),
            ("StateInterface", &member.device),
            ("MemberName", &member.name),
            ("Penalty", &penalty),
            ("Paused", if paused { "1" } else { "0" }),
            ("PausedReason", reason.as_deref().unwrap_or_default()),
        ]);
        self.member(&row, queue, interface, at);
    }
}

/// The log knows only seconds; what it says within one happened in the order of its lines. Without that, a phone that rang out would
/// seem to have rung after its caller had left.
#[derive(Default)]
struct LogClock {
    second: Time,
    lines: i64,
}

impl LogClock {
    /// The moment of the next line, in microseconds: all lines of a second stay within its first millisecond.
    fn place(&mut self, second: Time) -> i64 {
        self.lines = if second == self.second { (self.lines + 1).min(999) } else { 0 };
        self.second = second;
        second.ms() * 1000 + self.lines
    }
}

/// Whether a call that nobody knew can be known by such a line.
fn begins(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::EnterQueue { .. }
            | Verb::Connect { .. }
            | Verb::Abandon(_)
            | Verb::ExitWithTimeout(_)
            | Verb::ExitEmpty(_)
            | Verb::ExitWithKey { .. }
            | Verb::Withdraw(_)
            | Verb::DeskEnter { .. }
            | Verb::DeskConnect { .. }
            | Verb::DeskEnd { .. }
    )
}

fn talk_of(call: &Call, agent: &str, queue: &str) -> Option<String> {
    let mine = |talk: &&crate::state::Talk| talk.agent == agent && talk.queue.as_deref() == Some(queue);
    call.talks.iter().find(|(_, talk)| mine(talk)).map(|(uid, _)| uid.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_that_was_rotated_in_the_gap_is_read_across_and_a_half_line_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queue_log");
        std::fs::write(dir.path().join("queue_log.1"), "90|a|q|NONE|ENTERQUEUE|||1\n101|b|q|NONE|ENTERQUEUE|||1\n")
            .unwrap();
        std::fs::write(&path, "110|c|q|NONE|ENTERQUEUE|||1\nnonsense\n111|d|q|NONE|ENTERQ").unwrap();
        let (lines, bad) = read(&path, 1 << 20, Time(100_500)).await.unwrap();
        let calls: Vec<_> = lines.iter().filter_map(|line| line.call.as_deref()).collect();
        assert_eq!((calls, bad), (vec!["b", "c"], 1));
        let (lines, _) = read(&path, 40, Time(100_500)).await.unwrap();
        assert!(lines.len() < 2, "the bound holds: {lines:?}");
        assert!(read(&dir.path().join("absent"), 40, Time(0)).await.is_err());
    }
}
