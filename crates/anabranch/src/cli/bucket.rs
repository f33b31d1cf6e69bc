//! Verbs of buckets, their files, and access keys.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::address::{escape, path};
use super::client::Client;
use super::connection::{Connection, One};
use super::request::{delete, list, patch, post, set, show};
use super::upload::{Upload, key_of};
use super::wait::Wait;
use super::{delivery, output};

#[derive(Debug, Subcommand)]
pub(crate) enum BucketVerb {
    /// Create a bucket
    Create {
        name: String,
        #[command(flatten)]
        content: Content,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        connection: Connection,
    },
    /// List buckets
    List(Connection),
    /// Show a bucket
    Show(One),
    /// Change what becomes of files that arrive; what is not given stays as it is
    Update {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        content: Content,
        /// Make no assets of files
        #[arg(long, conflicts_with = "preset")]
        no_preset: bool,
    },
    /// Delete an empty bucket, or forget one with a backend, whose files stay there
    Delete(One),
    /// Make the distribution by which single files are fetched with a link
    Publish {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        wait: Wait,
    },
    /// List files
    Files {
        /// Name of the bucket
        bucket: String,
        /// Their keys begin with this
        #[arg(long, value_name = "TEXT", default_value = "")]
        prefix: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Remove a file
    Rm(File),
    /// Make a link that opens one file
    Link {
        #[command(flatten)]
        file: File,
        /// How long it is valid, in seconds
        #[arg(long, visible_alias = "expires-in", value_name = "SECONDS")]
        expires: Option<u64>,
    },
    /// Upload a file
    Put {
        /// Name of the bucket
        bucket: String,
        /// File to upload
        file: PathBuf,
        /// Key in the bucket [default: its name]
        #[arg(long)]
        key: Option<String>,
        /// Id of an upload of the same file that stopped, to go on with
        #[arg(long, value_name = "ID")]
        resume: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

/// One file of a bucket.
#[derive(Debug, Args)]
pub(crate) struct File {
    /// Name of the bucket
    bucket: String,
    /// Key of the file
    key: String,
    #[command(flatten)]
    connection: Connection,
}

/// What becomes of files.
#[derive(Debug, Args)]
pub(crate) struct Content {
    /// How assets are made of files that arrive; none are made without one
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Whether an asset goes when its file is replaced or removed
    #[arg(long, value_name = "BOOL")]
    mirror: Option<bool>,
}

/// Where the files of a bucket are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// S3-compatible storage of the files, such as s3://films/incoming [default: the server's disk]
    #[arg(long, value_name = "S3-URL")]
    backend: Option<String>,
    /// Service of the server's configuration that it is at: [store.remote.NAME]
    #[arg(long, value_name = "NAME", requires = "backend")]
    remote: Option<String>,
    /// Address of the service [default: Amazon's of the region]
    #[arg(long, value_name = "URL", requires = "backend")]
    endpoint: Option<String>,
    /// Region of the service
    #[arg(long, requires = "backend")]
    region: Option<String>,
    /// Whether the bucket is in the path rather than in the host
    #[arg(long, value_name = "BOOL", requires = "backend")]
    path_style: Option<bool>,
}

impl Place {
    fn add_to(self, body: &mut Value) {
        let Some(url) = self.backend else { return };
        let mut backend = json!({ "url": url });
        set(&mut backend, "remote", self.remote.map(Value::from));
        set(&mut backend, "endpoint", self.endpoint.map(Value::from));
        set(&mut backend, "region", self.region.map(Value::from));
        set(&mut backend, "path_style", self.path_style.map(Value::from));
        body["backend"] = backend;
    }
}

impl Content {
    fn add_to(self, body: &mut Value) {
        set(body, "preset", self.preset.map(Value::from));
        set(body, "mirror", self.mirror.map(Value::from));
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccessKeyVerb {
    /// Create an access key; its secret is shown this once
    Create {
        name: String,
        /// Bucket that it opens; may be repeated [default: all but the system's own]
        #[arg(long = "bucket", value_name = "NAME")]
        buckets: Vec<String>,
        /// It may list and fetch only
        #[arg(long)]
        read_only: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// List access keys
    List(Connection),
    /// Delete an access key
    Delete(One),
}

/// Address of a list of which one file is the first.
pub(super) fn file_address(bucket: &str, key: &str) -> String {
    format!("{}?limit=1&prefix={}", path(&["buckets", bucket, "objects"]), escape(key))
}

pub(super) async fn bucket(verb: BucketVerb) -> Result<()> {
    match verb {
        BucketVerb::Create { name, content, place, connection } => {
            let mut body = json!({ "name": name });
            content.add_to(&mut body);
            place.add_to(&mut body);
            post(&connection, "/v1/buckets", body).await
        }
        BucketVerb::List(connection) => list(&connection, "/v1/buckets", output::BUCKETS).await,
        BucketVerb::Show(one) => show(&one, "buckets").await,
        BucketVerb::Update { one, content, no_preset } => {
            let mut body = json!({});
            content.add_to(&mut body);
            set(&mut body, "preset", no_preset.then_some(Value::Null));
            patch(&one.connection, &path(&["buckets", &one.id]), body).await
        }
        BucketVerb::Delete(one) => delete(&one, "buckets").await,
        BucketVerb::Publish { one, wait } => {
            let client = Client::new(&one.connection)?;
            let made = client.post(&path(&["buckets", &one.id, "distribution"]), json!({})).await?;
            delivery::deployed(&one.connection, &client, made, &wait).await
        }
        BucketVerb::Files { bucket, prefix, connection } => {
            let address = format!("{}?limit=1000&prefix={}", path(&["buckets", &bucket, "objects"]), escape(&prefix));
            list(&connection, &address, output::FILES).await
        }
        BucketVerb::Rm(File { bucket, key, connection }) => {
            let address = format!("{}?key={}", path(&["buckets", &bucket, "objects"]), escape(&key));
            Client::new(&connection)?.delete(&address).await
        }
        BucketVerb::Link { file: File { bucket, key, connection }, expires } => {
            let mut body = json!({ "key": key });
            set(&mut body, "expires_in_seconds", expires.map(Value::from));
            post(&connection, &path(&["buckets", &bucket, "link"]), body).await
        }
        BucketVerb::Put { bucket, file, key, resume, connection } => {
            let client = Client::new(&connection)?;
            let key = match &key {
                Some(key) => key.as_str(),
                None => key_of(&file)?,
            };
            Upload { file: &file, bucket: &bucket, key, preset: None, resume: resume.as_deref() }.send(&client).await?;
            let found = client.get(&file_address(&bucket, key)).await?;
            output::object(&connection, &found["items"][0])
        }
    }
}

pub(super) async fn access_key(verb: AccessKeyVerb) -> Result<()> {
    match verb {
        AccessKeyVerb::Create { name, buckets, read_only, connection } => {
            let body = json!({ "name": name, "buckets": buckets, "read_only": read_only });
            post(&connection, "/v1/access-keys", body).await
        }
        AccessKeyVerb::List(connection) => list(&connection, "/v1/access-keys", output::ACCESS_KEYS).await,
        AccessKeyVerb::Delete(one) => delete(&one, "access-keys").await,
    }
}
