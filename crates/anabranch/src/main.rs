//! The house: one binary that builds the rooms, joins them with bounded channels and watches, and drains them; and the
//! command line that speaks the API. It holds no rules.
//!
//! In: arguments, environment, configuration file.
//! Out: a running node, or an answer on standard output.
//! Never: behaviour. A rule found here belongs to a room.

mod cli;
mod config;
mod logs;
mod node;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Live video delivery, from the encoder's push to the viewer's player.
#[derive(Debug, Parser)]
#[command(name = "anabranch", version, propagate_version = true, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: API and pages, RTMP ingest, packager, origin and edge in one process
    Serve(config::ServeArguments),
    /// Run an edge alone, from a snapshot file
    Edge(node::EdgeArguments),
    /// Write a backup of the database to a new file; the server may run meanwhile
    Backup(node::BackupArguments),
    /// Make a backup the database; the server must not run, and what was there is kept beside it
    Restore(node::BackupArguments),
    #[command(flatten)]
    Client(cli::ClientCommand),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Serve(serve) => node::serve(&serve),
        Command::Edge(edge) => node::edge(&edge),
        Command::Backup(arguments) => node::back_up(arguments).and_then(|done| cli::line(&done)),
        Command::Restore(arguments) => node::restore(arguments).and_then(|done| cli::line(&done)),
        Command::Client(client) => cli::run(client),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}
