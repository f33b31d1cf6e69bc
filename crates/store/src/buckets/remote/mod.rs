//! Buckets whose objects are in an S3-compatible service elsewhere.
//!
//! ```text
//! Buckets ─► Backends: which bucket is where ─► Remote: one of them ─► wire: signed, repeated ─► service
//! ```
//!
//! The folder of such a bucket is here all the same: it says that the bucket is there, holds where (`.backend.json`), and parts of uploads
//! until they are whole.

mod config;
mod health;
mod read;
mod sign;
mod time;
mod wire;
mod write;
mod xml;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Method};
use parking_lot::RwLock;

pub use config::{Backend, Connection, Credentials, Patience, Remotes};
pub use health::Problem;
pub use read::{Likely, Pieces, RemoteObject};
pub(super) use write::Receiving;

use self::config::Place;
use self::health::Health;
use self::wire::Ask;
use super::types::{BucketError, ListQuery, Listing, MAX_PAGE};
use crate::files::{absent_is_fine, sync_folder};
use crate::local::io_error;
use crate::{LocalStore, key};

/// File of a bucket that says where it is.
const FILE: &str = ".backend.json";

/// Longest such file, in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024;

/// Connections to one service that are kept open.
const IDLE_MAX: usize = 32;

/// What comes after all keys that begin with what it stands behind.
const LAST: char = char::MAX;

/// Buckets that other rooms write to by path.
const HERE_ONLY: [&str; 2] = [key::RECORDINGS, key::LIBRARY];

/// A bucket elsewhere.
pub(super) struct Remote {
    /// What it is called here.
    name: String,
    place: Place,
    http: reqwest::Client,
    health: Health,
    patience: Patience,
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("name", &self.name).field("place", &self.place).finish_non_exhaustive()
    }
}

/// Where the objects of a bucket are, and whether they can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendInfo {
    /// `s3://<bucket>/<prefix>`.
    pub url: String,
    /// Where the service is.
    pub endpoint: String,
    /// What is wrong, if something is.
    pub problem: Option<Problem>,
    /// How often the service has fallen away since this process began.
    pub outages: u64,
}

impl Remote {
    pub(super) fn info(&self) -> BackendInfo {
        BackendInfo {
            url: self.place.url(),
            endpoint: self.place.endpoint(),
            problem: self.health.problem(),
            outages: self.health.outages(),
        }
    }

    /// Whether one request can copy from one to the other.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let (one, other) = (&self.place, &other.place);
        (one.scheme, &one.host, &one.credentials) == (other.scheme, &other.host, &other.credentials)
    }

    pub(super) async fn list(&self, query: &ListQuery) -> Result<Listing, BucketError> {
        let limit = query.limit.min(MAX_PAGE);
        if limit == 0 {
            return Ok(Listing::default());
        }
        let own = &self.place.prefix;
        let (prefix, count) = (format!("{own}{}", query.prefix), limit.to_string());
        let after = query.after.as_ref().map(|after| {
            let is_common =
                !query.delimiter.is_empty() && after.ends_with(&query.delimiter) && after.len() > query.prefix.len();
            if is_common { format!("{own}{after}{LAST}") } else { format!("{own}{after}") }
        });
        let mut ask = Ask {
            method: Method::GET,
            key: None,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Default::default(),
        };
        ask.query = vec![
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("max-keys", count.as_str()),
            ("prefix", prefix.as_str()),
        ];
        if !query.delimiter.is_empty() {
            ask.query.push(("delimiter", query.delimiter.as_str()));
        }
        if let Some(after) = &after {
            ask.query.push(("start-after", after.as_str()));
        }
        let answer = self.call(&ask).await.map_err(|fault| self.plain(fault, ""))?;
        let text = answer.text(self).await?;
        xml::listing(&text, own, query).map_err(|error| self.refused(error.to_string()))
    }
}

/// Which buckets are elsewhere. Shared by all clones of [`super::Buckets`].
pub(super) struct Backends {
    store: LocalStore,
    remotes: Remotes,
    http: reqwest::Client,
    known: RwLock<BTreeMap<String, Arc<Remote>>>,
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backends").field("known", &self.known.read().keys()).finish_non_exhaustive()
    }
}

