//! A drill: a test call through the real dialplan to the real desk phones of a queue, and everything put back.
//!
//! The call is a Local channel of the PBX's own (`tidegate-drill` in `deploy/asterisk`). It takes the way of a caller whose gate is
//! switched off, or silent; phones that are in use are left out; as soon as phones ring, or the time is over, it is hung up. No switch of
//! real callers is touched, no queue is entered, nothing is counted. Should this program die meanwhile, the PBX ends the call by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ami::Fault;
use ami::action::Action;
use ami::frame::{Frame, Item};
use ami::link::Link;
use model::DeviceId;
use serde::Serialize;
use service::Clock;

use super::map::{is_dialable, is_key};
use super::phones_of;
use crate::pbx::Pbx;

/// How a caller is made to need desk phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As by an operator's switch.
    Switch,
    /// As with a gate that nobody hears of: the dialplan's own deadline is in the way, too.
    Silent,
}

/// What is drilled.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The queue.
    pub queue: String,
    /// Its phones, as the PBX's database holds them.
    pub phones: String,
    /// How.
    pub way: Way,
    /// A phone must ring within this.
    pub within: Duration,
    /// For how long phones ring before the call is hung up.
    pub ring: Duration,
}

/// What a phone did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// It rang, so long after the call began.
    Rang {
        /// Milliseconds.
        after_ms: u64,
    },
    /// It is in use: it was not disturbed.
    InUse,
    /// The PBX could not call it, in its own word.
    Failed {
        /// Such as `CHANUNAVAIL`: not registered.
        status: String,
    },
    /// Nothing was heard of it.
    Silent,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The queue.
    pub queue: String,
    /// What each phone did.
    pub phones: BTreeMap<DeviceId, Did>,
    /// A phone rang in time.
    pub answers: bool,
    /// The test call is over, and its channels are gone.
    pub put_back: bool,
}

/// What is needed, in the words of manager.conf.
const NEEDS_CALL: &str = "write = originate,call and read = call";
const NEEDS_STATES: &str = "write = call,reporting (DeviceStateList)";
/// What the drill listens to.
const EVENTS: &str = "^Event: (Newchannel|Newstate|DialBegin|DialEnd|Hangup|OriginateResponse|DeviceState)";
/// How long to wait for the channels to go.
const GONE_MAX: Duration = Duration::from_secs(5);

/// Calls the phones of one queue.
///
/// # Errors
/// When the link breaks, the user may not call (the privilege is named), or the dialplan of `deploy/asterisk` is not there.
pub async fn drill(link: &mut Link, clock: &Clock, wish: &Wish) -> Result<Outcome, Fault> {
    let rounds = phones_of(&wish.phones);
    let all: BTreeSet<DeviceId> = rounds.iter().flatten().cloned().collect();
    if !is_key(&wish.queue) || !all.iter().all(|phone| is_dialable(phone.as_str())) {
        return Err(Fault::Refused(format!(
            "{} and {} are not plain names: nothing is dialled",
            wish.queue, wish.phones
        )));
    }
    let mut phones: BTreeMap<DeviceId, Did> = all.iter().map(|phone| (phone.clone(), Did::Silent)).collect();
    let busy = in_use(link, clock, &all).await?;
    busy.iter().for_each(|phone| _ = phones.insert(phone.clone(), Did::InUse));
    let idle: Vec<DeviceId> = all.difference(&busy).cloned().collect();
    let mut outcome = Outcome { queue: wish.queue.clone(), phones, answers: false, put_back: true };
    if idle.is_empty() {
        return Ok(outcome);
    }
    let mut call = Call::new(wish, clock);
    // the database's own words where all of them can ring at once, else those that are idle
    let only =
        (rounds.len() > 1 || !busy.is_empty()).then(|| idle.iter().map(DeviceId::as_str).collect::<Vec<_>>().join("&"));
    let began = clock.monotonic();
    call.begin(link, wish, only.as_deref()).await?;
    let listening = call.listen(link, clock, wish, &idle, began, &mut outcome);
    let heard = clock.timeout(wish.within + wish.ring + GONE_MAX, listening).await;
    outcome.put_back = call.put_back(link, clock).await?;
    if let Ok(outcome) = heard {
        outcome?;
    }
    if call.name.is_none() {
        let what = format!("nothing is told of the test call: give the user of manager.conf {NEEDS_CALL}");
        return Err(Fault::Refused(what));
    }
    let in_time = |did: &Did| matches!(did, Did::Rang { after_ms } if u128::from(*after_ms) <= wish.within.as_millis());
    outcome.answers = outcome.phones.values().any(in_time);
    Ok(outcome)
}

