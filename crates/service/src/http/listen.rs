//! Where a face may listen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket};

use crate::{ConfigFile, Error, Millis, Problems, Result};

/// An address to listen on.
///
/// Beyond loopback there must be TLS and authentication. This process speaks plain HTTP: TLS ends at a proxy before it,
/// and whoever opens the door to the network says so with `i_know_this_is_open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Address and port; port 0 takes any free one. Beyond loopback only with `i_know_this_is_open`.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// Accepts an address beyond loopback: the plain port is reachable from the network, and you have put TLS before it.
    pub i_know_this_is_open: bool,
    /// Connections at once; more wait in the operating system's queue.
    pub connections_max: u32,
    /// A connection on which nothing is read or written for so long is closed.
    pub idle_max: Millis,
}

/// Connections that may wait to be taken. Ten thousand wallboards come back at once when a proxy restarts; whoever finds no place
/// here tries again after a second, then after three. The kernel cuts it to its own `somaxconn`.
const BACKLOG: u32 = 16_384;

impl Listen {
    /// Loopback only.
    pub const fn loopback(port: u16) -> Self {
        Listen {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            i_know_this_is_open: false,
            connections_max: 1_024,
            idle_max: Millis::seconds(120),
        }
    }

    /// Beyond this machine.
    pub fn is_open(&self) -> bool {
        !self.address.ip().is_loopback()
    }

    /// Takes the address.
    ///
    /// # Errors
    /// TG0020 when it cannot be had (in use, not ours, no permission); TG0021 when it is open without leave.
    pub async fn bind(&self) -> Result<TcpListener> {
        if self.is_open() && !self.i_know_this_is_open {
            return Err(Error::config(
                "TG0021",
                format!("refuses to listen on {} without i_know_this_is_open", self.address),
            ));
        }
        self.take()
            .map_err(|error| Error::dependency("TG0020", format!("cannot listen on {}", self.address)).caused_by(error))
    }

    fn take(&self) -> std::io::Result<TcpListener> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As the standard listener does: a restart need not wait for connections of the former life to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        socket.listen(BACKLOG)
    }
}

impl Default for Listen {
    fn default() -> Self {
        Listen::loopback(0)
    }
}

impl ConfigFile for Listen {
    fn check(&self, problems: &mut Problems) {
        problems.range("connections_max", self.connections_max, 1..=1_000_000);
        if self.idle_max < Millis::seconds(1) {
            problems.add("idle_max", self.idle_max, "would close connections that are in use", "use 1s or more");
        }
        if self.is_open() && !self.i_know_this_is_open {
            problems.add(
                "address",
                self.address,
                "is reachable from the network, and this port is neither encrypted nor by itself guarded (TG0021)",
                "use 127.0.0.1, or put a TLS proxy and tokens before it and set i_know_this_is_open = true",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_address_is_refused_until_told_in_so_many_words() {
        let mut listen = Listen { address: "0.0.0.0:0".parse().unwrap(), ..Listen::loopback(0) };
        let mut problems = Problems::new();
        listen.check(&mut problems);
        assert!(problems.to_string().contains("i_know_this_is_open = true"), "{problems}");
        assert_eq!(listen.bind().await.unwrap_err().code(), "TG0021");
        listen.i_know_this_is_open = true;
        listen.check(&mut Problems::new());
        assert!(listen.bind().await.is_ok());
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let first = Listen::loopback(0).bind().await.unwrap();
        let taken = Listen::loopback(first.local_addr().unwrap().port());
        let error = taken.bind().await.unwrap_err();
        assert!(error.chain().contains(&taken.address.to_string()), "{}", error.chain());
        assert_eq!(error.class().exit(), 69);
    }
}
