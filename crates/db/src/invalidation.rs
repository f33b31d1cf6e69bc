//! Invalidations: orders to forget, numbered within their distribution.

use anabranch_model::{DistributionId, InvalidationEvent, InvalidationId, InvalidationState};

use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{id, integer, json, optional_id, optional_integer, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Page, PageRequest, distribution};

/// Completed orders of a distribution that are kept to be shown.
const HISTORY_MAX: i64 = 2000;

/// Orders confirmed in one pass.
const CONFIRM_MAX: i64 = 1000;

/// An invalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidationRow {
    /// Identifier.
    pub id: InvalidationId,
    /// Whose objects are to be forgotten.
    pub distribution: DistributionId,
    /// Goes up by one with each order of the distribution, from 1.
    pub sequence: u64,
    /// The creator's own mark; unique within the distribution.
    pub caller_reference: String,
    /// Path patterns.
    pub paths: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Whether every edge acts by it.
    pub state: InvalidationState,
    /// The provider's id; none until the provider has heard of it.
    pub provider_id: Option<InvalidationId>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub completed_at: Option<i64>,
}

/// An invalidation to order.
#[derive(Clone, Debug)]
pub struct NewInvalidation {
    /// Its id.
    pub id: InvalidationId,
    /// Id of the distribution.
    pub distribution: String,
    /// The creator's own mark.
    pub caller_reference: String,
    /// Path patterns.
    pub paths: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
}

