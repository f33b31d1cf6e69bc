//! What a step came to or why it was not done, and how long one may take.

use std::time::Duration;

use anabranch_db::OperationRow;
use anabranch_provider::{Advice, Kind, ProviderError};

use crate::app;

/// Longest time for one step.
pub(super) const STEP_TIMEOUT: Duration = if cfg!(test) { Duration::from_millis(500) } else { Duration::from_secs(30) };

/// Time after which a row says what it waits for, in milliseconds.
const SLOW_MS: i64 = 10_000;

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Done; what it had to repair, in words.
    Done(Option<String>),
    /// Begun, and it shows later whether it is done; what it waits for, in words.
    Wait(String),
    /// What it is about has gone, or is wanted otherwise by now.
    Obsolete,
}

impl Outcome {
    pub(super) fn done() -> Self {
        Self::Done(None)
    }

    /// The same for a step that has only now begun what it waits for.
    pub(super) fn and_wait(self) -> Self {
        match self {
            Self::Done(words) => Self::Wait(words.unwrap_or_else(|| "waiting for the distribution".to_owned())),
            Self::Wait(_) | Self::Obsolete => self,
        }
    }
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Db(#[from] anabranch_db::Error),
    #[error(transparent)]
    App(#[from] app::Error),
    #[error("the provider did not answer in time")]
    Timeout,
    #[error("this version knows no such step: {0:?}")]
    Unknown(String),
}

impl StepError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::Provider(error) => error.advice(),
            Self::App(app::Error::Config(_)) | Self::Unknown(_) => Advice::GiveUp,
            Self::Db(_) | Self::App(_) | Self::Timeout => Advice::Retry,
        }
    }
}

/// Whether an operation takes longer than anybody expects.
pub(super) fn is_slow(operation: &OperationRow, now_ms: i64) -> bool {
    now_ms - operation.created_at >= SLOW_MS
}

/// One call of the provider outside an operation.
pub(super) async fn in_time<T>(call: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
    let late = || ProviderError::new(Kind::Unavailable, "the provider did not answer in time");
    tokio::time::timeout(STEP_TIMEOUT, call).await.unwrap_or_else(|_| Err(late()))
}
