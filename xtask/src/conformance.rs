//! `cargo xtask conformance`: the HTTP cache conformance suite (http-tests/cache-tests) against the built edge.
//!
//! The suite is somebody else's and stays in its own checkout: its origin server and its client run from there, as its
//! scripts for proxies run them. Only the counting is ours, by the suite's own rules.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::demo::{Scratch, listener, show_tail};
use crate::process::{self, Group};
use crate::score::{Kind, Score, Test, Verdict};
use crate::tree::Tree;
use crate::{Args, Unusable, ui};

/// Required tests that have to pass.
const REQUIRED_GOAL: usize = 150;
/// Optimal tests that have to pass.
const OPTIMAL_GOAL: usize = 85;
/// Time for the origin and the edge to listen.
const READY: Duration = Duration::from_secs(30);
/// Time for the whole suite; it takes about three minutes.
const LIMIT: Duration = Duration::from_secs(900);
/// Error statuses for which CloudFront has a least time to keep; the suite wants the origin's word alone.
const ERRORS: [u16; 12] = [400, 403, 404, 405, 410, 414, 416, 500, 501, 502, 503, 504];
/// Writes what the counting needs of the suite's definitions.
const DEFINITIONS: &str = "import suites from './tests/index.mjs'; \
    console.log(JSON.stringify(suites.flatMap(s => s.tests.map(t => \
    ({ id: t.id, kind: t.kind, depends_on: t.depends_on, browser_only: t.browser_only, group: s.id })))))";

/// What the command line says.
pub(crate) struct Options {
    suite: PathBuf,
    id: Option<String>,
    json: Option<PathBuf>,
    release: bool,
}

impl Options {
    pub(crate) fn parse(args: &mut Args) -> Result<Self> {
        let (id, json) = (args.value("--id")?, args.value("--json")?.map(PathBuf::from));
        let release = args.flag("--release");
        let Some(suite) = args.positional()? else {
            bail!(Unusable("name a checkout of http-tests/cache-tests: cargo xtask conformance PATH".to_owned()));
        };
        let suite = Path::new(&suite);
        if !suite.join("test-engine/cli.mjs").is_file() {
            bail!(Unusable(format!("no checkout of http-tests/cache-tests there: {}", suite.display())));
        }
        let suite = suite.canonicalize().with_context(|| format!("cannot resolve {}", suite.display()))?;
        Ok(Self { suite, id, json, release })
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let tree = Tree::find()?;
    ui::require_node(&tree)?;
    install(&tree, &options.suite)?;
    let mut build = tree.cargo();
    build.args(["build", "-p", "anabranch"]);
    if options.release {
        build.arg("--release");
    }
    process::run(&mut build)?;
    let binary = tree.binary(if options.release { "release" } else { "debug" });
    let tests = definitions(&tree, &options.suite)?;
    if let Some(id) = options.id.as_ref().filter(|id| !tests.contains_key(*id)) {
        bail!(Unusable(format!("the suite has no test of that id: {id}")));
    }

    let scratch = Scratch::new("conformance")?;
    // Dropped before the scratch directory: the processes end first.
    let mut stage = Stage::set(&tree, &binary, &options.suite, &scratch.0)?;
    let outcome = stage.play(&tree, options, &scratch.0);
    if outcome.as_ref().is_err_and(|error| !error.is::<process::Interrupted>()) {
        for log in ["origin.log", "edge.log", "suite.log"] {
            show_tail(&scratch.0.join(log));
        }
    }
    drop(stage);
    let Some(results) = outcome? else { return Ok(()) };
    if let Some(file) = &options.json {
        fs::write(file, &results).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let results = serde_json::from_str(&results).context("the suite printed no results")?;
    judge(&Score::count(&tests, &results))
}

/// The suite's own dependencies, once.
fn install(tree: &Tree, suite: &Path) -> Result<()> {
    if suite.join("node_modules").is_dir() {
        return Ok(());
    }
    let how = if suite.join("package-lock.json").is_file() { "ci" } else { "install" };
    process::run(in_suite(tree, "npm", suite).args([how, "--omit=dev", "--no-audit", "--no-fund"]))
}

fn in_suite(tree: &Tree, program: &str, suite: &Path) -> Command {
    let mut command = tree.command(program, ".");
    command.current_dir(suite);
    command
}

fn definitions(tree: &Tree, suite: &Path) -> Result<BTreeMap<String, Test>> {
    let text = process::read(in_suite(tree, "node", suite).args(["--input-type=module", "--eval", DEFINITIONS]))?;
    let list: Vec<Value> = serde_json::from_str(&text).context("cannot read the suite's definitions")?;
    list.iter().map(Test::read).collect::<Option<_>>().context("the suite's definitions have another form")
}

/// The snapshot that the edge serves by: everything goes through, and the origin alone says what is kept.
fn snapshot(origin: SocketAddr) -> Value {
    let errors = ERRORS.map(|status| json!({ "status": status, "min_ttl_seconds": 0 }));
    json!({
        "version": 1,
        "channels": [],
        "breakouts": [],
        "key_groups": [],
        "distributions": [{
            "id": "ECONFORMANCE",
            "domain_name": "conformance.cdn.localhost",
            "aliases": [Ipv4Addr::LOCALHOST.to_string(), "localhost"],
            "enabled": true,
            "origins": [{
                "id": "suite",
                "origin": { "type": "http", "host": origin.ip().to_string(), "http_port": origin.port() },
            }],
            "default_behavior": {
                "path_pattern": "*",
                "origin": "suite",
                "allowed_methods": "all",
                "cache": { "min_ttl_seconds": 0, "default_ttl_seconds": 0, "heuristic": true, "query": "all" },
                "origin_request": { "query": "all", "headers": "all", "cookies": "all" },
            },
            "error_responses": errors,
        }],
    })
}

/// The suite's origin, and the edge before it.
struct Stage {
    origin: Group,
    edge: Group,
    edge_address: SocketAddr,
}

impl Stage {
    fn set(tree: &Tree, binary: &Path, suite: &Path, scratch: &Path) -> Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (origin_address, edge_address) =
            (listener("the origin", Some(any), any.ip(), 0)?, listener("the edge", Some(any), any.ip(), 0)?);
        let mut server = in_suite(tree, "node", suite);
        server
            .args(["--no-warnings", "test-engine/server/server.mjs"])
            .env("npm_config_protocol", "http")
            .env("npm_config_port", origin_address.port().to_string())
            .env("npm_config_pidfile", scratch.join("origin.pid"));
        let origin = Group::spawn_logged("the suite's origin", &mut server, &scratch.join("origin.log"))?;
        let file = scratch.join("snapshot.json");
        fs::write(&file, snapshot(origin_address).to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut edge = Command::new(binary);
        edge.arg("edge").arg("--snapshot").arg(&file).args(["--listen", &edge_address.to_string()]);
        let edge = Group::spawn_logged("anabranch edge", &mut edge, &scratch.join("edge.log"))?;
        let mut stage = Self { origin, edge, edge_address };
        for (what, address) in [("the suite's origin", origin_address), ("anabranch edge", edge_address)] {
            stage.wait(what, address)?;
        }
        Ok(stage)
    }

    fn alive(&mut self) -> Result<()> {
        process::check_interrupt()?;
        for group in [&mut self.origin, &mut self.edge] {
            if let Some(status) = group.status()? {
                bail!("{} has ended: {status}", group.name());
            }
        }
        Ok(())
    }

    fn wait(&mut self, what: &str, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + READY;
        while TcpStream::connect(address).is_err() {
            self.alive()?;
            if Instant::now() > deadline {
                bail!("{what} does not listen after {} s: {address}", READY.as_secs());
            }
            sleep(process::POLL);
        }
        Ok(())
    }

    /// Runs the suite's client; its results, or nothing when one test alone was shown.
    fn play(&mut self, tree: &Tree, options: &Options, scratch: &Path) -> Result<Option<String>> {
        let mut client = in_suite(tree, "node", &options.suite);
        client
            .args(["--no-warnings", "test-engine/cli.mjs"])
            .env("npm_config_base", format!("http://{}", self.edge_address))
            .env("npm_config_id", options.id.as_deref().unwrap_or_default())
            .env("npm_package_config_id", "");
        let results = scratch.join("results.json");
        if options.id.is_none() {
            let create = |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
            client.stdout(create(&results)?).stderr(create(&scratch.join("suite.log"))?);
            println!("running the suite against {}", self.edge_address);
        }
        let status = self.wait_for(Group::spawn("the suite", &mut client)?)?;
        if !status.success() {
            bail!("the suite: {status}");
        }
        if options.id.is_some() {
            return Ok(None);
        }
        fs::read_to_string(&results).map(Some).with_context(|| format!("cannot read {}", results.display()))
    }

    fn wait_for(&mut self, mut client: Group) -> Result<ExitStatus> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = client.status()? {
                return Ok(status);
            }
            self.alive()?;
            if Instant::now() > deadline {
                bail!("the suite has not ended after {} s", LIMIT.as_secs());
            }
            sleep(process::POLL);
        }
    }
}

