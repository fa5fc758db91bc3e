//! Attacks over the WebSocket, frame by frame: libraries would not send most of this.

use super::victim::{PATIENCE, Tally, Victim, status};
use anyhow::{Result, ensure};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// A connection after its handshake.
struct Socket(TcpStream);

/// How a conversation ended.
#[derive(Debug, PartialEq)]
enum End {
    /// Closed with this code.
    Closed(u16),
    /// Hung up without a word.
    Gone,
    /// Still there; the last text.
    Open(String),
}

impl Socket {
    async fn open(victim: &Victim) -> Result<Socket> {
        let mut stream = TcpStream::connect(victim.face).await?;
        let ask = "GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(ask.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await??);
        }
        let head = String::from_utf8_lossy(&head);
        ensure!(status(&head) == 101, "no WebSocket: {head}");
        Ok(Socket(stream))
    }

    /// Sends a frame with this first byte; masked with zeros.
    async fn frame(&mut self, first: u8, payload: &[u8]) -> bool {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..126 => bytes.push(0x80 | short as u8),
            middle @ 126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((middle as u16).to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend_from_slice(payload);
        self.raw(&bytes).await
    }

    async fn raw(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(PATIENCE, self.0.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Reads until it is closed or says an error, at most so long.
    async fn end(&mut self, within: Duration) -> End {
        let (mut last, until) = (String::new(), Instant::now() + within);
        loop {
            match timeout_at(until, self.read()).await {
                Err(_) => return End::Open(last),
                Ok(Err(_)) => return End::Gone,
                Ok(Ok((8, payload))) => {
                    let code = payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
                    return End::Closed(code);
                }
                // A beat says nothing about what was asked.
                Ok(Ok((1, payload))) if !payload.starts_with(br#"{"op":"beat""#) => {
                    last = String::from_utf8_lossy(&payload).into_owned();
                    if last.contains(r#""op":"error""#) {
                        return End::Open(last);
                    }
                }
                Ok(Ok(_)) => {}
            }
        }
    }

    async fn read(&mut self) -> Result<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await?;
        let length = match self.0.read_u8().await? & 0x7f {
            126 => u64::from(self.0.read_u16().await?),
            127 => self.0.read_u64().await?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length)?];
        self.0.read_exact(&mut payload).await?;
        Ok((first & 0x0f, payload))
    }
}

const TEXT: u8 = 0x81;
const TEXT_TO_BE_CONTINUED: u8 = 0x01;
const CONTINUED: u8 = 0x00;

