//! The one process, started again and again on the same data directory, to be killed at a chosen moment.

use crate::life::{Dice, Figures};
use crate::product::binary;
use crate::reported;
use anyhow::{Context as _, Result, bail, ensure};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How long a start, an end or a figure may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// When to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// So long after it was started, ready or not.
    Starting(Duration),
    /// So long after its door opened.
    Running(Duration),
    /// When a file (`journal.db`, `store.db`) changes and so the database's log is being copied into it, and a little later; by chance
    /// when that does not happen soon.
    Copying(&'static str, Duration),
}

impl Moment {
    /// One of them.
    pub fn any(dice: &mut Dice) -> Self {
        let ms =
            |dice: &mut Dice, from: u64, to: u64| Duration::from_micros(dice.below((to - from) * 1_000) + from * 1_000);
        match dice.below(10) {
            0..2 => Self::Starting(ms(dice, 0, 400)),
            2..4 => Self::Copying("journal.db", ms(dice, 0, 4)),
            4..6 => Self::Copying("store.db", ms(dice, 0, 4)),
            _ => Self::Running(ms(dice, 5, 400)),
        }
    }
}

/// The process, and where it lives.
pub struct Victim {
    /// The program, behind what starts it.
    launch: Vec<OsString>,
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    child: Child,
    client: reqwest::Client,
}

impl Victim {
    /// Starts it on `folder/data`, with its faces on three ports from `port` on.
    pub async fn start(folder: &Path, port: u16, settings: &[&str]) -> Result<Self> {
        Self::start_behind(&[], folder, port, settings).await
    }

    /// The same by the words `launcher`, which end by becoming the program that stands after them.
    pub async fn start_behind(launcher: &[String], folder: &Path, port: u16, settings: &[&str]) -> Result<Self> {
        // A source with nothing to say, because without any the product plays a simulated centre.
        let silence = folder.join("nothing.ndjson");
        std::fs::write(&silence, "")?;
        let mut all = vec![
            format!("pusher.listen.address=127.0.0.1:{port}"),
            format!("receiver.listen.address=127.0.0.1:{}", port + 1),
            format!("process.ops.address=127.0.0.1:{}", port + 2),
            "cti.listen.address=127.0.0.1:0".to_owned(),
            "console.listen.address=127.0.0.1:0".to_owned(),
            "cti.agi.listen.address=127.0.0.1:0".to_owned(),
            "receiver.auth.anonymous=operator".to_owned(),
            "collector.sources.nothing.kind=replay".to_owned(),
            format!("collector.sources.nothing.config.paths=[{:?}]", silence.to_string_lossy()),
            "process.log.format=text".to_owned(),
        ];
        all.extend(settings.iter().map(|&text| text.to_owned()));
        let mut launch: Vec<_> = launcher.iter().map(OsString::from).collect();
        launch.push(binary("tidegate").await?.into());
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        let child = spawn(&launch, folder, &all)?;
        Ok(Self { launch, folder: folder.to_owned(), port, settings: all, child, client })
    }

    /// Its door for events.
    pub fn door(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port + 1))
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its process id, while it lives.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until both its faces take connections.
    pub async fn ready(&mut self) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        for port in [self.port + 1, self.port] {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                if let Some(status) = self.child.try_wait()? {
                    bail!("it ended at its start ({status}):\n{}", self.said());
                }
                ensure!(Instant::now() < patience, "it is not ready within {PATIENCE:?}:\n{}", self.said());
                sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(())
    }

    /// Kills it (SIGKILL) at the moment, and starts it again. Answers whether the moment was met.
    pub async fn killed_at(&mut self, moment: Moment) -> Result<bool> {
        let met = match moment {
            Moment::Starting(after) => {
                sleep(after).await;
                true
            }
            Moment::Running(after) => {
                self.ready().await?;
                sleep(after).await;
                true
            }
            Moment::Copying(file, after) => {
                self.ready().await?;
                let met = self.until_changed(file).await;
                sleep(after).await;
                met
            }
        };
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended by itself ({status}):\n{}", self.said());
        }
        self.child.kill().await?;
        self.child = spawn(&self.launch, &self.folder, &self.settings)?;
        Ok(met)
    }

    /// Waits until a file of the data changes; not for ever.
    async fn until_changed(&self, file: &str) -> bool {
        let path = self.data().join(file);
        let stamp = || std::fs::metadata(&path).and_then(|about| Ok((about.modified()?, about.len()))).ok();
        let before = stamp();
        let patience = Instant::now() + Duration::from_millis(1_200);
        while Instant::now() < patience {
            if stamp() != before {
                return true;
            }
            std::thread::sleep(Duration::from_micros(200));
            tokio::task::yield_now().await;
        }
        false
    }

    /// The figures that it tells of everything, of the columns and things that `of` names.
    pub async fn figures(&self, of: &Figures) -> Result<Figures> {
        reported::over_http(&self.client, SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), of).await
    }

    /// Asks it to end, and waits until it did.
    pub async fn stop(mut self) -> Result<()> {
        let id = self.child.id().with_context(|| format!("it is gone:\n{}", self.said()))?;
        Command::new("kill").arg("-TERM").arg(id.to_string()).status().await?;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.context("it does not end")??;
        ensure!(status.success(), "it ended with {status}:\n{}", self.said());
        Ok(())
    }

    /// How it ended, if it did.
    pub fn gone(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it ended by itself, and answers how.
    pub async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        Ok(ended.with_context(|| format!("it does not end:\n{}", self.said()))??)
    }

    /// The last lines that it wrote.
    pub fn said(&self) -> String {
        let output = std::fs::read_to_string(self.folder.join("output.log")).unwrap_or_default();
        let lines: Vec<_> = output.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

fn spawn(launch: &[OsString], folder: &Path, settings: &[String]) -> Result<Child> {
    let output = OpenOptions::new().create(true).append(true).open(folder.join("output.log"))?;
    let mut command = Command::new(&launch[0]);
    command.args(&launch[1..]).arg("up").arg("--data").arg(folder.join("data"));
    settings.iter().for_each(|setting| _ = command.args(["--set", setting]));
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {launch:?}"))
}
