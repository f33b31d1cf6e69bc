//! Key groups and their keys.

use anabranch_model::{KeyGroupId, KeyId};
use sqlx::sqlite::SqliteRow;

use crate::row::{id, integer, optional_text, text};
use crate::{Created, Cursor, Db, Error, Idempotency, Page, PageRequest};

/// A key group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGroupRow {
    /// Identifier.
    pub id: KeyGroupId,
    /// Unique name.
    pub name: String,
}

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// `Key-Pair-Id`.
    pub id: KeyId,
    /// Its group.
    pub group: KeyGroupId,
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
    /// Its group; must exist.
    pub group: KeyGroupId,
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
    /// The key group of this name, made if it is missing.
    ///
    /// # Errors
    /// The query fails.
    pub async fn key_group_ensure(&self, name: &str, now_ms: i64) -> Result<KeyGroupRow, Error> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO key_groups (id, name, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING")
            .bind(KeyGroupId::random().as_str())
            .bind(name)
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        let row = sqlx::query("SELECT id, name FROM key_groups WHERE name = ?1").bind(name).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(KeyGroupRow { id: id(&row, "id")?, name: text(&row, "name")? })
    }

    /// Keeps a key.
    ///
    /// # Errors
    /// The name is taken, the idempotency key was used otherwise, or the query fails.
    pub async fn key_create(&self, new: &NewKey, now_ms: i64) -> Result<Created<KeyRow>, Error> {
        let (mut tx, _version) = self.change().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sqlx::query("SELECT * FROM keys WHERE idempotency_key = ?1")
                .bind(&idempotency.key)
                .fetch_optional(&mut *tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&row)?));
            }
        }
        sqlx::query(
            "INSERT INTO keys (id, group_id, name, private_pem, public_pem, created_at, idempotency_key, request_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(new.id.as_str())
        .bind(new.group.as_str())
        .bind(&new.name)
        .bind(&new.private_pem)
        .bind(&new.public_pem)
        .bind(now_ms)
        .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
        .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
        .execute(&mut *tx)
        .await
        .map_err(|error| Error::on_insert(error, "key", &new.name))?;
        tx.commit().await?;
        Ok(Created::New(KeyRow {
            id: new.id.clone(),
            group: new.group.clone(),
            name: new.name.clone(),
            private_pem: new.private_pem.clone(),
            public_pem: new.public_pem.clone(),
            created_at: now_ms,
        }))
    }

    /// The key with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn key_find(&self, wanted: &str) -> Result<KeyRow, Error> {
        let row = sqlx::query("SELECT * FROM keys WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1")
            .bind(wanted)
            .fetch_optional(&self.readers)
            .await?
            .ok_or_else(|| Error::not_found("key", wanted))?;
        read(&row)
    }

    /// The keys of a group, oldest first.
    ///
    /// # Errors
    /// The query fails.
    pub async fn keys_of_group(&self, group: &KeyGroupId) -> Result<Vec<KeyRow>, Error> {
        let rows = sqlx::query("SELECT * FROM keys WHERE group_id = ?1 ORDER BY created_at, id")
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
        let rows = sqlx::query(
            "SELECT * FROM keys WHERE ?1 IS NULL OR (created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3",
        )
        .bind(page.after_time())
        .bind(page.after_id())
        .bind(page.fetch())
        .fetch_all(&self.readers)
        .await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |key| Cursor { created_at: key.created_at, id: key.id.to_string() }))
    }
}

fn read(row: &SqliteRow) -> Result<KeyRow, Error> {
    Ok(KeyRow {
        id: id(row, "id")?,
        group: id(row, "group_id")?,
        name: text(row, "name")?,
        private_pem: optional_text(row, "private_pem")?,
        public_pem: text(row, "public_pem")?,
        created_at: integer(row, "created_at")?,
    })
}
