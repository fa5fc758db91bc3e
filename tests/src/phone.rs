//! Agents' desk phones, each with one habit: answers, holds, transfers, is busy, never answers. Each is a SIP endpoint of its
//! own on loopback; how many calls it takes at once is up to the PBX.

use crate::sip::{Dialog, Message, sdp, tag_of, unique};
use anyhow::{Context as _, Result};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What a phone does with every call that rings it. All times are milliseconds, from the answer on.
#[derive(Clone, Copy, Debug)]
pub enum Habit {
    /// Answers, and hangs up after `talk` unless the caller does.
    Answers {
        /// Length of the talk.
        talk: u64,
    },
    /// Answers, puts the caller on hold at `after` for `hold`, takes him back, and hangs up `then` later.
    Holds {
        /// Talk before the hold.
        after: u64,
        /// Length of the hold.
        hold: u64,
        /// Talk after it.
        then: u64,
    },
    /// Answers, and at `after` hands the caller to `to` unannounced (REFER).
    TransfersBlind {
        /// Talk before the transfer.
        after: u64,
        /// Extension that gets the caller.
        to: &'static str,
    },
    /// Answers, at `after` holds the caller and calls `to`, and `consult` after that answer joins the two (REFER with Replaces).
    TransfersAttended {
        /// Talk before the consultation.
        after: u64,
        /// Extension consulted.
        to: &'static str,
        /// Length of the consultation.
        consult: u64,
    },
    /// Rings for ever.
    NeverAnswers,
    /// Rings, then rejects with 486.
    Busy,
}

/// A running phone; it leaves the network when dropped.
#[derive(Debug)]
pub struct Phone(JoinHandle<()>);

impl Phone {
    /// Plugs in the phone of `user` at `own`; it rings `ring` milliseconds before it does what its habit says.
    pub async fn plug_in(user: &str, own: SocketAddr, pbx: SocketAddr, ring: u64, habit: Habit) -> Result<Self> {
        let socket = UdpSocket::bind(own).await.with_context(|| format!("phone {user} cannot listen on {own}"))?;
        let desk = Desk { user: user.to_owned(), own, pbx, ring, habit, socket, calls: HashMap::new() };
        Ok(Self(tokio::spawn(desk.run())))
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where a call stands. What is named after an act waits for the other side's answer to it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Ringing,
    Answering,
    Talking,
    Holding,
    Held,
    Retrieving,
    Retrieved,
    Consulting,
    Referring,
    Leaving,
}

struct Call {
    dialog: Dialog,
    /// The INVITE to answer; absent on the leg that this phone opened itself.
    invite: Option<Message>,
    tag: String,
    stage: Stage,
    due: Option<Instant>,
    /// The consultation of this call, or the call that this consultation is for.
    other: Option<String>,
}

struct Desk {
    user: String,
    own: SocketAddr,
    pbx: SocketAddr,
    ring: u64,
    habit: Habit,
    socket: UdpSocket,
    calls: HashMap<String, Call>,
}

impl Desk {
    async fn run(mut self) {
        let mut datagram = vec![0; 65_536];
        loop {
            let due = self.calls.values().filter_map(|call| call.due).min();
            let wake = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                received = self.socket.recv(&mut datagram) => {
                    let Ok(length) = received else { continue };
                    let Some(message) = Message::parse(&datagram[..length]) else { continue };
                    match message.status() {
                        Some(status) => self.answered(&message, status).await,
                        None => self.asked(&message).await,
                    }
                }
                () = tokio::time::sleep_until(wake) => self.act().await,
            }
        }
    }

    fn contact(&self) -> String {
        format!("sip:{}@{}", self.user, self.own)
    }

    async fn send(&self, text: String) {
        // a refused datagram is a PBX that has gone: the calls of this phone end with it
        let _ = self.socket.send_to(text.as_bytes(), self.pbx).await;
    }

    async fn request(&mut self, call: &str, method: &str, extra: &str, body: Option<String>) {
        let (own, user) = (self.own, self.user.clone());
        let Some(found) = self.calls.get_mut(call) else {
            return;
        };
        let text = found.dialog.request(method, own, &user, extra, body.as_deref());
        self.send(text).await;
    }

