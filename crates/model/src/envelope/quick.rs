//! The quick way to read an envelope: as we write it ourselves, attribute by attribute, payload by payload.
//!
//! Invariant: what is read here the general parser reads alike; on everything else this gives up ([`Odd`]). A test holds both against
//! each other.

use crate::event::call::{
    AlertCancelled, Alerting, Answered, Dequeued, Destination, Direction, Ended, Held, IvrEntered, IvrLeft,
    IvrSelected, Offered, Party, QueueExit, Queued, Released, Retrieved, Rona, RonaReason, TransferKind, Transferred,
    WrappedUp,
};
use crate::event::{self, Event, agent, device};
use crate::id::{AgentId, CallId, DeviceId, EventId, NodeId, QueueId, SourceId, Subject, TeamId, TenantId, TrunkId};
use crate::number::Number;
use crate::text::{Role, Texts};

use super::cursor::{Cursor, Odd, Read, digits_of};
use super::{ATTRIBUTE_BYTES_MAX, Envelope, Quality};

/// Reads an envelope that lies as we write it.
#[inline(always)]
pub(super) fn read(bytes: &[u8], texts: &mut Texts) -> Read<Envelope> {
    let text = std::str::from_utf8(bytes).map_err(|_| Odd)?;
    let c = &mut Cursor::new(text, texts);
    c.must("\"specversion\":\"1.0\",\"id\":")?;
    let id = EventId::new(attribute(c)?);
    let source = attribute(c.must("\"source\":")?)?;
    let source = SourceId(c.share_again(Role::Source, source));
    let ty = attribute(c.must("\"type\":")?)?;
    let subject = attribute(c.must("\"subject\":")?)?;
    let subject = subject_of(c, subject)?;
    let time = c.must("\"time\":")?.time()?;
    c.must("\"datacontenttype\":\"application/json\"")?;
    let tenant = if c.key("\"tenant\":") { Some(TenantId(c.text_again(Role::Tenant)?)) } else { None };
    let observed_time = if c.key("\"observedtime\":") { Some(c.time()?) } else { None };
    let cause_id = if c.key("\"causeid\":") { Some(EventId::new(c.text()?)) } else { None };
    let seq = if c.key("\"seq\":") { Some(digits_of(c.text()?.as_bytes())?) } else { None };
    let quality = if c.key("\"quality\":") { Some(quality_of(c.text()?)?) } else { None };
    c.must("\"data\":")?;
    let event = event_of(c, ty)?;
    if event.family() != subject.family() {
        return Err(Odd);
    }
    Ok(Envelope { id, source, subject, time, tenant, observed_time, cause_id, seq, quality, event })
}

fn attribute<'a>(c: &mut Cursor<'a, '_>) -> Read<&'a str> {
    let text = c.text()?;
    if text.is_empty() || text.len() > ATTRIBUTE_BYTES_MAX { Err(Odd) } else { Ok(text) }
}

fn subject_of(c: &mut Cursor<'_, '_>, text: &str) -> Read<Subject> {
    let of = |family: &str| text.strip_prefix(family).filter(|id| !id.is_empty());
    // the most frequent first
    if let Some(id) = of("call/") {
        return Ok(Subject::Call(CallId(c.share(id))));
    }
    if let Some(id) = of("agent/") {
        return Ok(Subject::Agent(AgentId(c.share(id))));
    }
    if let Some(id) = of("device/") {
        return Ok(Subject::Device(DeviceId(c.share(id))));
    }
    if let Some(id) = of("queue/") {
        return Ok(Subject::Queue(QueueId(c.share(id))));
    }
    of("source/").map(|id| Subject::Source(SourceId(c.share(id)))).ok_or(Odd)
}

fn quality_of(text: &str) -> Read<Quality> {
    Ok(match text {
        "inferred" => Quality::Inferred,
        "snapshot" => Quality::Snapshot,
        "late" => Quality::Late,
        _ => return Err(Odd),
    })
}