/// Which of these phones are in use now.
async fn in_use(link: &mut Link, clock: &Clock, phones: &BTreeSet<DeviceId>) -> Result<BTreeSet<DeviceId>, Fault> {
    let id = link.next_id();
    link.send(&id, &Action::new("DeviceStateList"))?;
    let listing = async {
        let mut busy = BTreeSet::new();
        loop {
            let Some(frame) = next(link).await? else { continue };
            if frame.get("ActionID") != Some(&id) {
                continue;
            }
            if frame.event().is_none() && frame.response() == Some("Error") {
                let message = frame.get("Message").unwrap_or("no reason given");
                return Err(crate::pbx::refused("DeviceStateList", message, NEEDS_STATES));
            }
            if frame.event() == Some("DeviceStateListComplete") {
                return Ok(busy);
            }
            let taken = ["INUSE", "BUSY", "RINGING", "RINGINUSE", "ONHOLD"];
            if let Some((device, _)) = frame.get("Device").zip(frame.get("State").filter(|state| taken.contains(state)))
            {
                busy.extend(phones.get(device).cloned());
            }
        }
    };
    match clock.timeout(GONE_MAX, listing).await {
        Ok(busy) => busy,
        Err(_) => Err(Fault::Transient("the PBX does not list its devices".into())),
    }
}

/// The next frame; `None` when something else came.
async fn next(link: &mut Link) -> Result<Option<Frame>, Fault> {
    match link.take() {
        Some(Item::Frame(frame)) => Ok(Some(frame)),
        Some(_) => Ok(None),
        None => link.turn().await.map(|_| None),
    }
}

/// The test call.
struct Call {
    /// The Uniqueid that its first channel is given, and so the Linkedid of all of them.
    id: String,
    /// Its first channel's name.
    name: Option<String>,
    /// Its channels that are there.
    channels: BTreeSet<String>,
    /// Which phone each dialled channel is.
    dialled: BTreeMap<String, DeviceId>,
    over: bool,
}

impl Call {
    fn new(wish: &Wish, clock: &Clock) -> Call {
        let id = format!("tidegate-drill-{}-{}", wish.queue, clock.now_ms());
        Call { id, name: None, channels: BTreeSet::new(), dialled: BTreeMap::new(), over: false }
    }

    async fn begin(&mut self, link: &mut Link, wish: &Wish, only: Option<&str>) -> Result<(), Fault> {
        for action in [Action::filter(EVENTS), Action::new("Events").with("EventMask", "call")] {
            Pbx::ask(link, &action, NEEDS_CALL).await?;
        }
        let most = wish.within + wish.ring + GONE_MAX;
        let mut action = Action::new("Originate")
            .with("Channel", "Local/s@tidegate-drill/n")
            .with("ChannelId", self.id.as_str())
            .with("OtherChannelId", format!("{}-2", self.id))
            .with("Application", "Wait")
            .with("Data", "1")
            // the PBX ends it by itself, should nobody be left to do so
            .with("Timeout", most.as_millis().to_string())
            .with("CallerID", "\"Tidegate drill\" <0>")
            .with("Async", "true")
            .with("Variable", format!("TIDEGATE_QUEUE={}", wish.queue));
        action = match wish.way {
            Way::Switch => action.with("Variable", "TIDEGATE_SWITCH=hardphone"),
            // port 9 of loopback: nobody listens there
            Way::Silent => action.with("Variable", "TIDEGATE_AGI=agi://127.0.0.1:9/route"),
        };
        if let Some(only) = only {
            action = action.with("Variable", format!("TIDEGATE_DRILL_PHONES={only}"));
        }
        Pbx::ask(link, &action, NEEDS_CALL).await.map(drop)
    }

