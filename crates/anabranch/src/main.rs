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
mod terminal;

use std::process::ExitCode;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

/// Video delivery, live and on demand, from the encoder's push or the uploaded file to the viewer's player.
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
    /// Watch whether an HLS stream goes on, at any URL; the exit code is the verdict: 0 fresh or ended, 1 stale, 2 wrong use
    Watch(Box<cli::WatchArguments>),
    #[command(flatten)]
    Client(cli::ClientCommand),
}

fn main() -> ExitCode {
    let arguments = arguments();
    let outcome = match arguments.command {
        Command::Serve(serve) => node::serve(&serve),
        Command::Edge(edge) => node::edge(&edge),
        Command::Backup(arguments) => node::back_up(arguments).and_then(|done| terminal::line(&done)),
        Command::Restore(arguments) => node::restore(arguments).and_then(|done| terminal::line(&done)),
        Command::Watch(arguments) => return cli::watch(&arguments),
        Command::Client(client) => cli::run(client),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// What the command line says; ends the process if that is help or a mistake.
fn arguments() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|error| {
        let shows_help = !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        // A usage names what was given, and what the environment gives would look as if it were demanded.
        match without_environment(Arguments::command()).try_get_matches() {
            Err(same) if !shows_help && same.kind() == error.kind() => same.exit(),
            _ => error.exit(),
        }
    })
}

fn without_environment(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| argument.env(Resettable::Reset)).mut_subcommands(without_environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_without_what_the_environment_gives() {
        Arguments::command().debug_assert();
        let command = without_environment(Arguments::command());
        let mut open = vec![&command];
        while let Some(command) = open.pop() {
            assert!(command.get_arguments().all(|argument| argument.get_env().is_none()), "{}", command.get_name());
            open.extend(command.get_subcommands());
        }
    }

    #[test]
    fn an_invalidation_asks_for_paths_or_tags() {
        let parse = |more: &[&str]| {
            let words = ["anabranch", "invalidation", "create", "E1"].iter().chain(more);
            Arguments::command().try_get_matches_from(words)
        };
        let error = parse(&[]).unwrap_err().to_string();
        assert!(error.contains("--path <PATH>...|--tag <TAG>..."), "{error}");
        for more in [&["--path", "/a", "/b"][..], &["--tag", "t"], &["--tag", "t", "--path", "/a"]] {
            assert!(parse(more).is_ok(), "{more:?}");
        }
    }
}
