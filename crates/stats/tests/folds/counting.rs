//! Given what happened, then what it counts for, in which row, and what figure it comes to.

use std::sync::Arc;

use crate::story::*;
use jiff::tz::TimeZone;
use model::event::call::*;
use model::{Envelope, Event, Number, Quality, Time};
use stats::call::{Csat, Record};
use stats::caller::{Contact, Histories, histories};
use stats::contribution::{of_call, rows_of_call};
use stats::interval::{Attribution, Interval, merge};
use stats::metric::{Context, evaluate, find};
use stats::policy::IDS;
use stats::{Dim, Field, Grains, Hist, Policy, Row, Rows, Tally, hist};

fn talk(until: i64, more: Vec<(i64, Event)>) -> Record {
    let mut events = vec![
        (0, queued("sales")),
        (5_000, dequeued("sales", QueueExit::Answered)),
        (5_000, answered("ann", Some("sales"))),
        (until, released("ann", Party::Caller)),
    ];
    events.extend(more);
    call(events)
}

fn of(fields: &[(Field, i64)]) -> Tally {
    let mut t = Tally::new();
    fields.iter().for_each(|(f, n)| t.add(*f, *n));
    t
}

#[test]
fn every_other_way_out_of_a_queue_is_counted_under_its_name() {
    for cause in QueueExit::ALL {
        let t = counted(&call(vec![(0, queued("sales")), (9_000, dequeued("sales", cause))]), Dim::Queue, "sales");
        let by = evaluate(&t, &Context::default()).flow_out_by;
        match cause {
            QueueExit::Answered | QueueExit::Abandoned | QueueExit::ShortAbandoned => {
                assert!(by.is_empty(), "{cause:?}")
            }
            _ => assert_eq!(by.into_iter().collect::<Vec<_>>(), [(cause.as_str(), 1)]),
        }
    }
    assert_eq!(QueueExit::ExitKey.as_str(), "exit_key");
}

#[test]
fn a_hold_that_ended_the_call_is_counted_by_who_hung_up() {
    for (by, name) in
        [(Party::Caller, "caller"), (Party::Agent, "agent"), (Party::System, "system"), (Party::Unknown, "unknown")]
    {
        let r = call(vec![
            (0, queued("sales")),
            (1_000, answered("ann", Some("sales"))),
            (5_000, held("ann")),
            (9_000, ended(by)),
        ]);
        let f = evaluate(&counted(&r, Dim::Queue, "sales"), &Context::default());
        assert_eq!((f.hold_abandons, f.hold_abandons_by.into_iter().collect::<Vec<_>>()), (1, vec![(name, 1)]));
    }
}

#[test]
fn a_conversation_is_complete_unless_nothing_is_known_of_it() {
    let completed = |events: Vec<(i64, Event)>| count(&call(events), Dim::Queue, "sales", Field::Completed);
    let answer = |at| (at, answered("ann", Some("sales")));
    assert_eq!(
        completed(vec![answer(0), (9_000, ended(Party::Caller))]),
        1,
        "its end was concluded, its length is known"
    );
    assert_eq!(
        completed(vec![answer(0), (0, released("ann", Party::Caller))]),
        1,
        "no second long, and the vendor said so"
    );
    assert_eq!(
        completed(vec![answer(0), (0, ended(Party::Caller))]),
        0,
        "answered and over in one instant, and no word of a talk"
    );
    assert_eq!(completed(vec![answer(0)]), 0, "it lasts");
}

#[test]
fn a_told_length_is_believed_up_to_a_year() {
    const DAY: u64 = 86_400_000;
    let told = |ms| {
        let leave = Dequeued { queue: "sales".into(), cause: QueueExit::Timeout, waited_ms: Some(ms) };
        call(vec![(0, queued("sales")), (9_000, leave.into())]).segments[0].wait_ms.unwrap().cast_unsigned()
    };
    assert_eq!(
        [told(40 * DAY), told(366 * DAY), told(367 * DAY), told(u64::MAX)],
        [40 * DAY, 366 * DAY, 366 * DAY, 366 * DAY]
    );
}

