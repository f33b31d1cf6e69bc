//! `cargo xtask check`: everything that can be judged without running the product.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::rooms::BANNED;
use crate::steps::Steps;
use crate::tree::{self, Tree};
use crate::{law, licences, process, text, tools};

pub(crate) fn run() -> Result<()> {
    let tree = Tree::find()?;
    let mut steps = Steps::default();
    self::steps(&tree, &mut steps)?;
    steps.finish("cargo xtask check")
}

/// The steps of the check, also a part of `cargo xtask test`. Quick ones first.
pub(crate) fn steps(tree: &Tree, steps: &mut Steps) -> Result<()> {
    steps.step("check: room law", || none(law::edges(&tree.metadata)))?;
    steps.step("check: room cards", || none(law::cards(&tree.metadata)))?;
    steps.step("check: text", || text(tree))?;
    steps.step("check: format", || format(tree))?;
    steps.step("check: lock file", || {
        process::read(tree.cargo().args(["metadata", "--locked", "--format-version", "1"]))
            .map(drop)
            .context("Cargo.lock is missing or does not fit the manifests")
    })?;
    steps.step("check: linked crates", || linked(tree))?;
    steps.step("check: licences", || licences(tree))?;
    steps.step("check: clippy", || {
        process::run(tree.cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    Ok(())
}

/// An error that lists the faults, if there are any.
fn none(faults: Vec<String>) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    for fault in &faults {
        println!("  {fault}");
    }
    bail!("faults: {}, the first: {}", faults.len(), faults[0])
}

fn text(tree: &Tree) -> Result<()> {
    let files = text::files(tree)?;
    for long in text::long_files(tree, &files) {
        println!("warning: a long file: {long}");
    }
    none(text::machine_paths(tree, &files))
}

fn format(tree: &Tree) -> Result<()> {
    process::run(tree.cargo().args(["fmt", "--all", "--check"]))?;
    // The fuzz targets are a workspace of their own, and asking Cargo about it would need their dependencies.
    let targets: Vec<String> =
        text::files(tree)?.into_iter().filter(|file| file.starts_with("fuzz/") && file.ends_with(".rs")).collect();
    process::run(tree.command("rustfmt", ".").args(["--check", "--edition", "2024"]).args(targets))
}

/// No banned crate in what is linked on this machine's target. The lock file is no witness: it lists every target.
fn linked(tree: &Tree) -> Result<()> {
    let host = tree::host()?;
    let listed = process::read(tree.cargo().args([
        "tree",
        "--workspace",
        "-e",
        "normal",
        "--prefix",
        "none",
        "--target",
        &host,
    ]))?;
    let names: BTreeSet<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    none(BANNED.iter().filter(|banned| names.contains(**banned)).map(|banned| format!("linked: {banned}")).collect())
}

fn licences(tree: &Tree) -> Result<()> {
    if tools::on_path("cargo-deny") {
        process::run(tree.cargo().args(["deny", "--offline", "check", "bans", "licenses", "sources"]))?;
        // The advisory database may not be on this machine; then it is said, and nothing is claimed.
        let advisories = process::capture(tree.cargo().args(["deny", "--offline", "check", "advisories"]))?;
        if !advisories.status.success() {
            println!("warning: advisories not clean or not available offline:\n{}", advisories.stderr.trim_end());
        }
        return Ok(());
    }
    println!("cargo-deny is not installed: licences by our own check, advisories not looked at");
    let host = tree::host()?;
    let listed = process::read(tree.cargo().args(["metadata", "--format-version", "1", "--filter-platform", &host]))?;
    let metadata: Value = serde_json::from_str(&listed).context("cannot read cargo metadata")?;
    let deny = fs::read_to_string(tree.root.join("deny.toml")).context("cannot read deny.toml")?;
    none(licences::faults(&metadata, &licences::allowed(&deny)?))
}
