//! The web UI: installed and built with npm when its sources changed.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::tree::Tree;
use crate::{Unusable, process, tools};

/// What in `web/` is made, not written.
const MADE: [&str; 3] = ["node_modules", "dist", "src/api/schema.d.ts"];

/// Whether the build had to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    Now,
    Before,
}

/// The oldest Node.js that the tools of the UI run on; `engines` in `web/package.json` says the same.
const NODE_MIN: (u32, u32) = (20, 19);
/// What npm's registry gives where the distribution's Node.js is older.
const NODE_PACKAGE: &str = "node@22";

/// Node.js and npm, new enough: the machine's, Debian's, or one from npm's registry in the target directory.
pub(crate) fn require_node(tree: &Tree) -> Result<()> {
    tools::require(&[tools::NODE])?;
    if node_version(tree).is_some_and(|version| version >= NODE_MIN) {
        return Ok(());
    }
    let (major, minor) = NODE_MIN;
    println!("node is older than {major}.{minor}: installing {NODE_PACKAGE} for this checkout's use");
    let folder = tree.own_node();
    process::run(
        tree.command("npm", ".")
            .args(["install", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .arg(NODE_PACKAGE),
    )?;
    match node_version(tree) {
        Some(version) if version >= NODE_MIN => Ok(()),
        _ => bail!(Unusable(format!("missing: node {major}.{minor} or newer; install it from https://nodejs.org"))),
    }
}

fn node_version(tree: &Tree) -> Option<(u32, u32)> {
    let printed = process::read(tree.command("node", ".").arg("--version")).ok()?;
    let mut numbers = printed.trim().strip_prefix('v')?.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// Brings `web/node_modules` in step with the lock file.
pub(crate) fn install(tree: &Tree) -> Result<()> {
    install_packages(tree, "web")
}

/// Brings `node_modules` of a folder in step with the lock file there.
pub(crate) fn install_packages(tree: &Tree, folder: &str) -> Result<()> {
    require_node(tree)?;
    let root = tree.root.join(folder);
    let lock = root.join("package-lock.json");
    let wanted = hash_text(&fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?);
    // The stamp lives inside the folder it speaks of: a target directory may be shared by several checkouts.
    let stamp = root.join("node_modules").join(".xtask-stamp");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    process::run(tree.command("npm", folder).args(["ci", "--no-audit", "--no-fund"]))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Builds `web/dist` when it is missing or older than the sources.
pub(crate) fn build(tree: &Tree) -> Result<Built> {
    let web = tree.root.join("web");
    let mut hasher = DefaultHasher::new();
    web.hash(&mut hasher);
    let stamp = tree.stamps()?.join(format!("ui-{:016x}", hasher.finish()));
    let wanted = hash_folder(&web)?;
    let fresh = web.join("dist/index.html").is_file() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted);
    if fresh {
        return Ok(Built::Before);
    }
    install(tree)?;
    process::run(tree.command("npm", "web").args(["run", "build"]))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(Built::Now)
}

/// A short name for a content.
pub(crate) fn hash_text(text: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn hash_folder(folder: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    feed(folder, folder, &mut hasher)?;
    Ok(format!("{:016x}", hasher.finish()))
}

fn feed(root: &Path, folder: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let read = || -> std::io::Result<Vec<_>> { fs::read_dir(folder)?.collect() };
    let mut entries = read().with_context(|| format!("cannot list {}", folder.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        if MADE.iter().any(|made| name == Path::new(made)) {
            continue;
        }
        if path.is_dir() {
            feed(root, &path, hasher)?;
        } else {
            name.hash(hasher);
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?.hash(hasher);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_follows_sources_and_not_what_is_made() {
        let folder = std::env::temp_dir().join(format!("xtask-ui-{}", std::process::id()));
        fs::create_dir_all(folder.join("dist")).unwrap();
        fs::create_dir_all(folder.join("src/api")).unwrap();
        fs::write(folder.join("a.ts"), "one").unwrap();
        let first = hash_folder(&folder).unwrap();
        fs::write(folder.join("dist/a.js"), "made").unwrap();
        fs::write(folder.join("src/api/schema.d.ts"), "made").unwrap();
        assert_eq!(hash_folder(&folder).unwrap(), first);
        fs::write(folder.join("a.ts"), "two").unwrap();
        assert_ne!(hash_folder(&folder).unwrap(), first);
        fs::remove_dir_all(folder).unwrap();
    }
}
