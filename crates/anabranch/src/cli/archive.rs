//! Verbs of recordings, jobs, events and accounts.

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::address::{address, path};
use super::breakout::Viewer;
use super::client::Client;
use super::connection::{Connection, One};
use super::output;
use super::request::{act, delete, list, post, set, show, text};
use super::wait::{Wait, job_done};

/// Longest wait for a job when the operator names none, in seconds.
const JOB_TIMEOUT: u64 = 3600;

#[derive(Debug, Subcommand)]
pub(crate) enum RecordingVerb {
    /// List recordings
    List {
        /// Of this breakout only, by id or name
        #[arg(long, value_name = "ID")]
        breakout: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a recording
    Show(One),
    /// Make a signed URL for viewers
    PlayUrl {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        viewer: Viewer,
    },
    /// Make one MP4 of a recording
    Mp4 {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        wait: Wait,
    },
    /// Delete a recording and its media
    Delete(One),
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobVerb {
    /// List jobs
    List {
        /// Only those in this state: QUEUED, RUNNING, COMPLETED, FAILED or CANCELLED
        #[arg(long)]
        state: Option<String>,
        /// Only those of this kind, such as mp4
        #[arg(long)]
        kind: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a job
    Show(One),
    /// Cancel a job
    Cancel(One),
    /// Try a job again that was given up
    Retry(One),
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventVerb {
    /// Create an event
    Create {
        name: String,
        /// Account that it belongs to, by id or name [default: the default account]
        #[arg(long, value_name = "ID")]
        account: Option<String>,
        #[command(flatten)]
        content: EventContent,
        #[command(flatten)]
        connection: Connection,
    },
    /// List events
    List(Connection),
    /// Show an event
    Show(One),
    /// Give an event another name, description and time
    Update {
        #[command(flatten)]
        one: One,
        /// Name
        #[arg(long)]
        name: String,
        #[command(flatten)]
        content: EventContent,
    },
    /// Delete an event without breakouts
    Delete(One),
}

/// What an event is.
#[derive(Debug, Args)]
pub(crate) struct EventContent {
    /// What it is
    #[arg(long)]
    description: Option<String>,
    /// When it begins, such as 2026-01-31T20:00:00Z
    #[arg(long, value_name = "TIME")]
    starts_at: Option<String>,
    /// When it ends; breakouts end before
    #[arg(long, value_name = "TIME")]
    ends_at: Option<String>,
}

impl EventContent {
    fn add_to(self, body: &mut Value) {
        set(body, "description", self.description.map(Value::from));
        set(body, "starts_at", self.starts_at.map(Value::from));
        set(body, "ends_at", self.ends_at.map(Value::from));
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountVerb {
    /// Create an account
    Create {
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// List accounts
    List(Connection),
    /// Show an account
    Show(One),
    /// Delete an account without events
    Delete(One),
}

pub(super) async fn recording(verb: RecordingVerb) -> Result<()> {
    match verb {
        RecordingVerb::List { breakout, connection } => {
            list(&connection, &address("/v1/recordings", [("breakout", breakout)]), output::RECORDINGS).await
        }
        RecordingVerb::Show(one) => show(&one, "recordings").await,
        RecordingVerb::PlayUrl { one, viewer } => {
            post(&one.connection, &path(&["recordings", &one.id, "play-url"]), viewer.body()).await
        }
        RecordingVerb::Mp4 { one, wait } => mp4(&one, wait.or(JOB_TIMEOUT)).await,
        RecordingVerb::Delete(one) => delete(&one, "recordings").await,
    }
}

async fn mp4(one: &One, wait: Wait) -> Result<()> {
    let client = Client::new(&one.connection)?;
    let job = client.post(&path(&["recordings", &one.id, "mp4"]), json!({})).await?;
    let id = text(&job, "id");
    let done = wait.begin(&client).until(&format!("job {id}"), &path(&["jobs", &id]), job, job_done).await?;
    output::object(&one.connection, &done)
}

pub(super) async fn job(verb: JobVerb) -> Result<()> {
    match verb {
        JobVerb::List { state, kind, connection } => {
            list(&connection, &address("/v1/jobs", [("state", state), ("kind", kind)]), output::JOBS).await
        }
        JobVerb::Show(one) => show(&one, "jobs").await,
        JobVerb::Cancel(one) => act(&one, "jobs", "cancel").await,
        JobVerb::Retry(one) => act(&one, "jobs", "retry").await,
    }
}

pub(super) async fn event(verb: EventVerb) -> Result<()> {
    match verb {
        EventVerb::Create { name, account, content, connection } => {
            let mut body = json!({ "name": name });
            set(&mut body, "account", account.map(Value::from));
            content.add_to(&mut body);
            post(&connection, "/v1/events", body).await
        }
        EventVerb::List(connection) => list(&connection, "/v1/events", output::EVENTS).await,
        EventVerb::Show(one) => show(&one, "events").await,
        EventVerb::Update { one, name, content } => {
            let mut body = json!({ "name": name });
            content.add_to(&mut body);
            let client = Client::new(&one.connection)?;
            let answer = client.call(Method::PUT, &path(&["events", &one.id]), Some(body), None).await?;
            output::object(&one.connection, &answer)
        }
        EventVerb::Delete(one) => delete(&one, "events").await,
    }
}

pub(super) async fn account(verb: AccountVerb) -> Result<()> {
    match verb {
        AccountVerb::Create { name, connection } => post(&connection, "/v1/accounts", json!({ "name": name })).await,
        AccountVerb::List(connection) => list(&connection, "/v1/accounts", output::ACCOUNTS).await,
        AccountVerb::Show(one) => show(&one, "accounts").await,
        AccountVerb::Delete(one) => delete(&one, "accounts").await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_breakout_is_named_whatever_its_name_holds() {
        let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", api.local_addr().unwrap());
        let connection = Connection { server, token: None, output: None };
        let asked = async {
            let (mut stream, _) = api.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            String::from_utf8(head).unwrap()
        };
        let list = recording(RecordingVerb::List { breakout: Some("ball & gala".to_owned()), connection });
        let (head, listed) = tokio::join!(asked, list);
        assert!(head.starts_with("GET /v1/recordings?breakout=ball%20%26%20gala HTTP/1.1\r\n"), "{head}");
        assert!(listed.is_err());
    }
}
