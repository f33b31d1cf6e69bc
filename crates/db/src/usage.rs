//! What was delivered and how well, by stretches of time.

use anabranch_model::{Quality, Traffic};

use crate::row::{flag, integer, json, signed, text, unsigned};
use crate::sql::{self, Row, Tx};
use crate::{Db, Error};

/// Lengths of stretches in seconds, the shortest first.
pub const USAGE_STEPS: [i64; 4] = [60, 300, 3600, 86_400];

/// For how long stretches of each length are told apart, in seconds: six hours of minutes, a week of five minutes, 90 days of hours. Days are
/// kept for ten years.
const KEPT_SECONDS: [i64; 4] = [6 * 3600, 7 * 86_400, 90 * 86_400, 3653 * 86_400];

/// Rows of an answer at most.
const ROWS_MAX: i64 = 200_000;

/// Where answers were sent from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Name of the edge location, or of the node.
    pub location: String,
    /// Its price class.
    pub class: String,
}

/// What was delivered, of what and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Distribution, which may be gone.
    pub distribution: String,
    /// Breakout; empty if it belongs to none.
    pub breakout: String,
    /// Session of the breakout; 0 if it is not known.
    pub session: u32,
    /// Whether it is of the recording.
    pub recorded: bool,
    /// Asset; empty if it belongs to none.
    pub asset: String,
    /// Rendition; empty if it belongs to none.
    pub rendition: String,
    /// Where it was sent from.
    pub place: Place,
    /// How much.
    pub counts: DeliveredCounts,
}

/// Amounts of what was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveredCounts {
    /// Requests answered.
    pub requests: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Answers by status class.
    pub statuses: [u64; 5],
    /// Answers from the cache.
    pub hits: u64,
    /// Answers for which the origin was asked.
    pub misses: u64,
    /// Bytes of those for which it was asked alone.
    pub fetched: u64,
    /// Those for which it was asked alone.
    pub fetches: u64,
}

impl DeliveredCounts {
    /// Adds `other`.
    pub fn absorb(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.bytes = self.bytes.saturating_add(other.bytes);
        for (sum, more) in self.statuses.iter_mut().zip(other.statuses) {
            *sum = sum.saturating_add(more);
        }
        self.hits = self.hits.saturating_add(other.hits);
        self.misses = self.misses.saturating_add(other.misses);
        self.fetched = self.fetched.saturating_add(other.fetched);
        self.fetches = self.fetches.saturating_add(other.fetches);
    }
}

/// Which usage is wanted. An empty text stands for all.
#[derive(Clone, Debug, Default)]
pub struct UsageFilter {
    /// Unix seconds: stretches that begin then or later.
    pub from: i64,
    /// Unix seconds: stretches that begin before.
    pub to: i64,
    /// Id of a breakout.
    pub breakout: String,
    /// Id of an asset.
    pub asset: String,
    /// Id of a distribution.
    pub distribution: String,
}

/// What was delivered in a stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageAt {
    /// Unix seconds of its beginning.
    pub at: i64,
    /// How much.
    pub counts: DeliveredCounts,
}

impl Db {
    /// What was delivered, of what and from where.
    ///
    /// # Errors
    /// The query fails.
    pub async fn usage_delivered(&self, filter: &UsageFilter) -> Result<Vec<Delivered>, Error> {
        let rows = sql::query(
            "SELECT distribution_id, breakout, session, recorded, asset, rendition, location, class,
                    CAST(SUM(requests) AS BIGINT) AS requests, CAST(SUM(bytes) AS BIGINT) AS bytes,
                    CAST(SUM(status_1xx) AS BIGINT) AS status_1xx, CAST(SUM(status_2xx) AS BIGINT) AS status_2xx,
                    CAST(SUM(status_3xx) AS BIGINT) AS status_3xx, CAST(SUM(status_4xx) AS BIGINT) AS status_4xx,
                    CAST(SUM(status_5xx) AS BIGINT) AS status_5xx, CAST(SUM(hits) AS BIGINT) AS hits,
                    CAST(SUM(misses) AS BIGINT) AS misses, CAST(SUM(fetched) AS BIGINT) AS fetched,
                    CAST(SUM(fetches) AS BIGINT) AS fetches
             FROM usage_delivered
             WHERE at >= $1 AND at < $2 AND ($3 = '' OR breakout = $3) AND ($4 = '' OR asset = $4)
                   AND ($5 = '' OR distribution_id = $5)
             GROUP BY distribution_id, breakout, session, recorded, asset, rendition, location, class
             ORDER BY distribution_id, breakout, session, recorded, asset, rendition, location, class LIMIT $6",
        )
        .bind(filter.from)
        .bind(filter.to)
        .bind(filter.breakout.as_str())
        .bind(filter.asset.as_str())
        .bind(filter.distribution.as_str())
        .bind(ROWS_MAX)
        .fetch_all(&self.readers)
        .await?;
        let rows = Error::unless_cut(rows, ROWS_MAX, "what was delivered")?;
        rows.iter().map(read).collect()
    }

