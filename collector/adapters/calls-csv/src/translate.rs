//! From a row to the events that must have happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use csv::StringRecord;
use jiff::tz::TimeZone;
use model::event::call::{
    Answered, Dequeued, Direction, Ended, IvrEntered, IvrLeft, Offered, Party, QueueExit, Queued, Released,
};
use model::{CallId, Event, Fact, NodeId, Number, QueueId, Subject, Time, TrunkId};

use crate::clock::Clocks;
use crate::config::{Config, Outcome};

/// A table's header, resolved against the config once.
pub struct Table {
    config: Arc<Config>,
    zone: TimeZone,
    at: BTreeMap<String, usize>,
}

impl Table {
    /// Finds every column that the config names; the error lists all that are missing and what there is.
    pub fn new(config: &Arc<Config>, header: &StringRecord) -> Result<Table, String> {
        let c = &config.columns;
        let single = [
            &c.date,
            &c.arrived,
            &c.offered,
            &c.queue_entered,
            &c.queue_left,
            &c.waited_s,
            &c.answered,
            &c.released,
            &c.talked_s,
            &c.outcome,
            &c.queue,
            &c.agent,
            &c.caller,
            &c.priority,
            &c.trunk,
        ];
        let mut at = BTreeMap::new();
        let mut missing = Vec::new();
        for name in single.into_iter().chain(&c.call).filter(|name| !name.is_empty()) {
            match header.iter().position(|h| h.trim() == name) {
                Some(place) => _ = at.insert(name.clone(), place),
                None => missing.push(name.as_str()),
            }
        }
        if !missing.is_empty() {
            let have: Vec<_> = header.iter().collect();
            return Err(format!("columns {} are not in the header, which has {}", missing.join(", "), have.join(", ")));
        }
        let zone = TimeZone::get(&config.formats.time_zone).map_err(|e| e.to_string())?;
        Ok(Table { config: Arc::clone(config), zone, at })
    }

