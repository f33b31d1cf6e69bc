//! Assets: uploaded items by their content, and what has been made of them.

use anabranch_model::{AssetEvent, AssetId, AssetReport, AssetState};

use crate::job::{self, JOB_ASSET, NewJob};
use crate::like::pattern;
use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{self, flag, id, integer, json, optional_integer, optional_text, signed, text, unsigned, word};
use crate::sql::{self, Conn, Row};
use crate::{Cursor, Db, Error, Page, PageRequest};

/// Tries of a job that makes an asset.
const ATTEMPTS_MAX: u32 = 5;

/// An asset.
#[derive(Clone, Debug, PartialEq)]
pub struct AssetRow {
    /// Identifier, by the content of its file.
    pub id: AssetId,
    /// Name for people; at first that of the file.
    pub name: String,
    /// Bucket of its file.
    pub bucket: String,
    /// Key of its file.
    pub key: String,
    /// Size of its file in bytes.
    pub size: u64,
    /// How it is made.
    pub preset: String,
    /// Where it is in its life.
    pub state: AssetState,
    /// From 1; goes up each time it is made again.
    pub generation: u32,
    /// What is in the file and what was made of it.
    pub report: AssetReport,
    /// Whether anything of it can be watched.
    pub playable: bool,
    /// Why it failed, or why the last try did.
    pub problem: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
    /// When all of it was there, Unix milliseconds.
    pub ready_at: Option<i64>,
}

/// Which assets are wanted.
#[derive(Clone, Debug, Default)]
pub struct AssetFilter {
    /// In this state.
    pub state: Option<AssetState>,
    /// Of files of this bucket.
    pub bucket: Option<String>,
    /// Whose name holds this text, whatever its case.
    pub name: Option<String>,
}

impl Db {
    /// The asset with this id.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn asset_find(&self, wanted: &str) -> Result<AssetRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// A page of assets.
    ///
    /// # Errors
    /// The query fails.
    pub async fn asset_page(&self, filter: &AssetFilter, page: &PageRequest) -> Result<Page<AssetRow>, Error> {
        let rows = page
            .query(paged!(
                "SELECT * FROM assets
                 WHERE (CAST($4 AS TEXT) IS NULL OR state = $4) AND (CAST($5 AS TEXT) IS NULL OR bucket = $5)
                   AND (CAST($6 AS TEXT) IS NULL OR LOWER(name) LIKE $6 ESCAPE '!') AND ",
                "created_at",
                "id"
            ))
            .bind(filter.state.map(AssetState::as_str))
            .bind(filter.bucket.as_deref())
            .bind(filter.name.as_deref().map(pattern))
            .fetch_all(&self.readers)
            .await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(items, |row| Cursor { created_at: row.created_at, id: row.id.to_string() }))
    }

    /// Keeps what a worker tells of the asset that it makes. Gives the row when the asset can be watched from now on. What can be watched
    /// of an earlier try stays until there is something better.
    ///
    /// # Errors
    /// The query fails.
    pub async fn asset_report(
        &self,
        asset: &AssetId,
        report: &AssetReport,
        now_ms: i64,
    ) -> Result<Option<AssetRow>, Error> {
        let mut tx = self.begin().await?;
        let Some(before) = maybe(&mut tx, asset.as_str()).await? else { return Ok(None) };
        let mut report = report.clone();
        if before.playable && !report.made.is_playable() {
            report.made = before.report.made.clone();
        }
        if before.report == report || before.state != AssetState::Processing {
            return Ok(None);
        }
        let json = serde_json::to_string(&report)
            .map_err(|error| Error::Value { column: "report", value: error.to_string() })?;
        let playable = report.made.is_playable();
        sql::query("UPDATE assets SET report = $1, playable = $2, updated_at = $3 WHERE id = $4")
            .bind(json)
            .bind(i64::from(playable))
            .bind(now_ms)
            .bind(asset.as_str())
            .execute(&mut tx)
            .await?;
        let first = playable && !before.playable;
        if first {
            let entry = NewEntry::transition("asset.playable", "asset", asset.as_str());
            log::append(&mut tx, &entry.detail("partial", report.made.partial), now_ms).await?;
        }
        let row = find(&mut tx, asset.as_str()).await?;
        tx.commit().await?;
        Ok(first.then_some(row))
    }

    /// Gives an asset another name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn asset_rename(&self, wanted: &str, name: &str, now_ms: i64) -> Result<AssetRow, Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        sql::query("UPDATE assets SET name = $1, updated_at = $2 WHERE id = $3")
            .bind(name)
            .bind(now_ms)
            .bind(row.id.as_str())
            .execute(&mut tx)
            .await?;
        log::append(&mut tx, &NewEntry::activity("asset.renamed", "asset", wanted).detail("name", name), now_ms)
            .await?;
        let row = find(&mut tx, wanted).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Has an asset made again, with another preset if one is given. One that can be watched can be watched until the new one is there.
    ///
    /// # Errors
    /// There is none, a worker is at it, or the query fails.
    pub async fn asset_retry(&self, wanted: &str, preset: Option<&str>, now_ms: i64) -> Result<AssetRow, Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        let state = row.state.next(AssetEvent::Retry)?;
        sql::query(
            "UPDATE assets SET state = $1, preset = $2, generation = generation + $3, problem = NULL, ready_at = NULL, updated_at = $4
             WHERE id = $5",
        )
        .bind(state.as_str())
        .bind(preset.unwrap_or(&row.preset))
        .bind(i64::from(row.state == AssetState::Ready || preset.is_some_and(|preset| preset != row.preset)))
        .bind(now_ms)
        .bind(row.id.as_str())
        .execute(&mut tx)
        .await?;
        job::create(&mut tx, &job_of(&row.id), now_ms).await?;
        log::append(&mut tx, &transition(state, &row.id), now_ms).await?;
        let row = find(&mut tx, wanted).await?;
        tx.commit().await?;
        Ok(row)
    }
}

