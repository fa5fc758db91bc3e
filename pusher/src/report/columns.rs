//! What a row of figures holds: one column per line, with how it is computed.

use std::collections::BTreeMap;
use std::fmt::Display;

use model::event::call::Party;
use model::{AgentId, Directory, QueueId, SourceId, TeamId, Time};
use stats::caller::Histories;
use stats::interval::Attribution;
use stats::metric::{self, Figures};
use stats::policy::Policy;
use stats::{Dim, Field, Hist};

use super::ask::Intervals;
use super::base::Cell;
use super::flat::Named;

/// Everything that columns are computed from.
pub(super) struct Source<'a> {
    pub(super) by: Dim,
    pub(super) cell: &'a Cell,
    pub(super) directory: &'a Directory,
    pub(super) zone: &'a jiff::tz::TimeZone,
    pub(super) policy: Policy,
    pub(super) attribution: Attribution,
    pub(super) threshold_ms: i64,
    pub(super) now: Time,
    pub(super) days_worked: i64,
    pub(super) callers: Option<Histories>,
    pub(super) f: Figures,
    pub(super) answered: Hist,
    pub(super) talk: Hist,
    pub(super) handle: Hist,
}

impl<'a> Source<'a> {
    pub(super) fn new(asked: &'a Intervals, cell: &'a Cell, directory: &'a Directory, now: Time) -> Self {
        let threshold_ms = asked.threshold_ms.unwrap_or_else(|| match asked.by {
            Dim::Queue => directory.service_level_ms(&cell.tenant, &QueueId::new(&cell.id)),
            _ => i64::from(directory.tenant(&cell.tenant).service_level_s) * 1000,
        });
        let short_answer_ms = i64::from(directory.tenant(&cell.tenant).short_answer_s) * 1000;
        let tally = &cell.merged.tally;
        Source {
            by: asked.by,
            cell,
            directory,
            zone: &asked.range.zone,
            policy: asked.policy,
            attribution: asked.attribution,
            threshold_ms,
            now,
            days_worked: 0,
            callers: None,
            f: metric::evaluate(tally, &metric::Context { policy: asked.policy, threshold_ms, short_answer_ms }),
            answered: tally.hist(&[Field::WaitAnswered]),
            talk: tally.hist(&[Field::Talk]),
            handle: tally.hist(&[Field::Handle]),
        }
    }

    pub(super) fn n(&self, field: Field) -> i64 {
        self.cell.merged.tally.get(field)
    }

    /// The name for people; the id where none is configured.
    pub(super) fn name(&self) -> String {
        let (directory, id) = (self.directory, &self.cell.id);
        let name = match self.by {
            Dim::Queue => directory.queues.get(&QueueId::new(id)).map(|queue| &queue.name),
            Dim::Agent => directory.agents.get(&AgentId::new(id)).map(|agent| &agent.name),
            Dim::Team => directory.teams.get(&TeamId::new(id)).map(|team| &team.name),
            Dim::Source => directory.sources.get(&SourceId::new(id)).map(|source| &source.name),
            Dim::Device | Dim::Trunk | Dim::Ivr | Dim::Tenant => None,
        };
        name.filter(|name| !name.is_empty()).map_or_else(|| id.to_string(), Clone::clone)
    }

    pub(super) fn team(&self) -> Option<String> {
        self.directory.team_of(&AgentId::new(&self.cell.id)).map(|team| team.to_string())
    }

    pub(super) fn attribution(&self) -> &'static str {
        match self.attribution {
            Attribution::Event => "event",
            Attribution::Cohort => "cohort",
        }
    }

    pub(super) fn handle_ms(&self) -> i64 {
        self.f.talk_ms + self.f.hold_ms + self.f.wrap_up_ms
    }

    pub(super) fn ended_by(&self) -> Named {
        const PARTIES: [(Party, &str); 4] = [
            (Party::Caller, "caller"),
            (Party::Agent, "agent"),
            (Party::System, "system"),
            (Party::Unknown, "unknown"),
        ];
        let cells = self.cell.merged.tally.cells(Field::EndedBy);
        Named(cells.filter_map(|(cell, n)| Some((PARTIES.get(cell as usize)?.1.to_owned(), n))).collect())
    }

    pub(super) fn quality(&self) -> &'static str {
        match () {
            () if self.cell.gap_ms > 0 => "gap",
            () if self.f.inferred > 0 => "inferred",
            () if self.f.late > 0 => "late",
            () if self.cell.end > self.now => "open",
            () => "good",
        }
    }
}

pub(super) fn named<K: Display>(map: &BTreeMap<K, i64>) -> Named {
    Named(map.iter().map(|(name, n)| (name.to_string(), *n)).collect())
}

pub(super) fn mean(sum: i64, n: i64) -> Option<f64> {
    (n > 0).then(|| sum as f64 / n as f64)
}

/// Declares a row by its columns: name, type, and how it is computed from a [`Source`].
macro_rules! columns {
    ($(#[$meta:meta])* pub struct $name:ident($c:ident) { $( $(#[$doc:meta])* $field:ident: $ty:ty = $value:expr, )* }) => {
        flat! {
            $(#[$meta])*
            pub struct $name { $( $(#[$doc])* pub $field: $ty, )* }
        }

        impl $name {
            pub(super) fn of($c: &Source<'_>) -> $name {
                $name { $( $field: $value, )* }
            }
        }
    };
}
pub(super) use columns;
