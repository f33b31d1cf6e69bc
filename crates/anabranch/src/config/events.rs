//! The log of what happens, and who is told of it.

use serde::Deserialize;

/// Longest time that entries are kept, in days.
const KEEP_MAX_DAYS: u32 = 3650;

/// Fewest entries that are kept: a webhook that stumbles must find what it missed.
const KEEP_MIN_ENTRIES: u64 = 1000;

/// How much of the log is kept, and where webhooks may point.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Events {
    pub(crate) keep_days: u32,
    pub(crate) keep_entries: u64,
    pub(crate) private_webhooks: PrivateWebhooks,
}

/// Whether webhooks may reach loopback and private networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PrivateWebhooks {
    #[default]
    Allowed,
    Refused,
}

impl Default for Events {
    fn default() -> Self {
        Self { keep_days: 90, keep_entries: 500_000, private_webhooks: PrivateWebhooks::Allowed }
    }
}

impl Events {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !(1..=KEEP_MAX_DAYS).contains(&self.keep_days) {
            anyhow::bail!("events.keep_days must be 1 to {KEEP_MAX_DAYS}: {}", self.keep_days);
        }
        if self.keep_entries < KEEP_MIN_ENTRIES {
            anyhow::bail!("events.keep_entries must be at least {KEEP_MIN_ENTRIES}: {}", self.keep_entries);
        }
        Ok(())
    }
}
