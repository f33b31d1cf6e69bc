//! Buckets: objects under any key that S3 allows, with ETag and attributes, as files that other rooms may read by path.

mod copy;
mod disk;
mod hex;
mod list;
mod opened;
mod record;
mod remote;
mod route;
mod spelling;
#[cfg(test)]
mod tests;
pub(crate) mod types;
mod upload;
mod writer;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub use opened::{Content, Opened};
pub use remote::{
    Backend, BackendInfo, Connection, Credentials, Likely, Patience, Pieces, Problem, RemoteObject, Remotes,
};
pub use spelling::is_bucket_name;
pub use types::{
    Adopt, Attributes, BucketError, BucketInfo, Condition, CopyAttributes, Event, Inspector, ListQuery, Listing,
    Located, MAX_ATTRIBUTES_BYTES, MAX_KEY_BYTES, MAX_PAGE, MAX_PARTS, MIN_PART_BYTES, NamedPart, ObjectInfo, PartInfo,
    Put, Subscriber, UploadInfo,
};
pub use writer::Writer;

use crate::LocalStore;
use crate::drafts::Drafts;
use crate::local::io_error;
use disk::{Disk, Ready};
use hex::hex;
use remote::Backends;
use route::check_key;
use types::interrupted;
use writer::Expected;

/// The buckets of a store. Cheap to clone; all that write in one process have to be clones of one, for writers of one key wait for each other
/// only then.
///
/// The object `<key>` of a bucket is the file `bucket/<bucket>/<key>` of the store when all parts of its key are plain names
/// ([`crate::key::is_valid`]), so what is written here is read there and the other way round. Other keys have paths that no plain key has.
/// Nothing is half there at any time, also after `kill -9` or a loss of power: what returned is durable, what did not left what was before.
#[derive(Clone, Debug)]
pub struct Buckets {
    disk: Arc<Disk>,
    drafts: Drafts,
    backends: Option<Arc<Backends>>,
}

impl Buckets {
    /// The buckets of `store`; `subscriber` is told what happens to objects.
    #[must_use]
    pub fn new(store: LocalStore, subscriber: Option<Arc<dyn Subscriber>>) -> Self {
        let drafts = Drafts::new(store.clone());
        Self { disk: Arc::new(Disk::new(store, subscriber)), drafts, backends: None }
    }

