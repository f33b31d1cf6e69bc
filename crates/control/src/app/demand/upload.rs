//! Uploads that go on over several requests (tus 1.0): begun, gone on with, and at the end an object of a bucket.

use std::sync::Arc;
use std::time::Duration;

use anabranch_db::UploadRow;
use anabranch_model::UploadId;
use anabranch_store::buckets::{Adopt, Attributes, BucketError, Inspector, MAX_KEY_BYTES};
use anabranch_store::drafts::{Draft, DraftError};
use anabranch_store::key;
use axum::body::Bytes;
use tokio::time::{Instant, sleep};

use super::arrivals::PRESET;
use super::metadata::Metadata;
use super::upload_error::UploadError;
use crate::app::{App, Error};
use crate::chain::chain;

/// Largest file, in bytes: as large as S3 takes.
pub(crate) const SIZE_MAX: u64 = 5 << 40;

/// How long an upload may rest, in milliseconds.
const RESTS_MS: i64 = 24 * 60 * 60 * 1000;

/// How long one that is done is still told of, in milliseconds: for a sender that has missed the last answer.
const TOLD_MS: i64 = 10 * 60 * 1000;

/// How long whoever asks where an upload is waits for a request that is ending.
const ENDING: Duration = Duration::from_secs(2);

/// Time between two looks meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// An upload to begin.
#[derive(Debug)]
pub(crate) struct UploadCreate {
    /// In bytes; none until it is told.
    pub(crate) size: Option<u64>,
    /// As it was sent, to be told again.
    pub(crate) metadata: String,
}

/// Where an upload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) id: String,
    /// Bytes that are there.
    pub(crate) offset: u64,
    /// In bytes; none until it is told.
    pub(crate) size: Option<u64>,
    /// As it was sent.
    pub(crate) metadata: String,
    /// Unix milliseconds; then it is forgotten.
    pub(crate) expires_ms: i64,
}

/// An upload that a request adds to. What it took is kept however the request ends, if there is no checksum to hold against it.
pub(crate) struct Receiving {
    app: Arc<App>,
    row: UploadRow,
    draft: Draft,
    /// Whether it counts only as a whole.
    whole: bool,
}

impl App {
    /// Begins an upload. Nothing of its bytes is there yet.
    pub(crate) async fn upload_create(self: &Arc<Self>, new: &UploadCreate) -> Result<Receiving, Error> {
        if new.size.is_some_and(|size| size > SIZE_MAX) {
            return Err(UploadError::TooLong(SIZE_MAX).into());
        }
        let told = Metadata::parse(&new.metadata).map_err(|why| Error::invalid("Upload-Metadata", why))?;
        if let Some(detail) = told.preset().and_then(|preset| self.unknown_preset(preset)) {
            return Err(Error::invalid("Upload-Metadata", detail));
        }
        let bucket = told.bucket().unwrap_or(key::UPLOADS);
        if self.db.bucket_find(bucket).await?.house {
            return Err(Error::Conflict(format!("bucket {bucket} is the system's own: upload to another")));
        }
        let (id, now) = (UploadId::random(), self.clock.now_ms());
        let object_key = told.key().unwrap_or(id.as_str());
        if object_key.len() > MAX_KEY_BYTES {
            return Err(BucketError::InvalidKey { len: object_key.len() }.into());
        }
        let row = UploadRow {
            bucket: bucket.to_owned(),
            key: object_key.to_owned(),
            id,
            size: new.size,
            metadata: new.metadata.clone(),
            created_at: now,
            expires_at: now.saturating_add(RESTS_MS),
        };
        let mut draft = self.media.buckets.drafts().create(row.id.as_str()).await.map_err(failed)?;
        let ready = async {
            draft.room(row.size.unwrap_or(0)).await.map_err(failed)?;
            Ok(self.db.upload_create(&row).await?)
        };
        if let Err(error) = ready.await {
            drop(draft);
            self.forget(row.id.as_str()).await;
            return Err(error);
        }
        Ok(Receiving { app: self.clone(), row, draft, whole: false })
    }

