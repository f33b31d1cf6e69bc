//! The accept loop for services on hyper: API, metrics and origin.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::Shutdown;

/// Pause after an accept error such as too many open files, so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Limits of a listener.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Connections served at once; more wait in the backlog.
    pub max_connections: usize,
    /// Time for a request head to arrive.
    pub header_timeout: Duration,
    /// Bytes of a request head.
    pub max_head_bytes: usize,
    /// Time for open requests to end after shutdown begins.
    pub drain: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            header_timeout: Duration::from_secs(10),
            max_head_bytes: 32 * 1024,
            drain: Duration::from_secs(5),
        }
    }
}

/// Address of the peer of a connection; an extension of every request on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// A service that tells each request where it came from.
#[derive(Clone)]
struct WithPeer<S> {
    inner: S,
    peer: PeerAddr,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for WithPeer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> S::Future {
        request.extensions_mut().insert(self.peer);
        self.inner.call(request)
    }
}

/// Serves HTTP/1.1 and HTTP/2 (prior knowledge) on `listener` until `shutdown`, then drains. Requests carry [`PeerAddr`].
///
/// Returns when every connection has ended or the drain deadline has passed.
pub async fn serve_http<S, B>(listener: TcpListener, service: S, config: ServeConfig, shutdown: Shutdown)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(config.max_head_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(config.max_head_bytes).unwrap_or(u32::MAX));
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let (permit, stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let connection = builder.serve_connection(TokioIo::new(stream), WithPeer { inner: service.clone(), peer });
        let watched = graceful.watch(connection.into_owned());
        // The permit lives in the task; GracefulShutdown joins it through the watcher.
        tokio::spawn(async move {
            // A connection error is the peer's; the handler has logged what mattered.
            let _ = watched.await;
            drop(permit);
        });
    }
    drop(listener);
    // Past the deadline connections are cut by the end of the runtime.
    let _ = tokio::time::timeout(config.drain, graceful.shutdown()).await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (Option<tokio::sync::OwnedSemaphorePermit>, tokio::net::TcpStream, PeerAddr) {
    // The semaphore is never closed, so acquiring cannot fail.
    let permit = permits.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Without it small answers wait for acknowledgements; failing to set it only costs latency.
                let _ = stream.set_nodelay(true);
                return (permit, stream, PeerAddr(peer));
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}
