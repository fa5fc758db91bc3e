//! One connection: carries messages to its [`Session`] and frames from its feeds, one write per tick.
//!
//! Invariant: a connection holds a number per feed and no queue. While a write lasts nothing is collected; what was missed
//! meanwhile comes melted with the next one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::SinkExt;
use model::Time;
use service::http::{Guard, Origins, Principal};
use service::{Clock, Drain};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::close::Close;
use super::feed::Feed;
use super::hub::{Hub, Pulse};
use super::message::{Code, Complaint};
use super::session::{Effect, Limits, Session};
use super::topic::Selection;

/// Bounds and times of connections.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Of a conversation.
    pub session: Limits,
    /// The largest message of a client, in bytes.
    pub message_bytes: usize,
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
#[derive(Clone)]
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
    /// The time.
    pub clock: Clock,
    /// Asks to finish.
    pub drain: Drain,
}

/// The sub-protocol that we speak.
pub const SUBPROTOCOL: &str = "tidegate.v1";

impl Door {
    /// Answers the handshake.
    pub fn open(self, headers: &HeaderMap, upgrade: WebSocketUpgrade) -> Response {
        if let Err(problem) = self.origins.check(headers) {
            return problem.into_response();
        }
        let who = match self.guard.judge(headers) {
            Ok(principal) => Some(principal),
            // A wrong token is refused at once; without any there is time to send one.
            Err(problem) if shows_token(headers) => return problem.into_response(),
            Err(_) => None,
        };
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        upgrade
            .protocols([SUBPROTOCOL])
            .max_message_size(self.rules.message_bytes)
            .max_frame_size(self.rules.message_bytes)
            // Most connections are idle most of the time: their buffers are what they cost.
            .read_buffer_size(1 << 10)
            .write_buffer_size(0)
            .max_write_buffer_size(64 << 20)
            .on_upgrade(move |socket| Connection::new(self, socket).run(who, place))
    }
}

fn shows_token(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    headers.contains_key(header::AUTHORIZATION)
        || protocols.flat_map(|value| value.split(',')).any(|protocol| protocol.trim().starts_with("bearer."))
}

struct Following {
    selection: Selection,
    feed: Arc<Feed>,
    seq: u64,
}

struct Connection {
    door: Door,
    socket: WebSocket,
    session: Session,
    following: Vec<Following>,
    pulse: watch::Receiver<Pulse>,
    beat: u64,
    heard: Duration,
    pinged: Duration,
    credit: f64,
}

/// Why a conversation ends: with a close code of ours, or because the other side is gone.
enum End {
    Close(Close),
    Gone,
}

impl Connection {
    fn new(door: Door, socket: WebSocket) -> Connection {
        let (now, pulse) = (door.clock.monotonic(), door.hub.pulse());
        let session = Session::stranger(door.rules.session);
        let (beat, credit) = (pulse.borrow().beat, door.rules.messages_burst);
        Connection { door, socket, session, following: Vec::new(), pulse, beat, heard: now, pinged: now, credit }
    }

    async fn run(mut self, who: Option<Principal>, place: Option<OwnedSemaphorePermit>) {
        let open = service::metric::gauge("pusher_connections", &[]);
        open.increment(1.0);
        let end = if place.is_none() { End::Close(Close::Full) } else { self.converse(who).await };
        if let End::Close(close) = end {
            service::metric::counter("pusher_closed_total", &[("reason", close.reason())]).increment(1);
            let frame = CloseFrame { code: close.code(), reason: Utf8Bytes::from_static(close.reason()) };
            let goodbye = self.socket.send(Message::Close(Some(frame)));
            let _ = self.door.clock.timeout(Duration::from_secs(1), goodbye).await;
        }
        open.decrement(1.0);
    }

