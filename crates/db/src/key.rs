//! Keys that sign or verify viewer URLs.

use anabranch_model::{KeyGroupId, KeyId};

use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{self, id, integer, list, optional_text, text};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Idempotency, Page, PageRequest, key_member};

/// Rows with the ids of their groups, by a condition and an order.
macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT k.*, (SELECT string_agg(group_id, ',' ORDER BY group_id) FROM key_group_members
                          WHERE key_id = k.id) AS group_ids
             FROM keys k ",
            $tail
        )
    };
}

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// `Key-Pair-Id`.
    pub id: KeyId,
    /// Groups that have it.
    pub groups: Vec<KeyGroupId>,
    /// Unique name.
    pub name: String,
    /// Private half, if this house signs with it.
    pub private_pem: Option<String>,
    /// Public half.
    pub public_pem: String,
    /// Unix milliseconds.
    pub created_at: i64,
}

impl std::fmt::Debug for KeyRow {
    // Without the private half, so that no log line can show it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRow").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A key to keep.
#[derive(Clone)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// Groups that it joins, by id or name; must exist.
    pub groups: Vec<String>,
    /// Unique name.
    pub name: String,
    /// Private half, if this house signs with it.
    pub private_pem: Option<String>,
    /// Public half.
    pub public_pem: String,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

impl Db {
    /// Keeps a key.
    ///
    /// # Errors
    /// The id or the name is taken, a group is missing, the idempotency key was used otherwise, or the query fails.
    pub async fn key_create(&self, new: &NewKey, now_ms: i64) -> Result<Created<KeyRow>, Error> {
        let (mut tx, _version) = self.change().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query(select!("WHERE k.idempotency_key = $1"))
                .bind(&idempotency.key)
                .fetch_optional(&mut *tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&row)?));
            }
        }
        let taken: Option<String> =
            sql::scalar("SELECT id FROM keys WHERE id = $1").bind(new.id.as_str()).fetch_optional(&mut *tx).await?;
        if taken.is_some() {
            return Err(Error::IdTaken { subject: "key", id: new.id.to_string() });
        }
        sql::query(
            "INSERT INTO keys (id, name, private_pem, public_pem, created_at, idempotency_key, request_hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new.id.as_str())
        .bind(&new.name)
        .bind(&new.private_pem)
        .bind(&new.public_pem)
        .bind(now_ms)
        .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
        .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
        .execute(&mut *tx)
        .await
        .map_err(|error| Error::on_insert(error, "key", &new.name))?;
        key_member::join(&mut tx, &new.id, &new.groups).await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        let signs = row.private_pem.is_some();
        log::append(&mut tx, &activity("key.created", &row).detail("signs", signs), now_ms).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// Deletes a key that no group has.
    ///
    /// # Errors
    /// There is none, a group has it, or the query fails.
    pub async fn key_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let (mut tx, _version) = self.change().await?;
        let row = find(&mut tx, wanted).await?;
        let groups: Vec<String> = sql::scalar(
            "SELECT g.name FROM key_groups g JOIN key_group_members m ON m.group_id = g.id WHERE m.key_id = $1
             ORDER BY g.name",
        )
        .bind(row.id.as_str())
        .fetch_all(&mut *tx)
        .await?;
        if !groups.is_empty() {
            let remedy = format!("key groups have it; take it out of them first: {}", groups.join(", "));
            return Err(Error::InUse { subject: "key", name: row.name, remedy });
        }
        sql::query("DELETE FROM keys WHERE id = $1").bind(row.id.as_str()).execute(&mut *tx).await?;
        log::append(&mut tx, &activity("key.deleted", &row), now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The key with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn key_find(&self, wanted: &str) -> Result<KeyRow, Error> {
        let mut conn = self.readers.acquire().await?;
        find(&mut conn, wanted).await
    }

    /// The keys of a group, oldest first.
    ///
    /// # Errors
    /// The query fails.
    pub async fn keys_of_group(&self, group: &KeyGroupId) -> Result<Vec<KeyRow>, Error> {
        let rows = sql::query(select!(
            "JOIN key_group_members m ON m.key_id = k.id WHERE m.group_id = $1 ORDER BY k.created_at, k.id"
        ))
        .bind(group.as_str())
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// A page of keys.
    ///
    /// # Errors
    /// The query fails.
    pub async fn key_page(&self, page: &PageRequest) -> Result<Page<KeyRow>, Error> {
        page.select(&self.readers, paged!(select!("WHERE "), "k.created_at", "k.id"), read, |key| Cursor {
            created_at: key.created_at,
            id: key.id.to_string(),
        })
        .await
    }
}

fn activity(word: &'static str, row: &KeyRow) -> NewEntry {
    let groups: Vec<String> = row.groups.iter().map(ToString::to_string).collect();
    NewEntry::activity(word, "key", row.id.as_str()).detail("name", row.name.as_str()).detail("key_groups", groups)
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<KeyRow, Error> {
    row::find(conn, select!("WHERE k.id = $1 OR k.name = $1 ORDER BY k.id = $1 DESC LIMIT 1"), "key", wanted, read)
        .await
}

fn read(row: &Row) -> Result<KeyRow, Error> {
    Ok(KeyRow {
        id: id(row, "id")?,
        groups: list(row, "group_ids")?,
        name: text(row, "name")?,
        private_pem: optional_text(row, "private_pem")?,
        public_pem: text(row, "public_pem")?,
        created_at: integer(row, "created_at")?,
    })
}