/// The payload and the end of the envelope. Rare types are left to the general parser, the envelope around them is not.
fn event_of(c: &mut Cursor<'_, '_>, ty: &str) -> Read<Event> {
    let payload: fn(&mut Cursor<'_, '_>) -> Read<Event> = match ty {
        "call.offered.v1" => offered,
        "call.ivr_entered.v1" => |c| Ok(IvrEntered { node: node(c)? }.into()),
        "call.ivr_selected.v1" => ivr_selected,
        "call.ivr_left.v1" => |c| Ok(IvrLeft { node: node(c)? }.into()),
        "call.queued.v1" => queued,
        "call.alerting.v1" => alerting,
        "call.rona.v1" => rona,
        "call.alert_cancelled.v1" => alert_cancelled,
        "call.dequeued.v1" => dequeued,
        "call.answered.v1" => answered,
        "call.held.v1" => |c| Ok(Held { agent: agent(c)? }.into()),
        "call.retrieved.v1" => |c| Ok(Retrieved { agent: agent(c)? }.into()),
        "call.transferred.v1" => transferred,
        "call.released.v1" => released,
        "call.wrapped_up.v1" => wrapped_up,
        "call.ended.v1" => ended,
        "agent.logged_in.v1" => |c| Ok(agent::LoggedIn { device: device(c)?, team: team(c)? }.into()),
        "agent.state_changed.v1" => state_changed,
        "device.state_changed.v1" => device_changed,
        _ => {
            let data = c.rest_but_brace()?;
            return event::decode(ty, data).ok().flatten().ok_or(Odd);
        }
    };
    c.open();
    let event = payload(c)?;
    c.end()?;
    Ok(event)
}

#[inline(always)]
fn agent(c: &mut Cursor<'_, '_>) -> Read<Option<AgentId>> {
    Ok(if c.key("\"agent\":") { Some(AgentId(c.shared()?)) } else { None })
}

#[inline(always)]
fn device(c: &mut Cursor<'_, '_>) -> Read<Option<DeviceId>> {
    Ok(if c.key("\"device\":") { Some(DeviceId(c.shared()?)) } else { None })
}

#[inline(always)]
fn queue(c: &mut Cursor<'_, '_>) -> Read<Option<QueueId>> {
    Ok(if c.key("\"queue\":") { Some(QueueId(c.shared()?)) } else { None })
}

#[inline(always)]
fn team(c: &mut Cursor<'_, '_>) -> Read<Option<TeamId>> {
    Ok(if c.key("\"team\":") { Some(TeamId(c.shared()?)) } else { None })
}

fn node(c: &mut Cursor<'_, '_>) -> Read<NodeId> {
    c.must("\"node\":")?.shared().map(NodeId)
}

#[inline(always)]
fn number(c: &mut Cursor<'_, '_>, key: &str) -> Read<Option<u64>> {
    Ok(if c.key(key) { Some(c.number()?) } else { None })
}

#[inline(always)]
fn text(c: &mut Cursor<'_, '_>, key: &str) -> Read<Option<String>> {
    Ok(if c.key(key) { Some(c.text()?.to_owned()) } else { None })
}

fn narrow<T: TryFrom<u64>>(n: Option<u64>) -> Read<Option<T>> {
    n.map(|n| T::try_from(n).map_err(|_| Odd)).transpose()
}

#[inline(always)]
fn phone(c: &mut Cursor<'_, '_>, key: &str) -> Read<Option<Number>> {
    if c.key(key) { digits(c).map(Some) } else { Ok(None) }
}

#[inline(always)]
fn digits(c: &mut Cursor<'_, '_>) -> Read<Number> {
    c.open();
    let (digits, token, mask) = (text(c, "\"digits\":")?, text(c, "\"token\":")?, text(c, "\"mask\":")?);
    c.close()?;
    Ok(Number { digits, token, mask })
}

fn party(c: &mut Cursor<'_, '_>) -> Read<Party> {
    if !c.key("\"by\":") {
        return Ok(Party::default());
    }
    Ok(match c.text()? {
        "caller" => Party::Caller,
        "agent" => Party::Agent,
        "system" => Party::System,
        "unknown" => Party::Unknown,
        _ => return Err(Odd),
    })
}

