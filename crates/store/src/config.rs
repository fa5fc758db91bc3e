//! The tables `[store]` and `[live]` within a component's table: where reports, records and checkpoints are kept, and what is shared of the
//! live state.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::Clock;
use service::config::{ConfigFile, Millis, Problems, Secret};

use crate::live::{self, redis};
use crate::postgres::{self, Postgres};
use crate::{Error, Live, Reports, Sqlite};

/// What keeps reports, records and checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A SQLite file: one host.
    #[default]
    Sqlite,
    /// A PostgreSQL database, version 14 or later: any number of hosts.
    Postgresql,
}

/// Where reports, records and checkpoints are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What keeps them: a SQLite file of this host, or a PostgreSQL database.
    pub kind: Kind,
    /// The SQLite file; several processes of one host may share it.
    pub path: PathBuf,
    /// The address of the PostgreSQL database, such as `postgres://tidegate@db.example.com/tidegate?sslmode=verify-full`; without a password.
    pub url: String,
    /// The password of the PostgreSQL user. Not set: as the address and `~/.pgpass` say.
    pub password: Option<Secret>,
    /// Connections to PostgreSQL for reading; four more write.
    pub connections: u32,
    /// How long PostgreSQL works on one statement before it is given up and tried again.
    pub statement_timeout: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            kind: Kind::default(),
            path: PathBuf::from("data/store.db"),
            url: String::new(),
            password: None,
            connections: 8,
            statement_timeout: Millis::seconds(60),
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        match self.kind {
            Kind::Sqlite if self.path.as_os_str().is_empty() => {
                problems.add("path", "\"\"", "is empty", "write the file's path, such as data/store.db");
            }
            Kind::Sqlite => {}
            Kind::Postgresql => {
                let fix = "write one such as postgres://tidegate@db.example.com/tidegate?sslmode=verify-full";
                check_url(problems, &self.url, postgres::Options::new(&self.url).err(), fix);
            }
        }
        problems.range("connections", self.connections, 1..=200);
        problems.range("statement_timeout", self.statement_timeout, Millis::seconds(1)..=Millis::seconds(3_600));
    }
}

/// An address is shown to everybody: there is no password in it.
fn check_url(problems: &mut Problems, url: &str, wrong: Option<Error>, fix: &str) {
    if postgres::Options::has_password(url) {
        problems.add_hidden("url", "holds a password", "take it out, and set password = \"file:PATH\" or \"env:NAME\"");
    } else if wrong.is_some() {
        problems.add("url", format!("{url:?}"), "is no address of the kind", fix);
    }
}

fn password(secret: Option<&Secret>, whose: &str) -> service::Result<Option<String>> {
    secret.map(Secret::read).transpose().map_err(|error| {
        service::Error::config("TG0132", format!("the password of {whose} cannot be read")).caused_by(error)
    })
}

impl Config {
    /// A SQLite file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Config { path: path.into(), ..Config::default() }
    }

    /// Opens the store.
    ///
    /// # Errors
    /// `TG0114` when another process has it alone; `TG0111` when a file cannot be opened; `TG0130` when a database cannot be reached,
    /// `TG0131` when it refuses us; the message names the place and the reason.
    pub async fn open(&self) -> service::Result<Arc<dyn Reports>> {
        match self.kind {
            Kind::Sqlite => self.opened(Sqlite::open(&self.path).await),
            Kind::Postgresql => self.opened(Postgres::open(&self.postgres()?).await),
        }
    }

    /// Opens the store for this process alone, for as long as the handle lives.
    ///
    /// # Errors
    /// `TG0114` when another process has it open; as [`Config::open`].
    pub async fn open_alone(&self) -> service::Result<Arc<dyn Reports>> {
        match self.kind {
            Kind::Sqlite => self.opened(Sqlite::open_alone(&self.path).await),
            Kind::Postgresql => self.opened(Postgres::open_alone(&self.postgres()?).await),
        }
    }

    fn postgres(&self) -> service::Result<postgres::Options> {
        let refused = |error: Error| service::Error::config("TG0131", "store.url is wrong").caused_by(error);
        let options = postgres::Options::new(&self.url).map_err(refused)?;
        let options = options.connections(self.connections).statement_timeout(self.statement_timeout.duration());
        Ok(match password(self.password.as_ref(), "the store")? {
            Some(password) => options.password(&password),
            None => options,
        })
    }

    fn opened<R: Reports>(&self, opened: crate::Result<R>) -> service::Result<Arc<dyn Reports>> {
        match opened {
            Ok(store) => Ok(Arc::new(store)),
            Err(error @ Error::InUse { alone, .. }) => {
                let what = if alone { "wait until it is done" } else { "stop it first" };
                Err(service::Error::dependency("TG0114", format!("{error}; {what}")))
            }
            Err(error) if self.kind == Kind::Sqlite => {
                let message = format!("cannot open the store {}", self.path.display());
                Err(service::Error::dependency("TG0111", message).caused_by(error))
            }
            Err(error @ (Error::Refused { .. } | Error::Schema { .. } | Error::Corrupt { .. })) => {
                Err(service::Error::dependency("TG0131", "the database of the store refuses us").caused_by(error))
            }
            Err(error) => {
                Err(service::Error::dependency("TG0130", "the database of the store cannot be opened").caused_by(error))
            }
        }
    }
}

