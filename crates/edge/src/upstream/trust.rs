//! Which certificates of origins are believed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::config::Config;

/// Why the configured authorities cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file is not there or no PEM.
    #[error("cannot read the certificate authorities of origins: {}", path.display())]
    Read {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The file holds no certificate of an authority.
    #[error("no certificate authority for origins in: {}", path.display())]
    Empty {
        /// As configured.
        path: PathBuf,
    },
    /// TLS cannot be prepared.
    #[error("cannot prepare TLS to origins")]
    Tls(#[source] rustls::Error),
}

/// TLS as it is spoken to origins. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

impl Trust {
    /// Believes the authorities that browsers believe, and those of the configured file.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub(crate) fn load(config: &Config) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if let Some(path) = &config.origin_ca {
            let unreadable = |source| TrustError::Read { path: path.clone(), source };
            let from_pem = |error| match error {
                pem::Error::Io(error) => unreadable(error),
                other => unreadable(io::Error::new(io::ErrorKind::InvalidData, other)),
            };
            let found: Result<Vec<CertificateDer<'static>>, _> =
                CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            let (added, _) = roots.add_parsable_certificates(found.map_err(from_pem)?);
            if added == 0 {
                return Err(TrustError::Empty { path: path.clone() });
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(tls)))
    }

    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.0.clone())
    }
}
