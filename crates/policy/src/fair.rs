//! Effective agents of queues that share people.
//!
//! An agent with several skills cannot be counted in full for each of them. Their time is shared max-min fairly: no queue can be given
//! more without taking from one that has no more, as a share of what it needs; and what nobody needs counts for every queue that it is
//! open to, because whoever is free will take the next call of any of them.
//!
//! Source: the lexicographically optimal base of a polymatroid (Fujishige, 1980): it minimises every separable convex function, so
//! levelling one group of agents after the other comes to it.

/// Agents with the same skills.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// How many, breaks and unknowns left out.
    pub agents: f64,
    /// The queues that they serve: indices of the needs, each once.
    pub queues: Vec<usize>,
}

/// A queue smaller than this still gets its share, Erlangs.
const NEED_MIN: f64 = 1e-3;
/// Rounds over all groups at most; the change of a round shrinks geometrically.
const ROUNDS: usize = 500;
/// A round that moves less than this, agents, is the last.
const STILL: f64 = 1e-6;

/// How many agents each queue has, when queue `q` needs `needs[q]` Erlangs (the calls it would serve at once: λ/μ).
pub fn effective_agents(groups: &[Group], needs: &[f64]) -> Vec<f64> {
    let needs: Vec<f64> = needs.iter().map(|need| need.max(NEED_MIN)).collect();
    let mut shares: Vec<Vec<f64>> = groups.iter().map(|group| vec![0.0; group.queues.len()]).collect();
    let mut given = vec![0.0; needs.len()];
    for _ in 0..ROUNDS {
        let mut moved: f64 = 0.0;
        for (group, share) in groups.iter().zip(&mut shares) {
            for (queue, part) in group.queues.iter().zip(share.iter()) {
                given[*queue] -= part;
            }
            let level = level_of(group, &given, &needs);
            for (queue, part) in group.queues.iter().zip(share.iter_mut()) {
                let now = (level * needs[*queue] - given[*queue]).max(0.0);
                moved = moved.max((now - *part).abs());
                *part = now;
                given[*queue] += now;
            }
        }
        if moved < STILL {
            break;
        }
    }
    with_slack(groups, &shares, given)
}

/// The level, at most 1 (all that is needed), up to which this group can fill its queues, above what others give them.
fn level_of(group: &Group, given: &[f64], needs: &[f64]) -> f64 {
    let mut queues: Vec<usize> = group.queues.clone();
    queues.sort_by(|a, b| (given[*a] / needs[*a]).total_cmp(&(given[*b] / needs[*b])));
    let (mut need, mut filled) = (0.0, 0.0);
    for (at, queue) in queues.iter().enumerate() {
        need += needs[*queue];
        filled += given[*queue];
        let level = (group.agents.max(0.0) + filled) / need;
        // the next queue is higher already: it gets nothing
        if queues.get(at + 1).is_none_or(|next| level <= given[*next] / needs[*next]) {
            return level.min(1.0);
        }
    }
    0.0
}

/// What a group has left counts for each of its queues.
fn with_slack(groups: &[Group], shares: &[Vec<f64>], given: Vec<f64>) -> Vec<f64> {
    let mut effective = given;
    for (group, share) in groups.iter().zip(shares) {
        let slack = (group.agents - share.iter().sum::<f64>()).max(0.0);
        group.queues.iter().for_each(|queue| effective[*queue] += slack);
    }
    effective
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(agents: f64, queues: &[usize]) -> Group {
        Group { agents, queues: queues.to_vec() }
    }

    fn close(ours: &[f64], theirs: &[f64]) {
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-3), "{ours:?} instead of {theirs:?}");
    }

    #[test]
    fn in_a_flood_shared_agents_are_split_by_need() {
        close(&effective_agents(&[group(10.0, &[0, 1])], &[30.0, 10.0]), &[7.5, 2.5]);
    }

    #[test]
    fn who_has_agents_of_their_own_gets_less_of_the_shared_ones() {
        // 6 only for A, 6 for both: each needs 12, so 6 each
        close(&effective_agents(&[group(6.0, &[0]), group(6.0, &[0, 1])], &[12.0, 12.0]), &[6.0, 6.0]);
        // nobody can give B more than the shared ones
        close(&effective_agents(&[group(9.0, &[0]), group(3.0, &[0, 1])], &[12.0, 12.0]), &[9.0, 3.0]);
    }

    #[test]
    fn what_nobody_needs_is_open_to_all() {
        // 10 for both, who need 2 and 3: five are left, and each may have them
        close(&effective_agents(&[group(10.0, &[0, 1])], &[2.0, 3.0]), &[7.0, 8.0]);
    }

    #[test]
    fn a_queue_that_nobody_serves_has_nobody() {
        close(&effective_agents(&[group(4.0, &[0])], &[9.0, 5.0]), &[4.0, 0.0]);
        assert_eq!(effective_agents(&[], &[1.0]), [0.0]);
    }

    prop_compose! {
        fn centre()(needs in prop::collection::vec(0.0..40.0f64, 1..6))(
            groups in prop::collection::vec((0.0..20.0f64, prop::collection::btree_set(0..needs.len(), 1..=needs.len())), 1..6),
            needs in Just(needs),
        ) -> (Vec<Group>, Vec<f64>) {
            (groups.into_iter().map(|(agents, queues)| Group { agents, queues: queues.into_iter().collect() }).collect(), needs)
        }
    }

    proptest! {
        #[test]
        fn nobody_is_counted_twice_in_a_flood_and_nobody_beyond_those_who_may_serve((groups, needs) in centre()) {
            let effective = effective_agents(&groups, &needs);
            let all: f64 = groups.iter().map(|group| group.agents).sum();
            for (queue, agents) in effective.iter().enumerate() {
                let open: f64 = groups.iter().filter(|g| g.queues.contains(&queue)).map(|g| g.agents).sum();
                prop_assert!(*agents <= open + 1e-3, "{agents} of {open}");
            }
            let flooded: Vec<f64> = needs.iter().map(|need| need + 1_000.0).collect();
            prop_assert!(effective_agents(&groups, &flooded).iter().sum::<f64>() <= all + 1e-3);
        }

        #[test]
        fn no_queue_could_have_more_without_taking_from_a_poorer_one((groups, needs) in centre()) {
            // in a flood: two queues that share a group are level, unless the group gives nothing to the richer one
            let flooded: Vec<f64> = needs.iter().map(|need| need + 200.0).collect();
            let effective = effective_agents(&groups, &flooded);
            let level = |queue: usize| effective[queue] / flooded[queue];
            for group in groups.iter().filter(|group| group.agents > 0.0) {
                let lowest = group.queues.iter().map(|q| level(*q)).fold(f64::INFINITY, f64::min);
                // take this group's agents away: whoever loses must be of the lowest level
                for queue in &group.queues {
                    let without: Vec<Group> = groups.iter().map(|g| if g == group { Group { agents: 0.0, queues: g.queues.clone() } } else { g.clone() }).collect();
                    let open_else: f64 = without.iter().filter(|g| g.queues.contains(queue)).map(|g| g.agents).sum();
                    prop_assert!(level(*queue) <= lowest + 1e-3 || effective[*queue] <= open_else + 1e-3);
                }
            }
        }
    }
}
