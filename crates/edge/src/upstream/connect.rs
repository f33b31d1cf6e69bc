//! Opening connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::dns::Names;
use super::failure::Failure;
use super::trust::Trust;
use super::upload::Upload;
use super::way::Way;

/// Read buffer of a connection.
const BUFFER_BYTES: usize = 256 << 10;

/// Largest head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Time between two attempts to connect.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection with its driving task, which ends with it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) sender: http1::SendRequest<Upload>,
    _driver: AbortOnDropHandle<()>,
}

/// How patiently a connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// For one attempt: name, connection and TLS.
    pub(super) attempt: Duration,
    /// At least 1.
    pub(super) attempts: u32,
}

/// Opens a connection. Each attempt resolves the name and tries its addresses in order; a certificate that is refused is not asked
/// for again.
///
/// # Errors
/// What the last attempt met: [`Failure::Resolve`], [`Failure::Connect`], [`Failure::Tls`] or [`Failure::Timeout`].
pub(super) async fn connect(way: &Way, names: &Names, trust: &Trust, patience: Patience) -> Result<Link, Failure> {
    let mut left = patience.attempts.max(1);
    loop {
        left -= 1;
        let opened = timeout(patience.attempt, attempt(way, names, trust, patience.attempt)).await;
        let failure = match opened {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Timeout("accept a connection"),
        };
        names.forget(way);
        if left == 0 || is_certain(&failure) {
            return Err(failure);
        }
        sleep(ATTEMPT_PAUSE).await;
    }
}

/// Whether another attempt would meet the same.
fn is_certain(failure: &Failure) -> bool {
    match failure {
        // What TLS itself objects to, as opposed to a connection that breaks.
        Failure::Tls(error) => error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>),
        Failure::Connect(_) | Failure::Resolve(_) | Failure::Timeout(_) => false,
        _ => true,
    }
}

async fn attempt(way: &Way, names: &Names, trust: &Trust, limit: Duration) -> Result<Link, Failure> {
    let deadline = Instant::now() + limit;
    let addresses = names.resolve(way).await.map_err(Failure::Resolve)?;
    let stream = open(&addresses, way.port, deadline).await?;
    // Failing to set it only costs latency.
    let _ = stream.set_nodelay(true);
    if !way.tls {
        return handshake(stream).await;
    }
    let Some(name) = way.server_name() else { return Err(Failure::NoOrigin) };
    handshake(trust.connector().connect(name, stream).await.map_err(Failure::Tls)?).await
}

/// Connects to the first address that takes it; none may use up the time of those after it.
async fn open(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<TcpStream, Failure> {
    let mut failure = Failure::Connect(io::ErrorKind::AddrNotAvailable.into());
    for (index, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let rest = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(now) / rest;
        match timeout_at(now + share, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = Failure::Connect(error),
            Err(_) => failure = Failure::Timeout("accept a connection"),
        }
    }
    Err(failure)
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Link, Failure> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER_BYTES).max_header_size(MAX_HEAD_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(Failure::Protocol)?;
    let driver = tokio::spawn(async move {
        // Its end reaches the request that is under way, or nobody.
        let _ = connection.await;
    });
    Ok(Link { sender, _driver: AbortOnDropHandle::new(driver) })
}
