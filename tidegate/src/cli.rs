//! What can be typed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use service::{Error, Result};

use crate::{control, drill, hardphone, import, preview, quarantine, rebuild, report, token, topics, up};

/// A call-traffic middle platform: collects what phone systems say, keeps one stream of events, folds it into figures.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every component in this process, on the embedded journal.
    Up(Up),
    /// Import recorded calls into a data directory; no server needed.
    Import(Import),
    /// Print interval rows, agents or calls of a data directory; the same rows as over HTTP.
    Report(Report),
    /// Play recorded traffic again under other thresholds, and compare; changes nothing.
    Preview(Preview),
    /// Replay the journal from its first event into a new store, and compare it with the old one.
    Rebuild(Rebuild),
    /// List, replay or drop what the receiver set aside.
    Quarantine(Quarantine),
    /// Read everything in a data directory, journal and store, and name all that is damaged.
    Verify(Data),
    /// Judge what was decided: whether a record was changed, removed or moved since it was sealed.
    #[command(subcommand)]
    Audit(Audit),
    /// Judge thresholds before they are set.
    #[command(subcommand)]
    Thresholds(Thresholds),
    /// Show which desk phones ring for which queue, compare it with the phone systems, and try it with a test call for each queue.
    Drill(Drill),
    /// Order queues to their desk phones for a time, or back; needs no console.
    #[command(subcommand)]
    HardPhones(Switch),
    /// Make the topics of a journal over Kafka, or compare them with their definition.
    Topics(Topics),
    /// Make an API token: prints it once, and the line for the configuration.
    Token(Token),
}

/// `tidegate topics`.
#[derive(Debug, Args)]
pub(crate) struct Topics {
    /// Make those that are missing, then compare.
    #[arg(long, required_unless_present = "check")]
    pub(crate) create: bool,
    /// Compare only.
    #[arg(long, conflicts_with = "create")]
    pub(crate) check: bool,
    /// Copies of each partition, where the brokers are fewer than the definition wants.
    #[arg(long, value_name = "N", requires = "create")]
    pub(crate) replication: Option<u32>,
    /// The TOML configuration; of it the tables [journal] and [journal.kafka].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key, after file and environment: --set journal.kafka.brokers=127.0.0.1:9092
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// `tidegate audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Read all records of `control` and their seals, from a data directory or an exported file.
    Verify(Verify),
}

/// `tidegate audit verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) data: Data,
    /// An exported file (GET /v1/audit/export) instead of a data directory.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub(crate) export: Option<PathBuf>,
    /// The hash of everything as it was noted elsewhere: notices a cut end, too.
    #[arg(long, value_name = "HEX")]
    pub(crate) hash: Option<String>,
}

/// `tidegate thresholds`.
#[derive(Debug, Subcommand)]
pub(crate) enum Thresholds {
    /// Tell everything that is wrong with a file of thresholds (docs/spec/control.md); changes nothing.
    Check {
        /// TOML, or JSON where the name ends in .json: a table `queues`, thresholds by queue.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Also whether the queues and targets are there that it names.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

/// Where the data is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Data {
    /// The data directory: journal.db and store.db.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data: PathBuf,
    /// A configuration whose table [store] says where reports and checkpoints are instead of DIR/store.db.
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
}

/// `tidegate up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) data: Data,
    /// The TOML configuration.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key, after file and environment: --set pusher.listen.address=127.0.0.1:7500
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Watch a real Asterisk by its manager interface (AMI) instead of the simulator.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) asterisk: Option<String>,
    /// The AMI user.
    #[arg(long, value_name = "NAME", default_value = "tidegate", requires = "asterisk")]
    pub(crate) asterisk_user: String,
    /// The AMI secret, by reference: env:NAME or file:PATH.
    #[arg(long, value_name = "REF", default_value = "env:TIDEGATE_ASTERISK_SECRET", requires = "asterisk")]
    pub(crate) asterisk_secret: String,
    /// The name of that PBX in every event.
    #[arg(long, value_name = "NAME", default_value = "pbx1", requires = "asterisk")]
    pub(crate) asterisk_name: String,
    /// Check the configuration, tell every problem, start nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the effective configuration with the origin of each value.
    #[arg(long)]
    pub(crate) print_config: bool,
}

