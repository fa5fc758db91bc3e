//! One connection: banner, login, then what the driver says to it and what it asks of the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use service::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::answer::Hearing;
use super::wire::{ACTION_BYTES_MAX, Action};
use super::{BANNER, md5};
use crate::drive::{Inbox, Order};
use crate::plan::{Ami, User};

/// A connection that has not logged in by then is closed (`authtimeout`).
const LOGIN_MAX: Duration = Duration::from_secs(30);

/// So many bytes are written under one limit of time.
const PIECE: usize = 64 * 1_024;

/// How many chunks may wait for a session. Together with the backlog in bytes this bounds what a slow reader costs.
pub(crate) const CHUNKS_MAX: usize = 4_096;

/// The driver's end of a session: what it sends, and how much is still to be written.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Chunks of whole frames.
    pub(crate) chunks: mpsc::Sender<Bytes>,
    /// Bytes not yet written.
    pub(crate) behind: Arc<AtomicUsize>,
}

/// What a session is given.
pub(crate) struct Given {
    pub(crate) ami: Arc<Ami>,
    pub(crate) inbox: Inbox,
    pub(crate) clock: Clock,
    /// Told whenever something has been written.
    pub(crate) room: Arc<Notify>,
}

/// Why a session ended; for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The client went away, or logged off.
    ByClient,
    /// It took nothing for too long.
    TookNothing,
    /// It sent what no client sends.
    Nonsense,
    /// It did not log in.
    NotLoggedIn,
    /// The centre cut it: too far behind, a fault, or the end.
    Cut,
}

/// Serves one connection to its end.
pub(crate) async fn serve(stream: TcpStream, id: u64, given: Given) -> Ended {
    let Given { ami, inbox, clock, room } = given;
    let _ = stream.set_nodelay(true);
    let mut link =
        Link { stream, read: Vec::new(), clock: clock.clone(), limit: Duration::from_millis(ami.write_timeout_ms) };
    if let Err(ended) = link.write(BANNER.as_bytes()).await {
        return ended;
    }
    let (user, login) = match clock.timeout(LOGIN_MAX, link.login(&ami, id)).await {
        Ok(Ok(found)) => found,
        Ok(Err(ended)) => return ended,
        Err(_) => return Ended::NotLoggedIn,
    };
    let (chunks, mut waiting) = mpsc::channel(CHUNKS_MAX);
    let behind = Arc::new(AtomicUsize::new(0));
    let mut hearing = Hearing {
        allowed: user.read,
        mask: u16::MAX,
        only: Vec::new(),
        without: Vec::new(),
        may_order: user.may_order,
    };
    if let Some(mask) = login.get("Events") {
        hearing.set_mask(mask);
    }
    let outbox = Outbox { chunks, behind: behind.clone() };
    if inbox.send(Order::Enter { id, hearing, outbox, login }).await.is_err() {
        return Ended::Cut;
    }
    let ended = link.converse(id, &inbox, &mut waiting, &behind, &room).await;
    waiting.close();
    room.notify_one();
    let _ = inbox.send(Order::Leave { id }).await;
    ended
}

struct Link {
    stream: TcpStream,
    read: Vec<u8>,
    clock: Clock,
    limit: Duration,
}

impl Link {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        // Piece by piece: the limit is for a client that takes nothing, not for one that takes a long list slowly.
        for piece in bytes.chunks(PIECE) {
            match self.clock.timeout(self.limit, self.stream.write_all(piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Ended::ByClient),
                Err(_) => return Err(Ended::TookNothing),
            }
        }
        Ok(())
    }

    /// Reads until a whole action is there. May be dropped and called again: nothing read is lost.
    async fn next(&mut self) -> Result<Action, Ended> {
        loop {
            if let Some(action) = Action::take(&mut self.read) {
                return Ok(action);
            }
            if self.read.len() > ACTION_BYTES_MAX {
                return Err(Ended::Nonsense);
            }
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) | Err(_) => return Err(Ended::ByClient),
                Ok(_) => {}
            }
        }
    }

    async fn login(&mut self, ami: &Ami, id: u64) -> Result<(User, Action), Ended> {
        // The challenge need not be secret, only not the same twice in a row.
        let challenge = format!("{}", 100_000_000 + id.wrapping_mul(2_654_435_761) % 900_000_000);
        let mut challenged = false;
        loop {
            let action = self.next().await?;
            let answer = match action.name().as_str() {
                "challenge" if action.get("AuthType").is_none() => action.say("Error", "Must specify AuthType"),
                "challenge" => {
                    challenged = true;
                    action.answer("Success").put("Challenge", &challenge).end()
                }
                "login" => {
                    let user = ami.users.iter().find(|user| action.get("Username") == Some(&user.name));
                    let fits = |user: &&User| match action.get("AuthType") {
                        Some(_) => {
                            let key = md5::hex(format!("{challenge}{}", user.secret).as_bytes());
                            challenged && action.get("Key").is_some_and(|given| given.eq_ignore_ascii_case(&key))
                        }
                        None => action.get("Secret") == Some(&user.secret),
                    };
                    if let Some(user) = user.filter(fits) {
                        return Ok((user.clone(), action));
                    }
                    self.write(action.say("Error", "Authentication failed").as_bytes()).await?;
                    return Err(Ended::NotLoggedIn);
                }
                "logoff" => {
                    self.write(action.say("Goodbye", "Thanks for all the fish.").as_bytes()).await?;
                    return Err(Ended::ByClient);
                }
                _ => action.say("Error", "Permission denied"),
            };
            self.write(answer.as_bytes()).await?;
        }
    }

    async fn converse(
        &mut self,
        id: u64,
        inbox: &Inbox,
        waiting: &mut mpsc::Receiver<Bytes>,
        behind: &AtomicUsize,
        room: &Notify,
    ) -> Ended {
        loop {
            let step = tokio::select! {
                biased;
                chunk = waiting.recv() => match chunk {
                    Some(chunk) => {
                        let done = self.write(&chunk).await;
                        behind.fetch_sub(chunk.len(), Ordering::Relaxed);
                        room.notify_one();
                        done
                    }
                    None => Err(Ended::Cut),
                },
                action = self.next() => match action {
                    Ok(action) => inbox.send(Order::Act { id, action }).await.map_err(|_| Ended::Cut),
                    Err(ended) => Err(ended),
                },
            };
            if let Err(ended) = step {
                return ended;
            }
        }
    }
}
