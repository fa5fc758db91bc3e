//! What a member of a group does with the journal over Kafka: it takes its steps in the books, and reads on where it is.

use std::time::Duration;

use async_trait::async_trait;
use service::Clock;
use tokio::sync::watch;

use super::Kafka;
use super::cursor::Most;
use super::ledger::Outcome;
use super::wire::{Pairs, Said};
use crate::consumer::Backend;
use crate::contract::{Batch, Journal as _, Partition, Position};
use crate::group::{Standing, Step};
use crate::{Error, Result, metering};

#[async_trait]
impl Backend for Kafka {
    async fn step(&self, group: &str, step: Step) -> Result<Standing> {
        self.open_still()?;
        if let Step::Sync { member, name } = &step {
            self.board.seen(group, *member, self.options.clock.monotonic());
            self.clerk.heard(group)?;
            let standing = self.clerk.known_club(group, |club| club.map(|club| club.group.look(*member, name)));
            let standing = standing.unwrap_or(Standing::Out);
            if standing == Standing::Out || standing == Standing::Replaced {
                self.board.forget(group, *member);
            }
            return Ok(standing);
        }
        let leaving = if let Step::Leave { member } = &step { Some(*member) } else { None };
        match self.say(group, &Said::Step { group: group.to_owned(), step }, &Pairs::new()).await? {
            Outcome::Standing(standing) => {
                self.board.stepped(group, leaving, &standing, self.options.clock.monotonic());
                Ok(standing)
            }
            other => Err(Error::Storage(format!("the books answered {other:?}"))),
        }
    }

    fn leave(&self, group: &str, member: u64) {
        self.board.forget(group, member);
        let said = Said::Step { group: group.to_owned(), step: Step::Leave { member } };
        // When nothing can be said any more, the lease runs out by itself.
        let _ = self.clerk.mention(self.clerk.partition_of(group), &said);
    }

    fn known_generation(&self, group: &str) -> u64 {
        self.board.generation(group)
    }

    fn may_read(&self, reader: u64, partition: Partition, next: u64) -> bool {
        self.cursors.may_read(reader, partition, next)
    }

    async fn read_on(&self, reader: u64, from: Position, max_records: usize, max_bytes: usize) -> Result<Batch> {
        self.open_still()?;
        let most = Most { records: max_records.max(1), bytes: max_bytes };
        let batch = self.cursors.read_on(reader, from, most).await?;
        metering::read(from.stream, batch.records.len());
        Ok(batch)
    }

    async fn prepare(&self, reader: u64, at: Position) {
        // What is wrong with the place is said to whoever reads there.
        let _ = self.cursors.open(reader, at.partition(), at.offset).await;
    }

    fn let_go(&self, reader: u64, partition: Partition) {
        self.cursors.let_go(reader, partition);
    }

    async fn look(&self, partitions: &[Partition]) -> Result<()> {
        self.ends(partitions).await.map(|_| ())
    }

    fn ticks(&self) -> watch::Receiver<u64> {
        self.board.ticks()
    }

    fn clock(&self) -> &Clock {
        &self.options.clock
    }

    fn sync_every(&self) -> Duration {
        self.options.lease / 3
    }
}
