//! Assets whose making is cancelled, and those that go: their jobs end with them.

use anabranch_model::{AssetEvent, JobEvent};

use crate::asset::{AssetRow, find, settle};
use crate::job::{self, JOB_ASSET, JOB_CAPTIONS, JOB_REMOVE_ASSET, NewJob};
use crate::log::{self, NewEntry};
use crate::sql::{self, Conn};
use crate::{Db, Error, job_life};

impl Db {
    /// Cancels the making of an asset.
    ///
    /// # Errors
    /// There is none, nothing is under way, or the query fails.
    pub async fn asset_cancel(&self, wanted: &str, now_ms: i64) -> Result<AssetRow, Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        let state = row.state.next(AssetEvent::Cancel)?;
        let job = job::unfinished(&mut tx, JOB_ASSET, row.id.as_str()).await?;
        match job {
            Some(job) => job_life::settle(&mut tx, &job, JobEvent::Cancel, None, now_ms, now_ms).await?,
            None => settle(&mut tx, &row, state, None, now_ms).await?,
        }
        let row = find(&mut tx, wanted).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Deletes an asset; what was made of it is removed by a job. Its file stays, and is not made an asset again before it changes.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn asset_delete(&self, wanted: &str, now_ms: i64) -> Result<AssetRow, Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        remove(&mut tx, &row, now_ms).await?;
        tx.commit().await?;
        Ok(row)
    }
}

/// Deletes the row; the job removes what was made.
pub(crate) async fn remove(conn: &mut Conn, row: &AssetRow, now_ms: i64) -> Result<(), Error> {
    for kind in [JOB_ASSET, JOB_CAPTIONS] {
        if let Some(job) = job::unfinished(conn, kind, row.id.as_str()).await? {
            job_life::settle(conn, &job, JobEvent::Cancel, None, now_ms, now_ms).await?;
        }
    }
    sql::query("UPDATE arrivals SET asset_id = NULL, updated_at = $1 WHERE asset_id = $2")
        .bind(now_ms)
        .bind(row.id.as_str())
        .execute(&mut *conn)
        .await?;
    sql::query("DELETE FROM assets WHERE id = $1").bind(row.id.as_str()).execute(&mut *conn).await?;
    let new = NewJob {
        kind: JOB_REMOVE_ASSET,
        subject: row.id.to_string(),
        arguments: "{}".to_owned(),
        priority: -1,
        attempts_max: u32::MAX >> 1,
    };
    job::create(conn, &new, now_ms).await?;
    log::append(conn, &NewEntry::transition("asset.deleted", "asset", row.id.as_str()), now_ms).await?;
    Ok(())
}
