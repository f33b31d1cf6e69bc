//! A viewer without a decoder: HTTP and playlists.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Fetched {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header field, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// A playlist: its lines.
#[derive(Clone, Debug)]
pub struct Playlist {
    /// Where it came from.
    pub url: String,
    /// Its text.
    pub text: String,
}

impl Playlist {
    /// URIs of the lines that are no tags, made absolute.
    #[must_use]
    pub fn uris(&self) -> Vec<String> {
        self.text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(|l| resolve(&self.url, l)).collect()
    }

    /// URIs in attributes, made absolute.
    #[must_use]
    pub fn attribute_uris(&self) -> Vec<String> {
        self.text
            .split("URI=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .map(|u| resolve(&self.url, u))
            .collect()
    }

    /// Value of a tag such as `EXT-X-MEDIA-SEQUENCE`.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<String> {
        self.text.lines().find_map(|line| line.strip_prefix(&format!("#{name}:")).map(str::to_owned))
    }
}

/// Fetches over plain HTTP/1.1, one connection a request.
#[derive(Clone, Debug, Default)]
pub struct Viewer {
    headers: Vec<(String, String)>,
}

impl Viewer {
    /// A viewer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends this header with every request.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Fetches `url`.
    ///
    /// # Panics
    /// There is no answer.
    #[must_use]
    pub fn get(&self, url: &str) -> Fetched {
        self.try_get(url).unwrap_or_else(|| panic!("no answer from {url}"))
    }

    /// Asks as a browser does before a request of a script: OPTIONS.
    ///
    /// # Panics
    /// There is no answer.
    #[must_use]
    pub fn options(&self, url: &str) -> Fetched {
        self.try_send("OPTIONS", url, "").unwrap_or_else(|| panic!("no answer from {url}"))
    }

    /// Fetches `url`; nothing when there is no whole answer.
    #[must_use]
    pub fn try_get(&self, url: &str) -> Option<Fetched> {
        self.try_send("GET", url, "")
    }

    /// Sends a request with a JSON body, which may be empty; nothing when there is no whole answer.
    #[must_use]
    pub fn try_send(&self, method: &str, url: &str, body: &str) -> Option<Fetched> {
        let rest = url.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        // Host names below localhost are this machine, as browsers hold it.
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let host = host.parse().unwrap_or(std::net::Ipv4Addr::LOCALHOST);
        let mut stream = TcpStream::connect_timeout(&(host, port.parse().ok()?).into(), TIMEOUT).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n");
        if !body.is_empty() {
            request.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(body);
        stream.write_all(request.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        parse(&bytes)
    }

    /// Fetches a playlist.
    ///
    /// # Panics
    /// It is not answered with 200.
    #[must_use]
    pub fn playlist(&self, url: &str) -> Playlist {
        let answer = self.get(url);
        assert_eq!(answer.status, 200, "{url}: {}", answer.text());
        Playlist { url: url.to_owned(), text: answer.text() }
    }
}

fn parse(bytes: &[u8]) -> Option<Fetched> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    let body = bytes[end + 4..].to_vec();
    let body = match (headers.get("transfer-encoding").map(String::as_str), headers.get("content-length")) {
        (Some("chunked"), _) => dechunk(&body)?,
        (_, Some(length)) if status != 304 && body.len() != length.parse::<usize>().ok()? => return None,
        _ => body,
    };
    Some(Fetched { status, headers, body })
}

fn dechunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let start = end + 2;
        body.extend_from_slice(bytes.get(start..start + size)?);
        bytes = bytes.get(start + size + 2..)?;
    }
}

fn resolve(base: &str, uri: &str) -> String {
    if uri.contains("://") {
        return uri.to_owned();
    }
    let path = base.split('?').next().unwrap_or(base);
    let folder = path.rfind('/').map_or(path, |at| &path[..=at]);
    format!("{folder}{uri}")
}