    /// Listens until every phone has rung or failed, or the time is over and some have rung for a while.
    async fn listen(
        &mut self,
        link: &mut Link,
        clock: &Clock,
        wish: &Wish,
        idle: &[DeviceId],
        began: Duration,
        outcome: &mut Outcome,
    ) -> Result<(), Fault> {
        let mut until = began + wish.within;
        let mut rung = false;
        while !self.over && clock.monotonic() < until {
            let left = until.saturating_sub(clock.monotonic());
            let Ok(frame) = clock.timeout(left, next(link)).await else { break };
            let Some(frame) = frame? else { continue };
            self.take(&frame, clock.monotonic().saturating_sub(began), outcome)?;
            let rings = outcome.phones.values().any(|did| matches!(did, Did::Rang { .. }));
            if rings && !rung {
                rung = true;
                until = until.min(clock.monotonic() + wish.ring);
            }
            if !rings && idle.iter().all(|phone| matches!(outcome.phones[phone], Did::Failed { .. })) {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: &Frame, after: Duration, outcome: &mut Outcome) -> Result<(), Fault> {
        if frame.event() == Some("OriginateResponse") {
            self.over |= frame.get("Uniqueid") == Some(&self.id) && frame.response() == Some("Failure");
            return Ok(());
        }
        let mine = [frame.get("Linkedid"), frame.get("DestLinkedid")].contains(&Some(self.id.as_str()));
        if !mine {
            return Ok(());
        }
        let uid = frame.get("Uniqueid").unwrap_or_default().to_owned();
        match frame.event() {
            Some("Newchannel") => {
                if uid == self.id {
                    self.name = frame.get("Channel").map(str::to_owned);
                }
                self.channels.insert(uid);
            }
            Some("DialBegin") => {
                let Some((dest, channel)) = frame.get("DestUniqueid").zip(frame.get("DestChannel")) else {
                    return Ok(());
                };
                let phone = outcome.phones.keys().find(|phone| is_of(channel, phone)).cloned();
                self.dialled.extend(phone.map(|phone| (dest.to_owned(), phone)));
            }
            Some("Newstate") if frame.get("ChannelState") == Some("5") => {
                let channel = frame.get("Channel").unwrap_or_default();
                let phone = outcome.phones.keys().find(|phone| is_of(channel, phone)).cloned();
                if let Some(phone) = phone {
                    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                    outcome.phones.insert(phone, Did::Rang { after_ms });
                }
            }
            Some("DialEnd") => {
                let phone = frame.get("DestUniqueid").and_then(|dest| self.dialled.get(dest)).cloned();
                let status = frame.get("DialStatus").unwrap_or("unknown").to_owned();
                if let Some(phone) = phone.filter(|phone| outcome.phones.get(phone) == Some(&Did::Silent)) {
                    let did = match status.as_str() {
                        // it was picked up before it was said to ring
                        "ANSWER" => Did::Rang { after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX) },
                        _ => Did::Failed { status },
                    };
                    outcome.phones.insert(phone, did);
                }
            }
            Some("Hangup") => {
                self.channels.remove(&uid);
                self.over |= uid == self.id;
            }
            _ => {}
        }
        Ok(())
    }

    /// Hangs up, and waits until its channels are gone; whether they are.
    async fn put_back(&mut self, link: &mut Link, clock: &Clock) -> Result<bool, Fault> {
        if let Some(name) = self.name.clone().filter(|_| !self.over) {
            // that it is gone already is no fault
            let hangup = Action::new("Hangup").with("Channel", name);
            let _ = Pbx::ask(link, &hangup, NEEDS_CALL).await;
        }
        let mut nobody = Outcome { queue: String::new(), phones: BTreeMap::new(), answers: false, put_back: false };
        let until = clock.monotonic() + GONE_MAX;
        while !(self.over && self.channels.is_empty()) && clock.monotonic() < until {
            let left = until.saturating_sub(clock.monotonic());
            let Ok(frame) = clock.timeout(left, next(link)).await else { break };
            if let Some(frame) = frame? {
                self.take(&frame, Duration::ZERO, &mut nobody)?;
            }
        }
        Ok(self.channels.is_empty())
    }
}

/// Whether a channel is one of this phone's: `PJSIP/101-0000002a` of `PJSIP/101`.
fn is_of(channel: &str, phone: &DeviceId) -> bool {
    channel.strip_prefix(phone.as_str()).is_some_and(|rest| rest.starts_with('-') && !rest[1..].contains('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_belongs_to_its_phone_and_not_to_one_whose_name_begins_alike() {
        assert!(is_of("PJSIP/101-0000002a", &"PJSIP/101".into()));
        assert!(!is_of("PJSIP/1011-0000002a", &"PJSIP/101".into()));
        assert!(!is_of("PJSIP/101-west-0000002a", &"PJSIP/101".into()));
        assert!(is_of("PJSIP/101-west-0000002a", &"PJSIP/101-west".into()));
    }
}
