//! Finding the pieces of a signature in a request. Nothing is checked here but their form.

use std::borrow::Cow;

use aws_lc_rs::digest::{self, SHA256};

use crate::encoding::percent_decode;
use crate::key::SIGNATURE_MAX_BYTES;
use crate::{Denied, Hash, POLICY_MAX_BYTES, PolicyFault};

/// Longest `Key-Pair-Id` that is looked up, in bytes.
const KEY_ID_MAX_BYTES: usize = 128;

/// Query parameters that belong to the signature.
const RESERVED: [&str; 5] = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];

/// Where `Hash-Algorithm` stands in [`RESERVED`]: alone it makes no signed URL.
const HASH: usize = 4;

/// What the cookies' names have before those of the parameters.
const COOKIE_PREFIX: &str = "CloudFront-";

/// Where credentials were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the query: a signed URL.
    Query,
    /// In signed cookies.
    Cookies,
}

/// What the signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The canned policy of the URL that is asked, until then (Unix seconds).
    Canned {
        /// `Expires`.
        expires: i64,
    },
    /// A policy of its own, still encoded.
    Custom {
        /// `Policy`, percent-decoded.
        policy: String,
    },
}

/// The pieces of a signature, none of them checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    source: Source,
    grant: Grant,
    signature: String,
    key_id: String,
    hash: Hash,
    raw_query: String,
}

impl Credentials {
    /// Finds the pieces in a query (without its `?`). `None` when it has none of `Expires`, `Policy`, `Signature` and
    /// `Key-Pair-Id`; if it has one, cookies must not be looked at. With both `Policy` and `Expires`, the policy counts.
    ///
    /// # Errors
    /// A piece is missing, malformed, or given twice with different values.
    pub fn from_query(raw_query: &str) -> Result<Option<Self>, Denied> {
        let mut found = [None::<&str>; RESERVED.len()];
        let mut order = Vec::with_capacity(RESERVED.len());
        for (slot, parameter, value) in raw_query.split('&').filter_map(reserved) {
            match found[slot].replace(value) {
                None => order.push((slot, parameter)),
                Some(earlier) if earlier == value => {}
                Some(_) => return Err(repeated(slot)),
            }
        }
        let Some(mut credentials) = Self::from_values(Source::Query, found)? else { return Ok(None) };
        // An `Expires` that does not count may hold anything, so it is not handed on.
        let ignored = if matches!(credentials.grant, Grant::Custom { .. }) { Some(0) } else { None };
        let used: Vec<&str> = order.iter().filter(|(slot, _)| Some(*slot) != ignored).map(|(_, text)| *text).collect();
        credentials.raw_query = used.join("&");
        Ok(Some(credentials))
    }

    /// Finds the pieces in the values of the `Cookie` headers. `None` when there are none. Of two cookies with one name the first
    /// counts, which browsers send for the longer path.
    ///
    /// # Errors
    /// A piece is missing or malformed.
    pub fn from_cookies<'a>(headers: impl IntoIterator<Item = &'a str>) -> Result<Option<Self>, Denied> {
        let mut found = [None::<&str>; RESERVED.len()];
        for cookie in headers.into_iter().flat_map(|header| header.split(';')) {
            if let Some((slot, _, value)) = cookie.trim().strip_prefix(COOKIE_PREFIX).and_then(reserved) {
                found[slot].get_or_insert(value);
            }
        }
        Self::from_values(Source::Cookies, found)
    }

    fn from_values(source: Source, found: [Option<&str>; RESERVED.len()]) -> Result<Option<Self>, Denied> {
        if found[..HASH].iter().all(Option::is_none) {
            return Ok(None);
        }
        let [expires, policy, signature, key_id, hash] = found;
        let key_id = key_id.ok_or(Denied::MissingKey)?;
        let key_id = text(key_id, KEY_ID_MAX_BYTES).ok_or(Denied::UnknownKey)?;
        let signature = signature.ok_or(Denied::MissingSignature)?;
        let signature = text(signature, encoded_len(SIGNATURE_MAX_BYTES)).ok_or(Denied::MalformedSignature)?;
        let grant = match (policy, expires) {
            (Some(policy), _) => {
                let too_long = Denied::MalformedPolicy(PolicyFault::TooLong);
                Grant::Custom { policy: text(policy, encoded_len(POLICY_MAX_BYTES)).ok_or(too_long)? }
            }
            (None, Some(expires)) => {
                Grant::Canned { expires: seconds(expires).ok_or(Denied::MalformedPolicy(PolicyFault::Expires))? }
            }
            (None, None) => return Err(Denied::MissingPolicy),
        };
        let hash = hash.map_or(Some(Hash::default()), Hash::parse).ok_or(Denied::UnknownHash)?;
        Ok(Some(Self { source, grant, signature, key_id, hash, raw_query: String::new() }))
    }

    /// Where they were found.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// What the signature covers.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// `Key-Pair-Id`.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// `Hash-Algorithm`, or its default.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }

    /// The parameters that count, as the viewer wrote them and in that order, joined by `&`: to be put on other URLs that the same
    /// policy covers. Empty for cookies.
    #[must_use]
    pub fn raw_query(&self) -> &str {
        &self.raw_query
    }

    /// A key for caches of [`crate::Verified`]: equal for equal pieces only, wherever they were found.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&SHA256);
        let expires;
        let (kind, grant) = match &self.grant {
            Grant::Canned { expires: seconds } => {
                expires = seconds.to_be_bytes();
                (0, &expires[..])
            }
            Grant::Custom { policy } => (1, policy.as_bytes()),
        };
        context.update(&[kind, u8::from(self.hash == Hash::Sha256)]);
        for field in [grant, self.signature.as_bytes(), self.key_id.as_bytes()] {
            context.update(&field.len().to_be_bytes());
            context.update(field);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        out
    }
}

