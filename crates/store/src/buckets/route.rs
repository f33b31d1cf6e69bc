//! What [`Buckets`] does where a bucket's objects are elsewhere.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::Buckets;
use super::opened::{Content, Opened};
use super::remote::{Backend, BackendInfo, Backends, Likely, Receiving, Remote, Remotes};
use super::types::{
    Attributes, BucketError, Condition, CopyAttributes, Event, ListQuery, MAX_KEY_BYTES, MAX_PAGE, ObjectInfo,
    PartInfo, Put,
};
use super::writer::Writer;
use crate::local::io_error;

/// Bytes of a file that are read at once.
const READ_BYTES: usize = 256 * 1024;

/// Largest object that a service copies by one request, in bytes (S3: CopyObject).
const MAX_COPIED_BYTES: u64 = 5 * 1024 * 1024 * 1024;

/// Where the bytes of a copy come from.
enum Source {
    File(tokio::fs::File),
    Pieces(super::Pieces),
}

impl Source {
    /// The next bytes; none at the end.
    async fn next(&mut self, left: u64) -> Result<Option<Bytes>, BucketError> {
        match self {
            Self::Pieces(pieces) => pieces.next().await.transpose(),
            Self::File(_) if left == 0 => Ok(None),
            Self::File(file) => {
                let mut piece = vec![0; usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES)];
                let read = file.read(&mut piece).await.map_err(io_error("read", Path::new("a source")))?;
                piece.truncate(read);
                Ok((read > 0).then(|| Bytes::from(piece)))
            }
        }
    }
}

pub(super) fn check_key(key: &str) -> Result<(), BucketError> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES { Err(BucketError::InvalidKey { len: key.len() }) } else { Ok(()) }
}

impl Buckets {
    /// The same buckets, of which some are at services elsewhere. To be called before there are clones.
    ///
    /// # Errors
    /// [`BucketError::Backend`] when what was said of a bucket cannot be used, or [`BucketError::Store`].
    pub fn with_remotes(mut self, remotes: Remotes) -> Result<Self, BucketError> {
        self.backends = Some(Arc::new(Backends::open(self.disk.store.clone(), remotes)?));
        Ok(self)
    }

    /// Says that the objects of a bucket, which is there and has none, are elsewhere. Nothing is asked of the service yet.
    ///
    /// # Errors
    /// [`BucketError::Backend`], [`BucketError::BucketNotEmpty`], [`BucketError::NoSuchBucket`] or [`BucketError::Store`].
    pub async fn backend_set(&self, bucket: &str, backend: &Backend) -> Result<(), BucketError> {
        let page = self.list(bucket, ListQuery { limit: 1, ..ListQuery::default() });
        if self.remote(bucket)?.is_none() && !page.await?.objects.is_empty() {
            return Err(BucketError::BucketNotEmpty { bucket: bucket.to_owned() });
        }
        let backends = self.backends()?.clone();
        let (bucket, backend) = (bucket.to_owned(), backend.clone());
        self.blocking(move |_| backends.set(&bucket, &backend)).await
    }

    /// Whether a bucket may be said to be there.
    ///
    /// # Errors
    /// [`BucketError::Backend`] or [`BucketError::InvalidBucket`].
    pub fn backend_check(&self, bucket: &str, backend: &Backend) -> Result<(), BucketError> {
        self.backends()?.check(bucket, backend)
    }

    /// Where the objects of a bucket are; none when they are here.
    ///
    /// # Errors
    /// What was said of the bucket cannot be used.
    pub fn backend(&self, bucket: &str) -> Result<Option<BackendInfo>, BucketError> {
        Ok(self.remote(bucket)?.map(|remote| remote.info()))
    }

    /// Names of the buckets that are known to be elsewhere.
    #[must_use]
    pub fn remote_names(&self) -> Vec<String> {
        self.backends.as_ref().map(|backends| backends.names()).unwrap_or_default()
    }

    /// Whether [`Buckets::bucket_detach`] may be called.
    ///
    /// # Errors
    /// [`BucketError::Backend`] when the configuration says where the bucket is.
    pub fn bucket_detach_check(&self, bucket: &str) -> Result<(), BucketError> {
        self.backends()?.check_free(bucket)
    }

