//! Verbs of breakouts.

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::address::{address, path};
use super::client::Client;
use super::connection::{Connection, One};
use super::output;
use super::request::{act, delete, list, patch, post, set, show, text};
use super::wait::{Wait, breakout_ended, breakout_runs, channel_rests};

#[derive(Debug, Subcommand)]
pub(crate) enum BreakoutVerb {
    /// Create a breakout on a channel
    Create {
        name: String,
        /// Channel, by id or name
        #[arg(long, value_name = "ID")]
        channel: String,
        /// Cluster that it is a stream of, by name: give each region's breakout the same name
        #[arg(long, value_name = "NAME")]
        cluster: Option<String>,
        #[command(flatten)]
        content: Content,
        #[command(flatten)]
        connection: Connection,
    },
    /// List breakouts
    List {
        /// Only those in this state: IDLE, STARTING, RUNNING or COMPLETED; may be repeated
        #[arg(long = "state", value_name = "STATE", value_delimiter = ',')]
        states: Vec<String>,
        /// Only those whose name holds this text
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a breakout
    Show(One),
    /// Change a breakout; what is not given stays as it is
    Update {
        #[command(flatten)]
        one: One,
        /// Another name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        content: Content,
    },
    /// Put a breakout on air
    Start {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        wait: Wait,
    },
    /// End a breakout
    Stop {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        wait: Wait,
    },
    /// Take back a start that has not completed
    Abort(One),
    /// Make a completed breakout ready for another session
    Reset(One),
    /// Let the audience see it, or not
    Curtain {
        #[command(flatten)]
        one: One,
        #[arg(value_enum)]
        curtain: Curtain,
    },
    /// List who watches and has watched
    Viewers(One),
    /// Have the pages of all viewers begin anew
    Refresh(One),
    /// Refuse every signature that was made so far, or one viewer session
    Revoke {
        #[command(flatten)]
        one: One,
        /// Only this session
        #[arg(long)]
        session: Option<String>,
    },
    /// Delete a breakout and its media
    Delete(One),
    /// Make a signed URL for viewers
    PlayUrl {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        viewer: Viewer,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Curtain {
    /// The audience sees it
    Up,
    /// Only previews open it
    Down,
}

impl Curtain {
    fn word(self) -> &'static str {
        if matches!(self, Self::Up) { "up" } else { "down" }
    }
}

/// What may be decided of a breakout.
#[derive(Debug, Args)]
pub(crate) struct Content {
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Word to find it by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Event that it belongs to, by id or name
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// When it is meant to begin, such as 2026-01-31T20:00:00Z
    #[arg(long, value_name = "TIME")]
    scheduled_at: Option<String>,
    /// How long it is meant to last, in minutes
    #[arg(long, value_name = "MINUTES")]
    duration: Option<u32>,
    /// Whether the audience sees it as soon as it is on air
    #[arg(long, value_enum)]
    curtain: Option<Curtain>,
    /// Sessions of one user at a time; 0 for no limit
    #[arg(long, value_name = "NUMBER")]
    device_limit: Option<u32>,
    /// What is kept of viewers: full, anonymous or off
    #[arg(long, value_name = "WHAT")]
    attendance: Option<String>,
    /// Whether an MP4 of the recording is made by itself
    #[arg(long, value_name = "BOOL")]
    mp4: Option<bool>,
    /// Whether the viewers' page shows how many watch
    #[arg(long, value_name = "BOOL")]
    show_viewers: Option<bool>,
    /// Whether the viewers' page offers the MP4 of the recording
    #[arg(long, value_name = "BOOL")]
    viewer_download: Option<bool>,
    /// Address or network that may push while it is on air; may be repeated [default: what the channel allows]
    #[arg(long = "allow", value_name = "ADDRESS")]
    allow: Vec<String>,
}

impl Content {
    fn add_to(self, body: &mut Value) {
        set(body, "description", self.description.map(Value::from));
        set(body, "tags", (!self.tags.is_empty()).then(|| self.tags.into()));
        set(body, "event", self.event.map(Value::from));
        set(body, "scheduled_at", self.scheduled_at.map(Value::from));
        set(body, "duration_minutes", self.duration.map(Value::from));
        set(body, "curtain", self.curtain.map(|curtain| curtain.word().into()));
        set(body, "device_limit", self.device_limit.map(Value::from));
        set(body, "attendance", self.attendance.map(Value::from));
        set(body, "mp4", self.mp4.map(Value::from));
        set(body, "show_viewers", self.show_viewers.map(Value::from));
        set(body, "viewer_download", self.viewer_download.map(Value::from));
        set(body, "ingest_allow", (!self.allow.is_empty()).then(|| self.allow.into()));
    }
}

/// For whom a URL opens, and how long.
#[derive(Debug, Args)]
pub(crate) struct Viewer {
    /// How long it is valid, in seconds
    #[arg(long, value_name = "SECONDS")]
    expires_in: Option<u64>,
    /// Viewer's IPv4 address or network, such as 192.0.2.0/24
    #[arg(long)]
    ip: Option<String>,
    /// Viewer, in your own words; the device limit counts the sessions of one
    #[arg(long)]
    user: Option<String>,
    /// Session to renew [default: a new one]
    #[arg(long)]
    session: Option<String>,
    /// Open while the curtain is down
    #[arg(long)]
    preview: bool,
}

impl Viewer {
    pub(super) fn body(self) -> Value {
        let mut body = json!({});
        set(&mut body, "expires_in_seconds", self.expires_in.map(Value::from));
        set(&mut body, "ip", self.ip.map(Value::from));
        set(&mut body, "user", self.user.map(Value::from));
        set(&mut body, "session", self.session.map(Value::from));
        set(&mut body, "preview", self.preview.then(|| true.into()));
        body
    }
}

pub(super) async fn breakout(verb: BreakoutVerb) -> Result<()> {
    match verb {
        BreakoutVerb::Create { name, channel, cluster, content, connection } => {
            let mut body = json!({ "name": name, "channel": channel });
            set(&mut body, "cluster", cluster.map(Value::from));
            content.add_to(&mut body);
            post(&connection, "/v1/breakouts", body).await
        }
        BreakoutVerb::List { states, name, connection } => {
            let states = (!states.is_empty()).then(|| states.join(","));
            let address = address("/v1/breakouts", [("state", states), ("name", name)]);
            list(&connection, &address, output::BREAKOUTS).await
        }
        BreakoutVerb::Show(one) => show(&one, "breakouts").await,
        BreakoutVerb::Update { one, name, content } => {
            let mut body = json!({});
            set(&mut body, "name", name.map(Value::from));
            content.add_to(&mut body);
            patch(&one.connection, &path(&["breakouts", &one.id]), body).await
        }
        BreakoutVerb::Start { one, wait } => start(&one, &wait).await,
        BreakoutVerb::Stop { one, wait } => stop(&one, &wait).await,
        BreakoutVerb::Abort(one) => act(&one, "breakouts", "abort").await,
        BreakoutVerb::Reset(one) => act(&one, "breakouts", "reset").await,
        BreakoutVerb::Curtain { one, curtain } => {
            let (client, body) = (Client::new(&one.connection)?, json!({ "curtain": curtain.word() }));
            let answer = client.call(Method::PUT, &path(&["breakouts", &one.id, "curtain"]), Some(body), None).await?;
            output::object(&one.connection, &answer)
        }
        BreakoutVerb::Viewers(one) => {
            list(&one.connection, &path(&["breakouts", &one.id, "viewers"]), output::VIEWERS).await
        }
        BreakoutVerb::Refresh(one) => act(&one, "breakouts", "refresh").await,
        BreakoutVerb::Revoke { one, session } => {
            let mut body = json!({});
            set(&mut body, "session", session.map(Value::from));
            post(&one.connection, &path(&["breakouts", &one.id, "revoke"]), body).await
        }
        BreakoutVerb::Delete(one) => delete(&one, "breakouts").await,
        BreakoutVerb::PlayUrl { one, viewer } => {
            post(&one.connection, &path(&["breakouts", &one.id, "play-url"]), viewer.body()).await
        }
    }
}

async fn start(one: &One, wait: &Wait) -> Result<()> {
    let client = Client::new(&one.connection)?;
    let breakout = client.post(&path(&["breakouts", &one.id, "start"]), json!({})).await?;
    let id = text(&breakout, "id");
    let subject = format!("breakout {id}");
    let done = wait.begin(&client).until(&subject, &path(&["breakouts", &id]), breakout, breakout_runs).await?;
    output::object(&one.connection, &done)
}

/// Stops it; who waits has its playlists closed, and its channel at rest unless that is wanted without a breakout.
async fn stop(one: &One, wait: &Wait) -> Result<()> {
    let client = Client::new(&one.connection)?;
    let breakout = client.post(&path(&["breakouts", &one.id, "stop"]), json!({})).await?;
    let id = text(&breakout, "id");
    let mut waiting = wait.begin(&client);
    let subject = format!("breakout {id}");
    let done = waiting.until(&subject, &path(&["breakouts", &id]), breakout, breakout_ended).await?;
    if wait.waits()
        && let Some(id) = done["channel"].as_str()
    {
        let address = path(&["channels", id]);
        let channel = client.get(&address).await?;
        waiting.until(&format!("channel {id}"), &address, channel, channel_rests).await?;
    }
    output::object(&one.connection, &done)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        content: Content,
    }

    fn body(arguments: &[&str]) -> Value {
        let mut body = json!({});
        Line::try_parse_from([&["breakout"], arguments].concat()).unwrap().content.add_to(&mut body);
        body
    }

    #[test]
    fn only_what_is_given_is_sent() {
        assert_eq!(body(&[]), json!({}));
        assert_eq!(
            body(&["--show-viewers", "true", "--viewer-download", "false", "--mp4", "true"]),
            json!({ "show_viewers": true, "viewer_download": false, "mp4": true })
        );
        assert!(Line::try_parse_from(["breakout", "--show-viewers", "maybe"]).is_err());
    }
}
