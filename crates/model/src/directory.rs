//! The directory: names, teams, thresholds and time zones that no vendor knows. Configured once per deployment, used by
//! the receiver (to classify and enrich) and by the pusher (to name and to judge). Every field has a default.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, QueueId, SourceId, TeamId, TenantId};

/// Everything the directory knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Directory {
    /// Companies or business lines; a tenant that is not listed has the defaults of [`Tenant`].
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// Vendor instances; a source that is not listed belongs to tenant `default`.
    pub sources: BTreeMap<SourceId, Source>,
    /// Queues; a queue that is not listed goes by its id and its tenant's limits.
    pub queues: BTreeMap<QueueId, Queue>,
    /// Agents; an agent that is not listed goes by its id and has no team.
    pub agents: BTreeMap<AgentId, Agent>,
    /// Teams.
    pub teams: BTreeMap<TeamId, Team>,
}

/// A tenant's rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tenant {
    /// IANA name; day and interval borders follow it.
    pub time_zone: String,
    /// A caller who leaves within this is a short abandon; 0: none is short.
    pub short_abandon_s: u32,
    /// A conversation up to this is short.
    pub short_answer_s: u32,
    /// The service-level threshold T.
    pub service_level_s: u32,
    /// The service-level goal, in per cent.
    pub service_level_goal: f64,
}

impl Default for Tenant {
    fn default() -> Self {
        Tenant {
            time_zone: "UTC".to_owned(),
            short_abandon_s: 5,
            short_answer_s: 10,
            service_level_s: 20,
            service_level_goal: 80.0,
        }
    }
}

/// A vendor instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// Whose calls come from it; empty: `default`.
    pub tenant: String,
    /// The name for people.
    pub name: String,
    /// A recording of the past: its events are observed long after they happened, and that is not lateness.
    pub recorded: bool,
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// The name for people; empty: its id.
    pub name: String,
    /// The Chinese name; empty: `name`.
    pub name_zh: String,
    /// Overrides the tenant's.
    pub short_abandon_s: Option<u32>,
    /// Overrides the tenant's.
    pub service_level_s: Option<u32>,
    /// Overrides the tenant's, in per cent.
    pub service_level_goal: Option<f64>,
}

/// An agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// The name for people; empty: the id.
    pub name: String,
    /// The team; empty: none.
    pub team: String,
}

/// A team.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Team {
    /// The name for people; empty: its id.
    pub name: String,
}

impl Directory {
    /// Whose calls `source` brings.
    pub fn tenant_of(&self, source: &SourceId) -> TenantId {
        match self.sources.get(source) {
            Some(s) if !s.tenant.is_empty() => TenantId::new(&s.tenant),
            _ => TenantId::new("default"),
        }
    }

    /// The rules of a tenant.
    pub fn tenant(&self, id: &TenantId) -> Tenant {
        self.tenants.get(id).cloned().unwrap_or_default()
    }

    /// Up to which wait an abandon of this queue is short, in milliseconds.
    pub fn short_abandon_ms(&self, tenant: &TenantId, queue: &QueueId) -> i64 {
        let own = self.queues.get(queue).and_then(|q| q.short_abandon_s);
        i64::from(own.unwrap_or_else(|| self.tenant(tenant).short_abandon_s)) * 1000
    }

    /// The service-level threshold of this queue, in milliseconds.
    pub fn service_level_ms(&self, tenant: &TenantId, queue: &QueueId) -> i64 {
        let own = self.queues.get(queue).and_then(|q| q.service_level_s);
        i64::from(own.unwrap_or_else(|| self.tenant(tenant).service_level_s)) * 1000
    }

    /// The team of an agent.
    pub fn team_of(&self, agent: &AgentId) -> Option<TeamId> {
        self.agents.get(agent).filter(|a| !a.team.is_empty()).map(|a| TeamId::new(&a.team))
    }

    /// Every contradiction.
    pub fn problems(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let mut add = |path: String, what: String, fix: String| found.push(Contradiction { path, what, fix });
        for (id, t) in &self.tenants {
            if jiff::tz::TimeZone::get(&t.time_zone).is_err() {
                let what = format!("{:?} is no IANA zone", t.time_zone);
                add(format!("tenants.{id}.time_zone"), what, "write one such as \"Asia/Shanghai\"".to_owned());
            }
            percent(&mut add, format!("tenants.{id}.service_level_goal"), t.service_level_goal);
        }
        for (id, q) in &self.queues {
            if let Some(goal) = q.service_level_goal {
                percent(&mut add, format!("queues.{id}.service_level_goal"), goal);
            }
        }
        for (id, s) in &self.sources {
            if !s.tenant.is_empty() && s.tenant != "default" && !self.tenants.contains_key(s.tenant.as_str()) {
                let what = format!("there is no tenant {:?}", s.tenant);
                add(format!("sources.{id}.tenant"), what, format!("add the table tenants.{}", s.tenant));
            }
        }
        for (id, a) in &self.agents {
            if !a.team.is_empty() && !self.teams.contains_key(a.team.as_str()) {
                let what = format!("there is no team {:?}", a.team);
                add(format!("agents.{id}.team"), what, format!("add the table teams.{}", a.team));
            }
        }
        found
    }
}

/// Something that cannot be, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Where, dotted.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub fix: String,
}

fn percent(add: &mut impl FnMut(String, String, String), path: String, value: f64) {
    if !(0.0..=100.0).contains(&value) {
        add(path, format!("{value} is no percentage"), "write 0 to 100".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_overrides_its_tenant() {
        let mut d = Directory::default();
        let (tenant, queue) = (TenantId::new("default"), QueueId::new("sales"));
        assert_eq!(d.short_abandon_ms(&tenant, &queue), 5000);
        d.queues.insert(queue.clone(), Queue { short_abandon_s: Some(0), ..Queue::default() });
        assert_eq!(d.short_abandon_ms(&tenant, &queue), 0);
    }

    #[test]
    fn every_problem_is_named_with_its_path() {
        let mut d = Directory::default();
        d.tenants.insert(
            "bank".into(),
            Tenant { time_zone: "Mars/Base".into(), service_level_goal: 120.0, ..Tenant::default() },
        );
        d.agents.insert("101".into(), Agent { team: "red".into(), ..Agent::default() });
        d.sources.insert("pbx1".into(), Source { tenant: "shop".into(), ..Source::default() });
        let paths: Vec<_> = d.problems().into_iter().map(|p| p.path).collect();
        let want =
            ["tenants.bank.time_zone", "tenants.bank.service_level_goal", "sources.pbx1.tenant", "agents.101.team"];
        assert_eq!(paths, want);
    }
}
