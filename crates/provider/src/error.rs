//! Why a provider did not do it, by what the caller may do about it.

use std::time::Duration;

/// What kind of refusal it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such resource.
    NotFound,
    /// The reference, the id or a name stands for something else. Repeating it never helps.
    Conflict,
    /// It is used by something that must go, or stop, first.
    InUse,
    /// A distribution that serves, or whose disabling has not reached every edge, cannot be deleted.
    NotDisabled,
    /// The ETag is not the newest: describe it again.
    PreconditionFailed,
    /// The request can never succeed.
    Invalid,
    /// Too many requests, or a quota is used up.
    Throttled {
        /// How long to wait, if the provider says.
        retry_after: Option<Duration>,
    },
    /// It does not answer, or not sensibly. Whether it was done is not known.
    Unavailable,
}

/// What to do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The same call may succeed later.
    Retry,
    /// The same, and not sooner than this.
    RetryAfter(Duration),
    /// What the caller believes is out of date: look again, then decide.
    LookAgain,
    /// The same call never succeeds.
    GiveUp,
}

impl Kind {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Throttled { retry_after: Some(wait) } => Advice::RetryAfter(*wait),
            Self::Throttled { retry_after: None } | Self::InUse | Self::NotDisabled | Self::Unavailable => {
                Advice::Retry
            }
            Self::NotFound | Self::PreconditionFailed => Advice::LookAgain,
            Self::Conflict | Self::Invalid => Advice::GiveUp,
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct ProviderError {
    /// What kind it is.
    pub kind: Kind,
    /// What was refused and why, for the operator.
    pub words: String,
}

impl ProviderError {
    /// A refusal of this kind.
    #[must_use]
    pub fn new(kind: Kind, words: impl Into<String>) -> Self {
        Self { kind, words: words.into() }
    }

    /// [`Kind::NotFound`] of a `subject` with this id.
    #[must_use]
    pub fn not_found(subject: &str, id: &str) -> Self {
        Self::new(Kind::NotFound, format!("the provider has no {subject} with this id: {id}"))
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Advice {
        self.kind.advice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_by_kind() {
        let wait = Duration::from_secs(3);
        for (kind, advice) in [
            (Kind::NotFound, Advice::LookAgain),
            (Kind::Conflict, Advice::GiveUp),
            (Kind::InUse, Advice::Retry),
            (Kind::NotDisabled, Advice::Retry),
            (Kind::PreconditionFailed, Advice::LookAgain),
            (Kind::Invalid, Advice::GiveUp),
            (Kind::Throttled { retry_after: None }, Advice::Retry),
            (Kind::Throttled { retry_after: Some(wait) }, Advice::RetryAfter(wait)),
            (Kind::Unavailable, Advice::Retry),
        ] {
            assert_eq!(kind.advice(), advice, "{kind:?}");
        }
    }
}
