//! `cargo xtask test`: what CI runs, in one command.

use anyhow::{Result, bail};

use crate::steps::Steps;
use crate::tree::Tree;
use crate::{check, postgres, process, signers, tools, ui};

/// Crates whose examples in doc comments are run.
const DOC_TESTED: [&str; 4] = ["anabranch-media", "anabranch-hls", "anabranch-http-cache", "anabranch-signing"];

pub(crate) fn run() -> Result<()> {
    let tree = Tree::find()?;
    // Without the tools half of the suite would be silently absent, so this is not a step but a condition.
    tools::require(&[
        tools::FFMPEG,
        tools::NODE,
        tools::CHROMIUM,
        tools::MPV,
        tools::GSTREAMER,
        tools::OPENSSL,
        tools::PYTHON,
        tools::POSTGRES,
        tools::CURL,
        tools::RCLONE,
        tools::S3CMD,
    ])?;
    let mut steps = Steps::default();
    let web = steps.step("web: install", || ui::install(&tree))?
        && steps.step("web: build", || ui::build(&tree).map(drop))?;
    if web {
        steps.step("web: tests", || process::run(tree.command("npm", "web").arg("test")))?;
    } else {
        steps.not_run("web: tests", "the UI was not built");
    }
    let signers = steps.step("signers: install", || signers::install(&tree))?;
    check::steps(&tree, &mut steps)?;
    let built = steps.step("build: everything", || build(&tree))?;
    if built && web && signers {
        steps.step("tests", || tests(&tree))?;
        steps.step("doc tests", || {
            process::run(tree.cargo().args(["test", "--doc"]).args(DOC_TESTED.iter().flat_map(|name| ["-p", name])))
        })?;
    } else {
        let because = if built { "what they need was not installed" } else { "the build failed" };
        steps.not_run("tests", because);
        steps.not_run("doc tests", because);
    }
    steps.finish("cargo xtask test")
}

/// One selection of packages and targets for the binary and the tests, so that nothing is built twice.
fn build(tree: &Tree) -> Result<()> {
    process::run(tree.cargo().args(["build", "--workspace", "--lib", "--bins", "--tests"]))?;
    let binary = tree.binary("debug");
    if !binary.is_file() {
        bail!("the build left no binary: {}", binary.display());
    }
    Ok(())
}

fn tests(tree: &Tree) -> Result<()> {
    let mut command = tree.cargo();
    if tools::on_path("cargo-nextest") {
        // Much of what scenarios do is waiting for real time.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--test-threads"]);
        command.arg((cores + cores.div_ceil(2)).to_string());
    } else {
        command.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    }
    let postgres = postgres::Server::start()?;
    process::run(command.env("ANABRANCH_BIN", tree.binary("debug")).env(postgres::VARIABLE, postgres.url()))
}
