//! The command line that speaks the API: noun, then verb.

mod archive;
mod asset;
mod breakout;
mod bucket;
mod channel;
mod client;
mod cluster;
mod cluster_settings;
mod cluster_update;
mod cluster_watch;
mod delivery;
mod events;
mod follow;
mod node;
mod output;
mod people;
mod upload;
mod usage;
mod wait;
mod watch;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use archive::{AccountVerb, EventVerb, JobVerb, RecordingVerb};
use asset::{AssetVerb, CollectionVerb};
use breakout::BreakoutVerb;
use bucket::{AccessKeyVerb, BucketVerb};
use channel::ChannelVerb;
use client::Client;
use cluster::ClusterVerb;
use delivery::{DistributionVerb, InvalidationVerb, KeyGroupVerb, KeyVerb};
pub(crate) use watch::{WatchArguments, watch};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
    /// Comma-separated values, of usage and charges; other commands print JSON
    Csv,
}

/// Where the API is, and how answers look.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// Address of the API
    #[arg(long, value_name = "URL", env = "ANABRANCH_SERVER", default_value = "http://127.0.0.1:9997")]
    server: String,
    /// API token
    #[arg(long, value_name = "TOKEN", env = "ANABRANCH_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How to print the answer [default: table on a terminal, json otherwise]
    #[arg(long, value_enum, env = "ANABRANCH_OUTPUT")]
    output: Option<Output>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Live pipelines
    Channel {
        #[command(subcommand)]
        verb: ChannelVerb,
    },
    /// What host names serve
    Distribution {
        #[command(subcommand)]
        verb: DistributionVerb,
    },
    /// Orders to forget what edges keep
    Invalidation {
        #[command(subcommand)]
        verb: InvalidationVerb,
    },
    /// Live sessions that an audience watches
    Breakout {
        #[command(subcommand)]
        verb: BreakoutVerb,
    },
    /// Files on demand: what is made of them, and who may watch it
    Asset {
        #[command(subcommand)]
        verb: AssetVerb,
    },
    /// The same live stream in several regions, and which of them are open
    Cluster {
        #[command(subcommand)]
        verb: ClusterVerb,
    },
    /// Assets in an order, and who may watch them
    Collection {
        #[command(subcommand)]
        verb: CollectionVerb,
    },
    /// Where files are, and what becomes of them
    Bucket {
        #[command(subcommand)]
        verb: BucketVerb,
    },
    /// Keys of the S3-compatible endpoint
    AccessKey {
        #[command(subcommand)]
        verb: AccessKeyVerb,
    },
    /// What the archive kept of breakouts
    Recording {
        #[command(subcommand)]
        verb: RecordingVerb,
    },
    /// Work that goes on in the background
    Job {
        #[command(subcommand)]
        verb: JobVerb,
    },
    /// What several breakouts belong to
    Event {
        #[command(subcommand)]
        verb: EventVerb,
    },
    /// Whose events are billed together
    Account {
        #[command(subcommand)]
        verb: AccountVerb,
    },
    /// Keys that sign viewer URLs
    Key {
        #[command(subcommand)]
        verb: KeyVerb,
    },
    /// Processes that serve
    Node {
        #[command(subcommand)]
        verb: node::NodeVerb,
    },
    /// Keys that open what a distribution protects
    KeyGroup {
        #[command(subcommand)]
        verb: KeyGroupVerb,
    },
    /// What is and was done at the provider, step by step
    Operation {
        #[command(subcommand)]
        verb: OperationVerb,
    },
    /// Sign a URL
    Sign(Sign),
    /// What has happened, and what happens
    Log(events::LogArguments),
    /// Where the log is told
    Webhook {
        #[command(subcommand)]
        verb: events::WebhookVerb,
    },
    /// What was used: bytes, requests, viewers, time on air
    Usage(usage::UsageArguments),
    /// What it costs
    Charges {
        #[command(subcommand)]
        verb: usage::ChargesVerb,
    },
    /// The prices in force, and where each comes from
    Prices(Connection),
    /// Who watched, by what means, and how well
    Analytics(usage::AnalyticsArguments),
    /// What is going on, at one look
    Overview(Connection),
    /// How many records of each kind there are
    Counts(Connection),
    /// The configuration that the server acts by, without secrets
    Settings(Connection),
    /// Programs that may use the API
    Token {
        #[command(subcommand)]
        verb: events::TokenVerb,
    },
    /// People who log in, and what they may do
    User {
        #[command(subcommand)]
        verb: people::UserVerb,
    },
    /// Who is logged in
    Session {
        #[command(subcommand)]
        verb: people::SessionVerb,
    },
    /// Who asked for which change, when and from where
    Audit(people::AuditArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperationVerb {
    /// List operations, oldest first
    List {
        /// Only those about this one: id of a channel, distribution or breakout
        #[arg(long, value_name = "ID")]
        subject: Option<String>,
        /// Only those in this state: running, undoing, done, failed, rolled_back or superseded
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show an operation with its steps
    Show(One),
}

/// One object, by id or name.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Id or name
    id: String,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `sign`.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// URL to sign
    url: String,
    /// Resource of a custom policy, with `*` and `?`; without it the URL alone is signed
    #[arg(long)]
    resource: Option<String>,
    /// How long the signature is valid, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    expires_in: u64,
    /// Key to sign with; the oldest that the server holds when not given
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Viewer's IPv4 address or network, such as 192.0.2.0/24; makes a custom policy
    #[arg(long)]
    ip: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Sends what the command asks and prints the answer.
pub(crate) fn run(command: ClientCommand) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            ClientCommand::AccessKey { verb } => bucket::access_key(verb).await,
            ClientCommand::Account { verb } => archive::account(verb).await,
            ClientCommand::Asset { verb } => asset::asset(verb).await,
            ClientCommand::Bucket { verb } => bucket::bucket(verb).await,
            ClientCommand::Cluster { verb } => cluster::cluster(verb).await,
            ClientCommand::Collection { verb } => asset::collection(verb).await,
            ClientCommand::Event { verb } => archive::event(verb).await,
            ClientCommand::Recording { verb } => archive::recording(verb).await,
            ClientCommand::Job { verb } => archive::job(verb).await,
            ClientCommand::Channel { verb } => channel::channel(verb).await,
            ClientCommand::Distribution { verb } => delivery::distribution(verb).await,
            ClientCommand::Invalidation { verb } => delivery::invalidation(verb).await,
            ClientCommand::Breakout { verb } => breakout::breakout(verb).await,
            ClientCommand::Key { verb } => delivery::key(verb).await,
            ClientCommand::KeyGroup { verb } => delivery::key_group(verb).await,
            ClientCommand::Node { verb } => node::node(verb).await,
            ClientCommand::Operation { verb } => operation(verb).await,
            ClientCommand::Sign(arguments) => sign(arguments).await,
            ClientCommand::Log(arguments) => events::log(arguments).await,
            ClientCommand::Webhook { verb } => events::webhook(verb).await,
            ClientCommand::Usage(arguments) => usage::usage(arguments).await,
            ClientCommand::Charges { verb } => usage::charges(verb).await,
            ClientCommand::Prices(connection) => usage::prices(connection).await,
            ClientCommand::Analytics(arguments) => usage::analytics(arguments).await,
            ClientCommand::Overview(connection) => usage::show(connection, "/v1/overview").await,
            ClientCommand::Counts(connection) => usage::counts(connection).await,
            ClientCommand::Settings(connection) => usage::show(connection, "/v1/settings").await,
            ClientCommand::Token { verb } => events::token(verb).await,
            ClientCommand::User { verb } => people::user(verb).await,
            ClientCommand::Session { verb } => people::session(verb).await,
            ClientCommand::Audit(arguments) => people::audit(arguments).await,
        }
    })
}

