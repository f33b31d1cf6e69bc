//! A certificate for the first steps, which nobody but this machine's operator trusts.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use super::TlsError;
use super::pair::{Certificate, CertificatePair};

/// The development certificate in `directory`, made there if there is none for all of `names` (host names, wildcards and
/// addresses): self-signed, ECDSA P-256, valid until the end of 2049. The key's file is readable by its owner alone.
///
/// # Errors
/// The directory cannot be written, or a name is none.
pub fn development_certificate(directory: &Path, names: &[String]) -> Result<CertificatePair, TlsError> {
    let pair =
        CertificatePair { certificate: directory.join("development.crt"), key: directory.join("development.key") };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let hosts = names.iter().filter(|name| name.parse::<std::net::IpAddr>().is_err());
    if let Ok(present) = Certificate::load(&pair, &provider)
        && hosts.into_iter().all(|name| present.names.contains(&name.to_ascii_lowercase()))
    {
        return Ok(pair);
    }
    let failed = |error: rcgen::Error| TlsError::Development(error.to_string());
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Anabranch development certificate");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    let certificate = params.self_signed(&key).map_err(failed)?;
    fs::create_dir_all(directory).map_err(|source| TlsError::Write { path: directory.to_owned(), source })?;
    write(&pair.key, 0o600, &key.serialize_pem())?;
    write(&pair.certificate, 0o644, &certificate.pem())?;
    tracing::info!(tls.certificate = %pair.certificate.display(), "made a development certificate");
    Ok(pair)
}

/// Writes a file whole or not at all.
fn write(path: &Path, mode: u32, text: &str) -> Result<(), TlsError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".new");
    let partial = PathBuf::from(partial);
    let written = || {
        // One that is left from a crash may have another mode.
        let _ = fs::remove_file(&partial);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    written().map_err(|source| TlsError::Write { path: path.to_owned(), source })
}
