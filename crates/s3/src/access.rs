//! Who may do what.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

/// How much may be done with a bucket; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Objects may be listed and read.
    Read,
    /// Objects may also be written and deleted.
    Write,
    /// The bucket may also be made and removed.
    Manage,
}

/// A right to one bucket, or to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which bucket; `None`: every one.
    pub bucket: Option<String>,
    /// What may be done.
    pub level: Level,
}

/// What a key may do: the most of what its grants say. None: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(pub Vec<Grant>);

impl Rights {
    /// The same right to every bucket.
    #[must_use]
    pub fn all(level: Level) -> Self {
        Self(vec![Grant { bucket: None, level }])
    }

    /// What may be done with `bucket`.
    #[must_use]
    pub fn of(&self, bucket: &str) -> Option<Level> {
        let grants = self.0.iter().filter(|grant| grant.bucket.as_deref().is_none_or(|name| name == bucket));
        grants.map(|grant| grant.level).max()
    }
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The secret that signatures are made with.
    pub secret: String,
    /// What its owner may do.
    pub rights: Rights,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("secret", &"…").field("rights", &self.rights).finish()
    }
}

/// Keys cannot be looked up now.
#[derive(Debug, thiserror::Error)]
#[error("access keys cannot be looked up")]
pub struct AccessError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Knows access keys. Asked twice for each request, so an implementation keeps what it knows at hand.
#[async_trait::async_trait]
pub trait Access: fmt::Debug + Send + Sync + 'static {
    /// The key of that id; `None` when there is none, or none any more.
    ///
    /// # Errors
    /// The keys are out of reach; the client is told to come again.
    async fn key(&self, id: &str) -> Result<Option<AccessKey>, AccessError>;
}

/// Verifies signatures and rights before an operation sees a request.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    access: Arc<dyn Access>,
    read_only: Arc<BTreeSet<String>>,
}

/// What the request's key may do, for operations that touch a second bucket.
#[derive(Clone, Debug)]
pub(crate) struct Granted(pub(crate) Rights);

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// A key, whichever.
    Key,
    Level(Level),
}

fn needs(operation: &str) -> Needs {
    match operation {
        "CreateBucket" | "DeleteBucket" => Needs::Level(Level::Manage),
        "PutObject"
        | "CopyObject"
        | "DeleteObject"
        | "DeleteObjects"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "UploadPartCopy"
        | "CompleteMultipartUpload"
        | "AbortMultipartUpload" => Needs::Level(Level::Write),
        "GetObject"
        | "HeadObject"
        | "HeadBucket"
        | "GetBucketLocation"
        | "ListObjects"
        | "ListObjectsV2"
        | "ListParts"
        | "ListMultipartUploads" => Needs::Level(Level::Read),
        // What is not done here is refused as such, but not told to strangers.
        _ => Needs::Key,
    }
}

impl Guard {
    pub(crate) fn new(access: Arc<dyn Access>, read_only: BTreeSet<String>) -> Self {
        Self { access, read_only: Arc::new(read_only) }
    }

    async fn key(&self, id: &str) -> S3Result<AccessKey> {
        match self.access.key(id).await {
            Ok(Some(key)) => Ok(key),
            Ok(None) => Err(s3_error!(InvalidAccessKeyId, "there is no such access key")),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request cannot be authorised");
                Err(s3_error!(ServiceUnavailable, "access keys cannot be looked up now; try again"))
            }
        }
    }
}

#[async_trait::async_trait]
impl S3Auth for Guard {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        Ok(SecretKey::from(self.key(access_key).await?.secret))
    }
}

#[async_trait::async_trait]
impl S3Access for Guard {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = context.credentials() else {
            return Err(s3_error!(AccessDenied, "requests have to be signed"));
        };
        let rights = self.key(&credentials.access_key).await?.rights;
        let operation = context.s3_op().name();
        let bucket = context.s3_path().get_bucket_name();
        if let (Needs::Level(level), Some(bucket)) = (needs(operation), bucket) {
            if rights.of(bucket).is_none_or(|granted| granted < level) {
                return Err(s3_error!(AccessDenied, "the access key has no right to do this with bucket {bucket}"));
            }
            if level > Level::Read && self.read_only.contains(bucket) {
                return Err(s3_error!(AccessDenied, "bucket {bucket} is written by the platform alone"));
            }
        }
        context.extensions_mut().insert(Granted(rights));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_of_all_grants_counts() {
        let grant = |bucket: Option<&str>, level| Grant { bucket: bucket.map(str::to_owned), level };
        let rights = Rights(vec![grant(None, Level::Read), grant(Some("in"), Level::Write)]);
        assert_eq!((rights.of("in"), rights.of("out")), (Some(Level::Write), Some(Level::Read)));
        assert_eq!(Rights(vec![grant(Some("in"), Level::Manage)]).of("out"), None);
        assert_eq!(Rights::default().of("in"), None);
    }

    #[test]
    fn a_secret_is_not_printed() {
        let key = AccessKey { secret: "hush".to_owned(), rights: Rights::all(Level::Read) };
        assert!(!format!("{key:?}").contains("hush"));
    }
}
