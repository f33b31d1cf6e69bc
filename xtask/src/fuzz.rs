//! `cargo xtask fuzz TARGET`: one fuzz target through cargo-fuzz, or without it and without sanitizers.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::tree::Tree;
use crate::{Unusable, process, tools, tree};

/// What makes libFuzzer see coverage on a stable compiler. cargo-fuzz sets the same, and sanitizers beside it.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Memory of a target at most: what a peer's bytes can make us hold is far less.
const LIMITS: [&str; 2] = ["-rss_limit_mb=1024", "-timeout=10"];

pub(crate) fn run(target: Option<&str>, seconds: u64) -> Result<()> {
    let tree = Tree::find()?;
    let known = targets(&tree)?;
    let Some(target) = target.filter(|name| known.iter().any(|known| known == name)) else {
        bail!(Unusable(format!("name a fuzz target, one of: {}", known.join(", "))));
    };
    let mut limits = LIMITS.map(str::to_owned).to_vec();
    limits.push(format!("-max_total_time={seconds}"));
    let words = format!("fuzz/dictionaries/{target}.dict");
    if tree.root.join(&words).is_file() {
        limits.push(format!("-dict={words}"));
    }
    if tools::on_path("cargo-fuzz") {
        // cargo-fuzz needs a nightly compiler for its sanitizers; rustup's cargo understands the `+`.
        let mut command = tree.command("cargo", ".");
        command.args(["+nightly", "fuzz", "run", target, "--"]).args(limits);
        return process::run(&mut command);
    }
    println!("missing: cargo-fuzz; running without sanitizers; install with: cargo install cargo-fuzz --locked");
    if !tools::on_path("c++") {
        bail!(Unusable("missing: a C++ compiler; install with: sudo apt-get install -y g++".to_owned()));
    }
    let (host, output) = (tree::host()?, tree.target.join("fuzz"));
    let mut build = tree.cargo();
    // With a named target, build scripts and macros stay without instruments.
    build.args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", &host, "--bin", target]);
    process::run(build.env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &output))?;
    let (corpus, artifacts) = (format!("fuzz/corpus/{target}"), format!("fuzz/artifacts/{target}/"));
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(tree.root.join(folder)).with_context(|| format!("cannot create {folder}"))?;
    }
    let binary = output.join(host).join("release").join(target);
    let mut command = tree.command(&binary.to_string_lossy(), ".");
    process::run(command.arg(&corpus).arg(format!("-artifact_prefix={artifacts}")).args(limits))
}

fn targets(tree: &Tree) -> Result<Vec<String>> {
    let folder = tree.root.join("fuzz/fuzz_targets");
    let read = || -> std::io::Result<Vec<_>> { fs::read_dir(&folder)?.collect() };
    let mut names: Vec<String> = read()
        .with_context(|| format!("cannot list {}", folder.display()))?
        .iter()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}
