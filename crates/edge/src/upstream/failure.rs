//! Why there is no answer, and what the viewer is told.

use std::io;

/// Why an origin gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the origin's name cannot be resolved")]
    Resolve(#[source] io::Error),
    #[error("cannot connect to the origin")]
    Connect(#[source] io::Error),
    #[error("cannot agree on TLS with the origin")]
    Tls(#[source] io::Error),
    #[error("the origin is too slow to {0}")]
    Timeout(&'static str),
    #[error("the origin's answer is not usable")]
    Protocol(#[source] hyper::Error),
    #[error("the origin's answer has an ambiguous framing: {0}")]
    Framing(&'static str),
    #[error("the origin's answer has an unexpected status: {0}")]
    Status(u16),
    #[error("the origin's body is larger than allowed: {0}")]
    TooLarge(u64),
    #[error("the origin's answer broke off")]
    Broken,
    #[error("the request has no form in which it can be sent to the origin")]
    Request,
    #[error("the behavior has no origin that could be asked")]
    NoOrigin,
    #[error("too many fetches are under way")]
    Overload,
}

impl Failure {
    /// Status and words of the answer that the viewer gets.
    pub(crate) fn answer(&self) -> (u16, &'static str) {
        match self {
            Self::Resolve(_) | Self::Connect(_) | Self::Tls(_) => (502, "The origin cannot be reached.\n"),
            Self::Timeout(_) => (504, "The origin did not answer in time.\n"),
            Self::Protocol(_) | Self::Framing(_) | Self::Status(_) | Self::TooLarge(_) | Self::Broken => {
                (502, "The origin's answer cannot be used.\n")
            }
            Self::Request => (400, "The request cannot be sent to the origin.\n"),
            Self::NoOrigin => (502, "No origin is configured for this path.\n"),
            Self::Overload => (503, "Too many fetches are under way.\n"),
        }
    }

    /// Whether another origin of the group may be asked: this one could not be reached or was too slow. An answer that is there but
    /// not usable counts as its status, [`Self::answer`], which the group may name.
    pub(crate) fn may_fail_over(&self) -> bool {
        matches!(self, Self::Resolve(_) | Self::Connect(_) | Self::Tls(_) | Self::Timeout(_))
    }
}
