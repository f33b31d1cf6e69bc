//! Buckets and their files.

use std::collections::BTreeMap;

use anabranch_cloudfront::{CLUSTER_BUCKET, DistributionConfig};
use anabranch_db::{ArrivalRow, BucketRow, Db, Idempotency, NewBucket};
use anabranch_signing::SignSpec;
use anabranch_store::buckets::{Backend, BucketError, Condition, ListQuery, MAX_PAGE, ObjectInfo, is_bucket_name};
use anabranch_store::{Buckets, key};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::view::{Bucket, Link, ObjectEntry, ObjectList};
use crate::app::page::{PageQuery, list};
use crate::app::sign::expiry;
use crate::app::view::{DistributionWhole, List};
use crate::app::{App, Error};
use crate::config::MediaConfig;
use crate::time;

/// Files of a page when the caller names no number.
const LIMIT_DEFAULT: usize = 100;

/// How long a link opens when the caller names no time, in seconds (D6).
const LINK_EXPIRES_DEFAULT: u64 = 60 * 60;

/// A bucket to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketCreate {
    /// Unique name: 3 to 63 lower-case letters, digits, hyphens and dots.
    name: String,
    /// How assets are made of files that arrive; none are if it is missing.
    preset: Option<String>,
    /// Whether an asset goes when its file is replaced or removed.
    #[serde(default)]
    mirror: bool,
    /// Where its files are; on this server's disk if it is missing.
    backend: Option<BackendCreate>,
}

/// An S3-compatible service that has the files of a bucket. Whoever asks there is in the server's configuration or environment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackendCreate {
    /// `s3://<bucket>` or `s3://<bucket>/<prefix>`; the bucket has to be there.
    url: String,
    /// Name of a service of the configuration (`[store.remote.NAME]`), of which is what is not said here.
    remote: Option<String>,
    /// `https://HOST` or `http://HOST:PORT`; Amazon's of the region if it is missing.
    endpoint: Option<String>,
    /// Region; us-east-1 if it is missing.
    region: Option<String>,
    /// Whether the bucket is in the path rather than in the host; if it is missing, unless the service is Amazon's.
    path_style: Option<bool>,
}

impl From<&BackendCreate> for Backend {
    fn from(said: &BackendCreate) -> Self {
        let BackendCreate { url, remote, endpoint, region, path_style } = said;
        Self {
            url: url.clone(),
            remote: remote.clone(),
            endpoint: endpoint.clone(),
            region: region.clone(),
            path_style: *path_style,
        }
    }
}

/// What of a bucket is to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketPatch {
    /// How assets are made of files that arrive; null: none are.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    preset: Option<Option<String>>,
    /// Whether an asset goes when its file is replaced or removed.
    mirror: Option<bool>,
}

/// Tells null from what is missing.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

/// Which files of a bucket.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ObjectQuery {
    /// Files at most, 1 to 1000; 100 if it is missing.
    limit: Option<usize>,
    /// `next` of the page before.
    after: Option<String>,
    /// Their keys begin with this.
    prefix: Option<String>,
    /// Keys that go on with something and then this are told once, as a prefix; usually a slash.
    delimiter: Option<String>,
}

/// Which file of a bucket goes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Removal {
    /// Its key.
    key: String,
}

/// Which file a link is to open, and how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkCreate {
    /// Key of the file.
    key: String,
    /// Seconds from now; 3600 if it is missing.
    expires_in_seconds: Option<u64>,
}

impl LinkCreate {
    /// For the usual time.
    pub(super) fn of(key: &str) -> Self {
        Self { key: key.to_owned(), expires_in_seconds: None }
    }
}

/// Makes the buckets that are there from the start.
pub(crate) async fn prepare(db: &Db, media: &MediaConfig, now_ms: i64) -> Result<(), PrepareError> {
    for name in [key::RECORDINGS, key::LIBRARY, key::VOD, CLUSTER_BUCKET] {
        db.bucket_ensure(name, None, true, now_ms).await?;
        ensure(&media.buckets, name).await?;
    }
    db.bucket_ensure(key::UPLOADS, media.presets.first().map(String::as_str), false, now_ms).await?;
    Ok(ensure(&media.buckets, key::UPLOADS).await?)
}