    /// Files on their way in, on the same file system as the buckets: [`Buckets::adopt`] takes them without a copy.
    #[must_use]
    pub fn drafts(&self) -> &Drafts {
        &self.drafts
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// [`BucketError::InvalidBucket`], [`BucketError::BucketExists`] or [`BucketError::Store`].
    pub async fn bucket_create(&self, bucket: &str) -> Result<(), BucketError> {
        let bucket = bucket.to_owned();
        self.blocking(move |disk| disk.bucket_create(&bucket)).await
    }

    /// Removes a bucket that has no objects; its unfinished uploads go.
    ///
    /// # Errors
    /// [`BucketError::NoSuchBucket`], [`BucketError::BucketNotEmpty`], [`BucketError::InvalidBucket`] or [`BucketError::Store`].
    pub async fn bucket_delete(&self, bucket: &str) -> Result<(), BucketError> {
        if let Some(remote) = self.remote(bucket)? {
            return self.bucket_delete_elsewhere(bucket, &remote).await;
        }
        let bucket = bucket.to_owned();
        self.blocking(move |disk| disk.bucket_delete(&bucket)).await
    }

    /// What a bucket is.
    ///
    /// # Errors
    /// [`BucketError::NoSuchBucket`], [`BucketError::InvalidBucket`] or [`BucketError::Store`].
    pub async fn bucket_head(&self, bucket: &str) -> Result<BucketInfo, BucketError> {
        let bucket = bucket.to_owned();
        self.blocking(move |disk| disk.bucket_info(&bucket)).await
    }

    /// All buckets, by name.
    ///
    /// # Errors
    /// [`BucketError::Store`].
    pub async fn bucket_list(&self) -> Result<Vec<BucketInfo>, BucketError> {
        self.blocking(Disk::bucket_list).await
    }

    /// Begins to write the object `key`, of any size: memory holds a few pieces of it. [`Writer::finish`] makes it the object.
    ///
    /// # Errors
    /// [`BucketError::NoSuchBucket`], [`BucketError::InvalidBucket`], [`BucketError::InvalidKey`] or [`BucketError::AttributesTooLong`].
    pub async fn put(&self, bucket: &str, key: &str, put: Put) -> Result<Writer<ObjectInfo>, BucketError> {
        if let Some(remote) = self.remote(bucket)? {
            return self.put_elsewhere(&remote, bucket, key, put);
        }
        let Put { attributes, condition, size, md5, inspector } = put;
        attributes.check()?;
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let place = (bucket.clone(), key.clone());
        self.blocking(move |disk| disk.look(&place.0, &place.1).map(drop)).await?;
        let finish = move |disk: &Disk, written: writer::Written| {
            let (temporary, checksums) = (written.temporary, written.checksums);
            let ready = Ready { temporary, etag: Some(hex(&written.md5)), attributes, checksums };
            disk.commit(&bucket, &key, ready, &condition)
        };
        Ok(Writer::start(self.disk.clone(), Expected { size, md5, inspector }, Box::new(finish)))
    }

    /// Writes the object `key` from memory.
    ///
    /// # Errors
    /// As [`Buckets::put`] and [`Writer::finish`].
    pub async fn put_bytes(&self, bucket: &str, key: &str, put: Put, body: Bytes) -> Result<ObjectInfo, BucketError> {
        let mut writer = self.put(bucket, key, put).await?;
        writer.write(body).await?;
        writer.finish().await
    }

    /// Opens the object `key`.
    ///
    /// # Errors
    /// [`BucketError::NoSuchKey`], [`BucketError::NoSuchBucket`], [`BucketError::InvalidBucket`], [`BucketError::InvalidKey`] or
    /// [`BucketError::Store`]; of a bucket that is elsewhere [`BucketError::Away`] and [`BucketError::Refused`], here and everywhere.
    pub async fn get(&self, bucket: &str, key: &str) -> Result<Opened, BucketError> {
        self.get_likely(bucket, key, Likely::Whole).await
    }

    /// Opens the object `key`, of which those bytes are likely to be read.
    ///
    /// # Errors
    /// As [`Buckets::get`].
    pub async fn get_likely(&self, bucket: &str, key: &str, likely: Likely) -> Result<Opened, BucketError> {
        if let Some(remote) = self.remote(bucket)? {
            check_key(key)?;
            let (info, object) = remote.open(key, likely).await?;
            return Ok(Opened { info, content: Content::Remote(object) });
        }
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let (file, info) = self.blocking(move |disk| disk.open(&bucket, &key)).await?;
        Ok(Opened { info, content: Content::File(tokio::fs::File::from_std(file)) })
    }

    /// What the object `key` is.
    ///
    /// # Errors
    /// As [`Buckets::get`].
    pub async fn head(&self, bucket: &str, key: &str) -> Result<ObjectInfo, BucketError> {
        if let Some(remote) = self.remote(bucket)? {
            check_key(key)?;
            return remote.head(key).await;
        }
        Ok(self.locate(bucket, key).await?.info)
    }

    /// Where the bytes of the object `key` are now, for tools that read files.
    ///
    /// # Errors
    /// As [`Buckets::get`]; [`BucketError::Unsendable`] for a bucket that is elsewhere ([`Buckets::backend`]).
    pub async fn locate(&self, bucket: &str, key: &str) -> Result<Located, BucketError> {
        if self.remote(bucket)?.is_some() {
            return Err(BucketError::Unsendable { what: "a path of its file: it is not here".to_owned() });
        }
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.blocking(move |disk| disk.head(&bucket, &key)).await
    }

    /// Removes the object `key`, durably; returns whether there was one.
    ///
    /// # Errors
    /// [`BucketError::Precondition`], [`BucketError::NoSuchBucket`], [`BucketError::InvalidBucket`], [`BucketError::InvalidKey`] or
    /// [`BucketError::Store`].
    pub async fn delete(&self, bucket: &str, key: &str, condition: Condition) -> Result<bool, BucketError> {
        if let Some(remote) = self.remote(bucket)? {
            return self.delete_elsewhere(&remote, bucket, key, &condition).await;
        }
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.blocking(move |disk| disk.delete(&bucket, &key, &condition)).await
    }

    /// Copies an object; `from` and `to` are bucket and key, and may be the same, which changes the attributes. The ETag is that of the
    /// source where the source has one of its bytes, and the MD5 else.
    ///
    /// # Errors
    /// As [`Buckets::get`] and [`Writer::finish`].
    pub async fn copy(
        &self,
        from: (&str, &str),
        to: (&str, &str),
        attributes: CopyAttributes,
        condition: Condition,
    ) -> Result<ObjectInfo, BucketError> {
        if let CopyAttributes::Replace(attributes) = &attributes {
            attributes.check()?;
        }
        let (source, target) = (self.remote(from.0)?, self.remote(to.0)?);
        if source.is_some() || target.is_some() {
            return self.copy_elsewhere((source, from), (target, to), attributes, condition).await;
        }
        let from = (from.0.to_owned(), from.1.to_owned());
        let to = (to.0.to_owned(), to.1.to_owned());
        self.blocking(move |disk| disk.copy((&from.0, &from.1), (&to.0, &to.1), attributes, &condition)).await
    }

    /// Makes a finished local file the object `key`. It stays where it is. Its bytes are read only where they have to be copied:
    /// without `md5` the ETag is a name of the version.
    ///
    /// # Errors
    /// [`BucketError::Store`] when it is no file that can be read, or as [`Writer::finish`].
    pub async fn adopt(
        &self,
        bucket: &str,
        key: &str,
        file: &Path,
        how: Adopt,
        attributes: Attributes,
        md5: Option<[u8; 16]>,
    ) -> Result<ObjectInfo, BucketError> {
        attributes.check()?;
        if self.remote(bucket)?.is_some() {
            return self.adopt_elsewhere(bucket, key, file, attributes, md5).await;
        }
        let (bucket, key, file) = (bucket.to_owned(), key.to_owned(), file.to_owned());
        self.blocking(move |disk| disk.adopt(&bucket, &key, &file, how, attributes, md5)).await
    }

    /// A page of the objects of a bucket. Every page looks through each folder that it begins in or comes to.
    ///
    /// # Errors
    /// [`BucketError::NoSuchBucket`], [`BucketError::InvalidBucket`] or [`BucketError::Store`].
    pub async fn list(&self, bucket: &str, query: ListQuery) -> Result<Listing, BucketError> {
        if let Some(remote) = self.remote(bucket)? {
            return remote.list(&query).await;
        }
        let bucket = bucket.to_owned();
        self.blocking(move |disk| {
            let path = disk.bucket(&bucket)?;
            Ok(list::list(&path, &query).map_err(io_error("list", &path))?)
        })
        .await
    }

    /// Begins an upload in parts; returns its id.
    ///
    /// # Errors
    /// As [`Buckets::put`], or [`BucketError::Store`].
    pub async fn upload_create(&self, bucket: &str, key: &str, attributes: Attributes) -> Result<String, BucketError> {
        attributes.check()?;
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.blocking(move |disk| disk.upload_create(&bucket, &key, attributes)).await
    }

    /// Begins to write part `number` of an upload, which replaces an earlier one of that number. Of `put` the attributes and the condition
    /// mean nothing.
    ///
    /// # Errors
    /// [`BucketError::NoSuchUpload`], [`BucketError::PartNumber`], [`BucketError::NoSuchBucket`] or [`BucketError::Store`].
    pub async fn upload_part(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        number: u32,
        put: Put,
    ) -> Result<Writer<PartInfo>, BucketError> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        let place = (bucket.clone(), key.clone(), id.clone());
        self.blocking(move |disk| disk.part_check(&place.0, &place.1, &place.2, number)).await?;
        let finish = move |disk: &Disk, written: writer::Written| disk.part_commit(&bucket, &key, &id, number, written);
        let expected = Expected { size: put.size, md5: put.md5, inspector: put.inspector };
        Ok(Writer::start(self.disk.clone(), expected, Box::new(finish)))
    }

