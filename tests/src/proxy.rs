//! A TCP link that can be cut: it stands between the product and the PBX.

use anyhow::{Context as _, Result};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A forwarder on loopback; it stops when dropped.
#[derive(Debug)]
pub struct Link {
    /// Where to connect instead of the real place.
    pub address: SocketAddr,
    up: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Link {
    /// Opens a link to `to`, on a port that the system picks.
    pub async fn open(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free port for the link")?;
        let address = listener.local_addr()?;
        let (up, state) = watch::channel(true);
        Ok(Self { address, up, task: tokio::spawn(accept(listener, to, state)) })
    }

    /// Cuts every connection, and refuses new ones until [`Link::mend`].
    pub fn cut(&self) {
        self.up.send_replace(false);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.up.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, state: watch::Receiver<bool>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut state = state.clone();
        if !*state.borrow_and_update() {
            continue;
        }
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(to).await else { return };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = state.wait_for(|up| !up) => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_cut_link_ends_connections_and_a_mended_one_carries_them_again() {
        let far = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let link = Link::open(far.local_addr().expect("an address")).await.expect("a link");
        let mut near = TcpStream::connect(link.address).await.expect("a connection");
        let (mut other, _) = far.accept().await.expect("the other end");
        near.write_all(b"hello").await.expect("sent");
        let mut got = [0; 5];
        other.read_exact(&mut got).await.expect("received");
        link.cut();
        assert!(matches!(near.read(&mut got).await, Ok(0) | Err(_)), "the connection must be gone");
        let mut refused = TcpStream::connect(link.address).await.expect("accepted only to be dropped");
        assert!(matches!(refused.read(&mut got).await, Ok(0) | Err(_)), "a cut link must not carry");
        link.mend();
        let mut again = TcpStream::connect(link.address).await.expect("a connection");
        let (mut other, _) = far.accept().await.expect("the other end");
        again.write_all(b"again").await.expect("sent");
        other.read_exact(&mut got).await.expect("received");
        assert_eq!(&got, b"again");
    }
}