/// An asset to be made of a file.
#[derive(Clone, Debug)]
pub(crate) struct NewAsset<'a> {
    pub(crate) id: &'a AssetId,
    pub(crate) name: &'a str,
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) size: u64,
    pub(crate) preset: &'a str,
}

/// Makes the asset and its job within a transaction; gives the one that is there of the same content.
pub(crate) async fn create(conn: &mut Conn, new: &NewAsset<'_>, now_ms: i64) -> Result<(AssetRow, bool), Error> {
    if let Some(known) = maybe(conn, new.id.as_str()).await? {
        return Ok((known, false));
    }
    sql::query(
        "INSERT INTO assets (id, name, bucket, object_key, size, preset, state, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
    )
    .bind(new.id.as_str())
    .bind(new.name)
    .bind(new.bucket)
    .bind(new.key)
    .bind(signed(new.size))
    .bind(new.preset)
    .bind(AssetState::Queued.as_str())
    .bind(now_ms)
    .execute(&mut *conn)
    .await?;
    job::create(conn, &job_of(new.id), now_ms).await?;
    let entry = transition(AssetState::Queued, new.id).detail("bucket", new.bucket).detail("key", new.key);
    log::append(conn, &entry, now_ms).await?;
    Ok((find(conn, new.id.as_str()).await?, true))
}

/// Gives the asset of a row another state, with the reason where it is one of failure.
pub(crate) async fn settle(
    conn: &mut Conn,
    row: &AssetRow,
    state: AssetState,
    problem: Option<&str>,
    now_ms: i64,
) -> Result<(), Error> {
    sql::query(
        "UPDATE assets SET state = $1, problem = $2, ready_at = CASE WHEN $1 = 'READY' THEN $3 ELSE ready_at END, updated_at = $3
         WHERE id = $4",
    )
    .bind(state.as_str())
    .bind(problem)
    .bind(now_ms)
    .bind(row.id.as_str())
    .execute(&mut *conn)
    .await?;
    if state != row.state {
        let entry = transition(state, &row.id);
        let entry = match problem {
            Some(problem) => entry.detail("problem", problem),
            None => entry,
        };
        log::append(conn, &entry, now_ms).await?;
    }
    Ok(())
}

fn job_of(asset: &AssetId) -> NewJob {
    NewJob {
        kind: JOB_ASSET,
        subject: asset.to_string(),
        arguments: "{}".to_owned(),
        priority: 0,
        attempts_max: ATTEMPTS_MAX,
    }
}

fn transition(state: AssetState, asset: &AssetId) -> NewEntry {
    let word = match state {
        AssetState::Queued => "asset.queued",
        AssetState::Processing => "asset.processing",
        AssetState::Ready => "asset.ready",
        AssetState::Failed => "asset.failed",
        AssetState::Cancelled => "asset.cancelled",
    };
    NewEntry::transition(word, "asset", asset.as_str())
}

pub(crate) async fn find(conn: &mut Conn, wanted: &str) -> Result<AssetRow, Error> {
    row::find(conn, "SELECT * FROM assets WHERE id = $1", "asset", wanted, read).await
}

pub(crate) async fn maybe(conn: &mut Conn, wanted: &str) -> Result<Option<AssetRow>, Error> {
    let row = sql::query("SELECT * FROM assets WHERE id = $1").bind(wanted).fetch_optional(conn).await?;
    row.as_ref().map(read).transpose()
}

pub(crate) fn read(row: &Row) -> Result<AssetRow, Error> {
    Ok(AssetRow {
        id: id(row, "id")?,
        name: text(row, "name")?,
        bucket: text(row, "bucket")?,
        key: text(row, "object_key")?,
        size: unsigned(row, "size")?,
        preset: text(row, "preset")?,
        state: word(row, "state", AssetState::parse)?,
        generation: unsigned(row, "generation")?,
        report: json(row, "report")?,
        playable: flag(row, "playable")?,
        problem: optional_text(row, "problem")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
        ready_at: optional_integer(row, "ready_at")?,
    })
}
