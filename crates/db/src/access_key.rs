//! Access keys of the S3-compatible endpoint. Their secrets are kept as they are: signatures are checked with them.

use std::fmt;

use anabranch_model::AccessKeyId;

use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{self, flag, id, integer, json, text};
use crate::sql::{self, Conn, Row};
use crate::{Cursor, Db, Error, Page, PageRequest};

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKeyRow {
    /// What requests name it by.
    pub id: AccessKeyId,
    /// Name for people.
    pub name: String,
    /// What requests are signed with.
    pub secret: String,
    /// Buckets that it opens; none stands for every one.
    pub buckets: Vec<String>,
    /// Whether it may store and remove.
    pub may_write: bool,
    /// Unix milliseconds.
    pub created_at: i64,
}

impl fmt::Debug for AccessKeyRow {
    // Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKeyRow").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Db {
    /// Keeps an access key.
    ///
    /// # Errors
    /// The query fails.
    pub async fn access_key_create(&self, new: &AccessKeyRow, now_ms: i64) -> Result<(), Error> {
        let buckets = serde_json::Value::from(new.buckets.clone()).to_string();
        let mut tx = self.begin().await?;
        sql::query(
            "INSERT INTO access_keys (id, name, secret, buckets, may_write, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(new.id.as_str())
        .bind(&new.name)
        .bind(&new.secret)
        .bind(buckets)
        .bind(i64::from(new.may_write))
        .bind(new.created_at)
        .execute(&mut tx)
        .await?;
        log::append(&mut tx, &NewEntry::activity("access-key.created", "access-key", new.id.as_str()), now_ms).await?;
        Ok(tx.commit().await?)
    }

    /// The access key with this id.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn access_key_find(&self, wanted: &str) -> Result<AccessKeyRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// A page of access keys.
    ///
    /// # Errors
    /// The query fails.
    pub async fn access_key_page(&self, page: &PageRequest) -> Result<Page<AccessKeyRow>, Error> {
        page.select(&self.readers, paged!("SELECT * FROM access_keys WHERE ", "created_at", "id"), read, |row| Cursor {
            created_at: row.created_at,
            id: row.id.to_string(),
        })
        .await
    }

    /// Deletes an access key.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn access_key_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        sql::query("DELETE FROM access_keys WHERE id = $1").bind(row.id.as_str()).execute(&mut tx).await?;
        log::append(&mut tx, &NewEntry::activity("access-key.deleted", "access-key", row.id.as_str()), now_ms).await?;
        Ok(tx.commit().await?)
    }
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<AccessKeyRow, Error> {
    row::find(conn, "SELECT * FROM access_keys WHERE id = $1", "access key", wanted, read).await
}

fn read(row: &Row) -> Result<AccessKeyRow, Error> {
    Ok(AccessKeyRow {
        id: id(row, "id")?,
        name: text(row, "name")?,
        secret: text(row, "secret")?,
        buckets: json(row, "buckets")?,
        may_write: flag(row, "may_write")?,
        created_at: integer(row, "created_at")?,
    })
}