    /// Where an upload is. One of which all is there is settled first.
    pub(crate) async fn upload_show(self: &Arc<Self>, wanted: &str) -> Result<Upload, Error> {
        let row = self.upload_row(wanted).await?;
        match self.draft(&row, Instant::now() + ENDING).await? {
            Some(draft) => Receiving { app: self.clone(), row, draft, whole: false }.settle().await,
            None => Ok(finished(&row)),
        }
    }

    /// Takes hold of an upload to add to it from `offset` on. `size` is what the sender says of it now.
    pub(crate) async fn upload_open(
        self: &Arc<Self>,
        wanted: &str,
        offset: u64,
        size: Option<u64>,
    ) -> Result<Receiving, Error> {
        let mut row = self.upload_row(wanted).await?;
        let Some(mut draft) = self.draft(&row, Instant::now()).await? else {
            let has = row.size.unwrap_or(0);
            return Err(UploadError::Offset { has, offset }.into());
        };
        if draft.size() != offset {
            return Err(UploadError::Offset { has: draft.size(), offset }.into());
        }
        if let Some(told) = size {
            let refused = |why: String| Error::from(UploadError::Size { told, why });
            match row.size {
                Some(known) if known != told => return Err(refused(format!("it was said to have {known}"))),
                _ if told < offset => return Err(refused(format!("{offset} are there"))),
                _ if told > SIZE_MAX => return Err(UploadError::TooLong(SIZE_MAX).into()),
                Some(_) => {}
                None => {
                    draft.room(told - offset).await.map_err(failed)?;
                    row.size = Some(told);
                }
            }
        }
        row.expires_at = self.clock.now_ms().saturating_add(RESTS_MS);
        self.db.upload_touch(&row.id, row.size, row.expires_at).await?;
        Ok(Receiving { app: self.clone(), row, draft, whole: false })
    }

    /// Ends an upload and removes what has come of it. An object that was made of it stays.
    pub(crate) async fn upload_delete(&self, wanted: &str) -> Result<(), Error> {
        let row = self.upload_row(wanted).await?;
        self.media.buckets.drafts().remove(row.id.as_str()).await.map_err(failed)?;
        self.db.upload_delete(&row.id).await?;
        Ok(())
    }

    /// Ends uploads that nobody has gone on with; those of which all is there become objects. Returns how many were given up.
    pub(super) async fn uploads_expire(self: &Arc<Self>) -> Result<usize, Error> {
        let mut given_up = 0;
        for row in self.db.uploads_expired(self.clock.now_ms()).await? {
            let id = row.id.clone();
            match self.draft(&row, Instant::now()).await {
                Ok(Some(draft)) => {
                    let is_whole = row.size == Some(draft.size());
                    let receiving = Receiving { app: self.clone(), row, draft, whole: false };
                    if !is_whole {
                        given_up += 1;
                    } else if let Err(error) = receiving.settle().await {
                        tracing::warn!(upload.id = %id, error = chain(&error), "a whole upload cannot become an object and is given up");
                    }
                }
                Ok(None) | Err(Error::Upload(UploadError::NotFound(_))) => {}
                // It goes on.
                Err(Error::Upload(UploadError::Locked(_))) => continue,
                Err(error) => return Err(error),
            }
            self.media.buckets.drafts().remove(id.as_str()).await.map_err(failed)?;
            self.db.upload_delete(&id).await?;
        }
        Ok(given_up)
    }

    /// Forgets the uploads to a bucket that are done, and have long been objects.
    pub(super) async fn uploads_forget(&self, bucket: &str) -> Result<(), Error> {
        let drafts = self.media.buckets.drafts();
        loop {
            let mut forgotten = false;
            for row in self.db.uploads_to(bucket).await? {
                if drafts.is_done(row.id.as_str()).await.map_err(failed)? {
                    drafts.remove(row.id.as_str()).await.map_err(failed)?;
                    self.db.upload_delete(&row.id).await?;
                    forgotten = true;
                }
            }
            if !forgotten {
                return Ok(());
            }
        }
    }

