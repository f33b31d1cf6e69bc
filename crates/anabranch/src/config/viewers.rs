//! What is kept of viewers.

use anyhow::{Result, ensure};
use serde::Deserialize;

/// Longest time that sessions are kept, in days.
const KEEP_MAX_DAYS: u32 = 3650;

/// How long sessions of viewers are kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Viewers {
    pub(crate) keep_days: u32,
}

impl Default for Viewers {
    fn default() -> Self {
        Self { keep_days: 90 }
    }
}

impl Viewers {
    pub(super) fn check(self) -> Result<()> {
        // Charges count who watched within days of the end of a session.
        ensure!(
            (3..=KEEP_MAX_DAYS).contains(&self.keep_days),
            "viewers.keep_days must be 3 to {KEEP_MAX_DAYS}: {}",
            self.keep_days
        );
        Ok(())
    }
}