    /// The course of what was delivered, in stretches of `step` seconds, those with anything in them.
    ///
    /// # Errors
    /// The query fails.
    pub async fn usage_course(&self, filter: &UsageFilter, step: i64) -> Result<Vec<UsageAt>, Error> {
        let rows = sql::query(
            "SELECT (at / $6) * $6 AS beginning,
                    CAST(SUM(requests) AS BIGINT) AS requests, CAST(SUM(bytes) AS BIGINT) AS bytes,
                    CAST(SUM(status_1xx) AS BIGINT) AS status_1xx, CAST(SUM(status_2xx) AS BIGINT) AS status_2xx,
                    CAST(SUM(status_3xx) AS BIGINT) AS status_3xx, CAST(SUM(status_4xx) AS BIGINT) AS status_4xx,
                    CAST(SUM(status_5xx) AS BIGINT) AS status_5xx, CAST(SUM(hits) AS BIGINT) AS hits,
                    CAST(SUM(misses) AS BIGINT) AS misses, CAST(SUM(fetched) AS BIGINT) AS fetched,
                    CAST(SUM(fetches) AS BIGINT) AS fetches
             FROM usage_delivered
             WHERE at >= $1 AND at < $2 AND ($3 = '' OR breakout = $3) AND ($4 = '' OR asset = $4)
                   AND ($5 = '' OR distribution_id = $5)
             GROUP BY 1 ORDER BY 1 LIMIT $7",
        )
        .bind(filter.from)
        .bind(filter.to)
        .bind(filter.breakout.as_str())
        .bind(filter.asset.as_str())
        .bind(filter.distribution.as_str())
        .bind(step)
        .bind(ROWS_MAX)
        .fetch_all(&self.readers)
        .await?;
        let rows = Error::unless_cut(rows, ROWS_MAX, "stretches of time")?;
        rows.iter().map(|row| Ok(UsageAt { at: integer(row, "beginning")?, counts: counts(row)? })).collect()
    }

    /// What players told, of stretches that begin in that time.
    ///
    /// # Errors
    /// The query fails.
    pub async fn usage_quality(&self, filter: &UsageFilter) -> Result<Vec<Quality>, Error> {
        let rows = sql::query(
            "SELECT quality FROM usage_quality
             WHERE at >= $1 AND at < $2 AND ($3 = '' OR breakout = $3) AND ($4 = '' OR asset = $4)
             ORDER BY step, at, breakout, asset LIMIT $5",
        )
        .bind(filter.from)
        .bind(filter.to)
        .bind(filter.breakout.as_str())
        .bind(filter.asset.as_str())
        .bind(ROWS_MAX)
        .fetch_all(&self.readers)
        .await?;
        let rows = Error::unless_cut(rows, ROWS_MAX, "what players told")?;
        rows.iter().map(|row| json(row, "quality")).collect()
    }