    async fn upload_row(&self, wanted: &str) -> Result<UploadRow, Error> {
        let not_found = || Error::from(UploadError::NotFound(wanted.chars().take(64).collect()));
        match self.db.upload_find(wanted).await {
            Ok(row) if row.expires_at >= self.clock.now_ms() => Ok(row),
            Ok(_) | Err(anabranch_db::Error::NotFound { .. }) => Err(not_found()),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes of an upload; none when they have become an object. Waits until `patience` for who has hold of it.
    async fn draft(&self, row: &UploadRow, patience: Instant) -> Result<Option<Draft>, Error> {
        let (drafts, id) = (self.media.buckets.drafts(), row.id.as_str());
        loop {
            match drafts.open(id).await {
                Ok(draft) => return Ok(Some(draft)),
                Err(DraftError::NoSuchDraft { .. }) if drafts.is_done(id).await.map_err(failed)? => return Ok(None),
                Err(DraftError::Busy { .. }) if Instant::now() < patience => sleep(LOOK).await,
                Err(error) => return Err(failed(error)),
            }
        }
    }

    async fn forget(&self, id: &str) {
        if let Err(error) = self.media.buckets.drafts().remove(id).await {
            tracing::warn!(upload.id = id, error = chain(&error), "what is left of an upload cannot be removed");
        }
    }
}

impl Receiving {
    /// Begins to take bytes; `checksum` is held against all that come.
    pub(crate) async fn begin(&mut self, checksum: Option<Box<dyn Inspector>>) -> Result<(), Error> {
        self.whole = checksum.is_some();
        self.draft.begin(checksum).await.map_err(failed)
    }

    /// Whether so many bytes more are too many.
    pub(crate) fn check_length(&self, more: u64) -> Result<(), Error> {
        let most = self.row.size.unwrap_or(SIZE_MAX);
        if self.draft.size().saturating_add(more) > most { Err(UploadError::TooLong(most).into()) } else { Ok(()) }
    }

    /// Takes the next bytes.
    pub(crate) async fn take(&mut self, bytes: Bytes) -> Result<(), Error> {
        if let Err(error) = self.check_length(bytes.len() as u64) {
            self.draft.rewind().await.map_err(failed)?;
            return Err(error);
        }
        self.draft.write(bytes).await.map_err(failed)
    }

    /// Ends before all has come; `why` is answered unless worse happens.
    pub(crate) async fn broke(mut self, why: impl Into<Error>) -> Error {
        let kept = if self.whole { self.draft.rewind().await } else { self.draft.keep().await.map(drop) };
        kept.map_or_else(failed, |()| why.into())
    }

    /// Ends when all of the request has come. An upload that is whole then is an object of its bucket when this returns.
    pub(crate) async fn end(mut self) -> Result<Upload, Error> {
        self.draft.keep().await.map_err(failed)?;
        self.settle().await
    }

    async fn settle(self) -> Result<Upload, Error> {
        let Self { app, mut row, draft, .. } = self;
        let offset = draft.size();
        if row.size != Some(offset) {
            let UploadRow { id, size, metadata, expires_at, .. } = row;
            return Ok(Upload { id: id.into(), offset, size, metadata, expires_ms: expires_at });
        }
        let told = Metadata::parse(&row.metadata).unwrap_or_default();
        let mut attributes = told.media_type().map_or_else(Attributes::default, Attributes::of_type);
        attributes.user.extend(told.preset().map(|preset| (PRESET.to_owned(), preset.to_owned())));
        let buckets = &app.media.buckets;
        let info = buckets.adopt(&row.bucket, &row.key, draft.path(), Adopt::Link, attributes, None).await?;
        tracing::info!(upload.id = %row.id, bucket = row.bucket, key = row.key, size = info.size, "upload is whole");
        draft.done().await.map_err(failed)?;
        row.expires_at = app.clock.now_ms().saturating_add(TOLD_MS);
        app.db.upload_touch(&row.id, row.size, row.expires_at).await?;
        Ok(finished(&row))
    }
}

fn finished(row: &UploadRow) -> Upload {
    let (id, metadata) = (row.id.to_string(), row.metadata.clone());
    Upload { id, offset: row.size.unwrap_or(0), size: row.size, metadata, expires_ms: row.expires_at }
}

fn failed(error: DraftError) -> Error {
    match error {
        DraftError::NoSuchDraft { id } => UploadError::NotFound(id).into(),
        DraftError::Busy { id } => UploadError::Locked(id).into(),
        DraftError::TooMany => Error::Busy(error.to_string()),
        DraftError::Bucket(BucketError::Digest { .. }) => UploadError::Checksum.into(),
        DraftError::Bucket(error) => error.into(),
    }
}