    fn get<'r>(&self, row: &'r StringRecord, column: &str) -> &'r str {
        self.at.get(column).and_then(|&i| row.get(i)).unwrap_or_default().trim()
    }

    /// The facts of one row, in the order in which they must have happened.
    pub fn facts(&self, row: &StringRecord) -> Result<Vec<Fact>, String> {
        let c = &self.config.columns;
        let key: Vec<_> = c.call.iter().map(|column| self.get(row, column)).collect();
        if key.iter().all(|part| part.is_empty()) {
            return Err(format!("{} is empty: the call has no name", c.call.join(" and ")));
        }
        let outcome = self.get(row, &c.outcome);
        let Some(outcome) = self.config.outcomes.get(outcome) else {
            return Err(format!("outcome {outcome:?} is not in [outcomes]"));
        };
        let times = self.times(row)?;
        let mut steps = Steps { call: CallId::new(key.join("/")), facts: Vec::with_capacity(8) };
        steps.add(times.arrived, self.offered(row));
        match outcome {
            Outcome::Phantom => {
                // Which queue it was meant for is all that is said of it.
                self.enter(row, &times, &mut steps);
                let cause = Some("phantom".to_owned());
                steps.add(times.offered, Ended { by: Party::System, cause, ..Ended::default() });
            }
            Outcome::Answered => self.answered(row, &times, &mut steps)?,
            Outcome::Abandoned => self.abandoned(row, &times, &mut steps),
        }
        Ok(steps.facts)
    }

    fn offered(&self, row: &StringRecord) -> Offered {
        let c = &self.config.columns;
        let caller = self.get(row, &c.caller);
        let known = !caller.is_empty() && !self.config.caller_absent.iter().any(|a| a == caller);
        let trunk = self.get(row, &c.trunk);
        Offered {
            direction: Direction::Inbound,
            ani: known.then(|| Number::plain(caller)),
            trunk: (!trunk.is_empty()).then(|| TrunkId::new(trunk)),
            ..Offered::default()
        }
    }

    fn queue(&self, row: &StringRecord) -> QueueId {
        QueueId::new(self.get(row, &self.config.columns.queue))
    }

    fn node(&self, row: &StringRecord) -> Option<NodeId> {
        let pattern = &self.config.ivr_node;
        (!pattern.is_empty())
            .then(|| NodeId::from(pattern.replace("{queue}", self.get(row, &self.config.columns.queue))))
    }

    /// Into the IVR, out of it, into the queue.
    fn enter(&self, row: &StringRecord, times: &Times, steps: &mut Steps) {
        if let Some(node) = self.node(row) {
            steps.add(times.arrived, IvrEntered { node: node.clone() });
            steps.add(times.offered, IvrLeft { node });
        }
        let entered = times.stay.map_or(times.offered, |(entered, _)| entered);
        steps.add(
            entered,
            Queued {
                queue: self.queue(row),
                priority: self.get(row, &self.config.columns.priority).parse().ok(),
                position: None,
                offered_at: (entered != times.offered).then_some(times.offered),
            },
        );
    }

    fn leave(&self, row: &StringRecord, times: &Times, cause: QueueExit, steps: &mut Steps) -> (Time, u64) {
        // A call that never queued enters and leaves in one instant.
        let (entered, waited_ms) = times.stay.unwrap_or((times.offered, 0));
        let left = entered + waited_ms as i64;
        steps.add(left, Dequeued { queue: self.queue(row), cause, waited_ms: Some(waited_ms) });
        (left, waited_ms)
    }

    fn answered(&self, row: &StringRecord, times: &Times, steps: &mut Steps) -> Result<(), String> {
        self.enter(row, times, steps);
        let (left, waited_ms) = self.leave(row, times, QueueExit::Answered, steps);
        let agent = self.get(row, &self.config.columns.agent);
        let agent = (!agent.is_empty()).then(|| agent.into());
        let answered = Answered {
            agent: agent.clone(),
            queue: Some(self.queue(row)),
            waited_ms: Some(waited_ms),
            ..Answered::default()
        };
        let at = times.service.map_or(left, |(answered_at, _)| answered_at);
        steps.add(at, answered);
        let Some((from, talked_ms)) = times.service else {
            // Nobody recorded the conversation: it was answered, and no more is known.
            steps.add(at, Ended::default());
            return Ok(());
        };
        let to = from + talked_ms as i64;
        steps.add(to, Released { agent, by: Party::Unknown, talked_ms: Some(talked_ms) });
        steps.add(to, Ended::default());
        Ok(())
    }

    fn abandoned(&self, row: &StringRecord, times: &Times, steps: &mut Steps) {
        if times.stay.is_none() {
            if let Some(node) = self.node(row) {
                steps.add(times.arrived, IvrEntered { node });
            }
            steps.add(times.offered, Ended { by: Party::Caller, ..Ended::default() });
            return;
        }
        self.enter(row, times, steps);
        let (left, _) = self.leave(row, times, QueueExit::Abandoned, steps);
        steps.add(left, Ended { by: Party::Caller, ..Ended::default() });
    }

    /// All the clocks of a row, each on its day.
    fn times(&self, row: &StringRecord) -> Result<Times, String> {
        let c = &self.config.columns;
        let mut clocks = Clocks::new(&self.config.formats, &self.zone, self.get(row, &c.date))?;
        let arrived = self.optional(row, &c.arrived).map(|t| clocks.read(t)).transpose()?;
        let offered = self.optional(row, &c.offered).map(|t| clocks.read(t)).transpose()?;
        let Some(offered_at) = offered.or(arrived) else {
            return Err(format!("neither {} nor {} says when the call came", c.arrived, c.offered));
        };
        let stay = self.span(row, &mut clocks, [&c.queue_entered, &c.queue_left, &c.waited_s])?;
        let service = self.span(row, &mut clocks, [&c.answered, &c.released, &c.talked_s])?;
        Ok(Times { arrived: arrived.unwrap_or(offered_at), offered: offered_at, stay, service })
    }

    fn optional<'r>(&self, row: &'r StringRecord, column: &str) -> Option<&'r str> {
        (!column.is_empty()).then(|| self.get(row, column)).filter(|text| !text.is_empty())
    }

    /// A step with two clocks and a length: it happened when either clock says so; the length is the column's where there
    /// is one, else the difference of the clocks.
    fn span(
        &self,
        row: &StringRecord,
        clocks: &mut Clocks<'_>,
        columns: [&String; 3],
    ) -> Result<Option<(Time, u64)>, String> {
        let [from, to, length] = columns.map(|column| self.get(row, column));
        let absent = |text: &str| text.is_empty() || text == self.config.formats.absent;
        if columns[0].is_empty() || (absent(from) && absent(to)) {
            return Ok(None);
        }
        let start = clocks.read(if from.is_empty() { to } else { from })?;
        if !length.is_empty() {
            let seconds: f64 =
                length.parse().map_err(|_| format!("{} {length:?} is no number of seconds", columns[2]))?;
            if !(-31_536_000.0..=31_536_000.0).contains(&seconds) {
                return Err(format!("{} {length:?} is longer than a year", columns[2]));
            }
            // Clocks that were set back give negative lengths; the call happened all the same.
            return Ok(Some((start, (seconds * 1000.0).round().max(0.0) as u64)));
        }
        let end = if to.is_empty() { start } else { clocks.read(to)? };
        Ok(Some((start, end.since(start) as u64)))
    }
}

/// When things happened to one call.
struct Times {
    arrived: Time,
    offered: Time,
    /// When it entered the queue, and how long it waited, in milliseconds.
    stay: Option<(Time, u64)>,
    /// When it was answered, and how long they spoke, in milliseconds.
    service: Option<(Time, u64)>,
}

/// The steps of one call, numbered.
struct Steps {
    call: CallId,
    facts: Vec<Fact>,
}

