//! Verbs of operations.

use anyhow::Result;
use clap::Subcommand;

use super::address::address;
use super::connection::{Connection, One};
use super::output;
use super::request::{list, show};

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

pub(super) async fn operation(verb: OperationVerb) -> Result<()> {
    match verb {
        OperationVerb::List { subject, state, connection } => {
            let address = address("/v1/operations", [("subject", subject), ("state", state)]);
            list(&connection, &address, output::OPERATIONS).await
        }
        OperationVerb::Show(one) => show(&one, "operations").await,
    }
}