    /// Makes bytes of an object (all of them without `range`) part `number` of an upload.
    ///
    /// # Errors
    /// As [`Buckets::get`] and [`Buckets::upload_part`], or [`BucketError::Range`].
    pub async fn upload_part_copy(
        &self,
        from: (&str, &str),
        range: Option<RangeInclusive<u64>>,
        to: (&str, &str),
        id: &str,
        number: u32,
    ) -> Result<PartInfo, BucketError> {
        if self.remote(from.0)?.is_some() {
            return self.part_from_elsewhere(from, range, to, id, number).await;
        }
        let from = (from.0.to_owned(), from.1.to_owned());
        let (to, id) = ((to.0.to_owned(), to.1.to_owned()), id.to_owned());
        self.blocking(move |disk| disk.part_copy((&from.0, &from.1), range, (&to.0, &to.1), &id, number)).await
    }

    /// Parts of an upload after number `after`, by number, at most `limit`.
    ///
    /// # Errors
    /// [`BucketError::NoSuchUpload`], [`BucketError::NoSuchBucket`] or [`BucketError::Store`].
    pub async fn upload_parts(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        after: u32,
        limit: usize,
    ) -> Result<Vec<PartInfo>, BucketError> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        self.blocking(move |disk| disk.parts(&bucket, &key, &id, after, limit)).await
    }

    /// Uploads of a bucket that are under way, by key and id.
    ///
    /// # Errors
    /// [`BucketError::NoSuchBucket`] or [`BucketError::Store`].
    pub async fn upload_list(&self, bucket: &str) -> Result<Vec<UploadInfo>, BucketError> {
        let bucket = bucket.to_owned();
        self.blocking(move |disk| disk.uploads(&bucket)).await
    }

    /// Makes the object of the parts that are named, and ends the upload. `checksums` are kept with the object as they are. The kernel
    /// joins the parts: memory holds none of them, the disk holds them twice for that time.
    ///
    /// # Errors
    /// [`BucketError::NoSuchUpload`], [`BucketError::InvalidPart`], [`BucketError::PartOrder`], [`BucketError::PartTooSmall`],
    /// [`BucketError::Precondition`] or [`BucketError::Store`]; the upload can be completed by another call.
    pub async fn upload_complete(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        parts: Vec<NamedPart>,
        condition: Condition,
        checksums: BTreeMap<String, String>,
    ) -> Result<ObjectInfo, BucketError> {
        if self.remote(bucket)?.is_some() {
            return self.complete_elsewhere(bucket, key, id, parts, condition).await;
        }
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        self.blocking(move |disk| disk.upload_complete(&bucket, &key, &id, &parts, &condition, checksums)).await
    }

    /// Ends an upload and removes its parts.
    ///
    /// # Errors
    /// [`BucketError::NoSuchUpload`], [`BucketError::NoSuchBucket`] or [`BucketError::Store`].
    pub async fn upload_abort(&self, bucket: &str, key: &str, id: &str) -> Result<(), BucketError> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        self.blocking(move |disk| disk.upload_abort(&bucket, &key, &id)).await
    }

    /// Ends uploads of all buckets to which nothing came for `age`; returns how many. To be called now and then.
    ///
    /// # Errors
    /// [`BucketError::Store`]; what is left can be removed by another call.
    pub async fn uploads_expire(&self, now: SystemTime, age: Duration) -> Result<usize, BucketError> {
        self.blocking(move |disk| disk.uploads_expire(upload::before(now, age))).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, BucketError> + Send + 'static,
    ) -> Result<T, BucketError> {
        let disk = self.disk.clone();
        tokio::task::spawn_blocking(move || work(&disk)).await.unwrap_or_else(|error| Err(interrupted(error)))
    }
}