    /// Adds old stretches up to longer ones, and forgets those that are too old. Repeating it changes nothing. Gives how many rows went.
    ///
    /// # Errors
    /// The query fails.
    pub async fn usage_roll_up(&self, now_seconds: i64) -> Result<u64, Error> {
        let mut gone = 0;
        for (at, step) in USAGE_STEPS.iter().enumerate() {
            let next = USAGE_STEPS.get(at + 1);
            let limit = now_seconds - KEPT_SECONDS[at];
            // Whole longer stretches only.
            let limit = next.map_or(limit, |next| limit.div_euclid(*next) * next);
            let old: Option<i64> = sql::scalar("SELECT at FROM usage_delivered WHERE step = $1 AND at < $2 LIMIT 1")
                .bind(*step)
                .bind(limit)
                .fetch_optional(&self.readers)
                .await?;
            let told: Option<i64> = sql::scalar("SELECT at FROM usage_quality WHERE step = $1 AND at < $2 LIMIT 1")
                .bind(*step)
                .bind(limit)
                .fetch_optional(&self.readers)
                .await?;
            if old.is_none() && told.is_none() {
                continue;
            }
            let mut tx = self.begin().await?;
            if let Some(next) = next {
                lengthen(&mut tx, *step, *next, limit).await?;
                lengthen_quality(&mut tx, *step, *next, limit).await?;
            }
            for forget in [
                "DELETE FROM usage_delivered WHERE step = $1 AND at < $2",
                "DELETE FROM usage_quality WHERE step = $1 AND at < $2",
            ] {
                gone += sql::query(forget).bind(*step).bind(limit).execute(&mut tx).await?;
            }
            tx.commit().await?;
        }
        Ok(gone)
    }
}

async fn lengthen(tx: &mut Tx, step: i64, next: i64, limit: i64) -> Result<(), Error> {
    sql::query(
        "INSERT INTO usage_delivered (step, at, distribution_id, breakout, session, recorded, asset, rendition, location, class,
                requests, bytes, status_1xx, status_2xx, status_3xx, status_4xx, status_5xx, hits, misses, fetched, fetches)
         SELECT $2, (at / $2) * $2, distribution_id, breakout, session, recorded, asset, rendition, location, class,
                CAST(SUM(requests) AS BIGINT), CAST(SUM(bytes) AS BIGINT), CAST(SUM(status_1xx) AS BIGINT),
                CAST(SUM(status_2xx) AS BIGINT), CAST(SUM(status_3xx) AS BIGINT), CAST(SUM(status_4xx) AS BIGINT),
                CAST(SUM(status_5xx) AS BIGINT), CAST(SUM(hits) AS BIGINT), CAST(SUM(misses) AS BIGINT),
                CAST(SUM(fetched) AS BIGINT), CAST(SUM(fetches) AS BIGINT)
         FROM usage_delivered WHERE step = $1 AND at < $3
         GROUP BY 2, distribution_id, breakout, session, recorded, asset, rendition, location, class
         ON CONFLICT (step, at, distribution_id, breakout, session, recorded, asset, rendition, location, class) DO UPDATE SET
             requests = usage_delivered.requests + excluded.requests, bytes = usage_delivered.bytes + excluded.bytes,
             status_1xx = usage_delivered.status_1xx + excluded.status_1xx,
             status_2xx = usage_delivered.status_2xx + excluded.status_2xx,
             status_3xx = usage_delivered.status_3xx + excluded.status_3xx,
             status_4xx = usage_delivered.status_4xx + excluded.status_4xx,
             status_5xx = usage_delivered.status_5xx + excluded.status_5xx,
             hits = usage_delivered.hits + excluded.hits, misses = usage_delivered.misses + excluded.misses,
             fetched = usage_delivered.fetched + excluded.fetched, fetches = usage_delivered.fetches + excluded.fetches",
    )
    .bind(step)
    .bind(next)
    .bind(limit)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn lengthen_quality(tx: &mut Tx, step: i64, next: i64, limit: i64) -> Result<(), Error> {
    let rows = sql::query("SELECT quality FROM usage_quality WHERE step = $1 AND at < $2")
        .bind(step)
        .bind(limit)
        .fetch_all(&mut **tx)
        .await?;
    for row in &rows {
        let mut quality: Quality = json(row, "quality")?;
        quality.at = quality.at.div_euclid(next) * next;
        put_quality(tx, next, &quality).await?;
    }
    Ok(())
}

