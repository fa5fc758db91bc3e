use super::*;
use model::control::{By, Envelope as Decision, Event as Told, ServiceConfigured};
use model::event::call::{Ended, Offered};
use model::{EventId, Fact};

fn apply(table: &mut Table, event: impl Into<Told>) {
    let envelope = Decision {
        id: "e".into(),
        source: "console/1".into(),
        time: Time(1),
        tenant: "bank".into(),
        by: By::Automatic,
        why: String::new(),
        cause_id: None,
        event: event.into(),
    };
    table.apply(&envelope);
}

fn table() -> Table {
    let mut table = Table::default();
    for (name, weight) in [("a", 1.0), ("b", 0.0)] {
        let address = format!("PJSIP/{{number}}@{name}");
        apply(&mut table, ServiceConfigured { service: name.into(), version: 1, address, weight, enabled: true });
    }
    table
}

/// What is news, applied as the book would.
fn turn(services: &mut Services, table: &mut Table, now: Time) -> Vec<Told> {
    let told: Vec<Told> = services.news(now, table).into_iter().map(|decided| decided.event).collect();
    told.iter().for_each(|event| apply(table, event.clone()));
    told
}

fn weighed(table: &Table) -> Vec<(Standing, f64)> {
    let told = table.tenant(&"bank".into()).unwrap().weighed().unwrap();
    told.services.iter().map(|one| (one.standing, one.weight)).collect()
}

/// A call over a trunk that ends with a cause.
fn call(services: &mut Services, number: u32, trunk: &str, at: Time, q850: u16) {
    let subject = Subject::Call(format!("{trunk}{number}").as_str().into());
    let offered = Offered { direction: Direction::Outbound, trunk: Some(trunk.into()), ..Offered::default() };
    let ended = Ended { q850: Some(q850), ..Ended::default() };
    for event in [Event::from(offered), Event::from(ended)] {
        let mut envelope = Fact::new(at, subject.clone(), event).into_envelope(&"pbx1".into(), at);
        envelope.id = EventId::new(format!("{trunk}{number}{}", envelope.event.ty()));
        envelope.tenant = Some("bank".into());
        services.heard(&envelope.to_json(), at);
    }
}

#[test]
fn services_are_weighed_when_they_are_set_up_and_the_standby_never_gets_nothing() {
    let (mut services, mut table) = (Services::default(), table());
    turn(&mut services, &mut table, Time(5));
    let weights: Vec<f64> = weighed(&table).iter().map(|(_, weight)| *weight).collect();
    assert!((weights[0] - 0.95).abs() < 1e-9 && (weights[1] - 0.05).abs() < 1e-9, "{weights:?}");
    assert_eq!(turn(&mut services, &mut table, Time(6)), []);
}

#[test]
fn a_service_that_fails_is_taken_out_and_comes_back_by_probes_and_each_is_told() {
    let (mut services, mut table) = (Services::default(), table());
    turn(&mut services, &mut table, Time::from_secs(100));
    (0..5).for_each(|n| call(&mut services, n, "PJSIP/a", Time::from_secs(101), 38));
    let told = turn(&mut services, &mut table, Time::from_secs(106));
    assert_eq!(weighed(&table), [(Standing::Out, 0.0), (Standing::In, 1.0)], "{told:?}");
    let tier = |table: &Table| table.tenant(&"bank".into()).unwrap().tier("service/a");
    assert_eq!(tier(&table), Tier::SelfHeal);
    // the last one is never taken out
    (0..9).for_each(|n| call(&mut services, n, "PJSIP/b", Time::from_secs(107), 38));
    turn(&mut services, &mut table, Time::from_secs(112));
    assert_eq!(weighed(&table)[1].0, Standing::In);
    for second in [130, 150, 155] {
        turn(&mut services, &mut table, Time::from_secs(second));
    }
    assert_eq!(weighed(&table)[0].0, Standing::Probing);
    (10..13).for_each(|n| call(&mut services, n, "PJSIP/a", Time::from_secs(156), 16));
    turn(&mut services, &mut table, Time::from_secs(161));
    let (standing, weight) = weighed(&table)[0];
    assert!(standing == Standing::In && weight > 0.5, "{:?}", weighed(&table));
    assert_eq!(tier(&table), Tier::Normal);
    turn(&mut services, &mut table, Time::from_secs(166));
    turn(&mut services, &mut table, Time::from_secs(171));
    assert_eq!(weighed(&table)[0].0, Standing::In, "what took it out is over");
}

#[test]
fn while_nothing_changes_nothing_is_told() {
    let (mut services, mut table) = (Services::default(), table());
    turn(&mut services, &mut table, Time::from_secs(100));
    for second in 101..400 {
        call(&mut services, second, "PJSIP/a", Time::from_secs(i64::from(second)), 16);
        let told = turn(&mut services, &mut table, Time::from_secs(i64::from(second)));
        assert!(told.is_empty() || second < 250, "{told:?}");
    }
}

#[test]
fn whoever_takes_over_lets_prove_itself_what_was_out() {
    let (mut services, mut table) = (Services::default(), table());
    turn(&mut services, &mut table, Time::from_secs(100));
    (0..5).for_each(|n| call(&mut services, n, "PJSIP/a", Time::from_secs(101), 38));
    turn(&mut services, &mut table, Time::from_secs(106));
    let mut heir = Services::default();
    turn(&mut heir, &mut table, Time::from_secs(111));
    assert_eq!(weighed(&table)[0].0, Standing::Probing);
}
