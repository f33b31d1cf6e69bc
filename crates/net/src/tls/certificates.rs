//! The certificates in force, chosen by the name that a client asks for.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureScheme};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::TlsError;
use super::pair::{Certificate, CertificatePair, CertificateSource, Stamp, stamp, wildcard};
use crate::Shutdown;

/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

/// Sessions kept for clients that resume without a ticket.
const KEPT_SESSIONS: usize = 4096;

/// Certificates from files, which may change while they are served.
pub struct Certificates {
    source: CertificateSource,
    index: ArcSwap<Index>,
    loaded: Mutex<Loaded>,
}

/// The certificates by name.
#[derive(Default)]
struct Index {
    /// Several of one name differ by algorithm; ECDSA first.
    by_name: HashMap<String, Vec<Arc<Certificate>>>,
    default: Vec<Arc<Certificate>>,
}

/// What was read last.
#[derive(Default)]
struct Loaded {
    stamp: Stamp,
    pairs: Vec<(CertificatePair, Arc<Certificate>)>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads all certificates of `source`. A broken pair in a directory is logged and left out.
    ///
    /// # Errors
    /// There is none, or a pair that was named cannot be used.
    pub fn load(source: CertificateSource) -> Result<Arc<Self>, TlsError> {
        let certificates = Self { source, index: ArcSwap::default(), loaded: Mutex::default() };
        let pairs = certificates.source.pairs()?;
        let strict = matches!(certificates.source, CertificateSource::Pairs(_));
        let mut loaded = Loaded { stamp: stamp(&pairs), pairs: Vec::new() };
        for pair in pairs {
            match Certificate::load(&pair, &default_provider()) {
                Ok(certificate) => loaded.pairs.push((pair, Arc::new(certificate))),
                Err(error) if strict => return Err(error),
                Err(error) => warn(&error, "a certificate is left out"),
            }
        }
        if loaded.pairs.is_empty() {
            return Err(TlsError::None { path: certificates.source.place() });
        }
        certificates.index.store(Arc::new(Index::of(&loaded.pairs)));
        *certificates.loaded.lock().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(Arc::new(certificates))
    }

    /// Reads what has changed; what cannot be used any more is logged, and its last good state stays in force. True if anything
    /// was read. Blocks on files.
    pub fn refresh(&self, forced: bool) -> bool {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = match self.source.pairs() {
            Ok(pairs) => pairs,
            Err(error) => {
                warn(&error, "certificates stay as they are");
                return false;
            }
        };
        let stamp = stamp(&pairs);
        if !forced && stamp == loaded.stamp {
            return false;
        }
        let provider = default_provider();
        let mut next = Loaded { stamp, pairs: Vec::with_capacity(pairs.len()) };
        for pair in pairs {
            let old = loaded.pairs.iter().find(|(known, _)| *known == pair).map(|(_, certificate)| certificate.clone());
            match (Certificate::load(&pair, &provider), old) {
                (Ok(certificate), _) => next.pairs.push((pair, Arc::new(certificate))),
                (Err(error), Some(old)) => {
                    warn(&error, "a certificate stays as it was");
                    next.pairs.push((pair, old));
                }
                (Err(error), None) => warn(&error, "a certificate is left out"),
            }
        }
        if next.pairs.is_empty() {
            warn(&TlsError::None { path: self.source.place() }, "certificates stay as they are");
            loaded.stamp = next.stamp;
            return false;
        }
        self.index.store(Arc::new(Index::of(&next.pairs)));
        tracing::info!(tls.certificates = next.pairs.len(), "certificates are read again");
        *loaded = next;
        true
    }

    /// Reads changed files every few seconds and all of them at SIGHUP, until `shutdown`.
    pub async fn follow(self: Arc<Self>, shutdown: Shutdown) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut tick = interval(LOOK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            let forced = tokio::select! {
                () = shutdown.cancelled() => return,
                _ = told => true,
                _ = tick.tick() => false,
            };
            let this = self.clone();
            // Files are read aside; a reading that failed has been logged.
            let _ = tokio::task::spawn_blocking(move || this.refresh(forced)).await;
        }
    }

    /// The configuration of a server with these certificates: TLS 1.3 and 1.2, resumption by tickets and a cache, and these
    /// protocols by ALPN, the preferred one first.
    ///
    /// # Errors
    /// The cryptographic library has no random bytes.
    pub fn server_config(self: &Arc<Self>, protocols: &[&[u8]]) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config.session_storage = ServerSessionMemoryCache::new(KEPT_SESSIONS);
        config.ticketer = Ticketer::new().map_err(TlsError::Setup)?;
        Ok(config)
    }

    /// Whether a request for `host` (without port) may come by a connection whose client asked for `server_name`: not if another
    /// certificate than the one presented there is for it (RFC 9110 §7.4, RFC 9113 §9.1.1). A host that no certificate is for is
    /// not refused here.
    #[must_use]
    pub fn allows(&self, server_name: Option<&str>, host: &str) -> bool {
        let index = self.index.load();
        if index.by_name.is_empty() {
            return true;
        }
        let lower = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let Some(owners) = index.named(&lower) else { return true };
        let presented = index.for_client(server_name);
        presented
            .iter()
            .any(|certificate| owners.iter().any(|owner| Arc::ptr_eq(owner, certificate)) || certificate.covers(&lower))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let index = self.index.load();
        let candidates = index.for_client(hello.server_name());
        let usable =
            |certificate: &&Arc<Certificate>| certificate.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let chosen = candidates.iter().find(usable).or_else(|| candidates.first());
        chosen.map(|certificate| certificate.key.clone())
    }
}

impl Index {
    fn of(pairs: &[(CertificatePair, Arc<Certificate>)]) -> Self {
        let mut index = Self::default();
        for (_, certificate) in pairs {
            for name in &certificate.names {
                let same = index.by_name.entry(name.clone()).or_default();
                if !same.iter().any(|known| Arc::ptr_eq(known, certificate)) {
                    same.push(certificate.clone());
                }
            }
        }
        let ecdsa = |certificate: &Arc<Certificate>| {
            let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384];
            certificate.key.key.choose_scheme(&schemes).is_some()
        };
        for same in index.by_name.values_mut() {
            same.sort_by_key(|certificate| !ecdsa(certificate));
        }
        index.default = match pairs.first() {
            // The default's kin of another algorithm serves clients that cannot use it.
            Some((_, first)) => match first.names.first().and_then(|name| index.by_name.get(name)) {
                Some(kin) => kin.clone(),
                None => vec![first.clone()],
            },
            None => Vec::new(),
        };
        index
    }

    /// The certificates for a name in lower case.
    fn named(&self, name: &str) -> Option<&Vec<Arc<Certificate>>> {
        self.by_name.get(name).or_else(|| self.by_name.get(&wildcard(name)?))
    }

    fn for_client(&self, server_name: Option<&str>) -> &[Arc<Certificate>] {
        server_name.and_then(|name| self.named(&name.to_ascii_lowercase())).unwrap_or(&self.default)
    }
}

fn warn(error: &TlsError, what: &'static str) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, cause = cause.as_deref().unwrap_or("-"), "{what}");
}

#[cfg(test)]
mod tests;
