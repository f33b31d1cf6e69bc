//! Captions that are added to assets: by a request, or as files beside that of the asset.

use anabranch_db::{ArrivalRow, CaptionRow, Error as DbError, NewArrival};
use anabranch_model::{ArrivalState, AssetId};
use anabranch_store::buckets::{Attributes, BucketError, Condition, ListQuery, ObjectInfo, Put};
use anabranch_store::key;
use axum::body::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::Caption;
use super::webvtt;
use crate::app::view::List;
use crate::app::{App, Error, names};
use crate::secret::sha256;
use crate::time;

/// Languages of one asset at most.
const LANGUAGES_MAX: usize = 64;

/// Largest file of captions in a bucket, in bytes.
const FILE_MAX_BYTES: u64 = 2 << 20;

/// Files beside that of an asset that are looked at.
const SIDE_CARS_MAX: usize = 200;

/// Characters of the mark of captions: of their SHA-256 in hexadecimal.
const MARK_CHARS: usize = 16;

/// Language of captions of which nobody says one (ISO 639-2).
const UNKNOWN: &str = "und";

/// Captions to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaptionPut {
    /// WebVTT or SubRip, whole.
    text: String,
    /// Name for people; the language if it is missing.
    label: Option<String>,
    /// Whether viewers who do not choose get them.
    #[serde(default)]
    is_default: bool,
    /// Whether they translate only what every viewer needs.
    #[serde(default)]
    is_forced: bool,
}

impl App {
    pub(crate) async fn caption_list(&self, wanted: &str) -> Result<List<Caption>, Error> {
        let items = self.db.captions(wanted).await?.into_iter().map(view).collect();
        Ok(List { items, next: None })
    }

    /// Adds captions to an asset, or replaces those of the same language. Viewers get them in a moment, or when the asset is made.
    pub(crate) async fn caption_put(
        &self,
        wanted: &str,
        language: &str,
        request: &CaptionPut,
    ) -> Result<Caption, Error> {
        let asset = self.db.asset_find(wanted).await?.id;
        if !is_language(language) {
            let detail = format!("a language is a tag such as en or pt-BR (BCP 47): {language:?}");
            return Err(Error::invalid("language", detail));
        }
        let read = webvtt::read(&request.text).map_err(|why| Error::invalid("text", why))?;
        let label = request.label.as_deref().map_or_else(|| Ok(language.to_owned()), names::name)?;
        let (preferred, forced) = (request.is_default, request.is_forced);
        self.caption_add(&asset, read, language, label, (preferred, forced), None).await
    }

    pub(crate) async fn caption_delete(&self, wanted: &str, language: &str) -> Result<(), Error> {
        let (asset, mark) = self.db.caption_delete(wanted, language, self.clock.now_ms()).await?;
        self.jobs_wake.notify_one();
        self.changed();
        self.caption_forget(&asset, &mark).await
    }

    async fn caption_add(
        &self,
        asset: &AssetId,
        read: webvtt::Captions,
        language: &str,
        label: String,
        (preferred, forced): (bool, bool),
        of: Option<&str>,
    ) -> Result<Caption, Error> {
        let now = self.clock.now_ms();
        let content = format!("{language}\0{label}\0{preferred}\0{forced}\0{}", read.text);
        let mark: String = sha256(content.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let row = CaptionRow {
            language: language.to_owned(),
            label,
            preferred,
            forced,
            mark: mark[..MARK_CHARS].to_owned(),
            cues: u32::try_from(read.cues).unwrap_or(u32::MAX),
            key: of.map(str::to_owned),
            created_at: now,
            updated_at: now,
        };
        // What a row names is there.
        let object = object(asset, &row.mark);
        let put = Put { attributes: Attributes::of_type("text/vtt"), ..Put::default() };
        self.media.buckets.put_bytes(key::VOD, &object, put, Bytes::from(read.text)).await?;
        match self.db.caption_put(asset, &row, LANGUAGES_MAX, now).await {
            Ok(None) => {}
            Ok(Some(before)) => self.caption_forget(asset, &before).await?,
            Err(error) => {
                self.caption_forget(asset, &row.mark).await?;
                return Err(error.into());
            }
        }
        self.jobs_wake.notify_one();
        self.changed();
        Ok(view(row))
    }

    /// Removes the words of captions that no row names any more.
    async fn caption_forget(&self, asset: &AssetId, mark: &str) -> Result<(), Error> {
        let named = match self.db.captions(asset.as_str()).await {
            Err(DbError::NotFound { .. }) => false,
            rows => rows?.iter().any(|row| row.mark == mark),
        };
        if !named {
            self.media.buckets.delete(key::VOD, &object(asset, mark), Condition::None).await?;
        }
        Ok(())
    }

    /// A file of captions has arrived: it is added to the asset of the file beside it, or waits for one.
    pub(super) async fn side_car_arrived(&self, bucket: &str, info: &ObjectInfo) -> Result<(), Error> {
        let Some(preset) = self.db.bucket_find(bucket).await?.preset else { return Ok(()) };
        let known = self.db.arrival_find(bucket, &info.key).await?;
        if known.is_some_and(|row| row.version == info.etag) {
            return Ok(());
        }
        let mut asset = None;
        for (stem, _) in stems(&info.key) {
            // A slash follows a full stop: these are all keys that go on with one.
            let beside = self.db.arrivals_between(bucket, &format!("{stem}."), &format!("{stem}/")).await?;
            let is_media = |row: &&ArrivalRow| stem_of(&row.key) == Some(stem) && !is_side_car(&row.key);
            asset = asset.or(beside.iter().find(is_media).and_then(|row| row.asset.clone()));
        }
        let new = NewArrival { bucket, key: &info.key, version: &info.etag, size: info.size, preset: Some(&preset) };
        self.side_car_added(&new, asset.as_ref()).await
    }

    /// A file has become an asset: captions that lie beside it are added.
    pub(crate) async fn side_cars_of(&self, media: &ArrivalRow, asset: &AssetId) -> Result<(), Error> {
        let Some(stem) = stem_of(&media.key) else { return Ok(()) };
        let query = ListQuery { prefix: format!("{stem}."), limit: SIDE_CARS_MAX, ..ListQuery::default() };
        for info in self.media.buckets.list(&media.bucket, query).await?.objects {
            if is_side_car(&info.key) && stems(&info.key).iter().any(|(of, _)| *of == stem) {
                let preset = media.preset.as_deref();
                let (bucket, key, version, size) =
                    (media.bucket.as_str(), info.key.as_str(), info.etag.as_str(), info.size);
                self.side_car_added(&NewArrival { bucket, key, version, size, preset }, Some(asset)).await?;
            }
        }
        Ok(())
    }

    async fn side_car_added(&self, new: &NewArrival<'_>, asset: Option<&AssetId>) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let Some(asset) = asset else {
            tracing::info!(bucket = new.bucket, key = new.key, "captions wait for the file that they are of");
            return Ok(self.db.arrival_set(new, ArrivalState::Waiting, None, None, now).await?);
        };
        let why = match self.side_car(new, asset).await {
            Ok(caption) => {
                let language = caption.language;
                tracing::info!(asset.id = %asset, bucket = new.bucket, key = new.key, language, "captions added");
                // They are no reason for the asset to stay when its own file goes.
                return Ok(self.db.arrival_set(new, ArrivalState::Known, None, None, now).await?);
            }
            Err(Error::Invalid { detail, .. }) => detail,
            Err(Error::Db(error @ (DbError::NotNow { .. } | DbError::NotFound { .. }))) => error.to_string(),
            Err(error) => return Err(error),
        };
        tracing::warn!(bucket = new.bucket, key = new.key, reason = why, "captions cannot be added");
        Ok(self.db.arrival_set(new, ArrivalState::Failed, None, Some(&why), now).await?)
    }