    fn enter(&mut self, call: &str, stage: Stage, due_in: Option<u64>) {
        if let Some(found) = self.calls.get_mut(call) {
            found.stage = stage;
            found.due = due_in.map(|ms| Instant::now() + Duration::from_millis(ms));
        }
    }

    async fn asked(&mut self, message: &Message) {
        let id = message.header("call-id").to_owned();
        let contact = self.contact();
        let tag = self.calls.get(&id).map_or_else(|| "none".to_owned(), |call| call.tag.clone());
        match message.method() {
            "INVITE" if !tag_of(message.header("to")).is_empty() => {
                let offer = sdp(self.own, message.sequence(), "sendrecv");
                self.send(message.answer("200 OK", &tag, &contact, Some(&offer))).await;
            }
            "INVITE" if !self.calls.contains_key(&id) => {
                let tag = unique("tag");
                self.send(message.answer("180 Ringing", &tag, &contact, None)).await;
                let due = match self.habit {
                    Habit::NeverAnswers => None,
                    _ => Some(Instant::now() + Duration::from_millis(self.ring)),
                };
                let dialog = Dialog::called(message, &tag);
                let call = Call { dialog, invite: Some(message.clone()), tag, stage: Stage::Ringing, due, other: None };
                self.calls.insert(id, call);
            }
            "CANCEL" => {
                self.send(message.answer("200 OK", &tag, &contact, None)).await;
                if self.calls.get(&id).is_some_and(|call| call.stage == Stage::Ringing)
                    && let Some(invite) = self.calls.remove(&id).and_then(|call| call.invite)
                {
                    self.send(invite.answer("487 Request Terminated", &tag, &contact, None)).await;
                }
            }
            "ACK" => self.connected(&id),
            "BYE" => {
                self.send(message.answer("200 OK", &tag, &contact, None)).await;
                if let Some(other) = self.calls.remove(&id).and_then(|call| call.other) {
                    self.left_alone(&other).await;
                }
            }
            "NOTIFY" => {
                self.send(message.answer("200 OK", &tag, &contact, None)).await;
                let told =
                    message.body.strip_prefix("SIP/2.0 ").and_then(|rest| rest.split(' ').next()?.parse::<u16>().ok());
                if told.is_some_and(|status| status >= 200) {
                    self.enter(&id, Stage::Leaving, Some(0));
                }
            }
            "INVITE" => {} // a repetition: the PBX did not wait for our answer
            _ => self.send(message.answer("200 OK", &tag, &contact, None)).await,
        }
    }

    /// The caller acknowledged our answer: the habit begins to count.
    fn connected(&mut self, id: &str) {
        if self.calls.get(id).is_none_or(|call| call.stage != Stage::Answering) {
            return;
        }
        let talk = match self.habit {
            Habit::Answers { talk } => talk,
            Habit::Holds { after, .. }
            | Habit::TransfersBlind { after, .. }
            | Habit::TransfersAttended { after, .. } => after,
            Habit::NeverAnswers | Habit::Busy => 0,
        };
        self.enter(id, Stage::Talking, Some(talk));
    }

    /// One of two legs ended: the caller's end ends the consultation, never the other way round.
    async fn left_alone(&mut self, other: &str) {
        if self.calls.get(other).is_some_and(|call| call.invite.is_none()) {
            self.request(other, "BYE", "", None).await;
            self.calls.remove(other);
        }
    }

    async fn answered(&mut self, message: &Message, status: u16) {
        let id = message.header("call-id").to_owned();
        if message.method() != "INVITE" || status < 200 {
            return;
        }
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.invite.is_none() && tag_of(&call.dialog.remote).is_empty() {
            call.dialog.remote = message.header("to").to_owned();
            if let Some(contact) = message.contact() {
                call.dialog.target = contact.to_owned();
            }
        }
        let (stage, parent) = (call.stage, call.other.clone());
        self.request(&id, "ACK", "", None).await;
        match (stage, self.habit) {
            (Stage::Holding, Habit::Holds { hold, .. }) => self.enter(&id, Stage::Held, Some(hold)),
            (Stage::Holding, Habit::TransfersAttended { .. }) => self.enter(&id, Stage::Held, Some(100)),
            (Stage::Retrieving, Habit::Holds { then, .. }) => self.enter(&id, Stage::Retrieved, Some(then)),
            (Stage::Consulting, Habit::TransfersAttended { consult, .. }) if status < 300 => {
                self.enter(&id, Stage::Talking, None);
                if let Some(parent) = parent {
                    self.enter(&parent, Stage::Consulting, Some(consult));
                }
            }
            (Stage::Consulting, _) => {
                self.calls.remove(&id);
                if let Some(parent) = parent {
                    self.enter(&parent, Stage::Leaving, Some(0));
                }
            }
            _ => {}
        }
    }

