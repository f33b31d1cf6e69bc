//! Verbs of channels.

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::address::path;
use super::client::Client;
use super::connection::{Connection, One};
use super::delivery::{self, Deletion};
use super::output;
use super::request::{list, patch, post, set, text};
use super::wait::{Stage, Wait, channel_made, channel_rests, channel_runs};
use crate::terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum ChannelVerb {
    /// Create a channel, its inputs and its distribution
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
        /// Push endpoints, 1 or 2; two are a failover pair
        #[arg(long, value_name = "NUMBER")]
        inputs: Option<u32>,
        #[command(flatten)]
        failover: Failover,
        /// Address or network that may push, such as 192.0.2.0/24; may be repeated [default: all]
        #[arg(long = "allow", value_name = "ADDRESS")]
        allow: Vec<String>,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        wait: Wait,
        #[command(flatten)]
        connection: Connection,
    },
    /// List channels
    List(Connection),
    /// Show a channel
    Show(One),
    /// Change a channel; what is not given stays as it is
    Update {
        #[command(flatten)]
        one: One,
        /// Another name
        #[arg(long)]
        name: Option<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        failover: Failover,
        /// Address or network that may push; may be repeated
        #[arg(long = "allow", value_name = "ADDRESS", conflicts_with = "allow_all")]
        allow: Vec<String>,
        /// Let everybody push who has the stream key
        #[arg(long)]
        allow_all: bool,
    },
    /// Put another input in use; the preference must be equal
    Switch {
        #[command(flatten)]
        one: One,
        /// Id of the input, or its number from 1
        #[arg(long)]
        input: String,
    },
    /// Give an input another stream key; an encoder with the one before is disconnected
    RotateKey {
        #[command(flatten)]
        one: One,
        /// Id of the input, or its number from 1
        #[arg(long)]
        input: String,
    },
    /// Start a channel, whether or not a breakout needs it
    Start {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        wait: Wait,
    },
    /// Stop a channel
    Stop {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        wait: Wait,
    },
    /// Delete a channel that does not run, with its distribution; recordings stay
    Delete {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        deletion: Deletion,
    },
    /// Make a distribution for a channel that has none
    CreateDistribution {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        wait: Wait,
    },
}

/// How one of two inputs is chosen.
#[derive(Debug, Args)]
pub(crate) struct Failover {
    /// Whether the loss of an input switches to the other
    #[arg(long, value_name = "BOOL")]
    failover: Option<bool>,
    /// Silence after which the other input takes over, in milliseconds
    #[arg(long, value_name = "MS")]
    loss: Option<u32>,
    /// Time without loss after which an input is healthy again, in milliseconds
    #[arg(long, value_name = "MS")]
    clear: Option<u32>,
    /// Which of two healthy inputs is in use
    #[arg(long, value_enum)]
    preference: Option<Preference>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preference {
    /// The first, again once it is healthy
    Primary,
    /// The one that is
    Equal,
}

impl Failover {
    fn body(&self) -> Option<Value> {
        let mut body = json!({});
        set(&mut body, "enabled", self.failover.map(Value::from));
        set(&mut body, "loss_ms", self.loss.map(Value::from));
        set(&mut body, "clear_ms", self.clear.map(Value::from));
        let word = |preference| if matches!(preference, Preference::Primary) { "primary" } else { "equal" };
        set(&mut body, "preference", self.preference.map(|preference| word(preference).into()));
        body.as_object().is_some_and(|fields| !fields.is_empty()).then_some(body)
    }
}

pub(super) async fn channel(verb: ChannelVerb) -> Result<()> {
    match verb {
        ChannelVerb::Create {
            name,
            description,
            segment,
            window,
            inputs,
            failover,
            allow,
            dry_run,
            wait,
            connection,
        } => {
            let mut body = json!({ "name": name });
            set(&mut body, "description", description.map(Value::from));
            set(&mut body, "segment_target_seconds", segment.map(Value::from));
            set(&mut body, "window_seconds", window.map(Value::from));
            set(&mut body, "inputs", inputs.map(Value::from));
            set(&mut body, "failover", failover.body());
            set(&mut body, "ingest_allow", (!allow.is_empty()).then(|| allow.into()));
            if dry_run {
                return post(&connection, "/v1/channels?dry_run=true", body).await;
            }
            let client = Client::new(&connection)?;
            let made = client.post("/v1/channels", body).await?;
            finished(&connection, &client, made, &wait, channel_made).await
        }
        ChannelVerb::List(connection) => list(&connection, "/v1/channels", output::CHANNELS).await,
        ChannelVerb::Show(one) => {
            let channel = Client::new(&one.connection)?.get(&path(&["channels", &one.id])).await?;
            if channel["inputs"].as_array().into_iter().flatten().any(|input| input["stream_key"].is_null()) {
                terminal::remark("stream keys are not shown: they need a token with scope manage");
            }
            output::object(&one.connection, &channel)
        }
        ChannelVerb::Update { one, name, description, failover, allow, allow_all } => {
            let mut body = json!({});
            set(&mut body, "name", name.map(Value::from));
            set(&mut body, "description", description.map(Value::from));
            set(&mut body, "failover", failover.body());
            set(&mut body, "ingest_allow", (allow_all || !allow.is_empty()).then(|| allow.into()));
            patch(&one.connection, &path(&["channels", &one.id]), body).await
        }
        ChannelVerb::Switch { one, input } => {
            post(&one.connection, &path(&["channels", &one.id, "switch"]), json!({ "input": input })).await
        }
        ChannelVerb::RotateKey { one, input } => {
            post(&one.connection, &path(&["channels", &one.id, "inputs", &input, "rotate-key"]), json!({})).await
        }
        ChannelVerb::Start { one, wait } => moved(&one, "start", &wait, channel_runs).await,
        ChannelVerb::Stop { one, wait } => moved(&one, "stop", &wait, channel_rests).await,
        ChannelVerb::Delete { one, deletion } => deletion.delete(&one, "channels", None).await,
        ChannelVerb::CreateDistribution { one, wait } => {
            let client = Client::new(&one.connection)?;
            let made = client.post(&path(&["channels", &one.id, "distribution"]), json!({})).await?;
            delivery::deployed(&one.connection, &client, made, &wait).await
        }
    }
}

async fn moved(one: &One, verb: &str, wait: &Wait, judge: fn(&Value) -> Stage) -> Result<()> {
    let client = Client::new(&one.connection)?;
    let channel = client.post(&path(&["channels", &one.id, verb]), json!({})).await?;
    finished(&one.connection, &client, channel, wait, judge).await
}

async fn finished(
    connection: &Connection,
    client: &Client,
    channel: Value,
    wait: &Wait,
    judge: fn(&Value) -> Stage,
) -> Result<()> {
    let id = text(&channel, "id");
    let done = wait.begin(client).until(&format!("channel {id}"), &path(&["channels", &id]), channel, judge).await?;
    output::object(connection, &done)
}
