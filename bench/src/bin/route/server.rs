//! The gate and its peer, each on a thread of its own: what a request costs is that thread's processor time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::post;
use cti::ask::{Answer, Ask, Why};
use cti::gate::Gate;
use cti::{Config, Cti};
use journal::memory::Memory;
use journal::{Journal, Topology};
use model::Time;
use service::config::Millis;
use service::http::{Auth, Listen, Role, auth};
use service::{Clock, Component, Context, Drain, Seeds};

use crate::flood::{CENTRES, see};

/// A server on a thread.
pub struct Server {
    /// Where it answers HTTP.
    pub http: SocketAddr,
    /// Where it speaks FastAGI; the peer does not.
    pub agi: Option<SocketAddr>,
    /// The token that it wants.
    pub token: String,
    /// The gate; the peer has none.
    pub gate: Option<Arc<Gate>>,
    /// What the gate follows, and tells.
    pub journal: Option<Arc<dyn Journal>>,
    thread: String,
    drain: Drain,
}

type Begun = (SocketAddr, Option<SocketAddr>, Option<Arc<Gate>>, String);

impl Server {
    /// The gate with two queues in a flood, its decisions going to a journal in memory.
    pub fn gate(clock: &Clock) -> Result<Server> {
        let (token, sha256) = auth::generate();
        let known = auth::Token { name: "pbx".into(), sha256, tenant: "*".into(), role: Role::Operator };
        let mut config = Config {
            listen: Listen::loopback(0),
            auth: Auth { tokens: vec![known], anonymous: None },
            deadline: Millis::new(50),
            ..Config::default()
        };
        config.agi.listen = Listen::loopback(0);
        let context = Context::new("cti", "cti-1", clock.clone(), &Seeds::fixed(1));
        let journal: Arc<dyn Journal> = Memory::new(Topology::default(), clock.clone());
        let context = context.with_shared(Arc::clone(&journal));
        let drain = context.drain.clone();
        let begin = move |told: std::sync::mpsc::SyncSender<Begun>| async move {
            let cti = Cti::build(config, &context).await?;
            let gate = cti.gate();
            let now = Time(context.clock.now_ms());
            CENTRES.iter().for_each(|centre| centre.set_up(&gate, now));
            see(&gate, now);
            let (http, agi) = cti.addresses();
            told.send((http.context("no door")?, agi, Some(gate), thread_path()?))?;
            cti.run(context).await?;
            anyhow::Ok(())
        };
        let mut server = start("gate", token, drain, begin)?;
        server.journal = Some(journal);
        Ok(server)
    }

    /// An axum handler that reads the same question and answers something of the same size, and knows nothing.
    pub fn bare() -> Result<Server> {
        let drain = Drain::new();
        let stop = drain.clone();
        let begin = move |told: std::sync::mpsc::SyncSender<Begun>| async move {
            let answer = Answer {
                name: Some("smart".to_owned()),
                address: Some("tidegate-targets,smart,1".to_owned()),
                level: 2,
                plan: 1,
                ..Answer::enter(Why::Place)
            };
            let handler = move |axum::Json(_ask): axum::Json<Ask>| {
                let answer = answer.clone();
                async move { axum::Json(answer) }
            };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            told.send((listener.local_addr()?, None, None, thread_path()?))?;
            let router = Router::new().route("/v1/route", post(handler));
            axum::serve(listener, router).with_graceful_shutdown(async move { stop.started().await }).await?;
            anyhow::Ok(())
        };
        start("bare", "none".to_owned(), drain, begin)
    }

    /// Processor time of its thread so far.
    pub fn cpu(&self) -> Result<Duration> {
        let path = format!("/proc/{}/schedstat", self.thread);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let nanos = text.split(' ').next().context("an empty schedstat")?.parse()?;
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.drain.start("the bench is over");
    }
}

/// `PID/task/TID` of the thread that asks.
fn thread_path() -> Result<String> {
    Ok(std::fs::read_link("/proc/thread-self")?.to_string_lossy().into_owned())
}

fn start<F, R>(name: &str, token: String, drain: Drain, begin: F) -> Result<Server>
where
    F: FnOnce(std::sync::mpsc::SyncSender<Begun>) -> R + Send + 'static,
    R: Future<Output = Result<()>>,
{
    let (told, heard) = sync_channel(1);
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(begin(told)));
        if let Err(error) = ended {
            eprintln!("a server of this bench ended: {error:#}");
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    let (http, agi, gate, thread) = heard.recv_timeout(Duration::from_secs(30)).context("a server did not begin")?;
    Ok(Server { http, agi, token, gate, journal: None, thread, drain })
}
