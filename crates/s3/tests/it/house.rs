//! An endpoint in a scratch directory, and programs that talk to it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anabranch_net::Shutdown;
use anabranch_s3::{Access, AccessError, AccessKey, Config, Endpoint, Grant, Level, Rights};
use anabranch_store::buckets::Event;
use anabranch_store::{Buckets, LocalStore};
use tokio::process::Command;
use tokio::sync::mpsc;

pub(crate) const OWNER: (&str, &str) = ("AKIAOWNER", "the/owner's+secret");
pub(crate) const READER: (&str, &str) = ("AKIAREADER", "the reader's secret");

/// Time for one run of a program.
const LIMIT: Duration = Duration::from_secs(180);

/// Events that are kept for a test.
const MAX_EVENTS: usize = 10_000;

#[derive(Debug)]
struct Keys;

#[async_trait::async_trait]
impl Access for Keys {
    async fn key(&self, id: &str) -> Result<Option<AccessKey>, AccessError> {
        let key = |secret: &str, rights| Some(AccessKey { secret: secret.to_owned(), rights });
        Ok(match id {
            _ if id == OWNER.0 => key(OWNER.1, Rights::all(Level::Manage)),
            _ if id == READER.0 => {
                key(READER.1, Rights(vec![Grant { bucket: Some("inbox".to_owned()), level: Level::Read }]))
            }
            "AKIABROKEN" => return Err(AccessError("no database".into())),
            _ => None,
        })
    }
}

pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) buckets: Buckets,
    pub(crate) events: mpsc::Receiver<Event>,
    dir: tempfile::TempDir,
    shutdown: Shutdown,
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl House {
    /// With the buckets `inbox`, `other` and `recordings`, which is read only.
    pub(crate) async fn open(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let store = LocalStore::open(&dir.path().join("store"), 0).expect("a store");
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let buckets = Buckets::new(store, Some(Arc::new(sender)));
        for name in ["inbox", "other", "recordings"] {
            buckets.bucket_create(name).await.expect("a bucket");
        }
        let mut config = Config::new(([127, 0, 0, 1], 0).into());
        config.read_only = BTreeSet::from(["recordings".to_owned()]);
        change(&mut config);
        let endpoint = Endpoint::bind(config, buckets.clone(), Arc::new(Keys)).expect("a free port");
        let address = endpoint.local_addr().expect("an address");
        let shutdown = Shutdown::new();
        tokio::spawn(endpoint.run(shutdown.clone()));
        Self { address, buckets, events, dir, shutdown }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A path for files of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file for the test, with its folders.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    /// Runs a program that has to succeed; returns what it printed.
    pub(crate) async fn run(&self, program: &str, package: &str, args: &[&str]) -> String {
        let output = self.output(program, package, args).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program} {args:?}: {}\n{out}\n{err}", output.status);
        out.into_owned()
    }

    /// Runs a program to its end, whatever that is.
    pub(crate) async fn output(&self, program: &str, package: &str, args: &[&str]) -> Output {
        let running = Command::new(program)
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("LANG", "C.UTF-8")
            .env("ENDPOINT", self.url())
            .env("AWS_ACCESS_KEY_ID", OWNER.0)
            .env("AWS_SECRET_ACCESS_KEY", OWNER.1)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("RCLONE_CONFIG_HOUSE_TYPE", "s3")
            .env("RCLONE_CONFIG_HOUSE_PROVIDER", "Other")
            .env("RCLONE_CONFIG_HOUSE_ENV_AUTH", "true")
            .env("RCLONE_CONFIG_HOUSE_ENDPOINT", self.url())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        match tokio::time::timeout(LIMIT, running).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => panic!("{program} cannot be run: {error}; it is in {package}"),
            Err(_) => panic!("{program} {args:?} takes longer than {LIMIT:?}"),
        }
    }

    /// The AWS CLI.
    pub(crate) async fn aws(&self, args: &[&str]) -> String {
        let url = self.url();
        let args: Vec<&str> = [&["--endpoint-url", &url], args].concat();
        self.run(&python("aws"), PYTHON_PACKAGE, &args).await
    }

    pub(crate) async fn rclone(&self, args: &[&str]) -> String {
        self.run("rclone", "Debian's package rclone", args).await
    }

    pub(crate) async fn s3cmd(&self, args: &[&str]) -> String {
        let address = self.address.to_string();
        let (key, secret) = (format!("--access_key={}", OWNER.0), format!("--secret_key={}", OWNER.1));
        let (host, by_host) = (format!("--host={address}"), format!("--host-bucket={address}"));
        let all: Vec<&str> = [&[&*key, &*secret, &*host, &*by_host, "--no-ssl", "--no-progress"], args].concat();
        self.run("s3cmd", "Debian's package s3cmd", &all).await
    }

    pub(crate) async fn curl(&self, args: &[&str]) -> String {
        self.run("curl", "Debian's package curl", &[&["-sS", "--globoff"], args].concat()).await
    }

    /// What happened since this was asked last.
    pub(crate) fn told(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

pub(crate) const PYTHON_PACKAGE: &str = "tests/signers/requirements.txt, which `cargo xtask test` installs";

/// A program of the Python environment of the tests.
pub(crate) fn python(program: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/signers/.venv/bin");
    root.join(program).to_str().expect("a path of text").to_owned()
}

/// Bytes without a pattern that a bug would keep.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Names that go wrong somewhere, usually.
pub(crate) const NAMES: [&str; 7] = [
    "holiday.2024.final.mp4",
    "with spaces/and more.txt",
    "Ordner/Grüße & mehr/日本語 (1).txt",
    "percent %25 + plus=equal;semi'quote.txt",
    ".hidden/..dots.txt",
    "emoji 🎬/~tilde!.txt",
    "plain/a.txt",
];
