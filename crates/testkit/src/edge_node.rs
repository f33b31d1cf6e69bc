//! `anabranch serve --role edge` as a child process.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::server::binary;
use crate::{Namespace, Server, Viewer, wait_for};

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
    place: Place,
}

/// Where an edge listens.
#[derive(Clone, Debug)]
struct Place {
    host: Ipv4Addr,
    /// Viewers, metrics.
    ports: [u16; 2],
    /// What puts a program there.
    namespace: Option<Arc<Namespace>>,
}

impl EdgeNode {
    /// Starts an edge that belongs to `server`, and waits until viewers can connect.
    ///
    /// # Panics
    /// The binary is missing or the edge does not become ready.
    #[must_use]
    pub fn start(server: &Server, name: &str) -> Self {
        Self::start_at(Place { host: Ipv4Addr::LOCALHOST, ports: free_ports(), namespace: None }, server, name)
    }

    /// The same in a network namespace, which must be that of `server`.
    ///
    /// # Panics
    /// As [`EdgeNode::start`].
    #[must_use]
    pub fn start_in(namespace: &Arc<Namespace>, server: &Server, name: &str) -> Self {
        let (host, ports) = (namespace.address(), free_ports());
        Self::start_at(Place { host, ports, namespace: Some(namespace.clone()) }, server, name)
    }

    fn start_at(place: Place, server: &Server, name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let (control, token) = (server.api(), server.node_token());
        let child = spawn(&dir, name, &control, &token, &place);
        let mut node = Self { child, dir, name: name.to_owned(), control, token, place };
        node.wait_ready();
        node
    }

    /// Base URL for viewers.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.place.host, self.place.ports[0])
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
        let page = Viewer::new().get(&format!("http://{}:{}/metrics", self.place.host, self.place.ports[1])).text();
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
        self.child = spawn(&self.dir, &self.name, &self.control, &self.token, &self.place);
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

fn spawn(dir: &TempDir, name: &str, control: &str, token: &str, place: &Place) -> Child {
    let log = File::options().create(true).append(true).open(dir.path().join("log")).expect("a log file");
    let mut command = match &place.namespace {
        Some(namespace) => namespace.command(&binary()),
        None => Command::new(binary()),
    };
    command.args(["serve", "--role", "edge", "--control", control]).arg("--data").arg(dir.path().join("data"));
    for (flag, port) in ["--edge", "--metrics"].iter().zip(place.ports) {
        command.arg(flag).arg(format!("{}:{port}", place.host));
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
