//! What is, or was, wrong with breakouts.

use anabranch_model::BreakoutId;

use crate::breakout::{about, find};
use crate::log::{self, NewEntry};
use crate::{Db, Error, sql};

impl Db {
    /// Keeps or clears what is wrong with a breakout; the data plane is not told.
    ///
    /// # Errors
    /// The query fails.
    pub async fn breakout_problem(
        &self,
        breakout: &BreakoutId,
        problem: Option<&str>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = match find(&mut tx, breakout.as_str()).await {
            // Deleted since it was reported.
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        if row.problem.as_deref() == problem {
            return Ok(());
        }
        sql::query("UPDATE breakouts SET problem = $1 WHERE id = $2")
            .bind(problem)
            .bind(breakout.as_str())
            .execute(&mut tx)
            .await?;
        let entry = match problem {
            Some(problem) => {
                NewEntry::stream("breakout.problem", "breakout", breakout.as_str()).detail("problem", problem)
            }
            None => NewEntry::stream("breakout.problem_cleared", "breakout", breakout.as_str()),
        };
        log::append(&mut tx, &about(entry, &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps what had to be repaired for a breakout; the data plane is not told.
    ///
    /// # Errors
    /// The query fails.
    pub async fn breakout_notice(&self, breakout: &BreakoutId, notice: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = match find(&mut tx, breakout.as_str()).await {
            // Deleted meanwhile.
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        sql::query("UPDATE breakouts SET notice = $1 WHERE id = $2")
            .bind(notice)
            .bind(breakout.as_str())
            .execute(&mut *tx)
            .await?;
        let entry = NewEntry::stream("breakout.repaired", "breakout", breakout.as_str()).detail("reason", notice);
        log::append(&mut tx, &about(entry, &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}
