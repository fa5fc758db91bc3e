//! All servers that many machines need, each started from nothing: Kafka with its topics, PostgreSQL with a database, Redis. They stop, and
//! what they hold goes, when this is dropped.

use crate::broker::Brokers;
use crate::product::run;
use crate::stores::{Disk, Postgres, Redis};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::thread;

/// The folder of the files for many machines.
pub fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/many")
}

/// The servers.
#[derive(Debug)]
pub struct Servers {
    /// The journal's.
    pub brokers: Brokers,
    /// The store's.
    pub postgres: Postgres,
    /// What is shared.
    pub redis: Redis,
    /// The database's address.
    pub database: String,
    redis_password: PathBuf,
}

impl Servers {
    /// Starts so many brokers, a PostgreSQL and a Redis, beside each other, and makes the topics and the database.
    pub async fn start(brokers: usize, disk: Disk) -> Result<Self> {
        let servers = tokio::task::spawn_blocking(move || Self::start_all(brokers, disk)).await??;
        let file = files().join("topics.toml").to_string_lossy().into_owned();
        let (set, copies) = (servers.of_journal("journal"), brokers.to_string());
        run(&["topics", "--create", "--config", &file, "--replication", &copies, "--set", &set]).await?;
        Ok(servers)
    }

    fn start_all(brokers: usize, disk: Disk) -> Result<Self> {
        let (kafka, postgres, redis) = thread::scope(|scope| {
            let kafka = scope.spawn(move || Brokers::start(brokers, false));
            let postgres = scope.spawn(move || Postgres::start_on(disk));
            let redis = Redis::start();
            (kafka.join(), postgres.join(), redis)
        });
        let crashed = |_| anyhow::anyhow!("it crashed");
        let brokers = kafka.map_err(crashed).flatten();
        let brokers =
            brokers.context("no Kafka; it needs openjdk-17-jre-headless and maven, and Maven Central once")?;
        let (postgres, redis) = (postgres.map_err(crashed).flatten().context("no PostgreSQL")?, redis?);
        let (database, redis_password) = (postgres.database("tidegate")?, redis.password_file()?);
        Ok(Self { brokers, postgres, redis, database, redis_password })
    }

    /// The setting that says where the brokers are, of the table `journal` of somebody.
    pub fn of_journal(&self, table: &str) -> String {
        format!("{table}.kafka.brokers=[\"{}\"]", self.brokers.servers().join("\", \""))
    }

    /// The settings of a table `store`.
    pub fn of_store(&self, table: &str) -> [String; 2] {
        let password = self.postgres.password_file();
        [format!("{table}.url={}", self.database), format!("{table}.password=file:{}", password.display())]
    }

    /// The settings of a table `live`.
    pub fn of_live(&self, table: &str) -> [String; 2] {
        let password = self.redis_password.display();
        [format!("{table}.url={}", self.redis.url()), format!("{table}.password=file:{password}")]
    }

    /// Every process of theirs, by what it is.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let nodes = self.brokers.pids().into_iter().enumerate().map(|(n, pid)| (format!("kafka-{}", n + 1), pid));
        let one = |name: &str, pid: Option<u32>| pid.map(|pid| (name.to_owned(), pid));
        nodes.chain(one("postgresql", self.postgres.pid())).chain(one("redis", self.redis.pid())).collect()
    }
}
