//! An origin that says byte for byte what a test wants, over TCP or TLS.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What follows the bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next request.
    Keep,
    /// The end of the connection, in TLS with its notice.
    Close,
    /// The end of the connection without any notice.
    Drop,
    /// Nothing.
    Hang,
}

/// An answer to the request `head` (with its body), the `request`th of the `connection`th connection, both from 0.
type Script = dyn Fn(usize, usize, &str) -> (Vec<u8>, Then) + Send + Sync;

/// A running origin.
pub struct RawOrigin {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    /// Connections that have ended.
    pub ended: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
    _task: JoinHandle<()>,
}

impl RawOrigin {
    pub async fn start(script: impl Fn(usize, usize, &str) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Self {
        Self::start_with(None, 0, script).await
    }

    /// Speaks TLS; the first `broken` connections end in the middle of the handshake.
    pub async fn start_tls(
        tls: ServerConfig,
        broken: usize,
        script: impl Fn(usize, usize, &str) -> (Vec<u8>, Then) + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(Some(TlsAcceptor::from(Arc::new(tls))), broken, script).await
    }

    /// Answers everything with 200 and `body`.
    pub async fn plain(body: &'static str) -> Self {
        Self::start(move |_, _, _| (ok(body), Then::Keep)).await
    }

    async fn start_with(
        tls: Option<TlsAcceptor>,
        broken: usize,
        script: impl Fn(usize, usize, &str) -> (Vec<u8>, Then) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Arc<Script> = Arc::new(script);
        let (connections, ended, heads) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<Mutex<Vec<String>>>)>::default();
        let (counted, over, seen) = (connections.clone(), ended.clone(), heads.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = counted.fetch_add(1, Ordering::SeqCst);
                let (tls, script, over, seen) = (tls.clone(), script.clone(), over.clone(), seen.clone());
                tokio::spawn(async move {
                    match tls {
                        _ if connection < broken => {}
                        None => serve(stream, connection, &*script, &seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, connection, &*script, &seen).await;
                            }
                        }
                    }
                    over.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, connections, ended, heads, _task: task }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Every request so far, with its body.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// A whole answer.
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    script: &Script,
    heads: &Mutex<Vec<String>>,
) {
    let mut buffer = Vec::new();
    for request in 0.. {
        let Some(text) = read(&mut stream, &mut buffer).await else { return };
        heads.lock().unwrap().push(text.clone());
        let (bytes, then) = script(connection, request, &text);
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        match then {
            Then::Keep => {}
            Then::Close => {
                let _ = stream.shutdown().await;
                return;
            }
            Then::Drop => return,
            Then::Hang => {
                let _ = stream.read_to_end(&mut buffer).await;
                return;
            }
        }
    }
}

/// A request with its body; `None` when the connection ends.
async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end + 4].to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let whole = end + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap());
            if buffer.len() >= whole {
                return Some(String::from_utf8(buffer.drain(..whole).collect()).unwrap());
            }
        }
        let mut piece = [0; 16 << 10];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => buffer.extend_from_slice(&piece[..read]),
        }
    }
}

/// An authority of the tests' own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server that is certified for `name`.
    pub fn server(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap()
    }
}
