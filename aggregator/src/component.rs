//! The component: plan, build, run.

use std::sync::Arc;

use async_trait::async_trait;
use journal::Journal;
use service::config::{ConfigFile, Problems};
use service::{Component, Context};
use store::Reports;

use crate::config::Config;
use crate::follow::Follower;

/// The aggregator.
pub struct Aggregator {
    journal: Arc<dyn Journal>,
    store: Arc<dyn Reports>,
    config: Config,
}

impl Aggregator {
    /// An aggregator on a journal and a store that are open already.
    pub fn new(journal: Arc<dyn Journal>, store: Arc<dyn Reports>, config: Config) -> Self {
        Self { journal, store, config }
    }
}

#[async_trait]
impl Component for Aggregator {
    const NAME: &'static str = "aggregator";
    const ABOUT: &'static str = "Folds events into call records, interval rows and live views";
    const OPS_PORT: u16 = 7405;
    type Config = Config;
    type Plan = Config;

    fn plan(config: Config) -> Result<Config, Problems> {
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.or(config)
    }

    async fn build(plan: Config, context: &Context) -> service::Result<Self> {
        let journal = journal::config::of_process(&plan.journal, context).await?;
        let store = store::config::of_process(&plan.store, context).await?;
        Ok(Self::new(journal, store, plan))
    }

    async fn run(self, context: Context) -> service::Result<()> {
        context.health.started();
        let tasks = context.tasks.clone();
        let follower = Follower::new(self.journal, self.store, context, self.config);
        tokio::select! {
            biased;
            outcome = follower.run() => outcome?,
            fault = tasks.faulted() => return Err(fault.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aggregator_is_a_component() {
        service::conformance::component::<Aggregator>();
        service::conformance::reference::<Aggregator>();
    }
}
