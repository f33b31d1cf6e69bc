//! Identifiers: short, DNS-safe, sortable by nothing, guessable by nobody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Crockford's base 32 in lower case: no letter that reads like another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters after the prefix letter: 13 x 5 bits = 65 random bits.
const RANDOM_LEN: usize = 13;

/// Longest identifier accepted, in bytes: operators may name keys themselves.
const MAX_LEN: usize = 64;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of 1 to 64 letters, digits, '-' or '_': {0:?}")]
pub struct IdError(pub String);

fn random_id(prefix: char, upper: bool) -> String {
    let mut bytes = [0_u8; RANDOM_LEN];
    // The kernel's generator does not fail once the machine has booted; a machine without it must not hand out identifiers.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let mut text = String::with_capacity(1 + RANDOM_LEN);
    text.push(prefix);
    text.extend(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])));
    if upper { text.to_ascii_uppercase() } else { text }
}

fn checked(text: &str) -> Result<String, IdError> {
    let valid = !text.is_empty()
        && text.len() <= MAX_LEN
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if valid { Ok(text.to_owned()) } else { Err(IdError(text.chars().take(MAX_LEN).collect())) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $upper:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new random identifier.
            #[must_use]
            pub fn random() -> Self {
                Self(random_id($prefix, $upper))
            }

            /// The text of the identifier.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                checked(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                checked(&text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id!(/** A channel: a durable live pipeline. */ ChannelId, 'c', false);
id!(/** An input: one push endpoint of a channel. */ InputId, 'i', false);
id!(/** A breakout: one live session of a channel. */ BreakoutId, 'b', false);
id!(/** A distribution, upper case as CloudFront's are. */ DistributionId, 'E', true);
id!(/** A public key: the `Key-Pair-Id` of signed URLs. */ KeyId, 'K', true);
id!(/** A key group that behaviors trust. */ KeyGroupId, 'g', false);
id!(/** An invalidation: one order to forget, upper case as CloudFront's are. */ InvalidationId, 'I', true);
id!(/** Name of a node, unique among nodes and the same after a restart. */ NodeName, 'n', false);
id!(/** One life of a node's process. */ InstanceId, 'r', false);
id!(/** A node's report spool: the directory whose batches are numbered in one row. */ SpoolId, 's', false);
id!(/** An account: whose events and breakouts are billed together. */ AccountId, 'a', false);
id!(/** An event: what several breakouts belong to. */ EventId, 'v', false);
id!(/** A recording: what the archive kept of one session of a breakout. */ RecordingId, 'r', false);
id!(/** A job: work of a worker, such as an MP4 of a recording. */ JobId, 'j', false);
id!(/** An asset: an uploaded item, named by what is in it ([`AssetId::of`]). */ AssetId, 'm', false);
id!(/** A collection: assets in an order, and who may watch them. */ CollectionId, 'l', false);
id!(/** An upload that goes on over several requests. */ UploadId, 'u', false);
id!(/** An access key of the S3-compatible endpoint, without its secret. */ AccessKeyId, 'A', true);
id!(/** A webhook: where transitions are told. */ WebhookId, 'w', false);
id!(/** An API token, without its secret. */ TokenId, 't', false);
id!(/** A user: somebody who logs in. */ UserId, 'h', false);
id!(/** A log-in of a user, until it is ended; the API calls it a session. */ LoginId, 'y', false);
id!(/** A cluster: redundant live streams, one in each region. */ ClusterId, 'o', false);
id!(/** A control plane: one database, from its making on. */ PlaneId, 'p', false);

/// Characters of an asset's id after its letter: 26 x 5 bits of the digest.
const DIGEST_LEN: usize = 26;

impl AssetId {
    /// The identifier of a file by the SHA-256 of its bytes: its first 130 bits. The same file has the same one, whatever its name (L3).
    #[must_use]
    pub fn of(sha256: &[u8; 32]) -> Self {
        let digit = |at: usize| {
            let bits = (0..5).fold(0, |bits, bit| {
                let place = at * 5 + bit;
                bits << 1 | usize::from(sha256[place / 8] >> (7 - place % 8) & 1)
            });
            char::from(ALPHABET[bits])
        };
        Self(std::iter::once('m').chain((0..DIGEST_LEN).map(digit)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_named_by_its_bytes() {
        let mut digest = [0_u8; 32];
        assert_eq!(AssetId::of(&digest).as_str(), format!("m{}", "0".repeat(26)));
        // The last bit that counts, and the first that does not.
        digest[16] = 0b0110_0000;
        assert_eq!(AssetId::of(&digest).as_str(), format!("m{}1", "0".repeat(25)));
        digest[0] = 0b0000_1111;
        digest[1] = 0b1100_0000;
        assert!(AssetId::of(&digest).as_str().starts_with("m1z0"), "{}", AssetId::of(&digest));
    }

    #[test]
    fn random_ids_differ_and_parse() {
        let (a, b) = (DistributionId::random(), DistributionId::random());
        assert_ne!(a, b);
        assert!(a.as_str().starts_with('E'));
        assert_eq!(a.as_str().parse::<DistributionId>().unwrap(), a);
    }

    #[test]
    fn hostile_ids_are_refused() {
        for text in ["", "a/b", "..", "a b", "é", &"x".repeat(65)] {
            assert!(text.parse::<ChannelId>().is_err(), "{text:?}");
        }
    }
}
