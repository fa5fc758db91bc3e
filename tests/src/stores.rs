//! A real PostgreSQL and a real Redis, each with a data directory and a port of its own below the target directory; stopped when dropped,
//! also by a panic.

use crate::pbx::target_dir;
use crate::product::free_ports;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to be there, or to go.
const PATIENCE: Duration = Duration::from_secs(120);
/// The password of the user `tidegate`.
pub const PASSWORD: &str = "swordfish, salted";

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    home: PathBuf,
    port: u16,
    disk: Disk,
    server: Option<Child>,
}

/// What an acknowledged transaction of PostgreSQL is safe from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// From an end of the server: no test cuts the power, and the disk of a busy machine is slow.
    Cached,
    /// From a power cut, too.
    Synced,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Connections are cut, everything is written.
    Fast,
    /// As by a power cut: it recovers at its next start.
    Immediate,
}

impl Postgres {
    /// Starts one with nothing in it.
    pub fn start() -> Result<Self> {
        Self::start_on(Disk::Cached)
    }

    /// The same, on such a disk.
    pub fn start_on(disk: Disk) -> Result<Self> {
        let programs = postgres_programs()?;
        let port = free_ports(1);
        let home = fresh("postgres", port)?;
        give_away(&home)?;
        let password = home.join("password");
        fs::write(&password, PASSWORD)?;
        give_away(&password)?;
        let data = home.join("data");
        let mut init = as_nobody(&programs.join("initdb"));
        init.args(["--username=tidegate", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        done(init.arg("--pwfile").arg(&password).arg("-D").arg(&data).output()?, "initdb")?;
        let mut this = Self { programs, home, port, disk, server: None };
        this.start_again()?;
        Ok(this)
    }

    /// Starts it again over the same data.
    pub fn start_again(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.home.join("output.log"))?;
        let mut server = as_nobody(&self.programs.join("postgres"));
        server.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        server.args(["-c", &format!("unix_socket_directories={}", self.home.display()), "-c", "max_connections=200"]);
        server.args(["-c", if self.disk == Disk::Synced { "fsync=on" } else { "fsync=off" }]);
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.server = Some(server.spawn().context("cannot start postgres")?);
        let patience = Instant::now() + PATIENCE;
        while self.sql("postgres", "SELECT 1").is_err() {
            if let Some(status) = self.server.as_mut().and_then(|server| server.try_wait().ok().flatten()) {
                bail!("postgres ended ({status}):\n{}", self.said());
            }
            ensure!(Instant::now() < patience, "postgres is not there within {PATIENCE:?}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Stops it.
    pub fn stop(&mut self, how: Stop) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        signal(&server, if how == Stop::Fast { "INT" } else { "QUIT" });
        gone(&mut server).with_context(|| format!("postgres does not end:\n{}", self.said()))
    }

    /// Makes a database, and answers its address (without the password).
    pub fn database(&self, name: &str) -> Result<String> {
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(name))
    }

    /// The address of a database.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://tidegate@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs SQL by hand, and answers what it printed.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "5");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "tidegate"]);
        psql.args(["-p", &self.port.to_string(), "-d", database, "-c", sql]).stdin(Stdio::null());
        let output = psql.output().context("cannot run psql")?;
        done(output, "psql")
    }

    /// Where the password is, for those who read it from a file.
    pub fn password_file(&self) -> PathBuf {
        self.home.join("password")
    }

    /// Keeps a copy of everything, to be put back later. Only while it is stopped.
    pub fn copy_aside(&self) -> Result<()> {
        self.copied(&self.data(), &self.home.join("aside"))
    }

    /// Puts the copy back. Only while it is stopped.
    pub fn put_back(&self) -> Result<()> {
        self.copied(&self.home.join("aside"), &self.data())
    }

    fn copied(&self, from: &Path, to: &Path) -> Result<()> {
        ensure!(self.server.is_none(), "the server is at work");
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        done(Command::new("cp").arg("-a").arg(from).arg(to).output()?, "cp").map(drop)
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn said(&self) -> String {
        last_lines(&self.home)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.stop(Stop::Immediate);
    }
}

/// A Redis server.
#[derive(Debug)]
pub struct Redis {
    home: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl Redis {
    /// Starts one with nothing in it.
    pub fn start() -> Result<Self> {
        let port = free_ports(1);
        let mut this = Self { home: fresh("redis", port)?, port, server: None };
        this.start_again()?;
        Ok(this)
    }

    /// Starts it again over the same data.
    pub fn start_again(&mut self) -> Result<()> {
        let program = program("redis-server", &["/usr/bin", "/usr/local/bin"], "redis-server")?;
        let log = File::options().create(true).append(true).open(self.home.join("output.log"))?;
        let mut server = Command::new(program);
        server.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes"]);
        server.args(["--appendfsync", "no", "--save", "", "--requirepass", PASSWORD, "--dir"]).arg(&self.home);
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.server = Some(server.spawn().context("cannot start redis-server")?);
        let patience = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.server.as_mut().and_then(|server| server.try_wait().ok().flatten()) {
                bail!("redis ended ({status}):\n{}", last_lines(&self.home));
            }
            ensure!(Instant::now() < patience, "redis is not there within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Stops it; what it had is there when it starts again.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        signal(&server, "TERM");
        gone(&mut server).context("redis does not end")
    }

    /// Forgets everything that it had. Only while it is stopped.
    pub fn lose_everything(&self) -> Result<()> {
        ensure!(self.server.is_none(), "the server is at work");
        fs::remove_dir_all(&self.home)?;
        Ok(fs::create_dir_all(&self.home)?)
    }

    /// Its address (without the password).
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Where the password is, for those who read it from a file.
    pub fn password_file(&self) -> Result<PathBuf> {
        let file = self.home.with_extension("password");
        fs::write(&file, PASSWORD)?;
        Ok(file)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// An empty directory of a server.
fn fresh(name: &str, port: u16) -> Result<PathBuf> {
    let home = target_dir().join("stores").join(format!("{name}-{port}"));
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    Ok(home.canonicalize()?)
}

fn postgres_programs() -> Result<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    folders.sort();
    folders.extend(["/usr/bin", "/usr/local/bin", "/usr/local/pgsql/bin"].map(PathBuf::from));
    folders
        .into_iter()
        .rev()
        .find(|folder| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file()))
        .context("PostgreSQL is not here; get it with: apt-get install postgresql")
}

fn program(name: &str, folders: &[&str], package: &str) -> Result<PathBuf> {
    let found = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not here; get it with: apt-get install {package}"))
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// PostgreSQL refuses to be run by root: then it is run by its own user.
fn as_nobody(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

/// Hands a file or a directory to whoever PostgreSQL is run by.
fn give_away(path: &Path) -> Result<()> {
    if is_root() {
        done(Command::new("chown").arg("postgres:postgres").arg(path).output()?, "chown")?;
    } else {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn done(output: Output, what: &str) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} failed ({}): {said}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn signal(server: &Child, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(server.id().to_string()).status();
}

fn gone(server: &mut Child) -> Result<()> {
    let patience = Instant::now() + PATIENCE;
    while server.try_wait()?.is_none() {
        if Instant::now() > patience {
            server.kill()?;
            server.wait()?;
            bail!("it had to be killed");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn last_lines(home: &Path) -> String {
    let text = fs::read_to_string(home.join("output.log")).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