#[test]
fn wrap_up_is_clipped_to_the_rows_before_its_end() {
    let r = talk(60_000, vec![(90_000, wrapped_up("ann", 40_000))]);
    let rows = rows_of_call(&r, Grains::default());
    let of_sales = rows.iter().filter(|(k, _)| k.dim == Dim::Queue);
    let parts: Vec<_> = of_sales
        .map(|(k, row)| (k.start.0, row.event.get(Field::WrapUpOverlapMs), row.event.get(Field::WrapUpMs)))
        .collect();
    assert_eq!(parts, [(0, 10_000, 0), (60_000, 30_000, 40_000)]);
}

#[test]
fn a_visit_of_the_ivr_counts_its_stay_in_milliseconds() {
    let r = call(vec![(0, ivr("main")), (8_000, queued("sales"))]);
    let t = counted(&r, Dim::Ivr, "main");
    assert_eq!((t.get(Field::IvrMs), t.get(Field::IvrLeft)), (8_000, 1));
}

#[test]
fn a_trunk_counts_its_attempts_by_how_they_came_out() {
    let trunk = |more: Vec<(i64, Event)>| {
        let mut events: Vec<(i64, Event)> =
            vec![(0, Offered { trunk: Some("t1".into()), ..Offered::default() }.into())];
        events.extend(more);
        evaluate(&counted(&call(events), Dim::Trunk, "t1"), &Context::default())
    };
    let end = |cause: Option<&str>, q850| -> Vec<(i64, Event)> {
        vec![(9_000, Ended { by: Party::System, cause: cause.map(str::to_owned), q850, ..Ended::default() }.into())]
    };
    let talked = trunk(vec![(2_000, answered("ann", None)), (9_000, ended(Party::Caller))]);
    assert_eq!((talked.attempts, talked.asr, talked.ner, talked.acd_ms), (1, Some(1.0), Some(1.0), Some(7_000.0)));
    let by_machine = trunk(vec![(1_000, ivr("main")), (4_000, answered("ann", None)), (9_000, ended(Party::Caller))]);
    assert_eq!(by_machine.acd_ms, Some(8_000.0), "an IVR answers too");
    for (cause, q850) in
        [(Some("busy"), None), (None, Some(17)), (Some("no_answer"), None), (None, Some(18)), (None, Some(19))]
    {
        let f = trunk(end(cause, q850));
        assert_eq!((f.asr, f.ner), (Some(0.0), Some(1.0)), "the network did its part: {cause:?} {q850:?}");
    }
    assert_eq!(trunk(end(Some("rejected"), Some(21))).ner, Some(0.0));
    let mut sum = of(&[(Field::Attempts, 10), (Field::AttemptsAnswered, 4)]);
    sum.plus(&of(&[(Field::AttemptsBusy, 1), (Field::AttemptsNoAnswer, 3)]));
    assert_eq!(evaluate(&sum, &Context::default()).ner, Some(0.8));
}

/// What of this call is marked late, for one thing.
fn late(events: Vec<(i64, Event)>, mark: (i64, Event), dim: Dim, id: &str) -> i64 {
    let plain = events.into_iter().map(|(ms, e)| event("call/c1", ms, e));
    let all: Vec<Envelope> = plain.chain([marked(event("call/c1", mark.0, mark.1), Quality::Late)]).collect();
    count(&fold(all), dim, id, Field::Late)
}

