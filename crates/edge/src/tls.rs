//! TLS beneath the fronts: the handshake, and a wire over rustls without a layer between.
//!
//! Where the kernel can encrypt (kTLS), a wire of its own belongs here: it would take the secrets from rustls after the
//! handshake (`dangerous_extract_secrets`), hand them to the socket by `setsockopt(SOL_TLS)`, and then send files as the plain one
//! does.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anabranch_net::{Certificates, TlsError};
use rustls::{CipherSuite, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::request::{Scheme, Tls as Agreed, host_without_port};
use crate::wire::{Wire, try_read_all, try_write_all};

/// Encrypted bytes that wait for the kernel on one connection: what one write takes, and what a viewer who reads nothing holds.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// Readings of the socket that may bring no byte of a request before others get their turn.
const MAX_SILENT_READS: usize = 16;

/// ALPN's names (RFC 7301 §6).
const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// What a listener of TLS has.
pub(crate) struct TlsFront {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
}

impl std::fmt::Debug for TlsFront {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsFront").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

/// A connection after its handshake.
pub(crate) struct Shaken {
    pub(crate) wire: TlsWire,
    pub(crate) http_2: bool,
    pub(crate) hosts: HostGuard,
    /// What was agreed on, where it has a name.
    pub(crate) tls: Option<Agreed>,
}

/// Which hosts may be asked for on a connection: those of the certificate that was presented on it.
#[derive(Clone, Debug)]
pub(crate) struct HostGuard {
    certificates: Arc<Certificates>,
    server_name: Option<Arc<str>>,
}

impl HostGuard {
    /// Of a connection whose viewer asked for `server_name`.
    pub(crate) fn new(certificates: Arc<Certificates>, server_name: Option<&str>) -> Self {
        Self { certificates, server_name: server_name.map(Arc::from) }
    }

    /// Whether a request for `host` (with its port, if it has one) has come by the right connection.
    pub(crate) fn allows(&self, host: &str) -> bool {
        let name = host_without_port(host).unwrap_or(host);
        self.certificates.allows(self.server_name.as_deref(), name)
    }
}

impl TlsFront {
    pub(crate) fn new(certificates: Arc<Certificates>) -> Result<Self, TlsError> {
        let config: ServerConfig = certificates.server_config(&[HTTP_2, HTTP_1_1])?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificates })
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// The peer does not speak TLS as it should, or takes longer than `limit`.
    pub(crate) async fn shake(&self, stream: TcpStream, limit: Duration) -> io::Result<Shaken> {
        let shaking = self.acceptor.accept_with(stream, |tls| tls.set_buffer_limit(Some(SEND_BUFFER_BYTES)));
        let (tcp, tls) = tokio::time::timeout(limit, shaking).await.map_err(io::Error::from)??.into_inner();
        let http_2 = tls.alpn_protocol() == Some(HTTP_2);
        let agreed = agreed(&tls);
        let hosts = HostGuard::new(self.certificates.clone(), tls.server_name());
        Ok(Shaken { wire: TlsWire { tcp, tls: Box::new(tls) }, http_2, hosts, tls: agreed })
    }
}

/// Protocol and cipher by OpenSSL's names, which logs of CloudFront have.
fn agreed(tls: &ServerConnection) -> Option<Agreed> {
    let protocol = match tls.protocol_version()? {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => return None,
    };
    let cipher = match tls.negotiated_cipher_suite()?.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => return None,
    };
    Some(Agreed { protocol, cipher })
}

/// A TLS connection. What is written is encrypted at once, in large pieces, and handed to the kernel as far as it takes it.
pub(crate) struct TlsWire {
    tcp: TcpStream,
    tls: Box<ServerConnection>,
}

/// The socket as rustls wants it: a call that cannot go on says `WouldBlock`.
struct Socket<'s>(&'s TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        try_read_all(self.0, buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        try_write_all(self.0, &[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        try_write_all(self.0, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsWire {
    /// Hands encrypted bytes to the kernel until it takes no more.
    fn push(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Socket(&self.tcp)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// As [`Self::push`], but a full socket is no failure.
    fn push_some(&mut self) -> io::Result<()> {
        match self.push() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Encrypts as much as there is room for; 0 if there is none.
    fn take(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.tls.writer().write_vectored(slices)
    }

    fn pull(&mut self) -> io::Result<()> {
        self.tls.read_tls(&mut Socket(&self.tcp))?;
        let processed = self.tls.process_new_packets();
        // There may be an alert to tell, or a new key to agree on.
        if self.tls.wants_write() {
            self.push_some()?;
        }
        processed.map(drop).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl Wire for TlsWire {
    const SCHEME: Scheme = Scheme::Https;
    const SENDS_FILES: bool = false;
    const PRIOR_KNOWLEDGE: bool = false;

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..MAX_SILENT_READS {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Without a goodbye; requests say themselves where they end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            self.pull()?;
        }
        match self.tls.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }

    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.tcp.readable()
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_read_ready(cx)
    }

    fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.push()?;
        let taken = self.take(slices)?;
        self.push_some()?;
        Ok(taken)
    }

    fn try_write_more(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Wire::try_write_vectored(self, &[IoSlice::new(bytes)])
    }

    fn try_send_file(&mut self, _: &File, _: u64, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        self.tcp.writable()
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_write_ready(cx)
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.push()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        self.push_some()?;
        self.tcp.finish()
    }
}
