//! Whose turn it is to write what a source says: of all collectors that run it, the member of the source's group that holds one partition.
//!
//! The group is the one that keeps the source's state, so that the journal itself refuses whoever was thought dead: a write that carries
//! the membership counts only while the partition is held.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::{
    Class, Commit, Consumer, Delivery, Error, Generation, Journal, Position, Result, Start, Stream, Subscription,
};
use service::Clock;
use tokio::sync::watch;

use crate::chunks::Chunk;

/// What is held: as by consoles and gates, the first partition of a stream in which little happens.
const PLACE: (Stream, u32) = (Stream::Control, 0);
/// How long a member waits in its own loop before it looks around.
const POLL: Duration = Duration::from_millis(500);
/// How long to wait before joining again after the journal failed.
const AGAIN: Duration = Duration::from_secs(1);
/// The same, when another collector has our name: both would go on taking the place from each other.
const NAMESAKE_AGAIN: Duration = Duration::from_secs(30);
/// How long leaving may take before the lease is left to run out.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Where a collector stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Standing {
    /// It is a member.
    joined: bool,
    /// It is its turn: its proof, and how far the place was read.
    proof: Option<(Generation, u64)>,
    /// Another collector took its place under the same name.
    namesake: bool,
}

/// Whether to take part, and how soon.
type Wants = watch::Sender<Option<Duration>>;

/// The runner's side: wants to take part, and writes while it is its turn.
pub(crate) struct Turn {
    journal: Arc<dyn Journal>,
    clock: Clock,
    group: String,
    wants: Wants,
    standing: watch::Receiver<Standing>,
}

/// The member's side: keeps the membership, beside whatever the runner is doing.
pub(crate) struct Membership {
    journal: Arc<dyn Journal>,
    clock: Clock,
    subscription: Subscription,
    wants: watch::Receiver<Option<Duration>>,
    standing: watch::Sender<Standing>,
}

/// Both sides of a collector's part in the group of a source.
pub(crate) fn of(journal: Arc<dyn Journal>, clock: Clock, group: &str, member: &str) -> (Turn, Membership) {
    let (wants, wanted) = watch::channel(None);
    let (tell, standing) = watch::channel(Standing::default());
    let subscription = Subscription::new(group, member, [Stream::Control]).start(Start::Latest).poll(POLL);
    let membership =
        Membership { journal: Arc::clone(&journal), clock: clock.clone(), subscription, wants: wanted, standing: tell };
    (Turn { journal, clock, group: group.to_owned(), wants, standing }, membership)
}

impl Turn {
    /// Takes part from now on.
    pub(crate) fn join(&self) {
        self.within(Duration::ZERO);
    }

    /// The same, but not at once: something is wrong.
    pub(crate) fn join_later(&self) {
        self.within(AGAIN);
    }

    fn within(&self, wait: Duration) {
        self.wants.send_if_modified(|wants| {
            let new = wants.is_none();
            wants.get_or_insert(wait);
            new
        });
    }

    /// Whether it is our turn, as far as we know; a write finds out.
    pub(crate) fn is_ours(&self) -> bool {
        self.standing.borrow().proof.is_some()
    }

    /// Whether another collector took our place under our name.
    pub(crate) fn has_namesake(&self) -> bool {
        self.standing.borrow().namesake
    }

    /// Waits until something changes. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            // The member is gone, and with it this source, in a moment.
            std::future::pending::<()>().await;
        }
    }

    /// Leaves, so that another collector takes over at once.
    pub(crate) async fn leave(&mut self) {
        self.wants.send_replace(None);
        let left = async { _ = self.standing.wait_for(|standing| !standing.joined).await };
        let _ = self.clock.timeout(LEAVE_WITHIN, left).await; // else the lease runs out
    }

    /// Writes if it is our turn.
    pub(crate) async fn write(&self, chunk: &Chunk) -> Result<()> {
        let Some((fence, read)) = self.standing.borrow().proof else {
            return Err(Error::Fenced { group: self.group.clone(), member: 0, what: "its turn".to_owned() });
        };
        let positions = vec![Position::new(PLACE.0, PLACE.1, read)];
        let (entries, state) = (chunk.entries.clone(), chunk.state.clone());
        let commit = Commit { entries, group: self.group.clone(), positions, state, fence: Some(fence) };
        self.journal.append_and_commit(commit).await.map(drop)
    }

    /// What is kept under a key of the source's state.
    pub(crate) async fn kept(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let kept = self.journal.state(&self.group, key).await?;
        Ok(kept.into_iter().find(|(of, _)| of.as_ref() == key).map(|(_, value)| value))
    }
}

impl Membership {
    /// Takes part whenever it is wanted. Ends only when the journal cannot be used any more.
    pub(crate) async fn keep(mut self) -> Error {
        loop {
            let wished = self.wants.wait_for(Option::is_some).await.map(|wish| wish.unwrap_or_default());
            let Ok(wait) = wished else {
                return std::future::pending().await; // whoever wanted it has ended
            };
            self.clock.sleep(wait).await;
            let error = match self.journal.subscribe(self.subscription.clone()).await {
                Ok(consumer) => match self.member(consumer).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let namesake = matches!(error, Error::Fenced { .. });
            if !namesake && error.class() != Class::Transient {
                return error;
            }
            self.standing.send_replace(Standing { namesake, ..Standing::default() });
            tracing::warn!(%error, group = self.subscription.group, "no longer takes part in this source; joining again");
            self.clock.sleep(if namesake { NAMESAKE_AGAIN } else { AGAIN }).await;
        }
    }

    /// One membership, until it is not wanted any more.
    async fn member(&mut self, mut consumer: Box<dyn Consumer>) -> Result<()> {
        self.standing.send_replace(Standing { joined: true, ..Standing::default() });
        loop {
            let delivery = tokio::select! {
                biased;
                () = unwanted(&mut self.wants) => {
                    self.standing.send_modify(|standing| standing.proof = None);
                    let left = consumer.close().await;
                    self.standing.send_replace(Standing::default());
                    return left;
                }
                delivery = consumer.next() => delivery,
            };
            match delivery {
                Ok(Delivery::Assigned(places)) if places.contains(&PLACE) => {
                    let read = self.journal.end(PLACE.0, PLACE.1).await?;
                    let proof = Some((consumer.generation(), read));
                    self.standing.send_modify(|standing| standing.proof = proof);
                }
                Ok(Delivery::Revoked(places)) if places.contains(&PLACE) => {
                    self.standing.send_modify(|standing| standing.proof = None);
                }
                // Others read the records; here they only say how far a commit may name.
                Ok(Delivery::Batch(batch)) if (batch.stream, batch.partition) == PLACE => {
                    self.standing.send_if_modified(|standing| {
                        if let Some((_, read)) = &mut standing.proof {
                            *read = batch.next.max(*read);
                        }
                        false // nobody need wake for that
                    });
                }
                Ok(_) => {}
                Err(Error::Damaged { stream, partition, offset, .. }) => {
                    consumer.seek(Position::new(stream, partition, offset + 1)).await?;
                }
                Err(Error::Truncated { stream, partition, earliest, .. }) => {
                    consumer.seek(Position::new(stream, partition, earliest)).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits until nobody wants to take part any more.
async fn unwanted(wants: &mut watch::Receiver<Option<Duration>>) {
    let _ = wants.wait_for(Option::is_none).await; // or nobody is there to want anything
}