#[test]
fn a_mark_of_quality_stands_on_the_queue_and_agent_the_call_was_with_then() {
    let story = || {
        vec![
            (0, ivr("main")),
            (10_000, queued("sales")),
            (20_000, dequeued("sales", QueueExit::Answered)),
            (20_000, answered("ann", Some("sales"))),
            (30_000, released("ann", Party::Caller)),
            (30_000, ended(Party::Caller)),
        ]
    };
    let at = |ms, dim, id| late(story(), (ms, attached("order", "17")), dim, id);
    for (ms, sales, ann) in [(5_000, 0, 0), (10_001, 1, 1), (25_000, 1, 1), (30_001, 0, 0)] {
        assert_eq!((at(ms, Dim::Queue, "sales"), at(ms, Dim::Agent, "ann")), (sales, ann), "{ms}");
        assert_eq!((at(ms, Dim::Tenant, "acme"), at(ms, Dim::Source, "pbx1")), (1, 1), "always on the whole, {ms}");
    }
    let open = |n: usize, dim, id| late(story()[..n].to_vec(), (29_000, attached("order", "17")), dim, id);
    assert_eq!(open(2, Dim::Queue, "sales"), 1, "it still waits");
    assert_eq!((open(4, Dim::Queue, "sales"), open(4, Dim::Agent, "ann")), (1, 1), "it is still talked to");
}

#[test]
fn a_mark_of_quality_stands_on_whom_the_event_itself_names() {
    let ended_talk = || {
        vec![
            (0, queued("sales")),
            (1_000, answered("ann", Some("sales"))),
            (9_000, released("ann", Party::Agent)),
            (9_000, dequeued("sales", QueueExit::Answered)),
        ]
    };
    let waiting = || vec![(0, queued("sales"))];
    assert_eq!(late(waiting(), (5_000, alerting("bob", Some("sales"))), Dim::Agent, "bob"), 1, "who was rung");
    assert_eq!(late(waiting(), (5_000, rona("bob", "sales")), Dim::Agent, "bob"), 1, "who did not answer");
    assert_eq!(late(ended_talk(), (20_000, released("ann", Party::Agent)), Dim::Agent, "ann"), 1, "released again");
    assert_eq!(
        late(waiting(), (20_000, wrapped_up("cy", 1_000)), Dim::Agent, "cy"),
        1,
        "wrapped up a call never heard of"
    );
    let handed_on = transferred("ann", TransferKind::Blind, Destination::Agent("bob".into()));
    assert_eq!(late(ended_talk(), (20_000, handed_on), Dim::Agent, "ann"), 1, "handed on after the release");
}

#[test]
fn a_mark_of_quality_finds_the_queue_though_its_offer_was_told_by_a_clock_that_runs_ahead() {
    let ahead: Event =
        Queued { queue: "sales".into(), priority: None, position: None, offered_at: Some(Time(60_000)) }.into();
    let story = || vec![(0, ahead.clone()), (1_000, dequeued("sales", QueueExit::Answered))];
    let answer = answered("ann", Some("sales"));
    assert_eq!(late(vec![], (0, ahead.clone()), Dim::Queue, "sales"), 1);
    assert_eq!(late(vec![(0, ahead.clone())], (1_000, dequeued("sales", QueueExit::Answered)), Dim::Queue, "sales"), 1);
    assert_eq!(late(story(), (2_000, answer.clone()), Dim::Queue, "sales"), 1);
    assert_eq!(late(story(), (2_000, answer), Dim::Agent, "ann"), 1);
}

#[test]
fn a_survey_counts_as_a_share_of_the_best_score_and_nonsense_as_nothing() {
    let csat = |score, score_max| Csat { at: Time(0), score, score_max }.micro();
    assert_eq!([csat(4.0, 5.0), csat(6.0, 5.0), csat(-1.0, 5.0)], [800_000, 1_000_000, 0]);
    assert_eq!([csat(1.0, 0.0), csat(0.0, 0.0), csat(f64::NAN, 5.0)], [0, 0, 0]);
    let mut t = of(&[(Field::CsatCount, 2)]);
    t.add(Field::CsatMicro, csat(4.0, 5.0) + csat(2.0, 5.0));
    assert!((evaluate(&t, &Context::default()).csat.unwrap() - 0.6).abs() < 1e-9);
}

