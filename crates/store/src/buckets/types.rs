//! What is said of objects, listings and uploads.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::StoreError;

/// Longest key of an object of a bucket, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;

/// Bytes of all names and values of [`Attributes`] together.
pub const MAX_ATTRIBUTES_BYTES: usize = 8 * 1024;

/// Smallest part of an upload but the last, in bytes.
pub const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;

/// Parts of an upload at most, and their highest number.
pub const MAX_PARTS: u32 = 10_000;

/// Entries of one page of a listing at most.
pub const MAX_PAGE: usize = 1000;

/// Why something cannot be done with a bucket or an object of it.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// No bucket has that name.
    #[error("no such bucket: {bucket}")]
    NoSuchBucket {
        /// Name asked for.
        bucket: String,
    },
    /// No object of the bucket has that key.
    #[error("no such object: {bucket}/{key}")]
    NoSuchKey {
        /// Bucket asked.
        bucket: String,
        /// Key asked for.
        key: String,
    },
    /// No upload has that id, or it is of another key.
    #[error("no such upload: {id}")]
    NoSuchUpload {
        /// Id asked for.
        id: String,
    },
    /// Not a name that S3 allows.
    #[error("not a bucket name: {bucket:?}; 3 to 63 lower-case letters, digits, hyphens and dots")]
    InvalidBucket {
        /// Name given.
        bucket: String,
    },
    /// Not 1 to [`MAX_KEY_BYTES`] bytes.
    #[error("not a key: {len} bytes; 1 to {MAX_KEY_BYTES} are allowed")]
    InvalidKey {
        /// Bytes of the key given.
        len: usize,
    },
    /// The bucket is there already.
    #[error("the bucket exists: {bucket}")]
    BucketExists {
        /// Name given.
        bucket: String,
    },
    /// A bucket with objects is not deleted.
    #[error("the bucket is not empty: {bucket}; delete its objects first")]
    BucketNotEmpty {
        /// Name given.
        bucket: String,
    },
    /// The object, or its absence, is not what the caller wanted it to be.
    #[error("the condition does not hold: {condition}")]
    Precondition {
        /// `if-match` or `if-none-match`.
        condition: &'static str,
    },
    /// What arrived is not what the sender said that it sends.
    #[error("the body does not have the {digest} that was announced; send it again")]
    Digest {
        /// Name of the digest.
        digest: &'static str,
    },
    /// More or fewer bytes came than were announced.
    #[error("the body has {got} bytes, {announced} were announced")]
    Length {
        /// Bytes announced.
        announced: u64,
        /// Bytes that came.
        got: u64,
    },
    /// Names and values of attributes are too long.
    #[error("attributes of {len} bytes; {MAX_ATTRIBUTES_BYTES} are allowed")]
    AttributesTooLong {
        /// Bytes given.
        len: usize,
    },
    /// A part that the list names was not uploaded, or has another ETag.
    #[error("part {number} is not what was uploaded under that number; upload it again")]
    InvalidPart {
        /// The part's number.
        number: u32,
    },
    /// Parts are not named in ascending order, or none is.
    #[error("parts have to be named once each, in ascending order")]
    PartOrder,
    /// A part that is not the last is too small.
    #[error("part {number} has {size} bytes; all but the last need {MIN_PART_BYTES}")]
    PartTooSmall {
        /// The part's number.
        number: u32,
        /// Its bytes.
        size: u64,
    },
    /// Not 1 to [`MAX_PARTS`].
    #[error("not the number of a part: {number}; 1 to {MAX_PARTS} are allowed")]
    PartNumber {
        /// Number given.
        number: u32,
    },
    /// A range that the object does not have.
    #[error("the object has no bytes {first} to {last}: it has {size}")]
    Range {
        /// First byte asked for.
        first: u64,
        /// Last byte asked for.
        last: u64,
        /// Size of the object.
        size: u64,
    },
    /// The service that has the bucket's objects does not answer, or not in time. It may later.
    #[error("the service of bucket {bucket} at {endpoint} is away: {reason}; it is asked again")]
    Away {
        /// The bucket.
        bucket: String,
        /// Where the service is.
        endpoint: String,
        /// What happened.
        reason: String,
    },
    /// The service refuses what it should do, or answers what is not understood.
    #[error("the service of bucket {bucket} at {endpoint} cannot be used: {reason}")]
    Refused {
        /// The bucket.
        bucket: String,
        /// Where the service is.
        endpoint: String,
        /// What it said.
        reason: String,
    },
    /// A bucket cannot be where it is said to be.
    #[error("not a backend: {detail}")]
    Backend {
        /// What is wrong and what would be right.
        detail: String,
    },
    /// What the protocol of S3 has no words for.
    #[error("cannot be sent to the service that has the bucket: {what}")]
    Unsendable {
        /// What it is.
        what: String,
    },
    /// The disk is full or fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a piece of work that ended before its time is.
pub(super) fn interrupted(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BucketError {
    let source = io::Error::new(io::ErrorKind::Interrupted, source);
    StoreError::Io { action: "finish work on", path: PathBuf::new(), source }.into()
}

/// What is kept with an object beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// Media type, as the writer gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Other headers that belong to the bytes, by lower-case name: `cache-control`, `content-disposition`, `content-encoding`,
    /// `content-language`, `expires`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The writer's own, by name without `x-amz-meta-`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
}