    /// Does what is due now, call by call.
    async fn act(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, c)| c.due.is_some_and(|due| due <= now))
            .map(|(id, c)| (id.clone(), c.stage))
            .collect();
        for (id, stage) in due {
            self.enter(&id, stage, None);
            match (stage, self.habit) {
                (Stage::Ringing, Habit::Busy) => self.pick_up(&id, "486 Busy Here").await,
                (Stage::Ringing, _) => self.pick_up(&id, "200 OK").await,
                (Stage::Talking, Habit::Holds { .. } | Habit::TransfersAttended { .. }) => {
                    self.enter(&id, Stage::Holding, None);
                    let offer = sdp(self.own, 2, "sendonly");
                    self.request(&id, "INVITE", "", Some(offer)).await;
                }
                (Stage::Held, Habit::Holds { .. }) => {
                    self.enter(&id, Stage::Retrieving, None);
                    let offer = sdp(self.own, 3, "sendrecv");
                    self.request(&id, "INVITE", "", Some(offer)).await;
                }
                (Stage::Held, Habit::TransfersAttended { to, .. }) => self.consult(&id, to).await,
                (Stage::Consulting, Habit::TransfersAttended { to, .. }) => self.join(&id, to).await,
                (Stage::Talking, Habit::TransfersBlind { to, .. }) => {
                    let host = self.pbx.ip();
                    self.enter(&id, Stage::Referring, Some(4000));
                    let refer = format!("Refer-To: <sip:{to}@{host}>\r\nReferred-By: <sip:{}@{host}>\r\n", self.user);
                    self.request(&id, "REFER", &refer, None).await;
                }
                _ => {
                    self.request(&id, "BYE", "", None).await;
                    if let Some(other) = self.calls.remove(&id).and_then(|call| call.other) {
                        self.left_alone(&other).await;
                    }
                }
            }
        }
    }

    async fn pick_up(&mut self, id: &str, status: &str) {
        let Some(call) = self.calls.get(id) else {
            return;
        };
        let Some(invite) = &call.invite else { return };
        let taken = status.starts_with("200");
        let offer = sdp(self.own, 1, "sendrecv");
        let text = invite.answer(status, &call.tag, &self.contact(), taken.then_some(offer.as_str()));
        self.send(text).await;
        if taken {
            self.enter(id, Stage::Answering, None);
        } else {
            self.calls.remove(id);
        }
    }

    async fn consult(&mut self, id: &str, to: &str) {
        let dialog = Dialog::calling(&self.user, to, self.pbx);
        let leg = dialog.call.clone();
        let tag = tag_of(&dialog.local).to_owned();
        let call = Call { dialog, invite: None, tag, stage: Stage::Consulting, due: None, other: Some(id.to_owned()) };
        self.calls.insert(leg.clone(), call);
        if let Some(parent) = self.calls.get_mut(id) {
            parent.other = Some(leg.clone());
        }
        let offer = sdp(self.own, 1, "sendrecv");
        self.request(&leg, "INVITE", "", Some(offer)).await;
    }

    async fn join(&mut self, id: &str, to: &str) {
        let Some(leg) = self.calls.get(id).and_then(|call| call.other.as_ref()).and_then(|leg| self.calls.get(leg))
        else {
            return;
        };
        let host = self.pbx.ip();
        let refer = format!(
            "Refer-To: <sip:{to}@{host}?Replaces={}>\r\nReferred-By: <sip:{}@{host}>\r\n",
            leg.dialog.replaces(),
            self.user
        );
        self.enter(id, Stage::Referring, Some(4000));
        self.request(id, "REFER", &refer, None).await;
    }
}
