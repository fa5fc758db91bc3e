//! The product as it runs on many machines, on this one: every component a process of its own with the files of `deploy/config/many`, each
//! of them under supervision, over a real Kafka, PostgreSQL and Redis. `script/cluster` shows it to people, the tests of many machines break it.
//!
//! - Invariant: whatever becomes of the process that holds a [`Fleet`], short of `kill -9`, nothing that it started stays.

mod instance;
mod layout;

pub use instance::{Doing, Instance, Order, State};
pub use layout::Size;

use crate::parts::Part;
use crate::product::free_ports;
use crate::servers::{Servers, files};
use anyhow::{Context as _, Result, bail, ensure};
use layout::Place;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long all of them may take to be ready.
const PATIENCE: Duration = Duration::from_secs(180);

/// All processes of the product.
#[derive(Debug)]
pub struct Fleet {
    folder: PathBuf,
    members: Vec<(Instance, Place)>,
    client: reqwest::Client,
}

impl Fleet {
    /// Starts so many of each, logs and their like below `folder`. `settings` are told to those whose table they name, last.
    pub async fn start(folder: &Path, servers: &Servers, size: Size, settings: &[&str]) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let key = folder.join("number_key");
        fs::write(&key, "of a cluster that is gone tomorrow")?;
        let all = size.programs();
        let count = all.iter().map(|(_, count)| count).sum::<u16>();
        let first = free_ports(count * Place::PORTS);
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let mut fleet = Self { folder: folder.to_owned(), members: Vec::new(), client };
        for (program, count) in all {
            for number in 1..=count {
                let name = format!("{program}-{number}");
                let place = Place::new(first, fleet.members.len() as u16);
                let mut told = layout::settings(program, &name, place, Place::new(first, 0), servers, &key);
                let own = |setting: &&&str| setting.starts_with(&format!("{program}."));
                told.extend(settings.iter().filter(own).map(|&setting| setting.to_owned()));
                let file = files().join(format!("{program}.toml"));
                let part = Part::of_file(folder, program, &name, &file, &told).await?;
                fleet.members.push((Instance::keep(program, part), place));
            }
        }
        Ok(fleet)
    }

    /// Everybody, in the order in which data goes.
    pub fn all(&self) -> impl Iterator<Item = &Instance> {
        self.members.iter().map(|(instance, _)| instance)
    }

    /// Those of a program.
    pub fn of(&self, program: &str) -> Vec<&Instance> {
        self.all().filter(|instance| instance.program() == program).collect()
    }

    /// One by its name.
    pub fn one(&self, name: &str) -> Result<&Instance> {
        self.all().find(|instance| instance.name() == name).with_context(|| format!("nobody is called {name}"))
    }

    /// Where those of a program serve: wallboards, doors, APIs; the simulator's manager interface.
    pub fn faces(&self, program: &str) -> Vec<SocketAddr> {
        self.places(program).map(Place::face).collect()
    }

    /// Where the simulated centre tells what really happened.
    pub fn centre(&self) -> Option<SocketAddr> {
        self.places("simulator").map(Place::second).next()
    }

    /// Where an instance tells its health and its metrics.
    pub fn ops(&self, name: &str) -> Result<SocketAddr> {
        let found = self.members.iter().find(|(instance, _)| instance.name() == name);
        found.map(|(_, place)| place.ops()).with_context(|| format!("nobody is called {name}"))
    }

    fn places(&self, program: &str) -> impl Iterator<Item = Place> {
        self.members.iter().filter(move |(instance, _)| instance.program() == program).map(|(_, place)| *place)
    }

    /// Waits until everybody says that it is ready.
    pub async fn ready(&self) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        for (instance, _) in &self.members {
            self.ready_by(instance.name(), patience).await?;
        }
        Ok(())
    }

    /// Waits until one says that it is ready.
    pub async fn one_ready(&self, name: &str) -> Result<()> {
        self.ready_by(name, Instant::now() + PATIENCE).await
    }

    async fn ready_by(&self, name: &str, patience: Instant) -> Result<()> {
        let url = format!("http://{}/readyz", self.ops(name)?);
        loop {
            let said = match self.client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => format!("{error}"),
            };
            let state = self.one(name)?.state();
            ensure!(state.doing != Doing::GivenUp, "{name} is {}:\n{}", state.doing, self.said(name));
            ensure!(Instant::now() < patience, "{name} is not ready: {said}\n{}", self.said(name));
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// A figure of a process itself, summed over its labels; none where it is not there.
    pub async fn metric(&self, name: &str, metric: &str) -> Result<Option<f64>> {
        let url = format!("http://{}/metrics", self.ops(name)?);
        let text = self.client.get(&url).send().await?.error_for_status()?.text().await?;
        let values = text.lines().filter(|line| line.split([' ', '{']).next() == Some(metric));
        Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).reduce(|one, other| one + other))
    }

    /// Asks everybody to finish, in the order in which data goes, so that each hands on what it was given.
    pub async fn stop(&self) -> Result<()> {
        for instance in self.all() {
            instance.order(Order::Stop).await?;
        }
        Ok(())
    }

    /// Fails when somebody ended by itself for a fault of ours, or panicked.
    pub fn sound(&self) -> Result<()> {
        for instance in self.all() {
            let state = instance.state();
            // 69 is how a process says that what it needs is away.
            if let Some(fall) = state.falls.iter().find(|fall| fall.code() != Some(69)) {
                bail!("{} ended with {fall}:\n{}", instance.name(), self.said(instance.name()));
            }
            let log = fs::read_to_string(self.log(instance.name())).unwrap_or_default();
            ensure!(!log.contains("panicked"), "{} panicked:\n{}", instance.name(), self.said(instance.name()));
        }
        Ok(())
    }

    /// Where an instance writes its log.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// The last lines that one wrote.
    pub fn said(&self, name: &str) -> String {
        let text = fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(12)..].join("\n"))
    }

    /// The last lines of everybody.
    pub fn all_said(&self) -> String {
        self.all().map(|instance| self.said(instance.name())).collect()
    }
}
