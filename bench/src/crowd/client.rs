//! A WebSocket client that costs little: it looks at frame headers and copies nothing, so that thousands fit beside the server.
//!
//! It takes what our servers and the peer send: whole frames, unmasked, without extensions. It is no general client.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    read: usize,
}

/// What came.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A text message.
    Text(&'a [u8]),
    /// The close code; 1006 when the connection ended without one.
    Closed(u16),
}

struct Frame {
    opcode: u8,
    start: usize,
    end: usize,
}

impl Client {
    /// Connects to `/v1/ws`. `receive`: the kernel's receive buffer, for one who will stall.
    ///
    /// # Errors
    ///
    /// When the server is not there or answers otherwise.
    pub async fn connect(address: SocketAddr, receive: Option<u32>) -> anyhow::Result<Client> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive {
            socket.set_recv_buffer_size(bytes)?;
        }
        let mut stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        let hello = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(hello.as_bytes()).await?;
        let mut client = Client { stream, buffer: vec![0; 1 << 10], filled: 0, read: 0 };
        loop {
            client.more().await?;
            let head = &client.buffer[..client.filled];
            if let Some(end) = head.windows(4).position(|part| part == b"\r\n\r\n") {
                ensure!(head.starts_with(b"HTTP/1.1 101"), "no WebSocket: {}", String::from_utf8_lossy(&head[..end]));
                client.read = end + 4;
                return Ok(client);
            }
        }
    }

    async fn more(&mut self) -> std::io::Result<()> {
        if self.read == self.filled {
            (self.read, self.filled) = (0, 0);
        }
        if self.filled == self.buffer.len() {
            self.buffer.copy_within(self.read..self.filled, 0);
            (self.read, self.filled) = (0, self.filled - self.read);
            if self.filled == self.buffer.len() {
                self.buffer.resize(2 * self.filled, 0);
            }
        }
        match self.stream.read(&mut self.buffer[self.filled..]).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.filled += count;
                Ok(())
            }
        }
    }

    /// Sends a text message.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.send(0x81, text.as_bytes()).await
    }

    async fn send(&mut self, head: u8, payload: &[u8]) -> anyhow::Result<()> {
        let length = u16::try_from(payload.len()).context("too long for this client")?;
        let mut frame = vec![head];
        match length {
            0..126 => frame.push(0x80 | length.to_le_bytes()[0]),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend([0; 4]); // a mask of zeros changes nothing
        frame.extend(payload);
        Ok(self.stream.write_all(&frame).await?)
    }

    fn frame(&self) -> Option<Frame> {
        let bytes = &self.buffer[self.read..self.filled];
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let (head, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
            short => (2, usize::from(short)),
        };
        let start = self.read + head;
        (self.filled >= start + length).then_some(Frame { opcode: first & 15, start, end: start + length })
    }

    /// What comes next; pings are answered on the way.
    ///
    /// # Errors
    ///
    /// When something else comes than whole text messages.
    pub async fn hear(&mut self) -> anyhow::Result<Heard<'_>> {
        loop {
            while let Some(frame) = self.frame() {
                self.read = frame.end;
                match frame.opcode {
                    1 => return Ok(Heard::Text(&self.buffer[frame.start..frame.end])),
                    9 => self.send(0x8A, b"").await?,
                    10 => {}
                    8 => {
                        let code = self.buffer[frame.start..frame.end]
                            .first_chunk()
                            .map_or(1005, |code| u16::from_be_bytes(*code));
                        return Ok(Heard::Closed(code));
                    }
                    other => bail!("a frame of kind {other} came"),
                }
            }
            if self.more().await.is_err() {
                return Ok(Heard::Closed(1006));
            }
        }
    }
}