fn offered(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let direction = match c.must("\"direction\":")?.text()? {
        "inbound" => Direction::Inbound,
        "outbound" => Direction::Outbound,
        "internal" => Direction::Internal,
        _ => return Err(Odd),
    };
    let (ani, dnis) = (phone(c, "\"ani\":")?, phone(c, "\"dnis\":")?);
    let trunk = if c.key("\"trunk\":") { Some(TrunkId(c.shared()?)) } else { None };
    Ok(Offered { direction, ani, dnis, trunk, agent: agent(c)? }.into())
}

fn ivr_selected(c: &mut Cursor<'_, '_>) -> Read<Event> {
    Ok(IvrSelected { node: node(c)?, choice: c.must("\"choice\":")?.text()?.to_owned() }.into())
}

fn queued(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let queue = QueueId(c.must("\"queue\":")?.shared()?);
    let priority = if c.key("\"priority\":") { Some(i32::try_from(c.signed()?).map_err(|_| Odd)?) } else { None };
    let position = narrow(number(c, "\"position\":")?)?;
    let offered_at = if c.key("\"offered_at\":") { Some(c.time()?) } else { None };
    Ok(Queued { queue, priority, position, offered_at }.into())
}

fn alerting(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let agent = AgentId(c.must("\"agent\":")?.shared()?);
    Ok(Alerting { agent, device: device(c)?, queue: queue(c)?, team: team(c)? }.into())
}

fn rona(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let agent = AgentId(c.must("\"agent\":")?.shared()?);
    let (device, queue, rang_ms) = (device(c)?, queue(c)?, number(c, "\"rang_ms\":")?);
    let reason = match c.must("\"reason\":")?.text()? {
        "no_answer" => RonaReason::NoAnswer,
        "busy" => RonaReason::Busy,
        "rejected" => RonaReason::Rejected,
        _ => return Err(Odd),
    };
    Ok(Rona { agent, device, queue, rang_ms, reason, team: team(c)? }.into())
}

fn alert_cancelled(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let agent = AgentId(c.must("\"agent\":")?.shared()?);
    Ok(AlertCancelled { agent, device: device(c)?, queue: queue(c)?, rang_ms: number(c, "\"rang_ms\":")? }.into())
}

fn dequeued(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let queue = QueueId(c.must("\"queue\":")?.shared()?);
    let cause = c.must("\"cause\":")?.text()?;
    let cause = QueueExit::ALL.into_iter().find(|exit| exit.as_str() == cause).ok_or(Odd)?;
    Ok(Dequeued { queue, cause, waited_ms: number(c, "\"waited_ms\":")? }.into())
}

fn answered(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let (agent, device, queue) = (agent(c)?, device(c)?, queue(c)?);
    let waited_ms = number(c, "\"waited_ms\":")?;
    Ok(Answered { agent, device, queue, waited_ms, team: team(c)? }.into())
}

fn transferred(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let kind = match c.must("\"kind\":")?.text()? {
        "blind" => TransferKind::Blind,
        "attended" => TransferKind::Attended,
        _ => return Err(Odd),
    };
    let agent = agent(c)?;
    c.must("\"to\":")?.open();
    let to = if let Some(queue) = queue(c)? {
        Destination::Queue(queue)
    } else if let Some(agent) = self::agent(c)? {
        Destination::Agent(agent)
    } else if let Some(device) = device(c)? {
        Destination::Device(device)
    } else {
        Destination::Number(phone(c, "\"number\":")?.ok_or(Odd)?)
    };
    c.close()?;
    Ok(Transferred { kind, agent, to }.into())
}

fn released(c: &mut Cursor<'_, '_>) -> Read<Event> {
    Ok(Released { agent: agent(c)?, by: party(c)?, talked_ms: number(c, "\"talked_ms\":")? }.into())
}

