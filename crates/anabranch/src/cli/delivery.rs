//! Verbs of distributions, invalidations, keys and key groups.

use std::io::Read as _;

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::address::path;
use super::client::Client;
use super::connection::{Connection, One};
use super::output;
use super::request::{act, delete, list, post, set, show, text};
use super::wait::{self, Wait};

/// Largest file that is read; the API takes no more.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum DistributionVerb {
    /// Create a distribution from a CloudFront DistributionConfig
    Create {
        #[command(flatten)]
        config: ConfigFile,
        /// Label, as KEY=VALUE; may be repeated
        #[arg(long = "tag", value_name = "KEY=VALUE", num_args = 1..)]
        tags: Vec<String>,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        connection: Connection,
    },
    /// Give a distribution another DistributionConfig
    Update {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        config: ConfigFile,
        /// Change it only if this is still its ETag
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// List distributions
    List(Connection),
    /// Show a distribution with its whole configuration
    Show(One),
    /// Show what a distribution has delivered, by behavior and by breakout
    Traffic(One),
    /// Delete a distribution that is disabled
    Delete {
        #[command(flatten)]
        one: One,
        /// Delete it only if this is still its ETag
        #[arg(long, value_name = "ETAG")]
        if_match: Option<String>,
        #[command(flatten)]
        deletion: Deletion,
    },
    /// Disable a distribution and take it from its channel
    Detach {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        wait: Wait,
    },
    /// Enable a distribution and give it to a channel that has none
    Attach {
        #[command(flatten)]
        one: One,
        /// Channel, by id or name
        #[arg(long, value_name = "ID")]
        channel: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Look at what the provider has now, and begin to set right what differs
    Sync(One),
    /// Look for what is stale, unknown or different at the provider, without waiting for the schedule
    Sweep {
        /// Say what was found, and do nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        connection: Connection,
    },
}

/// How something is deleted.
#[derive(Debug, Args)]
pub(crate) struct Deletion {
    /// Delete it even while it is watched, enabled or in use by a channel that is at rest
    #[arg(long)]
    force: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: Wait,
}

impl Deletion {
    pub(super) async fn delete(&self, one: &One, noun: &str, etag: Option<&str>) -> Result<()> {
        let client = Client::new(&one.connection)?;
        let address = format!("{}?force={}&dry_run={}", path(&[noun, &one.id]), self.force, self.dry_run);
        // A name may soon be another's: what is awaited is asked for by id.
        let waits = self.wait.waits() && !self.dry_run;
        let found = if waits { client.get(&path(&[noun, &one.id])).await? } else { Value::Null };
        let answer = client.call(Method::DELETE, &address, None, etag).await?;
        if self.dry_run {
            return output::object(&one.connection, &answer);
        }
        if waits {
            let mut waiting = self.wait.begin(&client);
            let id = text(&found, "id");
            let subject = format!("{} {id}", noun.trim_end_matches('s'));
            waiting.until_gone(&subject, &path(&[noun, &id])).await?;
            // A channel takes its distribution with it, which goes by itself afterwards.
            if let Some(id) = found["distribution"]["id"].as_str() {
                waiting.until_gone(&format!("distribution {id}"), &path(&["distributions", id])).await?;
            }
        }
        Ok(())
    }
}

/// Where a configuration is.
#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// DistributionConfig as JSON, as the AWS CLI's --distribution-config takes it; `-` for standard input
    #[arg(long = "config", value_name = "FILE")]
    file: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InvalidationVerb {
    /// Make edges forget paths and tags of a distribution
    // A list of paths would take in the id behind it.
    #[command(
        override_usage = "anabranch invalidation create <DISTRIBUTION> <--path <PATH>...|--tag <TAG>...> [OPTIONS]"
    )]
    Create {
        /// Id of the distribution
        distribution: String,
        #[command(flatten)]
        forgotten: Forgotten,
        /// Your own mark: the same with the same paths and tags answers the earlier order
        #[arg(long, value_name = "TEXT")]
        caller_reference: Option<String>,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the invalidations of a distribution
    List {
        /// Id of the distribution
        distribution: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show an invalidation
    Show {
        /// Id of the distribution
        distribution: String,
        #[command(flatten)]
        one: One,
    },
}

/// What edges are to forget: paths, tags or both.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Forgotten {
    /// Paths, each beginning with `/`; a `*` at the end is any run
    #[arg(long = "path", value_name = "PATH", num_args = 1..)]
    paths: Vec<String>,
    /// Tags that the origin sent as Cache-Tag or Surrogate-Key
    #[arg(long = "tag", value_name = "TAG", num_args = 1..)]
    tags: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Create a key pair, or trust a public key
    Create {
        /// Name of the key [default: its id]
        name: Option<String>,
        /// Public key in PEM, whose private half stays with you: RSA of 2048 to 4096 bits or ECDSA P-256; `-` for standard input
        #[arg(long, value_name = "FILE")]
        public_key: Option<String>,
        /// Key-Pair-Id: 1 to 64 letters, digits, `-` or `_` [default: a new one]
        #[arg(long)]
        id: Option<String>,
        /// Key group that it joins, by id or name; may be repeated [default: the default group]
        #[arg(long = "group", value_name = "ID")]
        groups: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List keys
    List(Connection),
    /// Delete a key that no key group has
    Delete(One),
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyGroupVerb {
    /// Create a key group
    #[command(override_usage = "anabranch key-group create <NAME> [--key <ID>...] [OPTIONS]")]
    Create {
        /// Name of the key group
        name: String,
        /// Key that it has, by id or name; may be repeated
        #[arg(long = "key", value_name = "ID", num_args = 1..)]
        keys: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List key groups
    List(Connection),
    /// Show a key group
    Show(One),
    /// Give a key group other keys
    #[command(override_usage = "anabranch key-group update <ID> [--key <ID>...] [OPTIONS]")]
    Update {
        #[command(flatten)]
        one: One,
        /// Key that it has from now on, by id or name; may be repeated; none takes all out
        #[arg(long = "key", value_name = "ID", num_args = 1..)]
        keys: Vec<String>,
    },
    /// Delete a key group that no distribution trusts
    Delete(One),
}

pub(super) async fn distribution(verb: DistributionVerb) -> Result<()> {
    match verb {
        DistributionVerb::Create { config, tags, dry_run, wait, connection } => {
            let client = Client::new(&connection)?;
            let mut labels = serde_json::Map::new();
            for tag in &tags {
                let (key, value) = tag.split_once('=').ok_or_else(|| anyhow!("a tag is KEY=VALUE: {tag:?}"))?;
                labels.insert(key.to_owned(), value.into());
            }
            let body = json!({ "config": config.read()?, "tags": labels });
            if dry_run {
                return post(&connection, "/v1/distributions?dry_run=true", body).await;
            }
            let made = client.post("/v1/distributions", body).await?;
            deployed(&connection, &client, made, &wait).await
        }
        DistributionVerb::Update { one, config, if_match, wait } => {
            let client = Client::new(&one.connection)?;
            let body = json!({ "config": config.read()? });
            let address = path(&["distributions", &one.id]);
            let changed = client.call(Method::PUT, &address, Some(body), if_match.as_deref()).await?;
            deployed(&one.connection, &client, changed, &wait).await
        }
        DistributionVerb::List(connection) => list(&connection, "/v1/distributions", output::DISTRIBUTIONS).await,
        DistributionVerb::Show(one) => show(&one, "distributions").await,
        DistributionVerb::Traffic(one) => traffic(&one).await,
        DistributionVerb::Delete { one, if_match, deletion } => {
            deletion.delete(&one, "distributions", if_match.as_deref()).await
        }
        DistributionVerb::Detach { one, wait } => {
            let client = Client::new(&one.connection)?;
            let detached = client.post(&path(&["distributions", &one.id, "detach"]), json!({})).await?;
            deployed(&one.connection, &client, detached, &wait).await
        }
        DistributionVerb::Attach { one, channel, wait } => {
            let client = Client::new(&one.connection)?;
            let address = path(&["distributions", &one.id, "attach"]);
            let attached = client.post(&address, json!({ "channel": channel })).await?;
            deployed(&one.connection, &client, attached, &wait).await
        }
        DistributionVerb::Sync(one) => act(&one, "distributions", "sync").await,
        DistributionVerb::Sweep { dry_run, connection } => {
            post(&connection, &format!("/v1/distributions/sweep?dry_run={dry_run}"), json!({})).await
        }
    }
}

async fn traffic(one: &One) -> Result<()> {
    let answer = Client::new(&one.connection)?.get(&path(&["distributions", &one.id, "traffic"])).await?;
    output::traffic(&one.connection, &answer)
}

pub(super) async fn invalidation(verb: InvalidationVerb) -> Result<()> {
    match verb {
        InvalidationVerb::Create { distribution, forgotten, caller_reference, wait, connection } => {
            let client = Client::new(&connection)?;
            let mut body = json!({ "paths": forgotten.paths, "tags": forgotten.tags });
            set(&mut body, "caller_reference", caller_reference.map(Value::from));
            let made = client.post(&path(&["distributions", &distribution, "invalidations"]), body).await?;
            let id = text(&made, "id");
            let address = path(&["distributions", &distribution, "invalidations", &id]);
            let subject = format!("invalidation {id}");
            let done = wait.begin(&client).until(&subject, &address, made, wait::invalidated).await?;
            output::object(&connection, &done)
        }
        InvalidationVerb::List { distribution, connection } => {
            let address = path(&["distributions", &distribution, "invalidations"]);
            list(&connection, &address, output::INVALIDATIONS).await
        }
        InvalidationVerb::Show { distribution, one } => {
            let address = path(&["distributions", &distribution, "invalidations", &one.id]);
            let answer = Client::new(&one.connection)?.get(&address).await?;
            output::object(&one.connection, &answer)
        }
    }
}

pub(super) async fn key(verb: KeyVerb) -> Result<()> {
    match verb {
        KeyVerb::Create { name, public_key, id, groups, connection } => {
            let mut body = json!({});
            set(&mut body, "name", name.map(Value::from));
            set(&mut body, "id", id.map(Value::from));
            set(&mut body, "key_groups", (!groups.is_empty()).then(|| groups.into()));
            if let Some(file) = public_key {
                set(&mut body, "public_key", Some(public_pem(read(&file)?, &file)?.into()));
            }
            post(&connection, "/v1/keys", body).await
        }
        KeyVerb::List(connection) => list(&connection, "/v1/keys", output::KEYS).await,
        KeyVerb::Delete(one) => delete(&one, "keys").await,
    }
}

pub(super) async fn key_group(verb: KeyGroupVerb) -> Result<()> {
    match verb {
        KeyGroupVerb::Create { name, keys, connection } => {
            post(&connection, "/v1/key-groups", json!({ "name": name, "keys": keys })).await
        }
        KeyGroupVerb::List(connection) => list(&connection, "/v1/key-groups", output::KEY_GROUPS).await,
        KeyGroupVerb::Show(one) => show(&one, "key-groups").await,
        KeyGroupVerb::Update { one, keys } => {
            let client = Client::new(&one.connection)?;
            let address = path(&["key-groups", &one.id]);
            let changed = client.call(Method::PUT, &address, Some(json!({ "keys": keys })), None).await?;
            output::object(&one.connection, &changed)
        }
        KeyGroupVerb::Delete(one) => delete(&one, "key-groups").await,
    }
}

/// Prints a distribution, when every edge serves by it if somebody waits for that.
pub(super) async fn deployed(connection: &Connection, client: &Client, distribution: Value, wait: &Wait) -> Result<()> {
    let id = text(&distribution, "id");
    let (subject, address) = (format!("distribution {id}"), path(&["distributions", &id]));
    let done = wait.begin(client).until(&subject, &address, distribution, wait::deployed).await?;
    output::object(connection, &done)
}

impl ConfigFile {
    /// The configuration; of an answer of `distribution show` its configuration.
    fn read(&self) -> Result<Value> {
        let mut value: Value =
            serde_json::from_slice(&read(&self.file)?).with_context(|| format!("not JSON: {}", self.file))?;
        Ok(match value.get_mut("config") {
            Some(config) if config.is_object() => config.take(),
            _ => value,
        })
    }
}

/// What may be sent as a public key. A private one stays here, whatever the server would say to it.
fn public_pem(bytes: Vec<u8>, file: &str) -> Result<String> {
    let pem = String::from_utf8(bytes).map_err(|_| anyhow!("not a PEM file: {file}"))?;
    ensure!(
        !pem.contains("PRIVATE KEY-----"),
        "a private key, which was not sent: {file}; give the public half, as `openssl pkey -in KEY -pubout` writes it"
    );
    Ok(pem)
}

/// A file, or standard input for `-`.
fn read(file: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = FILE_MAX_BYTES + 1;
    let done = match file {
        "-" => std::io::stdin().take(limit).read_to_end(&mut bytes),
        path => std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    };
    done.with_context(|| format!("cannot read {file}"))?;
    ensure!(bytes.len() as u64 <= FILE_MAX_BYTES, "a file has at most {FILE_MAX_BYTES} bytes: {file}");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_not_sent_as_a_public_one() {
        let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n").into_bytes();
        assert!(public_pem(pem("PUBLIC KEY"), "a.pem").is_ok());
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            let error = public_pem(pem(label), "a.pem").unwrap_err().to_string();
            assert!(error.contains("a private key, which was not sent: a.pem"), "{error}");
        }
        assert!(public_pem(vec![0xff], "a.der").is_err());
    }
}