/// The process's store: the one it provides to all its components, else one of this component's own.
///
/// # Errors
/// As [`Config::open`].
pub async fn of_process(config: &Config, context: &service::Context) -> service::Result<Arc<dyn Reports>> {
    match context.shared::<Arc<dyn Reports>>() {
        Some(store) => Ok(store),
        None => config.open().await,
    }
}

/// What keeps the live state that processes share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shared {
    /// Nothing is shared: each process reads the journal from its beginning.
    #[default]
    Memory,
    /// A Redis, version 6 or later.
    Redis,
}

/// What processes share of the live state, so that one that starts need not read all of the journal first. It is never needed: while it
/// is away, everything goes on from the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sharing {
    /// What keeps it: nothing (each process has its own memory), or a Redis.
    pub kind: Shared,
    /// The address of the Redis, such as `redis://cache.example.com:6379/0`, or `rediss://…` for TLS; without a password.
    pub url: String,
    /// Its password.
    pub password: Option<Secret>,
    /// What the keys begin with; deployments that share a Redis need different ones.
    pub prefix: String,
}

impl Default for Sharing {
    fn default() -> Self {
        Sharing { kind: Shared::default(), url: String::new(), password: None, prefix: "tidegate".to_owned() }
    }
}

impl ConfigFile for Sharing {
    fn check(&self, problems: &mut Problems) {
        if self.kind == Shared::Redis {
            let wrong = redis::Options::new(&self.url, &self.prefix, Clock::system()).err();
            check_url(problems, &self.url, wrong, "write one such as redis://cache.example.com:6379/0");
        }
        problems.not_empty("prefix", &self.prefix);
        if self.prefix.contains(['{', '}']) {
            problems.add("prefix", &self.prefix, "holds a brace", "use letters, digits and dashes");
        }
    }
}

impl Sharing {
    /// As [`Sharing::open`], of what the process shares: what it provides to all its components, else what this component says.
    ///
    /// # Errors
    /// As [`Sharing::open`].
    pub fn of_process(&self, what: &str, context: &service::Context) -> service::Result<Option<Arc<dyn Live>>> {
        context.shared::<Sharing>().as_ref().unwrap_or(self).open(what, &context.clock)
    }

    /// A handle on what is shared of `what` (`views`, `control`); `None` where nothing is. It need not be there yet.
    ///
    /// # Errors
    /// `TG0132` when the password cannot be read, `TG0133` for an address that cannot be one.
    pub fn open(&self, what: &str, clock: &Clock) -> service::Result<Option<Arc<dyn Live>>> {
        if self.kind == Shared::Memory {
            return Ok(None);
        }
        let wrong = |error: Error| service::Error::config("TG0133", "live.url is wrong").caused_by(error);
        let prefix = format!("{}:{what}", self.prefix);
        let mut options = redis::Options::new(&self.url, &prefix, clock.clone()).map_err(wrong)?;
        if let Some(password) = password(self.password.as_ref(), "live")? {
            options = options.password(&password);
        }
        Ok(Some(Arc::new(live::Redis::new(options).map_err(wrong)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(config: &impl ConfigFile) -> String {
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.iter().map(|problem| format!("{problem}\n")).collect()
    }

    #[test]
    fn an_address_with_a_password_is_refused_and_not_shown() {
        let store = Config { kind: Kind::Postgresql, url: "postgres://a:hunter2@h/d".to_owned(), ..Config::default() };
        let live = Sharing { kind: Shared::Redis, url: "redis://:hunter2@h".to_owned(), ..Sharing::default() };
        for told in [problems(&store), problems(&live)] {
            assert!(told.contains("holds a password") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn an_address_is_asked_for_only_where_it_is_used() {
        assert_eq!(problems(&Config::default()), "");
        assert_eq!(problems(&Sharing::default()), "");
        assert!(problems(&Config { kind: Kind::Postgresql, ..Config::default() }).contains("url"));
        assert!(problems(&Sharing { kind: Shared::Redis, ..Sharing::default() }).contains("url"));
        let url = "postgres://tidegate@postgres:5432/tidegate".to_owned();
        assert_eq!(problems(&Config { kind: Kind::Postgresql, url, ..Config::default() }), "");
        let url = "redis://redis:6379".to_owned();
        assert_eq!(problems(&Sharing { kind: Shared::Redis, url, ..Sharing::default() }), "");
    }

    #[test]
    fn nothing_is_shared_unless_it_is_asked_for() {
        assert!(Sharing::default().open("views", &Clock::manual(0)).unwrap().is_none());
    }
}
