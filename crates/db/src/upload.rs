//! Uploads that go on over several requests. Their bytes are in the store, which also knows how many there are.

use anabranch_model::UploadId;

use crate::row::{self, id, integer, optional_integer, text};
use crate::sql::{self, Conn, Row};
use crate::{Db, Error, bucket};

/// Uploads that may be under way at one time.
const UPLOADS_MAX: i64 = 10_000;

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    /// Identifier.
    pub id: UploadId,
    /// Bucket that it is for.
    pub bucket: String,
    /// Key that its object will have.
    pub key: String,
    /// In bytes; none until it is told.
    pub size: Option<u64>,
    /// As it was sent, to be told again.
    pub metadata: String,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds; then it is forgotten.
    pub expires_at: i64,
}

impl Db {
    /// Begins an upload.
    ///
    /// # Errors
    /// There is no such bucket, too many are under way, or the query fails.
    pub async fn upload_create(&self, new: &UploadRow) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        bucket::find(&mut tx, &new.bucket).await.map_err(Error::dangling)?;
        let under_way: i64 = sql::scalar("SELECT COUNT(*) FROM uploads").fetch_optional(&mut tx).await?.unwrap_or(0);
        if under_way >= UPLOADS_MAX {
            let remedy = format!("{UPLOADS_MAX} uploads are under way; end some first");
            return Err(Error::NotNow { subject: "upload", name: new.id.to_string(), remedy });
        }
        sql::query(
            "INSERT INTO uploads (id, bucket, object_key, size, metadata, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new.id.as_str())
        .bind(&new.bucket)
        .bind(&new.key)
        .bind(new.size.map(row::signed))
        .bind(&new.metadata)
        .bind(new.created_at)
        .bind(new.expires_at)
        .execute(&mut tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// The upload with this id.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn upload_find(&self, wanted: &str) -> Result<UploadRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// Notes the size of an upload, or that it goes on.
    ///
    /// # Errors
    /// The query fails.
    pub async fn upload_touch(&self, upload: &UploadId, size: Option<u64>, expires_at: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query("UPDATE uploads SET size = COALESCE($1, size), expires_at = $2 WHERE id = $3")
            .bind(size.map(row::signed))
            .bind(expires_at)
            .bind(upload.as_str())
            .execute(&mut tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// The query fails.
    pub async fn upload_delete(&self, upload: &UploadId) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sql::query("DELETE FROM uploads WHERE id = $1").bind(upload.as_str()).execute(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Some of the uploads to a bucket, those first that are forgotten first.
    ///
    /// # Errors
    /// The query fails.
    pub async fn uploads_to(&self, bucket: &str) -> Result<Vec<UploadRow>, Error> {
        let rows = sql::query("SELECT * FROM uploads WHERE bucket = $1 ORDER BY expires_at LIMIT 100")
            .bind(bucket)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Some of the uploads that nobody has gone on with.
    ///
    /// # Errors
    /// The query fails.
    pub async fn uploads_expired(&self, now_ms: i64) -> Result<Vec<UploadRow>, Error> {
        let rows = sql::query("SELECT * FROM uploads WHERE expires_at < $1 ORDER BY expires_at LIMIT 100")
            .bind(now_ms)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<UploadRow, Error> {
    row::find(conn, "SELECT * FROM uploads WHERE id = $1", "upload", wanted, read).await
}

fn read(row: &Row) -> Result<UploadRow, Error> {
    Ok(UploadRow {
        id: id(row, "id")?,
        bucket: text(row, "bucket")?,
        key: text(row, "object_key")?,
        size: optional_integer(row, "size")?.map(|bytes| u64::try_from(bytes).unwrap_or(0)),
        metadata: text(row, "metadata")?,
        created_at: integer(row, "created_at")?,
        expires_at: integer(row, "expires_at")?,
    })
}
