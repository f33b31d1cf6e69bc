//! A scriptable origin, a plain client and a running edge.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anabranch_edge::{Config, Edge, Rewriting, Transforms};
use anabranch_model::{
    AllowedMethods, Behavior, COPY_MARK, CachePolicy, DistributionSpec, HttpOrigin, InvalidationLog, KeyGroupSpec,
    Origin, OriginProtocol, OriginRequestPolicy, OriginSpec, OriginTimeouts, PriceClass, Report, ResponseHeadersPolicy,
    Snapshot, Transform, ViewerProtocol,
};
use anabranch_net::{ManualClock, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

/// Start of the tests' time: 2023-11-14T22:13:20Z.
pub const NOW_MS: i64 = 1_700_000_000_000;

/// What the origin does for a path.
#[derive(Clone)]
pub struct Script {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Before the head.
    pub delay: Duration,
    /// Told once for each request that may be answered.
    pub hold: Option<Arc<Notify>>,
    /// Body bytes sent before a pause of that length, and whether the connection ends there.
    pub pause: Option<(usize, Duration)>,
    /// Body bytes sent before it waits to be told to go on.
    pub gate: Option<(usize, Arc<Notify>)>,
    pub cut_after: Option<usize>,
    pub chunked: bool,
    /// Answers 304 to its own entity tag.
    pub etag: Option<&'static str>,
}

impl Script {
    pub fn ok(body: impl Into<Vec<u8>>, cache_control: &str) -> Self {
        Self {
            status: 200,
            headers: vec![("cache-control", cache_control.to_owned()), ("content-type", "text/plain".to_owned())],
            body: body.into(),
            delay: Duration::ZERO,
            hold: None,
            pause: None,
            gate: None,
            cut_after: None,
            chunked: false,
            etag: None,
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// A real HTTP server that counts.
pub struct TestOrigin {
    pub address: SocketAddr,
    scripts: Arc<Mutex<HashMap<String, Script>>>,
    heads: Arc<Mutex<Vec<String>>>,
    pub requests: Arc<AtomicUsize>,
    _task: JoinHandle<()>,
}

impl TestOrigin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scripts: Arc<Mutex<HashMap<String, Script>>> = Arc::default();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let requests = Arc::new(AtomicUsize::new(0));
        let state = (scripts.clone(), heads.clone(), requests.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, state.clone()));
            }
        });
        Self { address, scripts, heads, requests, _task: task }
    }

    pub fn set(&self, path: &str, script: Script) {
        self.scripts.lock().unwrap().insert(path.to_owned(), script);
    }

    pub fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

type OriginState = (Arc<Mutex<HashMap<String, Script>>>, Arc<Mutex<Vec<String>>>, Arc<AtomicUsize>);

async fn serve(mut stream: TcpStream, (scripts, heads, requests): OriginState) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            let mut piece = [0; 4096];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => buffer.extend_from_slice(&piece[..read]),
            }
        };
        let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        heads.lock().unwrap().push(head.clone());
        requests.fetch_add(1, Ordering::SeqCst);
        let script = scripts.lock().unwrap().get(&path).cloned();
        let script = script.unwrap_or_else(|| Script::ok("nothing here", "max-age=0").with(|s| s.status = 404));
        if !play(&mut stream, &head, script).await {
            return;
        }
    }
}

