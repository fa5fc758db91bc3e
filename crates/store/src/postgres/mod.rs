//! Reports in PostgreSQL: for deployments of several machines.
//!
//! - Invariant: a checkpoint is acknowledged when the server has it on its disk (`synchronous_commit`). A server that has gone back
//!   nevertheless (a standby that lagged, an older copy) is noticed by the next checkpoint, and the gap is folded again (`kept.rs`).
//! - Invariant: rows carry the same seals as in SQLite, and are the same bytes.
//! - Invariant: what a restart of the server, a lost connection or a timeout does is an error that passes; what is wrong or damaged is not.
//!
//! The statements are those of SQLite, too (`sql/`, compiled for each); PostgreSQL's own are the schema, the months of the rows
//! (`months.rs`), the locks, and what `dialect.rs` says. It works behind a pooler only where that keeps sessions.

#[path = "../sql/check.rs"]
mod check;
mod dialect;
pub(crate) mod fault;
mod lock;
mod months;
#[path = "../sql/parts.rs"]
mod parts;
#[path = "../sql/read.rs"]
mod read;
#[path = "../sql/reports.rs"]
mod reports;
mod schema;
#[path = "../sql/sweep.rs"]
mod sweep;
#[path = "../sql/write.rs"]
mod write;
mod writer;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio::sync::Mutex;

use crate::kept::Kept;
use crate::{Error, Result};

/// Connections that write: partitions, checkpoints, retention.
const WRITERS: u32 = 4;
/// How often a store that is in use is tried again, and after how long: a server notices a little later that somebody has left.
const LEAVING_TRIES: u32 = 20;
const LEAVING_PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for a connection: a server that restarts is back by then, mostly.
const ACQUIRE: Duration = Duration::from_secs(10);
/// How long a statement waits for a lock.
const LOCK_MS: u64 = 10_000;
/// How long one try to connect may take at the opening.
const CONNECT: Duration = Duration::from_secs(10);

/// How to reach a database.
#[derive(Clone)]
pub struct Options {
    place: Place,
    connect: PgConnectOptions,
    connections: u32,
    statement: Duration,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("place", &self.place.0).finish_non_exhaustive()
    }
}

impl Options {
    /// From `postgres://user@host:port/database?sslmode=verify-full`. What the address leaves out is taken from where every client of
    /// PostgreSQL takes it (`PGHOST`, `~/.pgpass`, …).
    ///
    /// # Errors
    /// `Refused`, when it is no such address; it is not repeated, because a password may be in it.
    pub fn new(url: &str) -> Result<Self> {
        let wrong = |reason: &str| Error::Refused { place: "the address".to_owned(), reason: reason.to_owned() };
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(wrong("it does not begin with postgres://"));
        }
        let connect = PgConnectOptions::from_str(url).map_err(|_| wrong("it is no address of a database"))?;
        let connect = connect.application_name("tidegate");
        let database = connect.get_database().unwrap_or(connect.get_username());
        let place = match connect.get_socket() {
            Some(socket) => format!("postgresql:{}/{database}", socket.display()),
            None => format!("postgresql://{}:{}/{database}", connect.get_host(), connect.get_port()),
        };
        Ok(Self { place: Place(place), connect, connections: 8, statement: Duration::from_secs(60) })
    }

    /// Whether the address holds a password.
    pub fn has_password(url: &str) -> bool {
        let authority = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or(""));
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || url.contains("password=")
    }

    /// With this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.connect = self.connect.password(password);
        self
    }

    /// With so many connections for reading.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// With statements that the server gives up after so long.
    #[must_use]
    pub fn statement_timeout(mut self, most: Duration) -> Self {
        self.statement = most;
        self
    }

    /// What every connection is told first.
    fn session(&self) -> String {
        format!(
            "SET statement_timeout = {}; SET lock_timeout = {LOCK_MS}; SET idle_in_transaction_session_timeout = 120000; \
             SET synchronous_commit = on; SET jit = off; SET client_min_messages = warning",
            self.statement.as_millis(),
        )
    }
}

/// A database as it may be shown: without user and password.
#[derive(Clone, Debug)]
pub(crate) struct Place(String);

impl Place {
    fn refused(&self, reason: String) -> Error {
        Error::Refused { place: self.0.clone(), reason }
    }