/// Why the first buckets cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The database fails.
    #[error(transparent)]
    Db(#[from] anabranch_db::Error),
    /// The store fails.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

async fn ensure(buckets: &Buckets, name: &str) -> Result<(), BucketError> {
    match buckets.bucket_create(name).await {
        Err(BucketError::BucketExists { .. }) => Ok(()),
        made => made,
    }
}

impl App {
    /// Makes a bucket, or answers the one of an earlier, equal request.
    pub(crate) async fn bucket_create(
        &self,
        request: &BucketCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<Bucket, Error> {
        self.check_preset(request.preset.as_deref())?;
        if !is_bucket_name(&request.name) {
            let detail =
                format!("a bucket's name has 3 to 63 lower-case letters, digits, hyphens and dots: {:?}", request.name);
            return Err(Error::invalid("name", detail));
        }
        let backend = request.backend.as_ref().map(Backend::from);
        if let Some(backend) = &backend {
            self.media.buckets.backend_check(&request.name, backend)?;
        }
        let new = NewBucket {
            name: request.name.clone(),
            preset: request.preset.clone(),
            mirror: request.mirror,
            house: false,
            idempotency,
        };
        let row = self.db.bucket_create(&new, self.clock.now_ms()).await?.into_inner();
        // One that was left by an earlier failure is the same bucket.
        ensure(&self.media.buckets, &row.name).await?;
        if let Some(backend) = &backend {
            self.media.buckets.backend_set(&row.name, backend).await?;
        }
        self.changed();
        self.bucket_view(row).await
    }

    pub(crate) async fn bucket_list(&self, query: &PageQuery) -> Result<List<Bucket>, Error> {
        self.buckets_agree().await?;
        let page = list(self.db.bucket_page(&query.request()?).await?, |row| row);
        let mut items = Vec::with_capacity(page.items.len());
        for row in page.items {
            items.push(self.bucket_view(row).await?);
        }
        Ok(List { items, next: page.next })
    }

    pub(crate) async fn bucket_show(&self, wanted: &str) -> Result<Bucket, Error> {
        self.bucket_view(self.db.bucket_find(wanted).await?).await
    }

    pub(crate) async fn bucket_update(&self, wanted: &str, patch: &BucketPatch) -> Result<Bucket, Error> {
        let row = self.db.bucket_find(wanted).await?;
        let preset = patch.preset.clone().unwrap_or(row.preset);
        self.check_preset(preset.as_deref())?;
        if row.house && preset.is_some() {
            return Err(Error::Conflict(format!(
                "bucket {wanted} is the system's own: no assets are made of its files"
            )));
        }
        let mirror = patch.mirror.unwrap_or(row.mirror);
        let row = self.db.bucket_update(wanted, preset.as_deref(), mirror, self.clock.now_ms()).await?;
        self.changed();
        self.arrivals_wake.notify_one();
        self.bucket_view(row).await
    }

    /// Deletes an empty bucket, or forgets one that is elsewhere: its files stay there.
    pub(crate) async fn bucket_delete(&self, wanted: &str) -> Result<(), Error> {
        let row = self.db.bucket_find(wanted).await?;
        if !row.house && self.media.buckets.backend(wanted)?.is_some() {
            self.uploads_forget(wanted).await?;
            self.media.buckets.bucket_detach_check(wanted)?;
            self.db.bucket_delete(wanted, self.clock.now_ms()).await?;
            self.media.buckets.bucket_detach(wanted).await?;
            self.changed();
            return Ok(());
        }
        let listed = self.media.buckets.list(wanted, ListQuery { limit: 1, ..ListQuery::default() }).await;
        if !row.house && listed.is_ok_and(|page| !page.objects.is_empty()) {
            return Err(Error::Conflict(format!("bucket {wanted} has files; delete them first")));
        }
        self.uploads_forget(wanted).await?;
        self.db.bucket_delete(wanted, self.clock.now_ms()).await?;
        match self.media.buckets.bucket_delete(wanted).await {
            Err(BucketError::NoSuchBucket { .. }) => {}
            removed => removed?,
        }
        self.changed();
        Ok(())
    }

    /// Makes the distribution by which single files of a bucket can be fetched, or answers the one that is there (D2).
    pub(crate) async fn bucket_publish(&self, wanted: &str) -> Result<DistributionWhole, Error> {
        let row = self.db.bucket_find(wanted).await?;
        if row.house {
            return Err(Error::Conflict(format!(
                "bucket {wanted} is the system's own; its files are served elsewhere"
            )));
        }
        let reference = reference(&row.name);
        if let Some(row) = self.db.distribution_by_reference(&reference).await? {
            return self.distribution_show(row.id.as_str()).await;
        }
        let config = DistributionConfig::bucket(&reference, &row.name, &self.key_group, &self.viewers);
        self.distribution_create_from(&config, BTreeMap::new(), None).await
    }

    pub(crate) async fn object_list(&self, wanted: &str, query: &ObjectQuery) -> Result<ObjectList, Error> {
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=MAX_PAGE).contains(&limit) {
            let detail = format!("a page has 1 to {MAX_PAGE} files: {limit}");
            return Err(Error::invalid("limit", detail));
        }
        let row = self.db.bucket_find(wanted).await?;
        let page = ListQuery {
            prefix: query.prefix.clone().unwrap_or_default(),
            delimiter: query.delimiter.clone().unwrap_or_default(),
            after: query.after.clone(),
            limit,
        };
        let listing = self.media.buckets.list(wanted, page).await?;
        let arrivals = match (row.preset, listing.objects.first(), listing.objects.last()) {
            (Some(_), Some(first), Some(last)) => self.db.arrivals_between(wanted, &first.key, &last.key).await?,
            _ => Vec::new(),
        };
        let items = listing.objects.into_iter().map(|info| {
            let arrival = arrivals.binary_search_by(|row| row.key.as_str().cmp(&info.key)).ok().map(|at| &arrivals[at]);
            // One of an earlier version says nothing of this one.
            let arrival = arrival.filter(|row| row.version == info.etag);
            entry(info, arrival)
        });
        Ok(ObjectList { items: items.collect(), prefixes: listing.prefixes, next: listing.next })
    }

    /// Removes a file; what was made of it stays, unless the bucket is a mirror.
    pub(crate) async fn object_delete(&self, wanted: &str, removal: &Removal) -> Result<(), Error> {
        if self.db.bucket_find(wanted).await?.house {
            return Err(Error::Conflict(format!(
                "bucket {wanted} is the system's own: delete the asset or the recording"
            )));
        }
        if !self.media.buckets.delete(wanted, &removal.key, Condition::None).await? {
            return Err(Error::Db(anabranch_db::Error::NotFound { subject: "file", wanted: removal.key.clone() }));
        }
        Ok(())
    }

    /// A canned link to a file that is there (D6).
    pub(crate) async fn object_link(&self, wanted: &str, request: &LinkCreate) -> Result<Link, Error> {
        let row = self.db.bucket_find(wanted).await?;
        let expires = expiry(&self.clock, request.expires_in_seconds.unwrap_or(LINK_EXPIRES_DEFAULT))?;
        match self.media.buckets.head(wanted, &request.key).await {
            Ok(_) => {}
            Err(BucketError::NoSuchKey { .. }) => {
                return Err(Error::Db(anabranch_db::Error::NotFound { subject: "file", wanted: request.key.clone() }));
            }
            Err(error) => return Err(error.into()),
        }
        let Some(distribution) = self.db.distribution_by_reference(&reference(&row.name)).await? else {
            return Err(Error::Conflict(format!(
                "no distribution serves single files of bucket {wanted}: make one with `anabranch bucket publish {wanted}`"
            )));
        };
        let key = self.signing_key(&distribution.key_groups).await?;
        let path = encode_path(&request.key);
        let edge = self.config.edge_base_url.trim_end_matches('/');
        let (host, port) = (&distribution.domain_name, self.config.edge_port);
        let canned = SignSpec::Canned { expires };
        Ok(Link {
            url: key.sign(&format!("{edge}/d/{}/{path}", distribution.id), &canned)?,
            host_url: key.sign(&format!("http://{host}:{port}/{path}"), &canned)?,
            expires_at: time::render_seconds(expires),
        })
    }

    /// Refuses a preset that workers do not know.
    pub(super) fn check_preset(&self, preset: Option<&str>) -> Result<(), Error> {
        preset.and_then(|name| self.unknown_preset(name)).map_or(Ok(()), |detail| Err(Error::invalid("preset", detail)))
    }

    /// Why a preset cannot be used, if workers do not know it.
    pub(crate) fn unknown_preset(&self, name: &str) -> Option<String> {
        let known = &self.media.presets;
        let is_known = known.iter().any(|preset| preset == name);
        (!is_known).then(|| format!("no such preset: {name:?}; there are {}", known.join(", ")))
    }

    async fn bucket_view(&self, row: BucketRow) -> Result<Bucket, Error> {
        let distribution = self.db.distribution_by_reference(&reference(&row.name)).await?;
        let backend = self.media.buckets.backend(&row.name)?.map(Into::into);
        Ok(Bucket {
            name: row.name,
            preset: row.preset,
            mirror: row.mirror,
            house: row.house,
            distribution: distribution.map(|row| row.id.into()),
            backend,
            created_at: time::render_ms(row.created_at),
        })
    }
}

/// Caller reference of the distribution of a bucket.
fn reference(bucket: &str) -> String {
    format!("bucket-{bucket}")
}

fn entry(info: ObjectInfo, arrival: Option<&ArrivalRow>) -> ObjectEntry {
    ObjectEntry {
        size: info.size,
        modified_at: time::render_system(info.modified),
        arrival: arrival.map(|row| row.state),
        asset: arrival.and_then(|row| row.asset.clone()).map(String::from),
        problem: arrival.and_then(|row| row.problem.clone()),
        key: info.key,
        etag: info.etag,
    }
}

/// A key as it stands in a URL's path: RFC 3986 §2.3's unreserved characters and slashes stay.
pub(super) fn encode_path(key: &str) -> String {
    key.bytes().fold(String::with_capacity(key.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_in_paths() {
        assert_eq!(encode_path("a b/ü?.mp4"), "a%20b/%C3%BC%3F.mp4");
        assert_eq!(encode_path("~x-1_2.ts"), "~x-1_2.ts");
    }
}
