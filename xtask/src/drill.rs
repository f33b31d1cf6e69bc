//! `cargo xtask drill`: regions fail, and players are watched meanwhile.

use anyhow::Result;

use crate::tree::Tree;
use crate::{process, tools};

pub(crate) fn run(runs: u64, segment: u64, release: bool) -> Result<()> {
    let tree = Tree::find()?;
    tools::require(&[tools::FFMPEG, tools::NODE, tools::CHROMIUM])?;
    let profile: &[&str] = if release { &["--release"] } else { &[] };
    process::run(tree.cargo().args(["build", "-p", "anabranch"]).args(profile))?;
    let binary = tree.binary(if release { "release" } else { "debug" });
    let mut command = tree.cargo();
    command.args([
        "test",
        "-p",
        "anabranch-scenarios",
        "--test",
        "scenarios",
        "--",
        "--ignored",
        "--exact",
        "--nocapture",
    ]);
    command.arg("drill::measure").env("ANABRANCH_BIN", binary);
    process::run(command.env("DRILL_RUNS", runs.to_string()).env("DRILL_SEGMENT", segment.to_string()))
}
