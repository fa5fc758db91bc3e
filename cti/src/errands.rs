//! What a gate does beside answering: tells chat platforms of those who are led to them, and calls back who was promised it.

use std::sync::Arc;
use std::time::Duration;

use journal::Journal;
use model::TargetId;
use service::Context;
use tokio::sync::mpsc;

use crate::callbacks::{Follow, Maker};
use crate::config::Config;
use crate::gate::Gate;
use crate::webhook::{Client, Courier, HandOver, Webhook, Webhooks};

/// How long the maker of calls may be busy before the process is not alive any more.
const PULSE_MAX: Duration = Duration::from_secs(120);

/// The way to a chat platform, ready to be walked.
struct Way {
    target: TargetId,
    webhook: Webhook,
    client: Client,
    end: mpsc::Receiver<HandOver>,
}

/// What is to be started when the journal is there.
pub(crate) struct Errands {
    ways: Vec<Way>,
}

impl Errands {
    /// The errands of a configuration, and the near ends of the ways to platforms.
    ///
    /// # Errors
    /// TG0340: a secret or the certificates of this machine cannot be read.
    pub(crate) fn new(config: &Config, context: &Context) -> service::Result<(Errands, Webhooks)> {
        let (webhooks, ends) = Webhooks::new(&config.webhooks);
        let mut ways = Vec::with_capacity(ends.len());
        for (target, end) in ends {
            let Some(webhook) = config.webhooks.get(&target).cloned() else { continue };
            let client = Client::new(&webhook, context.clock.clone()).map_err(|why| {
                service::Error::config("TG0340", format!("cti.webhooks.{target} cannot be used: {why}"))
            })?;
            ways.push(Way { target, webhook, client, end });
        }
        Ok((Errands { ways }, webhooks))
    }

    /// Starts them.
    pub(crate) fn start(
        self,
        journal: &Arc<dyn Journal>,
        gate: &Arc<Gate>,
        config: &Config,
        context: &Context,
    ) -> service::Result<()> {
        for way in self.ways {
            let name = format!("webhook {}", way.target);
            let courier = Courier {
                tasks: context.tasks.group(&name, way.webhook.at_once),
                target: way.target,
                webhook: way.webhook,
                client: way.client,
                gate: Arc::clone(gate),
                journal: Arc::clone(journal),
                instance: context.instance.clone(),
                clock: context.clock.clone(),
                drain: context.drain.clone(),
                seeds: context.seeds.child(&name),
            };
            context.tasks.spawn(name, courier.run(way.end))?;
        }
        let heard = Follow {
            journal: Arc::clone(journal),
            gate: Arc::clone(gate),
            clock: context.clock.clone(),
            drain: context.drain.clone(),
            health: context.health.check("callers who call again"),
        };
        context.tasks.spawn("callers who call again", heard.run())?;
        if config.ami.is_empty() {
            return Ok(()); // nobody to dial by, and nobody who keeps promises for us
        }
        let maker = Maker {
            journal: Arc::clone(journal),
            gate: Arc::clone(gate),
            config: config.callbacks.clone(),
            pbxs: config.ami.clone(),
            context: context.clone(),
            // a fetch of each phone system stands beside the calls
            tasks: context.tasks.group("callbacks", config.callbacks.at_once + config.ami.len()),
            health: context.health.check("callbacks"),
            pulse: context.health.pulse("callbacks", PULSE_MAX),
        };
        context.tasks.spawn("callbacks", maker.run())?;
        Ok(())
    }
}
