//! Bend: connections in, each to the front that it speaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anabranch_net::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::request::{Connection, Scheme};
use crate::viewer::Viewer;
use crate::worker::Worker;
use crate::{h1, h2};

/// Pause after an accept error such as too many open files, so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Accepts connections until `shutdown`.
pub(crate) async fn accept(worker: Arc<Worker>, listener: TcpListener, scheme: Scheme, shutdown: Shutdown) {
    loop {
        let next = async {
            // The semaphore is never closed, so acquiring cannot fail.
            let permit = worker.connections().clone().acquire_owned().await.ok();
            (permit, next_connection(&listener).await)
        };
        let (permit, (stream, peer)) = tokio::select! {
            () = shutdown.cancelled() => return,
            next = next => next,
        };
        // Without it small answers wait for acknowledgements; failing to set it only costs latency.
        let _ = stream.set_nodelay(true);
        let (worker, shutdown) = (worker.clone(), shutdown.clone());
        let tasks = worker.tasks().clone();
        // Joined by the worker's drain. Two tasks of their own: a plain connection need not have room for TLS.
        match scheme {
            Scheme::Http => drop(tasks.spawn(serve_plain(worker, stream, peer, shutdown, permit))),
            Scheme::Https => drop(tasks.spawn(serve_tls(worker, stream, peer, shutdown, permit))),
        }
    }
}

async fn next_connection(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// A connection that is counted while it is open.
struct Counted {
    worker: Arc<Worker>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Counted {
    fn new(worker: Arc<Worker>, permit: Option<OwnedSemaphorePermit>) -> Self {
        worker.metrics().connections.increment(1.0);
        Self { worker, _permit: permit }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.metrics().connections.decrement(1.0);
    }
}

async fn serve_plain(
    worker: Arc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    shutdown: Shutdown,
    permit: Option<OwnedSemaphorePermit>,
) {
    let _counted = Counted::new(worker.clone(), permit);
    let connection = Connection { port: peer.port(), ..Connection::default() };
    let viewer = Viewer { address: peer.ip().to_canonical(), hosts: None, connection };
    match h1::serve(&worker, stream, &viewer, &shutdown).await {
        Ok(h1::Begun::Closed) => {}
        // Apart, so that a connection of HTTP/1.1 need not have room for one of HTTP/2.
        Ok(h1::Begun::Http2(stream, read)) => {
            Box::pin(h2::serve(&worker, stream, read, viewer, &shutdown)).await;
        }
        Err(error) => tracing::debug!(viewer.address = %peer, %error, "connection ended"),
    }
}

async fn serve_tls(
    worker: Arc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    shutdown: Shutdown,
    permit: Option<OwnedSemaphorePermit>,
) {
    let _counted = Counted::new(worker.clone(), permit);
    let Some(front) = worker.tls() else { return };
    let shaken = tokio::select! {
        () = shutdown.cancelled() => return,
        // Apart: the handshake's memory is given back before the first request.
        shaken = Box::pin(front.shake(stream, worker.config().header_timeout)) => shaken,
    };
    let shaken = match shaken {
        Ok(shaken) => shaken,
        Err(error) => {
            worker.metrics().handshakes_failed.increment(1);
            tracing::debug!(viewer.address = %peer, %error, "tls handshake failed");
            return;
        }
    };
    worker.metrics().handshakes.increment(1);
    let connection = Connection { port: peer.port(), tls: shaken.tls, ..Connection::default() };
    let viewer = Viewer { address: peer.ip().to_canonical(), hosts: Some(shaken.hosts), connection };
    if shaken.http_2 {
        Box::pin(h2::serve(&worker, shaken.wire, Vec::new(), viewer, &shutdown)).await;
    } else if let Err(error) = h1::serve(&worker, shaken.wire, &viewer, &shutdown).await {
        tracing::debug!(viewer.address = %peer, %error, "connection ended");
    }
}
