//! A scripted HTTP site on a port of its own: what it answers is a function of what is asked, and may change while it runs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Namespace;

/// Requests that are remembered.
const REMEMBERED: usize = 100_000;

/// How soon a connection notices that the site is gone.
const GLANCE: Duration = Duration::from_millis(200);

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header fields, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Asked {
    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A header field, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header fields beside `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// Body; to a HEAD only its length is told.
    pub body: Vec<u8>,
    /// Wait before the answer.
    pub delay: Duration,
}

impl Reply {
    /// An answer with this body.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), delay: Duration::ZERO }
    }

    /// An answer with a short page and this status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok(format!("<html>{status}</html>")) }
    }

    /// The same with another header field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

struct Shared {
    script: Mutex<Arc<Script>>,
    asked: Mutex<Vec<Asked>>,
    is_gone: AtomicBool,
}

/// A running site; gone when dropped.
pub struct Site {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

impl Site {
    /// A site that answers by `script`.
    ///
    /// # Panics
    /// There is no free port.
    #[must_use]
    pub fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, script)
    }

    /// The same in a network namespace, at its address. What the script asks, it asks from there.
    ///
    /// # Panics
    /// There is no free port.
    #[must_use]
    pub fn start_in(namespace: &Namespace, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        namespace.inside(|| Self::start_at(namespace.address(), script))
    }

    fn start_at(host: Ipv4Addr, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(script)),
            asked: Mutex::default(),
            is_gone: AtomicBool::new(false),
        });
        let of_loop = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_loop.is_gone.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&of_loop);
                // Whether a peer breaks off is not the site's business.
                std::thread::spawn(move || serve(&stream, &shared).ok());
            }
        });
        Self { shared, address, accepting: Some(accepting) }
    }

    /// Answers by another script from now on.
    pub fn become_another(&self, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shared.is_gone.store(true, Ordering::SeqCst);
        // Wakes the loop.
        let _ = TcpStream::connect_timeout(&self.address, GLANCE);
        // One in a namespace that is cut off is not reached: its thread waits for nothing.
        if let Some(accepting) = self.accepting.take().filter(|_| self.address.ip().is_loopback()) {
            let _ = accepting.join();
        }
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(GLANCE))?;
    let mut reader = BufReader::new(stream);
    loop {
        // An idle connection waits here.
        match reader.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                if shared.is_gone.load(Ordering::SeqCst) {
                    return Ok(());
                }
                continue;
            }
            Err(error) => return Err(error),
        }
        let asked = read(&mut reader)?;
        {
            let mut all = shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() < REMEMBERED {
                all.push(asked.clone());
            }
        }
        let script = Arc::clone(&shared.script.lock().unwrap_or_else(PoisonError::into_inner));
        let reply = script(&asked);
        std::thread::sleep(reply.delay);
        write(stream, &asked, &reply)?;
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let mut asked = Asked {
        method: words.next().unwrap_or_default().to_owned(),
        target: words.next().unwrap_or_default().to_owned(),
        ..Asked::default()
    };
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        asked.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = asked.header("content-length").parse().unwrap_or(0);
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body)?;
    Ok(asked)
}

fn write(mut stream: &TcpStream, asked: &Asked, reply: &Reply) -> std::io::Result<()> {
    let mut out = format!("HTTP/1.1 {} Reply\r\ncontent-length: {}\r\n", reply.status, reply.body.len()).into_bytes();
    for (name, value) in &reply.headers {
        out.extend(format!("{name}: {value}\r\n").bytes());
    }
    out.extend(b"\r\n");
    if asked.method != "HEAD" && reply.status != 304 {
        out.extend(&reply.body);
    }
    stream.write_all(&out)
}

/// A live media playlist of six segments of `target_seconds` each, `newest` being the last one's sequence number; segments are called
/// `NAME-SEQUENCE.ts`.
#[must_use]
pub fn live_playlist(name: &str, target_seconds: u64, newest: u64) -> String {
    let first = newest.saturating_sub(5);
    let mut text =
        format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target_seconds}\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for sequence in first..=newest {
        text.push_str(&format!("#EXTINF:{target_seconds}.000,\n{name}-{sequence}.ts\n"));
    }
    text
}

/// A multivariant playlist of variants with these URIs.
#[must_use]
pub fn multivariant_playlist(uris: &[&str]) -> String {
    let mut text = String::from("#EXTM3U\n");
    for (at, uri) in uris.iter().enumerate() {
        text.push_str(&format!("#EXT-X-STREAM-INF:BANDWIDTH={}\n{uri}\n", (at + 1) * 1_000_000));
    }
    text
}
