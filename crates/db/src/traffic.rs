//! Delivered traffic, counted once.

use anabranch_model::{DistributionId, NodeName, Quality, SpoolId, Traffic};

use crate::row::{id, signed, text, unsigned};
use crate::sql::{self, Row, Tx};
use crate::{Db, Error, Place, usage};

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// Counts of a row; what was fetched, the last two of [`Traffic::counts`], is none.
const COUNTS: usize = 9;

/// What became of a batch of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its traffic was added.
    Counted,
    /// Its traffic had been added before.
    Repeated,
}

impl Db {
    /// Adds delivered traffic of `place`. What is counted by distribution passes over those that are gone.
    ///
    /// # Errors
    /// The query fails; then nothing was added.
    pub async fn traffic_add(&self, traffic: &[Traffic], place: &Place, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        add(&mut tx, traffic, now_ms).await?;
        usage::add(&mut tx, traffic, place, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Adds what players told.
    ///
    /// # Errors
    /// The query fails; then nothing was added.
    pub async fn quality_add(&self, quality: &[Quality], now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        usage::add_quality(&mut tx, quality, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Adds traffic and quality of batch `sequence` of a spool, unless that batch or a later one was added before. Traffic and number
    /// are written together, so a batch whose answer was lost can be sent again.
    ///
    /// # Errors
    /// The query fails; then nothing was added.
    pub async fn batch_take(
        &self,
        node: &NodeName,
        spool: &SpoolId,
        sequence: u64,
        counted: (&[Traffic], &[Quality]),
        place: &Place,
        now_ms: i64,
    ) -> Result<Taken, Error> {
        let mut tx = self.begin().await?;
        let advanced = sql::query(
            "INSERT INTO spools (id, node, sequence, updated_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET node = $2, sequence = $3, updated_at = $4 WHERE spools.sequence < $3",
        )
        .bind(spool.as_str())
        .bind(node.as_str())
        .bind(signed(sequence))
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        if advanced == 0 {
            return Ok(Taken::Repeated);
        }
        let (traffic, quality) = counted;
        add(&mut tx, traffic, now_ms).await?;
        usage::add(&mut tx, traffic, place, now_ms).await?;
        usage::add_quality(&mut tx, quality, now_ms).await?;
        tx.commit().await?;
        Ok(Taken::Counted)
    }

    /// Traffic of a distribution, by behavior and breakout.
    ///
    /// # Errors
    /// The query fails.
    pub async fn traffic_of(&self, distribution: &DistributionId) -> Result<Vec<Traffic>, Error> {
        let rows = sql::query("SELECT * FROM traffic WHERE distribution_id = $1 ORDER BY behavior, breakout")
            .bind(distribution.as_str())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }
}

async fn add(tx: &mut Tx, traffic: &[Traffic], now_ms: i64) -> Result<(), Error> {
    for one in traffic {
        let known = sql::query(
            "UPDATE distributions SET requests_total = requests_total + $1, bytes_total = bytes_total + $2
             WHERE id = $3",
        )
        .bind(signed(one.requests))
        .bind(signed(one.bytes))
        .bind(one.distribution.as_str())
        .execute(&mut **tx)
        .await?;
        if known == 0 {
            continue;
        }
        sql::query(
            "INSERT INTO local_traffic (distribution_id, minute, requests, bytes) VALUES ($1, $2, $3, $4)
             ON CONFLICT (distribution_id, minute) DO UPDATE SET
                 requests = local_traffic.requests + $3, bytes = local_traffic.bytes + $4",
        )
        .bind(one.distribution.as_str())
        .bind(now_ms.div_euclid(MINUTE_MS))
        .bind(signed(one.requests))
        .bind(signed(one.bytes))
        .execute(&mut **tx)
        .await?;
        let mut insert = sql::query(
            "INSERT INTO traffic (distribution_id, behavior, breakout, requests, bytes,
                                  status_1xx, status_2xx, status_3xx, status_4xx, status_5xx, hits, misses)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (distribution_id, behavior, breakout) DO UPDATE SET
                 requests = traffic.requests + $4, bytes = traffic.bytes + $5,
                 status_1xx = traffic.status_1xx + $6, status_2xx = traffic.status_2xx + $7,
                 status_3xx = traffic.status_3xx + $8, status_4xx = traffic.status_4xx + $9,
                 status_5xx = traffic.status_5xx + $10, hits = traffic.hits + $11, misses = traffic.misses + $12",
        )
        .bind(one.distribution.as_str())
        .bind(&one.behavior)
        .bind(one.breakout.as_ref().map_or("", |breakout| breakout.as_str()));
        for count in one.counts().take(COUNTS) {
            insert = insert.bind(signed(count));
        }
        insert.execute(&mut **tx).await?;
    }
    Ok(())
}

fn read(row: &Row) -> Result<Traffic, Error> {
    let breakout = if text(row, "breakout")?.is_empty() { None } else { Some(id(row, "breakout")?) };
    Ok(Traffic {
        distribution: id(row, "distribution_id")?,
        behavior: text(row, "behavior")?,
        breakout,
        requests: unsigned(row, "requests")?,
        bytes: unsigned(row, "bytes")?,
        statuses: [
            unsigned(row, "status_1xx")?,
            unsigned(row, "status_2xx")?,
            unsigned(row, "status_3xx")?,
            unsigned(row, "status_4xx")?,
            unsigned(row, "status_5xx")?,
        ],
        hits: unsigned(row, "hits")?,
        misses: unsigned(row, "misses")?,
        ..Traffic::none(id(row, "distribution_id")?)
    })
}