    /// An error of opening it, with its name.
    fn of(&self, error: sqlx::Error) -> Error {
        match Error::from(error) {
            Error::Refused { reason, .. } => self.refused(reason),
            Error::Storage(reason) => Error::Storage(format!("{}: {reason}", self.0)),
            other => other,
        }
    }
}

/// Reports in a PostgreSQL database. A cheap handle.
#[derive(Clone, Debug)]
pub struct Postgres {
    writer: writer::Writer,
    readers: PgPool,
    /// The connection that keeps the others out.
    alone: Arc<Mutex<Option<PgConnection>>>,
}

impl Postgres {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// `Refused`, `Schema`, `InUse` (somebody has it alone), `Busy`, `Storage`.
    pub async fn open(options: &Options) -> Result<Self> {
        Self::opened(options, false).await
    }

    /// The same, and no process has it open from now on until the handle is dropped.
    ///
    /// # Errors
    /// `InUse`; as [`Postgres::open`].
    pub async fn open_alone(options: &Options) -> Result<Self> {
        Self::opened(options, true).await
    }

    async fn opened(options: &Options, alone: bool) -> Result<Self> {
        let place = &options.place;
        let failed = |error| place.of(error);
        let mut first = connect(options).await?;
        sqlx::raw_sql(AssertSqlSafe(options.session())).execute(&mut first).await.map_err(failed)?;
        schema::check_server(&mut first, place).await?;
        let (clock, mut left) = (service::Clock::system(), LEAVING_TRIES);
        loop {
            let free = if alone { lock::open_alone(&mut first).await } else { lock::open_beside(&mut first).await };
            match free.map_err(failed)? {
                true => break,
                false if left == 0 => return Err(Error::InUse { store: place.0.clone(), alone: !alone }),
                false => left -= 1,
            }
            clock.sleep(LEAVING_PAUSE).await;
        }
        schema::migrate(&mut first).await?;
        let pool = |most: u32| {
            let session = options.session();
            let pool = PgPoolOptions::new().max_connections(most).min_connections(1).acquire_timeout(ACQUIRE);
            let pool = pool.idle_timeout(Duration::from_secs(600)).after_connect(move |db, _| {
                let session = session.clone();
                Box::pin(async move {
                    sqlx::raw_sql(AssertSqlSafe(session)).execute(&mut *db).await?;
                    if alone || lock::open_beside(&mut *db).await? {
                        return Ok(());
                    }
                    Err(sqlx::Error::Io(std::io::Error::other("another process has the store alone")))
                })
            });
            pool.connect_with(options.connect.clone())
        };
        let (writers, readers) =
            (pool(WRITERS).await.map_err(failed)?, pool(options.connections).await.map_err(failed)?);
        let first = match alone {
            true => Some(first),
            false => {
                let _ = first.close().await; // the pools hold the lock by now
                None
            }
        };
        let writer = writer::Writer { pool: writers, months: months::Months::default(), kept: Kept::default() };
        Ok(Self { writer, readers, alone: Arc::new(Mutex::new(first)) })
    }
}

/// The first connection, by which everything is judged.
async fn connect(options: &Options) -> Result<PgConnection> {
    let connecting = PgConnection::connect_with(&options.connect);
    match service::Clock::system().timeout(CONNECT, connecting).await {
        Ok(connected) => connected.map_err(|error| options.place.of(error)),
        Err(_) => Err(Error::Storage(format!("{}: no answer within {} s", options.place.0, CONNECT.as_secs()))),
    }
}

impl Postgres {
    /// A checkpoint failed: a month that was remembered as there may be what is missing.
    fn doubt(&self) {
        self.writer.months.forget();
    }

    /// Gives back the connection that holds the lock of who is alone.
    async fn release(&self) {
        if let Some(first) = self.alone.lock().await.take() {
            let _ = first.close().await; // it is gone either way
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_seen_and_an_address_is_never_repeated() {
        assert!(Options::has_password("postgres://a:b@host/db"));
        assert!(Options::has_password("postgres://host/db?user=a&password=b"));
        assert!(!Options::has_password("postgres://a@host:5432/db?sslmode=require"));
        for bad in ["mysql://a:hunter2@host/db", "postgres://a:hunter2@host:port/db", "postgres://h/d?sslmode=hunter2"]
        {
            let told = Options::new(bad).unwrap_err().to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
        let options = Options::new("postgres://a:hunter2@host/db").unwrap().password("hunter2");
        assert!(!format!("{options:?}").contains("hunter2"));
        assert_eq!(options.place.0, "postgresql://host:5432/db");
    }
}
