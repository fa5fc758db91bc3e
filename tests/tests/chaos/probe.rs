//! Whether screens are honest. A caller joins a queue of its own every now and then and stays there, so a screen's number of waiting callers
//! says which of the acknowledged ones it knows. A frame that calls its figures so old promises that everything recorded before is in
//! them (docs/spec/websocket.md): one in which an acknowledged caller is missing lies.

use anyhow::{Context as _, Result, bail, ensure};
use futures::{SinkExt as _, StreamExt as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::PATIENCE;
use super::world::lock;

/// The queue that nobody serves.
const QUEUE: &str = "probe";
/// Between two callers.
const PAUSE: Duration = Duration::from_millis(400);
/// From which age on figures must be called old; the pusher's default.
const STALE_MS: i64 = 5_000;

/// What is known of callers and screens.
#[derive(Default)]
struct Known {
    /// When (Unix milliseconds) each caller was known to be acknowledged.
    acknowledged: Vec<i64>,
    screens: Vec<Told>,
}

/// What one screen said.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Frames that say how old they are.
    pub frames: u64,
    /// Of those: called old.
    pub stale: u64,
    /// The greatest age that a frame admitted.
    pub oldest_ms: i64,
    /// What was not true.
    pub lies: Vec<String>,
    /// Callers on it now, and whether it calls itself fresh.
    waiting: i64,
    fresh: bool,
}

/// The prober and its screens at work.
pub struct Probe {
    known: Arc<Mutex<Known>>,
    finish: Arc<AtomicBool>,
    prober: JoinHandle<Result<()>>,
    screens: Vec<JoinHandle<()>>,
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

impl Probe {
    /// Callers come in by the doors, and each of the wallboards is looked at.
    pub fn start(doors: Vec<SocketAddr>, pushers: &[SocketAddr]) -> Self {
        let known = Arc::new(Mutex::new(Known::default()));
        lock(&known).screens.resize(pushers.len(), Told::default());
        let finish = Arc::<AtomicBool>::default();
        let prober = tokio::spawn(call(doors, Arc::clone(&known), Arc::clone(&finish)));
        let look = |(number, pusher): (usize, &SocketAddr)| tokio::spawn(look(*pusher, number, Arc::clone(&known)));
        Self { screens: pushers.iter().enumerate().map(look).collect(), known, finish, prober }
    }

    /// Fails when a screen has lied.
    pub fn honest(&self) -> Result<()> {
        for (number, screen) in lock(&self.known).screens.iter().enumerate() {
            let lies = screen.lies.len();
            ensure!(lies == 0, "screen {number} told {lies} lies: {}", screen.lies[..lies.min(5)].join("; "));
        }
        Ok(())
    }

    /// Waits until every screen knows all callers that were acknowledged by now, and calls itself fresh. Answers how long that took.
    pub async fn caught_up(&self) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            {
                let known = lock(&self.known);
                let all = known.acknowledged.len() as i64;
                if known.screens.iter().all(|screen| screen.fresh && screen.waiting >= all) {
                    return Ok(begun.elapsed());
                }
                ensure!(begun.elapsed() < PATIENCE, "{all} callers wait, and the screens say {:?}", known.screens);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// No more callers; answers how many there were and what the screens told when all of them know all.
    pub async fn finish(mut self) -> Result<(i64, Vec<Told>)> {
        self.finish.store(true, Ordering::SeqCst);
        (&mut self.prober).await.context("the prober crashed")??;
        self.caught_up().await?;
        self.honest()?;
        let known = lock(&self.known);
        let all = known.acknowledged.len() as i64;
        let beyond = known.screens.iter().find(|screen| screen.waiting != all);
        ensure!(beyond.is_none(), "{all} callers wait, and a screen says {beyond:?}");
        Ok((all, known.screens.clone()))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.prober.abort();
        self.screens.iter().for_each(JoinHandle::abort);
    }
}

/// Callers, one after the other; each is sent until it is acknowledged.
async fn call(mut doors: Vec<SocketAddr>, known: Arc<Mutex<Known>>, finish: Arc<AtomicBool>) -> Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(8)).build()?;
    let mut number = 0;
    while !finish.load(Ordering::SeqCst) {
        let body = caller(number);
        loop {
            let url = format!("http://{}/v1/ingest", doors[0]);
            let answer = client.post(url).header("content-type", "application/json").body(body.clone()).send().await;
            match answer.map(|answer| answer.status()) {
                Ok(status) if status.as_u16() == 202 => break,
                Ok(status) if status.as_u16() == 429 || status.is_server_error() => {}
                Ok(status) => bail!("the door says {status} to a caller"),
                Err(_) => {}
            }
            doors.rotate_left(1);
            sleep(Duration::from_millis(50)).await;
        }
        lock(&known).acknowledged.push(now_ms());
        number += 1;
        sleep(PAUSE).await;
    }
    Ok(())
}

