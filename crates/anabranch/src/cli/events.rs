//! Verbs of the log, of webhooks and of API tokens.

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::address::{escape, path};
use super::client::Client;
use super::connection::{Connection, One};
use super::request::{delete, list, post, set, show};
use super::{follow, output};
use crate::terminal;

/// Entries shown when none are followed and no number is given.
const SHOWN: u32 = 50;

/// Entries of a page at most.
const PAGE_MAX: u32 = 200;

/// Arguments of `log`.
#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    #[command(flatten)]
    wanted: Wanted,
    /// Entries of this time or later, such as 2026-11-21T00:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    since: Option<String>,
    /// Entries before this time
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    until: Option<String>,
    /// The newest entries shown, oldest first [default: 50; with --follow 10]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
    /// Go on with what happens
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Which entries.
#[derive(Debug, Args)]
struct Wanted {
    /// `transition`, `stream` or `activity`
    #[arg(long)]
    kind: Option<String>,
    /// Type or what types begin with, such as `breakout` or `breakout.running`
    #[arg(long = "type", value_name = "TYPE")]
    word: Option<String>,
    /// Id of what they are about
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Channel that they concern, by id or name
    #[arg(long, value_name = "ID")]
    channel: Option<String>,
    /// Breakout that they concern, by id or name
    #[arg(long, value_name = "ID")]
    breakout: Option<String>,
    /// Account that they concern
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Name of the token with which it was done
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
}

impl Wanted {
    fn query(&self) -> Vec<(&'static str, String)> {
        let parameters = [
            ("kind", &self.kind),
            ("type", &self.word),
            ("subject", &self.subject),
            ("channel", &self.channel),
            ("breakout", &self.breakout),
            ("account", &self.account),
            ("actor", &self.actor),
        ];
        parameters.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookVerb {
    /// Create a webhook; its secret is shown once
    Create {
        /// Where entries of the log are posted
        url: String,
        /// Type or what types begin with; may be repeated [default: all]
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List webhooks
    List(Connection),
    /// Show a webhook, how far it has got and what is wrong
    Show(One),
    /// Change a webhook
    Update {
        #[command(flatten)]
        one: One,
        /// Where entries are posted
        #[arg(long)]
        url: Option<String>,
        /// Type or what types begin with; may be repeated
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// Tell it every type
        #[arg(long, conflicts_with = "types")]
        all_types: bool,
        /// Go on telling it
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
        /// Tell it nothing for now
        #[arg(long)]
        disable: bool,
    },
    /// Give a webhook another secret, which is shown once
    RotateSecret {
        #[command(flatten)]
        one: One,
        /// How long deliveries are signed with the old secret as well, in seconds
        #[arg(long, value_name = "SECONDS")]
        keep: Option<u64>,
    },
    /// Send a ping to a webhook
    Test(One),
    /// Delete a webhook with what it has not been told yet
    Delete(One),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Create an API token; its secret is shown once
    Create {
        /// Name, by which the log knows it
        name: String,
        /// What it may do: read, operate, manage, keys, webhooks, cluster or admin; may be repeated
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<String>,
        /// From when on it is refused, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List API tokens
    List(Connection),
    /// Refuse an API token from now on
    Revoke(One),
}

/// Prints the newest entries, oldest first, and goes on with what happens if that is asked.
pub(super) async fn log(arguments: LogArguments) -> Result<()> {
    let LogArguments { wanted, since, until, limit, follow, connection } = arguments;
    let client = Client::new(&connection)?;
    let filter = wanted.query();
    let mut query = filter.clone();
    query.extend(since.map(|time| ("since", time)));
    query.extend(until.map(|time| ("until", time)));
    let limit = limit.unwrap_or(if follow { 10 } else { SHOWN });
    let (entries, newest) = newest(&client, &query, limit).await?;
    for entry in entries.iter().rev() {
        if output::entry(&connection, entry)? == terminal::Reader::Gone {
            return Ok(());
        }
    }
    if !follow {
        return Ok(());
    }
    follow::log(&connection, &client, &address("/v1/log/stream", &filter), newest).await
}

/// The newest entries, newest first, and the sequence up to which they are all.
async fn newest(client: &Client, query: &[(&'static str, String)], limit: u32) -> Result<(Vec<Value>, u64)> {
    let mut entries = Vec::new();
    let mut newest = None;
    let mut before = None;
    while (entries.len() as u64) < u64::from(limit) || newest.is_none() {
        let missing = u64::from(limit) - entries.len() as u64;
        let mut query = query.to_vec();
        query.push(("limit", missing.clamp(1, u64::from(PAGE_MAX)).to_string()));
        query.extend(before.take().map(|before| ("before", before)));
        let page = client.get(&address("/v1/log", &query)).await?;
        newest.get_or_insert(page["newest"].as_u64().unwrap_or(0));
        entries.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => before = Some(next.to_owned()),
            None => break,
        }
    }
    entries.truncate(limit as usize);
    Ok((entries, newest.unwrap_or(0)))
}

fn address(path: &str, query: &[(&'static str, String)]) -> String {
    let parameters: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    if parameters.is_empty() { path.to_owned() } else { format!("{path}?{}", parameters.join("&")) }
}

pub(super) async fn webhook(verb: WebhookVerb) -> Result<()> {
    match verb {
        WebhookVerb::Create { url, types, connection } => {
            post(&connection, "/v1/webhooks", json!({ "url": url, "types": types })).await
        }
        WebhookVerb::List(connection) => list(&connection, "/v1/webhooks", output::WEBHOOKS).await,
        WebhookVerb::Show(one) => show(&one, "webhooks").await,
        WebhookVerb::Update { one, url, types, all_types, enable, disable } => {
            let mut body = json!({});
            set(&mut body, "url", url.map(Value::from));
            set(&mut body, "types", (all_types || !types.is_empty()).then(|| types.into()));
            set(&mut body, "enabled", (enable || disable).then(|| enable.into()));
            let client = Client::new(&one.connection)?;
            let changed = client.call(Method::PATCH, &path(&["webhooks", &one.id]), Some(body), None).await?;
            output::object(&one.connection, &changed)
        }
        WebhookVerb::RotateSecret { one, keep } => {
            let mut body = json!({});
            set(&mut body, "keep_seconds", keep.map(Value::from));
            post(&one.connection, &path(&["webhooks", &one.id, "rotate-secret"]), body).await
        }
        WebhookVerb::Test(one) => post(&one.connection, &path(&["webhooks", &one.id, "test"]), json!({})).await,
        WebhookVerb::Delete(one) => delete(&one, "webhooks").await,
    }
}

pub(super) async fn token(verb: TokenVerb) -> Result<()> {
    match verb {
        TokenVerb::Create { name, scopes, expires_at, connection } => {
            let mut body = json!({ "name": name, "scopes": scopes });
            set(&mut body, "expires_at", expires_at.map(Value::from));
            post(&connection, "/v1/tokens", body).await
        }
        TokenVerb::List(connection) => list(&connection, "/v1/tokens", output::TOKENS).await,
        TokenVerb::Revoke(one) => delete(&one, "tokens").await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_escaped() {
        let query = [("channel", "a b&c".to_owned()), ("limit", "5".to_owned())];
        assert_eq!(address("/v1/log", &query), "/v1/log?channel=a%20b%26c&limit=5");
        assert_eq!(address("/v1/log", &[]), "/v1/log");
    }
}
