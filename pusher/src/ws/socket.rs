//! One connection: carries messages to its [`Session`] and frames from its feeds, one write per tick.
//!
//! Reading is left to tungstenite. Frames go past it: they were written once for all clients ([`Wire`]), and are sent from where they
//! lie, all of a tick in one vectored write.
//!
//! Invariant: a connection holds a number per feed and no queue. While a write lasts nothing is collected; what was missed
//! meanwhile comes melted with the next one.
//! Invariant: tungstenite has nothing left to write when a frame goes past it.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes};
use futures::SinkExt;
use model::Time;
use service::http::{Guard, Origins, Principal, Problem};
use service::{Clock, Tasks};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as Broken, Message};

use super::bell::Bell;
use super::close::Close;
use super::feed::Feed;
use super::handshake::{self, Handshake};
use super::hub::{Hub, Pulse};
use super::message::{Code, Complaint};
use super::session::{Effect, Limits, Session};
use super::wire::Wire;

/// Bounds and times of connections.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Of a conversation.
    pub session: Limits,
    /// The largest message of a client, in bytes.
    pub message_bytes: usize,
    /// The most bytes that may wait in the kernel for a client that does not read.
    pub unsent_bytes: usize,
    /// Messages a second, in the long run.
    pub messages_per_second: f64,
    /// Messages at once.
    pub messages_burst: f64,
    /// How long a write may take.
    pub write_timeout: Duration,
    /// How long a client may stay without a token.
    pub auth_timeout: Duration,
    /// How long a client may be silent before it is pinged; after three times that it is given up.
    pub ping_every: Duration,
}

/// What all connections share.
pub struct Door {
    /// The board and its feeds.
    pub hub: Arc<Hub>,
    /// Who may ask.
    pub guard: Guard,
    /// Which pages may connect.
    pub origins: Origins,
    /// Bounds.
    pub rules: Rules,
    /// A place for each connection.
    pub places: Arc<Semaphore>,
    /// The connections' tasks: some more than places, for those who are told that there is none.
    pub tasks: Tasks,
    /// The time.
    pub clock: Clock,
}

/// How long a client has to take a good-bye.
const GOODBYE: Duration = Duration::from_secs(1);

impl Door {
    /// Answers the handshake.
    ///
    /// # Errors
    /// When it is none, when the page may not connect, when the token is wrong, or when even those who are told that there is no
    /// place are as many as may be.
    pub fn open(self: Arc<Self>, request: &mut Parts) -> Result<Response, Problem> {
        self.origins.check(&request.headers)?;
        let who = match self.guard.judge(&request.headers) {
            Ok(principal) => Some(principal.clone()),
            // A wrong token is refused at once; without any there is time to send one.
            Err(problem) if shows_token(&request.headers) => return Err(problem),
            Err(_) => None,
        };
        let (response, upgrade) = Handshake::read(request)?.accept();
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        let tasks = self.tasks.clone();
        let started = tasks.spawn("socket", async move {
            let rules = &self.rules;
            let socket = handshake::socket(upgrade, rules.message_bytes, rules.unsent_bytes).await;
            if let Some(socket) = socket {
                let mut connection = Connection::new(self, socket);
                connection.run(who, place).await;
            }
        });
        match started {
            Ok(_) => Ok(response.into_response()),
            Err(full) => Err(Problem::unavailable(full.to_string(), 5)),
        }
    }
}

fn shows_token(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    headers.contains_key(header::AUTHORIZATION)
        || protocols.flat_map(|value| value.split(',')).any(|protocol| protocol.trim().starts_with("bearer."))
}

struct Following {
    feed: Arc<Feed>,
    seq: u64,
}

struct Connection<S> {
    door: Arc<Door>,
    socket: WebSocketStream<S>,
    /// Rings when the socket has a message.
    bell: Bell,
    session: Session,
    following: Vec<Following>,
    pulse: watch::Receiver<Pulse>,
    beat: u64,
    heard: Duration,
    pinged: Duration,
    credit: f64,
    /// What is being written: empty but while a write lasts.
    out: Vec<Bytes>,
    /// Whether a part of the first of `out` is sent already.
    begun: bool,
}

/// Why a conversation ends: with a close code of ours, or because the other side is gone.
enum End {
    Close(Close),
    Gone,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(door: Arc<Door>, socket: WebSocketStream<S>) -> Connection<S> {
        let (now, pulse) = (door.clock.monotonic(), door.hub.pulse());
        let session = Session::stranger(door.rules.session);
        let (beat, credit) = (pulse.borrow().beat, door.rules.messages_burst);
        let (bell, following, out) = (Bell::default(), Vec::new(), Vec::new());
        let (heard, pinged) = (now, now);
        Connection { door, socket, bell, session, following, pulse, beat, heard, pinged, credit, out, begun: false }
    }