fn wrapped_up(c: &mut Cursor<'_, '_>) -> Read<Event> {
    Ok(WrappedUp { agent: agent(c)?, wrap_up_ms: c.must("\"wrap_up_ms\":")?.number()? }.into())
}

fn ended(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let (by, cause) = (party(c)?, text(c, "\"cause\":")?);
    let q850 = narrow(number(c, "\"q850\":")?)?;
    let merged_into = if c.key("\"merged_into\":") { Some(CallId(c.shared()?)) } else { None };
    let not_after = if c.key("\"not_after\":") { Some(c.time()?) } else { None };
    Ok(Ended { by, cause, q850, merged_into, not_after }.into())
}

fn state_changed(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let state = match c.must("\"state\":")?.text()? {
        "ready" => agent::State::Ready,
        "not_ready" => agent::State::NotReady,
        "reserved" => agent::State::Reserved,
        "talking" => agent::State::Talking,
        "wrap_up" => agent::State::WrapUp,
        "unknown" => agent::State::Unknown,
        _ => return Err(Odd),
    };
    let reason = text(c, "\"reason\":")?;
    let call = if c.key("\"call\":") { Some(CallId(c.shared()?)) } else { None };
    Ok(agent::StateChanged { state, reason, call, queue: queue(c)?, team: team(c)? }.into())
}

