//! The product as a child process: started from its command line, watched from outside, asked to stop.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use service::Clock;
use tokio::process::{Child, Command};

/// A running `tidegate up` on a folder of its own; killed when dropped.
pub struct Product {
    folder: PathBuf,
    child: Child,
    /// The wallboard's and the API's address.
    pub face: String,
    /// The address of the door for events.
    pub door: String,
    /// The token that opens the door.
    pub token: String,
}

impl Product {
    /// Starts it without any phone system: what comes, comes through the door.
    pub async fn start(folder: &Path, clock: &Clock) -> Result<Product> {
        let (face, door, ops) = (free_port()?, free_port()?, free_port()?);
        let (token, sha256) = service::http::auth::generate();
        let empty = folder.join("empty_queue_log");
        File::create(&empty)?;
        let config = folder.join("tidegate.toml");
        std::fs::write(&config, settings(&empty, face, door, ops, &sha256))?;
        let log = File::create(folder.join("output.log"))?;
        let mut command = Command::new(bench::product::binary()?);
        command.arg("up").arg("--config").arg(&config).arg("--data").arg(folder.join("data"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let child = command.spawn().context("tidegate cannot be started")?;
        let (folder, face, door) = (folder.to_owned(), format!("127.0.0.1:{face}"), format!("127.0.0.1:{door}"));
        let mut product = Product { folder, child, face, door, token };
        product.ready(&format!("http://127.0.0.1:{ops}/readyz"), clock).await?;
        Ok(product)
    }

    async fn ready(&mut self, url: &str, clock: &Clock) -> Result<()> {
        for _ in 0..300 {
            if reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("tidegate ended at its start ({status}):\n{}", self.said());
            }
            clock.sleep(Duration::from_millis(100)).await;
        }
        bail!("tidegate was not ready within 30 s:\n{}", self.said())
    }

    /// Its resident memory now, in MB.
    pub fn resident_mb(&self) -> Result<f64> {
        let id = self.child.id().context("tidegate has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024.0)
    }

    /// Asks it to finish, and says how long it took. Anything but a clean end is an error.
    pub async fn stop(&mut self, clock: &Clock) -> Result<Duration> {
        let id = self.child.id().with_context(|| format!("tidegate is gone:\n{}", self.said()))?;
        let begun = clock.monotonic();
        Command::new("kill").arg("-TERM").arg(id.to_string()).status().await?;
        let ended = clock.timeout(Duration::from_secs(60), self.child.wait()).await;
        let status = ended.map_err(|_| anyhow::anyhow!("tidegate does not finish:\n{}", self.said()))??;
        ensure!(status.success(), "tidegate ended with {status}:\n{}", self.said());
        ensure!(!self.log().contains("panicked"), "tidegate panicked:\n{}", self.said());
        Ok(clock.monotonic().saturating_sub(begun))
    }

    /// Runs a command of the product over the data, to its end; what it printed.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(bench::product::binary()?);
        command.args(arguments).arg("--data").arg(self.folder.join("data")).stdin(Stdio::null());
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tidegate {} failed: {said}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// How large its data directory is, in MB.
    pub fn disk_mb(&self) -> Result<f64> {
        let files = std::fs::read_dir(self.folder.join("data"))?;
        let sizes = files.map(|file| Ok(file?.metadata()?.len()));
        Ok(sizes.sum::<std::io::Result<u64>>()? as f64 / 1e6)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("output.log")).unwrap_or_default()
    }

    fn said(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// Midnight must not fall into the run: the tenant lives where it is about noon.
fn settings(empty: &Path, face: u16, door: u16, ops: u16, sha256: &str) -> String {
    let hour = Clock::system().now_ms().div_euclid(3_600_000).rem_euclid(24);
    let east = 12 - hour;
    let zone = if east >= 0 { format!("Etc/GMT-{east}") } else { format!("Etc/GMT+{}", -east) };
    format!(
        "[process]\nops = {{ address = \"127.0.0.1:{ops}\" }}\nlog = {{ filter = \"info\", format = \"text\" }}\n\
         [directory.tenants.default]\ntime_zone = \"{zone}\"\n\
         [collector.sources.idle]\nkind = \"queue-log\"\nconfig = {{ paths = [{empty:?}], follow = true }}\n\
         [receiver]\nlisten = {{ address = \"127.0.0.1:{door}\" }}\n\
         auth = {{ tokens = [{{ name = \"bench\", sha256 = \"{sha256}\", tenant = \"*\", role = \"operator\" }}] }}\n\
         [pusher]\nlisten = {{ address = \"127.0.0.1:{face}\" }}\n\
         [cti]\nlisten = {{ address = \"127.0.0.1:0\" }}\nagi = {{ listen = {{ address = \"127.0.0.1:0\" }} }}\n"
    )
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