#[test]
fn an_outcome_lies_in_the_cohort_row_of_its_offer_whatever_the_length_of_rows() {
    let seconds = Grains { traffic_ms: 1_000, people_ms: 1_000 };
    let rows = rows_of_call(&talk(9_000, vec![]), seconds);
    let answered_in = |cohort: bool| -> Vec<i64> {
        let of = |row: &Row| if cohort { row.cohort.get(Field::Answered) } else { row.event.get(Field::Answered) };
        rows.iter().filter(|(k, row)| k.dim == Dim::Queue && of(row) == 1).map(|(k, _)| k.start.0).collect()
    };
    assert_eq!((answered_in(false), answered_in(true)), (vec![5_000], vec![0]));
}

#[test]
fn an_outcome_that_is_added_to_two_rows_is_in_both() {
    let mut rows = Rows::new(Grains::default());
    let q = rows.scope(&"t".into(), &"s".into(), Dim::Queue, &Arc::from("q"));
    rows.both(&q, Time(60_000), Time(0), |t| t.add(Field::Answered, 1));
    let rows: Vec<_> = rows.sorted().into_iter().map(|(k, r)| (k.start.0, r)).collect();
    let one = of(&[(Field::Answered, 1)]);
    let (offer, answer) = (Row { cohort: one.clone(), ..Row::default() }, Row { event: one, ..Row::default() });
    assert_eq!(rows, [(0, offer), (60_000, answer)]);
}

#[test]
fn a_cell_beyond_the_last_is_the_last_of_its_own_field() {
    let mut t = Tally::new();
    t.add_cell(Field::Waiting, u32::MAX, 1);
    t.add_cell(Field::Waiting, 0xff_ffff, 1);
    assert_eq!(t.cells(Field::Waiting).collect::<Vec<_>>(), [(0xff_ffff, 2)]);
    assert_eq!(Field::ALL.iter().filter(|f| t.total(**f) != 0).count(), 1);
}

#[test]
fn a_tally_in_json_is_an_object_and_anything_else_is_told_so() {
    assert!(serde_json::from_str::<Tally>("5").unwrap_err().to_string().contains("an object of tally fields"));
}

#[test]
fn what_is_added_and_taken_back_leaves_no_row() {
    let r = talk(60_000, vec![(90_000, wrapped_up("ann", 40_000))]);
    let mut rows = Rows::new(Grains::default());
    assert_eq!((rows.is_empty(), rows.len()), (true, 0));
    of_call(&r, 1, &mut rows);
    assert_eq!((rows.is_empty(), rows.len() > 3), (false, true));
    of_call(&r, -1, &mut rows);
    assert_eq!(rows.take(), []);
    for (_, row) in rows_of_call(&r, Grains::default()) {
        let mut twice = row.clone();
        twice.plus(&row);
        twice.minus(&row);
        assert_eq!(twice, row);
        twice.minus(&row);
        assert!(twice.is_zero());
    }
}

#[test]
fn times_and_rates_are_over_what_they_say() {
    let mut t = of(&[
        (Field::Offered, 10),
        (Field::Answered, 4),
        (Field::Abandoned, 3),
        (Field::ShortAbandoned, 2),
        (Field::WaitAbandonedMs, 50_000),
        (Field::TalkMs, 400_000),
        (Field::HoldMs, 40_000),
        (Field::WrapUpMs, 4_000),
        (Field::Late, 2),
        (Field::Inferred, 3),
    ]);
    t.observe(Field::Talk, 400_000, 1);
    let f = evaluate(&t, &Context::default());
    assert_eq!((f.abandonment_rate, f.avg_abandon_time_ms), (Some(3.0 / 8.0), Some(10_000.0)));
    assert_eq!(
        (f.aht_ms, f.att_ms, f.avg_hold_ms, f.avg_acw_ms),
        (Some(111_000.0), Some(100_000.0), Some(10_000.0), Some(1_000.0))
    );
    assert_eq!((f.talk_max_ms, f.revision), (Some(400_000), 5));
    let nothing = evaluate(&Tally::new(), &Context::default());
    assert_eq!(
        (nothing.asa_ms, nothing.aht_ms, nothing.csat, nothing.occupancy, nothing.asr),
        (None, None, None, None, None)
    );
}

