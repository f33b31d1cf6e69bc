//! Certificates as files: where they are and what is in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::TlsError;

/// Most bytes of a PEM file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Most pairs of a directory.
const MAX_PAIRS: usize = 10_000;

/// A certificate chain and its private key, each in a PEM file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePair {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The key: PKCS #8, PKCS #1 or SEC 1; ECDSA, RSA or Ed25519.
    pub key: PathBuf,
}

/// Where certificates are.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// A directory with `NAME.key` beside `NAME.crt` or `NAME.pem`, and folders with `privkey.pem` beside `fullchain.pem`. The one
    /// called `default`, or else the first by name, serves clients that ask for no name, or for one that no certificate has.
    Directory(PathBuf),
    /// These, of which the first is the default.
    Pairs(Vec<CertificatePair>),
}

/// What changes when a file does.
pub(super) type Stamp = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

impl CertificateSource {
    /// The pairs that are there now, the default first.
    pub(super) fn pairs(&self) -> Result<Vec<CertificatePair>, TlsError> {
        match self {
            Self::Pairs(pairs) => Ok(pairs.clone()),
            Self::Directory(directory) => in_directory(directory),
        }
    }

    /// Where to look, for messages.
    pub(super) fn place(&self) -> PathBuf {
        match self {
            Self::Directory(directory) => directory.clone(),
            Self::Pairs(pairs) => pairs.first().map_or_else(PathBuf::new, |pair| pair.certificate.clone()),
        }
    }
}

fn in_directory(directory: &Path) -> Result<Vec<CertificatePair>, TlsError> {
    let unreadable = |source| TlsError::Read { path: directory.to_owned(), source };
    let mut named = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)?.take(MAX_PAIRS * 2) {
        let path = entry.map_err(unreadable)?.path();
        let pair = if path.is_dir() {
            CertificatePair { certificate: path.join("fullchain.pem"), key: path.join("privkey.pem") }
        } else if path.extension().is_some_and(|extension| extension == "key") {
            let chain = ["crt", "pem"].map(|extension| path.with_extension(extension)).into_iter().find(|p| p.exists());
            CertificatePair { certificate: chain.unwrap_or_else(|| path.with_extension("crt")), key: path.clone() }
        } else {
            continue;
        };
        if path.is_dir() && !pair.certificate.exists() && !pair.key.exists() {
            continue;
        }
        named.push((path.file_stem().is_none_or(|stem| stem != "default"), path, pair));
    }
    named.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    named.truncate(MAX_PAIRS);
    Ok(named.into_iter().map(|(_, _, pair)| pair).collect())
}

/// The state of the files of `pairs`.
pub(super) fn stamp(pairs: &[CertificatePair]) -> Stamp {
    pairs
        .iter()
        .flat_map(|pair| [&pair.certificate, &pair.key])
        .map(|path| {
            let state = fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len()))).ok();
            (path.clone(), state)
        })
        .collect()
}

/// A certificate that can be served, with the names that it is for.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: std::sync::Arc<CertifiedKey>,
    /// DNS names in lower case; one that begins with `*.` is for any one label in that place.
    pub(super) names: Vec<String>,
}

impl Certificate {
    pub(super) fn load(pair: &CertificatePair, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let not_pem = |path: &Path, what| TlsError::NotPem { path: path.to_owned(), what };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(&pair.certificate)?)
            .collect::<Result<_, _>>()
            .map_err(|_| not_pem(&pair.certificate, "certificate"))?;
        let Some(own) = chain.first() else { return Err(not_pem(&pair.certificate, "certificate")) };
        let unusable = |source| TlsError::Unusable { path: pair.certificate.clone(), source };
        let bad = |_| unusable(rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding));
        let names = EndEntityCert::try_from(own).map_err(bad)?.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let key = PrivateKeyDer::from_pem_slice(&read(&pair.key)?).map_err(|_| not_pem(&pair.key, "private key"))?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(unusable)?;
        Ok(Self { key: key.into(), names })
    }

    /// Whether it is for this name, which is in lower case.
    pub(super) fn covers(&self, name: &str) -> bool {
        let wild = wildcard(name);
        self.names.iter().any(|own| own == name || wild.as_ref().is_some_and(|wild| own == wild))
    }
}

/// The wildcard name that a name of several labels falls under (RFC 9525 §6.3).
pub(super) fn wildcard(name: &str) -> Option<String> {
    let (_, rest) = name.split_once('.')?;
    (!rest.is_empty()).then(|| format!("*.{rest}"))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Read { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_FILE_BYTES {
        return Err(unreadable(std::io::Error::other(format!("larger than {MAX_FILE_BYTES} bytes"))));
    }
    fs::read(path).map_err(unreadable)
}
