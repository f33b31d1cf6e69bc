//! `anabranch sign`: a URL that opens what a distribution protects.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::connection::Connection;
use super::request::{post, set};

/// Arguments of `sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArguments {
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

pub(super) async fn sign(arguments: SignArguments) -> Result<()> {
    let mut body = json!({ "url": arguments.url, "expires_in_seconds": arguments.expires_in });
    set(&mut body, "resource", arguments.resource.map(Value::from));
    set(&mut body, "key_id", arguments.key.map(Value::from));
    set(&mut body, "ip", arguments.ip.map(Value::from));
    post(&arguments.connection, "/v1/sign", body).await
}
