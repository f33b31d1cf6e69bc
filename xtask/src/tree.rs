//! Where things are: the checkout, the target directory, Cargo itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The checkout and its build output.
pub(crate) struct Tree {
    /// The workspace root.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, wherever it is configured to be.
    pub(crate) target: PathBuf,
    /// `cargo metadata --no-deps`.
    pub(crate) metadata: Value,
}

impl Tree {
    pub(crate) fn find() -> Result<Self> {
        // Of the checkout that asks: two that share a target directory share this program as well.
        let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let here = Path::new(&package).parent().context("xtask has no parent directory")?;
        let text = process::read(cargo(here).args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&text).context("cannot read cargo metadata")?;
        let path = |key: &str| -> Result<PathBuf> {
            metadata[key].as_str().map(PathBuf::from).with_context(|| format!("cargo metadata lacks: {key}"))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")?, metadata })
    }

    /// Cargo, in the root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo(&self.root);
        command.env("PATH", self.path());
        command
    }

    /// Any program, in a folder of the checkout.
    pub(crate) fn command(&self, program: &str, folder: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.root.join(folder)).env("PATH", self.path());
        command
    }

    /// Where a Node.js of our own is, if the machine's is too old.
    pub(crate) fn own_node(&self) -> PathBuf {
        self.target.join("xtask").join("node")
    }

    fn path(&self) -> OsString {
        let own = self.own_node().join("node_modules/.bin");
        let machine = std::env::var_os("PATH").unwrap_or_default();
        if !own.is_dir() {
            return machine;
        }
        // A folder with a colon in its name cannot stand in PATH; then the machine's Node.js has to do.
        std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&machine))).unwrap_or(machine)
    }

    /// The built binary of a profile directory, `debug` or `release`.
    pub(crate) fn binary(&self, profile: &str) -> PathBuf {
        self.target.join(profile).join("anabranch")
    }

    /// A folder for stamps of ours in the target directory.
    pub(crate) fn stamps(&self) -> Result<PathBuf> {
        let folder = self.target.join("xtask");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }
}

/// The triple that this machine compiles for.
pub(crate) fn host() -> Result<String> {
    let version = process::read(Command::new("rustc").arg("-vV"))?;
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).context("rustc names no host")
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // Set by the `cargo run` that started us; a child Cargo would take them for its own and rebuild.
    for inherited in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(inherited);
    }
    command
}
