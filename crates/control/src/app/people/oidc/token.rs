//! ID tokens: who signed them, for whom, and whether they are of this log-in (OpenID Connect Core 1.0 §3.1.3.7, RFC 8725).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// Longest token that is looked at, in bytes.
const TOKEN_MAX: usize = 64 * 1024;

/// How far clocks may differ, in seconds.
const SKEW_SECONDS: i64 = 60;

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now_seconds: i64,
}

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("it is no signed token, or its algorithm is not known")]
    Malformed,
    #[error("its algorithm is neither RS256 nor ES256: {0}")]
    Algorithm(String),
    #[error("it has header fields that must be understood and are not")]
    Critical,
    /// The keys of the provider may have changed.
    #[error("the provider has no key for it")]
    UnknownKey,
    #[error("its signature is not of the provider's key")]
    Signature,
    #[error("its claim {0} is missing, or not what it has to be")]
    Claim(&'static str),
}

/// The claims of a token that one of `keys` has signed, and that is of this log-in.
pub(super) fn check(token: &str, keys: &[Jwk], expected: Expected<'_>) -> Result<Map<String, Value>, TokenError> {
    if token.len() > TOKEN_MAX {
        return Err(TokenError::Malformed);
    }
    let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
        return Err(TokenError::Algorithm(format!("{:?}", header.alg)));
    }
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    // Keys that the token brings itself are of no interest.
    let key = choose(keys, header.kid.as_deref(), header.alg).ok_or(TokenError::UnknownKey)?;
    let key = DecodingKey::from_jwk(key).map_err(|_| TokenError::UnknownKey)?;
    let mut validation = Validation::new(header.alg);
    // Claims are judged below, by the clock of the house.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = decode::<Map<String, Value>>(token, &key, &validation).map_err(|_| TokenError::Signature)?;
    judge(&decoded.claims, expected)?;
    Ok(decoded.claims)
}

/// The key with this id that fits the algorithm; without an id the only one that fits.
fn choose<'a>(keys: &'a [Jwk], kid: Option<&str>, algorithm: Algorithm) -> Option<&'a Jwk> {
    let fits = |key: &&Jwk| {
        let of_kind = match (&key.algorithm, algorithm) {
            (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
            (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES256) => curve.curve == EllipticCurve::P256,
            _ => false,
        };
        let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
        let named = match key.common.key_algorithm {
            None => true,
            Some(KeyAlgorithm::RS256) => algorithm == Algorithm::RS256,
            Some(KeyAlgorithm::ES256) => algorithm == Algorithm::ES256,
            Some(_) => false,
        };
        of_kind && signs && named
    };
    let mut fitting = keys.iter().filter(fits);
    match kid {
        Some(kid) => fitting.find(|key| key.common.key_id.as_deref() == Some(kid)),
        None => fitting.next().filter(|_| fitting.next().is_none()),
    }
}

fn judge(claims: &Map<String, Value>, expected: Expected<'_>) -> Result<(), TokenError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64).map(whole);
    if text("iss") != Some(expected.issuer) {
        return Err(TokenError::Claim("iss"));
    }
    let audience: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audience.contains(&expected.client_id) {
        return Err(TokenError::Claim("aud"));
    }
    let party = text("azp");
    if (audience.len() > 1 && party.is_none()) || party.is_some_and(|party| party != expected.client_id) {
        return Err(TokenError::Claim("azp"));
    }
    if seconds("exp").is_none_or(|exp| exp.saturating_add(SKEW_SECONDS) <= expected.now_seconds) {
        return Err(TokenError::Claim("exp"));
    }
    if seconds("iat").is_none_or(|iat| iat.saturating_sub(SKEW_SECONDS) > expected.now_seconds) {
        return Err(TokenError::Claim("iat"));
    }
    if seconds("nbf").is_some_and(|nbf| nbf.saturating_sub(SKEW_SECONDS) > expected.now_seconds) {
        return Err(TokenError::Claim("nbf"));
    }
    if text("nonce") != Some(expected.nonce) {
        return Err(TokenError::Claim("nonce"));
    }
    match text("sub") {
        Some(subject) if !subject.is_empty() && subject.len() <= 255 && !subject.chars().any(char::is_control) => {
            Ok(())
        }
        _ => Err(TokenError::Claim("sub")),
    }
}

/// Seconds of a JSON number, which may have a fraction.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit saturates")]
fn whole(seconds: f64) -> i64 {
    seconds as i64
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
