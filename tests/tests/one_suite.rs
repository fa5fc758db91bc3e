//! The simulator is checked against the real Asterisk: the adapter's conformance suite passes on what each of them says.
//!
//! The suite needs a vendor that says the same each time. So a session with the living PBX is taped, and the tape is played
//! to the suite: each piece only after the session has asked as much as it had asked then.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes and a real PBX in real time")]

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter::conformance::{Stand, examine};
use adapter::{Adapter, Context, Known, Session};
use adapter_asterisk::Asterisk;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use service::{Clock, Component, Seeds};
use simulator::Simulator;
use tidegate_tests::drive::Drive;
use tidegate_tests::pbx::{PRODUCT_LOGIN, Pbx};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn the_adapters_suite_passes_on_a_real_asterisk() -> Result<()> {
    let pbx = Pbx::start(19_000)?;
    let drive = Drive { times: 1, verbose: false };
    let tape = Tape::of(pbx.ami(), PRODUCT_LOGIN.0, PRODUCT_LOGIN.1, drive.run(&pbx)).await?;
    drop(pbx);
    tape.examine().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapters_suite_passes_on_the_simulator() -> Result<()> {
    let mut config = simulator::Config { speed: 10.0, ..simulator::Config::default() };
    config.ami.address = "127.0.0.1:0".parse()?;
    config.control.enabled = false;
    let user = config.ami.users[0].clone();
    let context = service::Context::new("simulator", "test", Clock::system(), &Seeds::fixed(7));
    let plan = Simulator::plan(config).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let simulator = Simulator::build(plan, &context).await?;
    let address = simulator.ami_address().context("the simulator listens nowhere")?;
    let inner = context.clone();
    context.tasks.spawn("simulator", async move { simulator.run(inner).await })?;
    let play = async {
        tokio::time::sleep(Duration::from_secs(12)).await; // two minutes of its time
        Ok(())
    };
    let tape = Tape::of(address, &user.name, &user.secret.read()?, play).await?;
    context.drain.start("taped");
    tape.examine().await
}

/// What a PBX said to one session: pieces, each with how many bytes the session had sent before.
struct Tape {
    pieces: Arc<Vec<(usize, Vec<u8>)>>,
    user: String,
    secret: String,
}

impl Tape {
    /// Tapes a session of the adapter while `play` makes calls.
    async fn of(pbx: SocketAddr, user: &str, secret: &str, play: impl Future<Output = Result<()>>) -> Result<Tape> {
        let pieces = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let taping = tokio::spawn(tape(listener, pbx, Arc::clone(&pieces)));
        let (user, secret) = (user.to_owned(), secret.to_owned());
        let mut session = connect(config(port, &user, &secret)).await?;
        let listening = async {
            loop {
                session.next(1000).await?;
            }
        };
        tokio::select! {
            played = play => played?,
            broken = listening => return broken,
        }
        taping.abort();
        let pieces = std::mem::take(&mut *pieces.lock().expect("nobody panicked"));
        let bytes: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
        ensure!(bytes > 50_000, "only {bytes} bytes were taped: no calls were made");
        Ok(Tape { pieces: Arc::new(pieces), user, secret })
    }

    async fn examine(&self) -> Result<()> {
        examine::<Asterisk>(async || {
            let (port, vendor) = self.play();
            let config = config(port, &self.user, &self.secret);
            Stand { config, silence: Duration::from_secs(2), keep: Box::new(vendor) }
        })
        .await;
        Ok(())
    }

    /// A vendor that says what is on the tape to whoever asks the same.
    fn play(&self) -> (u16, std::thread::JoinHandle<()>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let pieces = Arc::clone(&self.pieces);
        let vendor = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the suite connects");
            let asked = Arc::new(AtomicUsize::new(0));
            let (mut ear, heard) = (stream.try_clone().expect("a socket has two ends"), Arc::clone(&asked));
            let listening = std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = ear.read(&mut buffer) {
                    heard.fetch_add(n, Ordering::SeqCst);
                }
            });
            for (needs, piece) in pieces.iter() {
                for _ in 0..2_000 {
                    if asked.load(Ordering::SeqCst) >= *needs {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                if stream.write_all(piece).is_err() {
                    return; // the session has gone
                }
            }
            let _ = listening.join(); // stays open until the session goes
        });
        (port, vendor)
    }
}

fn config(port: u16, user: &str, secret: &str) -> Value {
    json!({
        "host": "127.0.0.1", "port": port, "username": user, "secret": format!("plain:{secret}"),
        // No ping falls into the tape: it would come at another moment when played.
        "ping_every": "5m",
        "trunks": { "inbound_contexts": ["inbound", "from-trunk"] },
    })
}

async fn connect(config: Value) -> Result<impl Session> {
    let config = service::config::table::<adapter_asterisk::Config>(&config).accept();
    let config = config.map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let plan = Asterisk::plan(config).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let context =
        Context { source: "taped".into(), known: Known::default(), clock: Clock::system(), seeds: Seeds::fixed(1) };
    Ok(Asterisk::connect(&plan, context).await?)
}

type Pieces = Arc<Mutex<Vec<(usize, Vec<u8>)>>>;

async fn tape(listener: TcpListener, pbx: SocketAddr, pieces: Pieces) -> Result<()> {
    let (mut near, _) = listener.accept().await?;
    let mut far = TcpStream::connect(pbx).await?;
    let (mut asks, mut says) = ([0; 16 << 10], [0; 64 << 10]);
    let mut asked = 0;
    loop {
        tokio::select! {
            n = near.read(&mut asks) => match n? {
                0 => return Ok(()),
                n => {
                    asked += n;
                    far.write_all(&asks[..n]).await?;
                }
            },
            n = far.read(&mut says) => match n? {
                0 => return Ok(()),
                n => {
                    pieces.lock().expect("nobody panicked").push((asked, says[..n].to_vec()));
                    near.write_all(&says[..n]).await?;
                }
            },
        }
    }
}