/// Prints the table and the failures; an error below the goals.
fn judge(score: &Score) -> Result<()> {
    println!("\n{:<10} {:>7} {:>7} {:>11} {:>6} {:>6}", "tests", "passed", "failed", "not judged", "of", "goal");
    for (kind, goal) in
        [(Kind::Required, Some(REQUIRED_GOAL)), (Kind::Optimal, Some(OPTIMAL_GOAL)), (Kind::Check, None)]
    {
        let count = |wanted: fn(&Verdict) -> bool| score.of(kind).filter(|judged| wanted(judged.verdict)).count();
        let passed = count(|verdict| *verdict == Verdict::Passed);
        let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
        let all = count(|_| true);
        let goal = goal.map_or_else(String::new, |goal| goal.to_string());
        println!("{:<10} {passed:>7} {failed:>7} {:>11} {all:>6} {goal:>6}", kind.name(), all - passed - failed);
    }
    for kind in [Kind::Required, Kind::Optimal] {
        println!("\n{} tests not passed:", kind.name());
        for judged in score.of(kind).filter(|judged| *judged.verdict != Verdict::Passed) {
            println!("  {}: {}", judged.id, judged.verdict);
        }
    }
    let (required, optimal) = (score.passed(Kind::Required), score.passed(Kind::Optimal));
    println!("\nrequired: {required} passed, optimal: {optimal} passed");
    if required < REQUIRED_GOAL || optimal < OPTIMAL_GOAL {
        bail!("below the goals: {REQUIRED_GOAL} required, {OPTIMAL_GOAL} optimal");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshot_names_the_origin_and_no_error_is_kept() {
        let made = snapshot(SocketAddr::from(([127, 0, 0, 1], 8123)));
        let distribution = &made["distributions"][0];
        assert_eq!(distribution["origins"][0]["origin"]["http_port"], 8123);
        assert_eq!(distribution["aliases"][0], "127.0.0.1");
        let errors = distribution["error_responses"].as_array().unwrap();
        assert!(errors.iter().all(|error| error["min_ttl_seconds"] == 0) && errors.len() == ERRORS.len());
    }
}
