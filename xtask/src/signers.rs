//! The signers that the edge is held against in `tests/scenarios/signers.rs`: packages of npm, and a Python environment with
//! botocore and the AWS CLI, which the tests of the S3 endpoint (`crates/s3/tests`) use as well, with boto3. Both are pinned by lock files
//! in `tests/signers` and live beside them. And, in `tests/oidc`, the provider of identities that log-ins are tested against.

use std::fs;

use anyhow::{Context, Result};

use crate::tree::Tree;
use crate::{process, ui};

/// Folder of the lock files.
const FOLDER: &str = "tests/signers";

/// Folder of the provider of identities, with its lock file.
const PROVIDER: &str = "tests/oidc";

/// Brings `node_modules` and `.venv` in step with their lock files.
pub(crate) fn install(tree: &Tree) -> Result<()> {
    ui::install_packages(tree, FOLDER)?;
    ui::install_packages(tree, PROVIDER)?;
    install_python(tree)
}

fn install_python(tree: &Tree) -> Result<()> {
    let root = tree.root.join(FOLDER);
    let lock = root.join("requirements.txt");
    let environment = root.join(".venv");
    let mut wanted = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    // An environment knows its own place: one that was moved has to be made again.
    wanted.extend_from_slice(environment.as_os_str().as_encoded_bytes());
    let wanted = ui::hash_text(&wanted);
    let stamp = environment.join(".xtask-stamp");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    process::run(tree.command("python3", FOLDER).args(["-m", "venv", "--clear", ".venv"]))?;
    let python = environment.join("bin/python");
    let python = python.to_str().context("the checkout's path is not text")?;
    process::run(tree.command(python, FOLDER).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--require-hashes",
        "--requirement",
        "requirements.txt",
    ]))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}