impl Attributes {
    /// Of a media type and nothing else.
    #[must_use]
    pub fn of_type(content_type: &str) -> Self {
        Self { content_type: Some(content_type.to_owned()), ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<(), BucketError> {
        let pairs = self.headers.iter().chain(&self.user).map(|(name, value)| name.len() + value.len());
        let len = self.content_type.as_ref().map_or(0, String::len) + pairs.sum::<usize>();
        if len > MAX_ATTRIBUTES_BYTES { Err(BucketError::AttributesTooLong { len }) } else { Ok(()) }
    }
}

/// An object as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Entity tag without quotes: MD5 in hexadecimal; `<md5>-<parts>` of an upload in parts; of an object that was not written through
    /// [`super::Buckets`], a name of its version, which has two hyphens and so is never taken for an MD5.
    pub etag: String,
    /// When it was stored. Of two versions of an object the later one never has the same.
    pub modified: SystemTime,
    /// What is kept with it.
    pub attributes: Attributes,
    /// Checksums by lower-case name (`crc32`, `sha256`, …), each as the inspector of the writer told it.
    pub checksums: BTreeMap<String, String>,
}

/// A bucket as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketInfo {
    /// Its name.
    pub name: String,
    /// When it was made, as well as the file system knows.
    pub created: SystemTime,
}

/// What has to hold of the object that is replaced, judged at the moment of replacing. Writers that go round [`super::Buckets`]
/// are not waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// There is no object yet (`If-None-Match: *`).
    Absent,
    /// There is one with this ETag, without quotes (`If-Match`).
    Matches(String),
    /// There is one, whichever (`If-Match: *`).
    Present,
}

/// Sees the bytes of an object while they are written, on the thread that writes: digests of the caller's choice.
pub trait Inspector: Send + 'static {
    /// The next bytes.
    fn update(&mut self, bytes: &[u8]);

    /// The end. What is returned is kept as [`ObjectInfo::checksums`].
    ///
    /// # Errors
    /// [`BucketError::Digest`] when the bytes are not those announced: nothing is stored.
    fn finish(self: Box<Self>) -> Result<BTreeMap<String, String>, BucketError>;
}

/// How an object is to be written.
#[derive(Default)]
pub struct Put {
    /// What is kept with it.
    pub attributes: Attributes,
    /// What has to hold of the one that is replaced.
    pub condition: Condition,
    /// Its size in bytes, when it is known: checked, and space is looked for at once.
    pub size: Option<u64>,
    /// Its MD5, when it is known: checked.
    pub md5: Option<[u8; 16]>,
    /// Further checks.
    pub inspector: Option<Box<dyn Inspector>>,
}

impl std::fmt::Debug for Put {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attributes, condition, size, md5, inspector } = self;
        f.debug_struct("Put")
            .field("attributes", attributes)
            .field("condition", condition)
            .field("size", size)
            .field("md5", md5)
            .field("inspector", &inspector.is_some())
            .finish()
    }
}

/// Whose attributes a copy has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyAttributes {
    /// Those of the source.
    Keep,
    /// These.
    Replace(Attributes),
}

/// How a local file becomes an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopt {
    /// As a second name of the same file: nobody may write to it any more. On another file system it is copied.
    Link,
    /// As a copy, which shares its blocks where the file system can.
    Copy,
}

/// Which objects of a bucket are wanted.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Their keys begin with this.
    pub prefix: String,
    /// Keys that go on after the prefix with something and then this are told as one common prefix. Empty: none are.
    pub delimiter: String,
    /// Keys and common prefixes after this one.
    pub after: Option<String>,
    /// How many at most, common prefixes included; [`MAX_PAGE`] if it is more.
    pub limit: usize,
}

/// One page of a listing, in the order of the keys' bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects, without attributes and checksums.
    pub objects: Vec<ObjectInfo>,
    /// The common prefixes.
    pub prefixes: Vec<String>,
    /// What to give as `after` for the next page; `None` when there is none.
    pub next: Option<String>,
}

/// A part of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartInfo {
    /// Its number, from 1.
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// MD5 in hexadecimal.
    pub etag: String,
    /// When it came.
    pub modified: SystemTime,
    /// As [`ObjectInfo::checksums`].
    pub checksums: BTreeMap<String, String>,
}

/// A part that makes an object, as whoever completes an upload names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPart {
    /// Its number.
    pub number: u32,
    /// Its ETag without quotes, when it is named; compared.
    pub etag: Option<String>,
    /// Its checksums, as far as they are named; compared with those that were kept.
    pub checksums: BTreeMap<String, String>,
}

/// An upload in parts that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadInfo {
    /// Its id: letters and digits.
    pub id: String,
    /// Key of the object that it will be.
    pub key: String,
    /// When it was begun.
    pub initiated: SystemTime,
    /// When something came last.
    pub active: SystemTime,
}

/// What happened to an object of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is there, durably, or another version of it is.
    ObjectCreated {
        /// In this bucket.
        bucket: String,
        /// Under this key.
        key: String,
        /// With so many bytes.
        size: u64,
        /// And this ETag.
        etag: String,
    },
    /// It is gone.
    ObjectRemoved {
        /// From this bucket.
        bucket: String,
        /// Its key.
        key: String,
    },
}

/// Is told of every change that [`super::Buckets`] of this process makes, after it is durable. Telling is a hint, not a record: what
/// happens just before the process dies, or goes round [`super::Buckets`], is not told. Who must know everything looks for itself now and then.
pub trait Subscriber: Send + Sync + std::fmt::Debug + 'static {
    /// Must not block.
    fn tell(&self, event: Event);
}

/// A bounded queue: what finds it full is lost.
impl Subscriber for tokio::sync::mpsc::Sender<Event> {
    fn tell(&self, event: Event) {
        if let Err(error) = self.try_send(event) {
            tracing::debug!(%error, "a change of a bucket is not told");
        }
    }
}

/// Where the bytes of an object are, for tools that read files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The file, which may be replaced or removed any time after this was said.
    pub path: PathBuf,
    /// What it is.
    pub info: ObjectInfo,
}
