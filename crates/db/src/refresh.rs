//! Pages of viewers that are to begin anew.

use crate::breakout::{activity, find};
use crate::{BreakoutRow, Db, Error, log, sql};

impl Db {
    /// Has the pages of all viewers begin anew: each sees the number that goes up by one, whichever process tells it. Edges are not told, and
    /// nobody loses access.
    ///
    /// # Errors
    /// There is no such breakout, or the query fails.
    pub async fn breakout_refresh(&self, wanted: &str, now_ms: i64) -> Result<BreakoutRow, Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        log::append(&mut tx, &activity("breakout.refreshed", &row), now_ms).await?;
        sql::query("UPDATE breakouts SET refreshes = refreshes + 1 WHERE id = $1")
            .bind(row.id.as_str())
            .execute(&mut tx)
            .await?;
        let row = find(&mut tx, row.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }
}