    async fn run(&mut self, who: Option<Principal>, place: Option<OwnedSemaphorePermit>) {
        let open = service::metric::gauge("pusher_connections", &[]);
        open.increment(1.0);
        let end = if place.is_none() { End::Close(Close::Full) } else { self.converse(who).await };
        if let End::Close(close) = end {
            service::metric::counter("pusher_closed_total", &[("reason", close.reason())]).increment(1);
            self.part(close).await;
        }
        open.decrement(1.0);
    }

    /// Says good-bye: after the end of the frame that is half sent, and instead of the others.
    async fn part(&mut self, close: Close) {
        self.out.truncate(usize::from(self.begun));
        self.out.push(Wire::close(close).into_bytes());
        let (clock, rules) = (self.door.clock.clone(), &self.door.rules);
        // Who was too slow is told so if it reads again soon: before the close comes what it did not take so far.
        let patience = if close == Close::TooSlow { rules.write_timeout } else { GOODBYE };
        let _ = clock.timeout(patience, self.send()).await;
    }

    /// When it is to be looked whether the other side is still there. `begun`: when it came.
    fn due(&self, begun: Duration) -> Duration {
        let rules = &self.door.rules;
        if self.session.is_admitted() {
            self.heard.max(self.pinged) + rules.ping_every
        } else {
            begun + rules.auth_timeout
        }
    }

    async fn converse(&mut self, who: Option<Principal>) -> End {
        if let Some(principal) = who {
            self.admit(&principal);
        }
        let clock = self.door.clock.clone();
        let begun = clock.monotonic();
        // The alarm is set anew when it rings too early, not with each message: a tick then costs no timer.
        let mut set = self.due(begun);
        let mut alarm = pin!(clock.sleep(set.saturating_sub(begun)));
        loop {
            let outcome = tokio::select! {
                biased;
                changed = self.pulse.changed() => match changed {
                    Ok(()) => self.tell().await,
                    Err(_) => Err(End::Close(Close::GoingAway)),
                },
                message = self.bell.next(&mut self.socket) => match message {
                    Some(Ok(message)) => self.hear(message).await,
                    Some(Err(error)) => Err(broken(&error)),
                    None => Err(End::Gone),
                },
                () = &mut alarm => {
                    set = Duration::MAX;
                    if clock.monotonic() >= self.due(begun) { self.wait().await } else { Ok(()) }
                }
            };
            if let Err(end) = outcome {
                return end;
            }
            let due = self.due(begun);
            if due < set {
                set = due;
                alarm.set(clock.sleep(set.saturating_sub(clock.monotonic())));
            }
        }
    }

    fn admit(&mut self, principal: &Principal) {
        let tenant = (principal.tenant != "*").then(|| Arc::from(principal.tenant.as_str()));
        self.session.admitted(tenant);
    }

    async fn hear(&mut self, message: Message) -> Result<(), End> {
        let now = self.door.clock.monotonic();
        let rules = self.door.rules;
        let earned = now.saturating_sub(self.heard).as_secs_f64() * rules.messages_per_second;
        self.credit = (self.credit + earned).min(rules.messages_burst) - 1.0;
        self.heard = now;
        if self.credit < 0.0 {
            return Err(End::Close(Close::TooFast));
        }
        match message {
            Message::Text(text) => {
                let time = Time(self.door.clock.now_ms()).to_string();
                let effects = self.session.message(&text, &time);
                self.carry_out(effects).await
            }
            Message::Binary(_) => Err(End::Close(Close::BadFrame)),
            Message::Pong(_) | Message::Frame(_) => Ok(()),
            // The library has an answer to these; it must be out before a frame goes past it.
            Message::Ping(_) => self.answer().await,
            Message::Close(_) => self.answer().await.and(Err(End::Gone)),
        }
    }

    async fn answer(&mut self) -> Result<(), End> {
        match self.door.clock.timeout(self.door.rules.write_timeout, self.socket.flush()).await {
            Ok(Ok(())) => Ok(()),
            // Half an answer may be out: nothing can be said after it.
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), End> {
        for effect in effects {
            match effect {
                Effect::Send(text) => self.put(Wire::text(&text)),
                Effect::Check(token) => match self.check(&token) {
                    Some(principal) => {
                        self.admit(&principal);
                        self.put(Wire::text(r#"{"op":"authenticated"}"#));
                    }
                    None => return Err(End::Close(Close::BadToken)),
                },
                Effect::Leave(selection) => self.following.retain(|held| held.feed.selection != selection),
                Effect::Follow { selection, resume } => {
                    if self.following.iter().any(|held| held.feed.selection == selection) && resume.is_none() {
                        self.following.retain(|held| held.feed.selection != selection); // asked again: a fresh snapshot
                    }
                    let feed = match self.door.hub.follow(&selection) {
                        Ok(feed) => feed,
                        Err(full) => {
                            self.put(Wire::text(&Complaint::new(Code::Limit, full.to_string()).frame()));
                            continue;
                        }
                    };
                    let stamp = self.door.hub.stamp();
                    let seq = match resume.filter(|resume| feed.reaches(&resume.epoch, resume.seq)) {
                        Some(resume) => match feed.since(resume.seq, stamp) {
                            Some(next) => {
                                self.put(next.wire);
                                next.seq
                            }
                            None => resume.seq,
                        },
                        None => {
                            let next = feed.snapshot(stamp);
                            self.put(next.wire);
                            next.seq
                        }
                    };
                    self.following.retain(|held| held.feed.selection != selection);
                    self.following.push(Following { feed, seq });
                }
                Effect::Close(close) => {
                    self.write().await?;
                    return Err(End::Close(close));
                }
            }
        }
        self.write().await
    }

    fn check(&self, token: &str) -> Option<Principal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).ok()?);
        self.door.guard.judge(&headers).ok().cloned()
    }

