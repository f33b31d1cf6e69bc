//! Distributions: made and deleted with their channel.

use anabranch_model::{ChannelId, DistributionEvent, DistributionId, DistributionState, KeyGroupId};
use sqlx::sqlite::SqliteRow;

use crate::row::{flag, id, integer, signed, text, unsigned, word};
use crate::{Cursor, Db, Error, Page, PageRequest};

/// Price class of new distributions, in CloudFront's words.
pub const DEFAULT_PRICE_CLASS: &str = "PriceClass_100";

/// A distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistributionRow {
    /// Identifier.
    pub id: DistributionId,
    /// Channel that it serves.
    pub channel: ChannelId,
    /// Key group whose signatures open it.
    pub key_group: KeyGroupId,
    /// Its own host name, lower case, without a port.
    pub domain_name: String,
    /// Other host names.
    pub aliases: Vec<String>,
    /// Whether it serves.
    pub enabled: bool,
    /// Price class, in CloudFront's words.
    pub price_class: String,
    /// Observed: whether every edge has the newest configuration.
    pub status: DistributionState,
    /// Snapshot version that edges must apply for `Deployed`.
    pub changed_version: u64,
    /// Requests answered since it was made.
    pub requests_total: u64,
    /// Bytes sent since it was made.
    pub bytes_total: u64,
    /// Unix milliseconds.
    pub created_at: i64,
}

impl Db {
    /// The distribution with this id.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn distribution_find(&self, wanted: &str) -> Result<DistributionRow, Error> {
        let row = sqlx::query("SELECT * FROM distributions WHERE id = ?1")
            .bind(wanted)
            .fetch_optional(&self.readers)
            .await?
            .ok_or_else(|| Error::not_found("distribution", wanted))?;
        read(&row)
    }

    /// The distribution of a channel.
    ///
    /// # Errors
    /// The channel is gone, or the query fails.
    pub async fn distribution_of_channel(&self, channel: &ChannelId) -> Result<DistributionRow, Error> {
        let row = sqlx::query("SELECT * FROM distributions WHERE channel_id = ?1")
            .bind(channel.as_str())
            .fetch_optional(&self.readers)
            .await?
            .ok_or_else(|| Error::not_found("channel", channel.as_str()))?;
        read(&row)
    }

    /// A page of distributions.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_page(&self, page: &PageRequest) -> Result<Page<DistributionRow>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM distributions WHERE ?1 IS NULL OR (created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3",
        )
        .bind(page.after_time())
        .bind(page.after_id())
        .bind(page.fetch())
        .fetch_all(&self.readers)
        .await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }

    /// Distributions that wait for edges.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distributions_in_progress(&self) -> Result<Vec<DistributionRow>, Error> {
        let rows = sqlx::query("SELECT * FROM distributions WHERE status = ?1")
            .bind(DistributionState::InProgress.as_str())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Notes that every edge acts by `version`. Does nothing when the distribution has changed since.
    ///
    /// # Errors
    /// The query fails.
    pub async fn distribution_confirm(&self, wanted: &DistributionId, version: u64, now_ms: i64) -> Result<(), Error> {
        let status = DistributionState::InProgress.next(DistributionEvent::Confirm);
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE distributions SET status = ?1, updated_at = ?2 WHERE id = ?3 AND changed_version = ?4")
            .bind(status.as_str())
            .bind(now_ms)
            .bind(wanted.as_str())
            .bind(signed(version))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(crate) fn read(row: &SqliteRow) -> Result<DistributionRow, Error> {
    Ok(DistributionRow {
        id: id(row, "id")?,
        channel: id(row, "channel_id")?,
        key_group: id(row, "key_group_id")?,
        domain_name: text(row, "domain_name")?,
        aliases: word(row, "aliases", |json| serde_json::from_str(json).ok())?,
        enabled: flag(row, "enabled")?,
        price_class: text(row, "price_class")?,
        status: word(row, "status", DistributionState::parse)?,
        changed_version: unsigned(row, "changed_version")?,
        requests_total: unsigned(row, "requests_total")?,
        bytes_total: unsigned(row, "bytes_total")?,
        created_at: integer(row, "created_at")?,
    })
}
