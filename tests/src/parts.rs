//! The product as separate processes of one host: each can be killed by itself, stopped, and started again.

use crate::product::binary;
use anyhow::{Context as _, Result, ensure};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long one may take to finish when it is asked to.
const PATIENCE: Duration = Duration::from_secs(120);
/// SIGTERM.
const TERM: i32 = 15;

/// A process at work; killed when dropped.
#[derive(Debug)]
pub struct Part {
    program: &'static str,
    name: String,
    arguments: Vec<String>,
    log: PathBuf,
    child: Child,
}

impl Part {
    /// Starts the binary `program` as the instance `name` with this configuration; file and output go below `folder`.
    pub async fn start(folder: &Path, program: &'static str, name: &str, config: &str) -> Result<Part> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("{name}.toml"));
        let process = format!("[process]\ninstance = \"{name}\"\nops = {{ address = \"127.0.0.1:0\" }}\n");
        std::fs::write(&path, process + config)?;
        Self::of_file(folder, program, name, &path, &[]).await
    }

    /// The same with a file that is there, and settings (`key=value`) that differ from it; only output goes below `folder`.
    pub async fn of_file(
        folder: &Path,
        program: &'static str,
        name: &str,
        file: &Path,
        settings: &[String],
    ) -> Result<Part> {
        std::fs::create_dir_all(folder)?;
        let mut arguments = vec!["--config".to_owned(), file.to_string_lossy().into_owned()];
        settings.iter().for_each(|setting| arguments.extend(["--set".to_owned(), setting.clone()]));
        let log = folder.join(format!("{name}.log"));
        let child = spawn(program, &arguments, &log).await?;
        Ok(Part { program, name: name.to_owned(), arguments, log, child })
    }

    /// The name of the instance.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, while it lives.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it without a chance to clean up (kill -9).
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Sends it a signal by its name: `STOP`, `CONT`, `TERM`.
    pub async fn signal(&self, signal: &str) -> Result<()> {
        let id = self.pid().with_context(|| format!("{} is gone:\n{}", self.name, self.said()))?;
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status().await?;
        ensure!(sent.success(), "{} takes no {signal}", self.name);
        Ok(())
    }

    /// Waits until it ended by itself, and answers how. May be given up and asked again.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Asks it to finish, and waits until it did. Anything but a clean end is an error.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal("TERM").await?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} does not finish:\n{}", self.name, self.said()))??;
        // One that was still starting has nothing to finish: the signal itself ends it.
        let clean = status.success() || status.signal() == Some(TERM);
        ensure!(clean, "{} ended with {status}:\n{}", self.name, self.said());
        Ok(())
    }

    /// Starts it again as it was.
    pub async fn start_again(&mut self) -> Result<()> {
        self.child = spawn(self.program, &self.arguments, &self.log).await?;
        Ok(())
    }

    /// Everything that it wrote, over all its lives.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(&self.log).with_context(|| format!("{} wrote nothing", self.name))
    }

    /// The last lines that it wrote.
    pub fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        format!("--- {}\n{}\n", self.name, lines[lines.len().saturating_sub(12)..].join("\n"))
    }
}

async fn spawn(program: &str, arguments: &[String], log: &Path) -> Result<Child> {
    let output = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(binary(program).await?);
    command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {program}"))
}
