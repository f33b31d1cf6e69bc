//! Verbs of clusters.

mod definition;
mod settings;
mod table;
mod update;
mod watch;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::definition::{by_region, created, definition};
use self::settings::Settings;
use self::table::{playlists, rows};
use self::update::Change;
use super::address::{address, path};
use super::breakout::Viewer;
use super::client::Client;
use super::connection::{Connection, One};
use super::output;
use super::request::{act, delete, list, patch, post, set, text};
use super::wait::{Stage, Wait};
use crate::terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterVerb {
    /// Create a cluster: which regions have the same live stream, and which of them this server is
    Create {
        name: String,
        /// Region as NAME,origin=URL[,cdn=URL][,distribution=ID][,peer=URL,token=TOKEN]; twice or more, the preferred first
        #[arg(long = "region", value_name = "REGION", required_unless_present = "file")]
        regions: Vec<String>,
        /// The region that this server is [default: none, it only watches]
        #[arg(long, value_name = "NAME")]
        here: Option<String>,
        /// Header with which the origin of a region is asked, as 'REGION=Name: value'
        #[arg(long = "region-header", value_name = "REGION=NAME: VALUE")]
        headers: Vec<String>,
        #[command(flatten)]
        settings: Settings,
        /// The whole definition as JSON, which keeps tokens of peers and headers from the list of processes
        #[arg(long, value_name = "FILE", conflicts_with_all = ["regions", "headers"])]
        file: Option<PathBuf>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Create a cluster as another server that is one of its regions has defined it
    Join {
        name: String,
        /// API of that server
        #[arg(long, value_name = "URL")]
        from: String,
        /// Token there with scope cluster
        #[arg(long = "peer-token", value_name = "TOKEN", env = "ANABRANCH_PEER_TOKEN", hide_env_values = true)]
        peer_token: String,
        /// The region that this server is
        #[arg(long, value_name = "NAME")]
        here: String,
        /// Distribution of this server that serves the region
        #[arg(long, value_name = "ID")]
        distribution: Option<String>,
        /// Token for the server that is a further region, as REGION=TOKEN
        #[arg(long = "region-token", value_name = "REGION=TOKEN")]
        tokens: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Take over what the server of a region has defined of a cluster since
    Pull {
        #[command(flatten)]
        one: One,
        /// Name of the region
        region: String,
        /// Token for the server of a region that is new here, as REGION=TOKEN
        #[arg(long = "region-token", value_name = "REGION=TOKEN")]
        tokens: Vec<String>,
    },
    /// List regions of all clusters
    List(Connection),
    /// Show a cluster
    Show(One),
    /// Show a cluster as it changes, until it is interrupted: a table that is redrawn, or a line of JSON each second
    Watch(One),
    /// List playlists that are watched, with ages and statistics
    Playlists {
        #[command(flatten)]
        one: One,
        /// Those of this region
        #[arg(long, value_name = "NAME")]
        region: Option<String>,
    },
    /// Change a cluster on this server; what is not given stays as it is
    Update {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        settings: Settings,
    },
    /// Close a region: edges answer 404 until another word is said
    Close(Order),
    /// Open a region until another word is said, whatever the automat would do
    Open(Order),
    /// Hand a region back to the automat
    Automatic(Order),
    /// Close a region for some seconds, for practice
    Drill {
        #[command(flatten)]
        order: Order,
        /// How long
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        seconds: u32,
    },
    /// List what was decided, by whom and by what evidence; the newest first
    History {
        #[command(flatten)]
        one: One,
        /// Entries at most, 1 to 200
        #[arg(long, value_name = "NUMBER", default_value_t = 50)]
        limit: u32,
        /// Those that are older than this: `next` of the page before
        #[arg(long, value_name = "SEQUENCE")]
        after: Option<u64>,
    },
    /// List what watchers say
    Votes(One),
    /// Make the distribution of its merged playlists
    Publish(One),
    /// Sign a URL that opens a stream in every region
    PlayUrl {
        #[command(flatten)]
        one: One,
        /// Breakout, by id or name [default: the one that is on air]
        #[arg(long, value_name = "ID")]
        stream: Option<String>,
        #[command(flatten)]
        viewer: Viewer,
    },
    /// Delete a cluster on this server; what it has closed here is open again
    Delete(One),
}

/// What is said of a region.
#[derive(Debug, Args)]
pub(crate) struct Order {
    #[command(flatten)]
    one: One,
    /// Name of the region
    region: String,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// Return when every edge of this server acts by it, and say meanwhile how far it is
    #[command(flatten)]
    wait: Wait,
}

pub(super) async fn cluster(verb: ClusterVerb) -> Result<()> {
    match verb {
        ClusterVerb::Create { name, regions, here, headers, settings, file, connection } => {
            let mut body = match file {
                Some(file) => definition(&file)?,
                None => json!({ "regions": created(&regions, &headers)? }),
            };
            body["name"] = name.into();
            set(&mut body, "here", here.map(Value::from));
            settings.add_to(&mut body)?;
            post(&connection, "/v1/clusters", body).await
        }
        ClusterVerb::Join { name, from, peer_token, here, distribution, tokens, connection } => {
            let mut body = json!({
                "name": name, "here": here, "peer": { "url": from, "token": peer_token }, "tokens": by_region(&tokens)?,
            });
            set(&mut body, "distribution", distribution.map(Value::from));
            post(&connection, "/v1/clusters/join", body).await
        }
        ClusterVerb::Pull { one, region, tokens } => {
            let body = json!({ "region": region, "tokens": by_region(&tokens)? });
            post(&one.connection, &path(&["clusters", &one.id, "pull"]), body).await
        }
        ClusterVerb::Watch(one) => watch::watch(&one).await,
        ClusterVerb::Playlists { one, region } => {
            let address = address(&path(&["clusters", &one.id, "playlists"]), [("region", region)]);
            let answer = Client::new(&one.connection)?.get(&address).await?;
            if output::is_json(&one.connection) {
                return output::object(&one.connection, &answer);
            }
            output::list(&one.connection, &playlists(&answer), output::CLUSTER_PLAYLISTS)
        }
        ClusterVerb::List(connection) => {
            let answer = Client::new(&connection)?.list("/v1/clusters").await?;
            if output::is_json(&connection) {
                return output::object(&connection, &answer);
            }
            output::list(&connection, &json!({ "items": rows(&answer["items"]) }), output::CLUSTERS)
        }
        ClusterVerb::Show(one) => {
            let shown = Client::new(&one.connection)?.get(&path(&["clusters", &one.id])).await?;
            if let Some(warning) = shown["warning"].as_str() {
                terminal::remark(warning);
            }
            if output::is_json(&one.connection) {
                return output::object(&one.connection, &shown);
            }
            for one in shown["alignment"].as_array().into_iter().flatten() {
                if let Some(problem) = one["problem"].as_str() {
                    let (stream, region) = (text(one, "stream"), text(one, "region"));
                    terminal::remark(&format!("stream {stream} in {region}: {problem}"));
                }
            }
            for row in rows(&json!([shown])) {
                if let Some(differs) = row["peer"]["differs"].as_str() {
                    let region = text(&row, "name");
                    terminal::remark(&format!("the server of {region} defines this cluster otherwise: {differs}"));
                }
            }
            for watcher in shown["silent_watchers"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                terminal::remark(&format!("watcher {watcher} is silent"));
            }
            output::list(&one.connection, &json!({ "items": rows(&json!([shown])) }), output::CLUSTER)
        }
        ClusterVerb::Update { one, change, settings } => {
            let client = Client::new(&one.connection)?;
            let mut body = change.body(|| async { client.get(&path(&["clusters", &one.id])).await }).await?;
            settings.add_to(&mut body)?;
            patch(&one.connection, &path(&["clusters", &one.id]), body).await
        }
        ClusterVerb::Close(order) => said(order, "close", None).await,
        ClusterVerb::Open(order) => said(order, "open", None).await,
        ClusterVerb::Automatic(order) => said(order, "automatic", None).await,
        ClusterVerb::Drill { order, seconds } => said(order, "drill", Some(seconds)).await,
        ClusterVerb::History { one, limit, after } => {
            let parameters = [("limit", Some(limit.to_string())), ("after", after.map(|after| after.to_string()))];
            let address = address(&path(&["clusters", &one.id, "history"]), parameters);
            let answer = Client::new(&one.connection)?.get(&address).await?;
            if let Some(next) = answer["next"].as_str().filter(|_| !output::is_json(&one.connection)) {
                terminal::remark(&format!("there are older ones: --after {next}"));
            }
            output::list(&one.connection, &answer, output::CLUSTER_HISTORY)
        }
        ClusterVerb::Votes(one) => {
            list(&one.connection, &path(&["clusters", &one.id, "votes"]), output::CLUSTER_VOTES).await
        }
        ClusterVerb::Publish(one) => act(&one, "clusters", "publish").await,
        ClusterVerb::PlayUrl { one, stream, viewer } => {
            let address = address(&path(&["clusters", &one.id, "play-url"]), [("stream", stream)]);
            post(&one.connection, &address, viewer.body()).await
        }
        ClusterVerb::Delete(one) => delete(&one, "clusters").await,
    }
}

async fn said(order: Order, verb: &str, seconds: Option<u32>) -> Result<()> {
    let Order { one, region, why, wait } = order;
    let client = Client::new(&one.connection)?;
    let mut body = json!({ "region": region, "why": why });
    set(&mut body, "seconds", seconds.map(Value::from));
    let cluster = client.post(&path(&["clusters", &one.id, verb]), body).await?;
    let address = path(&["clusters", &text(&cluster, "id")]);
    let subject = format!("region {region}");
    let done = wait.begin(&client).until(&subject, &address, cluster, |shown| in_force(shown, &region)).await?;
    if let Some(warning) = done["warning"].as_str() {
        terminal::remark(warning);
    }
    output::object(&one.connection, &done)
}

/// Whether edges do what is said of a region.
fn in_force(cluster: &Value, region: &str) -> Stage {
    let regions = cluster["regions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(shown) = regions.iter().find(|shown| shown["name"] == region) else {
        return Stage::Failed("the cluster has no such region any more".to_owned());
    };
    let opening = text(shown, "opening");
    if opening != "draining" && shown["in_force"] == true {
        return Stage::Done(opening);
    }
    let waits = match shown["waiting_for"].as_str() {
        _ if opening == "draining" => "players are steered away",
        Some(waits) => waits,
        None => "edges are told",
    };
    Stage::Going(format!("{opening}: {waits}"), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_is_done() {
        let shown = |opening: &str, in_force: bool| json!({ "regions": [{ "name": "eu", "opening": opening, "in_force": in_force }] });
        assert_eq!(in_force(&shown("closed", true), "eu"), Stage::Done("closed".to_owned()));
        assert!(matches!(in_force(&shown("closed", false), "eu"), Stage::Going(..)));
        assert!(matches!(in_force(&shown("draining", true), "eu"), Stage::Going(..)));
        assert!(matches!(in_force(&shown("closed", true), "us"), Stage::Failed(_)));
        let mut waits = shown("closed", false);
        waits["regions"][0]["waiting_for"] = json!("the server of eu is not heard");
        let words = "closed: the server of eu is not heard".to_owned();
        assert_eq!(in_force(&waits, "eu"), Stage::Going(words, None));
    }
}
