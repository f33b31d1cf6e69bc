//! Verbs of assets and collections.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::address::{address, path};
use super::bucket::file_address;
use super::client::Client;
use super::connection::{Connection, One};
use super::output;
use super::request::{act, delete, list, post, set, show, text};
use super::upload::{Upload, key_of};
use super::wait::{Wait, arrived, asset_made};

/// Bucket of files when nobody names one.
const BUCKET: &str = "uploads";

/// Longest wait for an asset when the operator names none, in seconds.
const ASSET_TIMEOUT: u64 = 3600;

#[derive(Debug, Subcommand)]
pub(crate) enum AssetVerb {
    /// Upload a file, or name one of a bucket, of which an asset is made
    #[command(override_usage = "anabranch asset add <FILE|--key <KEY>> [OPTIONS]")]
    Add {
        /// File to upload
        #[arg(required_unless_present = "key")]
        file: Option<PathBuf>,
        /// Bucket of the file
        #[arg(long, default_value = BUCKET)]
        bucket: String,
        /// Key of the file in the bucket [default: its name]
        #[arg(long)]
        key: Option<String>,
        /// How the asset is made: a preset that is always there (standard, lms, live) or one of the server's configuration, which also
        /// says the form of segments [default: that of the bucket]
        #[arg(long, value_name = "NAME")]
        preset: Option<String>,
        /// Id of an upload of the same file that stopped, to go on with
        #[arg(long, value_name = "ID", requires = "file")]
        resume: Option<String>,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        connection: Connection,
    },
    /// List assets
    List {
        /// In this state only: queued, processing, ready, failed or cancelled
        #[arg(long)]
        state: Option<String>,
        /// Of files of this bucket only
        #[arg(long)]
        bucket: Option<String>,
        /// With this text in their name only
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show an asset
    Show(One),
    /// Make an asset again
    Retry {
        #[command(flatten)]
        one: One,
        /// By another preset
        #[arg(long, value_name = "NAME")]
        preset: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop making an asset; what is finished of it stays
    Cancel(One),
    /// Delete an asset and all that was made of it; its file stays
    Delete(One),
    /// Captions beside those of the file
    Captions {
        #[command(subcommand)]
        verb: CaptionsVerb,
    },
    /// Make signed URLs for a viewer
    Link {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        link: PlayOptions,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CaptionsVerb {
    /// Add captions, or replace those of the same language
    Add {
        #[command(flatten)]
        one: One,
        /// WebVTT (.vtt) or SubRip (.srt), in UTF-8
        file: PathBuf,
        /// Language tag, such as en or pt-BR
        #[arg(long, value_name = "TAG")]
        language: String,
        /// Name for people [default: the language]
        #[arg(long)]
        label: Option<String>,
        /// Viewers who do not choose get them
        #[arg(long)]
        default: bool,
        /// They translate only what every viewer needs
        #[arg(long)]
        forced: bool,
    },
    /// List captions that were added
    List(One),
    /// Remove captions that were added
    Remove {
        #[command(flatten)]
        one: One,
        /// Language tag
        #[arg(long, value_name = "TAG")]
        language: String,
    },
}

/// For whom an asset opens, how long, and in which form.
#[derive(Debug, Args)]
pub(crate) struct PlayOptions {
    /// Viewer, in your own words; collections say who may watch
    #[arg(long)]
    user: Option<String>,
    /// Viewer's IPv4 address or network, such as 192.0.2.0/24
    #[arg(long)]
    ip: Option<String>,
    /// How long it is valid, in seconds
    #[arg(long, visible_alias = "expires-in", value_name = "SECONDS")]
    expires: Option<u64>,
    /// Session to renew [default: a new one]
    #[arg(long)]
    session: Option<String>,
    /// Do not ask whether the user may watch
    #[arg(long)]
    preview: bool,
    /// Print this one alone, as plain text [default: all]
    #[arg(long, value_enum)]
    form: Option<Form>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// The playlist, for any player
    Url,
    /// The playlist with -PREFIX copies of the signature
    Prefix,
    /// The value of a Cookie header, for the host name of the distribution
    Cookies,
    /// The watch page
    Watch,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CollectionVerb {
    /// Create a collection
    Create {
        name: String,
        #[command(flatten)]
        content: CollectionContent,
        #[command(flatten)]
        connection: Connection,
    },
    /// List collections
    List(Connection),
    /// Show a collection
    Show(One),
    /// Change a collection; what is not given stays as it is
    Update {
        #[command(flatten)]
        one: One,
        /// Another name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        content: CollectionContent,
        /// Take all assets out
        #[arg(long, conflicts_with = "assets")]
        no_assets: bool,
        /// Admit no viewer by name
        #[arg(long, conflicts_with = "viewers")]
        no_viewers: bool,
    },
    /// Delete a collection; its assets stay
    Delete(One),
}

/// What a collection is.
#[derive(Debug, Args)]
pub(crate) struct CollectionContent {
    /// Words for viewers
    #[arg(long)]
    description: Option<String>,
    /// Whether every user may watch
    #[arg(long, value_name = "BOOL")]
    everyone: Option<bool>,
    /// Asset that it has, by id, in this order; may be repeated
    #[arg(long = "asset", value_name = "ID")]
    assets: Vec<String>,
    /// User who may watch, in the words of play URLs; may be repeated
    #[arg(long = "viewer", value_name = "USER")]
    viewers: Vec<String>,
}

impl CollectionContent {
    fn add_to(self, body: &mut Value) {
        set(body, "description", self.description.map(Value::from));
        set(body, "everyone", self.everyone.map(Value::from));
        set(body, "assets", (!self.assets.is_empty()).then(|| self.assets.into()));
        set(body, "viewers", (!self.viewers.is_empty()).then(|| self.viewers.into()));
    }
}

pub(super) async fn asset(verb: AssetVerb) -> Result<()> {
    match verb {
        AssetVerb::Add { file, bucket, key, preset, resume, wait, connection } => {
            let client = Client::new(&connection)?;
            let wait = wait.or(ASSET_TIMEOUT);
            let Some(file) = file else {
                // One of both is there, or the command line was refused.
                let key = key.unwrap_or_default();
                return named(&connection, &client, &bucket, &key, preset, &wait).await;
            };
            if preset.is_none() {
                makes_assets(&client, &bucket).await?;
            }
            let key = match &key {
                Some(key) => key.as_str(),
                None => key_of(&file)?,
            };
            let (preset, resume) = (preset.as_deref(), resume.as_deref());
            Upload { file: &file, bucket: &bucket, key, preset, resume }.send(&client).await?;
            followed(&connection, &client, &bucket, key, &wait).await
        }
        AssetVerb::List { state, bucket, name, connection } => {
            let state = state.map(|state| state.to_ascii_uppercase());
            let address = address("/v1/assets", [("state", state), ("bucket", bucket), ("name", name)]);
            list(&connection, &address, output::ASSETS).await
        }
        AssetVerb::Show(one) => show(&one, "assets").await,
        AssetVerb::Retry { one, preset, wait } => {
            let client = Client::new(&one.connection)?;
            let mut body = json!({});
            set(&mut body, "preset", preset.map(Value::from));
            let begun = client.post(&path(&["assets", &one.id, "retry"]), body).await?;
            made(&one.connection, &client, begun, &wait.or(ASSET_TIMEOUT)).await
        }
        AssetVerb::Cancel(one) => act(&one, "assets", "cancel").await,
        AssetVerb::Delete(one) => delete(&one, "assets").await,
        AssetVerb::Captions { verb } => captions(verb).await,
        AssetVerb::Link { one, link } => linked(&one, link).await,
    }
}

async fn captions(verb: CaptionsVerb) -> Result<()> {
    match verb {
        CaptionsVerb::Add { one, file, language, label, default, forced } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {} as UTF-8 text", file.display()))?;
            let mut body = json!({ "text": text, "is_default": default, "is_forced": forced });
            set(&mut body, "label", label.map(Value::from));
            let address = path(&["assets", &one.id, "captions", &language]);
            let added = Client::new(&one.connection)?.call(Method::PUT, &address, Some(body), None).await?;
            output::object(&one.connection, &added)
        }
        CaptionsVerb::List(one) => {
            let all = Client::new(&one.connection)?.get(&path(&["assets", &one.id, "captions"])).await?;
            output::list(&one.connection, &all, output::CAPTIONS)
        }
        CaptionsVerb::Remove { one, language } => {
            Client::new(&one.connection)?.delete(&path(&["assets", &one.id, "captions", &language])).await
        }
    }
}

/// Refuses a bucket of whose files no assets are made, before anything is sent there.
async fn makes_assets(client: &Client, bucket: &str) -> Result<()> {
    let found = client.get(&path(&["buckets", bucket])).await?;
    ensure!(
        found["preset"].is_string(),
        "no assets are made of files of bucket {bucket}: give it a preset with `anabranch bucket update {bucket} --preset NAME`"
    );
    Ok(())
}

async fn named(
    connection: &Connection,
    client: &Client,
    bucket: &str,
    key: &str,
    preset: Option<String>,
    wait: &Wait,
) -> Result<()> {
    let mut body = json!({ "bucket": bucket, "key": key });
    set(&mut body, "preset", preset.map(Value::from));
    let asset = client.post("/v1/assets", body).await?;
    if asset.is_null() {
        followed(connection, client, bucket, key, wait).await
    } else {
        made(connection, client, asset, wait).await
    }
}

/// Prints what has become of a file: when nobody waits, maybe only that it is there.
async fn followed(connection: &Connection, client: &Client, bucket: &str, key: &str, wait: &Wait) -> Result<()> {
    let address = file_address(bucket, key);
    let found = client.get(&address).await?;
    let mut waiting = wait.begin(client);
    let found = waiting.until(&format!("file {key}"), &address, found, arrived).await?;
    let mut file = found["items"][0].clone();
    match file["asset"].as_str() {
        Some(id) => {
            let address = path(&["assets", id]);
            let asset = client.get(&address).await?;
            let done = waiting.until(&format!("asset {id}"), &address, asset, asset_made).await?;
            output::object(connection, &done)
        }
        None => {
            set(&mut file, "bucket", Some(bucket.into()));
            output::object(connection, &file)
        }
    }
}

async fn made(connection: &Connection, client: &Client, asset: Value, wait: &Wait) -> Result<()> {
    let id = text(&asset, "id");
    let (subject, address) = (format!("asset {id}"), path(&["assets", &id]));
    let done = wait.begin(client).until(&subject, &address, asset, asset_made).await?;
    output::object(connection, &done)
}

async fn linked(one: &One, link: PlayOptions) -> Result<()> {
    let mut body = json!({});
    set(&mut body, "user", link.user.map(Value::from));
    set(&mut body, "ip", link.ip.map(Value::from));
    set(&mut body, "expires_in_seconds", link.expires.map(Value::from));
    set(&mut body, "session", link.session.map(Value::from));
    set(&mut body, "preview", link.preview.then(|| true.into()));
    let play = Client::new(&one.connection)?.post(&path(&["assets", &one.id, "play-url"]), body).await?;
    let Some(form) = link.form else { return output::object(&one.connection, &play) };
    let (name, value) = formed(&play, form).context("the server does not tell this form")?;
    output::bare(&one.connection, name, &value)
}

fn formed(play: &Value, form: Form) -> Option<(&'static str, String)> {
    let member = |name: &'static str| Some((name, play[name].as_str()?.to_owned()));
    match form {
        Form::Url => member("url"),
        Form::Prefix => member("prefix_url"),
        Form::Watch => member("watch_url"),
        Form::Cookies => {
            let pair = |cookie: &Value| Some(format!("{}={}", cookie["name"].as_str()?, cookie["value"].as_str()?));
            let pairs: Option<Vec<_>> = play["cookies"].as_array()?.iter().map(pair).collect();
            Some(("cookies", pairs?.join("; ")))
        }
    }
}

pub(super) async fn collection(verb: CollectionVerb) -> Result<()> {
    match verb {
        CollectionVerb::Create { name, content, connection } => {
            let mut body = json!({ "name": name });
            content.add_to(&mut body);
            post(&connection, "/v1/collections", body).await
        }
        CollectionVerb::List(connection) => list(&connection, "/v1/collections", output::COLLECTIONS).await,
        CollectionVerb::Show(one) => show(&one, "collections").await,
        CollectionVerb::Update { one, name, content, no_assets, no_viewers } => {
            let client = Client::new(&one.connection)?;
            let address = path(&["collections", &one.id]);
            let known = client.get(&address).await?;
            let mut body = json!({});
            for member in ["name", "description", "everyone", "assets", "viewers"] {
                set(&mut body, member, Some(known[member].clone()));
            }
            set(&mut body, "name", name.map(Value::from));
            content.add_to(&mut body);
            set(&mut body, "assets", no_assets.then(|| json!([])));
            set(&mut body, "viewers", no_viewers.then(|| json!([])));
            let changed = client.call(Method::PUT, &address, Some(body), None).await?;
            output::object(&one.connection, &changed)
        }
        CollectionVerb::Delete(one) => delete(&one, "collections").await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_the_form_that_is_asked_for() {
        let cookies =
            json!([{ "name": "CloudFront-Policy", "value": "p" }, { "name": "CloudFront-Signature", "value": "s" }]);
        let play = json!({ "url": "u", "prefix_url": "p", "watch_url": "w", "cookies": cookies });
        let of = |form| formed(&play, form).unwrap();
        assert_eq!(of(Form::Url), ("url", "u".to_owned()));
        assert_eq!(of(Form::Prefix), ("prefix_url", "p".to_owned()));
        assert_eq!(of(Form::Watch), ("watch_url", "w".to_owned()));
        assert_eq!(of(Form::Cookies).1, "CloudFront-Policy=p; CloudFront-Signature=s");
        assert_eq!(formed(&json!({}), Form::Url), None);
    }
}
