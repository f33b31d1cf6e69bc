//! The signing room: CloudFront-format policies, signed URLs and signed cookies, made and verified.
//!
//! In: a URL, a policy and a private key; or the query and cookies of a request, the keys that a behavior trusts, and `now`.
//! Out: query parameters and cookies; or [`Verified`], or [`Denied`] with the code and message that a viewer gets.
//! Never: I/O, clocks, HTTP. Routing and the caching of verified policies live in `edge`, key groups in `control`.
//! Spec: the CloudFront developer guide's chapters on signed URLs and cookies; RFC 8017 (RSA), RFC 5280, 5958 and 7468 (keys).
//!
//! A request is judged in steps of rising cost: [`Credentials::from_query`] or [`Credentials::from_cookies`] finds the pieces,
//! [`verify`] checks the signature, [`ParsedPolicy::allows`] checks time, address and resource. Only the last depends on the
//! moment, so a caller may keep [`Verified`] by [`Credentials::digest`], for as long as its set of keys stays the same.
//! Each step is linear in what was sent, wildcards included, and a policy is read only once its signature is good.

mod address;
mod credentials;
mod denied;
mod encoding;
mod glob;
mod key;
mod parsed;
mod pem;
mod policy;
mod resource;
mod sign;
mod verify;

pub use address::{Ipv4Block, Ipv4BlockError};
pub use credentials::{Credentials, Grant, Source, is_reserved, strip_reserved};
pub use denied::{Denied, PolicyFault};
pub use key::{Hash, KeyError, KeySet, PrivateKey, PublicKey};
pub use parsed::ParsedPolicy;
pub use policy::Policy;
pub use resource::RequestUrl;
pub use sign::{SignError, SignSpec, sign_cookies, sign_policy, sign_url};
pub use verify::{Verified, verify};

/// Longest policy that is read or made, in bytes of JSON.
pub const POLICY_MAX_BYTES: usize = 8 * 1024;
