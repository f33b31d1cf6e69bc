//! Arrivals: the objects of buckets of whose files assets are made, each with the asset that it has become.

use anabranch_model::{ArrivalState, AssetId};

use crate::asset::{self, NewAsset};
use crate::asset_end;
use crate::job::{self, JOB_INTAKE, NewJob};
use crate::log::{self, NewEntry};
use crate::row::{integer, optional_id, optional_text, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{AssetRow, Db, Error, bucket};

/// Tries of a job that reads a file.
const ATTEMPTS_MAX: u32 = 5;

/// An object that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivalRow {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Another one whenever it was stored again.
    pub version: String,
    /// In bytes.
    pub size: u64,
    /// How far it is.
    pub state: ArrivalState,
    /// How its asset is to be made; none: as the bucket says.
    pub preset: Option<String>,
    /// What it has become.
    pub asset: Option<AssetId>,
    /// Why nothing has become of it.
    pub problem: Option<String>,
    /// Unix milliseconds.
    pub updated_at: i64,
}

/// An object to note.
#[derive(Clone, Copy, Debug)]
pub struct NewArrival<'a> {
    /// Its bucket.
    pub bucket: &'a str,
    /// Its key.
    pub key: &'a str,
    /// Another one whenever it was stored again.
    pub version: &'a str,
    /// In bytes.
    pub size: u64,
    /// How its asset is to be made; none: as the bucket says.
    pub preset: Option<&'a str>,
}

/// What an object has turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognised {
    /// Its asset.
    pub asset: AssetRow,
    /// Whether that is new.
    pub is_new: bool,
    /// An asset that went with the file that this one replaced.
    pub removed: Option<AssetRow>,
}

