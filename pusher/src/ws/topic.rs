//! What can be subscribed to, and how a subscription is narrowed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A kind of live item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// One item per tenant: the headline figures.
    Totals,
    /// One item per queue.
    Queues,
    /// One item per agent.
    Agents,
    /// One item per open call.
    Calls,
    /// One item per device.
    Devices,
    /// One item per source.
    Sources,
    /// One item per team.
    Teams,
    /// Half hours of today and yesterday, of tenants and queues.
    Intervals,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 8] = [
        Topic::Totals,
        Topic::Queues,
        Topic::Agents,
        Topic::Calls,
        Topic::Devices,
        Topic::Sources,
        Topic::Teams,
        Topic::Intervals,
    ];

    /// The wire name.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Totals => "totals",
            Topic::Queues => "queues",
            Topic::Agents => "agents",
            Topic::Calls => "calls",
            Topic::Devices => "devices",
            Topic::Sources => "sources",
            Topic::Teams => "teams",
            Topic::Intervals => "intervals",
        }
    }

    /// Whether its items are single calls, agents or devices: what waits first where there is too much to do.
    pub const fn is_detail(self) -> bool {
        matches!(self, Topic::Calls | Topic::Agents | Topic::Devices)
    }

    /// The topic of a wire name.
    pub fn parse(name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which items of a topic are wanted. An empty list wants all; a list limits only items that have such a key, so that a
/// filter of queues leaves the items of sources alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Queue ids.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub queues: BTreeSet<String>,
    /// Team ids.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<String>,
    /// Agent ids.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub agents: BTreeSet<String>,
    /// Source ids.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub sources: BTreeSet<String>,
}

impl Filter {
    /// How many values it lists.
    pub fn len(&self) -> usize {
        self.queues.len() + self.teams.len() + self.agents.len() + self.sources.len()
    }

    /// Whether it wants everything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an item with these keys is wanted.
    pub fn wants(&self, keys: &Keys) -> bool {
        fn one(list: &BTreeSet<String>, keys: &[Arc<str>]) -> bool {
            list.is_empty() || keys.is_empty() || keys.iter().any(|key| list.contains(&**key))
        }
        one(&self.queues, &keys.queues)
            && one(&self.teams, &keys.teams)
            && one(&self.agents, &keys.agents)
            && one(&self.sources, &keys.sources)
    }
}

/// What an item can be found by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Whose it is; never shown to a token of another tenant.
    pub tenant: Arc<str>,
    /// Its queues: itself, the one it waits in, those it works for.
    pub queues: Vec<Arc<str>>,
    /// Its team.
    pub teams: Vec<Arc<str>>,
    /// Its agent.
    pub agents: Vec<Arc<str>>,
    /// Its sources.
    pub sources: Vec<Arc<str>>,
}

/// What one feed carries: equal selections share one feed, and each of its frames is written once for all clients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selection {
    /// Only this tenant's items; `None`: all.
    pub tenant: Option<Arc<str>>,
    /// The topic.
    pub topic: Topic,
    /// The filter.
    pub filter: Filter,
}

impl Selection {
    /// Whether an item is part of it.
    pub fn wants(&self, keys: &Keys) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == keys.tenant) && self.filter.wants(keys)
    }

    /// The feed's name on the wire: the same for the same selection, in every pusher.
    pub fn feed(&self) -> String {
        if self.tenant.is_none() && self.filter.is_empty() {
            return self.topic.name().to_owned();
        }
        let text = serde_json::to_string(&(self.tenant.as_deref(), &self.filter)).unwrap_or_default();
        format!("{}-{:016x}", self.topic.name(), xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tenant: &str, queue: Option<&str>) -> Keys {
        Keys { tenant: tenant.into(), queues: queue.into_iter().map(Into::into).collect(), ..Keys::default() }
    }

    fn selection(tenant: Option<&str>, queues: &[&str]) -> Selection {
        let filter = Filter { queues: queues.iter().map(|q| (*q).to_owned()).collect(), ..Filter::default() };
        Selection { tenant: tenant.map(Into::into), topic: Topic::Calls, filter }
    }

    #[test]
    fn a_filter_limits_only_items_that_have_such_a_key() {
        let only_sales = selection(None, &["sales"]);
        assert!(only_sales.wants(&keys("default", Some("sales"))));
        assert!(!only_sales.wants(&keys("default", Some("help"))));
        assert!(only_sales.wants(&keys("default", None)));
    }

    #[test]
    fn a_tenant_never_sees_another_tenants_items() {
        assert!(!selection(Some("bank"), &[]).wants(&keys("shop", Some("sales"))));
        assert!(selection(Some("bank"), &[]).wants(&keys("bank", Some("sales"))));
    }

    #[test]
    fn the_same_selection_is_the_same_feed_in_any_order() {
        assert_eq!(selection(None, &["a", "b"]).feed(), selection(None, &["b", "a"]).feed());
        assert_ne!(selection(None, &["a"]).feed(), selection(None, &["b"]).feed());
        assert_ne!(selection(None, &["a"]).feed(), selection(Some("bank"), &["a"]).feed());
        assert_eq!(selection(None, &[]).feed(), "calls");
    }
}
