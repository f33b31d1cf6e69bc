//! How much of the log is kept.

use crate::row::signed;
use crate::{Db, Error, meta, sql, webhook};

/// Entries deleted in one pass.
const PRUNE_BATCH: u64 = 5000;

/// How much of the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRetention {
    /// Older ones go, in milliseconds.
    pub keep_ms: i64,
    /// All but the newest go.
    pub keep_entries: u64,
    /// A webhook that has not got an entry keeps it only up to this many; then the webhook is disabled.
    pub hard_entries: u64,
}

impl Db {
    /// Deletes the oldest entries that need not be kept, a batch of them, and answers how many. An enabled webhook that has not
    /// got an entry keeps it, up to the hard bound; one that is behind that is disabled, with its problem.
    ///
    /// # Errors
    /// The query fails; then nothing was deleted.
    pub async fn log_prune(&self, retention: &LogRetention, now_ms: i64) -> Result<u64, Error> {
        let mut reading = self.readers.read().await?;
        let newest = meta::mark(&mut reading, "log_sequence").await?;
        let floor = meta::mark(&mut reading, "log_floor").await?;
        let young: Option<i64> =
            // An entry of later than now, by a clock that was set back, keeps no old ones that come after it.
            sql::scalar(
                "SELECT l.sequence FROM log l WHERE l.created_at >= $1
                   AND (l.created_at <= $2
                        OR NOT EXISTS (SELECT 1 FROM log o WHERE o.sequence > l.sequence AND o.created_at < $1))
                 ORDER BY l.sequence LIMIT 1",
            )
                .bind(now_ms.saturating_sub(retention.keep_ms))
                .bind(now_ms)
                .fetch_optional(&mut reading)
                .await?;
        drop(reading);
        let young = young.and_then(|sequence| u64::try_from(sequence).ok()).unwrap_or(newest + 1);
        let first_kept = young.max((newest + 1).saturating_sub(retention.keep_entries));
        if first_kept <= floor + 1 {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let hard = (newest + 1).saturating_sub(retention.hard_entries);
        let needed = webhook::needed_from(&mut tx, hard, now_ms).await?;
        let first_kept = first_kept.min(needed).min(floor + 1 + PRUNE_BATCH);
        if first_kept <= floor + 1 {
            tx.commit().await?;
            return Ok(0);
        }
        let deleted =
            sql::query("DELETE FROM log WHERE sequence < $1").bind(signed(first_kept)).execute(&mut tx).await?;
        sql::query("UPDATE meta SET value = $1 WHERE key = 'log_floor'")
            .bind(signed(first_kept - 1))
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(deleted)
    }
}