    async fn converse(&mut self, who: Option<Principal>) -> End {
        if let Some(principal) = who {
            self.admit(&principal);
        }
        let clock = self.door.clock.clone();
        let drain = self.door.drain.clone();
        let begun = clock.monotonic();
        loop {
            let now = clock.monotonic();
            let rules = &self.door.rules;
            let wake = if self.session.is_admitted() {
                self.heard.max(self.pinged) + rules.ping_every
            } else {
                begun + rules.auth_timeout
            };
            let outcome = tokio::select! {
                biased;
                () = drain.started() => Err(End::Close(Close::GoingAway)),
                message = self.socket.recv() => match message {
                    Some(Ok(message)) => self.hear(message).await,
                    Some(Err(error)) => Err(broken(&error)),
                    None => Err(End::Gone),
                },
                changed = self.pulse.changed() => match changed {
                    Ok(()) => self.tell().await,
                    Err(_) => Err(End::Close(Close::GoingAway)),
                },
                () = clock.sleep(wake.saturating_sub(now)) => self.wait().await,
            };
            if let Err(end) = outcome {
                return end;
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
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(End::Gone),
        }
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), End> {
        let mut out = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send(text) => out.push(text.into()),
                Effect::Check(token) => match self.check(&token) {
                    Some(principal) => {
                        self.admit(&principal);
                        out.push(Utf8Bytes::from_static(r#"{"op":"authenticated"}"#));
                    }
                    None => return Err(End::Close(Close::BadToken)),
                },
                Effect::Leave(selection) => self.following.retain(|held| held.selection != selection),
                Effect::Follow { selection, resume } => {
                    if self.following.iter().any(|held| held.selection == selection) && resume.is_none() {
                        self.following.retain(|held| held.selection != selection); // asked again: a fresh snapshot
                    }
                    let feed = match self.door.hub.follow(&selection) {
                        Ok(feed) => feed,
                        Err(full) => {
                            out.push(Complaint::new(Code::Limit, full.to_string()).frame().into());
                            continue;
                        }
                    };
                    let stamp = self.door.hub.stamp();
                    let seq = match resume.filter(|resume| feed.reaches(&resume.epoch, resume.seq)) {
                        Some(resume) => match feed.since(resume.seq, stamp) {
                            Some(next) => {
                                out.push(next.bytes);
                                next.seq
                            }
                            None => resume.seq,
                        },
                        None => {
                            let next = feed.snapshot(stamp);
                            out.push(next.bytes);
                            next.seq
                        }
                    };
                    self.following.retain(|held| held.selection != selection);
                    self.following.push(Following { selection, feed, seq });
                }
                Effect::Close(close) => {
                    self.write(out).await?;
                    return Err(End::Close(close));
                }
            }
        }
        self.write(out).await
    }

    fn check(&self, token: &str) -> Option<Principal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).ok()?);
        self.door.guard.judge(&headers).ok()
    }

    /// Everything new in every feed, in one write.
    async fn tell(&mut self) -> Result<(), End> {
        let pulse = self.pulse.borrow_and_update().clone();
        if !self.session.is_admitted() {
            return Ok(());
        }
        let mut out = Vec::new();
        for held in &mut self.following {
            if let Some(next) = held.feed.since(held.seq, pulse.stamp) {
                held.seq = next.seq;
                out.push(next.bytes);
            }
        }
        if pulse.beat != self.beat {
            self.beat = pulse.beat;
            out.push(pulse.beat_frame);
        }
        self.write(out).await
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
        self.write_all([Message::Ping(bytes::Bytes::new())]).await
    }

    async fn write(&mut self, frames: Vec<Utf8Bytes>) -> Result<(), End> {
        if frames.is_empty() {
            return Ok(());
        }
        self.write_all(frames.into_iter().map(Message::Text)).await
    }

    async fn write_all(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), End> {
        let socket = &mut self.socket;
        let writing = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        match self.door.clock.timeout(self.door.rules.write_timeout, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Close(Close::TooSlow)),
        }
    }
}

/// A message beyond the size limit, or no WebSocket at all: the first is told, the second cannot be.
fn broken(error: &axum::Error) -> End {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(found) = cause {
        if found.to_string().contains("too long") || found.to_string().contains("too big") {
            return End::Close(Close::BadFrame);
        }
        cause = found.source();
    }
    End::Gone
}
