//! Who holds which partition: the state of one consumer group, pure. Implementations load it, change it and keep it.
//!
//! A partition has a *holder*, who may read and commit it, and a *wanted* holder, where the deal says it belongs. When they differ
//! and the holder is alive, the holder is asked to finish and release; until then nobody else gets it (cooperative rebalancing).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contract::Partition;
use crate::{Stream, Topology};

/// One consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    generation: u64,
    last_member: u64,
    members: BTreeMap<u64, Member>,
    owners: Vec<Owner>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    name: String,
    streams: Vec<Stream>,
    lease_until_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    stream: Stream,
    partition: u32,
    holder: Option<u64>,
    wanted: Option<u64>,
}

/// What a member wants of its group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Come in under a name.
    Join { name: String, streams: Vec<Stream> },
    /// Renew the lease and look around.
    Sync { member: u64, name: String },
    /// Hand over partitions that are to go.
    Release { member: u64, name: String, partitions: Vec<Partition> },
    /// Go.
    Leave { member: u64 },
}

/// Where a member stands after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// In the group.
    In {
        member: u64,
        generation: u64,
        /// Held, and to be kept.
        held: Vec<Partition>,
        /// Held, and to be released.
        leaving: Vec<Partition>,
    },
    /// Not in the group: the lease ran out, or it left.
    Out,
    /// Another member came in under the same name.
    Replaced,
}

impl Group {
    /// Takes a step of a member at a moment. Expired members are put out first.
    pub(crate) fn step(&mut self, step: &Step, topology: &Topology, now_ms: i64, lease_ms: i64) -> Standing {
        let member = match step {
            Step::Join { name, streams } => self.join(name, streams, now_ms + lease_ms),
            Step::Sync { member, .. } => self.renew(*member, now_ms, lease_ms),
            Step::Release { member, partitions, .. } => self.release(*member, partitions),
            Step::Leave { member } => {
                self.members.remove(member);
                *member
            }
        };
        self.members.retain(|id, each| *id == member || each.lease_until_ms > now_ms);
        self.deal(topology);
        self.standing(member, step)
    }

    /// Renews the leases of members that are alive in this process, and puts out the expired ones. Whether anything changed
    /// besides the leases is seen by the generation.
    pub(crate) fn keep(&mut self, alive: &[u64], topology: &Topology, now_ms: i64, lease_ms: i64) {
        for member in alive {
            self.renew(*member, now_ms, lease_ms);
        }
        self.members.retain(|_, each| each.lease_until_ms > now_ms);
        self.deal(topology);
    }

    /// Where a member stands, without taking a step.
    pub(crate) fn look(&self, member: u64, name: &str) -> Standing {
        self.standing(member, &Step::Sync { member, name: name.to_owned() })
    }

    /// The numbers of the members.
    pub(crate) fn members(&self) -> impl Iterator<Item = u64> + '_ {
        self.members.keys().copied()
    }

    /// Grows with every change of members or holders.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a member may commit a partition.
    pub(crate) fn holds(&self, member: u64, partition: Partition) -> bool {
        self.owners.iter().any(|owner| owner.holder == Some(member) && (owner.stream, owner.partition) == partition)
    }

    /// Whether a member is in the group.
    pub(crate) fn contains(&self, member: u64) -> bool {
        self.members.contains_key(&member)
    }

    fn join(&mut self, name: &str, streams: &[Stream], lease_until_ms: i64) -> u64 {
        // The same name again: the process came back before its lease ran out. The newest one is the living one.
        self.members.retain(|_, each| each.name != name);
        self.last_member += 1;
        let mut streams = streams.to_vec();
        streams.sort_unstable();
        streams.dedup();
        self.members.insert(self.last_member, Member { name: name.to_owned(), streams, lease_until_ms });
        self.last_member
    }

    /// A lease that ran out, and that nobody looked at since, is renewed all the same: its partitions are nobody else's yet. A disk
    /// that stood still for longer than a lease, with everybody waiting for it, takes nothing from anybody.
    fn renew(&mut self, member: u64, now_ms: i64, lease_ms: i64) -> u64 {
        if let Some(found) = self.members.get_mut(&member) {
            found.lease_until_ms = now_ms + lease_ms;
        }
        member
    }

    fn release(&mut self, member: u64, partitions: &[Partition]) -> u64 {
        for owner in &mut self.owners {
            let named = partitions.contains(&(owner.stream, owner.partition));
            if named && owner.holder == Some(member) && owner.wanted != Some(member) {
                owner.holder = None;
            }
        }
        member
    }

    fn standing(&self, member: u64, step: &Step) -> Standing {
        if !self.members.contains_key(&member) {
            let name = match step {
                Step::Join { name, .. } | Step::Sync { name, .. } | Step::Release { name, .. } => Some(name),
                Step::Leave { .. } => None,
            };
            // Numbers only grow, so the same name with a later number is an heir.
            let replaced = self.members.iter().any(|(id, each)| *id > member && Some(&each.name) == name);
            return if replaced { Standing::Replaced } else { Standing::Out };
        }
        let of = |keep: bool| {
            let mine = self.owners.iter().filter(move |owner| owner.holder == Some(member));
            mine.filter(move |owner| (owner.wanted == Some(member)) == keep)
                .map(|owner| (owner.stream, owner.partition))
                .collect()
        };
        Standing::In { member, generation: self.generation, held: of(true), leaving: of(false) }
    }

    /// Deals every partition that somebody subscribes to the members: even within each stream (counts differ by one at
    /// most), then even in total, moving as few as possible. Hands over what nobody living holds.
    fn deal(&mut self, topology: &Topology) {
        let before = (self.members.keys().copied().collect::<Vec<_>>(), self.owners.clone());
        let subscribed = |stream: Stream| self.members.values().any(|member| member.streams.contains(&stream));
        let mut owners: Vec<Owner> = Vec::new();
        for (stream, partition) in topology.all().filter(|(stream, _)| subscribed(*stream)) {
            let old = self.owners.iter().find(|owner| (owner.stream, owner.partition) == (stream, partition));
            let living = |id: Option<u64>| {
                id.filter(|id| self.members.get(id).is_some_and(|member| member.streams.contains(&stream)))
            };
            let (holder, wanted) = old.map_or((None, None), |old| (living(old.holder), living(old.wanted)));
            owners.push(Owner { stream, partition, holder, wanted });
        }
        Deal { members: &self.members, owners: &mut owners }.run();
        for owner in &mut owners {
            owner.holder = owner.holder.or(owner.wanted);
        }
        self.owners = owners;
        if before != (self.members.keys().copied().collect(), self.owners.clone()) || self.generation < self.last_member
        {
            self.generation = (self.generation + 1).max(self.last_member);
        }
    }
}

