//! The manager interface of an Asterisk that dials nobody: it keeps promises in its database, and says what came of each call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ami::frame::{Frame, Item, Reader};
use cti::pbx::Pbx;
use service::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Default)]
struct Inner {
    kept: BTreeMap<String, String>,
    dialled: Vec<String>,
    reasons: Vec<String>,
    denied: Option<String>,
}

#[derive(Clone)]
pub struct Manager {
    port: u16,
    inner: Arc<Mutex<Inner>>,
}

impl Manager {
    pub async fn start() -> Manager {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let manager = Manager { port: listener.local_addr().unwrap().port(), inner: Arc::default() };
        let inner = Arc::clone(&manager.inner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&inner)));
            }
        });
        manager
    }

    pub fn pbx(&self) -> Pbx {
        Pbx { port: self.port, secret: Secret::plain("secret"), ..Pbx::default() }
    }

    /// A promise that the dialplan wrote.
    pub fn keep(&self, call: &str, value: &str) {
        self.inner.lock().unwrap().kept.insert(call.to_owned(), value.to_owned());
    }

    pub fn kept(&self) -> usize {
        self.inner.lock().unwrap().kept.len()
    }

    /// What comes of the next calls: reasons as Asterisk numbers them; 4 is an answer.
    pub fn says(&self, reasons: &[&str]) {
        self.inner.lock().unwrap().reasons = reasons.iter().rev().map(|reason| (*reason).to_owned()).collect();
    }

    pub fn denies(&self, action: &str) {
        self.inner.lock().unwrap().denied = Some(action.to_owned());
    }

    /// What was dialled so far, in order.
    pub fn dialled(&self) -> Vec<String> {
        self.inner.lock().unwrap().dialled.clone()
    }
}

async fn serve(mut stream: TcpStream, inner: Arc<Mutex<Inner>>) {
    stream.write_all(b"Asterisk Call Manager/11.0.0\r\n").await.unwrap();
    let mut reader = Reader::greeted();
    let mut bytes = [0; 4_096];
    while let Ok(read) = stream.read(&mut bytes).await {
        if read == 0 {
            return;
        }
        reader.push(&bytes[..read]);
        while let Some(item) = reader.next() {
            let Item::Frame(frame) = item else { continue };
            let said = answer(&frame, &inner);
            if stream.write_all(said.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

fn answer(frame: &Frame, inner: &Mutex<Inner>) -> String {
    let id = frame.get("ActionID").unwrap_or_default();
    let say = |lines: &str| format!("{lines}\r\nActionID: {id}\r\n\r\n");
    let mut inner = inner.lock().unwrap();
    let action = frame.get("Action").unwrap_or_default();
    if inner.denied.as_deref() == Some(action) {
        return say("Response: Error\r\nMessage: Permission denied");
    }
    match action {
        "Challenge" => say("Response: Success\r\nChallenge: 1234"),
        "DBGetTree" if frame.get("Family") == Some("tidegate-callback") && !inner.kept.is_empty() => {
            let mut said = say("Response: Success\r\nEventList: start\r\nMessage: Result will follow");
            for (call, value) in &inner.kept {
                said += &say(&format!("Event: DBGetTreeResponse\r\nKey: /tidegate-callback/{call}\r\nVal: {value}"));
            }
            said + &say("Event: DBGetTreeComplete\r\nEventList: Complete\r\nListItems: 1")
        }
        "DBGetTree" | "DBGet" => say("Response: Error\r\nMessage: Database entry not found"),
        "DBDel" => {
            inner.kept.remove(frame.get("Key").unwrap_or_default());
            say("Response: Success\r\nMessage: Key deleted successfully")
        }
        "Originate" => {
            let variables = frame.headers().filter(|(key, _)| *key == "Variable");
            let dialled = variables.filter_map(|(_, value)| value.strip_prefix("TIDEGATE_DIAL="));
            inner.dialled.extend(dialled.map(str::to_owned));
            let reason = inner.reasons.pop().unwrap_or_else(|| "0".to_owned());
            let response = if reason == "4" { "Success" } else { "Failure" };
            let queued = say("Response: Success\r\nMessage: Originate successfully queued");
            queued + &say(&format!("Event: OriginateResponse\r\nResponse: {response}\r\nReason: {reason}"))
        }
        _ => say("Response: Success"),
    }
}
