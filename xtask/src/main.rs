//! `cargo xtask`: the commands that people and CI type. Needs nothing but what Cargo builds.

mod bench;
mod check;
mod conformance;
mod demo;
mod drill;
mod fuzz;
mod http;
mod law;
mod licences;
mod postgres;
mod process;
mod rooms;
mod score;
mod signers;
mod steps;
mod suite;
mod text;
mod tools;
mod tree;
mod ui;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo   [--release] [--api ADDR] [--edge ADDR] [--rtmp ADDR] [--seconds N]
         build, serve from a scratch directory, publish a test picture, print the URLs; Ctrl-C ends all of it
  test   everything that CI runs: tools, web, check, tests
  check  format, clippy, room law, room cards, licences, dependencies, text
  ui     build the web UI when its sources changed
  bench  [--edge-bench DIR]
         release build, then the commands of benches/commands
  drill  [--runs N] [--segment SECONDS] [--release]
         regions fail while hls.js and Shaka play; prints how long it took and what players noticed; needs root for its networks
  postgres COMMAND [ARGUMENT...]
         run a command with a scratch PostgreSQL server, whose URL is in ANABRANCH_TEST_POSTGRES
  fuzz   TARGET [--seconds N]
         run one fuzz target
  conformance PATH [--id TEST] [--json FILE] [--release]
         the HTTP cache conformance suite, from a checkout of http-tests/cache-tests, against the edge

exit status: 0 done, 1 failed, 2 something is missing or the command is wrong, 130 interrupted";

/// Why a command cannot run at all, as opposed to having run and failed. Exit status 2.
#[derive(Debug)]
pub(crate) struct Unusable(pub(crate) String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

fn main() -> ExitCode {
    let outcome = process::catch_signals().and_then(|()| dispatch(std::env::args().skip(1).collect()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<process::Interrupted>() => ExitCode::from(130),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(if error.is::<Unusable>() { 2 } else { 1 })
        }
    }
}

fn dispatch(args: Vec<String>) -> Result<()> {
    let mut args = Args(args);
    let command = args.positional()?;
    match command.as_deref() {
        Some("demo") => {
            let options = demo::Options::parse(&mut args)?;
            args.finish()?;
            demo::run(&options)
        }
        Some("test") => {
            args.finish()?;
            suite::run()
        }
        Some("check") => {
            args.finish()?;
            check::run()
        }
        Some("ui") => {
            args.finish()?;
            ui::build(&tree::Tree::find()?).map(drop)
        }
        Some("bench") => {
            let edge_bench = args.value("--edge-bench")?;
            args.finish()?;
            bench::run(edge_bench.as_deref())
        }
        Some("drill") => {
            let (runs, segment) = (args.number("--runs")?.unwrap_or(20), args.number("--segment")?.unwrap_or(6));
            let release = args.flag("--release");
            args.finish()?;
            drill::run(runs, segment, release)
        }
        Some("postgres") => postgres::run(&args.0),
        Some("fuzz") => {
            let seconds = args.number("--seconds")?.unwrap_or(60);
            let target = args.positional()?;
            args.finish()?;
            fuzz::run(target.as_deref(), seconds)
        }
        Some("conformance") => {
            let options = conformance::Options::parse(&mut args)?;
            args.finish()?;
            conformance::run(&options)
        }
        Some("help") => {
            println!("{USAGE}");
            Ok(())
        }
        Some(other) => bail!(Unusable(format!("unknown command: {other}\n{USAGE}"))),
        None if args.flag("--help") || args.flag("-h") => {
            println!("{USAGE}");
            Ok(())
        }
        None => bail!(Unusable(USAGE.to_owned())),
    }
}

/// What is left of the command line.
pub(crate) struct Args(Vec<String>);

impl Args {
    fn positional(&mut self) -> Result<Option<String>> {
        match self.0.first() {
            Some(first) if !first.starts_with('-') => Ok(Some(self.0.remove(0))),
            _ => Ok(None),
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|arg| arg != name);
        self.0.len() < before
    }

    /// The value of `--name VALUE` or `--name=VALUE`.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        let prefix = format!("{name}=");
        let Some(at) = self.0.iter().position(|arg| arg == name || arg.starts_with(&prefix)) else {
            return Ok(None);
        };
        let arg = self.0.remove(at);
        if let Some(value) = arg.strip_prefix(&prefix) {
            return Ok(Some(value.to_owned()));
        }
        if at < self.0.len() {
            return Ok(Some(self.0.remove(at)));
        }
        bail!(Unusable(format!("option needs a value: {name}")))
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        text.parse().map(Some).context(Unusable(format!("option needs a whole number: {name}")))
    }

    fn finish(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some(extra) => bail!(Unusable(format!("unknown argument: {extra}\n{USAGE}"))),
        }
    }
}
