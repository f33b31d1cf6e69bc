//! Arguments that most commands have: where the API is, how answers look, which object is meant.

use clap::{Args, ValueEnum};

/// How answers look.
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
    pub(super) server: String,
    /// API token
    #[arg(long, value_name = "TOKEN", env = "ANABRANCH_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    /// How to print the answer [default: table on a terminal, json otherwise]
    #[arg(long, value_enum, env = "ANABRANCH_OUTPUT")]
    pub(super) output: Option<Output>,
}

/// One object, by id or name.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Id or name
    pub(super) id: String,
    #[command(flatten)]
    pub(super) connection: Connection,
}