async fn operation(verb: OperationVerb) -> Result<()> {
    match verb {
        OperationVerb::List { subject, state, connection } => {
            let address = address("/v1/operations", [("subject", subject), ("state", state)]);
            list(&connection, &address, output::OPERATIONS).await
        }
        OperationVerb::Show(one) => show(&one, "operations").await,
    }
}

async fn sign(arguments: Sign) -> Result<()> {
    let mut body = json!({ "url": arguments.url, "expires_in_seconds": arguments.expires_in });
    set(&mut body, "resource", arguments.resource.map(Value::from));
    set(&mut body, "key_id", arguments.key.map(Value::from));
    set(&mut body, "ip", arguments.ip.map(Value::from));
    post(&arguments.connection, "/v1/sign", body).await
}

async fn patch(connection: &Connection, path: &str, body: Value) -> Result<()> {
    let answer = Client::new(connection)?.call(reqwest::Method::PATCH, path, Some(body), None).await?;
    output::object(connection, &answer)
}

async fn post(connection: &Connection, path: &str, body: Value) -> Result<()> {
    let answer = Client::new(connection)?.post(path, body).await?;
    output::object(connection, &answer)
}

async fn list(connection: &Connection, path: &str, columns: output::Columns) -> Result<()> {
    let answer = Client::new(connection)?.list(path).await?;
    output::list(connection, &answer, columns)
}

async fn show(one: &One, noun: &str) -> Result<()> {
    let answer = Client::new(&one.connection)?.get(&path(&[noun, &one.id])).await?;
    output::object(&one.connection, &answer)
}

async fn act(one: &One, noun: &str, verb: &str) -> Result<()> {
    post(&one.connection, &path(&[noun, &one.id, verb]), json!({})).await
}

async fn delete(one: &One, noun: &str) -> Result<()> {
    Client::new(&one.connection)?.delete(&path(&[noun, &one.id])).await
}

fn set(body: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (body.as_object_mut(), value) {
        object.insert(key.to_owned(), value);
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// `/v1/` and the parts, escaped, since names may hold any character.
fn path(parts: &[&str]) -> String {
    let mut path = String::from("/v1");
    for part in parts {
        path.push('/');
        path.push_str(&escape(part));
    }
    path
}

/// An address with those parameters that are given.
fn address<const N: usize>(of: &str, parameters: [(&str, Option<String>); N]) -> String {
    let given = parameters.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", escape(&value?))));
    let query = given.collect::<Vec<_>>().join("&");
    if query.is_empty() { of.to_owned() } else { format!("{of}?{query}") }
}

/// Everything but unreserved characters percent-encoded (RFC 3986 §2.3).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
