use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};

use super::*;
use crate::tls::development_certificate;

fn make(directory: &Path, stem: &str, names: &[&str], key: &KeyPair) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(key).unwrap();
    fs::write(directory.join(format!("{stem}.crt")), certificate.pem()).unwrap();
    fs::write(directory.join(format!("{stem}.key")), key.serialize_pem()).unwrap();
}

fn names(certificates: &Certificates, asked: Option<&str>) -> Vec<String> {
    certificates.index.load().for_client(asked).iter().flat_map(|c| c.names.clone()).collect()
}

#[test]
fn the_name_asked_for_decides() {
    let directory = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    make(directory.path(), "a", &["a.test", "www.a.test"], &key);
    make(directory.path(), "default", &["fallback.test"], &key);
    make(directory.path(), "w", &["*.w.test"], &key);
    fs::create_dir(directory.path().join("empty")).unwrap();
    let all = Certificates::load(CertificateSource::Directory(directory.path().to_owned())).unwrap();
    for (asked, name) in [
        (Some("a.test"), "a.test"),
        (Some("A.Test"), "a.test"),
        (Some("x.w.test"), "*.w.test"),
        (Some("x.y.w.test"), "fallback.test"),
        (Some("w.test"), "fallback.test"),
        (Some("unknown.test"), "fallback.test"),
        (None, "fallback.test"),
    ] {
        assert_eq!(names(&all, asked)[0], name, "{asked:?}");
    }
    for (allowed, server_name, host) in [
        (true, Some("a.test"), "www.a.test"),
        (true, Some("a.test"), "WWW.a.test."),
        (false, Some("a.test"), "x.w.test"),
        (false, None, "a.test"),
        (true, None, "nobody.test"),
        (true, Some("a.test"), "127.0.0.1"),
        (true, Some("x.w.test"), "y.w.test"),
        (true, Some("unknown.test"), "fallback.test"),
    ] {
        assert_eq!(all.allows(server_name, host), allowed, "{server_name:?} {host}");
    }
}

#[test]
fn both_algorithms_serve_one_name() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path(), "1", &["a.test"], &KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
    make(directory.path(), "2", &["a.test"], &KeyPair::generate().unwrap());
    let all = Certificates::load(CertificateSource::Directory(directory.path().to_owned())).unwrap();
    let index = all.index.load();
    let candidates = index.for_client(Some("a.test"));
    let can = |at: usize, scheme| candidates[at].key.key.choose_scheme(&[scheme]).is_some();
    assert!(can(0, SignatureScheme::ECDSA_NISTP256_SHA256) && can(1, SignatureScheme::RSA_PSS_SHA256));
    assert_eq!(index.default.len(), 2);
}

#[test]
fn a_broken_change_leaves_the_old_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    make(path, "a", &["a.test"], &one);
    let pair = CertificatePair { certificate: path.join("a.crt"), key: path.join("a.key") };
    let all = Certificates::load(CertificateSource::Pairs(vec![pair.clone()])).unwrap();
    assert!(!all.refresh(false), "nothing has changed");
    fs::write(&pair.key, other.serialize_pem() + "\n").unwrap();
    all.refresh(false);
    assert_eq!(names(&all, None), ["a.test"]);
    fs::write(&pair.certificate, "nonsense").unwrap();
    all.refresh(false);
    assert_eq!(names(&all, None), ["a.test"]);
    fs::remove_file(&pair.key).unwrap();
    all.refresh(false);
    assert_eq!(names(&all, None), ["a.test"]);
    make(path, "a", &["b.test"], &other);
    assert!(all.refresh(false));
    assert_eq!(names(&all, None), ["b.test"]);
    assert!(all.refresh(true));
}

#[test]
fn a_directory_grows_and_shrinks() {
    let directory = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let source = CertificateSource::Directory(directory.path().to_owned());
    let none = Certificates::load(source.clone()).unwrap_err().to_string();
    assert!(none.contains("NAME.crt"), "{none}");
    make(directory.path(), "a", &["a.test"], &key);
    fs::write(directory.path().join("broken.key"), "").unwrap();
    let all = Certificates::load(source).unwrap();
    make(directory.path(), "b", &["b.test"], &key);
    assert!(all.refresh(false));
    assert_eq!(names(&all, Some("b.test")), ["b.test"]);
    fs::remove_file(directory.path().join("b.key")).unwrap();
    assert!(all.refresh(false));
    assert_eq!(names(&all, Some("b.test")), ["a.test"]);
}

#[test]
fn pairs_that_are_named_must_work() {
    let directory = tempfile::tempdir().unwrap();
    let pair = CertificatePair { certificate: directory.path().join("x.crt"), key: directory.path().join("x.key") };
    let load = || Certificates::load(CertificateSource::Pairs(vec![pair.clone()])).unwrap_err().to_string();
    assert!(load().starts_with("cannot read "));
    fs::write(&pair.certificate, "nothing").unwrap();
    assert!(load().starts_with("no certificate in PEM form"));
    make(directory.path(), "x", &["a.test"], &KeyPair::generate().unwrap());
    fs::write(&pair.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(load().starts_with("this certificate and its key cannot be used"));
}

#[test]
fn a_development_certificate_is_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tls");
    let wanted = ["localhost", "*.cdn.localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let pair = development_certificate(&path, &wanted).unwrap();
    let first = fs::read(&pair.certificate).unwrap();
    assert_eq!(fs::metadata(&pair.key).unwrap().permissions().mode() & 0o777, 0o600);
    development_certificate(&path, &wanted).unwrap();
    assert_eq!(fs::read(&pair.certificate).unwrap(), first);
    let all = Certificates::load(CertificateSource::Pairs(vec![pair.clone()])).unwrap();
    assert_eq!(names(&all, Some("e1.cdn.localhost")), ["localhost", "*.cdn.localhost"]);
    development_certificate(&path, &["other.test".to_owned()]).unwrap();
    assert_ne!(fs::read(&pair.certificate).unwrap(), first);
}
