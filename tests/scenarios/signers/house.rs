//! An edge alone, an origin that counts, and keys made for the occasion.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anabranch_testkit::{Viewer, binary, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest start of the edge.
const START: Duration = Duration::from_secs(30);

/// Host of the distribution that most tests ask.
pub(super) const HOST: &str = "one.cdn.localhost";

/// Host of another distribution with the same behaviors and keys.
pub(super) const OTHER_HOST: &str = "two.cdn.localhost";

/// A key pair, named by its `Key-Pair-Id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// RSA of 2048 bits, opens `/rsa/`.
    Rsa,
    /// Another one of the same group.
    RsaToo,
    /// ECDSA P-256, opens `/ec/`.
    Ecdsa,
    /// RSA, opens `/else/`.
    Elsewhere,
}

impl Key {
    const ALL: [Self; 4] = [Self::Rsa, Self::RsaToo, Self::Ecdsa, Self::Elsewhere];

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Rsa => "KRSA",
            Self::RsaToo => "KRSATOO",
            Self::Ecdsa => "KEC",
            Self::Elsewhere => "KELSE",
        }
    }

    /// First segment of the paths that it opens.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Rsa | Self::RsaToo => "rsa",
            Self::Ecdsa => "ec",
            Self::Elsewhere => "else",
        }
    }
}

/// Everything that answers.
pub(super) struct House {
    edge: Child,
    address: SocketAddr,
    origin: Origin,
    dir: TempDir,
}

impl House {
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let origin = Origin::start();
        let keys = Key::ALL.map(|key| (key, generate(&dir, key)));
        let file = dir.path().join("snapshot.json");
        std::fs::write(&file, snapshot(origin.address, &keys).to_string()).expect("a file to write");
        let mut edge = Command::new(binary())
            .arg("edge")
            .arg("--snapshot")
            .arg(&file)
            .args(["--listen", "127.0.0.1:0", "--workers", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the edge to start");
        let address = listening(&mut edge);
        let house = Self { edge, address, origin, dir };
        let public = house.url("public");
        wait_for("the edge to serve", START, || Viewer::new().try_get(&public).filter(|answer| answer.status == 200));
        house
    }

    /// URL of a path without its leading slash, on [`HOST`].
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{HOST}:{}/{path}", self.address.port())
    }

    /// File with the private key: PKCS#1 for RSA, which every signer reads.
    pub(super) fn key_file(&self, key: Key) -> PathBuf {
        self.dir.path().join(key.id())
    }

    /// What the origin was asked, as it came: method, target and fields.
    pub(super) fn asked(&self) -> Vec<String> {
        self.origin.heads.lock().expect("no panic in the origin").clone()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.edge.kill();
        let _ = self.edge.wait();
    }
}

/// Reads the edge's log until it says where it listens; what follows is read and dropped, so that its pipe never fills.
fn listening(edge: &mut Child) -> SocketAddr {
    let mut lines = BufReader::new(edge.stderr.take().expect("a pipe")).lines();
    let mut said = String::new();
    let address = loop {
        let Some(line) = lines.next() else { panic!("the edge ended:\n{said}") };
        let line = line.expect("a line");
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        if event["message"] == "serving" {
            break event["edge"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        }
        said.push_str(&line);
        said.push('\n');
    };
    std::thread::spawn(move || lines.for_each(drop));
    address
}

/// What the edge is told.
fn snapshot(origin: SocketAddr, keys: &[(Key, String)]) -> Value {
    let group = |id: &str, folder: &str| {
        let keys = keys.iter().filter(|(key, _)| key.folder() == folder);
        let keys: Vec<_> = keys.map(|(key, public)| json!({ "id": key.id(), "public_key_pem": public })).collect();
        json!({ "id": id, "keys": keys })
    };
    let behavior = |pattern: &str, groups: &[&str]| json!({ "path_pattern": pattern, "origin": "o", "trusted_key_groups": groups, "cache": { "query": "all" } });
    let distribution = |id: &str, host: &str| {
        json!({
            "id": id,
            "domain_name": host,
            "enabled": true,
            "origins": [{
                "id": "o",
                "origin": { "type": "http", "host": origin.ip().to_string(), "http_port": origin.port() },
            }],
            "behaviors": [behavior("/rsa/*", &["grsa"]), behavior("/ec/*", &["gec"]), behavior("/else/*", &["gelse"])],
            "default_behavior": behavior("*", &[]),
        })
    };
    json!({
        "version": 1,
        "channels": [],
        "breakouts": [],
        "key_groups": [group("grsa", "rsa"), group("gec", "ec"), group("gelse", "else")],
        "distributions": [distribution("E1", HOST), distribution("E2", OTHER_HOST)],
    })
}

/// Makes a key pair and gives the public half.
fn generate(dir: &TempDir, key: Key) -> String {
    let file = dir.path().join(key.id());
    let file = file.to_str().expect("a path of text");
    if key == Key::Ecdsa {
        openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", file]);
    } else {
        openssl(&["genrsa", "-traditional", "-out", file, "2048"]);
    }
    let public = openssl(&["pkey", "-in", file, "-pubout"]);
    String::from_utf8(public).expect("PEM is text")
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().expect("openssl to run");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A real HTTP server that answers with the path it was asked for, and remembers.
struct Origin {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let remembered = heads.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heads = remembered.clone();
                std::thread::spawn(move || serve(stream, &heads));
            }
        });
        Self { address, heads }
    }
}

fn serve(mut stream: TcpStream, heads: &Mutex<Vec<String>>) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let mut piece = [0; 4096];
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(read) => buffer.extend_from_slice(&piece[..read]),
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        let target = head.split(' ').nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: max-age=600\r\ncontent-length: {}\r\n\r\n{path}",
            path.len()
        );
        heads.lock().expect("no panic in the origin").push(head);
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
