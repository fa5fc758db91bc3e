//! Where a caller is led who may not enter: to the same place as a moment ago, else by their own place along the shares.

use model::control::Kind;
use policy::bucket::Bucket;
use policy::plan::{Force, Lead, seconds};
use policy::{split, sticky};
use xxhash_rust::xxh3::xxh3_64;

use super::{Asked, Gate, lock};

/// Not the hour: where a caller is led does not change with it.
const ANY_HOUR: i64 = -1;
/// Targets of a tenant whose flow is remembered.
const TARGETS_MAX: usize = 1_024;

impl Gate {
    /// A target that takes this caller now, if any does.
    pub(super) fn lead<'a>(&self, asked: &Asked<'_>, force: &Force<'a>) -> Option<&'a Lead> {
        let now_s = seconds(asked.at);
        let mut all = lock(&self.memory.targets);
        let of_tenant = all.entry(asked.tenant.clone()).or_default();
        if of_tenant.len() > TARGETS_MAX {
            of_tenant.clear(); // of names that are no more; a bucket that begins anew lets a burst pass
        }
        let mut buckets: Vec<Bucket> =
            force.leads.iter().map(|lead| of_tenant.get(&lead.target).copied().unwrap_or_default()).collect();
        let chosen = chosen(asked, force, &mut buckets, now_s)?;
        for (lead, bucket) in force.leads.iter().zip(buckets) {
            of_tenant.insert(lead.target.clone(), bucket);
        }
        force.leads.get(chosen)
    }
}

fn chosen(asked: &Asked<'_>, force: &Force<'_>, buckets: &mut [Bucket], now_s: f64) -> Option<usize> {
    // who hides their number cannot be called back
    let reachable = |kind: Kind| kind != Kind::Callback || asked.who.token.is_some();
    let able = |lead: &Lead| split::Target { healthy: lead.state.healthy && reachable(lead.kind), ..lead.state };
    let targets: Vec<split::Target> = force.leads.iter().map(able).collect();
    let before = &asked.before;
    if before.diverted_ms > 0 && before.queue == asked.queue_hash() {
        let same = |lead: &Lead| xxh3_64(lead.target.as_str().as_bytes()) == before.target;
        let at = force.leads.iter().position(same).filter(|at| {
            let takes = force.shares.get(*at).is_some_and(|share| *share > 0.0);
            takes && targets[*at].worth_per_s() > 0.0
        });
        if let Some(at) = at {
            let only: Vec<f64> = (0..targets.len()).map(|other| f64::from(u8::from(other == at))).collect();
            return split::choose(&targets, &only, buckets, 0.0, now_s);
        }
    }
    // Not the place that decided that they must go: callers with low places would all be led to the first target.
    let name = asked.who.token.as_deref().unwrap_or(asked.ask.call.as_str());
    let salted = [asked.ask.queue.as_str(), "|target|", name].concat();
    let place = sticky::place(salted.as_bytes(), ANY_HOUR, 0);
    split::choose(&targets, force.shares, buckets, place, now_s)
}
