//! Why a request is refused: the code and message of the answer, and the reason that only the log sees.

/// What is wrong with a policy text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// Not the base64 of signed URLs.
    #[error("not base64")]
    Encoding,
    /// Longer than [`crate::POLICY_MAX_BYTES`].
    #[error("too long")]
    TooLong,
    /// Not the JSON of a policy: syntax, a missing, unknown or repeated member, a number given as text.
    #[error("not the json of a policy")]
    Json,
    /// None, or more than one.
    #[error("not exactly one statement")]
    Statements,
    /// `Resource` begins with no known scheme and no star.
    #[error("resource without a scheme")]
    Resource,
    /// A run between two stars of `Resource` has a `?` and more than 1,024 bytes.
    #[error("resource with a question mark in too long a run between stars")]
    Wildcards,
    /// `AWS:SourceIp` is not an IPv4 address or block.
    #[error("source address is not an ipv4 block")]
    Address,
    /// `Expires` is not a count of seconds.
    #[error("expires is not a count of seconds")]
    Expires,
    /// A claim that is known has another type, or is too long.
    #[error("a claim of the wrong type or length")]
    Claim,
    /// Two different values of one parameter.
    #[error("repeated with another value")]
    Repeated,
}

/// A refusal: always status 403. Its text is for logs; the viewer gets [`Denied::code`] and [`Denied::message`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No `Key-Pair-Id`.
    #[error("no key id")]
    MissingKey,
    /// The key id is in none of the trusted key groups.
    #[error("key id is not trusted")]
    UnknownKey,
    /// No `Signature`.
    #[error("no signature")]
    MissingSignature,
    /// Neither `Policy` nor `Expires`.
    #[error("no policy and no expiry")]
    MissingPolicy,
    /// The signature is not base64, too long, or given twice.
    #[error("signature is not base64")]
    MalformedSignature,
    /// The policy cannot be read.
    #[error("malformed policy: {0}")]
    MalformedPolicy(PolicyFault),
    /// `Hash-Algorithm` is neither SHA1 nor SHA256.
    #[error("unknown hash algorithm")]
    UnknownHash,
    /// The signature does not fit the policy and the key.
    #[error("signature does not verify")]
    BadSignature,
    /// At or after `DateLessThan`.
    #[error("expired")]
    Expired,
    /// At or before `DateGreaterThan`.
    #[error("not valid yet")]
    NotYet,
    /// The viewer's address is outside `AWS:SourceIp`.
    #[error("address is not covered")]
    WrongAddress,
    /// The URL is not covered by `Resource`.
    #[error("resource is not covered")]
    WrongResource,
    /// The path has a `.` or `..` segment: what a star covers must not depend on who resolves it.
    #[error("path has dot segments")]
    DotSegments,
}

impl Denied {
    /// The `Code` of the answer.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingKey => "MissingKey",
            Self::UnknownKey => "InvalidKey",
            Self::MissingSignature => "MissingSignature",
            Self::MissingPolicy => "MissingPolicy",
            Self::MalformedSignature => "MalformedSignature",
            Self::MalformedPolicy(_) => "MalformedPolicy",
            Self::UnknownHash
            | Self::BadSignature
            | Self::Expired
            | Self::NotYet
            | Self::WrongAddress
            | Self::WrongResource
            | Self::DotSegments => "AccessDenied",
        }
    }

    /// The `Message` of the answer.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self.code() {
            "MissingKey" => "Missing Key-Pair-Id query parameter or cookie value",
            "InvalidKey" => "Unknown Key",
            "MissingSignature" => "Missing Signature query parameter or cookie value",
            "MissingPolicy" => "Missing Policy query parameter or cookie value",
            "MalformedSignature" => "Could not unencode Signature",
            "MalformedPolicy" => "Malformed Policy",
            _ => "Access denied",
        }
    }

    /// The XML body of the answer, to be sent as `text/xml`.
    #[must_use]
    pub fn body(self) -> String {
        let (code, message) = (self.code(), self.message());
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
    }

    /// A word for metric labels, one of a fixed set.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::MissingKey => "missing_key",
            Self::UnknownKey => "unknown_key",
            Self::MissingSignature => "missing_signature",
            Self::MissingPolicy => "missing_policy",
            Self::MalformedSignature => "malformed_signature",
            Self::MalformedPolicy(_) => "malformed_policy",
            Self::UnknownHash => "unknown_hash",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::WrongAddress => "wrong_address",
            Self::WrongResource => "wrong_resource",
            Self::DotSegments => "dot_segments",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_the_table() {
        for (denied, code, message) in [
            (Denied::MissingKey, "MissingKey", "Missing Key-Pair-Id query parameter or cookie value"),
            (Denied::UnknownKey, "InvalidKey", "Unknown Key"),
            (Denied::MalformedSignature, "MalformedSignature", "Could not unencode Signature"),
            (Denied::MalformedPolicy(PolicyFault::Json), "MalformedPolicy", "Malformed Policy"),
            (Denied::Expired, "AccessDenied", "Access denied"),
            (Denied::NotYet, "AccessDenied", "Access denied"),
            (Denied::WrongAddress, "AccessDenied", "Access denied"),
            (Denied::WrongResource, "AccessDenied", "Access denied"),
            (Denied::BadSignature, "AccessDenied", "Access denied"),
        ] {
            assert_eq!((denied.code(), denied.message()), (code, message));
        }
        assert_eq!(
            Denied::Expired.body(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>"
        );
    }
}
