//! Where a queue's callers are led: its targets as they are configured, as they were seen, and as the plan splits them.

use std::collections::BTreeMap;

use model::TargetId;
use model::control::{Kind, PlanIssued, Share, Thresholds};

use super::Target;
use crate::split;

/// A target of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Lead {
    /// Which.
    pub target: TargetId,
    /// What kind of place.
    pub kind: Kind,
    /// Where it is, in the words of whoever leads there.
    pub address: String,
    /// What it takes, whom it helps, and whether it answers.
    pub state: split::Target,
}

/// The targets of a queue that there are, and the share of each.
pub(super) fn leads(
    thresholds: &Thresholds,
    plan: Option<&PlanIssued>,
    targets: &BTreeMap<TargetId, Target>,
) -> (Vec<Lead>, Vec<f64>) {
    let (leads, weights) = there(thresholds, targets);
    let shares = planned(&leads, plan).unwrap_or_else(|| shares(&leads, &weights, diverted_per_s(plan)));
    (leads, shares)
}

/// Those of its targets that there are, with their weights.
fn there(thresholds: &Thresholds, targets: &BTreeMap<TargetId, Target>) -> (Vec<Lead>, Vec<f64>) {
    let mut leads = Vec::with_capacity(thresholds.targets.len());
    let mut weights = Vec::with_capacity(thresholds.targets.len());
    for toward in &thresholds.targets {
        if let Some(mut lead) = lead(&toward.target, targets) {
            let most = toward.capacity_per_s.unwrap_or(f64::INFINITY);
            lead.state.capacity_per_s = lead.state.capacity_per_s.min(most);
            // a weight of 0 is a target that is never led to
            lead.state.healthy &= toward.weight > 0.0;
            leads.push(lead);
            weights.push(toward.weight);
        }
    }
    (leads, weights)
}

/// The split that a plan should say now.
pub(super) fn split(thresholds: &Thresholds, targets: &BTreeMap<TargetId, Target>, diverted_per_s: f64) -> Vec<Share> {
    let (leads, weights) = there(thresholds, targets);
    let shares = shares(&leads, &weights, diverted_per_s);
    let share =
        |(lead, share): (Lead, f64)| Share { target: lead.target, share, capacity_per_s: lead.state.capacity_per_s };
    leads.into_iter().zip(shares).map(share).collect()
}

/// What a queue offers, as far as it can be taken.
pub(super) fn offers(thresholds: &Thresholds, targets: &BTreeMap<TargetId, Target>) -> Vec<Lead> {
    let there = thresholds.offers.iter().filter_map(|target| lead(target, targets));
    there.filter(|lead| lead.state.worth_per_s() > 0.0).collect()
}

fn lead(target: &TargetId, targets: &BTreeMap<TargetId, Target>) -> Option<Lead> {
    let held = targets.get(target).filter(|held| held.present)?;
    let (configured, observed) = (&held.configured, held.observed.as_ref());
    let said = observed.and_then(|seen| seen.capacity_per_s).unwrap_or(f64::INFINITY);
    Some(Lead {
        target: target.clone(),
        kind: configured.kind,
        address: configured.address.clone(),
        state: split::Target {
            capacity_per_s: configured.capacity_per_s.min(said),
            containment: observed.and_then(|seen| seen.containment).unwrap_or(configured.containment),
            healthy: configured.enabled && observed.is_none_or(|seen| seen.healthy),
        },
    })
}

/// The shares as the plan says, if it speaks of these very targets and none of those it leads to has failed since.
fn planned(leads: &[Lead], plan: Option<&PlanIssued>) -> Option<Vec<f64>> {
    let split = &plan?.split;
    if split.len() != leads.len() {
        return None;
    }
    let shares: Option<Vec<f64>> =
        leads.iter().zip(split).map(|(lead, share)| (lead.target == share.target).then_some(share.share)).collect();
    shares
        .filter(|shares| shares.iter().zip(leads).all(|(share, lead)| *share <= 0.0 || lead.state.worth_per_s() > 0.0))
}

/// Calls per second that a plan leads elsewhere.
fn diverted_per_s(plan: Option<&PlanIssued>) -> f64 {
    plan.map_or(0.0, |plan| (plan.flow.attempts_per_s - plan.flow.admitted_per_s).max(0.0))
}

/// Each target's share of `diverted_per_s`: by what it can take, whom it helps, and how much it is preferred.
fn shares(leads: &[Lead], weights: &[f64], diverted_per_s: f64) -> Vec<f64> {
    let heaviest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let preferred: Vec<split::Target> = leads
        .iter()
        .zip(weights)
        .map(|(lead, weight)| split::Target { containment: lead.state.containment * weight / heaviest, ..lead.state })
        .collect();
    split::shares(&preferred, diverted_per_s)
}
