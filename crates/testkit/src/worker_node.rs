//! `anabranch serve --role worker` as a child process.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::server::binary;
use crate::{Server, Viewer, wait_for};

/// Longest start.
const START: Duration = Duration::from_secs(30);

/// A worker of its own, with its own data directory and the media folder of the server.
#[derive(Debug)]
pub struct WorkerNode {
    child: Child,
    dir: TempDir,
    control: String,
    token: String,
    media: PathBuf,
    metrics: u16,
    environment: Vec<(String, String)>,
}

impl WorkerNode {
    /// Starts a worker that belongs to `server`, with more environment variables, and waits until it works.
    ///
    /// # Panics
    /// The binary is missing or the worker does not become ready.
    #[must_use]
    pub fn start(server: &Server, environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let environment: Vec<_> = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (control, token, media) = (server.api(), server.node_token(), server.data().join("media"));
        let metrics = free_port();
        let child = spawn(&dir, &control, &token, &media, metrics, &environment);
        let mut node = Self { child, dir, control, token, media, metrics, environment };
        node.wait_ready();
        node
    }

    /// Data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What it has logged, this start and earlier ones.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Value of a metric summed over its label sets that contain `labels`.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let page = Viewer::new().get(&format!("http://127.0.0.1:{}/metrics", self.metrics)).text();
        page.lines()
            .filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&mut self) {
        self.child.kill().expect("a running worker");
        let _ = self.child.wait();
    }

    /// Starts it again on the same data, and waits until it works.
    pub fn restart(&mut self) {
        self.child = spawn(&self.dir, &self.control, &self.token, &self.media, self.metrics, &self.environment);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics);
        wait_for("the worker to be ready", START, || {
            let ended = self.child.try_wait().expect("a child to ask");
            assert!(ended.is_none(), "the worker ended:\n{}", self.log());
            Viewer::new().try_get(&url).map(|_| ())
        });
    }
}

impl Drop for WorkerNode {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4000);
            #[expect(clippy::print_stderr, reason = "the test runner shows it beside the failure")]
            {
                eprintln!("log of the worker:\n{}", log.get(tail..).unwrap_or(&log));
            }
        }
    }
}

fn spawn(
    dir: &TempDir,
    control: &str,
    token: &str,
    media: &std::path::Path,
    metrics: u16,
    environment: &[(String, String)],
) -> Child {
    let log = File::options().create(true).append(true).open(dir.path().join("log")).expect("a log file");
    let mut command = Command::new(binary());
    command.args(["serve", "--role", "worker", "--control", control]).arg("--media").arg(media);
    command.arg("--data").arg(dir.path().join("data")).arg("--metrics").arg(format!("127.0.0.1:{metrics}"));
    command.env("ANABRANCH_NODE_TOKEN", token).env_remove("ANABRANCH_TOKEN").envs(environment.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the worker to start")
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound socket").port()
}