/// Adds traffic that was sent from `place`. What does not say when counts as of now.
pub(crate) async fn add(tx: &mut Tx, traffic: &[Traffic], place: &Place, now_ms: i64) -> Result<(), Error> {
    let now = now_ms.div_euclid(1000);
    for one in traffic {
        // A clock that goes wrong must not fill years that are to come.
        let at = if one.minute > 0 && one.minute <= now + USAGE_STEPS[2] { one.minute } else { now };
        let mut insert = sql::query(
            "INSERT INTO usage_delivered (step, at, distribution_id, breakout, session, recorded, asset, rendition, location, class,
                    requests, bytes, status_1xx, status_2xx, status_3xx, status_4xx, status_5xx, hits, misses, fetched, fetches)
             VALUES (60, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
             ON CONFLICT (step, at, distribution_id, breakout, session, recorded, asset, rendition, location, class) DO UPDATE SET
                 requests = usage_delivered.requests + $10, bytes = usage_delivered.bytes + $11,
                 status_1xx = usage_delivered.status_1xx + $12, status_2xx = usage_delivered.status_2xx + $13,
                 status_3xx = usage_delivered.status_3xx + $14, status_4xx = usage_delivered.status_4xx + $15,
                 status_5xx = usage_delivered.status_5xx + $16, hits = usage_delivered.hits + $17,
                 misses = usage_delivered.misses + $18, fetched = usage_delivered.fetched + $19,
                 fetches = usage_delivered.fetches + $20",
        )
        .bind(at.div_euclid(USAGE_STEPS[0]) * USAGE_STEPS[0])
        .bind(one.distribution.as_str())
        .bind(one.breakout.as_ref().map_or("", |breakout| breakout.as_str()))
        .bind(i64::from(one.session))
        .bind(i64::from(one.recorded))
        .bind(one.asset.as_ref().map_or("", |asset| asset.as_str()))
        .bind(one.rendition.as_str())
        .bind(place.location.as_str())
        .bind(place.class.as_str());
        for count in one.counts() {
            insert = insert.bind(signed(count));
        }
        insert.execute(&mut **tx).await?;
    }
    Ok(())
}

/// Adds what players told.
pub(crate) async fn add_quality(tx: &mut Tx, rows: &[Quality], now_ms: i64) -> Result<(), Error> {
    let now = now_ms.div_euclid(1000);
    for one in rows {
        let at = if one.at > 0 && one.at <= now + USAGE_STEPS[2] { one.at } else { now };
        let at = at.div_euclid(USAGE_STEPS[1]) * USAGE_STEPS[1];
        put_quality(tx, USAGE_STEPS[1], &Quality { at, ..one.clone() }).await?;
    }
    Ok(())
}

async fn put_quality(tx: &mut Tx, step: i64, one: &Quality) -> Result<(), Error> {
    let breakout = one.breakout.as_ref().map_or("", |breakout| breakout.as_str());
    let asset = one.asset.as_ref().map_or("", |asset| asset.as_str());
    let known =
        sql::query("SELECT quality FROM usage_quality WHERE step = $1 AND at = $2 AND breakout = $3 AND asset = $4")
            .bind(step)
            .bind(one.at)
            .bind(breakout)
            .bind(asset)
            .fetch_optional(&mut **tx)
            .await?;
    let mut sum = one.clone();
    if let Some(known) = known {
        sum.absorb(&json(&known, "quality")?);
    }
    let Ok(text) = serde_json::to_string(&sum) else { return Ok(()) };
    sql::query(
        "INSERT INTO usage_quality (step, at, breakout, asset, quality) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (step, at, breakout, asset) DO UPDATE SET quality = $5",
    )
    .bind(step)
    .bind(one.at)
    .bind(breakout)
    .bind(asset)
    .bind(text)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<Delivered, Error> {
    Ok(Delivered {
        distribution: text(row, "distribution_id")?,
        breakout: text(row, "breakout")?,
        session: unsigned(row, "session")?,
        recorded: flag(row, "recorded")?,
        asset: text(row, "asset")?,
        rendition: text(row, "rendition")?,
        place: Place { location: text(row, "location")?, class: text(row, "class")? },
        counts: counts(row)?,
    })
}

fn counts(row: &Row) -> Result<DeliveredCounts, Error> {
    Ok(DeliveredCounts {
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
        fetched: unsigned(row, "fetched")?,
        fetches: unsigned(row, "fetches")?,
    })
}
