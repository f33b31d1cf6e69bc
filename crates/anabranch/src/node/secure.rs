//! TLS of the edge, as configured.

use std::net::SocketAddr;
use std::path::Path;

use anabranch_edge::Tls;
use anabranch_net::{CertificatePair, CertificateSource, Certificates, development_certificate};
use anyhow::{Context, Result};

use crate::config::{CertificateFiles, Config};

/// How the edge listens with TLS; not at all without an address. Without certificates it gets one for development, which is kept
/// in the data directory.
pub(super) fn tls(config: &Config) -> Result<Option<Tls>> {
    let tls = &config.edge.tls;
    if tls.listen.0.is_empty() {
        return Ok(None);
    }
    let source = match &tls.certificates {
        Some(CertificateFiles::Directory(directory)) => CertificateSource::Directory(directory.clone()),
        Some(CertificateFiles::Pairs(pairs)) => CertificateSource::Pairs(
            pairs
                .iter()
                .map(|pair| CertificatePair { certificate: pair.certificate.clone(), key: pair.key.clone() })
                .collect(),
        ),
        None => {
            let names = ["localhost", &format!("*.{}", config.edge.domain_suffix), "127.0.0.1", "::1"];
            let names = names.map(str::to_owned);
            CertificateSource::Pairs(vec![development_certificate(&config.data.join("tls"), &names)?])
        }
    };
    let certificates = Certificates::load(source).context("edge.tls.certificates")?;
    Ok(Some(Tls { listen: tls.listen.0.clone(), http3: config.edge.http3.listen.0.clone(), certificates }))
}

/// As [`tls`], by one certificate that flags name.
pub(super) fn by_flags(listen: Vec<SocketAddr>, certificate: &Path, key: &Path) -> Result<Tls> {
    let pair = CertificatePair { certificate: certificate.to_owned(), key: key.to_owned() };
    let certificates = Certificates::load(CertificateSource::Pairs(vec![pair])).context("--cert and --key")?;
    Ok(Tls { listen, http3: Vec::new(), certificates })
}