#[test]
fn slots_count_all_work_at_once_against_the_time_an_agent_could_work() {
    let t = of(&[
        (Field::TalkOverlapMs, 100),
        (Field::HoldOverlapMs, 20),
        (Field::RingOverlapMs, 7),
        (Field::WrapUpOverlapMs, 3),
        (Field::StaffedMs, 100),
        (Field::NotReadyMs, 30),
        (Field::UnknownMs, 5),
    ]);
    assert_eq!(evaluate(&t, &Context::default()).occupancy_slots, Some(130.0 / 65.0));
}

#[test]
fn every_policy_shows_its_formula_and_who_computes_it_so() {
    let all: Vec<Policy> = IDS.iter().map(|id| Policy::parse(id).unwrap()).collect();
    for p in &all {
        let same = all.iter().filter(|o| o.formula() == p.formula()).count();
        assert!(same == 1 && p.formula().contains(" / "), "{p}: {}", p.formula());
    }
    let unnamed: Vec<String> = all.iter().filter(|p| p.used_by().is_empty()).map(ToString::to_string).collect();
    assert_eq!(unnamed, ["of_offered"]);
    assert!(Policy::AbandonsIgnored.used_by().contains("Cisco") && Policy::Removed.used_by().contains("Amazon"));
}

#[test]
fn a_metric_is_found_by_its_id_alone() {
    assert_eq!(find("occupancy").map(|m| m.unit), Some("share"));
    assert_eq!(find("of_tomorrow"), None);
}

#[test]
fn dimensions_and_intervals_go_by_the_names_of_their_wire() {
    assert_eq!(Dim::ALL.map(|d| d.to_string()).join(" "), "queue agent device team source trunk ivr tenant");
    let minutes = |n| Ok(Interval::Minutes(n));
    for (text, want) in [("1m", 1), ("5m", 5), ("15m", 15), ("30m", 30), ("1h", 60), ("60m", 60)] {
        assert_eq!(Interval::parse(text), minutes(want), "{text}");
    }
    assert_eq!((Interval::parse("1d"), Interval::parse("all")), (Ok(Interval::Day), Ok(Interval::All)));
}

#[test]
fn a_grain_is_a_whole_number_of_seconds_and_never_none() {
    let refused = |ms| Grains { traffic_ms: ms, ..Grains::default() }.problem().is_some();
    assert_eq!(
        [0, -1_000, 999, 1_500, 7_000, 1_000, 900_000].map(refused),
        [true, true, true, true, true, false, false]
    );
}

#[test]
fn a_range_that_ends_on_a_border_ends_there_and_holds_as_many_intervals_as_asked_for() {
    let minutes =
        |n: i64, max| Interval::Minutes(1).borders(&TimeZone::UTC, Time(0), Time(n * 60_000), max).map(|b| b.len());
    assert_eq!(minutes(9, 9), Ok(10), "nine intervals have ten borders");
    assert!(minutes(10, 9).is_err());
}

#[test]
fn hours_follow_the_wall_clock_of_a_zone_that_is_off_by_quarters() {
    let nepal = TimeZone::get("Asia/Kathmandu").unwrap(); // +05:45
    let at = |text: &str| Time::parse(text).unwrap();
    let hours =
        Interval::Minutes(60).borders(&nepal, at("2026-01-01T00:20:00Z"), at("2026-01-01T02:00:00Z"), 9).unwrap();
    assert_eq!(hours, [at("2026-01-01T00:15:00Z"), at("2026-01-01T01:15:00Z"), at("2026-01-01T02:15:00Z")]);
}

