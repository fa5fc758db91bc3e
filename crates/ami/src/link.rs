//! The TCP link: bytes in and out, cancel-safe, and the asking and answering before events begin.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;

use crate::action::Action;
use crate::frame::{Frame, Item, Reader};
use crate::{Fault, Login};

/// The most that waits to be written; more means that the PBX reads nothing any more.
const WRITE_BYTES_MAX: usize = 1024 * 1024;
/// The most that may come before an answer that is awaited; more means that the PBX does not answer.
const EARLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// A connection to a manager interface.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    reader: Reader,
    scratch: Vec<u8>,
    out: BytesMut,
    ids: u64,
    /// Frames that came while an answer was awaited.
    early: VecDeque<Item>,
    early_bytes: usize,
}

impl Link {
    /// Connects; nothing is said yet.
    pub async fn open(host: &str, port: u16) -> Result<Link, Fault> {
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|e| Fault::Transient(format!("cannot connect to {host}:{port}: {e}")))?;
        stream.set_nodelay(true)?;
        Ok(Link {
            stream,
            reader: Reader::new(),
            scratch: vec![0; READ_BYTES],
            out: BytesMut::new(),
            ids: 0,
            early: VecDeque::new(),
            early_bytes: 0,
        })
    }

    /// An ActionID that this session has not used.
    pub fn next_id(&mut self) -> String {
        self.ids += 1;
        format!("tg-{}", self.ids)
    }

    /// Queues an action for writing, under an id.
    pub fn send(&mut self, id: &str, action: &Action) -> Result<(), Fault> {
        let bytes = action.encode(id).map_err(|e| Fault::Bug(format!("{}: {e}", action.name())))?;
        if self.out.len() + bytes.len() > WRITE_BYTES_MAX {
            return Err(Fault::Transient("the PBX does not read what is sent to it".into()));
        }
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    /// The next item that was read; early ones first.
    pub fn take(&mut self) -> Option<Item> {
        let Some(item) = self.early.pop_front() else { return self.reader.next() };
        self.early_bytes -= item.size();
        Some(item)
    }

    /// Moves bytes: writes what is queued, reads what there is. Returns what was read, verbatim; nothing when it only wrote.
    /// Cancel-safe.
    pub async fn turn(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            tokio::select! {
                biased;
                ready = self.stream.readable() => {
                    ready?;
                    match self.stream.try_read(&mut self.scratch) {
                        Ok(0) => return Err(Fault::Transient("the PBX closed the link".into())),
                        Ok(n) => {
                            self.reader.push(&self.scratch[..n]);
                            return Ok(Some(Bytes::copy_from_slice(&self.scratch[..n])));
                        }
                        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(e) => return Err(e.into()),
                    }
                }
                ready = self.stream.writable(), if !self.out.is_empty() => {
                    ready?;
                    match self.stream.try_write(&self.out) {
                        Ok(n) => {
                            self.out.advance(n);
                            if self.out.is_empty() {
                                return Ok(None);
                            }
                        }
                        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(e) => return Err(e.into()),
                    }
                }
            }
        }
    }

    /// Waits for the greeting and returns it.
    pub async fn banner(&mut self) -> Result<String, Fault> {
        loop {
            match self.reader.next() {
                Some(Item::Banner(text)) if text.starts_with("Asterisk Call Manager/") => return Ok(text),
                Some(_) => return Err(Fault::Malformed("this is no Asterisk manager interface".into())),
                None => {
                    self.turn().await?;
                }
            }
        }
    }

    /// Sends an action and waits for its response; whatever else comes meanwhile is kept.
    pub async fn ask(&mut self, action: &Action) -> Result<Frame, Fault> {
        let id = self.next_id();
        self.send(&id, action)?;
        loop {
            match self.reader.next() {
                Some(Item::Frame(frame)) if frame.response().is_some() && frame.get("ActionID") == Some(&id) => {
                    return Ok(frame);
                }
                Some(item) => {
                    self.early_bytes += item.size();
                    self.early.push_back(item);
                    if self.early_bytes > EARLY_BYTES_MAX {
                        return Err(Fault::Malformed(format!("{} is not answered, but a flood comes", action.name())));
                    }
                }
                None => {
                    self.turn().await?;
                }
            }
        }
    }

    /// Logs in.
    ///
    /// # Errors
    /// [`Fault::Refused`] when the PBX says no, or when name or secret cannot be written.
    pub async fn login(&mut self, how: Login, username: &str, secret: &str) -> Result<(), Fault> {
        let action = match how {
            Login::Plain => Action::login_plain(username, secret),
            Login::Md5 => {
                let answer = self.ask(&Action::challenge()).await?;
                let challenge =
                    answer.get("Challenge").ok_or_else(|| Fault::Refused("the PBX gives no MD5 challenge".into()))?;
                Action::login_md5(username, secret, challenge)
            }
        };
        let answer = self.ask(&action).await.map_err(|fault| match fault {
            // A name or a secret with a line end in it is the operator's to correct.
            Fault::Bug(why) => Fault::Refused(why),
            other => other,
        })?;
        match answer.response() {
            Some("Success") => Ok(()),
            _ => {
                let why = answer.get("Message").unwrap_or("no reason given");
                Err(Fault::Refused(format!("login of {username:?}: {why}")))
            }
        }
    }

    /// Says goodbye, if the PBX takes it within a moment.
    pub async fn close(mut self, clock: &service::Clock) {
        let id = self.next_id();
        if self.send(&id, &Action::new("Logoff")).is_ok() {
            let flushed = async { while !self.out.is_empty() && self.turn().await.is_ok() {} };
            let _ = clock.timeout(Duration::from_millis(500), flushed).await;
        }
    }
}
