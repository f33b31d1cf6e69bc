//! Bend: connections in, each to the front that it speaks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anabranch_net::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::worker::Worker;
use crate::{h1, h2};

/// Pause after an accept error such as too many open files, so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Accepts connections until `shutdown`.
pub(crate) async fn accept(worker: Arc<Worker>, listener: TcpListener, shutdown: Shutdown) {
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
        // Joined by the worker's drain.
        worker.tasks().spawn(serve(worker.clone(), stream, peer.ip().to_canonical(), shutdown.clone(), permit));
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

async fn serve(
    worker: Arc<Worker>,
    stream: TcpStream,
    peer: IpAddr,
    shutdown: Shutdown,
    permit: Option<OwnedSemaphorePermit>,
) {
    // Without it small answers wait for acknowledgements; failing to set it only costs latency.
    let _ = stream.set_nodelay(true);
    worker.metrics().connections.increment(1.0);
    match h1::serve(&worker, stream, peer, &shutdown).await {
        Ok(h1::Begun::Closed) => {}
        Ok(h1::Begun::Http2(stream, read)) => h2::serve(&worker, stream, read, peer, &shutdown).await,
        Err(error) => tracing::debug!(viewer.address = %peer, %error, "connection ended"),
    }
    worker.metrics().connections.decrement(1.0);
    drop(permit);
}