/// Frames that should not be.
pub async fn odd_frames(victim: &Victim, tally: &mut Tally) -> Result<()> {
    let huge = |first: u8| [&[first, 0xff], u64::MAX.to_be_bytes().as_slice(), &[0; 4], b"a"].concat();
    let raw: [(&'static str, Vec<u8>); 8] = [
        ("a frame of 2^64 bytes", huge(TEXT)),
        ("a frame of 2^62 bytes", [&[TEXT, 0xff], (1_u64 << 62).to_be_bytes().as_slice(), &[0; 4]].concat()),
        ("a frame without a mask", vec![TEXT, 2, b'{', b'}']),
        ("a reserved opcode", vec![0x83, 0x80, 0, 0, 0, 0]),
        ("reserved bits", vec![0xf1, 0x80, 0, 0, 0, 0]),
        ("a ping in pieces", vec![0x09, 0x80, 0, 0, 0, 0]),
        ("a continuation of nothing", vec![0x80, 0x80, 0, 0, 0, 0]),
        ("no frame at all", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ];
    for (kind, bytes) in raw {
        let mut socket = Socket::open(victim).await?;
        socket.raw(&bytes).await;
        let end = socket.end(Duration::from_secs(30)).await;
        tally.note(kind, matches!(end, End::Open(_)).then(|| format!("{end:?}")));
    }
    let closes: [(&'static str, u8, Vec<u8>, &[u16]); 4] = [
        ("a message of 1 MB", TEXT, b" ".repeat(1 << 20), &[4503, 1009]),
        ("a binary message", 0x82, b"{}".to_vec(), &[4503]),
        ("text that is not UTF-8", TEXT, b"\xff\xfe\xfd".to_vec(), &[4503, 1007, 1002]),
        ("half a character", TEXT, b"{\"op\":\"\xe4\xb8".to_vec(), &[4503, 1007, 1002]),
    ];
    for (kind, first, payload, codes) in closes {
        let mut socket = Socket::open(victim).await?;
        socket.frame(first, &payload).await;
        let end = socket.end(Duration::from_secs(30)).await;
        let clear = matches!(end, End::Closed(code) if codes.contains(&code)) || end == End::Gone;
        tally.note(kind, (!clear).then(|| format!("{end:?}")));
    }
    Ok(())
}

/// Too much of what is allowed.
pub async fn floods(victim: &Victim, tally: &mut Tally) -> Result<()> {
    // Pieces without end: within the size limit it is closed, and never held.
    let mut socket = Socket::open(victim).await?;
    socket.frame(TEXT_TO_BE_CONTINUED, &b" ".repeat(1_000)).await;
    for _ in 0..2_000 {
        if !socket.frame(CONTINUED, &b" ".repeat(1_000)).await {
            break;
        }
    }
    let end = socket.end(Duration::from_secs(30)).await;
    tally.note("pieces without end", matches!(end, End::Open(_)).then(|| format!("{end:?}")));
    for (kind, first, payload) in [
        ("a flood of pings", 0x89_u8, b"x".as_slice()),
        ("a flood of pongs", 0x8a, b"x"),
        ("a flood of messages", TEXT, br#"{"op":"ping"}"#),
        ("a flood of nonsense", TEXT, b"nonsense"),
    ] {
        let mut socket = Socket::open(victim).await?;
        for _ in 0..5_000 {
            if !socket.frame(first, payload).await {
                break;
            }
        }
        let mut end = socket.end(Duration::from_secs(6)).await;
        while matches!(&end, End::Open(text) if text.contains("error")) {
            end = socket.end(Duration::from_secs(6)).await;
        }
        let clear = matches!(end, End::Closed(4504 | 4502) | End::Gone);
        tally.note(kind, (!clear).then(|| format!("{end:?}")));
    }
    // Unfinished messages on many connections, and clients that say nothing.
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut socket = Socket::open(victim).await?;
        socket.frame(TEXT_TO_BE_CONTINUED, &b" ".repeat(15_000)).await;
        held.push(socket);
        tally.note("a message that is never finished", None);
    }
    sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// Subscriptions that ask for more than there is.
pub async fn greedy_subscriptions(victim: &Victim, tally: &mut Tally) -> Result<()> {
    let subscribe = |topics: String, filter: String| {
        format!(r#"{{"op":"subscribe","id":"g","topics":[{topics}],"filter":{{{filter}}}}}"#)
    };
    let values = |count: usize| (0..count).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(",");
    let many = r#""queues","#.repeat(1_000) + r#""queues""#;
    let cases: [(&'static str, String, &[&str]); 6] = [
        (
            "a million topics",
            subscribe(r#""queues","#.repeat(1_000_000) + r#""queues""#, String::new()),
            &["4503", "1009"],
        ),
        ("a thousand topics", subscribe(many, String::new()), &["subscribed", "snapshot"]),
        ("an unknown topic", subscribe(r#""everything""#.to_owned(), String::new()), &["bad_message"]),
        (
            "a filter of many values",
            subscribe(r#""queues""#.to_owned(), format!(r#""queues":[{}]"#, values(600))),
            &["limit"],
        ),
        (
            "a filter of a million values",
            subscribe(r#""queues""#.to_owned(), format!(r#""queues":[{}]"#, values(1_000_000))),
            &["4503", "1009"],
        ),
        ("deep nesting", format!(r#"{{"op":{}"#, "[".repeat(15_000)), &["bad_json"]),
    ];
    for (kind, text, wanted) in cases {
        let mut socket = Socket::open(victim).await?;
        socket.frame(TEXT, text.as_bytes()).await;
        let end = format!("{:?}", socket.end(Duration::from_secs(6)).await);
        let clear = wanted.iter().any(|want| end.contains(want)) || (end == "Gone" && wanted.contains(&"4503"));
        tally.note(kind, (!clear).then_some(end));
    }
    // Every subscription another selection: the feeds have a bound, and who asks beyond it is told.
    let (mut sockets, mut limited) = (Vec::new(), false);
    for n in 0..80 {
        let mut socket = Socket::open(victim).await?;
        for s in 0..16 {
            let text = subscribe(r#""queues""#.to_owned(), format!(r#""queues":["{n}-{s}"]"#))
                .replace("\"g\"", &format!("\"g{s}\""));
            socket.frame(TEXT, text.as_bytes()).await;
            tally.note("another selection", None);
        }
        if n >= 70 {
            let end = socket.end(Duration::from_secs(3)).await;
            limited |= matches!(end, End::Open(text) if text.contains(r#""code":"limit""#));
        }
        sockets.push(socket);
    }
    tally.note("more selections than there are feeds", (!limited).then(|| "none was refused".to_owned()));
    Ok(())
}
