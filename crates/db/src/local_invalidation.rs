//! Invalidations that the local provider tells edges of.

use std::collections::BTreeMap;

use anabranch_model::{DistributionId, InvalidationId, InvalidationLog, InvalidationSpec};

use crate::row::{id, json, signed, text, unsigned};
use crate::sql::{self, Conn};
use crate::{Change, Db, Error};

/// Orders of a distribution that edges are told of; of older ones they hear only that everything before them is unusable.
pub const LOG_MAX_ORDERS: u32 = 1000;

/// Paths and tags together of the orders that edges are told of. The newest order is told whatever its size.
pub const LOG_MAX_PATTERNS: u32 = 10_000;

/// Orders of a distribution that are kept after edges are no longer told of them, to know their references.
const HISTORY_MAX: i64 = 2000;

/// An invalidation to tell edges of.
#[derive(Clone, Debug)]
pub struct NewLocalInvalidation {
    /// Its id.
    pub id: InvalidationId,
    /// Id of the distribution.
    pub distribution: DistributionId,
    /// The maker's token, unique within the distribution.
    pub reference: String,
    /// Path patterns.
    pub paths: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// An order as it is known: its id, and the snapshot version that edges must apply.
pub type Told = (InvalidationId, u64);

impl Db {
    /// Tells edges of an invalidation, or answers the one of the same reference with the same paths and tags.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_invalidation_create(&self, new: &NewLocalInvalidation) -> Result<Change<Told>, Error> {
        let (mut tx, version) = self.change().await?;
        let (paths, tags) = (serde_json::json!(new.paths).to_string(), serde_json::json!(new.tags).to_string());
        let known = sql::query("SELECT * FROM local_invalidations WHERE distribution_id = $1 AND reference = $2")
            .bind(new.distribution.as_str())
            .bind(&new.reference)
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(row) = known {
            let same = text(&row, "paths")? == paths && text(&row, "tags")? == tags;
            let known: InvalidationId = id(&row, "id")?;
            let version = unsigned(&row, "changed_version")?;
            return Ok(if same { Change::Done((known, version)) } else { Change::Taken(known.into()) });
        }
        let sequence: Option<i64> = sql::scalar(
            "UPDATE local_distributions SET invalidation_sequence = invalidation_sequence + 1 WHERE id = $1
             RETURNING invalidation_sequence",
        )
        .bind(new.distribution.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(sequence) = sequence else { return Ok(Change::NotFound) };
        sql::query(
            "INSERT INTO local_invalidations (id, distribution_id, sequence, reference, paths, tags, patterns, changed_version)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(new.id.as_str())
        .bind(new.distribution.as_str())
        .bind(sequence)
        .bind(&new.reference)
        .bind(paths)
        .bind(tags)
        .bind(i64::try_from(new.paths.len() + new.tags.len()).unwrap_or(i64::MAX))
        .bind(signed(version))
        .execute(&mut *tx)
        .await?;
        shorten(&mut tx, &new.distribution, sequence).await?;
        tx.commit().await?;
        Ok(Change::Done((new.id.clone(), version)))
    }

    /// The snapshot version that edges must apply for this order, if it is known.
    ///
    /// # Errors
    /// The query fails.
    pub async fn local_invalidation(
        &self,
        distribution: &DistributionId,
        wanted: &InvalidationId,
    ) -> Result<Option<u64>, Error> {
        let row = sql::query("SELECT changed_version FROM local_invalidations WHERE distribution_id = $1 AND id = $2")
            .bind(distribution.as_str())
            .bind(wanted.as_str())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(|row| unsigned(row, "changed_version")).transpose()
    }
}

/// Raises the floor over what the log has no room for, and forgets what is far below it.
async fn shorten(conn: &mut Conn, distribution: &DistributionId, sequence: i64) -> Result<(), Error> {
    let floor: Option<i64> = sql::scalar(
        "SELECT MAX(sequence) FROM (
             SELECT sequence,
                    ROW_NUMBER() OVER (ORDER BY sequence DESC) AS place,
                    SUM(patterns) OVER (ORDER BY sequence DESC) AS total
             FROM local_invalidations
             WHERE distribution_id = $1
               AND sequence > (SELECT invalidation_floor FROM local_distributions WHERE id = $1)) AS log
         WHERE place > 1 AND (place > $2 OR total > $3)",
    )
    .bind(distribution.as_str())
    .bind(i64::from(LOG_MAX_ORDERS))
    .bind(i64::from(LOG_MAX_PATTERNS))
    .fetch_one(&mut *conn)
    .await?;
    if let Some(floor) = floor {
        sql::query("UPDATE local_distributions SET invalidation_floor = $2 WHERE id = $1 AND invalidation_floor < $2")
            .bind(distribution.as_str())
            .bind(floor)
            .execute(&mut *conn)
            .await?;
    }
    sql::query(
        "DELETE FROM local_invalidations
         WHERE distribution_id = $1 AND sequence <= $2
           AND sequence <= (SELECT invalidation_floor FROM local_distributions WHERE id = $1)",
    )
    .bind(distribution.as_str())
    .bind(sequence - HISTORY_MAX)
    .execute(conn)
    .await?;
    Ok(())
}

/// What edges are told of each distribution, of which they are not told what is not above its floor.
pub(crate) async fn logs(
    conn: &mut Conn,
    floors: Vec<(DistributionId, u64)>,
) -> Result<BTreeMap<DistributionId, InvalidationLog>, Error> {
    let mut logs: BTreeMap<DistributionId, InvalidationLog> =
        floors.into_iter().map(|(id, floor)| (id, InvalidationLog { floor, entries: Vec::new() })).collect();
    let rows = sql::query(
        "SELECT i.distribution_id, i.sequence, i.paths, i.tags
         FROM local_invalidations i JOIN local_distributions d ON d.id = i.distribution_id
         WHERE i.sequence > d.invalidation_floor ORDER BY i.distribution_id, i.sequence",
    )
    .fetch_all(conn)
    .await?;
    for row in &rows {
        if let Some(log) = logs.get_mut(&id(row, "distribution_id")?) {
            let (paths, tags) = (json(row, "paths")?, json(row, "tags")?);
            log.entries.push(InvalidationSpec { sequence: unsigned(row, "sequence")?, paths, tags });
        }
    }
    Ok(logs)
}
