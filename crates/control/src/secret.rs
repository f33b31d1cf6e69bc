//! Secrets that are made here, and the hashes by which they are known again.

use anabranch_db::TokenHash;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// A new secret: 256 random bits as URL-safe base64 behind `prefix`.
pub(crate) fn random(prefix: &str) -> String {
    let mut bytes = [0_u8; SECRET_BYTES];
    // The kernel's generator does not fail once the machine has booted; a machine without it must not hand out secrets.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The hashes of tokens that may all do the same.
#[derive(Debug)]
pub(crate) struct Tokens(Vec<TokenHash>);

impl Tokens {
    pub(crate) fn of(hashes: Vec<TokenHash>) -> Self {
        Self(hashes)
    }

    /// Whether one of them is the hash of `token`. Takes the same time whichever it is.
    pub(crate) fn admit(&self, token: &str) -> bool {
        let hash = sha256(token.as_bytes());
        self.0.iter().fold(false, |found, known| found | verify_slices_are_equal(known, &hash).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_tokens_are_admitted() {
        let tokens = Tokens(vec![sha256(b"one"), sha256(b"two")]);
        assert!(tokens.admit("one") && tokens.admit("two"));
        assert!(!tokens.admit("") && !tokens.admit("three"));
    }
}
