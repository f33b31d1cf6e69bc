//! A fixed address for an origin room that may move.
//!
//! The edge is told once where the origin room is. The room's address is what the control plane says, which may change whenever
//! that is restarted; so the edge asks here, and connections are passed on to wherever the room is now.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anabranch_net::{BindError, Reuse, Shutdown, bind};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections passed on at once; more wait.
const CONNECTIONS_MAX: usize = 4096;

/// Time for a connection to the room to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after an accept error such as too many open files, so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Passes connections on.
pub(super) struct Relay {
    listener: TcpListener,
    /// `host:port` of the room, if it is known.
    room: watch::Receiver<Option<String>>,
}

impl Relay {
    pub(super) fn bind(room: watch::Receiver<Option<String>>) -> Result<Self, BindError> {
        Ok(Self { listener: bind((Ipv4Addr::LOCALHOST, 0).into(), Reuse::Exclusive)?, room })
    }

    pub(super) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Runs until `shutdown`, and then cuts what is open.
    pub(super) async fn run(self, shutdown: Shutdown) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut open = JoinSet::new();
        loop {
            while open.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = accept(&self.listener, &permits) => accepted,
            };
            let room = self.room.borrow().clone();
            open.spawn(async move {
                let (permit, stream) = accepted;
                if let Some(room) = room {
                    pass(stream, &room).await;
                }
                drop(permit);
            });
        }
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (Option<tokio::sync::OwnedSemaphorePermit>, TcpStream) {
    // The semaphore is never closed, so acquiring cannot fail.
    let permit = permits.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (permit, stream),
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Both ends have their own patience; the edge logs what goes wrong with its fetch.
async fn pass(mut edge: TcpStream, room: &str) {
    match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(room)).await {
        Ok(Ok(mut room)) => {
            // Failing to set it only costs latency.
            let _ = (edge.set_nodelay(true), room.set_nodelay(true));
            let _ = tokio::io::copy_bidirectional(&mut edge, &mut room).await;
        }
        Ok(Err(error)) => tracing::debug!(origin = room, %error, "the origin room cannot be reached"),
        Err(_) => tracing::debug!(origin = room, "the origin room cannot be reached in time"),
    }
}

/// `host:port` of the origin room, as the control plane at `control_host` names it.
pub(super) fn place(told: &str, control_host: &str) -> Option<String> {
    let (host, port) = told.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let Some(address) = address(host) else { return Some(told.to_owned()) };
    if address.is_unspecified() {
        return Some(format!("{control_host}:{port}"));
    }
    if address.is_loopback() && !is_here(control_host) {
        tracing::warn!(
            origin = told,
            "the origin room listens on the control plane's loopback address: set origin.listen or origin.public there"
        );
    }
    Some(told.to_owned())
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || address(host).is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn the_room_is_where_the_control_plane_says() {
        for (told, at) in [
            ("origin.example.com:9996", Some("origin.example.com:9996")),
            ("0.0.0.0:9996", Some("admin.example.com:9996")),
            ("[::]:9996", Some("admin.example.com:9996")),
            ("[2001:db8::1]:9996", Some("[2001:db8::1]:9996")),
            ("origin.example.com", None),
            ("origin.example.com:x", None),
        ] {
            assert_eq!(place(told, "admin.example.com").as_deref(), at, "{told}");
        }
    }

    /// A room that says its name to each who connects.
    fn room(name: &'static str) -> String {
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into(), Reuse::Exclusive).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(name.as_bytes()).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn connections_go_where_the_room_is_now() {
        let (tell, told) = watch::channel(None);
        let relay = Relay::bind(told).unwrap();
        let address = relay.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let running = tokio::spawn(relay.run(shutdown.clone()));
        let ask = || async {
            let mut said = String::new();
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.read_to_string(&mut said).await.unwrap();
            said
        };
        assert_eq!(ask().await, "", "not known yet");
        for name in ["first", "second"] {
            tell.send_replace(Some(room(name)));
            assert_eq!(ask().await, name);
        }
        shutdown.cancel();
        running.await.unwrap();
    }
}
