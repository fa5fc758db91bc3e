//! Starts and stops the real Kafka of `tests/kafka`, one cluster per range of ports.

use crate::pbx::target_dir;
use anyhow::{Context as _, Result, ensure};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The user that a secured broker lets in, and the password.
pub const LOGIN: (&str, &str) = ("tidegate", "tidegate-secret");

/// A cluster on loopback. It is stopped, and its data removed, when this process is gone, however it went.
#[derive(Debug)]
pub struct Brokers {
    home: PathBuf,
    /// Of each node: the brokers' port and the controllers'.
    ports: Vec<(u16, u16)>,
    secure: Option<u16>,
}

impl Brokers {
    /// Starts `nodes` (one, or three with three copies of everything). The first start on a machine fetches the jars.
    pub fn start(nodes: usize, secure: bool) -> Result<Self> {
        // Held until all are chosen, so that no two are the same.
        let held: Vec<_> =
            (0..2 * nodes + 1).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
        let free: Vec<u16> = held.iter().map(|l| l.local_addr().map(|a| a.port())).collect::<Result<_, _>>()?;
        let ports: Vec<_> = (0..nodes).map(|node| (free[2 * node], free[2 * node + 1])).collect();
        drop(held);
        let name = format!("{}-{}", std::process::id(), ports[0].0);
        let secure = secure.then(|| free[2 * nodes]);
        let brokers = Self { home: target_dir().join("kafka").join(name), ports, secure };
        brokers.up()?;
        Ok(brokers)
    }

    /// One node for all tests of this process, with a secured listener beside the plain one.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Brokers> = OnceLock::new();
        SHARED.get_or_init(|| {
            Brokers::start(1, true)
                .expect("a Kafka; it needs openjdk-17-jre-headless and maven, and Maven Central once")
        })
    }

    /// Where the brokers are.
    pub fn servers(&self) -> Vec<String> {
        self.ports.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect()
    }

    /// Where the secured listener is.
    pub fn secured(&self) -> Option<String> {
        self.secure.map(|port| format!("127.0.0.1:{port}"))
    }

    /// The certificate of the authority that the secured listener's certificate is from.
    pub fn authority(&self) -> PathBuf {
        self.home.join("tls/ca.pem")
    }

    /// The tables of a configuration that lead to a journal here, with this prefix: `at` is `collector.journal`, or `journal` for a command.
    pub fn tables(&self, at: &str, prefix: &str) -> String {
        let brokers = self.servers().join("\", \"");
        format!("[{at}]\nkind = \"kafka\"\n[{at}.kafka]\nbrokers = [\"{brokers}\"]\nprefix = \"{prefix}\"\n")
    }

    /// Starts what does not run.
    pub fn up(&self) -> Result<()> {
        self.script("up", &[], "")
    }

    /// Pulls the plug of a node, counted from 1.
    pub fn kill(&self, node: usize) -> Result<()> {
        self.down(&[&node.to_string()], true)
    }

    /// Asks a node, counted from 1, to finish; `up` brings it back.
    pub fn stop(&self, node: usize) -> Result<()> {
        self.down(&[&node.to_string()], false)
    }

    /// The processes of the nodes that run.
    pub fn pids(&self) -> Vec<u32> {
        let file = |node: usize| std::fs::read_to_string(self.home.join(format!("node-{node}/pid"))).ok();
        (1..=self.ports.len()).filter_map(|node| file(node)?.trim().parse().ok()).collect()
    }

    /// Changes settings of a topic, by Kafka's own tool.
    pub fn alter(&self, topic: &str, settings: &str) -> Result<()> {
        let jars = target_dir().join("kafka/jars/*");
        let output = Command::new("java")
            .args(["-Xmx128m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"])
            .arg(jars)
            .args(["kafka.admin.ConfigCommand", "--bootstrap-server", &self.servers()[0], "--alter"])
            .args(["--entity-type", "topics", "--entity-name", topic, "--add-config", settings])
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && !said.contains("Error"), "{topic} cannot be altered: {said}");
        Ok(())
    }

    fn down(&self, arguments: &[&str], kill: bool) -> Result<()> {
        self.script("down", arguments, if kill { "1" } else { "" })
    }

    fn script(&self, name: &str, arguments: &[&str], kill: &str) -> Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka").join(name);
        let ports: Vec<_> = self.ports.iter().map(|(broker, controller)| format!("{broker}:{controller}")).collect();
        let mut command = Command::new(&script);
        command
            .args(arguments)
            .env("KAFKA_PORTS", ports.join(" "))
            .env("KAFKA_HOME", &self.home)
            .env("KAFKA_JARS", target_dir().join("kafka/jars"))
            .env("KAFKA_OWNER", std::process::id().to_string())
            .env("KILL", kill)
            .stdin(Stdio::null());
        if let Some(port) = self.secure {
            command.env("KAFKA_SECURE", port.to_string());
        }
        let output = command.output().with_context(|| format!("cannot run {}", script.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} failed:\n{said}", script.display());
        Ok(())
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        if let Err(error) = self.down(&["--purge"], true) {
            eprintln!("the brokers on {:?} may still run: {error:#}", self.servers());
        }
    }
}
