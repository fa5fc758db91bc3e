//! FastAGI: one connection, one decision.
//!
//! Asterisk gives `AGI()` no limit of time, and says `SUCCESS` when a server hangs up without a word: so the dialplan has a limit of its own
//! and looks at `TIDEGATE_TARGET`, which is set last. What breaks before that leaves it empty, and the dialplan falls back.
//!
//! A decision is told to the record when the PBX has taken it, not when it was made: what nobody heard did not happen.

pub mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::SourceId;
use service::config::{ConfigFile, Millis, Problems};
use service::http::Listen;
use service::{Clock, Drain, Tasks, metric};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::ask::{Answer, Ask};
use crate::gate::{Channel, Gate};
use wire::{Head, Said, SetVariable};

/// Where FastAGI is spoken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it is spoken at all.
    pub enabled: bool,
    /// Address and port. FastAGI has neither encryption nor passwords: keep it on loopback, or on a network of its own.
    pub listen: Listen,
    /// The source that these calls belong to, where `AGI()` names none (`source=pbx1`).
    pub source: SourceId,
    /// How long a PBX may take over the whole of a connection.
    pub connection_max: Millis,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            enabled: true,
            listen: Listen::loopback(4573),
            source: "pbx1".into(),
            connection_max: Millis::seconds(5),
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        problems.within("listen", |problems| self.listen.check(problems));
        problems.not_empty("source", self.source.as_str());
        problems.range("connection_max", self.connection_max, Millis::new(100)..=Millis::seconds(60));
    }
}

/// Speaks FastAGI.
pub(crate) struct Server {
    pub(crate) gate: Arc<Gate>,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) connections: Tasks,
}

/// How a connection ended, for the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Told,
    HungUp,
    Malformed,
    Refused,
    Broken,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            End::Told => "told",
            End::HungUp => "hung_up",
            End::Malformed => "malformed",
            End::Refused => "refused",
            End::Broken => "broken",
        }
    }
}