impl Db {
    /// Notes an object that has arrived and has it read by a job; false when it was noted before, or no assets are made in this bucket.
    ///
    /// # Errors
    /// There is no such bucket, or the query fails.
    pub async fn arrival_note(&self, new: &NewArrival<'_>, now_ms: i64) -> Result<bool, Error> {
        let NewArrival { bucket: bucket_name, key, version, preset, .. } = *new;
        let mut tx = self.begin().await?;
        if preset.or(bucket::find(&mut tx, bucket_name).await?.preset.as_deref()).is_none() {
            return Ok(false);
        }
        let known = find(&mut tx, bucket_name, key).await?;
        if known.is_some_and(|row| row.version == version) {
            return Ok(false);
        }
        put(&mut tx, new, now_ms).await?;
        let job = NewJob {
            kind: JOB_INTAKE,
            subject: format!("{bucket_name}/{key}"),
            arguments: "{}".to_owned(),
            // A glance at a file is not to wait for hours of encoding.
            priority: 10,
            attempts_max: ATTEMPTS_MAX,
        };
        job::create(&mut tx, &job, now_ms).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Notes an object that no job is to read, with what it has become or why nothing has.
    ///
    /// # Errors
    /// There is no such bucket, or the query fails.
    pub async fn arrival_set(
        &self,
        new: &NewArrival<'_>,
        state: ArrivalState,
        asset: Option<&AssetId>,
        problem: Option<&str>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        put(&mut tx, new, now_ms).await?;
        set(&mut tx, (new.bucket, new.key, new.version), state, asset, problem, now_ms).await?;
        Ok(tx.commit().await?)
    }

    /// The arrival of an object, if it was noted.
    ///
    /// # Errors
    /// The query fails.
    pub async fn arrival_find(&self, bucket: &str, key: &str) -> Result<Option<ArrivalRow>, Error> {
        find(&mut self.readers.acquire().await?, bucket, key).await
    }

    /// The arrivals in a bucket with keys from `first` to `last`, in the order of their bytes.
    ///
    /// # Errors
    /// The query fails.
    pub async fn arrivals_between(&self, bucket: &str, first: &str, last: &str) -> Result<Vec<ArrivalRow>, Error> {
        let rows = sql::query(
            "SELECT * FROM arrivals WHERE bucket = $1 AND object_key >= $2 AND object_key <= $3 ORDER BY object_key",
        )
        .bind(bucket)
        .bind(first)
        .bind(last)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Notes what an object has turned out to be by its bytes, and has its asset made if it is new. None when the object has been
    /// replaced meanwhile, or its bucket makes no assets any more.
    ///
    /// # Errors
    /// The query fails.
    pub async fn arrival_recognised(
        &self,
        seen: &ArrivalRow,
        id: &AssetId,
        now_ms: i64,
    ) -> Result<Option<Recognised>, Error> {
        let mut tx = self.begin().await?;
        let now = find(&mut tx, &seen.bucket, &seen.key).await?;
        let Some(now) = now.filter(|now| now.version == seen.version) else { return Ok(None) };
        let of = bucket::find(&mut tx, &seen.bucket).await?;
        let Some(preset) = now.preset.as_ref().or(of.preset.as_ref()) else { return Ok(None) };
        let name = seen.key.rsplit('/').find(|part| !part.is_empty()).unwrap_or(&seen.key);
        let new = NewAsset { id, name, bucket: &seen.bucket, key: &seen.key, size: seen.size, preset };
        let (asset, is_new) = asset::create(&mut tx, &new, now_ms).await?;
        settle(&mut tx, seen, ArrivalState::Known, Some(id), None, now_ms).await?;
        if !is_new {
            let entry = NewEntry::transition("asset.duplicate", "asset", id.as_str());
            log::append(
                &mut tx,
                &entry.detail("bucket", seen.bucket.as_str()).detail("key", seen.key.as_str()),
                now_ms,
            )
            .await?;
        }
        let removed = match now.asset.filter(|before| of.mirror && before != id) {
            Some(before) => orphaned(&mut tx, &before, now_ms).await?,
            None => None,
        };
        tx.commit().await?;
        Ok(Some(Recognised { asset, is_new, removed }))
    }

    /// Notes why nothing becomes of an object.
    ///
    /// # Errors
    /// The query fails.
    pub async fn arrival_failed(&self, seen: &ArrivalRow, problem: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        settle(&mut tx, seen, ArrivalState::Failed, None, Some(problem), now_ms).await?;
        let entry = NewEntry::transition("arrival.failed", "bucket", seen.bucket.as_str());
        log::append(&mut tx, &entry.detail("key", seen.key.as_str()).detail("problem", problem), now_ms).await?;
        Ok(tx.commit().await?)
    }

    /// Forgets an object that was removed. Gives its asset when that goes with it.
    ///
    /// # Errors
    /// The query fails.
    pub async fn arrival_gone(&self, bucket_name: &str, key: &str, now_ms: i64) -> Result<Option<AssetRow>, Error> {
        let mut tx = self.begin().await?;
        let Some(row) = find(&mut tx, bucket_name, key).await? else { return Ok(None) };
        sql::query("DELETE FROM arrivals WHERE bucket = $1 AND object_key = $2")
            .bind(bucket_name)
            .bind(key)
            .execute(&mut tx)
            .await?;
        let mirror = bucket::find(&mut tx, bucket_name).await?.mirror;
        let removed = match row.asset.filter(|_| mirror) {
            Some(asset) => orphaned(&mut tx, &asset, now_ms).await?,
            None => None,
        };
        tx.commit().await?;
        Ok(removed)
    }
}

/// Removes the asset unless another object has become it as well.
async fn orphaned(conn: &mut Conn, asset: &AssetId, now_ms: i64) -> Result<Option<AssetRow>, Error> {
    let other: Option<String> = sql::scalar("SELECT object_key FROM arrivals WHERE asset_id = $1 LIMIT 1")
        .bind(asset.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    if other.is_some() {
        return Ok(None);
    }
    let row = asset::find(conn, asset.as_str()).await?;
    asset_end::remove(conn, &row, now_ms).await?;
    Ok(Some(row))
}

/// Notes an object that is to be read, in the place of what was noted of its key before.
async fn put(conn: &mut Conn, new: &NewArrival<'_>, now_ms: i64) -> Result<(), Error> {
    sql::query(
        "INSERT INTO arrivals (bucket, object_key, version, size, state, preset, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
         ON CONFLICT (bucket, object_key) DO UPDATE SET version = excluded.version, size = excluded.size,
             state = excluded.state, preset = excluded.preset, problem = NULL, updated_at = excluded.updated_at",
    )
    .bind(new.bucket)
    .bind(new.key)
    .bind(new.version)
    .bind(signed(new.size))
    .bind(ArrivalState::Waiting.as_str())
    .bind(new.preset)
    .bind(now_ms)
    .execute(conn)
    .await?;
    Ok(())
}

async fn settle(
    conn: &mut Conn,
    seen: &ArrivalRow,
    state: ArrivalState,
    asset: Option<&AssetId>,
    problem: Option<&str>,
    now_ms: i64,
) -> Result<(), Error> {
    set(conn, (&seen.bucket, &seen.key, &seen.version), state, asset, problem, now_ms).await
}

async fn set(
    conn: &mut Conn,
    (bucket, key, version): (&str, &str, &str),
    state: ArrivalState,
    asset: Option<&AssetId>,
    problem: Option<&str>,
    now_ms: i64,
) -> Result<(), Error> {
    sql::query(
        "UPDATE arrivals SET state = $1, asset_id = $2, problem = $3, updated_at = $4
         WHERE bucket = $5 AND object_key = $6 AND version = $7",
    )
    .bind(state.as_str())
    .bind(asset.map(AssetId::as_str))
    .bind(problem)
    .bind(now_ms)
    .bind(bucket)
    .bind(key)
    .bind(version)
    .execute(conn)
    .await?;
    Ok(())
}

async fn find(conn: &mut Conn, bucket: &str, key: &str) -> Result<Option<ArrivalRow>, Error> {
    let row = sql::query("SELECT * FROM arrivals WHERE bucket = $1 AND object_key = $2")
        .bind(bucket)
        .bind(key)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<ArrivalRow, Error> {
    Ok(ArrivalRow {
        bucket: text(row, "bucket")?,
        key: text(row, "object_key")?,
        version: text(row, "version")?,
        size: unsigned(row, "size")?,
        state: word(row, "state", ArrivalState::parse)?,
        preset: optional_text(row, "preset")?,
        asset: optional_id(row, "asset_id")?,
        problem: optional_text(row, "problem")?,
        updated_at: integer(row, "updated_at")?,
    })
}