/// Whether that is the name of a query parameter that belongs to a signature. Names are case-sensitive.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// The query without the parameters of the signature: what cache keys, origins and policies see. Own parameters keep their
/// bytes and their order.
#[must_use]
pub fn strip_reserved(raw_query: &str) -> Cow<'_, str> {
    let mut at = 0;
    let mut first_reserved = None;
    let mut own: Option<String> = None;
    for parameter in raw_query.split('&') {
        match (reserved(parameter), first_reserved) {
            (Some(_), None) => first_reserved = Some(at),
            (None, Some(first)) => {
                // Signers mostly append, so this is rare: what stands before is a piece of the query as it is.
                let own = own.get_or_insert_with(|| raw_query[..first].to_owned());
                own.push_str(parameter);
                own.push('&');
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        at += parameter.len() + 1;
    }
    match (own, first_reserved) {
        (Some(mut own), _) => {
            own.pop();
            Cow::Owned(own)
        }
        (None, Some(first)) => Cow::Borrowed(&raw_query[..first.saturating_sub(1)]),
        (None, None) => Cow::Borrowed(raw_query),
    }
}

/// Slot in [`RESERVED`], the whole parameter and its value, if it is a reserved one. Names are case-sensitive.
fn reserved(parameter: &str) -> Option<(usize, &str, &str)> {
    // Most parameters are none, and there may be thousands.
    if !matches!(parameter.bytes().next(), Some(b'E' | b'P' | b'S' | b'K' | b'H')) {
        return None;
    }
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    RESERVED.iter().position(|reserved| *reserved == name).map(|slot| (slot, parameter, value))
}

fn repeated(slot: usize) -> Denied {
    match RESERVED[slot] {
        "Signature" => Denied::MalformedSignature,
        "Key-Pair-Id" => Denied::UnknownKey,
        "Hash-Algorithm" => Denied::UnknownHash,
        _ => Denied::MalformedPolicy(PolicyFault::Repeated),
    }
}

/// The percent-decoded value, if it is text of at most `max_bytes`.
fn text(value: &str, max_bytes: usize) -> Option<String> {
    if value.len() > max_bytes * 3 {
        return None;
    }
    let decoded = percent_decode(value);
    if decoded.len() > max_bytes { None } else { String::from_utf8(decoded.into_owned()).ok() }
}

/// Length in base64, padding included.
const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

fn seconds(value: &str) -> Option<i64> {
    let value = text(value, 19)?;
    if value.bytes().all(|byte| byte.is_ascii_digit()) { value.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_are_found_among_own_parameters() {
        let query = "a=1&Signature=s%7Ex&b=2&Expires=5&Key-Pair-Id=K&c";
        let credentials = Credentials::from_query(query).unwrap().unwrap();
        assert_eq!(credentials.grant(), &Grant::Canned { expires: 5 });
        assert_eq!((credentials.signature(), credentials.key_id()), ("s~x", "K"));
        assert_eq!((credentials.hash(), credentials.source()), (Hash::Sha1, Source::Query));
        assert_eq!(credentials.raw_query(), "Signature=s%7Ex&Expires=5&Key-Pair-Id=K");
        assert_eq!(strip_reserved(query), "a=1&b=2&c");
    }

    #[test]
    fn a_policy_counts_more_than_an_expiry() {
        let query = "Expires=%0Ajunk&Policy=p&Signature=s&Key-Pair-Id=K&Hash-Algorithm=SHA256&Policy=p";
        let credentials = Credentials::from_query(query).unwrap().unwrap();
        assert_eq!(credentials.grant(), &Grant::Custom { policy: "p".to_owned() });
        assert_eq!(credentials.hash(), Hash::Sha256);
        assert_eq!(credentials.raw_query(), "Policy=p&Signature=s&Key-Pair-Id=K&Hash-Algorithm=SHA256");
    }

    #[test]
    fn queries_without_a_signature() {
        for query in ["", "a=1", "expires=5", "Hash-Algorithm=SHA256", "xPolicy=p&Policyx=p", "a=Policy=p"] {
            assert_eq!(Credentials::from_query(query), Ok(None), "{query}");
        }
    }

    #[test]
    fn missing_and_malformed_pieces() {
        let long = "x".repeat(POLICY_MAX_BYTES * 5);
        for (query, denied) in [
            ("Expires=5", Denied::MissingKey),
            ("Policy", Denied::MissingKey),
            ("Signature=s", Denied::MissingKey),
            ("Key-Pair-Id=K", Denied::MissingSignature),
            ("Key-Pair-Id=K&Signature=s", Denied::MissingPolicy),
            ("Key-Pair-Id=K&Signature=s&Expires=", Denied::MalformedPolicy(PolicyFault::Expires)),
            ("Key-Pair-Id=K&Signature=s&Expires=+5", Denied::MalformedPolicy(PolicyFault::Expires)),
            ("Key-Pair-Id=K&Signature=s&Expires=9999999999999999999", Denied::MalformedPolicy(PolicyFault::Expires)),
            ("Key-Pair-Id=K&Signature=s&Expires=5&Expires=6", Denied::MalformedPolicy(PolicyFault::Repeated)),
            ("Key-Pair-Id=K&Key-Pair-Id=L&Signature=s&Expires=5", Denied::UnknownKey),
            ("Key-Pair-Id=K&Signature=s&Signature=t&Expires=5", Denied::MalformedSignature),
            ("Key-Pair-Id=K&Signature=%ff&Expires=5", Denied::MalformedSignature),
            ("Key-Pair-Id=K&Signature=s&Expires=5&Hash-Algorithm=MD5", Denied::UnknownHash),
            (&format!("Key-Pair-Id=K&Signature={long}&Expires=5"), Denied::MalformedSignature),
            (&format!("Key-Pair-Id=K&Signature=s&Policy={long}"), Denied::MalformedPolicy(PolicyFault::TooLong)),
        ] {
            assert_eq!(Credentials::from_query(query), Err(denied), "{query}");
        }
    }

    #[test]
    fn cookies_of_one_or_many_headers() {
        let headers =
            ["x=1; CloudFront-Policy=p ;CloudFront-Signature=s", "CloudFront-Key-Pair-Id=K; CloudFront-Policy=q"];
        let credentials = Credentials::from_cookies(headers).unwrap().unwrap();
        assert_eq!(credentials.grant(), &Grant::Custom { policy: "p".to_owned() });
        assert_eq!((credentials.key_id(), credentials.source(), credentials.raw_query()), ("K", Source::Cookies, ""));
        assert_eq!(Credentials::from_cookies(["cloudfront-policy=p; Policy=p"]), Ok(None));
        assert_eq!(Credentials::from_cookies(["CloudFront-Expires=5"]), Err(Denied::MissingKey));
        let hashed = [
            "CloudFront-Expires=5; CloudFront-Signature=s; CloudFront-Key-Pair-Id=K; CloudFront-Hash-Algorithm=SHA256",
        ];
        assert_eq!(Credentials::from_cookies(hashed).unwrap().unwrap().hash(), Hash::Sha256);
    }

    #[test]
    fn stripping_borrows_where_it_can() {
        for (query, own) in [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("Expires=1", ""),
            ("a=1&Expires=1&Signature=s", "a=1"),
            ("a=1&&Expires=1", "a=1&"),
            ("&Expires=1", ""),
            ("Hash-Algorithm=SHA1&a", "a"),
            ("Policy=p&a=1&Signature=s&&b", "a=1&&b"),
        ] {
            assert_eq!(strip_reserved(query), own, "{query}");
        }
        assert!(matches!(strip_reserved("a=1&Expires=1"), Cow::Borrowed(_)));
    }

    #[test]
    fn digests_tell_credentials_apart() {
        let digest = |query: &str| Credentials::from_query(query).unwrap().unwrap().digest();
        let one = digest("Policy=p&Signature=s&Key-Pair-Id=K");
        assert_eq!(one, digest("a=1&Key-Pair-Id=K&Signature=s&Policy=p"));
        for other in [
            "Policy=ps&Signature=&Key-Pair-Id=K",
            "Policy=p&Signature=s&Key-Pair-Id=L",
            "Policy=p&Signature=s&Key-Pair-Id=K&Hash-Algorithm=SHA256",
            "Expires=5&Signature=s&Key-Pair-Id=K",
        ] {
            assert_ne!(one, digest(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_judged(query in "((Expires|Policy|Signature|Key-Pair-Id|Hash-Algorithm|a)(=|%|&|[a-z0-9]|é)*&?){0,8}") {
            let _ = Credentials::from_query(&query);
            let _ = Credentials::from_cookies([query.as_str()]);
            let own: Vec<&str> = query.split('&').filter(|p| reserved(p).is_none()).collect();
            prop_assert_eq!(strip_reserved(&query), own.join("&"));
        }
    }
}
