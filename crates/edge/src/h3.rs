//! The HTTP/3 front: QUIC by quinn, frames by h3, over the same river. Experimental, as h3 is: it does not bound the bytes of a
//! head that a viewer has announced and not finished, so that only [`Config::header_timeout`] ends such a stream.
//!
//! [`Config::header_timeout`]: crate::Config::header_timeout

mod message;
mod outgoing;

use std::future::Future;
use std::net::UdpSocket;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use anabranch_net::{Certificates, Shutdown, TlsError};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h3::error::Code;
use h3::server::{RequestResolver, RequestStream};
use h3_quinn::RecvStream;
use http::Response;
use http_body_util::BodyExt as _;
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use self::message::{read, response};
use self::outgoing::Outgoing;
use crate::pace::BodyPace;
use crate::request::{Connection, ReadBody, Version};
use crate::river::{Scratch, answer, answer_unread};
use crate::tls::HostGuard;
use crate::viewer::{Unread, Viewer};
use crate::worker::Worker;

/// ALPN's name (RFC 9114 §3.1).
const HTTP_3: &[u8] = b"h3";

/// Requests open at once on a connection.
const MAX_STREAMS: u32 = 128;

/// Streams of the connection's own: control and field compression, and a few that are reserved to keep the way open.
const MAX_OWN_STREAMS: u32 = 8;

/// Bytes of request bodies that a viewer may send before they are asked for, per stream and in all.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;

/// Bytes sent that no viewer has confirmed, per connection.
const SEND_WINDOW_BYTES: u64 = 2 << 20;

/// Why a listener of HTTP/3 cannot be made.
#[derive(Debug, thiserror::Error)]
enum Http3Error {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the cryptographic library has no cipher for quic")]
    NoCipher,
}

/// What a server of HTTP/3 is told.
fn server_config(certificates: &Arc<Certificates>, idle_timeout: Duration) -> Result<ServerConfig, Http3Error> {
    let tls = certificates.server_config(&[HTTP_3])?;
    let tls = QuicServerConfig::try_from(tls).map_err(|_| Http3Error::NoCipher)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        .max_concurrent_uni_streams(MAX_OWN_STREAMS.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(SEND_WINDOW_BYTES)
        .max_idle_timeout(IdleTimeout::try_from(idle_timeout).ok());
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Accepts connections on `socket` until `shutdown`.
pub(crate) async fn accept(worker: Arc<Worker>, socket: UdpSocket, shutdown: Shutdown) {
    let Some(tls) = &worker.config().tls else { return };
    let config = match server_config(&tls.certificates, worker.config().idle_timeout) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(%error, "http/3 cannot be served");
            return;
        }
    };
    let certificates = tls.certificates.clone();
    let endpoint = match Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime)) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            tracing::error!(%error, "http/3 cannot be served");
            return;
        }
    };
    let mut connections = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            incoming = endpoint.accept() => match incoming { Some(incoming) => incoming, None => break },
        };
        let Ok(permit) = worker.connections().clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let serving = serve(worker.clone(), incoming, certificates.clone(), shutdown.clone());
        connections.spawn(async move {
            serving.await;
            drop(permit);
        });
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(worker.config().drain_timeout, drained).await.is_err() {
        endpoint.close(VarInt::from_u32(0), b"drained");
    }
    endpoint.wait_idle().await;
}

async fn serve(worker: Arc<Worker>, incoming: Incoming, certificates: Arc<Certificates>, shutdown: Shutdown) {
    let peer = incoming.remote_address();
    let limit = worker.config().header_timeout;
    let shaking = async { incoming.accept()?.await };
    let Ok(Ok(quic)) = timeout(limit, shaking).await else {
        worker.metrics().handshakes_failed.increment(1);
        return;
    };
    worker.metrics().handshakes.increment(1);
    worker.metrics().connections.increment(1.0);
    let agreed = quic.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let hosts = HostGuard::new(certificates, agreed.and_then(|data| data.server_name).as_deref());
    // The library does not say which cipher was agreed on.
    let connection = Connection { version: Version::Http3, port: peer.port(), tls: None };
    let viewer = Viewer { address: peer.ip().to_canonical(), hosts: Some(hosts), connection };
    if let Err(error) = requests(&worker, h3_quinn::Connection::new(quic), &viewer, &shutdown).await {
        tracing::debug!(viewer.address = %viewer.address, %error, "http/3 connection ended");
    }
    worker.metrics().connections.decrement(1.0);
}

