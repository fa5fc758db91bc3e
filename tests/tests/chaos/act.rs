//! What may happen: who or what goes away, how, and for how long. Drawn from a seed; every kind comes in every deck.

use anyhow::{Context as _, Result};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tidegate_tests::fleet::{Doing, Order};
use tidegate_tests::life::Dice;
use tidegate_tests::stores::Stop;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::owners::Owners;
use super::world::{World, lock};

/// How a server is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is asked to finish.
    Asked,
    /// It is killed.
    Killed,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// kill -9; its supervisor starts it again.
    Kill(String),
    /// kill -9, and it is missing for a while.
    Lose(String, Duration),
    /// It stands still for longer than its lease, and goes on as if nothing had been.
    Pause(String, Duration),
    /// All of a program come and go in quick succession, some asked, some killed.
    Storm(&'static str, u64),
    /// A broker, counted from 1.
    Broker(usize, How, Duration),
    /// Redis is stopped.
    Redis(Duration),
    /// PostgreSQL is stopped.
    Postgres(How, Duration),
}

/// Processes die so.
pub const KILLED: &str = "killed, started again at once";
pub const LOST: &str = "killed, and gone for longer than its lease";
pub const PAUSED: &str = "stopped (SIGSTOP) for longer than its lease";

impl Act {
    /// What it is called in a finding.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "processes killed and started again",
            Self::Lose(..) => "processes killed and missing for a while",
            Self::Pause(..) => "processes stopped (SIGSTOP) for longer than their lease",
            Self::Storm(..) => "rebalance storms",
            Self::Broker(_, How::Killed, _) => "brokers killed",
            Self::Broker(_, How::Asked, _) => "brokers stopped",
            Self::Redis(_) => "stops of Redis",
            Self::Postgres(..) => "stops of PostgreSQL",
        }
    }

    /// What nobody else may touch meanwhile.
    pub fn claims(&self) -> Vec<String> {
        match self {
            Self::Kill(name) | Self::Lose(name, _) | Self::Pause(name, _) => vec![name.clone()],
            Self::Storm(program, _) => (1..10).map(|number| format!("{program}-{number}")).collect(),
            // Two of three are enough, and no more are missing at once.
            Self::Broker(..) => vec!["brokers".to_owned()],
            Self::Redis(_) => vec!["redis".to_owned()],
            Self::Postgres(..) => vec!["postgresql".to_owned()],
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Longer than the lease of 3 s.
fn beyond_the_lease(dice: &mut Dice) -> Duration {
    Duration::from_millis(4_000 + dice.below(4_000))
}

fn any(dice: &mut Dice, program: &str, count: u64) -> String {
    format!("{program}-{}", 1 + dice.below(count))
}

/// One of each kind, in any order, the collector first: after that the centre is watched without a break.
pub fn deck(dice: &mut Dice) -> Vec<Act> {
    let a_while = |dice: &mut Dice| Duration::from_millis(1_000 + dice.below(5_000));
    let how = |dice: &mut Dice| if dice.once_in(2) { How::Asked } else { How::Killed };
    let any_way = |dice: &mut Dice, name: String| match dice.below(3) {
        0 => Act::Kill(name),
        1 => Act::Lose(name, beyond_the_lease(dice)),
        _ => Act::Pause(name, beyond_the_lease(dice)),
    };
    let (receiver, pusher, console) = (any(dice, "receiver", 2), any(dice, "pusher", 2), any(dice, "console", 2));
    let mut deck = vec![
        Act::Kill(any(dice, "aggregator", 3)),
        Act::Lose(any(dice, "aggregator", 3), beyond_the_lease(dice)),
        Act::Pause(any(dice, "aggregator", 3), beyond_the_lease(dice)),
        Act::Storm(if dice.once_in(2) { "aggregator" } else { "receiver" }, dice.roll()),
        any_way(dice, receiver),
        any_way(dice, pusher),
        any_way(dice, console),
        any_way(dice, "cti-1".to_owned()),
        Act::Broker(1 + dice.below(3) as usize, how(dice), a_while(dice)),
        Act::Redis(a_while(dice)),
        Act::Postgres(how(dice), a_while(dice)),
    ];
    for last in (1..deck.len()).rev() {
        deck.swap(last, dice.below(last as u64 + 1) as usize);
    }
    deck.insert(0, Act::Kill("collector-1".to_owned()));
    deck
}

impl World {
    /// Lets it happen, and makes it good again.
    pub async fn suffer(&self, act: &Act, owners: &Owners) -> Result<()> {
        let told = || format!("{act}");
        match act {
            Act::Kill(name) => {
                owners.struck(name, KILLED);
                self.fleet.one(name)?.order(Order::Kill).await
            }
            Act::Lose(name, gone) => {
                owners.struck(name, LOST);
                self.fleet.one(name)?.order(Order::Lose).await?;
                sleep(*gone).await;
                self.fleet.one(name)?.order(Order::Start).await
            }
            Act::Pause(name, still) => self.paused(name, *still, owners).await,
            Act::Storm(program, seed) => self.storm(program, Dice(*seed)).await,
            Act::Broker(node, how, gone) => self.without_broker(*node, *how, *gone).await,
            Act::Redis(gone) => {
                let redis = Arc::clone(&self.redis);
                spawn_blocking(move || lock(&redis).stop()).await??;
                sleep(*gone).await;
                let redis = Arc::clone(&self.redis);
                spawn_blocking(move || lock(&redis).start_again()).await?
            }
            Act::Postgres(how, gone) => {
                let (postgres, how) =
                    (Arc::clone(&self.postgres), if *how == How::Asked { Stop::Fast } else { Stop::Immediate });
                spawn_blocking(move || lock(&postgres).stop(how)).await??;
                sleep(*gone).await;
                let postgres = Arc::clone(&self.postgres);
                spawn_blocking(move || lock(&postgres).start_again()).await?
            }
        }
        .with_context(told)
    }

    async fn paused(&self, name: &str, still: Duration, owners: &Owners) -> Result<()> {
        let instance = self.fleet.one(name)?;
        // It may just have ended because what it needs is away.
        if instance.order(Order::Pause).await.is_err() {
            return Ok(());
        }
        owners.struck(name, PAUSED);
        sleep(still).await;
        if instance.state().doing == Doing::Paused {
            instance.order(Order::Resume).await?;
        }
        Ok(())
    }

    async fn storm(&self, program: &str, mut dice: Dice) -> Result<()> {
        for _ in 0..2 {
            for instance in self.fleet.of(program) {
                let order = if dice.once_in(2) { Order::Stop } else { Order::Lose };
                // One that is just starting, or ends because what it needs is away, does not end as it was asked to.
                let _ = instance.order(order).await;
                sleep(Duration::from_millis(dice.below(600))).await;
                instance.order(Order::Start).await?;
                sleep(Duration::from_millis(dice.below(900))).await;
            }
        }
        Ok(())
    }

    async fn without_broker(&self, node: usize, how: How, gone: Duration) -> Result<()> {
        let brokers = Arc::clone(&self.brokers);
        let end = move || if how == How::Killed { brokers.kill(node) } else { brokers.stop(node) };
        spawn_blocking(end).await??;
        sleep(gone).await;
        let brokers = Arc::clone(&self.brokers);
        spawn_blocking(move || brokers.up()).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_deals_the_same_deck_and_another_one_another() {
        assert_eq!(deck(&mut Dice(1)), deck(&mut Dice(1)));
        assert_ne!(deck(&mut Dice(1)), deck(&mut Dice(2)));
    }
}