fn caller(number: u64) -> String {
    let event = |nth: u64, kind: &str, data: Value| {
        json!({
            "specversion": "1.0", "id": format!("p{number}/{nth}"), "source": "prober", "type": format!("call.{kind}.v1"),
            "subject": format!("call/p{number}"), "datacontenttype": "application/json", "data": data,
            "time": format!("{:.3}", Timestamp::from_millisecond(now_ms() + nth as i64).expect("a time of the calendar")),
        })
    };
    let offered = event(0, "offered", json!({ "direction": "inbound", "ani": { "digits": "13800130000" } }));
    json!([offered, event(1, "queued", json!({ "queue": QUEUE }))]).to_string()
}

/// A screen that comes back whenever its connection is gone.
async fn look(pusher: SocketAddr, number: usize, known: Arc<Mutex<Known>>) {
    loop {
        // Whatever ended it: pushers come and go here.
        let _ = follow(pusher, number, &known).await;
        lock(&known).screens[number].fresh = false;
        sleep(Duration::from_millis(100)).await;
    }
}

async fn follow(pusher: SocketAddr, number: usize, known: &Mutex<Known>) -> Result<()> {
    let connect = tokio_tungstenite::connect_async(format!("ws://{pusher}/v1/ws"));
    let (mut socket, _) = timeout(Duration::from_secs(5), connect).await??;
    let filter = json!({ "queues": [QUEUE] });
    let subscribe = json!({ "op": "subscribe", "id": "probe", "topics": ["queues"], "filter": filter });
    socket.send(Message::text(subscribe.to_string())).await?;
    lock(known).screens[number].waiting = 0;
    let mut begun = false;
    // Beats come every two seconds from one that lives.
    while let Some(message) = timeout(Duration::from_secs(20), socket.next()).await? {
        let Message::Text(text) = message? else { continue };
        let frame: Value = serde_json::from_str(&text)?;
        begun |= frame["op"] == "snapshot";
        if begun && frame.get("stale").is_some() {
            let mut known = lock(known);
            let Known { acknowledged, screens } = &mut *known;
            screens[number].hear(&frame, acknowledged).with_context(|| format!("in {text}"))?;
        }
    }
    Ok(())
}

impl Told {
    fn hear(&mut self, frame: &Value, acknowledged: &[i64]) -> Result<()> {
        let items = [&frame["items"], &frame["changed"]].into_iter().filter_map(Value::as_array).flatten();
        for item in items {
            ensure!(item["key"].as_str().is_some_and(|key| key.contains(QUEUE)), "a foreign item");
            self.waiting = item["waiting"].as_i64().context("waiting")?;
        }
        self.frames += 1;
        let stale = frame["stale"].as_bool().context("stale")?;
        self.stale += u64::from(stale);
        let Some(age) = frame["age_ms"].as_i64() else {
            if !stale {
                self.lies.push(format!("nothing has come, and that is called fresh: {frame}"));
            }
            self.fresh = false;
            return Ok(());
        };
        // Before the first event of a partition, figures are as old as the epoch.
        if age < 86_400_000 {
            self.oldest_ms = self.oldest_ms.max(age);
        }
        self.fresh = !stale;
        let time: Timestamp = frame["time"].as_str().context("time")?.parse()?;
        let known_until = time.as_millisecond() - age;
        let must = acknowledged.iter().filter(|at| **at <= known_until).count() as i64;
        if self.waiting < must {
            self.lies.push(format!("{must} callers were acknowledged {age} ms before, {} are shown", self.waiting));
        }
        if (age > STALE_MS) != stale {
            self.lies.push(format!("{age} ms old and stale: {stale}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_that_misses_an_acknowledged_caller_or_calls_old_figures_fresh_lies() {
        let hear = |waiting: i64, age: i64, stale: bool| {
            let mut told = Told::default();
            let items = json!([{ "key": "default/prober/probe", "waiting": waiting }]);
            let time = "2026-11-21T08:00:10.000Z";
            let frame = json!({ "op": "snapshot", "time": time, "age_ms": age, "stale": stale, "items": items });
            let at = |seconds: &str| -> i64 {
                format!("2026-11-21T08:00:{seconds}Z").parse::<Timestamp>().expect("a time").as_millisecond()
            };
            told.hear(&frame, &[at("01.000"), at("09.000")]).expect("a frame");
            told.lies.len()
        };
        assert_eq!(hear(2, 10, false), 0);
        assert_eq!(hear(1, 10, false), 1, "one that was acknowledged a second before is missing");
        assert_eq!(hear(1, 1_500, false), 0, "it says that it does not know the last second");
        assert_eq!(hear(0, 1_500, false), 1);
        assert_eq!(hear(1, 6_000, true), 0);
        assert_eq!(hear(1, 6_000, false), 1, "old, and called fresh");
    }
}