/// `tidegate import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// What the files are.
    pub(crate) kind: Kind,
    /// What the table's columns mean, which source and tenant the calls belong to (see deploy/config).
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) data: Data,
    /// How fast: `max`, `real`, or so many times real time: `60x`.
    #[arg(long, value_name = "SPEED", default_value = "max")]
    pub(crate) speed: String,
    /// The files; `.gz` is unpacked.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// A recording that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A table of calls, one row a call.
    CallsCsv,
    /// Asterisk's queue_log.
    QueueLog,
    /// Envelopes, one JSON object a line.
    Replay,
}

/// `tidegate report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    #[command(subcommand)]
    pub(crate) what: What,
}

#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// One row per interval and queue (or agent, team, …).
    Intervals(Intervals),
    /// One row per agent.
    Agents(Agents),
    /// One row per call.
    Calls(Calls),
}

/// What every report asks.
#[derive(Debug, Clone, Args)]
pub(crate) struct Range {
    #[command(flatten)]
    pub(crate) data: Data,
    /// From here on: 2026-11-21, 2026-11-21T08:00 (in the tenant's zone) or RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// Up to here, exclusive.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    pub(crate) format: Format,
    /// The tenant, where the data has more than one.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    /// Another time zone than the tenant's (IANA name).
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// Only these (repeat or separate by commas): queues, agents, …
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) id: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Intervals {
    #[command(flatten)]
    pub(crate) range: Range,
    /// 1m, 5m, 15m, 30m, 1h, 1d, or all for one row.
    #[arg(long, value_name = "INTERVAL", default_value = "30m")]
    pub(crate) interval: String,
    /// queue, agent, device, team, source, trunk, ivr or tenant.
    #[arg(long, value_name = "WHAT", default_value = "queue")]
    pub(crate) by: String,
    /// The service-level policy (tidegate's dictionary lists them).
    #[arg(long, value_name = "ID", default_value = "of_offered")]
    pub(crate) policy: String,
    /// The service-level threshold, such as 20s. Not given: each queue's own.
    #[arg(long, value_name = "DURATION")]
    pub(crate) threshold: Option<String>,
    /// Put every outcome into the interval of the offer.
    #[arg(long)]
    pub(crate) cohort: bool,
    /// Print empty intervals too.
    #[arg(long)]
    pub(crate) fill: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Agents {
    #[command(flatten)]
    pub(crate) range: Range,
    /// 15m, 30m, 1h, 1d, or all for one row per agent.
    #[arg(long, value_name = "INTERVAL", default_value = "all")]
    pub(crate) interval: String,
    /// Put every outcome into the interval of the offer.
    #[arg(long)]
    pub(crate) cohort: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Calls {
    #[command(flatten)]
    pub(crate) range: Range,
    /// Only calls of this queue.
    #[arg(long, value_name = "ID")]
    pub(crate) queue: Option<String>,
    /// Only calls of this agent.
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated, with a header line.
    Csv,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
}

/// `tidegate preview`.
#[derive(Debug, Args)]
pub(crate) struct Preview {
    #[command(flatten)]
    pub(crate) data: Data,
    /// The traffic from here on: 2026-11-21, 2026-11-21T08:00 (in the tenant's zone) or RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// Up to here, exclusive; at most 62 days later.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,
    /// The tenant, where the data has more than one.
    #[arg(long, value_name = "ID")]
    pub(crate) tenant: Option<String>,
    /// Tell only these queues one by one (repeat or separate by commas); all of them are played.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) queue: Vec<String>,
    /// What shall be tried: thresholds by queue and targets, TOML or JSON (docs/reference/preview.md).
    #[arg(long, value_name = "FILE")]
    pub(crate) thresholds: PathBuf,
    /// What it is compared with. Not given: the thresholds in force; without any, everybody enters.
    #[arg(long, value_name = "FILE")]
    pub(crate) current: Option<PathBuf>,
    /// The first seed of what is drawn.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many seeds are played, 1 to 100.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) seeds: u32,
    /// How old the controller's figures are.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) age: std::time::Duration,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Shown::Table)]
    pub(crate) format: Shown,
}

/// How a preview is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shown {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
}

/// `tidegate drill`.
#[derive(Debug, Args)]
pub(crate) struct Drill {
    #[command(flatten)]
    pub(crate) data: Data,
    /// The TOML configuration: its [cti.ami] says which phone systems there are.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key, after file and environment.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Only these queues (repeat or separate by commas).
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) queue: Vec<String>,
    /// Only compare; call nobody.
    #[arg(long)]
    pub(crate) check: bool,
    /// As with a gate that does not answer, instead of the operator's switch.
    #[arg(long)]
    pub(crate) silent: bool,
    /// A phone must ring within this.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = drill::span)]
    pub(crate) within: std::time::Duration,
    /// For how long phones ring before the test call is hung up.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = drill::span)]
    pub(crate) ring: std::time::Duration,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Shown::Table)]
    pub(crate) format: Shown,
}

