//! The net room: listeners, accept loops with limits and drain, TLS with certificates that change, and the clock that tests
//! replace.
//!
//! In: addresses, services, certificate files, a shutdown token.
//! Out: served connections; a TLS configuration that chooses certificates by name.
//! Never: rules of HTTP caching or media. Client pools come here when they are needed.
//! Spec: RFC 8446, 5246 (by rustls), 6066 §3, 7301, 9525.

mod clock;
mod listen;
mod serve;
mod tls;

pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use listen::{BindError, Reuse, bind, bind_udp};
pub use serve::{PeerAddr, ServeConfig, serve_http};
pub use tls::{CertificatePair, CertificateSource, Certificates, TlsError, development_certificate};
pub use tokio_util::sync::CancellationToken as Shutdown;
