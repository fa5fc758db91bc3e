//! The product as separate processes of one host: each can be killed by itself, and started again.

use crate::product::binary;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A process at work; killed when dropped.
#[derive(Debug)]
pub struct Part {
    program: &'static str,
    name: String,
    config: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Part {
    /// Starts the binary `program` as the instance `name` with this configuration; file and output go below `folder`.
    pub async fn start(folder: &Path, program: &'static str, name: &str, config: &str) -> Result<Part> {
        std::fs::create_dir_all(folder)?;
        let (path, log) = (folder.join(format!("{name}.toml")), folder.join(format!("{name}.log")));
        let process = format!("[process]\ninstance = \"{name}\"\nops = {{ address = \"127.0.0.1:0\" }}\n");
        std::fs::write(&path, process + config)?;
        let child = spawn(program, &path, &log).await?;
        Ok(Part { program, name: name.to_owned(), config: path, log, child })
    }

    /// The name of the instance.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends it without a chance to clean up (kill -9).
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Starts it again as it was.
    pub async fn start_again(&mut self) -> Result<()> {
        self.child = spawn(self.program, &self.config, &self.log).await?;
        Ok(())
    }

    /// The last lines that it wrote.
    pub fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        format!("--- {}\n{}\n", self.name, lines[lines.len().saturating_sub(12)..].join("\n"))
    }
}

async fn spawn(program: &str, config: &Path, log: &Path) -> Result<Child> {
    let output = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(binary(program).await?);
    command.arg("--config").arg(config);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {program}"))
}