/// `tidegate hard-phones`.
#[derive(Debug, Subcommand)]
pub(crate) enum Switch {
    /// From now on desk phones ring.
    On {
        #[command(flatten)]
        order: Ordered,
        /// For how long.
        #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
        duration: std::time::Duration,
    },
    /// Ends such orders; the level then goes down one at a time.
    Off {
        #[command(flatten)]
        order: Ordered,
    },
}

/// Who orders what, and why: it is in the audit.
#[derive(Debug, Args)]
pub(crate) struct Ordered {
    #[command(flatten)]
    pub(crate) data: Data,
    /// This queue; not given: all of the tenant.
    #[arg(long, value_name = "ID")]
    pub(crate) queue: Option<String>,
    /// The tenant.
    #[arg(long, value_name = "ID", default_value = "default")]
    pub(crate) tenant: String,
    /// Who you are.
    #[arg(long, value_name = "NAME")]
    pub(crate) by: String,
    /// Why, in words.
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

/// `tidegate rebuild`.
#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    #[command(flatten)]
    pub(crate) data: Data,
    /// Only compare; keep the old store whatever comes out.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Where the journal is, when not in the data directory: the TOML configuration, of it the table [journal].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key, after file and environment: --set journal.kind=kafka
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// `tidegate quarantine`.
#[derive(Debug, Args)]
pub(crate) struct Quarantine {
    #[command(subcommand)]
    pub(crate) what: Aside,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Aside {
    /// List what was set aside, oldest first.
    List(Data),
    /// Send records through the receiver again; without ids, all.
    Replay {
        #[command(flatten)]
        data: Data,
        /// Which, as `list` names them.
        ids: Vec<String>,
    },
    /// Remove records for good.
    Drop {
        #[command(flatten)]
        data: Data,
        /// Remove all of them.
        #[arg(long, conflicts_with = "ids", required_unless_present = "ids")]
        all: bool,
        /// Which, as `list` names them.
        ids: Vec<String>,
    },
}

/// `tidegate token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) what: Make,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Make {
    /// Make a new token.
    New {
        /// Whose it is.
        #[arg(long)]
        name: String,
        /// The tenant it is for; * for all.
        #[arg(long, default_value = "*")]
        tenant: String,
        /// viewer, supervisor, agent, operator or admin.
        #[arg(long, default_value = "viewer")]
        role: String,
    },
}

/// The whole of `main`.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::dependency("TG0022", "cannot start the runtime").caused_by(error);
            return service::exit("tidegate", Err(error));
        }
    };
    let outcome = runtime.block_on(run(cli.command));
    runtime.shutdown_background();
    service::exit("tidegate", outcome)
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Up(args) => up::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Report(args) => report::run(args.what).await,
        Command::Preview(args) => preview::run(args).await,
        Command::Rebuild(args) => rebuild::run(args).await,
        Command::Quarantine(args) => quarantine::run(args.what).await,
        Command::Verify(args) => rebuild::verify(args).await,
        Command::Audit(what) => control::audit(what).await,
        Command::Thresholds(what) => control::thresholds(what).await,
        Command::Drill(args) => drill::run(args).await,
        Command::HardPhones(what) => hardphone::run(what).await,
        Command::Topics(args) => topics::run(args).await,
        Command::Token(args) => token::run(args.what),
    }
}