async fn requests(
    worker: &Arc<Worker>,
    quic: h3_quinn::Connection,
    viewer: &Viewer,
    shutdown: &Shutdown,
) -> Result<(), h3::error::ConnectionError> {
    let max_head_bytes = u64::try_from(worker.config().max_head_bytes).unwrap_or(u64::MAX);
    let mut connection = h3::server::builder().max_field_section_size(max_head_bytes).build(quic).await?;
    let mut streams = JoinSet::new();
    let mut closing = false;
    while !(closing && streams.is_empty()) {
        tokio::select! {
            () = shutdown.cancelled(), if !closing => {
                closing = true;
                connection.shutdown(0).await?;
            }
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
            next = connection.accept() => match next? {
                Some(request) => drop(streams.spawn(respond(worker.clone(), request, viewer.clone()))),
                None => break,
            },
        }
    }
    while streams.join_next().await.is_some() {}
    Ok(())
}

async fn respond(worker: Arc<Worker>, request: RequestResolver<h3_quinn::Connection, Bytes>, viewer: Viewer) {
    let limit = worker.config().write_timeout;
    let Ok(Ok((request, stream))) = timeout(worker.config().header_timeout, request.resolve_request()).await else {
        return;
    };
    let (mut send, recv) = stream.split();
    let (parts, ()) = request.into_parts();
    let mut scratch = Scratch::default();
    let answered = match read(&parts, &viewer) {
        Ok(request) => {
            let table = worker.table().load_full();
            let mut body = RequestBody { recv: Some(recv), limit: worker.config().header_timeout };
            answer(&worker, &table, &request, &mut body, &mut scratch).await
        }
        Err(status) => answer_unread(&worker, Unread { viewer: &viewer, status, received: None }, &mut scratch),
    };
    let (head, body) = response(answered, &scratch).into_parts();
    let mut body: Pin<&mut Outgoing> = pin!(body);
    let Ok(Ok(())) = timeout(limit, send.send_response(Response::from_parts(head, ()))).await else { return };
    while let Some(frame) = body.frame().await {
        let Some(bytes) = frame.ok().and_then(|frame| frame.into_data().ok()) else {
            // The body broke off at the origin.
            send.stop_stream(Code::H3_INTERNAL_ERROR);
            return;
        };
        if !matches!(timeout(limit, send.send_data(bytes)).await, Ok(Ok(()))) {
            send.stop_stream(Code::H3_REQUEST_CANCELLED);
            return;
        }
    }
    // A viewer who has gone needs no end.
    let _ = timeout(limit, send.finish()).await;
}

/// The body of a request, which is not read yet.
struct RequestBody {
    recv: Option<RequestStream<RecvStream, Bytes>>,
    /// Longest time between two pieces.
    limit: Duration,
}

impl RequestBody {
    async fn read(&mut self, limit: u64) -> Result<Bytes, u16> {
        let Some(mut recv) = self.recv.take() else { return Ok(Bytes::new()) };
        let mut pace = BodyPace::new(self.limit, Instant::now());
        let mut body = BytesMut::new();
        loop {
            let piece = timeout_at(pace.deadline(), recv.recv_data()).await.map_err(|_| 408_u16)?;
            let Some(piece) = piece.map_err(|_| 400_u16)? else { return Ok(body.freeze()) };
            if (body.len() + piece.remaining()) as u64 > limit {
                return Err(413);
            }
            pace.came(piece.remaining(), Instant::now());
            body.put(piece);
        }
    }
}

impl ReadBody for RequestBody {
    fn collect(&mut self, limit: u64) -> Pin<Box<dyn Future<Output = Result<Bytes, u16>> + Send + '_>> {
        Box::pin(self.read(limit))
    }
}
