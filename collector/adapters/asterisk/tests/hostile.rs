//! A PBX that lies, floods and names a million things: bounded memory, a clear word, and what is sound goes on.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use adapter::{Adapter, Batch, Context, Fault, Known, Session};
use adapter_asterisk::frame::{FRAME_BYTES_MAX, Frame};
use adapter_asterisk::state::Call;
use adapter_asterisk::translate::Translator;
use adapter_asterisk::translate::bounds::{NAME_BYTES_MAX, PARTS_MAX, QUEUES_OF_AGENT_MAX};
use adapter_asterisk::{Asterisk, Config, Plan};
use model::{Envelope, Time};
use service::{Clock, Millis, Secret, Seeds};
use support::pbx::{Pbx, Script};
use support::story::{BEGIN_US, Story};

const MAX: usize = 1_000;

fn translator() -> Translator {
    let config = Config { names_max: MAX, channels_max: MAX, ..Config::default() };
    Translator::new(Arc::new(Plan::of(config)), &BTreeMap::new())
}

fn stamp(us: i64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// Feeds `count` frames; gives the reasons that were named, and how many more were counted.
fn flood(
    it: &mut Translator,
    count: usize,
    frame: impl Fn(usize) -> Vec<(&'static str, String)>,
) -> (Vec<String>, u64) {
    let (mut reasons, mut counted) = (Vec::new(), 0);
    for n in 0..count {
        let mut headers = frame(n);
        headers.push(("Timestamp", stamp(BEGIN_US + n as i64)));
        it.event(&Frame::of(headers), 0);
        it.take_facts();
        it.changes();
        reasons.extend(it.take_malformed().into_iter().map(|(_, reason)| reason));
        counted += it.take_left_out();
    }
    (reasons, counted)
}

fn s(text: &str) -> String {
    text.to_owned()
}

/// Everything that is followed, of all kinds, at the bounds of this file.
const FOLLOWED_MAX: usize = 40 * MAX;

#[test]
fn a_hundred_thousand_channels_agents_queues_devices_and_trunks_are_followed_up_to_their_bounds() {
    type Bomb = fn(usize) -> Vec<(&'static str, String)>;
    let bombs: [(&str, Bomb); 8] = [
        ("channels", |n| {
            vec![("Event", s("Newchannel")), ("Uniqueid", format!("{n}")), ("Channel", format!("PJSIP/{n}-0000000a"))]
        }),
        ("callers", |n| {
            let join = vec![("Event", s("QueueCallerJoin")), ("Queue", s("sales")), ("Position", s("1"))];
            [join, vec![("Uniqueid", format!("{n}")), ("Channel", format!("PJSIP/trunk-{n:08x}"))]].concat()
        }),
        ("agents", |n| {
            vec![("Event", s("QueueMemberAdded")), ("Queue", s("sales")), ("Interface", format!("PJSIP/{n}"))]
        }),
        ("queues", |n| {
            let member = ("Interface", format!("PJSIP/{}", n % 500));
            vec![("Event", s("QueueMemberAdded")), ("Queue", format!("q{n}")), member]
        }),
        ("devices", |n| {
            vec![("Event", s("DeviceStateChange")), ("Device", format!("PJSIP/{n}")), ("State", s("INUSE"))]
        }),
        ("contacts", |n| {
            let status = ("ContactStatus", s("Reachable"));
            vec![("Event", s("ContactStatus")), ("EndpointName", format!("{n}")), ("URI", s("sip:x")), status]
        }),
        ("ringing", |n| {
            let of = vec![("Event", s("AgentCalled")), ("Uniqueid", s("1")), ("Channel", s("PJSIP/trunk-0000000a"))];
            let whom = [("DestUniqueid", format!("d{n}")), ("Interface", format!("PJSIP/{n}")), ("Queue", s("sales"))];
            [of, whom.to_vec()].concat()
        }),
        ("stays", |n| {
            let join = vec![("Event", s("QueueCallerJoin")), ("Queue", format!("q{n}")), ("Position", s("1"))];
            [join, vec![("Uniqueid", s("1")), ("Channel", s("PJSIP/trunk-0000000a"))]].concat()
        }),
    ];
    for (what, bomb) in bombs {
        let mut it = translator();
        let (reasons, counted) = flood(&mut it, 20_000, bomb);
        assert!(it.followed() <= FOLLOWED_MAX, "{what}: {} are followed", it.followed());
        assert!((1..=2).contains(&reasons.len()), "{what}: the surplus is named once, not {} times", reasons.len());
        assert!(counted >= 10_000, "{what}: the surplus is counted: {counted}");
    }
}

#[test]
fn trunks_and_calls_that_come_and_go_leave_nothing_behind() {
    let mut it = translator();
    for n in 0..20_000_i64 {
        let (uid, at) = (format!("{n}"), BEGIN_US + n * 20_000);
        let channel = format!("SIP/from-{n}");
        let of = |event: &str| {
            let own = [("Event", event), ("Uniqueid", &uid), ("Channel", &channel), ("Context", "from-trunk")];
            let mut headers = own.map(|(k, v)| (k, v.to_owned())).to_vec();
            headers.push(("Timestamp", stamp(at)));
            Frame::of(headers)
        };
        it.event(&of("Newchannel"), 0);
        it.event(&of("Hangup"), 0);
        if n % 100 == 0 {
            it.trunk_usage(&"pbx1".into(), at);
        }
        it.take_facts();
    }
    assert!(it.take_malformed().is_empty(), "nothing was left out");
    assert!(it.followed() <= FOLLOWED_MAX, "{}", it.followed());
}

#[test]
fn a_clock_that_runs_backwards_or_stands_still_makes_nothing_grow() {
    for step in [0, -1, -1_000_000] {
        let mut it = translator();
        for n in 0..30_000_i64 {
            let uid = format!("{}", n % 50);
            let queue = format!("q{}", n % 30);
            for event in ["QueueCallerJoin", "QueueCallerAbandon"] {
                let own =
                    [("Event", event), ("Uniqueid", &uid), ("Channel", "PJSIP/trunk-0000000a"), ("Queue", &queue)];
                let mut headers = own.map(|(k, v)| (k, v.to_owned())).to_vec();
                headers.push(("Timestamp", stamp(BEGIN_US + n * step / 2)));
                it.event(&Frame::of(headers), 0);
            }
            it.take_facts();
        }
        assert!(it.followed() <= FOLLOWED_MAX, "{step}: {}", it.followed());
    }
}

#[test]
fn one_call_has_a_bounded_number_of_parts_and_one_agent_of_queues() {
    let mut it = translator();
    flood(&mut it, 3 * PARTS_MAX, |n| {
        let of = [("Event", s("Newchannel")), ("Uniqueid", format!("{n}")), ("Linkedid", s("0"))];
        [of.to_vec(), vec![("Channel", format!("PJSIP/{n}-0000000a"))]].concat()
    });
    let known: BTreeMap<_, _> = it.changes().into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
    let heaviest = known.values().filter_map(|v| serde_json::from_slice::<Call>(v).ok()).map(|c| c.weight()).max();
    assert!(heaviest.unwrap_or(0) <= PARTS_MAX + 4);
    let mut it = translator();
    flood(&mut it, 2 * QUEUES_OF_AGENT_MAX, |n| {
        vec![("Event", s("QueueMemberAdded")), ("Queue", format!("q{n}")), ("Interface", s("PJSIP/101"))]
    });
    assert!(it.followed() < 2 * QUEUES_OF_AGENT_MAX);
}

#[test]
fn a_name_that_cannot_be_is_set_aside_with_its_header_and_the_next_event_counts() {
    let long = "9".repeat(NAME_BYTES_MAX + 1);
    for key in ["Uniqueid", "Linkedid", "Channel", "Queue", "MemberName", "Interface"] {
        let mut it = translator();
        let event = if key == "MemberName" || key == "Interface" { "QueueMemberAdded" } else { "QueueCallerJoin" };
        let good = [
            ("Event", event),
            ("Uniqueid", "1"),
            ("Channel", "PJSIP/trunk-0000000a"),
            ("Queue", "sales"),
            ("Interface", "PJSIP/101"),
            ("MemberName", "Ann"),
            ("Linkedid", "1"),
        ];
        let bad = good.map(|(k, v)| (k, if k == key { long.as_str() } else { v }));
        it.event(&Frame::of(bad), BEGIN_US);
        assert_eq!(it.ready(), 0, "{key}");
        assert!(it.take_malformed()[0].1.contains(key), "{key}");
        it.event(&Frame::of(good), BEGIN_US);
        assert!(it.ready() > 0, "{key}");
    }
}

#[test]
fn line_ends_and_nul_in_values_from_a_pbx_reach_no_fact() {
    let mut reader = adapter_asterisk::frame::Reader::greeted();
    reader.push(
        b"Event: QueueMemberAdded\r\nQueue: sa\x00les\r\nInterface: PJSIP/101\r\nMemberName: Ann\rEvent: Shutdown\r\n\r\n",
    );
    let Some(adapter_asterisk::frame::Item::Frame(frame)) = reader.next() else { panic!("no frame") };
    assert_eq!(frame.event(), Some("QueueMemberAdded"), "a lone carriage return begins no header");
    let mut it = translator();
    it.event(&frame, BEGIN_US);
    for fact in it.take_facts() {
        let text = String::from_utf8(fact.into_envelope(&"pbx1".into(), Time(0)).to_json()).unwrap();
        assert!(Envelope::parse(text.as_bytes()).is_ok(), "{text}");
        assert!(!text.contains("\\u0000") && !text.contains("\\r") && !text.contains("\\n"), "{text}");
    }
}

async fn listen(port: u16, ms: u64) -> (Vec<Batch>, Option<Fault>) {
    let mut config = Config { port, secret: Secret::plain("s"), names_max: MAX, ..Config::default() };
    config.ping_every = Millis::new(300);
    let clock = Clock::system();
    let context =
        Context { source: "pbx1".into(), known: Known::default(), clock: clock.clone(), seeds: Seeds::fixed(1) };
    let plan = Asterisk::plan(config).unwrap();
    let mut session = match Asterisk::connect(&plan, context).await {
        Ok(session) => session,
        Err(fault) => return (Vec::new(), Some(fault)),
    };
    let until = clock.monotonic() + Duration::from_millis(ms);
    let mut batches = Vec::new();
    while let Ok(next) = clock.timeout(until.saturating_sub(clock.monotonic()), session.next(1000)).await {
        match next {
            Ok(batch) => batches.push(batch),
            Err(fault) => return (batches, Some(fault)),
        }
    }
    (batches, None)
}

fn reasons(batches: &[Batch]) -> Vec<&str> {
    batches.iter().flat_map(|b| &b.malformed).map(|(_, reason)| reason.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_of_the_end_of_time_is_set_aside_and_moves_no_clock() {
    let mut story = Story::default();
    story.member("sales", "PJSIP/101");
    story.at(1000).caller("1").join("1", "sales");
    let rogue = b"Event: Hangup\r\nUniqueid: 1\r\nTimestamp: 253402300799.999999\r\n\r\n".to_vec();
    let mut more = Story::default();
    more.at(9000).on("HangupRequest", "1", &[]).given_up("1", "sales").hangup("1", "0");
    let script = Script { story: [story.bytes(), rogue, more.bytes()].concat(), ..Script::default() };
    let (batches, fault) = listen(Pbx::start(script).port, 1500).await;
    assert!(fault.is_none(), "{fault:?}");
    assert!(reasons(&batches).iter().any(|r| r.contains("a day ahead")), "{:?}", reasons(&batches));
    let latest = Time(BEGIN_US / 1000 + 2 * 86_400_000);
    assert!(batches.iter().flat_map(|b| b.seen_until).all(|seen| seen < latest));
    let facts: Vec<_> = batches.iter().flat_map(|b| &b.facts).collect();
    assert!(facts.iter().all(|f| f.occurred_at < latest));
    assert!(facts.iter().any(|f| f.event.ty() == "call.ended.v1"), "the call went on and ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_lie_about_their_length_and_rows_that_cannot_be_cost_nothing_else() {
    let long = "x".repeat(5000);
    let row = |queue: &str| {
        let member = [("Event", "QueueMember"), ("Queue", queue), ("Location", "PJSIP/101"), ("Status", "1")];
        Frame::of(member.into_iter().chain([("ListItems", "18446744073709551615"), ("Content-Length", "-1")]))
    };
    let rows = vec![("QueueStatus", row(&long)), ("QueueStatus", row("sales"))];
    let (batches, fault) = listen(Pbx::start(Script { rows, ..Script::default() }).port, 1200).await;
    assert!(fault.is_none(), "{fault:?}");
    assert!(reasons(&batches).iter().any(|r| r.contains("what cannot be")), "{:?}", reasons(&batches));
    assert!(batches.iter().flat_map(|b| &b.facts).any(|f| f.event.ty() == "queue.member_added.v1"));
}

/// A vendor that says its greeting, then the same bytes for ever.
fn flooding(piece: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"Asterisk Call Manager/11.0.0\r\n").unwrap();
        let chunk = piece.repeat((1 << 20) / piece.len());
        while stream.write_all(&chunk).is_ok() {}
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_in_place_of_an_answer_ends_the_attempt_in_bounded_memory() {
    let (_, fault) =
        listen(flooding(b"Event: X\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n\r\n"), 20_000).await;
    assert!(matches!(&fault, Some(Fault::Malformed(why)) if why.contains("flood")), "{fault:?}");
}

#[test]
fn a_frame_of_the_largest_size_passes_and_one_byte_more_is_set_aside() {
    use adapter_asterisk::frame::{Item, Reader};
    for (more, good) in [(0, true), (1, false)] {
        let line = format!("H: {}\r\n", "x".repeat(8187)); // 8191 bytes and a line feed, which is not counted
        let rest = FRAME_BYTES_MAX - 16 * 8191 - "\r".len() - 4 + more;
        let text = format!("{}H: {}\r\n\r\n", line.repeat(15), "x".repeat(8191 + rest));
        let mut reader = Reader::greeted();
        reader.push(text.as_bytes());
        assert_eq!(matches!(reader.next(), Some(Item::Frame(_))), good, "{more}");
    }
}