impl Backends {
    /// Those that the configuration names, and those that were made before.
    pub(super) fn open(store: LocalStore, remotes: Remotes) -> Result<Self, BucketError> {
        let http = reqwest::Client::builder()
            .http1_only()
            .connect_timeout(remotes.patience.connect)
            .read_timeout(remotes.patience.silence)
            .pool_max_idle_per_host(IDLE_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("anabranch/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| BucketError::Backend { detail: wire::reason(&error) })?;
        let backends = Self { store, remotes, http, known: RwLock::default() };
        let root = backends.store.root().join(super::disk::BUCKETS);
        for (name, backend) in &backends.remotes.fixed {
            let remote = backends.remote_of(name, backend)?;
            let folder = root.join(name);
            fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
            backends.known.write().insert(name.clone(), remote);
        }
        let entries = match fs::read_dir(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(backends),
            other => other.map_err(io_error("list", &root))?,
        };
        for entry in entries {
            let name = entry.map_err(io_error("list", &root))?.file_name();
            let Some(name) = name.to_str().filter(|name| super::is_bucket_name(name)) else { continue };
            if !backends.known.read().contains_key(name) {
                backends.look_for(name)?;
            }
        }
        Ok(backends)
    }

    fn remote_of(&self, name: &str, backend: &Backend) -> Result<Arc<Remote>, BucketError> {
        if !super::is_bucket_name(name) {
            return Err(BucketError::InvalidBucket { bucket: name.to_owned() });
        }
        if HERE_ONLY.contains(&name) {
            return Err(BucketError::Backend {
                detail: format!("bucket {name} is written by path: it has to be here"),
            });
        }
        let place = Place::of(backend, &self.remotes)?;
        let (http, now) = (self.http.clone(), self.remotes.now.clone());
        let (health, patience) = (Health::default(), self.remotes.patience);
        Ok(Arc::new(Remote { name: name.to_owned(), place, http, health, patience, now }))
    }

    fn file(&self, bucket: &str) -> PathBuf {
        self.store.root().join(super::disk::BUCKETS).join(bucket).join(FILE)
    }

    /// The bucket, if it is elsewhere.
    pub(super) fn find(&self, bucket: &str) -> Result<Option<Arc<Remote>>, BucketError> {
        if let Some(known) = self.known.read().get(bucket) {
            return Ok(Some(known.clone()));
        }
        if self.remotes.shared && super::is_bucket_name(bucket) { self.look_for(bucket) } else { Ok(None) }
    }

    fn look_for(&self, bucket: &str) -> Result<Option<Arc<Remote>>, BucketError> {
        let path = self.file(bucket);
        let Some(backend) = read(&path)? else { return Ok(None) };
        let remote = self.remote_of(bucket, &backend).map_err(|error| match error {
            BucketError::Backend { detail } => BucketError::Backend { detail: format!("of bucket {bucket}: {detail}") },
            other => other,
        })?;
        Ok(Some(self.known.write().entry(bucket.to_owned()).or_insert(remote).clone()))
    }

    /// Whether a bucket can be there.
    pub(super) fn check(&self, bucket: &str, backend: &Backend) -> Result<(), BucketError> {
        self.remote_of(bucket, backend).map(drop)
    }

    /// Notes, durably, where a bucket is. Blocks.
    pub(super) fn set(&self, bucket: &str, backend: &Backend) -> Result<(), BucketError> {
        let remote = self.remote_of(bucket, backend)?;
        self.check_free(bucket)?;
        let path = self.file(bucket);
        let temporary = self.store.temporary();
        let written = || {
            fs::write(&temporary, serde_json::to_vec(backend)?)?;
            fs::File::open(&temporary)?.sync_all()?;
            fs::rename(&temporary, &path)?;
            path.parent().map_or(Ok(()), sync_folder)
        };
        written().map_err(|error| self.store.write_error(&path, error))?;
        self.known.write().insert(bucket.to_owned(), remote);
        Ok(())
    }

    /// Fails for a bucket of the configuration.
    pub(super) fn check_free(&self, bucket: &str) -> Result<(), BucketError> {
        if self.remotes.fixed.contains_key(bucket) {
            let detail = format!("the configuration says where bucket {bucket} is: change [store.remote.{bucket}]");
            return Err(BucketError::Backend { detail });
        }
        Ok(())
    }

    /// Forgets where a bucket was. Blocks.
    pub(super) fn forget(&self, bucket: &str) -> Result<(), BucketError> {
        let path = self.file(bucket);
        absent_is_fine(fs::remove_file(&path)).map_err(io_error("delete", &path))?;
        self.known.write().remove(bucket);
        Ok(())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.known.read().keys().cloned().collect()
    }
}

fn read(path: &Path) -> Result<Option<Backend>, BucketError> {
    match fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(io_error("read", path)(error).into()),
        Ok(meta) if meta.len() > MAX_FILE_BYTES => {
            return Err(BucketError::Backend { detail: format!("too long: {}", path.display()) });
        }
        Ok(_) => {}
    }
    let text = fs::read(path).map_err(io_error("read", path))?;
    let backend = serde_json::from_slice(&text);
    backend
        .map(Some)
        .map_err(|error| BucketError::Backend { detail: format!("cannot understand {}: {error}", path.display()) })
}
