//! TLS for listeners: certificates chosen by the name that a client asks for, and changed without a cut.

mod certificates;
mod development;
mod pair;

use std::path::PathBuf;

pub use certificates::Certificates;
pub use development::development_certificate;
pub use pair::{CertificatePair, CertificateSource};

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file or directory cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not PEM, or holds nothing of the kind.
    #[error("no {what} in PEM form: {path}")]
    NotPem {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key cannot be used together.
    #[error("this certificate and its key cannot be used: {path}")]
    Unusable {
        /// The certificate's.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// No certificate at all.
    #[error(
        "no certificate; put NAME.crt and NAME.key, or NAME/fullchain.pem and NAME/privkey.pem, into the directory: {path}"
    )]
    None {
        /// Where.
        path: PathBuf,
    },
    /// The development certificate cannot be made.
    #[error("cannot make a development certificate: {0}")]
    Development(String),
    /// The cryptographic library refuses.
    #[error("cannot set TLS up")]
    Setup(#[source] rustls::Error),
}
