//! `cargo xtask bench`: the commands of `benches/commands`, on a release build.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::steps::Steps;
use crate::tree::Tree;
use crate::{Unusable, process};

/// A line of the list: `title: command`.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    title: String,
    words: Vec<String>,
}

pub(crate) fn run(edge_bench: Option<&str>) -> Result<()> {
    let tree = Tree::find()?;
    let list = tree.root.join("benches/commands");
    let entries = parse(&fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?)?;
    // Looked at before the long build, not after it.
    let edge_bench = edge_bench.map(edge_script).transpose()?;
    process::run(tree.cargo().args(["build", "--release", "-p", "anabranch"]))?;
    let mut steps = Steps::default();
    for entry in entries {
        let title: &'static str = entry.title.leak();
        steps.step(title, || {
            let mut command = tree.command(&entry.words[0], ".");
            command.args(&entry.words[1..]).env("ANABRANCH_BIN", tree.binary("release"));
            process::run(&mut command)
        })?;
    }
    if let Some(script) = edge_bench {
        let extra = tree.root.join("benches/edge");
        steps.step("edge, side by side", || {
            let mut command = tree.command("python3", ".");
            command.arg(&script).arg("--extra").arg(&extra).env("ANABRANCH_BIN", tree.binary("release"));
            process::run(&mut command)
        })?;
    }
    steps.finish("cargo xtask bench")
}

fn edge_script(folder: &str) -> Result<PathBuf> {
    let script = Path::new(folder).join("bench.py");
    if !script.is_file() {
        bail!(Unusable(format!("no benchmark there: {}", script.display())));
    }
    script.canonicalize().context("cannot resolve the benchmark's path")
}

fn parse(text: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (title, command) = line
            .split_once(": ")
            .with_context(|| format!("benches/commands: no `title: command` in line {}", number + 1))?;
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            bail!("benches/commands: no command in line {}", number + 1);
        }
        entries.push(Entry { title: title.to_owned(), words });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_titles_commands_and_remarks() {
        let entries = parse("# remark\n\npackaging: cargo bench -p anabranch-packager\n").unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].title, "packaging");
        assert_eq!(entries[0].words, ["cargo", "bench", "-p", "anabranch-packager"]);
        assert!(parse("no command").is_err());
    }
}
