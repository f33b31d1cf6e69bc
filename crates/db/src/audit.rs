//! The audit: one row for each request that wanted to change something, done or refused.

use crate::page::Paged;
use crate::row::{integer, optional_text, signed, text, unsigned};
use crate::sql::{self, Row};
use crate::{Db, Error, PageOrder};

/// Rows deleted in one pass.
const PRUNE_BATCH: i64 = 5000;

/// A request as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Goes up by one with each row.
    pub sequence: u64,
    /// What happened.
    pub entry: NewAudit,
}

/// A request to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAudit {
    /// When it was answered, Unix milliseconds.
    pub at: i64,
    /// Name of the user or the token.
    pub actor: Option<String>,
    /// `user`, `token` or `none`.
    pub actor_kind: String,
    /// Operation of the API.
    pub operation: String,
    /// Kind of what it is about.
    pub object: String,
    /// What it is about, as the request named it.
    pub subject: Option<String>,
    /// Status of the answer.
    pub status: u16,
    /// Address that it came from.
    pub remote: String,
    /// By which logs know it.
    pub request_id: String,
}

/// Which rows are wanted. Every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Asked by whom, by name.
    pub actor: Option<String>,
    /// About this kind of thing.
    pub object: Option<String>,
    /// About this one, as requests named it.
    pub subject: Option<String>,
    /// At this time or later, Unix milliseconds.
    pub since: Option<i64>,
    /// Before this time, Unix milliseconds.
    pub until: Option<i64>,
}

/// Rows by a condition that an index serves, and every other, in either order.
macro_rules! select {
    ($index:literal) => {
        Paged {
            oldest_first: select!($index, "sequence > $1", "sequence"),
            newest_first: select!($index, "sequence < $1", "sequence DESC"),
        }
    };
    ($index:literal, $place:literal, $order:literal) => {
        concat!(
            "SELECT * FROM audit WHERE ",
            $index,
            " AND ",
            $place,
            " AND ($2 IS NULL OR actor = $2) AND ($3 IS NULL OR object = $3)
               AND ($4 IS NULL OR subject = $4) AND ($5 IS NULL OR created_at >= $5) AND ($6 IS NULL OR created_at < $6)
             ORDER BY ",
            $order,
            " LIMIT $7"
        )
    };
}

impl Db {
    /// Keeps requests, in their order.
    ///
    /// # Errors
    /// The query fails; then none was kept.
    pub async fn audit_add(&self, entries: &[NewAudit]) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let mut tx = self.begin().await?;
        let last: i64 = sql::scalar("UPDATE meta SET value = value + $1 WHERE key = 'audit_sequence' RETURNING value")
            .bind(count)
            .fetch_one(&mut tx)
            .await?;
        for (sequence, entry) in (last - count + 1..).zip(entries) {
            sql::query(
                "INSERT INTO audit (sequence, created_at, actor, actor_kind, operation, object, subject, status, remote, request_id)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(sequence)
            .bind(entry.at)
            .bind(&entry.actor)
            .bind(&entry.actor_kind)
            .bind(&entry.operation)
            .bind(&entry.object)
            .bind(&entry.subject)
            .bind(i64::from(entry.status))
            .bind(&entry.remote)
            .bind(&entry.request_id)
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Rows behind a sequence in that order, and whether there are more.
    ///
    /// # Errors
    /// The query fails.
    pub async fn audit_page(
        &self,
        filter: &AuditFilter,
        order: PageOrder,
        behind: Option<u64>,
        limit: u32,
    ) -> Result<(Vec<AuditRow>, bool), Error> {
        let statement = match (&filter.subject, &filter.actor) {
            (Some(_), _) => select!("subject = $4"),
            (None, Some(_)) => select!("actor = $2"),
            (None, None) => select!("1 = 1"),
        };
        let (statement, first) = match order {
            PageOrder::OldestFirst => (statement.oldest_first, i64::MIN),
            PageOrder::NewestFirst => (statement.newest_first, i64::MAX),
        };
        let rows = sql::query(statement)
            .bind(behind.map_or(first, signed))
            .bind(&filter.actor)
            .bind(&filter.object)
            .bind(&filter.subject)
            .bind(filter.since)
            .bind(filter.until)
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.readers)
            .await?;
        let mut rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        Ok((rows, more))
    }

    /// Deletes rows of before `until`, a batch of them, and answers how many.
    ///
    /// # Errors
    /// The query fails; then nothing was deleted.
    pub async fn audit_prune(&self, until: i64) -> Result<u64, Error> {
        let old: Option<i64> = sql::scalar("SELECT sequence FROM audit WHERE created_at < $1 LIMIT 1")
            .bind(until)
            .fetch_optional(&self.readers)
            .await?;
        if old.is_none() {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let deleted = sql::query(
            "DELETE FROM audit WHERE sequence IN (SELECT sequence FROM audit WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
        )
        .bind(until)
        .bind(PRUNE_BATCH)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(deleted)
    }
}

fn read(row: &Row) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        sequence: unsigned(row, "sequence")?,
        entry: NewAudit {
            at: integer(row, "created_at")?,
            actor: optional_text(row, "actor")?,
            actor_kind: text(row, "actor_kind")?,
            operation: text(row, "operation")?,
            object: text(row, "object")?,
            subject: optional_text(row, "subject")?,
            status: unsigned(row, "status")?,
            remote: text(row, "remote")?,
            request_id: text(row, "request_id")?,
        },
    })
}
