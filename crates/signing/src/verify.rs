//! Checking a signature.

use std::net::IpAddr;
use std::sync::Arc;

use crate::encoding::decode;
use crate::policy::canned_statement;
use crate::{Credentials, Denied, Grant, KeySet, POLICY_MAX_BYTES, ParsedPolicy, PolicyFault, RequestUrl};

/// A policy with a good signature. It says nothing of the next request until [`ParsedPolicy::allows`] is asked again.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The policy; for a canned signature, one that covers the very URL.
    pub policy: Arc<ParsedPolicy>,
}

/// Checks that one of `keys` signed what `credentials` claim, and that it allows the request. Costs a public-key operation.
///
/// # Errors
/// [`Denied`]; nothing but the signature is looked at before the signature is good.
pub fn verify(
    credentials: &Credentials,
    keys: &KeySet,
    url: &RequestUrl<'_>,
    client: IpAddr,
    now_seconds: i64,
) -> Result<Verified, Denied> {
    let key = keys.key(credentials.key_id()).ok_or(Denied::UnknownKey)?;
    let signature = decode(credentials.signature()).ok_or(Denied::MalformedSignature)?;
    let signed = |message: &[u8]| {
        if key.verifies(credentials.hash(), message, &signature) { Ok(()) } else { Err(Denied::BadSignature) }
    };
    let policy = match credentials.grant() {
        Grant::Canned { expires } => {
            let resource = url.resource();
            signed(canned_statement(&resource, *expires).as_bytes())?;
            ParsedPolicy::canned(resource, *expires)
        }
        Grant::Custom { policy } => {
            let json = decode(policy).ok_or(Denied::MalformedPolicy(PolicyFault::Encoding))?;
            if json.len() > POLICY_MAX_BYTES {
                return Err(Denied::MalformedPolicy(PolicyFault::TooLong));
            }
            signed(&json)?;
            ParsedPolicy::parse(&json)?
        }
    };
    policy.allows(url, client, now_seconds)?;
    Ok(Verified { policy: Arc::new(policy) })
}