    /// Forgets a bucket that is elsewhere. Nothing there is touched, and the service is not asked.
    ///
    /// # Errors
    /// [`BucketError::Backend`] when the configuration says where the bucket is, or [`BucketError::Store`].
    pub async fn bucket_detach(&self, bucket: &str) -> Result<(), BucketError> {
        self.bucket_detach_check(bucket)?;
        let (backends, bucket) = (self.backends()?.clone(), bucket.to_owned());
        self.blocking(move |disk| {
            backends.forget(&bucket)?;
            disk.bucket_delete(&bucket)
        })
        .await
    }

    /// Removes up to [`MAX_PAGE`] objects, with as few requests as can be; those that are not there are no error.
    ///
    /// # Errors
    /// As [`Buckets::delete`]; some may be gone then.
    pub async fn delete_many(&self, bucket: &str, keys: &[String]) -> Result<(), BucketError> {
        let Some(remote) = self.remote(bucket)? else {
            for key in keys {
                self.delete(bucket, key, Condition::None).await?;
            }
            return Ok(());
        };
        for keys in keys.chunks(MAX_PAGE) {
            remote.delete_many(keys).await?;
            for key in keys {
                self.disk.tell(Event::ObjectRemoved { bucket: bucket.to_owned(), key: key.clone() });
            }
        }
        Ok(())
    }

    fn backends(&self) -> Result<&Arc<Backends>, BucketError> {
        let detail = "this process knows no services elsewhere".to_owned();
        self.backends.as_ref().ok_or(BucketError::Backend { detail })
    }

    /// The service that has the bucket; none where it is here.
    pub(super) fn remote(&self, bucket: &str) -> Result<Option<Arc<Remote>>, BucketError> {
        self.backends.as_ref().map_or(Ok(None), |backends| backends.find(bucket))
    }

    pub(super) async fn bucket_delete_elsewhere(&self, bucket: &str, remote: &Remote) -> Result<(), BucketError> {
        let page = remote.list(&ListQuery { limit: 1, ..ListQuery::default() }).await?;
        if !page.objects.is_empty() {
            return Err(BucketError::BucketNotEmpty { bucket: bucket.to_owned() });
        }
        self.bucket_detach(bucket).await
    }

    pub(super) fn put_elsewhere(
        &self,
        remote: &Arc<Remote>,
        bucket: &str,
        key: &str,
        put: Put,
    ) -> Result<Writer<ObjectInfo>, BucketError> {
        put.attributes.check()?;
        check_key(key)?;
        let receiving = Receiving::new(remote.clone(), key, put)?;
        let (disk, bucket) = (self.disk.clone(), bucket.to_owned());
        Ok(Writer::start_with(|queue| async move {
            let info = receiving.run(queue).await?;
            let (key, size, etag) = (info.key.clone(), info.size, info.etag.clone());
            disk.tell(Event::ObjectCreated { bucket, key, size, etag });
            Ok(info)
        }))
    }

    pub(super) async fn delete_elsewhere(
        &self,
        remote: &Remote,
        bucket: &str,
        key: &str,
        condition: &Condition,
    ) -> Result<bool, BucketError> {
        check_key(key)?;
        // A condition is judged a moment before: the protocol has none for removing.
        let found = match remote.head(key).await {
            Ok(info) => Some(info),
            Err(BucketError::NoSuchKey { .. }) => None,
            Err(error) => return Err(error),
        };
        let holds = match condition {
            Condition::None => true,
            Condition::Absent => found.is_none(),
            Condition::Present => found.is_some(),
            Condition::Matches(etag) => found.as_ref().is_some_and(|info| info.etag == *etag),
        };
        if !holds {
            return Err(BucketError::Precondition { condition: "if-match" });
        }
        if found.is_none() {
            return Ok(false);
        }
        remote.delete(key).await?;
        self.disk.tell(Event::ObjectRemoved { bucket: bucket.to_owned(), key: key.to_owned() });
        Ok(true)
    }

