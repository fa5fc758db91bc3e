//! The real `tidegate` binary: its commands, and its server as a process of its own.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use service::Clock;

/// How often a server is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary that was built with this bench: it lies beside it.
///
/// # Errors
///
/// When it is not there.
pub fn binary() -> Result<PathBuf> {
    beside("tidegate", "tidegate")
}

/// A program of `package` that was built with this one.
///
/// # Errors
///
/// When it is not there.
pub fn beside(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.is_file(), "{} is not there: build it with the same profile, -p {package}", path.display());
    Ok(path)
}

/// Recorded data: `$TIDEGATE_SHARED`, else `../shared` beside the checkout. `None`: it is not there.
#[expect(clippy::disallowed_methods, reason = "where the data lies is a matter of the bench's own environment")]
pub fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let path = std::env::var_os("TIDEGATE_SHARED").map_or(beside, PathBuf::from);
    path.join("data").is_dir().then_some(path)
}

/// Runs one command to its end: how long it took, and what it said on stderr.
///
/// # Errors
///
/// When it fails.
pub fn run(arguments: &[&str]) -> Result<(Duration, String)> {
    let clock = Clock::system();
    let begun = clock.monotonic();
    let told = Command::new(binary()?).args(arguments).stdin(Stdio::null()).output()?;
    let took = clock.monotonic() - begun;
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    ensure!(told.status.success(), "tidegate {} failed:\n{said}", arguments.join(" "));
    Ok((took, said))
}

/// `tidegate up` on a data directory, with one source that is a recording. Dropped, it is killed and waited for.
pub struct Server {
    process: Child,
    ops: SocketAddr,
    face: SocketAddr,
}

impl Server {
    /// Starts it; what it says goes to `up.log` in the directory.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(data: &Path, recording: &Path) -> Result<Server> {
        let [ops, face, door] = ports()?;
        let log = std::fs::File::create(data.join("up.log"))?;
        let set = [
            format!("process.ops.address={ops}"),
            format!("pusher.listen.address={face}"),
            format!("receiver.listen.address={door}"),
            "cti.listen.address=127.0.0.1:0".to_owned(),
            "console.listen.address=127.0.0.1:0".to_owned(),
            "cti.agi.listen.address=127.0.0.1:0".to_owned(),
            "collector.sources.made.kind=replay".to_owned(),
            format!("collector.sources.made.config.paths=[\"{}\"]", recording.display()),
        ];
        let mut command = Command::new(binary()?);
        command.arg("up").arg("--data").arg(data);
        set.iter().for_each(|set| _ = command.arg("--set").arg(set));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        Ok(Server { process, ops, face })
    }

    /// Waits until `/readyz` says so.
    ///
    /// # Errors
    ///
    /// When it ends before, or takes more than a minute.
    pub fn ready(&mut self) -> Result<()> {
        let ops = self.ops;
        self.until("ready", || Ok(get(ops, "/readyz")?.0 == 200))
    }

    /// Waits until its live figures are current and complete: so many open calls.
    ///
    /// # Errors
    ///
    /// When it ends before, or takes more than a minute.
    pub fn shows(&mut self, open_calls: u64) -> Result<()> {
        let face = self.face;
        self.until("complete", || {
            let (status, body) = get(face, "/v1/live/totals")?;
            let page: Value = serde_json::from_str(&body).unwrap_or_default();
            let calls = |item: &Value| item["open_calls"].as_u64().unwrap_or(0);
            let open: u64 = page["items"].as_array().map_or(0, |items| items.iter().map(calls).sum());
            let current = page["stale"] == Value::Bool(false);
            Ok(status == 200 && current && open == open_calls)
        })
    }

    /// The items of a live topic, as JSON.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn items(&self, topic: &str) -> Result<Vec<Value>> {
        let (status, body) = get(self.face, &format!("/v1/live/{topic}"))?;
        ensure!(status == 200, "/v1/live/{topic} answered {status}");
        let mut page: Value = serde_json::from_str(&body)?;
        serde_json::from_value(page["items"].take()).context("a page without items")
    }

    /// Main memory of its own that it holds (not the files that it reads), bytes.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn resident(&self) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = text.lines().find(|line| line.starts_with("RssAnon:")).context("no process")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kib * 1024.0)
    }

    fn until(&mut self, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let clock = Clock::system();
        let begun = clock.monotonic();
        loop {
            // Until it listens, nobody answers.
            if done().unwrap_or(false) {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("tidegate up ended before it was {what}: {status}");
            }
            ensure!(clock.monotonic() - begun < PATIENCE, "tidegate up was not {what} within {PATIENCE:?}");
            std::thread::sleep(ASK_EVERY);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Three ports that were free a moment ago.
fn ports() -> Result<[SocketAddr; 3]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held = [listen()?, listen()?, listen()?];
    let [a, b, c] = &held;
    Ok([a.local_addr()?, b.local_addr()?, c.local_addr()?])
}

/// One request of HTTP/1.0: the status and the body.
fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}
