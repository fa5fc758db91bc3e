//! A real Kafka broker for a bench, on this machine; stopped when this process is gone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::ensure;
use journal::Topology;
use journal::kafka::{Options, topics};
use service::Clock;

/// One broker. Its jars come from Maven Central once; it needs a JDK and Maven.
pub struct Broker {
    port: u16,
}

impl Broker {
    /// Starts one with nothing in it.
    ///
    /// # Errors
    ///
    /// When it does not start: with what it said.
    pub fn start() -> anyhow::Result<Self> {
        let free = || Ok::<_, std::io::Error>(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (port, controller) = (free()?, free()?);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kafka/up");
        let output = Command::new(script)
            .env("KAFKA_PORTS", format!("{port}:{controller}"))
            .env("KAFKA_HOME", home().join(format!("bench-{port}")))
            .env("KAFKA_JARS", jars())
            .env("KAFKA_OWNER", std::process::id().to_string())
            .env("KAFKA_HEAP", "768m")
            .stdin(Stdio::null())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { port })
    }

    /// Its address.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A journal here, with topics of its own: they are made.
    ///
    /// # Errors
    ///
    /// When they cannot be made.
    pub async fn journal(&self, prefix: &str, topology: Topology) -> anyhow::Result<Options> {
        let options = options(&self.server(), prefix, topology);
        topics::create(&options, Some(1)).await?;
        Ok(options)
    }
}

/// A journal that is there.
pub fn options(server: &str, prefix: &str, topology: Topology) -> Options {
    let mut options = Options::new(server, topology, Clock::system());
    options.prefix = prefix.to_owned();
    options
}

/// Where the broker's programs are.
pub fn jars() -> PathBuf {
    home().join("jars")
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kafka")
}
