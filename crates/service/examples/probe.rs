//! The smallest component: what a new one looks like, and what the tests of this crate run as a real process.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::{Component, ConfigFile, Context, Error, Millis, Problems, Result, Secret};

/// What can be configured.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Between two beats.
    every: Millis,
    /// What to do wrong, and when: the tests of this crate ask for it.
    fault: Fault,
    /// Not used; shows that a secret stays one.
    key: Secret,
}

/// A fault to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Fault {
    /// Behaves.
    None,
    /// Cannot be built.
    Build,
    /// A task of it panics.
    Panic,
    /// Does not finish when asked.
    Stubborn,
    /// Ends by itself, its work done.
    Done,
}

impl Default for Config {
    fn default() -> Self {
        Config { every: Millis::new(50), fault: Fault::None, key: Secret::plain("hunter2") }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        if self.every < Millis::new(10) {
            problems.add("every", self.every, "is too often", "use 10ms or more");
        }
    }
}

struct Probe {
    config: Config,
}

#[async_trait]
impl Component for Probe {
    const NAME: &'static str = "probe";
    const ABOUT: &'static str = "The smallest component";
    const OPS_PORT: u16 = 0;
    type Config = Config;
    type Plan = Config;

    fn plan(config: Config) -> std::result::Result<Config, Problems> {
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.or(config)
    }

    async fn build(plan: Config, _: &Context) -> Result<Self> {
        match plan.fault {
            Fault::Build => Err(Error::dependency("TG0022", "cannot reach what it needs")),
            _ => Ok(Probe { config: plan }),
        }
    }

    async fn run(self, context: Context) -> Result<()> {
        let beats = service::metric::counter("probe_beats_total", &[("instance", &context.instance)]);
        let pulse = context.health.pulse("beat", Duration::from_secs(5));
        let mut every = context.clock.interval(self.config.every.duration());
        match self.config.fault {
            Fault::Panic => drop(context.tasks.spawn("careless", async { panic!("an odd frame") as () })?),
            Fault::Done => return Ok(()),
            Fault::Stubborn => std::future::pending().await,
            Fault::None | Fault::Build => {}
        }
        loop {
            tokio::select! {
                () = context.drain.started() => return Ok(()),
                () = every.tick() => {
                    beats.increment(1);
                    pulse.beat();
                }
            }
        }
    }
}

fn main() -> std::process::ExitCode {
    service::main::<Probe>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_component() {
        service::conformance::component::<Probe>();
    }

    #[tokio::test]
    async fn it_lives_and_stops() {
        let settled = service::Clock::system();
        service::conformance::life::<Probe>("[probe]\nevery = \"10ms\"\n", settled.sleep(Duration::from_millis(50)))
            .await;
    }

    #[tokio::test]
    #[should_panic(expected = "C7: probe is not built")]
    async fn one_that_cannot_be_built_is_told() {
        service::conformance::life::<Probe>("[probe]\nfault = \"build\"\n", async {}).await;
    }
}