    /// Within one service by the service, otherwise through here.
    pub(super) async fn copy_elsewhere(
        &self,
        (source, from): (Option<Arc<Remote>>, (&str, &str)),
        (target, to): (Option<Arc<Remote>>, (&str, &str)),
        attributes: CopyAttributes,
        condition: Condition,
    ) -> Result<ObjectInfo, BucketError> {
        check_key(to.1)?;
        let given = match attributes {
            CopyAttributes::Keep => None,
            CopyAttributes::Replace(attributes) => Some(attributes),
        };
        let likely = if source.is_some() && target.is_some() { Likely::Nothing } else { Likely::Whole };
        let Opened { info, content } = self.get_likely(from.0, from.1, likely).await?;
        if let (Some(source), Some(target)) = (&source, &target)
            && source.is_beside(target)
            && info.size <= MAX_COPIED_BYTES
            && matches!(condition, Condition::None)
        {
            target.copy_here((source, from.1), to.1, given.as_ref(), &condition).await?;
            let copied = target.head(to.1).await?;
            let (size, etag) = (copied.size, copied.etag.clone());
            self.disk.tell(Event::ObjectCreated { bucket: to.0.to_owned(), key: to.1.to_owned(), size, etag });
            return Ok(copied);
        }
        let attributes = given.unwrap_or(info.attributes);
        let put = Put { attributes, condition, size: Some(info.size), ..Put::default() };
        let mut writer = self.put(to.0, to.1, put).await?;
        let mut source = source_of(content, 0, info.size).await?;
        pour(&mut source, &mut writer, info.size).await?;
        writer.finish().await
    }

    /// The file stays where it is; its bytes are sent.
    pub(super) async fn adopt_elsewhere(
        &self,
        bucket: &str,
        key: &str,
        path: &Path,
        attributes: Attributes,
        md5: Option<[u8; 16]>,
    ) -> Result<ObjectInfo, BucketError> {
        self.send_file(bucket, key, path, Put { attributes, md5, ..Put::default() }).await
    }

    async fn send_file(&self, bucket: &str, key: &str, path: &Path, put: Put) -> Result<ObjectInfo, BucketError> {
        let failed = io_error("read", path);
        let file = tokio::fs::File::open(path).await.map_err(&failed)?;
        let meta = file.metadata().await.map_err(&failed)?;
        if !meta.is_file() {
            return Err(failed(std::io::ErrorKind::InvalidInput.into()).into());
        }
        let mut writer = self.put(bucket, key, Put { size: Some(meta.len()), ..put }).await?;
        pour(&mut Source::File(file), &mut writer, meta.len()).await?;
        writer.finish().await
    }

    pub(super) async fn part_from_elsewhere(
        &self,
        from: (&str, &str),
        range: Option<RangeInclusive<u64>>,
        to: (&str, &str),
        id: &str,
        number: u32,
    ) -> Result<PartInfo, BucketError> {
        let Opened { info, content } = self.get_likely(from.0, from.1, Likely::Nothing).await?;
        let (first, len) = match range {
            None => (0, info.size),
            Some(range) if *range.end() < info.size && range.start() <= range.end() => {
                (*range.start(), range.end() - range.start() + 1)
            }
            Some(range) => {
                return Err(BucketError::Range { first: *range.start(), last: *range.end(), size: info.size });
            }
        };
        let put = Put { size: Some(len), ..Put::default() };
        let mut writer = self.upload_part(to.0, to.1, id, number, put).await?;
        let mut source = source_of(content, first, len).await?;
        pour(&mut source, &mut writer, len).await?;
        writer.finish().await
    }

    /// Parts wait on the disk, where they are durable; the whole is sent when it is named.
    pub(super) async fn complete_elsewhere(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        parts: Vec<super::NamedPart>,
        condition: Condition,
    ) -> Result<ObjectInfo, BucketError> {
        let place = (bucket.to_owned(), key.to_owned(), id.to_owned());
        let whole = self.blocking(move |disk| disk.upload_join(&place.0, &place.1, &place.2, &parts)).await?;
        let put = Put { attributes: whole.attributes.clone(), condition, ..Put::default() };
        let info = self.send_file(bucket, key, &whole.temporary.0, put).await?;
        let id = id.to_owned();
        self.blocking(move |disk| {
            disk.upload_done(&id, &whole.folder);
            Ok(())
        })
        .await?;
        Ok(info)
    }
}

async fn source_of(content: Content, first: u64, len: u64) -> Result<Source, BucketError> {
    match content {
        Content::File(mut file) => {
            let at = std::io::SeekFrom::Start(first);
            file.seek(at).await.map_err(io_error("read", Path::new("a source")))?;
            Ok(Source::File(file))
        }
        Content::Remote(object) => Ok(Source::Pieces(object.pieces(first, len).await?)),
    }
}

async fn pour<T: Send + 'static>(source: &mut Source, writer: &mut Writer<T>, len: u64) -> Result<(), BucketError> {
    let mut left = len;
    while let Some(piece) = source.next(left).await? {
        left = left.saturating_sub(piece.len() as u64);
        writer.write(piece).await?;
    }
    Ok(())
}
