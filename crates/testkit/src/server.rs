//! `anabranch serve` as a child process.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Fetched, Namespace, Viewer, wait_for};

/// Token of every test server.
const TOKEN: &str = "test-admin-token-0123456789";

/// What `/readyz` answers when the server acts.
const READY: u16 = 200;

/// What `/readyz` answers when another server acts.
const STANDS_BY: u16 = 503;

/// Longest start.
const START: Duration = Duration::from_secs(30);

/// A server on free loopback ports with its own data directory.
#[derive(Debug)]
pub struct Server {
    child: Child,
    dir: TempDir,
    place: Place,
    environment: Vec<(String, String)>,
}

/// Where a server listens.
#[derive(Clone, Debug)]
struct Place {
    host: Ipv4Addr,
    ports: [u16; 5],
    /// What puts a program there.
    namespace: Option<Arc<Namespace>>,
}

impl Place {
    fn local() -> Self {
        Self { host: Ipv4Addr::LOCALHOST, ports: free_ports(), namespace: None }
    }

    fn with_free_ports(&self) -> Self {
        Self { ports: free_ports(), ..self.clone() }
    }
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Panics
    /// The binary is missing or the server does not become ready.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more environment variables.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn start_with(environment: &[(&str, &str)]) -> Self {
        Self::start_until(Place::local(), environment, READY)
    }

    /// Starts a server in a network namespace.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn start_in(namespace: &Arc<Namespace>, environment: &[(&str, &str)]) -> Self {
        let place = Place { host: namespace.address(), ports: free_ports(), namespace: Some(namespace.clone()) };
        Self::start_until(place, environment, READY)
    }

    /// Starts a server that is to stand by, since another one acts on the same database.
    ///
    /// # Panics
    /// As [`Server::start`], or it does not stand by.
    #[must_use]
    pub fn start_standing_by(environment: &[(&str, &str)]) -> Self {
        Self::start_until(Place::local(), environment, STANDS_BY)
    }

    fn start_until(place: Place, environment: &[(&str, &str)], readiness: u16) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let environment: Vec<_> = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let child = spawn(dir.path(), &place, &environment);
        let mut server = Self { child, dir, place, environment };
        // A port that was free may be taken by a test beside this one before the server has it.
        for _ in 0..5 {
            if server.comes_up(readiness) {
                return server;
            }
            assert!(server.log().contains("cannot listen"), "the server ended:\n{}", server.log());
            server.place = server.place.with_free_ports();
            server.child = spawn(server.dir.path(), &server.place, &server.environment);
        }
        panic!("no free ports:\n{}", server.log());
    }

    /// Waits until the server that stood by acts.
    ///
    /// # Panics
    /// It ends, or does not act within half a minute.
    pub fn wait_ready(&mut self) {
        assert!(self.comes_up(READY), "the server ended:\n{}", self.log());
    }

    /// Waits until the server answers `/readyz` with this status; false when it ends instead.
    fn comes_up(&mut self, readiness: u16) -> bool {
        let url = format!("{}/readyz", self.api());
        wait_for("the server to be ready", START, || {
            if self.child.try_wait().expect("a child to ask").is_some() {
                return Some(false);
            }
            let answer = Viewer::new().try_get(&url)?;
            // What a server that acts has met of its database may be 503 as well.
            let standby = answer.text().contains("urn:anabranch:problem:standby");
            (answer.status == readiness && standby == (readiness == STANDS_BY)).then_some(true)
        })
    }

    /// Token that opens everything.
    #[must_use]
    pub fn token() -> &'static str {
        TOKEN
    }

    /// Base URL of API and pages.
    #[must_use]
    pub fn api(&self) -> String {
        format!("http://{}:{}", self.place.host, self.place.ports[0])
    }

    /// Base URL of the edge.
    #[must_use]
    pub fn edge(&self) -> String {
        format!("http://{}:{}", self.place.host, self.place.ports[1])
    }

    /// RTMP server URL.
    #[must_use]
    pub fn rtmp(&self) -> String {
        format!("rtmp://{}:{}/live", self.place.host, self.place.ports[2])
    }

    /// URL of the S3-compatible endpoint.
    #[must_use]
    pub fn s3(&self) -> String {
        format!("http://{}:{}", self.place.host, self.place.ports[4])
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What the server has logged, this start and earlier ones.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Value of a metric summed over its label sets that contain `labels`.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let page = Viewer::new().get(&format!("http://{}:{}/metrics", self.place.host, self.place.ports[3])).text();
        page.lines()
            .filter(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Runs the command line against this server and gives its JSON answer.
    ///
    /// # Panics
    /// It fails or prints something else.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).output().expect("the command line to run");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "anabranch {arguments:?}: {error}\n{}", self.log());
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// The same, with what it says on standard error meanwhile.
    ///
    /// # Panics
    /// It fails or prints something else.
    #[must_use]
    pub fn cli_saying(&self, arguments: &[&str]) -> (Value, String) {
        let output = self.command(arguments).output().expect("the command line to run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "anabranch {arguments:?}: {said}\n{}", self.log());
        (serde_json::from_slice(&output.stdout).unwrap_or(Value::Null), said)
    }

    /// Runs the command line against this server and gives the lines that it prints.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.command(arguments).output().expect("the command line to run");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "anabranch {arguments:?}: {error}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Begins to run the command line against this server; what it says can be read at its end.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn begin(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the command line to start")
    }

    /// Runs the command line, which must fail, and gives what it says on standard error.
    ///
    /// # Panics
    /// It succeeds.
    #[must_use]
    pub fn cli_refused(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the command line to run");
        assert!(!output.status.success(), "anabranch {arguments:?} should fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Calls the API, and gives what it answers.
    ///
    /// # Panics
    /// It does not answer with success.
    #[must_use]
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    /// The same, whatever it answers.
    ///
    /// # Panics
    /// There is no answer.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Fetched {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let viewer = Viewer::new().with("authorization", &format!("Bearer {TOKEN}"));
        let answer = viewer.try_send(method, &format!("{}{path}", self.api()), &body);
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}:\n{}", self.log()))
    }

    /// The token that edges of their own need.
    ///
    /// # Panics
    /// The command line does not show it.
    #[must_use]
    pub fn node_token(&self) -> String {
        let data = self.data();
        let data = data.to_str().expect("a path in UTF-8");
        let output = self.command(&["node", "token", "--data", data]).output().expect("the command line to run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("ANABRANCH_SERVER", self.api()).env("ANABRANCH_TOKEN", TOKEN);
        command.env_remove("ANABRANCH_OUTPUT").stdin(Stdio::null());
        command
    }

    /// Creates a channel and a breakout on it and puts it on air. Gives the channel and the breakout.
    #[must_use]
    pub fn on_air(&self, name: &str) -> (Value, Value) {
        let channel = self.cli(&["channel", "create", name]);
        let id = channel["id"].as_str().expect("a channel id");
        let breakout = self.cli(&["breakout", "create", name, "--channel", id]);
        let breakout = self.cli(&["breakout", "start", breakout["id"].as_str().expect("a breakout id"), "--wait"]);
        assert_eq!(breakout["state"], "RUNNING");
        (channel, breakout)
    }

    /// Starts a second server on the same data directory and gives what it says before it ends.
    #[must_use]
    pub fn second_start(&self) -> (ExitStatus, String) {
        let output = serve(self.dir.path(), &self.place.with_free_ports(), &[])
            .stderr(Stdio::piped())
            .output()
            .expect("a second start");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Ends the server as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().expect("a running server");
        let _ = self.child.wait();
    }

    /// Makes it stand still, or go on.
    ///
    /// # Panics
    /// It does not run.
    pub fn stand_still(&self, still: bool) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        let signal = if still { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(Pid::from_raw(pid), signal).expect("a running server");
    }

    /// Waits until the server that acted stands by.
    ///
    /// # Panics
    /// It ends, or still acts after half a minute.
    pub fn wait_standing_by(&mut self) {
        assert!(self.comes_up(STANDS_BY), "the server ended:\n{}", self.log());
    }

    /// Starts it again on the same data and ports, and waits until it is ready.
    pub fn restart(&mut self) {
        self.restart_until(READY);
    }

    /// The same when another server has come to act meanwhile, so that this one stands by.
    pub fn restart_standing_by(&mut self) {
        self.restart_until(STANDS_BY);
    }

    fn restart_until(&mut self, readiness: u16) {
        self.child = spawn(self.dir.path(), &self.place, &self.environment);
        assert!(self.comes_up(readiness), "the server ended:\n{}", self.log());
    }

    /// Starts it again on the same data and ports with other environment variables; it may end at once.
    pub fn start_again(&mut self, environment: &[(&str, &str)]) {
        self.environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.child = spawn(self.dir.path(), &self.place, &self.environment);
    }

    /// Whether it ends within `longest`.
    #[must_use]
    pub fn ends_within(&mut self, longest: Duration) -> bool {
        let deadline = std::time::Instant::now() + longest;
        while self.child.try_wait().expect("a child to ask").is_none() {
            if std::time::Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// Waits until it is ready; false when it ends instead.
    #[must_use]
    pub fn is_ready(&mut self) -> bool {
        self.comes_up(READY)
    }

    /// Runs the command line against this server; its JSON answer, or what it says on standard error.
    ///
    /// # Errors
    /// It fails.
    pub fn try_cli(&self, arguments: &[&str]) -> Result<Value, String> {
        let output = self.command(arguments).output().expect("the command line to run");
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null));
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Asks it to end, and waits.
    ///
    /// # Panics
    /// It does not end within 20 s.
    pub fn terminate(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("a running server");
        wait_for("the server to end", Duration::from_secs(20), || self.child.try_wait().expect("a child to ask"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(8000);
            #[expect(clippy::print_stderr, reason = "the test runner shows it beside the failure")]
            {
                eprintln!("server log:\n{}", log.get(tail..).unwrap_or(&log));
            }
        }
    }
}

fn spawn(dir: &Path, place: &Place, environment: &[(String, String)]) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("log")).expect("a log file");
    serve(dir, place, environment).stdout(Stdio::null()).stderr(log).spawn().expect("the server to start")
}

fn serve(dir: &Path, place: &Place, environment: &[(String, String)]) -> Command {
    let Place { host, ports, namespace } = place;
    let mut command = match namespace {
        Some(namespace) => namespace.command(&binary()),
        None => Command::new(binary()),
    };
    command.arg("serve").arg("--data").arg(dir.join("data"));
    for (flag, port) in ["--api", "--edge", "--rtmp", "--metrics"].iter().zip(ports) {
        command.arg(flag).arg(format!("{host}:{port}"));
    }
    command.env("ANABRANCH_EDGE_TLS_LISTEN", "127.0.0.1:0");
    command.env("ANABRANCH_S3_LISTEN", format!("{host}:{}", ports[4]));
    command.env("ANABRANCH_TOKEN", TOKEN).envs(environment.iter().cloned()).stdin(Stdio::null());
    command
}

/// The binary under test.
///
/// # Panics
/// It was not built.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ANABRANCH_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("a target directory");
    let path = profile.join("anabranch");
    assert!(path.exists(), "{} is missing: run `cargo build -p anabranch` first", path.display());
    path
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 5] {
    let listeners: [TcpListener; 5] =
        std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound socket").port())
}
