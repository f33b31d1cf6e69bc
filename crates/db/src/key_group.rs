//! Key groups: which keys open what a distribution protects.

use anabranch_model::{KeyGroupId, KeyId};

use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{self, id, integer, list, text};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Idempotency, Page, PageRequest, key_member};

/// Users of a group that a refusal names.
const NAMED_MAX: i64 = 5;

/// Rows with the ids of their keys, by a condition and an order.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT g.*,
                    (SELECT string_agg(k.id, ',' ORDER BY k.created_at, k.id)
                     FROM key_group_members m JOIN keys k ON k.id = m.key_id WHERE m.group_id = g.id) AS key_ids
             FROM key_groups g ",
            $tail
        )
    };
}

/// A key group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGroupRow {
    /// Identifier.
    pub id: KeyGroupId,
    /// Unique name.
    pub name: String,
    /// Its keys, oldest first.
    pub keys: Vec<KeyId>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A key group to make.
#[derive(Clone, Debug)]
pub struct NewKeyGroup {
    /// Its id.
    pub id: KeyGroupId,
    /// Unique name.
    pub name: String,
    /// Its keys, by id or name.
    pub keys: Vec<String>,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

impl Db {
    /// The key group of this name, made if it is missing.
    ///
    /// # Errors
    /// The query fails.
    pub async fn key_group_ensure(&self, name: &str, now_ms: i64) -> Result<KeyGroupRow, Error> {
        let mut tx = self.begin().await?;
        sql::query("INSERT INTO key_groups (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING")
            .bind(KeyGroupId::random().as_str())
            .bind(name)
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        let row = sql::query(select!("WHERE g.name = $1")).bind(name).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        read(&row)
    }

    /// Makes a key group.
    ///
    /// # Errors
    /// The name is taken, a key is missing, the idempotency key was used otherwise, or the query fails.
    pub async fn key_group_create(&self, new: &NewKeyGroup, now_ms: i64) -> Result<Created<KeyGroupRow>, Error> {
        let (mut tx, _version) = self.change().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query(select!("WHERE g.idempotency_key = $1"))
                .bind(&idempotency.key)
                .fetch_optional(&mut *tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&row)?));
            }
        }
        sql::query(
            "INSERT INTO key_groups (id, name, created_at, idempotency_key, request_hash) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(new.id.as_str())
        .bind(&new.name)
        .bind(now_ms)
        .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
        .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
        .execute(&mut *tx)
        .await
        .map_err(|error| Error::on_insert(error, "key group", &new.name))?;
        key_member::fill(&mut tx, &new.id, &new.keys).await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        log::append(&mut tx, &activity("key_group.created", &row), now_ms).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// Gives a key group other keys, by id or name.
    ///
    /// # Errors
    /// There is no such group, a key is missing, or the query fails.
    pub async fn key_group_update(&self, wanted: &str, keys: &[String], now_ms: i64) -> Result<KeyGroupRow, Error> {
        let (mut tx, _version) = self.change().await?;
        let before = find(&mut tx, wanted).await?;
        sql::query("DELETE FROM key_group_members WHERE group_id = $1")
            .bind(before.id.as_str())
            .execute(&mut *tx)
            .await?;
        key_member::fill(&mut tx, &before.id, keys).await?;
        let after = find(&mut tx, before.id.as_str()).await?;
        if after != before {
            log::append(&mut tx, &activity("key_group.updated", &after), now_ms).await?;
            tx.commit().await?;
        }
        Ok(after)
    }

    /// Deletes a key group that no distribution trusts; its keys stay.
    ///
    /// # Errors
    /// There is none, a distribution trusts it, or the query fails.
    pub async fn key_group_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let (mut tx, _version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        let users: Vec<String> = sql::scalar(
            "SELECT distribution_id FROM distribution_key_groups WHERE group_id = $1 ORDER BY distribution_id LIMIT $2",
        )
        .bind(row.id.as_str())
        .bind(NAMED_MAX)
        .fetch_all(&mut *tx)
        .await?;
        if !users.is_empty() {
            let remedy = format!("distributions trust it; take it out of them first: {}", users.join(", "));
            return Err(Error::InUse { subject: "key group", name: row.name, remedy });
        }
        sql::query("DELETE FROM key_groups WHERE id = $1").bind(row.id.as_str()).execute(&mut *tx).await?;
        log::append(&mut tx, &activity("key_group.deleted", &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The key group with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn key_group_find(&self, wanted: &str) -> Result<KeyGroupRow, Error> {
        let mut conn = self.readers.acquire().await?;
        find(&mut conn, wanted).await
    }

    /// A page of key groups.
    ///
    /// # Errors
    /// The query fails.
    pub async fn key_group_page(&self, page: &PageRequest) -> Result<Page<KeyGroupRow>, Error> {
        page.select(&self.readers, paged!(select!("WHERE "), "g.created_at", "g.id"), read, |row| Cursor {
            created_at: row.created_at,
            id: row.id.to_string(),
        })
        .await
    }
}

fn activity(word: &'static str, row: &KeyGroupRow) -> NewEntry {
    let keys: Vec<String> = row.keys.iter().map(ToString::to_string).collect();
    NewEntry::activity(word, "key_group", row.id.as_str()).detail("name", row.name.as_str()).detail("keys", keys)
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<KeyGroupRow, Error> {
    row::find(
        conn,
        select!("WHERE g.id = $1 OR g.name = $1 ORDER BY g.id = $1 DESC LIMIT 1"),
        "key group",
        wanted,
        read,
    )
    .await
}

fn read(row: &Row) -> Result<KeyGroupRow, Error> {
    Ok(KeyGroupRow {
        id: id(row, "id")?,
        name: text(row, "name")?,
        keys: list(row, "key_ids")?,
        created_at: integer(row, "created_at")?,
    })
}
