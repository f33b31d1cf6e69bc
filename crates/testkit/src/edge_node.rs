//! `anabranch serve --role edge` as a child process.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::server::binary;
use crate::{Server, Viewer, wait_for};

/// Longest start.
const START: Duration = Duration::from_secs(30);

/// An edge of its own, on free loopback ports with its own data directory.
#[derive(Debug)]
pub struct EdgeNode {
    child: Child,
    dir: TempDir,
    name: String,
    control: String,
    token: String,
    /// Viewers, metrics.
    ports: [u16; 2],
}

impl EdgeNode {
    /// Starts an edge that belongs to `server`, and waits until viewers can connect.
    ///
    /// # Panics
    /// The binary is missing or the edge does not become ready.
    #[must_use]
    pub fn start(server: &Server, name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (control, token) = (server.api(), server.node_token());
        let ports = free_ports();
        let child = spawn(&dir, name, &control, &token, ports);
        let mut node = Self { child, dir, name: name.to_owned(), control, token, ports };
        node.wait_ready();
        node
    }

    /// Base URL for viewers.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Its name among the nodes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it has logged, this start and earlier ones.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Value of a metric summed over its label sets.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        self.metric_of(name, "")
    }

    /// Value of a metric summed over its label sets that contain `labels`.
    #[must_use]
    pub fn metric_of(&self, name: &str, labels: &str) -> f64 {
        let page = Viewer::new().get(&format!("http://127.0.0.1:{}/metrics", self.ports[1])).text();
        page.lines()
            .filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Asks it to end, and waits.
    ///
    /// # Panics
    /// It does not end within 20 s.
    pub fn terminate(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("a running edge");
        wait_for("the edge to end", Duration::from_secs(20), || self.child.try_wait().expect("a child to ask"))
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().expect("a running edge");
        let _ = self.child.wait();
    }

    /// Starts it again on the same data and ports, and waits until viewers can connect.
    pub fn restart(&mut self) {
        self.child = spawn(&self.dir, &self.name, &self.control, &self.token, self.ports);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let url = self.url();
        wait_for("the edge to be ready", START, || {
            let ended = self.child.try_wait().expect("a child to ask");
            assert!(ended.is_none(), "the edge ended:\n{}", self.log());
            Viewer::new().try_get(&url).map(|_| ())
        });
    }
}

impl Drop for EdgeNode {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4000);
            #[expect(clippy::print_stderr, reason = "the test runner shows it beside the failure")]
            {
                eprintln!("log of edge {}:\n{}", self.name, log.get(tail..).unwrap_or(&log));
            }
        }
    }
}

fn spawn(dir: &TempDir, name: &str, control: &str, token: &str, ports: [u16; 2]) -> Child {
    let log = File::options().create(true).append(true).open(dir.path().join("log")).expect("a log file");
    let mut command = Command::new(binary());
    command.args(["serve", "--role", "edge", "--control", control]).arg("--data").arg(dir.path().join("data"));
    for (flag, port) in ["--edge", "--metrics"].iter().zip(ports) {
        command.arg(flag).arg(format!("127.0.0.1:{port}"));
    }
    command.env("ANABRANCH_NODE_TOKEN", token).env("ANABRANCH_NODE_NAME", name).env_remove("ANABRANCH_TOKEN");
    command.env("ANABRANCH_EDGE_TLS_LISTEN", "127.0.0.1:0");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the edge to start")
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 2] {
    let listeners: [TcpListener; 2] =
        std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound socket").port())
}
