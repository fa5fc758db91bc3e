use super::*;
use stats::live::{Member, Queue};
use store::frame::{Fold, PartialRow};

fn part(number: u32) -> Part {
    Part::new("events.call", number)
}

struct Told {
    figures: Figures,
    number: u64,
}

impl Told {
    fn tell(&mut self, view: &str, part_number: u32, epoch: u64, body: Body) {
        self.number += 1;
        let frame = Frame {
            version: Version { epoch, number: self.number },
            as_of: Time(0),
            at: Time(self.number as i64),
            body,
        };
        self.figures.take(frame::key(view, &part(part_number)).as_bytes(), &frame.to_json());
    }
}

fn told() -> Told {
    Told { figures: Figures::default(), number: 0 }
}

fn queue(waiting: i64, talking: i64) -> Body {
    Body::View(View::Queue(Queue { waiting, talking, ..Queue::empty("default".into(), "sales".into()) }))
}

fn row(start: Time, answered: i64, handled_ms: i64) -> Body {
    let key = RowKey { tenant: "default".into(), source: "pbx".into(), dim: Dim::Queue, id: "sales".into(), start };
    let mut row = Row::default();
    row.event.add(Field::Offered, answered);
    row.event.add(Field::Answered, answered);
    row.event.add(Field::Completed, answered);
    row.event.add(Field::TalkMs, handled_ms);
    Body::Row(PartialRow { key, part: "events.call/0".into(), row })
}

fn agent(id: &str, state: State) -> Body {
    Body::View(View::Agent(Agent {
        agent: id.into(),
        tenant: "default".into(),
        source: "pbx".into(),
        team: None,
        logged_in_since: Some(Time(0)),
        state: Some(state),
        since: Time(0),
        reason: None,
        call: None,
        queue: None,
        device: None,
        skills: BTreeMap::new(),
        last_at: Time(0),
    }))
}

fn members(queue: &str, agents: &[(&str, bool)]) -> Body {
    let member = |paused| Member { device: None, penalty: 0, paused, reason: None };
    Body::View(View::Members(Members {
        tenant: "default".into(),
        source: "pbx".into(),
        queue: queue.into(),
        name: None,
        strategy: None,
        service_level_s: None,
        waiting_max: None,
        members: agents.iter().map(|(id, paused)| ((*id).into(), member(*paused))).collect(),
        last_at: Time(0),
    }))
}

fn sales(told: &mut Told, now: Time) -> Queued {
    told.figures.look(now).queues.remove(&("default".into(), "sales".into())).unwrap_or_default()
}

#[test]
fn partial_queues_add_up_and_a_row_told_again_counts_once() {
    let mut told = told();
    told.tell("queue/default/sales", 0, 1, queue(2, 1));
    told.tell("queue/default/sales", 1, 1, queue(3, 0));
    told.tell("row/x", 0, 1, row(Time(60_000), 2, 300_000));
    told.tell("row/x", 0, 1, row(Time(60_000), 30, 5_400_000));
    let now = sales(&mut told, Time(120_000));
    assert_eq!((now.waiting, now.in_service, now.counts.answered, now.service_s), (5, 1, 30, Some(180.0)));
}

#[test]
fn a_handling_time_is_of_calls_that_are_over_and_of_enough_of_them() {
    let mut told = told();
    told.tell("row/x", 0, 1, row(Time(60_000), 9, 90_000));
    assert_eq!(sales(&mut told, Time(120_000)).service_s, None, "the first that are over are the short ones");
    let Body::Row(mut many) = row(Time(60_000), 20, 2_000_000) else { unreachable!() };
    many.row.event.add(Field::Answered, 20);
    told.tell("row/x", 0, 1, Body::Row(many));
    assert_eq!(sales(&mut told, Time(120_000)).service_s, Some(100.0), "twenty more still talk");
}

#[test]
fn a_new_owner_that_is_complete_clears_what_the_old_one_left() {
    let mut told = told();
    told.tell("queue/default/sales", 0, 1, queue(2, 1));
    let fold = Fold { part: "events.call/0".into(), owner: "b".into(), next: 9, end: 9, complete: true };
    told.tell("fold", 0, 2, Body::Fold(fold));
    assert_eq!(sales(&mut told, Time(5)).waiting, 0);
    assert_eq!(told.figures.look(Time(5)).fresh_at, Some(Time(2)));
}

#[test]
fn who_is_paused_or_away_serves_nobody_and_who_serves_two_queues_is_shared() {
    let mut told = told();
    told.tell("members/sales", 0, 1, members("sales", &[("1", false), ("2", false), ("3", true), ("4", false)]));
    told.tell("members/help", 0, 1, members("help", &[("2", false)]));
    let states = [State::Ready, State::Talking, State::Ready, State::NotReady];
    for (id, state) in ["1", "2", "3", "4"].into_iter().zip(states) {
        told.tell(&format!("agent/{id}"), 0, 1, agent(id, state));
    }
    let look = told.figures.look(Time(5));
    // help is first in order
    assert_eq!(look.groups, [Group { agents: 1.0, queues: vec![0, 1] }, Group { agents: 1.0, queues: vec![1] }]);
    assert_eq!(sales(&mut told, Time(5)).free, 1);
}

#[test]
fn rows_too_old_to_matter_are_forgotten_and_stay_counted() {
    let mut told = told();
    told.tell("row/x", 0, 1, row(Time(60_000), 2, 300_000));
    let later = Time(60_000 + KEPT_MS + 120_000);
    let now = sales(&mut told, later);
    assert_eq!((now.counts.answered, now.service_s, told.figures.rows.len()), (2, None, 0));
    told.tell("row/x", 0, 1, row(Time(60_000), 9, 900_000));
    assert_eq!(sales(&mut told, later).counts.answered, 2, "what is restated so late is left to the reports");
}
