//! The command line that speaks the API: noun, then verb.

mod client;
mod delivery;
mod node;
mod output;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use client::Client;
use delivery::{Deletion, DistributionVerb, InvalidationVerb, KeyGroupVerb, KeyVerb};
pub(crate) use output::{announce_first_token, complain, line};

/// Time between two looks at a state that is awaited.
const POLL: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperationVerb {
    /// List operations, oldest first
    List {
        /// Only those about this one: id of a channel, distribution or breakout
        #[arg(long, value_name = "ID")]
        subject: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show an operation with its steps
    Show(One),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChannelVerb {
    /// Create a channel, its input and its distribution
    Create {
        name: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// Segment target in seconds, 1 to 10
        #[arg(long, value_name = "SECONDS")]
        segment: Option<u32>,
        /// Playlist window in seconds
        #[arg(long, value_name = "SECONDS")]
        window: Option<u32>,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// List channels
    List(Connection),
    /// Show a channel
    Show(One),
    /// Start a channel, whether or not a breakout needs it
    Start(One),
    /// Stop a channel
    Stop(One),
    /// Delete a channel that does not run, with its breakouts and its distribution
    Delete {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        deletion: Deletion,
    },
    /// Make a distribution for a channel that has none
    CreateDistribution(One),
}

#[derive(Debug, Subcommand)]
pub(crate) enum BreakoutVerb {
    /// Create a breakout on a channel
    Create {
        name: String,
        /// Channel, by id or name
        #[arg(long, value_name = "ID")]
        channel: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// List breakouts
    List(Connection),
    /// Show a breakout
    Show(One),
    /// Put a breakout on air
    Start {
        #[command(flatten)]
        one: One,
        /// Return when it is RUNNING
        #[arg(long)]
        wait: bool,
        /// Longest wait in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        timeout: u64,
    },
    /// End a breakout; final
    Stop(One),
    /// Take back a start that has not completed
    Abort(One),
    /// Delete a breakout and its media
    Delete(One),
    /// Make a signed URL for viewers
    PlayUrl {
        #[command(flatten)]
        one: One,
        /// How long it is valid, in seconds
        #[arg(long, value_name = "SECONDS")]
        expires_in: Option<u64>,
        /// Viewer's IPv4 address or network, such as 192.0.2.0/24
        #[arg(long)]
        ip: Option<String>,
    },
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
            ClientCommand::Channel { verb } => channel(verb).await,
            ClientCommand::Distribution { verb } => delivery::distribution(verb).await,
            ClientCommand::Invalidation { verb } => delivery::invalidation(verb).await,
            ClientCommand::Breakout { verb } => breakout(verb).await,
            ClientCommand::Key { verb } => delivery::key(verb).await,
            ClientCommand::KeyGroup { verb } => delivery::key_group(verb).await,
            ClientCommand::Node { verb } => node::node(verb).await,
            ClientCommand::Operation { verb } => operation(verb).await,
            ClientCommand::Sign(arguments) => sign(arguments).await,
        }
    })
}

async fn channel(verb: ChannelVerb) -> Result<()> {
    match verb {
        ChannelVerb::Create { name, description, segment, window, dry_run, connection } => {
            let mut body = json!({ "name": name });
            set(&mut body, "description", description.map(Value::from));
            set(&mut body, "segment_target_seconds", segment.map(Value::from));
            set(&mut body, "window_seconds", window.map(Value::from));
            post(&connection, if dry_run { "/v1/channels?dry_run=true" } else { "/v1/channels" }, body).await
        }
        ChannelVerb::List(connection) => list(&connection, "/v1/channels", output::CHANNELS).await,
        ChannelVerb::Show(one) => show(&one, "channels").await,
        ChannelVerb::Start(one) => act(&one, "channels", "start").await,
        ChannelVerb::Stop(one) => act(&one, "channels", "stop").await,
        ChannelVerb::Delete { one, deletion } => deletion.delete(&one, "channels", None).await,
        ChannelVerb::CreateDistribution(one) => act(&one, "channels", "distribution").await,
    }
}

async fn breakout(verb: BreakoutVerb) -> Result<()> {
    match verb {
        BreakoutVerb::Create { name, channel, connection } => {
            post(&connection, "/v1/breakouts", json!({ "name": name, "channel": channel })).await
        }
        BreakoutVerb::List(connection) => list(&connection, "/v1/breakouts", output::BREAKOUTS).await,
        BreakoutVerb::Show(one) => show(&one, "breakouts").await,
        BreakoutVerb::Start { one, wait, timeout } => start(&one, wait.then(|| Duration::from_secs(timeout))).await,
        BreakoutVerb::Stop(one) => act(&one, "breakouts", "stop").await,
        BreakoutVerb::Abort(one) => act(&one, "breakouts", "abort").await,
        BreakoutVerb::Delete(one) => delete(&one, "breakouts").await,
        BreakoutVerb::PlayUrl { one, expires_in, ip } => {
            let mut body = json!({});
            set(&mut body, "expires_in_seconds", expires_in.map(Value::from));
            set(&mut body, "ip", ip.map(Value::from));
            post(&one.connection, &path(&["breakouts", &one.id, "play-url"]), body).await
        }
    }
}

async fn operation(verb: OperationVerb) -> Result<()> {
    match verb {
        OperationVerb::List { subject, connection } => {
            let Some(subject) = subject else {
                return list(&connection, "/v1/operations", output::OPERATIONS).await;
            };
            // One subject has few: a page of the largest size holds them.
            let address = format!("/v1/operations?limit=200&subject={subject}");
            let answer = Client::new(&connection)?.get(&address).await?;
            output::list(&connection, &answer, output::OPERATIONS)
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

async fn start(one: &One, wait: Option<Duration>) -> Result<()> {
    let client = Client::new(&one.connection)?;
    let mut breakout = client.post(&path(&["breakouts", &one.id, "start"]), json!({})).await?;
    let deadline = wait.map(|wait| tokio::time::Instant::now() + wait);
    while let Some(deadline) = deadline {
        match breakout["state"].as_str() {
            Some("STARTING") => {}
            Some("RUNNING") | None => break,
            Some(other) => bail!("breakout {} went to {other} instead of RUNNING", one.id),
        }
        if tokio::time::Instant::now() >= deadline {
            let problem = breakout["problem"].as_str().unwrap_or("channel or distribution are not ready");
            bail!("breakout {} is still STARTING: {problem}", one.id);
        }
        tokio::time::sleep(POLL).await;
        breakout = client.get(&path(&["breakouts", &one.id])).await?;
    }
    output::object(&one.connection, &breakout)
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

/// `/v1/` and the parts, each with everything but unreserved characters escaped, since names may hold any.
fn path(parts: &[&str]) -> String {
    let mut path = String::from("/v1");
    for part in parts {
        path.push('/');
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    path
}