async fn play(stream: &mut TcpStream, head: &str, script: Script) -> bool {
    if let Some(hold) = &script.hold {
        hold.notified().await;
    }
    tokio::time::sleep(script.delay).await;
    let known = script.etag.is_some_and(|etag| head.contains(&format!("if-none-match: {etag}\r\n")));
    let status = if known { 304 } else { script.status };
    let mut text = format!("HTTP/1.1 {status} X\r\n");
    for (name, value) in &script.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(etag) = script.etag {
        text.push_str(&format!("etag: {etag}\r\n"));
    }
    if known {
        return stream.write_all(format!("{text}\r\n").as_bytes()).await.is_ok();
    }
    if head.starts_with("HEAD ") {
        text.push_str(&format!("content-length: {}\r\n\r\n", script.body.len()));
        return stream.write_all(text.as_bytes()).await.is_ok();
    }
    let sized = script.headers.iter().any(|(name, _)| *name == "content-length");
    if script.chunked {
        text.push_str("transfer-encoding: chunked\r\n");
    } else if !sized {
        text.push_str(&format!("content-length: {}\r\n", script.body.len()));
    }
    text.push_str("\r\n");
    let _ = stream.write_all(text.as_bytes()).await;
    let stop = script.cut_after.unwrap_or(script.body.len());
    let (first, pause) = script.pause.unwrap_or((stop, Duration::ZERO));
    let (first, mut gate) = script.gate.map_or((first, None), |(first, gate)| (first, Some(gate)));
    for piece in [&script.body[..first.min(stop)], &script.body[first.min(stop)..stop]] {
        let sent = if script.chunked && !piece.is_empty() {
            let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
            stream.write_all(&framed).await
        } else {
            stream.write_all(piece).await
        };
        if sent.is_err() {
            return false;
        }
        tokio::time::sleep(pause).await;
        if let Some(gate) = gate.take() {
            gate.notified().await;
        }
    }
    if script.cut_after.is_some() {
        return false;
    }
    if script.chunked {
        let _ = stream.write_all(b"0\r\n\r\n").await;
    }
    true
}

/// Puts the query at the end.
#[derive(Debug)]
struct Appended(String);

impl Rewriting for Appended {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, _: usize) -> Option<usize> {
        out.extend_from_slice(bytes);
        Some(bytes.len())
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}

/// A running edge.
pub struct TestEdge {
    pub address: SocketAddr,
    /// With TLS, if that is configured; else as `address`.
    pub tls: SocketAddr,
    #[cfg_attr(not(feature = "http3"), expect(dead_code, reason = "only tests of HTTP/3 ask"))]
    pub http3: Option<SocketAddr>,
    pub clock: Arc<ManualClock>,
    pub snapshots: watch::Sender<Arc<Snapshot>>,
    pub reports: mpsc::Receiver<Report>,
    pub shutdown: Shutdown,
    pub running: JoinHandle<Result<(), anabranch_edge::Error>>,
}

pub fn start(distributions: Vec<DistributionSpec>, change: impl FnOnce(&mut Config)) -> TestEdge {
    start_with_keys(distributions, vec![], change)
}

pub fn start_with_keys(
    distributions: Vec<DistributionSpec>,
    key_groups: Vec<KeyGroupSpec>,
    change: impl FnOnce(&mut Config),
) -> TestEdge {
    let mut config = Config {
        workers: 2,
        drain_timeout: Duration::from_secs(2),
        transforms: Transforms { signed_playlist: |carried| Box::new(Appended(format!("?{}", carried.others))) },
        ..Config::default()
    };
    change(&mut config);
    let (snapshots, follow) =
        watch::channel(Arc::new(Snapshot { version: 1, distributions, key_groups, ..Snapshot::default() }));
    let (tell, reports) = mpsc::channel(16);
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let edge = Edge::bind(config, follow, tell, clock.clone()).unwrap();
    let address = edge.local_addr();
    let http3 = edge.http3_addr();
    let tls = edge.tls_addr().unwrap_or(address);
    let shutdown = Shutdown::new();
    let running = tokio::spawn(edge.run(shutdown.clone()));
    TestEdge { address, tls, http3, clock, snapshots, reports, shutdown, running }
}

pub fn behavior(pattern: &str) -> Behavior {
    Behavior {
        path_pattern: pattern.to_owned(),
        origin: "o".to_owned(),
        viewer_protocol: ViewerProtocol::AllowAll,
        allowed_methods: AllowedMethods::GetHeadOptions,
        cache_options: false,
        trusted_key_groups: vec![],
        cache: CachePolicy::default(),
        origin_request: OriginRequestPolicy::default(),
        response_headers: ResponseHeadersPolicy::default(),
        compress: false,
        transform: Transform::None,
        copy_mark: COPY_MARK.to_owned(),
    }
}

