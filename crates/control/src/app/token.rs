//! Bearer tokens: random or chosen by the operator, kept as hashes only.

use anabranch_db::{Db, TokenHash};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::BuildError;

/// Shortest token of the operator's choice, in characters.
pub(crate) const TOKEN_MIN: usize = 8;

/// Longest token, in characters.
pub(crate) const TOKEN_MAX: usize = 512;

/// Random bytes of a token that is made here.
const TOKEN_BYTES: usize = 32;

/// The hashes of every token.
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

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// `count` random bytes as URL-safe base64.
fn random_text<const COUNT: usize>() -> String {
    let mut bytes = [0_u8; COUNT];
    // The kernel's generator does not fail once the machine has booted; a machine without it must not hand out secrets.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Keeps the operator's token, or makes the first one. The second value is one that was made.
pub(super) async fn prepare(
    db: &Db,
    chosen: Option<&str>,
    now_ms: i64,
) -> Result<(Tokens, Option<String>), BuildError> {
    if let Some(token) = chosen {
        let usable = (TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
        if !usable {
            return Err(BuildError::Token);
        }
        db.token_add("admin", &sha256(token.as_bytes()), now_ms).await?;
    }
    let known = db.token_hashes().await?;
    if !known.is_empty() {
        return Ok((Tokens(known), None));
    }
    let token = random_text::<TOKEN_BYTES>();
    let hash = sha256(token.as_bytes());
    db.token_add("first admin", &hash, now_ms).await?;
    Ok((Tokens(vec![hash]), Some(token)))
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
