//! The command line of a thin binary.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use crate::config::{self, Layers, Origin, Sources};
use crate::process::Process;
use crate::{Clock, Component, Error, Host, Problems, Result, telemetry};

/// The whole of a thin binary's `main`: reads flags and configuration, runs the component, and turns the outcome into an
/// exit code (0 · 64 usage · 78 configuration · 69 dependency · 70 bug).
///
/// ```no_run
/// # struct Collector;
/// # use service::{Context, ConfigFile, Problems};
/// # #[derive(Default, Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)] struct Config {}
/// # impl ConfigFile for Config {}
/// # #[async_trait::async_trait] impl service::Component for Collector {
/// #   const NAME: &'static str = "collector"; const ABOUT: &'static str = ""; const OPS_PORT: u16 = 7402;
/// #   type Config = Config; type Plan = ();
/// #   fn plan(_: Config) -> Result<(), Problems> { Ok(()) }
/// #   async fn build(_: (), _: &Context) -> service::Result<Self> { Ok(Collector) }
/// #   async fn run(self, _: Context) -> service::Result<()> { Ok(()) }
/// # }
/// fn main() -> std::process::ExitCode {
///     service::main::<Collector>()
/// }
/// ```
pub fn main<C: Component>() -> ExitCode {
    let matches = match command::<C>().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            // --help and --version are not mistakes.
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    exit(C::NAME, run::<C>(&matches))
}

/// Turns an outcome into an exit code, and says on standard error what went wrong. For `main`s written by hand.
pub fn exit(name: &str, outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {}", error.chain());
            eprintln!("{name}: what to do: docs/errors/{}.md", error.code());
            ExitCode::from(error.class().exit())
        }
    }
}

fn command<C: Component>() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    Command::new(C::NAME)
        .about(C::ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .arg(
            Arg::new("config")
                .long("config")
                .short('c')
                .value_name("FILE")
                .help("The TOML configuration")
                .value_parser(clap::value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help("Sets one key, after file and environment: --set process.drain=5s"),
        )
        .arg(flag("check", "Checks the configuration, tells every problem, starts nothing"))
        .arg(flag("print-config", "Prints the effective configuration with the origin of each value"))
        .arg(flag("schema", "Prints the JSON Schema of the configuration"))
        .arg(Arg::new("log-format").long("log-format").value_parser(["text", "json"]).help("How log lines are written"))
}

fn run<C: Component>(matches: &ArgMatches) -> Result<()> {
    if matches.get_flag("schema") {
        println!("{:#}", schema::<C>());
        return Ok(());
    }
    let file = matches.get_one::<PathBuf>("config").cloned();
    let mut set: Vec<String> = matches.get_many::<String>("set").into_iter().flatten().cloned().collect();
    set.extend(matches.get_one::<String>("log-format").map(|format| format!("process.log.format={format}")));
    let layers = Layers::read(&Sources::of_process(file, set));
    let loaded = load::<C>(&layers);
    if matches.get_flag("print-config") {
        // Also with problems: seeing where a value comes from is how one finds them.
        print!("{}", printed::<C>(&layers, &loaded));
        return loaded.plan.map(drop).map_err(Error::from);
    }
    let plan = loaded.plan?;
    if matches.get_flag("check") {
        println!("{}: the configuration is fine", C::NAME);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::dependency("TG0022", "cannot start the runtime").caused_by(error))?;
    let process = loaded.process;
    let outcome = runtime.block_on(async {
        let seeds = process.seeds();
        let mut host = Host::new(process, Clock::system(), seeds);
        telemetry::panics_to_log();
        host.build::<C>(plan).await?;
        host.run().await
    });
    // Blocking work that ignored the drain must not keep the process alive.
    runtime.shutdown_background();
    outcome
}

/// The configuration of a process of one component.
pub(crate) struct Configured<C: Component> {
    pub(crate) process: Process,
    pub(crate) config: C::Config,
    pub(crate) plan: std::result::Result<C::Plan, Problems>,
}

pub(crate) fn load<C: Component>(layers: &Layers) -> Configured<C> {
    let mut problems = layers.problems(&[C::NAME]);
    let mut process = layers.section::<Process>("process");
    if layers.origin("process.ops.address") == Origin::Default {
        process.config.ops.address.set_port(C::OPS_PORT);
    }
    problems.extend("", process.problems);
    let loaded = layers.section::<C::Config>(C::NAME);
    problems.extend("", loaded.problems);
    let plan = match C::plan(loaded.config.clone()) {
        Ok(plan) => Some(plan),
        Err(more) => {
            // The plan repeats the check of the values; what is known already is not told twice.
            problems.extend(C::NAME, more);
            None
        }
    };
    let plan = match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        _ => {
            layers.locate(&mut problems);
            Err(problems)
        }
    };
    Configured { process: process.config, config: loaded.config, plan }
}

pub(crate) fn printed<C: Component>(layers: &Layers, loaded: &Configured<C>) -> String {
    let value = |value: serde_json::Result<Value>| value.unwrap_or(Value::Null);
    let process = value(serde_json::to_value(&loaded.process));
    let config = value(serde_json::to_value(&loaded.config));
    config::print(layers, &[("process", process), (C::NAME, config)])
}

pub(crate) fn schema<C: Component>() -> Value {
    config::schema(C::NAME, &[("process", config::schema_of::<Process>()), (C::NAME, config::schema_of::<C::Config>())])
}
