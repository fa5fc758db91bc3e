//! What the words of the language promise beyond their form: the directory's rules, the order of one instant, what people see.

use std::hash::{BuildHasher, BuildHasherDefault};

use model::directory::{Agent, Directory, Queue, Source, Team, Tenant};
use model::envelope::{ATTRIBUTE_BYTES_MAX, Parsed};
use model::event::call::{Dequeued, Offered, QueueExit, Queued};
use model::event::{TYPES, agent};
use model::{Envelope, Event, EventId, Fact, Number, NumberKey, Subject, TeamId, Time};

fn directory() -> Directory {
    let mut d = Directory::default();
    d.tenants.insert("bank".into(), Tenant { service_level_s: 30, short_abandon_s: 7, ..Tenant::default() });
    d.teams.insert("red".into(), Team::default());
    d
}

#[test]
fn a_source_belongs_to_the_tenant_that_it_names_and_else_to_default() {
    let mut d = directory();
    d.sources.insert("pbx1".into(), Source { tenant: "bank".into(), ..Source::default() });
    d.sources.insert("pbx2".into(), Source::default());
    let of = |source: &str| d.tenant_of(&source.into()).as_str().to_owned();
    assert_eq!([of("pbx1"), of("pbx2"), of("pbx3")], ["bank", "default", "default"]);
}

#[test]
fn a_tenants_rules_hold_for_its_queues_until_a_queue_has_its_own() {
    let mut d = directory();
    d.queues.insert("vip".into(), Queue { service_level_s: Some(5), ..Queue::default() });
    let t = |tenant: &str, queue: &str| d.service_level_ms(&tenant.into(), &queue.into());
    assert_eq!([t("bank", "sales"), t("bank", "vip"), t("shop", "sales")], [30_000, 5_000, 20_000]);
    assert_eq!(d.short_abandon_ms(&"bank".into(), &"vip".into()), 7_000);
    assert_eq!(d.tenant(&"bank".into()).service_level_s, 30);
}

#[test]
fn an_agent_has_the_team_that_the_directory_gives() {
    let mut d = directory();
    d.agents.insert("ann".into(), Agent { team: "red".into(), ..Agent::default() });
    d.agents.insert("bob".into(), Agent::default());
    let team = |agent: &str| d.team_of(&agent.into());
    assert_eq!([team("ann"), team("bob"), team("cy")], [Some(TeamId::new("red")), None, None]);
}

#[test]
fn what_names_nobody_or_somebody_known_is_no_contradiction() {
    let mut d = directory();
    for (id, tenant) in [("pbx1", "bank"), ("pbx2", "default"), ("pbx3", "")] {
        d.sources.insert(id.into(), Source { tenant: tenant.into(), ..Source::default() });
    }
    for (id, team) in [("ann", "red"), ("bob", "")] {
        d.agents.insert(id.into(), Agent { team: team.into(), ..Agent::default() });
    }
    d.queues.insert("vip".into(), Queue { service_level_goal: Some(100.0), ..Queue::default() });
    assert_eq!(d.problems(), []);
    d.queues.insert("vip".into(), Queue { service_level_goal: Some(100.5), ..Queue::default() });
    assert_eq!(d.problems()[0].path, "queues.vip.service_level_goal");
}

#[test]
fn an_attribute_may_be_as_long_as_its_bound_and_no_longer() {
    let long_id = |len: usize| {
        let fact = Fact::new(Time(1), Subject::parse("call/c1").unwrap(), Offered::default());
        let mut e = fact.into_envelope(&"pbx1".into(), Time(2));
        e.id = "x".repeat(len).as_str().into();
        e
    };
    let with_id = |len: usize| Envelope::parse(&long_id(len).to_json());
    assert!(matches!(with_id(ATTRIBUTE_BYTES_MAX), Ok(Parsed::Known(_))));
    let spaced = String::from_utf8(long_id(ATTRIBUTE_BYTES_MAX).to_json()).unwrap().replacen(':', " : ", 1);
    assert!(matches!(Envelope::parse(spaced.as_bytes()), Ok(Parsed::Known(_))), "laid out by somebody else");
    assert!(with_id(ATTRIBUTE_BYTES_MAX + 1).unwrap_err().to_string().contains("513"));
}

#[test]
fn events_of_one_instant_are_ranked_in_the_order_of_the_vocabulary() {
    let queued: Event = Queued { queue: "q".into(), priority: None, position: None, offered_at: None }.into();
    let dequeued: Event = Dequeued { queue: "q".into(), cause: QueueExit::Timeout, waited_ms: None }.into();
    let out: Event = agent::LoggedOut::default().into();
    for e in [&Offered::default().into(), &queued, &dequeued, &out] {
        assert_eq!(TYPES[usize::from(Event::rank(e))], e.ty());
    }
    assert!(queued.rank() < dequeued.rank());
}

#[test]
fn people_see_a_numbers_mask_and_nothing_else_of_it() {
    let plain = Number::plain("+49 30 5551001");
    assert_eq!(plain.shown(), "+49***01");
    let sealed = plain.sealed(&NumberKey::new("key"));
    assert_eq!((sealed.shown(), format!("{sealed:?}")), ("+49***01".to_owned(), "Number(+49***01)".to_owned()));
    assert_eq!(Number { mask: Some("4***1".into()), ..Number::plain("999") }.shown(), "4***1", "the mask has the word");
}

#[test]
fn the_id_of_an_event_is_ordered_shown_and_told_apart_as_its_text() {
    let texts =
        ["", "a", "ab", "b", "0123456789abcdef0123456789abcdef", "a name that is longer than the ids that we make"];
    let hash = |id: &EventId| BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(id);
    for a in texts {
        let id = EventId::new(a);
        let shown = (id.to_string(), id.as_ref().to_owned(), format!("{id:?}"));
        assert_eq!(shown, (a.to_owned(), a.to_owned(), format!("EventId({a:?})")));
        for b in texts {
            let other = EventId::new(b);
            assert_eq!((id.partial_cmp(&other), id == other), (a.partial_cmp(b), a == b), "{a:?} and {b:?}");
            assert_eq!(hash(&id) == hash(&other), a == b, "{a:?} and {b:?}");
        }
    }
}

#[test]
fn a_mask_that_says_too_much_is_masked() {
    let sealed = |mask: &str| {
        Number { mask: Some(mask.into()), ..Number::default() }.sealed(&NumberKey::new("key")).mask.unwrap()
    };
    assert_eq!([sealed("493***01"), sealed("***")], ["493***01", "***"], "what can be a mask is one");
    assert_eq!([sealed("5551001"), sealed("4930555***01")], ["5***01", "493***01"], "too long, or nothing is hidden");
}

#[test]
fn a_way_out_of_a_queue_goes_by_the_name_that_stands_on_the_wire() {
    for cause in QueueExit::ALL {
        assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
    }
}