impl Server {
    /// Takes connections until the drain.
    pub(crate) async fn run(self, listener: TcpListener, drain: Drain) -> io::Result<()> {
        let server = Arc::new(self);
        metric::describe_counter("cti_agi_connections_total", "FastAGI connections, by how they ended");
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.started() => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    let server = Arc::clone(&server);
                    let connections = server.connections.clone();
                    // Beyond the bound the connection is closed at once: the dialplan falls back faster than it would be answered.
                    if connections.spawn("call", async move { server.serve(stream, from).await }).is_err() {
                        count(End::Refused);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a FastAGI connection");
                    server.clock.sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    async fn serve(&self, mut stream: TcpStream, from: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let talk = self.clock.timeout(self.config.connection_max.duration(), self.talk(&mut stream)).await;
        let end = match talk {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => {
                tracing::debug!(%error, %from, "a FastAGI connection broke");
                End::Broken
            }
            Err(_) => End::Broken,
        };
        count(end);
        let _ = stream.shutdown().await;
    }

    async fn talk(&self, stream: &mut TcpStream) -> io::Result<End> {
        let began = self.clock.monotonic();
        let mut head = Vec::with_capacity(1_024);
        let left = self.gate.deadline();
        // A PBX that says its head so slowly is told where to go before it has said who asks.
        let heard = match self.clock.timeout(left, hear(stream, &mut head)).await {
            Ok(heard) => heard?,
            Err(_) => {
                let answer = self.gate.late();
                return self.tell(stream, &answer).await;
            }
        };
        let Some(end) = heard else { return Ok(End::Malformed) };
        let parsed = Head::parse(&head[..end]).map_err(|why| why.to_string()).and_then(|head| self.ask(&head));
        let ask = match parsed {
            Ok(ask) => ask,
            Err(why) => {
                tracing::warn!(why, "a FastAGI request makes no sense; the dialplan falls back");
                return Ok(End::Malformed);
            }
        };
        let decided = self.gate.decide(&ask, began);
        let end = self.tell(stream, &decided.answer).await?;
        if end == End::Told {
            self.gate.carried_out(&ask, &decided, Channel::Asterisk);
        }
        Ok(end)
    }

    fn ask(&self, head: &Head) -> Result<Ask, String> {
        let given = |key: &str| head.argument(key).map(str::to_owned);
        let ask = Ask {
            source: head.argument("source").map_or_else(|| self.config.source.clone(), SourceId::new),
            call: head.argument("call").unwrap_or(&head.uniqueid).into(),
            queue: head.argument("queue").ok_or("AGI() names no queue: add the argument queue=NAME")?.into(),
            caller: given("caller").or_else(|| head.caller.clone()),
            dialled: given("dialled").or_else(|| head.dialled.clone()),
            language: given("language").or_else(|| head.language.clone()),
            returned: head.argument("returned").is_some_and(|said| said == "1"),
        };
        ask.fault().map_or(Ok(ask), Err)
    }

    /// Sets the variables, the target last.
    async fn tell(&self, stream: &mut TcpStream, answer: &Answer) -> io::Result<End> {
        let (level, plan) = (answer.level.to_string(), answer.plan.to_string());
        let offers = answer.offers.join(",");
        let variables = [
            ("TIDEGATE_REASON", answer.reason.as_str()),
            ("TIDEGATE_LEVEL", &level),
            ("TIDEGATE_PLAN", &plan),
            ("TIDEGATE_OFFERS", &offers),
            ("TIDEGATE_SERVICE", answer.service.as_deref().unwrap_or("")),
            ("TIDEGATE_DESTINATION", answer.address.as_deref().unwrap_or("")),
            ("TIDEGATE_TARGET", answer.target.as_str()),
        ];
        let always = |variable: &str| {
            matches!(variable, "TIDEGATE_TARGET" | "TIDEGATE_REASON" | "TIDEGATE_LEVEL" | "TIDEGATE_PLAN")
        };
        let mut line = Vec::with_capacity(128);
        for (variable, value) in variables.into_iter().filter(|(variable, value)| always(variable) || !value.is_empty())
        {
            let command = match SetVariable::new(variable, value) {
                Ok(command) => command,
                Err(refused) => {
                    tracing::warn!(%refused, "a value of the plan cannot be said to a PBX; the dialplan falls back");
                    return Ok(End::Malformed);
                }
            };
            stream.write_all(command.line().as_bytes()).await?;
            match answered(stream, &mut line).await? {
                Said::Done => {}
                Said::HungUp => return Ok(End::HungUp),
                Said::Not(code) => {
                    tracing::warn!(code, variable, "the PBX does not set a variable");
                    return Ok(End::Broken);
                }
            }
        }
        Ok(End::Told)
    }
}

/// Reads a head; where it ends, or `None` when the PBX left before that or says too much.
async fn hear(stream: &mut TcpStream, head: &mut Vec<u8>) -> io::Result<Option<usize>> {
    loop {
        if let Some((end, _)) = Head::end(head) {
            return Ok(Some(end));
        }
        if head.len() > wire::HEAD_MAX || stream.read_buf(head).await? == 0 {
            return Ok(None);
        }
    }
}

/// Reads the answer to a command: lines that are no answer are passed over.
async fn answered(stream: &mut TcpStream, line: &mut Vec<u8>) -> io::Result<Said> {
    let mut heard = 0;
    loop {
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let said = wire::said(&String::from_utf8_lossy(&line[..end]));
            line.drain(..=end);
            if let Some(said) = said {
                return Ok(said);
            }
        }
        let read = stream.read_buf(line).await?;
        heard += read;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if heard > wire::ANSWER_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer without an end"));
        }
    }
}

fn count(end: End) {
    metric::counter("cti_agi_connections_total", &[("end", end.name())]).increment(1);
}
