//! Captions that are added to assets, beside those of their files.

use anabranch_model::{AssetId, AssetState, AssetTrack};

use crate::asset;
use crate::job::{self, JOB_CAPTIONS, NewJob};
use crate::log::{self, NewEntry};
use crate::row::{flag, integer, optional_text, text, unsigned};
use crate::sql::{self, Conn, Row};
use crate::{Db, Error};

/// Captions of one asset in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptionRow {
    /// Language tag.
    pub language: String,
    /// For people.
    pub label: String,
    /// Whether viewers who do not choose get them.
    pub preferred: bool,
    /// Whether they translate only what every viewer needs.
    pub forced: bool,
    /// Part of the names of their objects: by their content.
    pub mark: String,
    /// How many.
    pub cues: u32,
    /// Key of the file that they are of, in the bucket of the asset's, if they came as one.
    pub key: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

impl Db {
    /// The captions that were added to an asset, by language.
    ///
    /// # Errors
    /// There is no such asset, or the query fails.
    pub async fn captions(&self, asset: &str) -> Result<Vec<CaptionRow>, Error> {
        let mut conn = self.readers.acquire().await?;
        let row = asset::find(&mut conn, asset).await?;
        all(&mut conn, &row.id).await
    }

    /// Adds captions to an asset, or replaces those of the same language, and has them published. Gives the mark of those that were
    /// replaced by others.
    ///
    /// # Errors
    /// There is no such asset, it has `most` already, or the query fails.
    pub async fn caption_put(
        &self,
        asset: &AssetId,
        new: &CaptionRow,
        most: usize,
        now_ms: i64,
    ) -> Result<Option<String>, Error> {
        let mut tx = self.begin().await?;
        let row = asset::find(&mut tx, asset.as_str()).await?;
        let known = all(&mut tx, asset).await?;
        let before = known.iter().find(|known| known.language == new.language);
        if before.is_none() && known.len() >= most {
            let remedy = format!("it has captions in {most} languages: remove some");
            return Err(Error::NotNow { subject: "asset", name: row.name, remedy });
        }
        sql::query(
            "INSERT INTO asset_captions (asset_id, language, label, preferred, forced, mark, cues, object_key, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
             ON CONFLICT (asset_id, language) DO UPDATE SET label = excluded.label, preferred = excluded.preferred,
                 forced = excluded.forced, mark = excluded.mark, cues = excluded.cues, object_key = excluded.object_key,
                 updated_at = excluded.updated_at",
        )
        .bind(asset.as_str())
        .bind(&new.language)
        .bind(&new.label)
        .bind(i64::from(new.preferred))
        .bind(i64::from(new.forced))
        .bind(&new.mark)
        .bind(i64::from(new.cues))
        .bind(new.key.as_deref())
        .bind(now_ms)
        .execute(&mut tx)
        .await?;
        publish(&mut tx, asset, row.state, now_ms).await?;
        let entry = NewEntry::activity("asset.captions_added", "asset", asset.as_str());
        log::append(&mut tx, &entry.detail("language", new.language.as_str()), now_ms).await?;
        tx.commit().await?;
        Ok(before.map(|before| before.mark.clone()).filter(|mark| *mark != new.mark))
    }

    /// Removes captions of an asset, and has those published that are left. Gives their mark.
    ///
    /// # Errors
    /// There are none, or the query fails.
    pub async fn caption_delete(&self, wanted: &str, language: &str, now_ms: i64) -> Result<(AssetId, String), Error> {
        let mut tx = self.begin().await?;
        let row = asset::find(&mut tx, wanted).await?;
        let known = all(&mut tx, &row.id).await?;
        let Some(found) = known.into_iter().find(|known| known.language == language) else {
            return Err(Error::NotFound { subject: "captions", wanted: language.to_owned() });
        };
        sql::query("DELETE FROM asset_captions WHERE asset_id = $1 AND language = $2")
            .bind(row.id.as_str())
            .bind(language)
            .execute(&mut tx)
            .await?;
        publish(&mut tx, &row.id, row.state, now_ms).await?;
        let entry = NewEntry::activity("asset.captions_removed", "asset", row.id.as_str());
        log::append(&mut tx, &entry.detail("language", language), now_ms).await?;
        tx.commit().await?;
        Ok((row.id, found.mark))
    }

    /// Keeps which captions viewers are shown, those of the file among them. False when other captions were added or removed meanwhile,
    /// than those with these marks.
    ///
    /// # Errors
    /// The query fails.
    pub async fn captions_published(
        &self,
        asset: &AssetId,
        marks: &[String],
        shown: Vec<AssetTrack>,
        now_ms: i64,
    ) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let Some(row) = asset::maybe(&mut tx, asset.as_str()).await? else { return Ok(true) };
        let mut report = row.report;
        report.made.captions = shown;
        let json = serde_json::to_string(&report)
            .map_err(|error| Error::Value { column: "report", value: error.to_string() })?;
        sql::query("UPDATE assets SET report = $1, updated_at = $2 WHERE id = $3")
            .bind(json)
            .bind(now_ms)
            .bind(asset.as_str())
            .execute(&mut tx)
            .await?;
        let now = all(&mut tx, asset).await?;
        tx.commit().await?;
        Ok(now.len() == marks.len() && now.iter().all(|row| marks.contains(&row.mark)))
    }
}

/// Has the captions of an asset published, if there is something to publish them with: otherwise they are when all of it is made.
async fn publish(conn: &mut Conn, asset: &AssetId, state: AssetState, now_ms: i64) -> Result<(), Error> {
    if state == AssetState::Ready {
        job::create(conn, &job_of(asset), now_ms).await?;
    }
    Ok(())
}

/// All of an asset is made: captions that were added to it come to it again.
pub(crate) async fn follow(conn: &mut Conn, asset: &AssetId, now_ms: i64) -> Result<(), Error> {
    if !all(conn, asset).await?.is_empty() {
        job::create(conn, &job_of(asset), now_ms).await?;
    }
    Ok(())
}

fn job_of(asset: &AssetId) -> NewJob {
    NewJob {
        kind: JOB_CAPTIONS,
        subject: asset.to_string(),
        arguments: "{}".to_owned(),
        priority: 10,
        // It is quick, and done again for as long as captions are added meanwhile.
        attempts_max: u32::MAX >> 1,
    }
}

async fn all(conn: &mut Conn, asset: &AssetId) -> Result<Vec<CaptionRow>, Error> {
    let rows = sql::query("SELECT * FROM asset_captions WHERE asset_id = $1 ORDER BY language")
        .bind(asset.as_str())
        .fetch_all(conn)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<CaptionRow, Error> {
    Ok(CaptionRow {
        language: text(row, "language")?,
        label: text(row, "label")?,
        preferred: flag(row, "preferred")?,
        forced: flag(row, "forced")?,
        mark: text(row, "mark")?,
        cues: unsigned(row, "cues")?,
        key: optional_text(row, "object_key")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
    })
}