    /// Everything new in every feed, in one write.
    async fn tell(&mut self) -> Result<(), End> {
        let (stamp, beat) = {
            let pulse = self.pulse.borrow_and_update();
            if pulse.closing {
                return Err(End::Close(Close::GoingAway));
            }
            let beat = (pulse.beat != self.beat).then(|| pulse.beat_frame.clone());
            self.beat = pulse.beat;
            (pulse.stamp, beat)
        };
        if !self.session.is_admitted() {
            return Ok(());
        }
        for held in &mut self.following {
            if let Some(next) = held.feed.since(held.seq, stamp) {
                held.seq = next.seq;
                self.out.push(next.wire.into_bytes());
            }
        }
        if let Some(beat) = beat {
            self.put(beat);
        }
        self.write().await
    }

    async fn wait(&mut self) -> Result<(), End> {
        let now = self.door.clock.monotonic();
        if !self.session.is_admitted() {
            return Err(End::Close(Close::AuthTimeout));
        }
        if now.saturating_sub(self.heard) >= self.door.rules.ping_every * 3 {
            return Err(End::Close(Close::Silent));
        }
        self.pinged = now;
        self.put(Wire::ping());
        self.write().await
    }

    fn put(&mut self, wire: Wire) {
        self.out.push(wire.into_bytes());
    }

    /// Sends what was put, within the time for it.
    async fn write(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let (clock, limit) = (self.door.clock.clone(), self.door.rules.write_timeout);
        let mut sending = pin!(self.send());
        // Mostly the kernel has room at once. What would wait with a limit is large, and need not be made then.
        let sent = match futures::poll!(sending.as_mut()) {
            Poll::Ready(sent) => Ok(sent),
            Poll::Pending => clock.timeout(limit, sending).await,
        };
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Close(Close::TooSlow)),
        }
    }

    /// Sends all of `out`; when it is dropped halfway, `out` is what is left.
    async fn send(&mut self) -> io::Result<()> {
        let stream = self.socket.get_mut();
        let (out, begun) = (&mut self.out, &mut self.begun);
        std::future::poll_fn(|cx| {
            while let Some(first) = out.first() {
                let sent = if out.len() == 1 {
                    ready!(Pin::new(&mut *stream).poll_write(cx, first))?
                } else {
                    let mut parts: [io::IoSlice<'_>; PARTS] = std::array::from_fn(|_| io::IoSlice::new(&[]));
                    let used = out.len().min(PARTS);
                    parts.iter_mut().zip(&*out).for_each(|(part, frame)| *part = io::IoSlice::new(frame));
                    ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &parts[..used]))?
                };
                if sent == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                *begun = advance(out, sent);
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

/// Frames of one write at most.
const PARTS: usize = 16;

/// Takes what was sent off the front. Whether a frame is half sent.
fn advance(out: &mut Vec<Bytes>, mut sent: usize) -> bool {
    let whole = out.iter().take_while(|frame| {
        let is_whole = frame.len() <= sent;
        sent -= if is_whole { frame.len() } else { 0 };
        is_whole
    });
    let whole = whole.count();
    out.drain(..whole);
    if let Some(first) = out.first_mut() {
        first.advance(sent);
    }
    sent > 0
}

/// A message beyond the size limit, or no WebSocket at all: the first is told, the second cannot be.
fn broken(error: &Broken) -> End {
    match error {
        Broken::Capacity(_) => End::Close(Close::BadFrame),
        _ => End::Gone,
    }
}

#[cfg(test)]
mod slow;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_taken_off_wherever_the_write_stopped() {
        let frames = [Bytes::from_static(b"abc"), Bytes::from_static(b"de"), Bytes::from_static(b"fghi")];
        for sent in 0..=9 {
            let mut out = frames.to_vec();
            let begun = advance(&mut out, sent);
            assert_eq!(out.concat(), b"abcdefghi"[sent..], "after {sent}");
            assert_eq!(begun, ![0, 3, 5, 9].contains(&sent), "after {sent}");
        }
    }
}
