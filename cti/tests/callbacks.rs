//! Callbacks over a whole gate: promised in a flood, kept over a restart, made by a phone system when there is room.
#![allow(clippy::disallowed_methods, reason = "these tests run real sockets in real time")]

#[path = "support/life.rs"]
mod life;
#[path = "support/manager.rs"]
mod manager;
mod support;

use cti::{Config, callbacks};
use journal::{Entry, Stream};
use life::{Life, journal};
use manager::Manager;
use model::control::{Close, Event, Kind, Level, Outcome};
use model::event::call::{Answered, Direction, Offered};
use model::{Fact, Number, NumberKey, Subject};
use policy::callback::{Entry as Promise, State};
use service::config::Millis;

fn config(manager: &Manager) -> Config {
    let callbacks = callbacks::Config {
        from_hour: 0,
        to_hour: 0,
        again_after: Millis::seconds(1),
        fetch: Millis::seconds(1),
        dial: "PJSIP/{number}@carrier".into(),
        ..callbacks::Config::default()
    };
    Config { callbacks, ami: [("pbx1".into(), manager.pbx())].into(), ..Config::default() }
}

async fn promises(life: &Life) -> Vec<Promise> {
    let table = life.table().await;
    let list = table.tenant(&"default".into()).map(|tenant| tenant.callbacks().clone()).unwrap_or_default();
    list.open().chain(list.closed()).cloned().collect()
}

async fn closed(life: &Life, call: &str, close: Close) -> Option<Promise> {
    let mut found = promises(life).await.into_iter();
    found.find(|one| {
        one.asked.call.as_str() == call && matches!(one.state, State::Closed { close: is, .. } if is == close)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_is_kept_over_a_restart_and_made_when_the_flood_is_over_the_oldest_first() {
    let manager = Manager::start().await;
    let journal = journal();
    let life = Life::start(&journal, config(&manager)).await;
    life.lead_to("later", Kind::Callback).await;
    life.plan(7, Level::DivertAll, 0.0).await;
    for caller in ["+49305550001", "+49305550002", "+49305550001"] {
        assert_eq!(life.ask(caller).await["target"], "callback");
    }
    assert_eq!(life.ask("anonymous").await["reason"], "no_target", "who hides their number cannot be called back");
    // what the phone system kept, of one who asked long before, and of one whom the gate has already
    let long_before = life.now().ms() / 1_000 - 600;
    manager.keep("pbx1-9", &format!("{long_before}|sales|+49305550009"));
    manager.keep("pbx1-02", &format!("{long_before}|sales|+49305550002"));
    let three = || async { (promises(&life).await.len() == 3 && manager.kept() == 0).then_some(()) };
    life.until("three promises are on record, and the phone system keeps none", three).await;
    assert_eq!(manager.dialled(), [""; 0], "nobody is called into a flood");
    let before = promises(&life).await;
    life.stop().await;

    manager.says(&["5", "4", "4", "4"]);
    let life = Life::start(&journal, config(&manager)).await;
    assert_eq!(promises(&life).await, before, "the same list after a restart");
    life.plan(8, Level::Normal, 3.0).await;
    let all = || async {
        let all = promises(&life).await;
        all.iter().all(|one| !one.is_open()).then_some(all)
    };
    let all = life.until("everybody is called", all).await;
    assert!(all.iter().all(|one| matches!(one.state, State::Closed { close: Close::Reached, .. })), "{all:#?}");
    let dialled = manager.dialled();
    assert_eq!(dialled.len(), 4, "{dialled:?}");
    assert_eq!(dialled[0], "PJSIP/+49305550009@carrier", "the oldest first");
    let oldest = all.iter().find(|one| one.asked.call.as_str() == "pbx1-9").unwrap();
    let outcomes: Vec<_> = oldest.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Busy), Some(Outcome::Answered)]);
    let text = format!("{:?}", life.journal.read(Stream::Control, 0, 0, 10_000, usize::MAX).await.unwrap());
    assert!(!text.contains("30555000"), "no number is on record in the clear");
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_again_and_is_answered_is_taken_off_the_list() {
    let manager = Manager::start().await;
    let life = Life::start(&journal(), config(&manager)).await;
    life.lead_to("later", Kind::Callback).await;
    life.plan(7, Level::DivertAll, 0.0).await;
    life.ask("+49305550001").await;
    life.until("it is promised", || async { (promises(&life).await.len() == 1).then_some(()) }).await;
    let ani = Some(Number::plain("+49305550001").sealed(&NumberKey::new("key")));
    let events: [model::Event; 2] = [
        Offered { direction: Direction::Inbound, ani, ..Offered::default() }.into(),
        Answered { queue: Some("sales".into()), ..Answered::default() }.into(),
    ];
    // the gate reads what comes from its start on: it may not have begun yet
    for call in 0..200 {
        for event in events.clone() {
            let subject = Subject::Call(format!("pbx1-again{call}").as_str().into());
            let mut envelope = Fact::new(life.now(), subject, event).into_envelope(&"pbx1".into(), life.now());
            envelope.tenant = Some("default".into());
            let entry = Entry::new(Stream::EventsCall, envelope.subject.id().to_owned(), envelope.to_json());
            life.journal.append(vec![entry]).await.unwrap();
        }
        if closed(&life, "pbx1-01", Close::CalledAgain).await.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    let called = closed(&life, "pbx1-01", Close::CalledAgain).await;
    assert!(called.is_some_and(|one| one.attempts.is_empty()), "{:#?}", promises(&life).await);
    assert_eq!(manager.dialled(), [""; 0]);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_system_that_denies_the_command_is_named_and_the_attempts_are_on_record() {
    let manager = Manager::start().await;
    manager.denies("Originate");
    let life = Life::start(&journal(), config(&manager)).await;
    life.lead_to("later", Kind::Callback).await;
    life.plan(7, Level::DivertAll, 0.0).await;
    life.ask("+49305550001").await;
    life.until("it is promised", || async { (promises(&life).await.len() == 1).then_some(()) }).await;
    life.plan(8, Level::Normal, 3.0).await;
    let used = life.until("it is given up", || closed(&life, "pbx1-01", Close::AttemptsUsed)).await;
    assert_eq!(used.attempts.len(), 3, "as often as promised, and not more");
    assert!(used.attempts.iter().all(|attempt| attempt.outcome == Some(Outcome::Failed)));
    let tried = life.control().await.into_iter().filter(|told| matches!(told.event, Event::CallbackTried(_)));
    assert!(tried.into_iter().all(|told| told.cause_id.is_some()), "each end names its beginning");
    life.stop().await;
}
