//! Somebody who asks over a connection that stays open, with as little work of their own as can be.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use service::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
pub struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects; every request will be this body.
    pub async fn connect(to: SocketAddr, body: &str, token: &str) -> Result<Client> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "POST /v1/route HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Client { stream, request: request.into_bytes(), buffer: Vec::with_capacity(4_096) })
    }

    /// Asks once, and reads the whole answer.
    pub async fn ask(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed in the middle");
            }
            if let Some(whole) = length(&self.buffer)?
                && self.buffer.len() >= whole
            {
                return Ok(());
            }
        }
    }
}

/// The length of a whole answer, as soon as its head says so.
fn length(answer: &[u8]) -> Result<Option<usize>> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..head])?;
    anyhow::ensure!(text.starts_with("HTTP/1.1 200"), "the answer is {text}");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no content-length")?;
    Ok(Some(head + 4 + length.trim().parse::<usize>()?))
}

/// Asks as fast as answers come, over each of the clients, until `until`; how often.
pub async fn hammer(clients: Vec<Client>, clock: &Clock, until: Duration) -> Result<(u64, Vec<Client>)> {
    let one = |mut client: Client| async move {
        let mut asked = 0_u64;
        while clock.monotonic() < until {
            client.ask().await?;
            asked += 1;
        }
        anyhow::Ok((asked, client))
    };
    let all = futures::future::try_join_all(clients.into_iter().map(one)).await?;
    let asked = all.iter().map(|(asked, _)| asked).sum();
    Ok((asked, all.into_iter().map(|(_, client)| client).collect()))
}

/// Asks `per_s` times a second over all clients, at fixed moments; milliseconds from each moment to its answer.
pub async fn paced(clients: Vec<Client>, clock: &Clock, per_s: f64, seconds: f64) -> Result<Vec<f64>> {
    let (begun, number) = (clock.monotonic(), clients.len());
    let one = |(place, mut client): (usize, Client)| async move {
        let mut waits = Vec::new();
        for turn in 0.. {
            let at_s = (turn * number + place) as f64 / per_s;
            if at_s >= seconds {
                break;
            }
            let due = begun + Duration::from_secs_f64(at_s);
            let now = clock.monotonic();
            if now < due {
                clock.sleep(due - now).await;
            }
            // A timer of the runtime wakes up to a millisecond late: the wait is that of the answer, not of the timer.
            let asked = clock.monotonic();
            client.ask().await?;
            waits.push((clock.monotonic() - asked).as_secs_f64() * 1_000.0);
        }
        anyhow::Ok(waits)
    };
    let all = futures::future::try_join_all(clients.into_iter().enumerate().map(one)).await?;
    Ok(all.into_iter().flatten().collect())
}

/// One call as Asterisk brings it over FastAGI; milliseconds until it knows where to go.
pub async fn agi(to: SocketAddr, number: u64, clock: &Clock) -> Result<f64> {
    let begun = clock.monotonic();
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let head = format!(
        "agi_request: agi://127.0.0.1/route\nagi_uniqueid: pbx1-{number}\nagi_callerid: 4930{number:06}\nagi_dnid: 5001\n\
         agi_arg_1: queue=sales\n\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut buffer = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            bail!("the gate hung up before it said where to go");
        }
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let told = buffer[..end].starts_with(b"SET VARIABLE TIDEGATE_TARGET");
            buffer.drain(..=end);
            stream.write_all(b"200 result=1\n").await?;
            if told {
                return Ok((clock.monotonic() - begun).as_secs_f64() * 1_000.0);
            }
        }
    }
}