impl Db {
    /// Orders an invalidation. The same caller reference with the same paths and tags answers the earlier order.
    ///
    /// # Errors
    /// There is no such distribution, the caller reference stands for another order, or the query fails.
    pub async fn invalidation_create(
        &self,
        new: &NewInvalidation,
        now_ms: i64,
    ) -> Result<Created<InvalidationRow>, Error> {
        let (mut tx, version) = self.wish().await?;
        let distribution = distribution::find(&mut tx, &new.distribution).await?.id;
        if let Some(earlier) = by_reference(&mut tx, &distribution, &new.caller_reference).await? {
            if earlier.paths == new.paths && earlier.tags == new.tags {
                return Ok(Created::Replayed(earlier));
            }
            let reference = new.caller_reference.clone();
            return Err(Error::BatchDiffers { reference, invalidation: earlier.id.into() });
        }
        let sequence: i64 = sql::scalar(
            "UPDATE distributions SET invalidation_sequence = invalidation_sequence + 1 WHERE id = $1
             RETURNING invalidation_sequence",
        )
        .bind(distribution.as_str())
        .fetch_one(&mut *tx)
        .await?;
        sql::query(
            "INSERT INTO invalidations (id, distribution_id, sequence, caller_reference, paths, tags, patterns, state,
                                        changed_version, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(new.id.as_str())
        .bind(distribution.as_str())
        .bind(sequence)
        .bind(&new.caller_reference)
        .bind(serde_json::json!(new.paths).to_string())
        .bind(serde_json::json!(new.tags).to_string())
        .bind(i64::try_from(new.paths.len() + new.tags.len()).unwrap_or(i64::MAX))
        .bind(InvalidationState::InProgress.as_str())
        .bind(signed(version))
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        shorten(&mut tx, &distribution, sequence).await?;
        let row = find(&mut tx, &distribution, new.id.as_str()).await?;
        let entry = NewEntry::activity("invalidation.created", "invalidation", row.id.as_str())
            .detail("distribution", distribution.as_str())
            .detail("paths", row.paths.len())
            .detail("tags", row.tags.len())
            .detail("first", row.paths.first().or(row.tags.first()).cloned().unwrap_or_default());
        log::append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// An invalidation of a distribution.
    ///
    /// # Errors
    /// There is no such distribution or no such invalidation of it, or the query fails.
    pub async fn invalidation_find(&self, distribution: &str, wanted: &str) -> Result<InvalidationRow, Error> {
        let mut conn = self.readers.acquire().await?;
        let distribution = distribution::find(&mut conn, distribution).await?.id;
        find(&mut conn, &distribution, wanted).await
    }

    /// A page of the invalidations of a distribution.
    ///
    /// # Errors
    /// There is no such distribution, or the query fails.
    pub async fn invalidation_page(
        &self,
        distribution: &str,
        page: &PageRequest,
    ) -> Result<Page<InvalidationRow>, Error> {
        let mut conn = self.readers.acquire().await?;
        let distribution = distribution::find(&mut conn, distribution).await?.id;
        let rows = page
            .query(paged!("SELECT * FROM invalidations WHERE distribution_id = $4 AND ", "created_at", "id"))
            .bind(distribution.as_str())
            .fetch_all(&mut conn)
            .await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }

    /// Invalidations that are not completed, those first that the provider has not heard of, then the oldest; and the provider's id of their distribution if it has one.
    ///
    /// # Errors
    /// The query fails.
    pub async fn invalidations_in_progress(&self) -> Result<Vec<(InvalidationRow, Option<DistributionId>)>, Error> {
        let rows = sql::query(
            "SELECT i.*, d.provider_id AS at_provider FROM invalidations i JOIN distributions d ON d.id = i.distribution_id
             WHERE i.state = 'InProgress'
             ORDER BY CASE WHEN i.provider_id IS NULL THEN 0 ELSE 1 END, i.changed_version LIMIT $1",
        )
        .bind(CONFIRM_MAX)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| Ok((read(row)?, optional_id(row, "at_provider")?))).collect()
    }

    /// Notes that the provider has heard of an invalidation.
    ///
    /// # Errors
    /// The query fails.
    pub async fn invalidation_told(&self, wanted: &InvalidationId, provider_id: &InvalidationId) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query("UPDATE invalidations SET provider_id = $1 WHERE id = $2")
            .bind(provider_id.as_str())
            .bind(wanted.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that every edge acts by these.
    ///
    /// # Errors
    /// The query fails; then nothing was noted.
    pub async fn invalidations_confirm(&self, confirmed: &[InvalidationId], now_ms: i64) -> Result<(), Error> {
        let state = InvalidationState::InProgress.next(InvalidationEvent::Confirm);
        let mut tx = self.begin().await?;
        for invalidation in confirmed {
            let distribution: Option<String> = sql::scalar(
                "UPDATE invalidations SET state = $1, completed_at = $2 WHERE id = $3 AND state = 'InProgress'
                 RETURNING distribution_id",
            )
            .bind(state.as_str())
            .bind(now_ms)
            .bind(invalidation.as_str())
            .fetch_optional(&mut *tx)
            .await?;
            if let Some(distribution) = distribution {
                let entry = NewEntry::transition("invalidation.completed", "invalidation", invalidation.as_str())
                    .detail("distribution", distribution);
                log::append(&mut tx, &entry, now_ms).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Forgets what is too old to be shown.
async fn shorten(conn: &mut Conn, distribution: &DistributionId, sequence: i64) -> Result<(), Error> {
    sql::query("DELETE FROM invalidations WHERE distribution_id = $1 AND sequence <= $2 AND state = 'Completed'")
        .bind(distribution.as_str())
        .bind(sequence - HISTORY_MAX)
        .execute(conn)
        .await?;
    Ok(())
}

async fn by_reference(
    conn: &mut Conn,
    distribution: &DistributionId,
    reference: &str,
) -> Result<Option<InvalidationRow>, Error> {
    let row = sql::query("SELECT * FROM invalidations WHERE distribution_id = $1 AND caller_reference = $2")
        .bind(distribution.as_str())
        .bind(reference)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(read).transpose()
}

async fn find(conn: &mut Conn, distribution: &DistributionId, wanted: &str) -> Result<InvalidationRow, Error> {
    let row = sql::query("SELECT * FROM invalidations WHERE distribution_id = $1 AND id = $2")
        .bind(distribution.as_str())
        .bind(wanted)
        .fetch_optional(conn)
        .await?
        .ok_or_else(|| Error::not_found("invalidation", wanted))?;
    read(&row)
}

fn read(row: &Row) -> Result<InvalidationRow, Error> {
    Ok(InvalidationRow {
        id: id(row, "id")?,
        distribution: id(row, "distribution_id")?,
        sequence: unsigned(row, "sequence")?,
        caller_reference: text(row, "caller_reference")?,
        paths: json(row, "paths")?,
        tags: json(row, "tags")?,
        state: word(row, "state", InvalidationState::parse)?,
        provider_id: optional_id(row, "provider_id")?,
        created_at: integer(row, "created_at")?,
        completed_at: optional_integer(row, "completed_at")?,
    })
}
