//! Verbs of nodes.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use super::connection::{Connection, One};
use super::output;
use super::request::{delete, list};
use crate::config::Config;
use crate::node::node_token;
use crate::terminal;

#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// List the nodes of the data plane
    List(Connection),
    /// Forget a node that is not connected
    Forget(One),
    /// Show the token that edges of their own need; run it on the control plane's machine
    Token {
        /// Configuration file (TOML)
        #[arg(long, value_name = "FILE", env = "ANABRANCH_CONFIG")]
        config: Option<PathBuf>,
        /// Data directory of the control plane
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

pub(super) async fn node(verb: NodeVerb) -> Result<()> {
    match verb {
        NodeVerb::List(connection) => list(&connection, "/v1/nodes", output::NODES).await,
        NodeVerb::Forget(one) => delete(&one, "nodes").await,
        NodeVerb::Token { config, data } => terminal::line(&node_token(&Config::of_directory(config, data)?)?),
    }
}