impl Steps {
    fn add(&mut self, at: Time, event: impl Into<Event>) {
        let number = self.facts.len() as u64;
        let event = event.into();
        let reference = format!("{}#{number}/{}", self.call, event.ty());
        let fact = Fact::new(at, Subject::Call(self.call.clone()), event);
        self.facts.push(fact.reference(reference).seq(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Arc<Config> {
        let config = toml::from_str(
            r#"
            ivr_node = "vru/{queue}"
            caller_absent = ["0"]
            outcomes = { AGENT = "answered", HANG = "abandoned", PHANTOM = "phantom" }
            [columns]
            call = ["line", "id"]
            date = "date"
            arrived = "in"
            offered = "out"
            queue_entered = "qs"
            queue_left = "qe"
            waited_s = "qt"
            answered = "ss"
            released = "se"
            talked_s = "st"
            outcome = "outcome"
            queue = "type"
            agent = "server"
            caller = "who"
            [formats]
            date = "%y%m%d"
            absent = "0:00:00"
            "#,
        )
        .unwrap();
        Arc::new(config)
    }

    const HEADER: &str = "line,id,who,type,date,in,out,qs,qe,qt,outcome,ss,se,st,server";

    fn steps(row: &str) -> Vec<String> {
        let config = config();
        let table = Table::new(&config, &StringRecord::from(HEADER.split(',').collect::<Vec<_>>())).unwrap();
        let facts = table.facts(&StringRecord::from(row.split(',').collect::<Vec<_>>())).unwrap();
        facts.iter().map(|f| format!("{} {}", &f.occurred_at.to_string()[11..19], f.event.ty())).collect()
    }

    #[test]
    fn a_call_that_never_queued_enters_and_leaves_the_queue_in_one_instant() {
        let got = steps("L1,7,0,PS,990201,7:00:00,7:00:09,0:00:00,0:00:00,0,AGENT,7:00:08,7:01:08,60,DORIT");
        let want = [
            "07:00:00 call.offered.v1",
            "07:00:00 call.ivr_entered.v1",
            "07:00:09 call.ivr_left.v1",
            "07:00:09 call.queued.v1",
            "07:00:09 call.dequeued.v1",
            "07:00:08 call.answered.v1",
            "07:01:08 call.released.v1",
            "07:01:08 call.ended.v1",
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn a_hang_up_without_a_queue_left_in_the_ivr() {
        let got = steps("L1,7,0,PS,990201,7:00:00,7:00:09,0:00:00,0:00:00,0,HANG,0:00:00,0:00:00,0,NO_SERVER");
        assert_eq!(got, ["07:00:00 call.offered.v1", "07:00:00 call.ivr_entered.v1", "07:00:09 call.ended.v1"]);
    }

    #[test]
    fn an_answer_that_nobody_timed_has_no_conversation() {
        let got = steps("L1,7,5,PS,990201,7:00:00,7:00:09,7:00:09,7:00:20,11,AGENT,0:00:00,0:00:00,0,DORIT");
        assert_eq!(got[5..], ["07:00:20 call.answered.v1", "07:00:20 call.ended.v1"]);
    }

    #[test]
    fn a_queue_stay_across_midnight_ends_on_the_next_day() {
        let config = config();
        let table = Table::new(&config, &StringRecord::from(HEADER.split(',').collect::<Vec<_>>())).unwrap();
        let row = "L1,7,0,PS,990201,23:59:40,23:59:50,23:59:50,0:00:30,40,HANG,0:00:00,0:00:00,0,NO_SERVER";
        let facts = table.facts(&StringRecord::from(row.split(',').collect::<Vec<_>>())).unwrap();
        assert_eq!(facts.last().unwrap().occurred_at.to_string(), "1999-02-02T00:00:30.000Z");
    }

    #[test]
    fn a_missing_column_is_named_beside_what_there_is() {
        let config = config();
        let Err(error) = Table::new(&config, &StringRecord::from(vec!["line", "id"])) else { panic!("accepted") };
        assert!(error.contains("outcome") && error.contains("which has line, id"), "{error}");
    }

    #[test]
    fn a_row_that_makes_no_sense_says_why() {
        let config = config();
        let table = Table::new(&config, &StringRecord::from(HEADER.split(',').collect::<Vec<_>>())).unwrap();
        for (row, want) in [
            (
                "L1,7,0,PS,990201,7:00:00,7:00:09,0:00:00,0:00:00,0,LOST,0:00:00,0:00:00,0,X",
                "\"LOST\" is not in [outcomes]",
            ),
            ("L1,7,0,PS,991301,7:00:00,7:00:09,0:00:00,0:00:00,0,HANG,0:00:00,0:00:00,0,X", "date \"991301\""),
            ("L1,7,0,PS,990201,7:00:61,7:00:09,0:00:00,0:00:00,0,HANG,0:00:00,0:00:00,0,X", "clock \"7:00:61\""),
            ("L1,7,0,PS,990201,7:00:00,7:00:09,7:00:09,7:00:20,abc,HANG,0:00:00,0:00:00,0,X", "qt \"abc\""),
        ] {
            let error = table.facts(&StringRecord::from(row.split(',').collect::<Vec<_>>())).unwrap_err();
            assert!(error.contains(want), "{row}: {error}");
        }
    }
}
