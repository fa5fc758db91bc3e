//! Starts and stops the real Asterisk of `tests/pbx`, one per range of ports.

use anyhow::{Context as _, Result, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// AMI login that the PBX keeps for the product under test: user and secret.
pub const PRODUCT_LOGIN: (&str, &str) = ("tidegate", "tidegate-secret");
/// AMI login that the PBX keeps for the driver of the calls.
pub const DRIVER_LOGIN: (&str, &str) = ("driver", "driver-secret");

/// A running Asterisk; stopped when dropped, its records stay for a look.
#[derive(Debug)]
pub struct Pbx {
    base: u16,
    home: PathBuf,
}

impl Pbx {
    /// Starts an Asterisk with empty records on the 2000 ports from `base`. The first start on a machine downloads it.
    pub fn start(base: u16) -> Result<Self> {
        let pbx = Self { base, home: target_dir().join("pbx").join(base.to_string()) };
        pbx.script("down", &["--purge"])?;
        pbx.script("up", &[])?;
        Ok(pbx)
    }

    /// An Asterisk that `tests/pbx/up` already started on `base`; stopping it is then the caller's business.
    pub fn running(base: u16) -> std::mem::ManuallyDrop<Self> {
        std::mem::ManuallyDrop::new(Self { base, home: target_dir().join("pbx").join(base.to_string()) })
    }

    /// Where AMI listens.
    pub fn ami(&self) -> SocketAddr {
        self.port(38)
    }

    /// Where SIP listens.
    pub fn sip(&self) -> SocketAddr {
        self.port(60)
    }

    /// The address of the phone of `agent` (101 to 108), or of whatever else has a number below 1000.
    pub fn port(&self, number: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.base + number))
    }

    /// The address of the carrier, which takes the calls out.
    pub fn carrier(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 10], self.base + 100))
    }

    /// Configuration, logs and records.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A command of the PBX's own command line; what it printed.
    pub async fn command(&self, command: &str) -> Result<String> {
        let mut console = tokio::process::Command::new(recipe().join("console"));
        console.args(["-rx", command]).env("PBX_BASE", self.base.to_string()).env("PBX_HOME", &self.home);
        let output = console.env("PBX_ROOT", target_dir().join("pbx/root")).stdin(Stdio::null()).output().await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn script(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let script = recipe().join(name);
        let output = Command::new(&script)
            .args(arguments)
            .env("PBX_BASE", self.base.to_string())
            .env("PBX_HOME", &self.home)
            .env("PBX_ROOT", target_dir().join("pbx/root"))
            .stdin(Stdio::null())
            // to a file, not a pipe: Asterisk inherits it and would keep a pipe open
            .stdout(log(&self.home, name)?)
            .stderr(log(&self.home, name)?)
            .status()
            .with_context(|| format!("cannot run {}", script.display()))?;
        let said = std::fs::read_to_string(log_path(&self.home, name)).unwrap_or_default();
        ensure!(output.success(), "{} failed:\n{said}", script.display());
        Ok(())
    }
}

impl Drop for Pbx {
    fn drop(&mut self) {
        if let Err(error) = self.script("down", &[]) {
            eprintln!("the PBX on {} may still run: {error:#}", self.base);
        }
    }
}

/// The folder of the recipe, `tests/pbx`.
pub fn recipe() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pbx")
}

/// Cargo's target directory, found from where this very program was built into.
pub fn target_dir() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    let profile = program.ancestors().find(|dir| dir.ends_with("debug") || dir.ends_with("release"));
    profile
        .and_then(Path::parent)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), Path::to_owned)
}

fn log_path(home: &Path, name: &str) -> PathBuf {
    home.with_extension(format!("{name}.log"))
}

fn log(home: &Path, name: &str) -> Result<std::fs::File> {
    let path = log_path(home, name);
    std::fs::create_dir_all(path.parent().context("a PBX's home has a parent")?)?;
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))
}
