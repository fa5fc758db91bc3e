//! A stand-in PBX on loopback: answers what a session asks, then tells a story. One link at a time, from a thread.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use adapter_asterisk::frame::Frame;

use super::story::BEGIN_US;

/// How it behaves.
#[derive(Clone)]
pub struct Script {
    /// Told after the snapshot, once the first ping behind it is answered.
    pub story: Vec<u8>,
    /// Rows of the lists, by action; the ActionID is added.
    pub rows: Vec<(&'static str, Frame)>,
    /// What it says to a login.
    pub login: &'static str,
    /// What it says to a filter.
    pub filter: &'static str,
    /// It stops answering pings after so many.
    pub pings_max: usize,
    /// It closes the link after the story.
    pub hangs_up: bool,
    /// Its clock at each ping, in microseconds: the first is before the lists, the second behind them.
    pub clock_us: Vec<i64>,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            story: Vec::new(),
            rows: Vec::new(),
            login: "Success",
            filter: "Success",
            pings_max: usize::MAX,
            hangs_up: false,
            clock_us: vec![BEGIN_US - 2_000_000, BEGIN_US - 1_000_000, BEGIN_US + 3_600_000_000],
        }
    }
}

/// A running stand-in; it ends with the test process.
pub struct Pbx {
    pub port: u16,
    /// The actions that it was sent.
    pub heard: Arc<Mutex<Vec<String>>>,
}

impl Pbx {
    pub fn start(script: Script) -> Pbx {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = serve(&stream.unwrap(), &script, &log); // the other side may go at any time
            }
        });
        Pbx { port, heard }
    }
}

fn serve(stream: &TcpStream, script: &Script, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut out = stream;
    out.write_all(b"Asterisk Call Manager/11.0.0\r\n")?;
    let mut pings = 0;
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if let Some((key, value)) = line.split_once(": ") {
            headers.push((key.to_owned(), value.to_owned()));
            continue;
        }
        let action = Frame::of(std::mem::take(&mut headers));
        let (name, id) = (action.get("Action").unwrap_or_default(), action.get("ActionID").unwrap_or_default());
        log.lock().unwrap().push(action.to_text());
        let respond = |word: &str, more: &str| format!("Response: {word}\r\nActionID: {id}\r\n{more}\r\n");
        let text = match name {
            "Challenge" => respond("Success", "Challenge: 4711\r\n"),
            "Login" => respond(script.login, "Message: as told\r\n"),
            "Filter" => respond(script.filter, ""),
            "Ping" if pings >= script.pings_max => continue,
            "Ping" => {
                let us = script.clock_us[pings.min(script.clock_us.len() - 1)];
                pings += 1;
                respond("Success", &format!("Ping: Pong\r\nTimestamp: {}.{:06}\r\n", us / 1_000_000, us % 1_000_000))
            }
            "QueueStatus" => list(script, name, id, "QueueStatusComplete"),
            "CoreShowChannels" => list(script, name, id, "CoreShowChannelsComplete"),
            "DeviceStateList" => list(script, name, id, "DeviceStateListComplete"),
            "PJSIPShowContacts" => list(script, name, id, "ContactListComplete"),
            _ => respond("Success", ""),
        };
        out.write_all(text.as_bytes())?;
        if name == "Ping" && pings == 2 {
            out.write_all(&script.story)?;
            if script.hangs_up {
                return Ok(());
            }
        }
        if name == "Logoff" {
            return Ok(());
        }
    }
    Ok(())
}

fn list(script: &Script, name: &str, id: &str, end: &str) -> String {
    let mut text = format!("Response: Success\r\nActionID: {id}\r\nEventList: start\r\n\r\n");
    for (_, row) in script.rows.iter().filter(|(action, _)| *action == name) {
        let row = row.to_text();
        text.push_str(&row.replacen("\r\n", &format!("\r\nActionID: {id}\r\n"), 1));
    }
    text + &format!("Event: {end}\r\nActionID: {id}\r\nEventList: Complete\r\n\r\n")
}
