//! What the files of the checkout may not say, and how long they may be.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::process;
use crate::rooms::MAX_LINES;
use crate::tree::Tree;

/// Starts of paths that exist on one machine only. Put together here so that this file does not contain them.
const HOMES: [&str; 4] = [concat!("/", "root/"), concat!("/", "home/"), concat!("/", "work/"), concat!("/", "Users/")];

/// Files of the checkout that Git tracks or would track.
pub(crate) fn files(tree: &Tree) -> Result<Vec<String>> {
    let listed = process::read(tree.command("git", ".").args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
    ]))?;
    Ok(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// Lines with a path of somebody's machine.
pub(crate) fn machine_paths(tree: &Tree, files: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        // Not text, or gone from the work tree while Git still lists it.
        let Ok(text) = fs::read_to_string(tree.root.join(file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(home) = HOMES.iter().find(|home| names_path(line, home)) {
                faults.push(format!("{file}:{}: a path of one machine: {home}", number + 1));
            }
        }
    }
    faults
}

/// Whether `start` begins an absolute path in the line, and is not just the middle of a URL or of another path.
fn names_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !"_-.}>*$~)]".contains(c))
    })
}

/// Source files that have grown too long.
pub(crate) fn long_files(tree: &Tree, files: &[String]) -> Vec<String> {
    let rust = files.iter().filter(|file| Path::new(file).extension().is_some_and(|extension| extension == "rs"));
    let counted = rust.filter_map(|file| Some((file, fs::read_to_string(tree.root.join(file)).ok()?.lines().count())));
    counted.filter(|(_, lines)| *lines > MAX_LINES).map(|(file, lines)| format!("{file}: {lines} lines")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_urls() {
        let home = HOMES[1];
        for found in [format!("cd {home}me"), format!("{home}me"), format!("file://{home}me"), format!("\"{home}me\"")]
        {
            assert!(names_path(&found, home), "{found}");
        }
        for other in [format!("https://example.com{home}page"), format!("$PREFIX{home}me"), format!("..{home}me")] {
            assert!(!names_path(&other, home), "{other}");
        }
    }
}