fn device_changed(c: &mut Cursor<'_, '_>) -> Read<Event> {
    let state = match c.must("\"state\":")?.text()? {
        "idle" => device::State::Idle,
        "ringing" => device::State::Ringing,
        "in_use" => device::State::InUse,
        "held" => device::State::Held,
        "unavailable" => device::State::Unavailable,
        _ => return Err(Odd),
    };
    Ok(device::StateChanged { state }.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Parsed, Reader};
    use super::*;
    use crate::event::call::Conferenced;
    use crate::event::{call, queue, source};
    use crate::time::Time;

    /// Ids and words as they come, and as they should not.
    fn word() -> BoxedStrategy<String> {
        prop_oneof![
            4 => "[a-zA-Z0-9/._-]{1,20}",
            1 => Just(String::new()),
            1 => ".{1,12}", // anything: quotes, backslashes, control characters, other scripts
            1 => "[a-f0-9]{32}",
            1 => Just("x".repeat(513)),
        ]
        .boxed()
    }

    fn maybe<T: Clone + std::fmt::Debug + 'static>(of: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Option<T>> {
        prop::option::of(of).boxed()
    }

    fn phone() -> BoxedStrategy<Number> {
        (maybe(word()), maybe(word()), maybe(word()))
            .prop_map(|(digits, token, mask)| Number { digits, token, mask })
            .boxed()
    }

    fn destination() -> BoxedStrategy<Destination> {
        prop_oneof![
            word().prop_map(|w| Destination::Queue(w.into())),
            word().prop_map(|w| Destination::Agent(w.into())),
            word().prop_map(|w| Destination::Device(w.into())),
            phone().prop_map(Destination::Number),
        ]
        .boxed()
    }

    prop_compose! {
        fn parts()(
            (a, b, c) in (word(), word(), word()),
            (oa, od, oq, ot) in (maybe(word()), maybe(word()), maybe(word()), maybe(word())),
            (n, on, small, signed) in (any::<u64>(), maybe(any::<u64>()), maybe(any::<u16>()), maybe(any::<i32>())),
            (ani, dnis, to) in (maybe(phone()), maybe(phone()), destination()),
            (time, pick) in (maybe(0i64..4_000_000_000_000), any::<usize>()),
        ) -> Vec<Event> {
            let time = time.map(Time);
            let (party, exit) = (
                [Party::Caller, Party::Agent, Party::System, Party::Unknown][pick % 4],
                QueueExit::ALL[pick % QueueExit::ALL.len()],
            );
            let (agent, device, queue, team) = (
                oa.clone().map(AgentId::from), od.map(DeviceId::from), oq.map(QueueId::from), ot.map(TeamId::from),
            );
            let (who, node) = (AgentId::from(a.clone()), NodeId::from(b.clone()));
            let state = [agent::State::Ready, agent::State::NotReady, agent::State::Reserved, agent::State::Talking,
                agent::State::WrapUp, agent::State::Unknown][pick % 6];
            let doing = [device::State::Idle, device::State::Ringing, device::State::InUse, device::State::Held,
                device::State::Unavailable][pick % 5];
            let reason = [RonaReason::NoAnswer, RonaReason::Busy, RonaReason::Rejected][pick % 3];
            let direction = [Direction::Inbound, Direction::Outbound, Direction::Internal][pick % 3];
            let kind = [TransferKind::Blind, TransferKind::Attended][pick % 2];
            vec![
                Offered { direction, ani, dnis, trunk: oa.clone().map(TrunkId::from), agent: agent.clone() }.into(),
                IvrEntered { node: node.clone() }.into(),
                IvrSelected { node: node.clone(), choice: c.clone() }.into(),
                IvrLeft { node }.into(),
                Queued { queue: b.clone().into(), priority: signed, position: small.map(u32::from), offered_at: time }.into(),
                Alerting { agent: who.clone(), device: device.clone(), queue: queue.clone(), team: team.clone() }.into(),
                Rona { agent: who.clone(), device: device.clone(), queue: queue.clone(), rang_ms: on, reason, team: team.clone() }
                    .into(),
                AlertCancelled { agent: who.clone(), device: device.clone(), queue: queue.clone(), rang_ms: on }.into(),
                Dequeued { queue: b.clone().into(), cause: exit, waited_ms: on }.into(),
                Answered {
                    agent: agent.clone(), device: device.clone(), queue: queue.clone(), waited_ms: on, team: team.clone(),
                }.into(),
                Held { agent: agent.clone() }.into(),
                Retrieved { agent: agent.clone() }.into(),
                Transferred { kind, agent: agent.clone(), to }.into(),
                Conferenced { agent: agent.clone(), parties: small.map(u32::from) }.into(),
                Released { agent: agent.clone(), by: party, talked_ms: on }.into(),
                WrappedUp { agent: agent.clone(), wrap_up_ms: n }.into(),
                call::Surveyed { score: n as f64 / 7.0, score_max: 5.0 }.into(),
                Ended { by: party, cause: oa.clone(), q850: small, merged_into: on.map(|n| n.to_string().into()), not_after: time }
                    .into(),
                agent::LoggedIn { device: device.clone(), team: team.clone() }.into(),
                agent::LoggedOut { reason: oa.clone(), team: team.clone() }.into(),
                agent::StateChanged { state, reason: oa, call: on.map(|n| n.to_string().into()), queue, team }.into(),
                device::StateChanged { state: doing }.into(),
                device::Registered { address: Some(c.clone()) }.into(),
                queue::MemberAdded { agent: who, device, penalty: signed.unwrap_or(0), paused: n % 2 == 0 }.into(),
                source::Disconnected { reason: c }.into(),
            ]
        }
    }

    prop_compose! {
        fn envelopes()(
            (events, pick, kin) in (parts().boxed(), any::<usize>(), 0u8..20),
            (id, source, about, tenant, cause) in (word(), word(), word(), maybe(word()), maybe(word())),
            (at, seen, seq) in (0i64..4_000_000_000_000, maybe(0i64..4_000_000_000_000), maybe(any::<u64>())),
            quality in maybe(prop::sample::select(vec![Quality::Inferred, Quality::Snapshot, Quality::Late])),
        ) -> Envelope {
            let event = events[pick % events.len()].clone();
            let subject = match event.family() {
                _ if kin == 0 => Subject::Source(about.into()), // nearly always of another family
                "call" => Subject::Call(about.into()),
                "agent" => Subject::Agent(about.into()),
                "device" => Subject::Device(about.into()),
                "queue" => Subject::Queue(about.into()),
                _ => Subject::Source(about.into()),
            };
            Envelope {
                id: id.into(), source: source.into(), subject, time: Time(at), tenant: tenant.map(TenantId::from),
                observed_time: seen.map(Time), cause_id: cause.map(EventId::from), seq, quality, event,
            }
        }
    }

    /// One change to a text: of a byte, of white space, of a key's place, of a number's form.
    fn spoilt(json: &[u8], how: usize, at: usize, byte: u8) -> Vec<u8> {
        let mut out = json.to_vec();
        let at = at % out.len();
        match how % 9 {
            0 => out[at] = byte,
            1 => out.insert(at, byte),
            2 => _ = out.remove(at),
            3 => out.truncate(at),
            4 => out.insert(at, b' '),
            5 => out.extend([byte]),
            6 => out.splice(1..1, *br#""extension":{"a":[1,"}"]},"#).for_each(drop),
            7 => {
                let text = String::from_utf8_lossy(&out).replacen(':', ": ", 1 + at % 3);
                out = text.replace("\"data\":{", "\"data\":{\"more\":null,").into_bytes();
            }
            _ => out = String::from_utf8_lossy(&out).replace("\"seq\":\"", "\"seq\":\"0").into_bytes(),
        }
        out
    }

    fn outcome(read: Result<Parsed, super::super::Error>) -> Result<Parsed, String> {
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn every_state_of_an_agent_and_of_a_device_is_read_the_quick_way() {
        use agent::State::{NotReady, Ready, Reserved, Talking, Unknown, WrapUp};
        use device::State::{Held, Idle, InUse, Ringing, Unavailable};
        let of_agent = |state| agent::StateChanged { state, reason: None, call: None, queue: None, team: None }.into();
        let of_device = |state| device::StateChanged { state }.into();
        let agents = [NotReady, Ready, Reserved, Talking, Unknown, WrapUp].map(of_agent);
        for event in agents.into_iter().chain([Held, Idle, InUse, Ringing, Unavailable].map(of_device)) {
            let event: Event = event;
            let subject = Subject::parse(&format!("{}/x", event.family())).unwrap();
            let e = crate::Fact::new(Time(1), subject, event).into_envelope(&"pbx1".into(), Time(2));
            assert_eq!(read(&e.to_json(), &mut Texts::forgetful()).ok(), Some(e));
        }
    }

    #[test]
    fn a_number_that_is_not_written_plainly_is_left_to_the_general_parser() {
        for odd in ["", "01", "00", "-1", "1.0", "1e3", "x", "10000000000000000000"] {
            assert!(digits_of(odd.as_bytes()).is_err(), "{odd}");
        }
        for (text, n) in [("0", 0), ("7", 7), ("10", 10), ("9999999999999999999", 9_999_999_999_999_999_999)] {
            assert_eq!(digits_of(text.as_bytes()).ok(), Some(n));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

        #[test]
        fn the_quick_way_and_the_general_one_read_alike(
            e in envelopes().boxed(), how in any::<usize>(), at in any::<usize>(), byte in any::<u8>()
        ) {
            let json = e.to_json();
            let mut reader = Reader::default();
            for bytes in [json.clone(), spoilt(&json, how, at, byte)] {
                let general = outcome(Envelope::parse_any(&bytes));
                prop_assert_eq!(&outcome(Envelope::parse(&bytes)), &general);
                prop_assert_eq!(&outcome(reader.read(&bytes)), &general);
                prop_assert_eq!(&outcome(reader.read(&bytes)), &general, "again, from what it remembers");
            }
        }

        #[test]
        fn what_we_write_is_read_the_quick_way(e in envelopes().boxed()) {
            let json = e.to_json();
            let general = Envelope::parse_any(&json).ok();
            let plain = !json.contains(&b'\\');
            let long = e.seq.is_some_and(|seq| seq > u64::MAX / 10);
            let numbers = String::from_utf8_lossy(&json).split(|c: char| !c.is_ascii_digit()).any(|run| run.len() > 19);
            if plain && !long && !numbers {
                prop_assert_eq!(read(&json, &mut Texts::forgetful()).ok().map(Parsed::Known), general);
            }
        }
    }
}
