//! The product as a user has it: a process started from its command line, asked over HTTP.

use crate::pbx::target_dir;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// A running `tidegate up`; killed when dropped.
#[derive(Debug)]
pub struct Product {
    binary: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    http: SocketAddr,
    child: Child,
    client: reqwest::Client,
}

impl Product {
    /// Builds the binary if need be, and starts it: data and output go below `folder`, its faces listen on ports from `base` on.
    /// `arguments` are what it takes beyond that. Back when it says that it is ready.
    pub async fn up(folder: &Path, base: u16, arguments: &[&str]) -> Result<Self> {
        let binary = binary("tidegate").await?;
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, base));
        let mut own = vec!["up".to_owned(), "--data".to_owned(), folder.join("data").to_string_lossy().into_owned()];
        for (key, port) in
            [("pusher.listen.address", base), ("receiver.listen.address", base + 1), ("process.ops.address", base + 2)]
        {
            own.extend(["--set".to_owned(), format!("{key}=127.0.0.1:{port}")]);
        }
        // whoever asks the gate says where, in `arguments`; the later wins
        for key in ["console.listen.address", "cti.listen.address", "cti.agi.listen.address"] {
            own.extend(["--set".to_owned(), format!("{key}=127.0.0.1:0")]);
        }
        let arguments: Vec<_> = own.into_iter().chain(arguments.iter().map(|&text| text.to_owned())).collect();
        let child = start(&binary, &arguments, folder)?;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        let mut product = Self { binary, arguments, folder: folder.to_owned(), http, child, client };
        product.ready().await?;
        Ok(product)
    }

    /// Ends it without a chance to clean up (kill -9).
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill the product")
    }

    /// Starts it again over the same data, after [`Product::kill`].
    pub async fn start_again(&mut self) -> Result<()> {
        self.child = start(&self.binary, &self.arguments, &self.folder)?;
        self.ready().await
    }

    /// Asks it for JSON.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let body = self.text(path, query).await?;
        serde_json::from_str(&body).with_context(|| format!("{path} answered no JSON: {body}"))
    }

    /// Asks it for whatever the path answers.
    pub async fn text(&self, path: &str, query: &[(&str, &str)]) -> Result<String> {
        let url = format!("http://{}{path}", self.http);
        let response =
            self.client.get(&url).query(query).send().await.with_context(|| format!("no answer from {url}"))?;
        let status = response.status();
        let body = response.text().await?;
        ensure!(status.is_success(), "{url} {query:?}: {status}: {body}");
        Ok(body)
    }

    /// Its resident memory now, in MB.
    pub fn resident_mb(&self) -> Result<f64> {
        let id = self.child.id().with_context(|| format!("the product is gone:\n{}", self.said()))?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
    }

    /// Asks it to finish. Anything but a clean end without a panic is an error.
    pub async fn stop(mut self) -> Result<()> {
        let id = self.child.id().with_context(|| format!("the product is gone:\n{}", self.said()))?;
        Command::new("kill").arg("-TERM").arg(id.to_string()).status().await?;
        let ended = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        let status = ended.with_context(|| format!("it does not finish:\n{}", self.said()))??;
        ensure!(status.success(), "it ended with {status}:\n{}", self.said());
        let log = std::fs::read_to_string(self.folder.join("output.log")).unwrap_or_default();
        ensure!(!log.contains("panicked"), "it panicked:\n{}", self.said());
        Ok(())
    }

    /// Where it serves HTTP and the WebSocket.
    pub fn address(&self) -> SocketAddr {
        self.http
    }

    async fn ready(&mut self) -> Result<()> {
        let patience = Instant::now() + Duration::from_secs(90);
        loop {
            if self.get("/v1/sources", &[]).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the product ended at its start ({status}):\n{}", self.said());
            }
            ensure!(Instant::now() < patience, "the product was not ready within 90 s:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The last lines that it wrote.
    pub fn said(&self) -> String {
        let output = std::fs::read_to_string(self.folder.join("output.log")).unwrap_or_default();
        let lines: Vec<_> = output.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// A port from which on `count` are free now, and were not given to another test of this process.
pub fn free_ports(count: u16) -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    // Tests of one run begin in different places, so that they do not meet between asking and taking.
    let first = 20_000 + (std::process::id() % 4_000) as u16 * 2;
    loop {
        let base = first + TAKEN.fetch_add(count.div_ceil(10) * 10, Ordering::Relaxed) % 30_000;
        if (base..base + count).all(free) {
            return base;
        }
    }
}

/// Runs a command of the product to its end, and hands back what it printed.
pub async fn run(arguments: &[&str]) -> Result<String> {
    let output = Command::new(binary("tidegate").await?).args(arguments).stdin(Stdio::null()).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tidegate {} failed ({}):\n{said}", arguments.join(" "), output.status);
    String::from_utf8(output.stdout).context("the product printed no UTF-8")
}

fn start(binary: &Path, arguments: &[String], folder: &Path) -> Result<Child> {
    std::fs::create_dir_all(folder)?;
    let output = OpenOptions::new().create(true).append(true).open(folder.join("output.log"))?;
    let mut command = Command::new(binary);
    command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", binary.display()))
}

/// A binary of the product, by its name, which is its package's too. `cargo test` builds the binaries of the package under test
/// only, and the product is others: all of them are built here at once, unless `TIDEGATE_BINARIES` names a folder where they are. One by
/// one each would have features of dependencies of its own, and half of them would be built anew for each.
pub async fn binary(name: &str) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("TIDEGATE_BINARIES") {
        return Ok(Path::new(&folder).join(name));
    }
    let profile = std::env::current_exe()?.components().any(|part| part.as_os_str() == "release");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--workspace", "--exclude", "tidegate-tests", "--exclude", "bench", "--bins"]);
    cargo.args(profile.then_some("--release"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    ensure!(cargo.status().await.context("cannot run cargo")?.success(), "{name} does not build");
    Ok(target_dir().join(if profile { "release" } else { "debug" }).join(name))
}