pub fn distribution(id: &str, host: &str, origin: &TestOrigin) -> DistributionSpec {
    DistributionSpec {
        id: id.parse().unwrap(),
        domain_name: host.to_owned(),
        aliases: vec![],
        enabled: true,
        origins: vec![OriginSpec { id: "o".to_owned(), origin: http_origin(origin.address), shield: None }],
        origin_groups: vec![],
        behaviors: vec![],
        default_behavior: behavior("*"),
        error_responses: vec![],
        signed_hosts: vec![],
        invalidations: InvalidationLog::default(),
        default_root_object: String::new(),
        price_class: PriceClass::Class100,
        http3: false,
    }
}

pub fn http_origin(address: SocketAddr) -> Origin {
    Origin::Http(HttpOrigin {
        host: address.ip().to_string(),
        http_port: address.port(),
        https_port: 443,
        protocol: OriginProtocol::HttpOnly,
        path: String::new(),
        headers: [].into(),
        timeouts: OriginTimeouts::default(),
    })
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// Whether the body came to the end that its framing gives.
    pub complete: bool,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// One connection of a viewer.
pub struct Viewer {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Viewer {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Waits until bytes of a body are here.
    pub async fn body_begins(&mut self) {
        let has_body =
            |buffer: &[u8]| buffer.windows(4).position(|w| w == b"\r\n\r\n").is_some_and(|end| buffer.len() > end + 4);
        while !has_body(&self.buffer) {
            assert!(self.more().await, "a body begins");
        }
    }

    /// Reads one answer; `None` if the connection ends before one begins.
    pub async fn reply(&mut self, to_head: bool) -> Option<Reply> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut reply = Reply { status, head, body: vec![], complete: true };
        if to_head || status == 204 || status == 304 {
            return Some(reply);
        }
        if reply.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                if chunk.is_empty() {
                    return Some(reply);
                }
                reply.body.extend(chunk);
            }
            reply.complete = false;
            return Some(reply);
        }
        let length = reply.header("content-length").map_or(usize::MAX, |v| v.parse().unwrap());
        while self.buffer.len() < length && self.more().await {}
        reply.complete = self.buffer.len() >= length || length == usize::MAX;
        reply.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        Some(reply)
    }

    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                break end;
            }
            if !self.more().await {
                return None;
            }
        };
        let size = usize::from_str_radix(std::str::from_utf8(&self.buffer[..end]).unwrap(), 16).unwrap();
        while self.buffer.len() < end + 2 + size + 2 {
            if !self.more().await {
                return None;
            }
        }
        let chunk = self.buffer[end + 2..end + 2 + size].to_vec();
        self.buffer.drain(..end + 2 + size + 2);
        Some(chunk)
    }

    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 << 10];
        match tokio::time::timeout(Duration::from_secs(20), self.stream.read(&mut piece)).await {
            Ok(Ok(read)) if read > 0 => {
                self.buffer.extend_from_slice(&piece[..read]);
                true
            }
            _ => false,
        }
    }

    /// Whether the connection ends without another byte.
    pub async fn ended(&mut self) -> bool {
        self.buffer.is_empty() && !self.more().await
    }
}

/// One request on a connection of its own; `lines` are whole field lines besides `Host`.
pub async fn ask(address: SocketAddr, method: &str, host: &str, target: &str, lines: &str) -> Reply {
    let mut viewer = Viewer::connect(address).await;
    viewer.send(&format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")).await;
    viewer.reply(method == "HEAD").await.expect("an answer")
}

pub async fn get(address: SocketAddr, host: &str, target: &str) -> Reply {
    ask(address, "GET", host, target, "").await
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never happens: {what}");
}