    async fn side_car(&self, new: &NewArrival<'_>, asset: &AssetId) -> Result<Caption, Error> {
        let refuse = |why: String| Error::invalid("text", why);
        if new.size > FILE_MAX_BYTES {
            return Err(refuse(format!("captions have at most {FILE_MAX_BYTES} bytes: {}", new.size)));
        }
        let object = match self.media.buckets.get(new.bucket, new.key).await {
            Err(BucketError::NoSuchKey { .. }) => return Err(refuse("the file is gone".to_owned())),
            object => object?,
        };
        let bytes = object.bytes(FILE_MAX_BYTES).await?;
        let text = webvtt::decode(&bytes).map_err(refuse)?;
        let language = stems(new.key).into_iter().find_map(|(_, language)| language).unwrap_or(UNKNOWN);
        let read = webvtt::read(&text).map_err(refuse)?;
        self.caption_add(asset, read, language, language.to_owned(), (false, false), Some(new.key)).await
    }
}

fn object(asset: &AssetId, mark: &str) -> String {
    format!("{}{}", key::asset_prefix(asset.as_str()), key::asset_captions(mark))
}

/// Whether a key is that of captions.
pub(super) fn is_side_car(key: &str) -> bool {
    let extension = key.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("vtt" | "srt"))
}

/// A key without its extension; none when it has no name or none.
fn stem_of(key: &str) -> Option<&str> {
    let (stem, extension) = key.rsplit_once('.')?;
    (!stem.is_empty() && !stem.ends_with('/') && !extension.contains('/')).then_some(stem)
}

/// What the file may be called that captions are of, without its extension, and their language: `a.en.srt` is of `a` in English, or of `a.en`.
fn stems(key: &str) -> Vec<(&str, Option<&str>)> {
    let Some(stem) = stem_of(key) else { return Vec::new() };
    let tagged = stem.rsplit_once('.').filter(|(of, tag)| is_language(tag) && stem_of(stem) == Some(of));
    [Some((stem, None)), tagged.map(|(of, tag)| (of, Some(tag)))].into_iter().flatten().collect()
}

/// Whether a text has the form of a language tag (RFC 5646 §2.1), and can be part of a name.
fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    tag.len() <= 35
        && (2..=3).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn view(row: CaptionRow) -> Caption {
    Caption {
        language: row.language,
        label: row.label,
        is_default: row.preferred,
        is_forced: row.forced,
        cues: row.cues,
        key: row.key,
        created_at: time::render_ms(row.created_at),
        updated_at: time::render_ms(row.updated_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beside_each_other_are_known() {
        assert_eq!(stems("a/b.en.vtt"), [("a/b.en", None), ("a/b", Some("en"))]);
        assert_eq!(stems("a/holiday.2024.srt"), [("a/holiday.2024", None)]);
        assert_eq!(stems("b.pt-BR.srt"), [("b.pt-BR", None), ("b", Some("pt-BR"))]);
        assert_eq!(stems(".en.srt"), [(".en", None)]);
        assert!(stems("a.b/c").is_empty() && stems("a/.srt").is_empty());
        assert!(is_side_car("x.SRT") && !is_side_car("x.mp4") && !is_side_car("srt"));
    }

    #[test]
    fn languages_are_tags() {
        assert!(["en", "deu", "pt-BR", "zh-Hant-TW"].iter().all(|tag| is_language(tag)));
        assert!(
            ["", "e", "english", "en_US", "en-", "en/..", "2024", "en-123456789"].iter().all(|tag| !is_language(tag))
        );
    }
}