/// One deal of the partitions.
struct Deal<'a> {
    members: &'a BTreeMap<u64, Member>,
    owners: &'a mut Vec<Owner>,
}

impl Deal<'_> {
    fn run(&mut self) {
        for index in 0..self.owners.len() {
            if self.owners[index].wanted.is_none() {
                let stream = self.owners[index].stream;
                self.owners[index].wanted =
                    self.eligible(stream).min_by_key(|id| (self.count(*id, Some(stream)), self.count(*id, None), *id));
            }
        }
        // Each move narrows a gap of two or more, so both loops end.
        while let Some((index, to)) = self.uneven_within_a_stream() {
            self.owners[index].wanted = Some(to);
        }
        while let Some((index, to)) = self.uneven_in_total() {
            self.owners[index].wanted = Some(to);
        }
    }

    fn eligible(&self, stream: Stream) -> impl Iterator<Item = u64> + '_ {
        self.members.iter().filter(move |(_, member)| member.streams.contains(&stream)).map(|(id, _)| *id)
    }

    fn count(&self, member: u64, stream: Option<Stream>) -> usize {
        self.owners
            .iter()
            .filter(|owner| owner.wanted == Some(member) && stream.is_none_or(|stream| owner.stream == stream))
            .count()
    }

    fn uneven_within_a_stream(&self) -> Option<(usize, u64)> {
        self.find_move(|deal, from, to, stream| deal.count(from, Some(stream)) > deal.count(to, Some(stream)) + 1)
    }

    fn uneven_in_total(&self) -> Option<(usize, u64)> {
        self.find_move(|deal, from, to, stream| {
            deal.count(from, None) > deal.count(to, None) + 1
                && deal.count(from, Some(stream)) > deal.count(to, Some(stream))
        })
    }

    /// The last partition that may move, so that the first ones stay where they are, and the poorest member that may take it.
    fn find_move(&self, may: impl Fn(&Self, u64, u64, Stream) -> bool) -> Option<(usize, u64)> {
        self.owners.iter().enumerate().rev().find_map(|(index, owner)| {
            let from = owner.wanted?;
            let takers = self.eligible(owner.stream).filter(|to| *to != from && may(self, from, *to, owner.stream));
            takers
                .min_by_key(|to| (self.count(*to, Some(owner.stream)), self.count(*to, None), *to))
                .map(|to| (index, to))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: i64 = 3_000;

    fn join(group: &mut Group, topology: &Topology, name: &str, now: i64) -> u64 {
        match group.step(&Step::Join { name: name.to_owned(), streams: vec![Stream::EventsCall] }, topology, now, LEASE)
        {
            Standing::In { member, .. } => member,
            other => panic!("{other:?}"),
        }
    }

    fn sync(member: u64) -> Step {
        Step::Sync { member, name: String::new() }
    }

    fn release(member: u64, partitions: Vec<Partition>) -> Step {
        Step::Release { member, name: String::new(), partitions }
    }

    fn standing(group: &mut Group, topology: &Topology, member: u64, now: i64) -> (Vec<u32>, Vec<u32>) {
        match group.step(&sync(member), topology, now, LEASE) {
            Standing::In { held, leaving, .. } => {
                (held.iter().map(|p| p.1).collect(), leaving.iter().map(|p| p.1).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_second_member_gets_half_after_the_first_let_go() {
        let topology = Topology::uniform(4);
        let mut group = Group::default();
        let first = join(&mut group, &topology, "a", 0);
        assert_eq!(standing(&mut group, &topology, first, 0), (vec![0, 1, 2, 3], vec![]));
        let second = join(&mut group, &topology, "b", 0);
        assert_eq!(standing(&mut group, &topology, first, 0), (vec![0, 1], vec![2, 3]));
        assert_eq!(standing(&mut group, &topology, second, 0), (vec![], vec![]), "not before the first released them");
        group.step(&release(first, vec![(Stream::EventsCall, 2), (Stream::EventsCall, 3)]), &topology, 0, LEASE);
        assert_eq!(standing(&mut group, &topology, second, 0), (vec![2, 3], vec![]));
        assert!(group.holds(second, (Stream::EventsCall, 2)) && !group.holds(first, (Stream::EventsCall, 2)));
    }

    #[test]
    fn an_expired_member_loses_everything_at_once() {
        let topology = Topology::uniform(2);
        let mut group = Group::default();
        let first = join(&mut group, &topology, "a", 0);
        let second = join(&mut group, &topology, "b", LEASE - 1);
        assert_eq!(standing(&mut group, &topology, second, LEASE), (vec![0, 1], vec![]));
        assert_eq!(group.step(&sync(first), &topology, LEASE, LEASE), Standing::Out);
    }

    #[test]
    fn a_lease_that_ran_out_while_nobody_looked_is_renewed() {
        let topology = Topology::uniform(2);
        let mut group = Group::default();
        let first = join(&mut group, &topology, "a", 0);
        let generation = group.generation();
        group.keep(&[first], &topology, 5 * LEASE, LEASE);
        assert_eq!(standing(&mut group, &topology, first, 9 * LEASE), (vec![0, 1], vec![]));
        assert_eq!(group.generation(), generation, "nothing moved");
    }

    #[test]
    fn the_same_name_takes_the_place_without_waiting() {
        let topology = Topology::uniform(3);
        let mut group = Group::default();
        let old = join(&mut group, &topology, "a", 0);
        let new = join(&mut group, &topology, "a", 1);
        assert_eq!(standing(&mut group, &topology, new, 1), (vec![0, 1, 2], vec![]));
        assert!(!group.contains(old));
        let asked = Step::Sync { member: old, name: "a".to_owned() };
        assert_eq!(
            group.step(&asked, &topology, 1, LEASE),
            Standing::Replaced,
            "it must not come back and take the place again"
        );
    }

    proptest! {
        #[test]
        fn every_partition_has_one_holder_and_the_deal_is_even(
            partitions in 1..20u32,
            steps in proptest::collection::vec((0..3u8, 0..5usize, 0..2_000i64), 1..40),
        ) {
            let topology = Topology::uniform(partitions);
            let mut group = Group::default();
            let (mut now, mut ids, mut generation) = (0, Vec::new(), 0);
            for (what, who, pause) in steps {
                now += pause;
                match what {
                    0 => ids.push(join(&mut group, &topology, &format!("m{who}"), now)),
                    1 if !ids.is_empty() => { group.step(&Step::Leave { member: ids[who % ids.len()] }, &topology, now, LEASE); }
                    _ => {
                        for member in &ids {
                            if let Standing::In { leaving, .. } = group.step(&sync(*member), &topology, now, LEASE) {
                                group.step(&release(*member, leaving), &topology, now, LEASE);
                            }
                        }
                        let counts: Vec<_> = group.members.keys().map(|id| group.owners.iter().filter(|o| o.holder == Some(*id)).count()).collect();
                        if let (Some(most), Some(least)) = (counts.iter().max(), counts.iter().min()) {
                            prop_assert!(most - least <= 1, "{counts:?}");
                            prop_assert_eq!(counts.iter().sum::<usize>(), partitions as usize);
                        }
                    }
                }
                prop_assert!(group.generation() >= generation);
                generation = group.generation();
                prop_assert!(group.owners.iter().all(|owner| owner.holder.is_none_or(|id| group.contains(id))));
            }
        }

        #[test]
        fn several_streams_are_even_each_and_in_total(members in 1..6usize, calls in 1..9u32, agents in 1..5u32) {
            let topology = Topology::uniform(1).with(Stream::EventsCall, calls).with(Stream::EventsAgent, agents);
            let mut group = Group::default();
            for member in 0..members {
                group.step(&Step::Join { name: member.to_string(), streams: Stream::EVENTS.to_vec() }, &topology, 0, LEASE);
            }
            let wanted = |id: u64, stream: Option<Stream>| {
                group.owners.iter().filter(|owner| owner.wanted == Some(id) && stream.is_none_or(|s| s == owner.stream)).count()
            };
            for stream in [None, Some(Stream::EventsCall), Some(Stream::EventsAgent)] {
                let counts: Vec<_> = group.members.keys().map(|id| wanted(*id, stream)).collect();
                prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?} {:?}", stream, counts);
            }
        }
    }
}
