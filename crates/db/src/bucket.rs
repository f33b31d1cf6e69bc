//! Buckets: what is done with files that arrive in them. The files themselves are in the store.

use std::collections::HashSet;

use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{self, flag, integer, optional_text, text};
use crate::sql::{self, Conn, Row};
use crate::{Created, Cursor, Db, Error, Idempotency, Page, PageRequest};

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketRow {
    /// Unique name, as S3 allows it.
    pub name: String,
    /// How assets are made of what arrives; none: files only lie there.
    pub preset: Option<String>,
    /// Whether an asset goes when its file is replaced or removed.
    pub mirror: bool,
    /// Made by the system, and kept.
    pub house: bool,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A bucket to make.
#[derive(Clone, Debug)]
pub struct NewBucket {
    /// Unique name.
    pub name: String,
    /// How assets are made of what arrives.
    pub preset: Option<String>,
    /// Whether an asset goes when its file is replaced or removed.
    pub mirror: bool,
    /// Made by the system, and kept.
    pub house: bool,
    /// Makes a repetition harmless.
    pub idempotency: Option<Idempotency>,
}

impl Db {
    /// Makes a bucket of the system if it is missing; one that is there stays as it is.
    ///
    /// # Errors
    /// The query fails.
    pub async fn bucket_ensure(&self, name: &str, preset: Option<&str>, house: bool, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query(
            "INSERT INTO buckets (name, preset, house, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(preset)
        .bind(i64::from(house))
        .bind(now_ms)
        .execute(&mut tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// The name is taken, the idempotency key was used otherwise, or the query fails.
    pub async fn bucket_create(&self, new: &NewBucket, now_ms: i64) -> Result<Created<BucketRow>, Error> {
        let mut tx = self.begin().await?;
        if let Some(idempotency) = &new.idempotency {
            let row = sql::query("SELECT * FROM buckets WHERE idempotency_key = $1")
                .bind(&idempotency.key)
                .fetch_optional(&mut tx)
                .await?;
            if let Some(row) = row {
                idempotency.check(&row)?;
                return Ok(Created::Replayed(read(&row)?));
            }
        }
        sql::query(
            "INSERT INTO buckets (name, preset, mirror, house, created_at, updated_at, idempotency_key, request_hash)
             VALUES ($1, $2, $3, $4, $5, $5, $6, $7)",
        )
        .bind(&new.name)
        .bind(new.preset.as_deref())
        .bind(i64::from(new.mirror))
        .bind(i64::from(new.house))
        .bind(now_ms)
        .bind(new.idempotency.as_ref().map(|i| i.key.as_str()))
        .bind(new.idempotency.as_ref().map(|i| i.request_hash.as_slice()))
        .execute(&mut tx)
        .await
        .map_err(|error| Error::on_insert(error, "bucket", &new.name))?;
        let row = find(&mut tx, &new.name).await?;
        log::append(&mut tx, &NewEntry::activity("bucket.created", "bucket", &row.name), now_ms).await?;
        tx.commit().await?;
        Ok(Created::New(row))
    }

    /// The bucket of this name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn bucket_find(&self, wanted: &str) -> Result<BucketRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// A page of buckets.
    ///
    /// # Errors
    /// The query fails.
    pub async fn bucket_page(&self, page: &PageRequest) -> Result<Page<BucketRow>, Error> {
        page.select(&self.readers, paged!("SELECT * FROM buckets WHERE ", "created_at", "name"), read, |row| Cursor {
            created_at: row.created_at,
            id: row.name.clone(),
        })
        .await
    }

    /// Names of all buckets.
    ///
    /// # Errors
    /// The query fails.
    pub async fn bucket_names(&self) -> Result<HashSet<String>, Error> {
        let rows = sql::query("SELECT name FROM buckets").fetch_all(&self.readers).await?;
        rows.iter().map(|row| text(row, "name")).collect()
    }

    /// The buckets of whose files assets are made.
    ///
    /// # Errors
    /// The query fails.
    pub async fn buckets_watched(&self) -> Result<Vec<BucketRow>, Error> {
        let rows =
            sql::query("SELECT * FROM buckets WHERE preset IS NOT NULL ORDER BY name").fetch_all(&self.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Changes what is done with files that arrive.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn bucket_update(
        &self,
        wanted: &str,
        preset: Option<&str>,
        mirror: bool,
        now_ms: i64,
    ) -> Result<BucketRow, Error> {
        let mut tx = self.begin().await?;
        find(&mut tx, wanted).await?;
        sql::query("UPDATE buckets SET preset = $1, mirror = $2, updated_at = $3 WHERE name = $4")
            .bind(preset)
            .bind(i64::from(mirror))
            .bind(now_ms)
            .bind(wanted)
            .execute(&mut tx)
            .await?;
        let row = find(&mut tx, wanted).await?;
        log::append(&mut tx, &NewEntry::activity("bucket.changed", "bucket", wanted), now_ms).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Deletes a bucket of which no asset is left. Its files are the caller's matter.
    ///
    /// # Errors
    /// There is none, it is the system's, assets were made of its files, or the query fails.
    pub async fn bucket_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        let in_use = |remedy| Err(Error::InUse { subject: "bucket", name: row.name.clone(), remedy });
        if row.house {
            return in_use("the system keeps its own files there".to_owned());
        }
        let asset: Option<String> =
            sql::scalar("SELECT id FROM assets WHERE bucket = $1 LIMIT 1").bind(wanted).fetch_optional(&mut tx).await?;
        if let Some(asset) = asset {
            return in_use(format!("assets were made of its files; delete them first, such as {asset}"));
        }
        let upload: Option<String> = sql::scalar("SELECT id FROM uploads WHERE bucket = $1 LIMIT 1")
            .bind(wanted)
            .fetch_optional(&mut tx)
            .await?;
        if let Some(upload) = upload {
            return in_use(format!("an upload to it is under way; end it first: {upload}"));
        }
        sql::query("DELETE FROM buckets WHERE name = $1").bind(wanted).execute(&mut tx).await?;
        log::append(&mut tx, &NewEntry::activity("bucket.deleted", "bucket", wanted), now_ms).await?;
        Ok(tx.commit().await?)
    }
}

pub(crate) async fn find(conn: &mut Conn, wanted: &str) -> Result<BucketRow, Error> {
    row::find(conn, "SELECT * FROM buckets WHERE name = $1", "bucket", wanted, read).await
}

fn read(row: &Row) -> Result<BucketRow, Error> {
    Ok(BucketRow {
        name: text(row, "name")?,
        preset: optional_text(row, "preset")?,
        mirror: flag(row, "mirror")?,
        house: flag(row, "house")?,
        created_at: integer(row, "created_at")?,
    })
}
