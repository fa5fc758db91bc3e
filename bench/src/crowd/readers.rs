//! Many clients of one server, and what they saw together.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service::{Clock, Drain, Tasks};

use super::{Client, Heard, now_us, stamp};
use crate::Spread;

/// What readers saw together.
#[derive(Debug, Default)]
pub struct Tally {
    /// Who has had its first frame of figures.
    pub current: AtomicU64,
    /// Text messages.
    pub frames: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// Items in the frames of the first reader alone: all see the same.
    pub updates_of_first: AtomicU64,
    /// Frames of the first reader alone.
    pub frames_of_first: AtomicU64,
    /// Whether delays are noted.
    pub measuring: AtomicBool,
    late_us: Mutex<Vec<u32>>,
    closed: Mutex<Vec<u16>>,
}

impl Tally {
    fn note(&self, number: usize, text: &[u8]) {
        self.frames.fetch_add(1, Relaxed);
        self.bytes.fetch_add(text.len() as u64, Relaxed);
        if number == 0 {
            let items = text.windows(KEY.len()).filter(|part| *part == KEY).count();
            self.updates_of_first.fetch_add(items as u64, Relaxed);
            self.frames_of_first.fetch_add(1, Relaxed);
        }
        if self.measuring.load(Relaxed)
            && let Some(made) = stamp(text)
        {
            let late = now_us().saturating_sub(made);
            lock(&self.late_us).push(u32::try_from(late).unwrap_or(u32::MAX));
        }
    }

    /// Takes the delays noted, in milliseconds, from the making of an update to its arrival.
    pub fn take_late_ms(&self) -> Spread {
        std::mem::take(&mut *lock(&self.late_us)).into_iter().map(|us| f64::from(us) / 1e3).collect()
    }

    /// The close codes of those who were sent away.
    pub fn closed(&self) -> Vec<u16> {
        lock(&self.closed).clone()
    }
}

/// What begins each item of a frame.
const KEY: &[u8] = br#"{"key":"#;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a message carries figures.
pub fn is_figures(text: &[u8]) -> bool {
    [br#"{"op":"snap"#.as_slice(), br#"{"op":"delt"#].iter().any(|start| text.starts_with(start))
}

/// Clients that read all they get.
pub struct Readers {
    tasks: Tasks,
    clock: Clock,
    /// What they saw.
    pub tally: Arc<Tally>,
}

impl Readers {
    /// Connects so many, `at_once` at the same time, and waits until all are subscribed. `say`: their first message.
    ///
    /// # Errors
    ///
    /// When one cannot connect.
    pub async fn connect(address: SocketAddr, count: usize, at_once: usize, say: &str) -> anyhow::Result<Readers> {
        let clock = Clock::system();
        let tasks = Tasks::new("readers", count + 1, clock.clone(), Drain::new());
        let readers = Readers { tasks, clock, tally: Arc::default() };
        readers.add(address, 0..count, at_once, say).await?;
        Ok(readers)
    }

    async fn add(
        &self,
        address: SocketAddr,
        which: std::ops::Range<usize>,
        at_once: usize,
        say: &str,
    ) -> anyhow::Result<()> {
        let mut left = which;
        while !left.is_empty() {
            let some = left.by_ref().take(at_once);
            let made = futures::future::join_all(some.map(|number| async move {
                let mut client = Client::connect(address, None).await?;
                client.say(say).await?;
                anyhow::Ok((number, client))
            }));
            for made in made.await {
                let (number, client) = made?;
                self.tasks.spawn("reader", read(number, client, Arc::clone(&self.tally)))?;
            }
        }
        Ok(())
    }

    /// Waits until so many have had figures.
    ///
    /// # Errors
    ///
    /// When they do not within half a minute.
    pub async fn are_current(&self, count: usize) -> anyhow::Result<()> {
        for _ in 0..3_000 {
            if self.tally.current.load(Relaxed) >= count as u64 {
                return Ok(());
            }
            self.clock.sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("{} of {count} clients had figures within half a minute", self.tally.current.load(Relaxed))
    }

    /// Ends them.
    pub async fn leave(self) {
        let _ = self.tasks.shutdown(Duration::ZERO).await;
    }
}

async fn read(number: usize, mut client: Client, tally: Arc<Tally>) {
    let mut current = false;
    loop {
        match client.hear().await {
            Ok(Heard::Text(text)) => {
                if !current && is_figures(text) {
                    current = true;
                    tally.current.fetch_add(1, Relaxed);
                }
                tally.note(number, text);
            }
            Ok(Heard::Closed(code)) => return lock(&tally.closed).push(code),
            Err(_) => return lock(&tally.closed).push(0),
        }
    }
}
