//! `tidegate up`: every component in one process, on the embedded journal.

use std::sync::Arc;

use aggregator::Aggregator;
use collector::Collector;
use console::Console;
use cti::Cti;
use pusher::Pusher;
use receiver::Receiver;
use service::{Clock, Error, Host, Result};
use simulator::Simulator;

use crate::cli::Up;
use crate::data;
use crate::simulated;
use crate::tree::Tree;

pub(crate) async fn run(args: Up) -> Result<()> {
    // What the operator says alone, to see what is missing.
    let said = Tree::read(args.config.clone(), Vec::new(), args.set.clone());
    let simulated = args.asterisk.is_none() && !said.has_sources();
    let mut base = settings(&args)?;
    if simulated {
        base.extend(simulated::settings(&said.simulator()));
    }
    let mut tree = Tree::read(args.config.clone(), base, args.set.clone());
    let collector = tree.plan::<Collector>();
    let receiver = tree.plan::<Receiver>();
    let aggregator = tree.plan::<Aggregator>();
    let pusher = tree.plan::<Pusher>();
    let console = tree.plan::<Console>();
    let cti = tree.plan::<Cti>();
    let simulator = if simulated { Some(tree.plan::<Simulator>()) } else { None };
    if args.print_config {
        print!("{}", tree.print());
    }
    tree.verdict()?;
    if args.check {
        println!("the configuration is fine");
    }
    if args.check || args.print_config {
        return Ok(());
    }
    let unplanned = || Error::bug("a component has no plan and no problem");
    let clock = Clock::system();
    let mut host = Host::new(tree.process.clone(), clock.clone(), tree.process.seeds());
    let opened = data::open_parts(&tree.journal, &tree.store, &clock).await?;
    let directory = data::learn(&opened.store, tree.directory.clone()).await?;
    host.provide(Arc::new(directory));
    host.provide(Arc::clone(&opened.journal));
    host.provide(Arc::clone(&opened.store));
    host.provide(tree.live.clone());
    if let Some(plan) = simulator {
        host.build::<Simulator>(plan.ok_or_else(unplanned)?).await?;
    }
    host.build::<Collector>(collector.ok_or_else(unplanned)?).await?;
    host.build::<Receiver>(receiver.ok_or_else(unplanned)?).await?;
    host.build::<Aggregator>(aggregator.ok_or_else(unplanned)?).await?;
    host.build::<Pusher>(pusher.ok_or_else(unplanned)?).await?;
    host.build::<Console>(console.ok_or_else(unplanned)?).await?;
    host.build::<Cti>(cti.ok_or_else(unplanned)?).await?;
    let (keeper, journal, upkeep) = (host.context("journal"), Arc::clone(&opened.journal), tree.journal.clone());
    let drain = keeper.drain.clone();
    let sweep_clock = clock.clone();
    host.add(
        keeper,
        async move { journal::upkeep::run(journal, upkeep, sweep_clock, drain).await.map_err(Error::from) },
    );
    announce(&tree, simulated);
    let outcome = host.run().await;
    let closed = opened.journal.close().await.map_err(Error::from);
    outcome.and(closed)
}

/// Flags as settings; file, environment and --set come later and win.
fn settings(args: &Up) -> Result<Vec<String>> {
    let dir = args.data.data.display();
    let mut set = vec![format!("journal.path={dir}/journal.db"), format!("store.path={dir}/store.db")];
    if let Some(address) = &args.asterisk {
        let Some((host, port)) = address.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) else {
            let message =
                format!("--asterisk {address:?} is no HOST:PORT; the port of the manager interface is usually 5038");
            return Err(Error::usage("TG0305", message));
        };
        let source = format!("collector.sources.{}", args.asterisk_name);
        set.push(format!("{source}.kind=asterisk"));
        set.push(format!("{source}.config.host={host}"));
        set.push(format!("{source}.config.port={port}"));
        set.push(format!("{source}.config.username={}", args.asterisk_user));
        set.push(format!("{source}.config.secret={}", args.asterisk_secret));
    }
    Ok(set)
}

fn announce(tree: &Tree, simulated: bool) {
    let address = tree.pusher_address();
    println!();
    println!("  Wallboard   http://{address}/");
    println!("  API         http://{address}/v1/openapi.json");
    if simulated {
        let control = tree.simulator().control.listen.address;
        println!("  Simulator   http://{control}/v1/state   (no source is configured: a simulated call centre plays)");
    }
    println!("  Control     http://{}/v1/plans", tree.console_address());
    println!("  Health      http://{}/readyz", tree.process.ops.address);
    println!("  Stop        Ctrl-C");
    println!();
}
