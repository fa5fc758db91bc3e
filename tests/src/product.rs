//! The product as a user has it: a process started from its command line, asked over HTTP.

use crate::face::Face;
use crate::pbx::target_dir;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// A running `tidegate up`; killed when dropped.
#[derive(Debug)]
pub struct Product {
    binary: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    face: Face,
    child: Child,
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
        let mut product = Self { binary, arguments, folder: folder.to_owned(), face: Face::at(http)?, child };
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
        self.face.get(path, query).await
    }

    /// Asks it for whatever the path answers.
    pub async fn text(&self, path: &str, query: &[(&str, &str)]) -> Result<String> {
        self.face.text(path, query).await
    }

    /// Where it is asked.
    pub fn face(&self) -> &Face {
        &self.face
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
        self.face.address()
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

/// Where ports of tests begin, and how many blocks of [`BLOCK`] there are: below what the kernel gives to connections.
const PORTS: (u16, u16) = (12_000, 2_000);
const BLOCK: u16 = 10;

/// A port from which on `count` are free now, and stay ours while this process lives: other test programs see the locks of its blocks.
pub fn free_ports(count: u16) -> u16 {
    static OURS: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    let free = |port: u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    // Test programs of one run begin in different places.
    let begin = (std::process::id() % u32::from(PORTS.1)) as u16;
    let blocks = count.div_ceil(BLOCK);
    for turn in 0..PORTS.1 {
        let block = (begin + turn) % (PORTS.1 - blocks);
        let locks: Vec<File> = (block..block + blocks).map_while(lock_of).collect();
        let base = PORTS.0 + block * BLOCK;
        if locks.len() == usize::from(blocks) && (base..base + count).all(free) {
            ours.extend(locks);
            return base;
        }
    }
    panic!("{count} ports in a row are nowhere free from {} on: end what is left of earlier runs", PORTS.0)
}

/// The lock of a block of ports, unless another has it.
fn lock_of(block: u16) -> Option<File> {
    let folder = std::env::temp_dir().join("tidegate-test-ports");
    let path = folder.join(block.to_string());
    let open = || OpenOptions::new().create(true).append(true).open(&path);
    let file = open().or_else(|_| std::fs::create_dir_all(&folder).and_then(|()| open()));
    let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.try_lock().is_ok().then_some(file)
}

/// Runs a command of the product to its end, and hands back what it printed.
pub async fn run(arguments: &[&str]) -> Result<String> {
    let output = Command::new(binary("tidegate").await?).args(arguments).stdin(Stdio::null()).output().await?;
    let (said, told) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    ensure!(output.status.success(), "tidegate {} failed ({}):\n{said}\n{told}", arguments.join(" "), output.status);
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
/// only, and the product is others: all of them are built here at once, the first time somebody asks, unless `TIDEGATE_BINARIES` names a
/// folder where they are. One by one each would have features of dependencies of its own, and half of them would be built anew for each.
pub async fn binary(name: &str) -> Result<PathBuf> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    if let Some(folder) = std::env::var_os("TIDEGATE_BINARIES") {
        return Ok(Path::new(&folder).join(name));
    }
    let folder = BUILT.get_or_try_init(build).await.with_context(|| format!("{name} does not build"))?;
    Ok(folder.join(name))
}

/// The cargo that runs this test, as if a person had called it. What it tells its tests of their own package would make the build
/// scripts of some dependencies (ring's) believe that they must run again, and half of all crates be built anew, each time in turn.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars_os() {
        if own.iter().any(|own| name.to_string_lossy().starts_with(own)) {
            cargo.env_remove(name);
        }
    }
    cargo
}

async fn build() -> Result<PathBuf> {
    let profile = std::env::current_exe()?.components().any(|part| part.as_os_str() == "release");
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--workspace", "--exclude", "tidegate-tests", "--exclude", "bench", "--bins"]);
    cargo.args(profile.then_some("--release"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    ensure!(cargo.status().await.context("cannot run cargo")?.success(), "cargo says why");
    Ok(target_dir().join(if profile { "release" } else { "debug" }))
}