#[test]
fn levels_are_no_sum_over_time_and_everything_else_is() {
    let mut rows = Rows::new(Grains::default());
    let q = rows.scope(&"t".into(), &"s".into(), Dim::Queue, &Arc::from("q"));
    rows.level(&q, Field::Waiting, Time(0), Some(Time(130_000)), 1);
    rows.level(&q, Field::InService, Time(0), Some(Time(130_000)), 1);
    for at in [0, 60_000] {
        rows.event(&q, Time(at)).add(Field::Offered, 2);
    }
    let rows = rows.sorted();
    let ends = [Time(0), Time(300_000)];
    let merged = merge(rows.iter().map(|(k, r)| (k, r)), &ends, Attribution::Event, |k| Some(k.id.clone()));
    let m = &merged[&(0, Arc::from("q"))];
    assert_eq!(m.tally, of(&[(Field::Offered, 4)]));
    assert_eq!((m.max_waiting, m.max_in_service, m.waiting_at_start), (1, 1, 1));
}

#[test]
fn a_mean_of_nothing_is_nothing_and_the_last_quantile_is_the_longest() {
    let h = Hist::new([1_000, 3_000].map(|ms| (hist::bucket(ms), 1)).to_vec());
    assert_eq!((h.mean_le(500), h.mean_le(1_000), h.quantile_linear(1.0)), (None, Some(1_000.0), Some(3_000.0)));
}

#[test]
fn the_number_of_a_bucket_stands_in_stores_and_never_changes() {
    let numbers = [0, 1, 100, 101, 60_000, 60_001, 61_000, 3_600_000, hist::LONGEST_MS, i64::MAX].map(hist::bucket);
    assert_eq!(numbers, [0, 1, 1, 2, 600, 601, 601, 4_140, 8_640_540, 8_640_540]);
    let h = Hist::new(vec![(601, 2), (1, 1), (601, 1)]);
    assert_eq!(h.iter().collect::<Vec<_>>(), [(100, 1), (61_000, 3)]);
}

fn of_caller(direction: Direction, more: Vec<(i64, Event)>) -> Option<Contact> {
    let ani = Some(Number { token: Some("a".into()), ..Number::default() });
    let mut events: Vec<(i64, Event)> = vec![(1_000, Offered { direction, ani, ..Offered::default() }.into())];
    events.extend(more);
    Contact::of(&call(events))
}

#[test]
fn only_inbound_calls_of_a_known_caller_are_contacts() {
    let direct = |more| of_caller(Direction::Inbound, more).map(|c| (c.caller, c.at, c.offered, c.answered));
    assert_eq!(direct(vec![]), Some(("a".to_owned(), Time(1_000), 0, false)));
    let served = vec![(2_000, queued("sales")), (3_000, queued("support")), (4_000, answered("ann", Some("support")))];
    assert_eq!(direct(served), Some(("a".to_owned(), Time(1_000), 2, true)));
    let phantom = Ended { by: Party::System, cause: Some("phantom".into()), ..Ended::default() };
    assert_eq!(direct(vec![(2_000, phantom.into())]), None);
    assert_eq!(of_caller(Direction::Outbound, vec![]), None);
    assert_eq!(Contact::of(&call(vec![(0, offered())])), None, "nobody knows who called");
}

#[test]
fn histories_count_within_their_range_and_their_windows() {
    let contact = |s: i64, offered, answered| Contact { caller: "a".into(), at: Time(s * 1_000), offered, answered };
    let list = [contact(0, 1, true), contact(10, 1, true), contact(20, 0, false), contact(40, 1, true)];
    let within = |from: i64, to: i64, ms| histories(&list, Time(from * 1_000), Time(to * 1_000), ms, ms);
    let h = |repeat_attempts, answered, resolved| Histories { repeat_attempts, answered, resolved };
    assert_eq!(
        within(0, 100, 10_000),
        h(1, 3, 1),
        "ten seconds after is within ten seconds; who was not offered is no attempt"
    );
    assert_eq!(within(10, 40, 10_000), h(1, 1, 0), "the first second counts and the last does not");
    assert_eq!(within(0, 100, 20_000), h(2, 3, 1));
    assert_eq!((within(0, 100, 1_000).fcr(), h(0, 4, 1).fcr(), h(0, 0, 0).fcr()), (Some(1.0), Some(0.25), None));
}
