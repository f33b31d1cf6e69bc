//! Two regions with the same stream, each an HTTP server of its own, and a third server for what they have in common.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anabranch_hls::merge::{Region, Steering, merge};
use anabranch_hls::playlist::MultivariantPlaylist;
use anabranch_hls::steering::{Pathway, STEERING_TTL_SECONDS, SteeringManifest};
use tempfile::TempDir;

/// Names of the regions, the preferred one first.
const NAMES: [&str; 2] = ["fra", "nyc"];

const SEGMENT_SECONDS: usize = 2;

/// Length of what is made, in seconds.
const TOTAL_SECONDS: usize = 80;

/// Segments that a live playlist names.
const WINDOW: usize = 8;

/// How sound and picture come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// CMAF, the sound as a rendition of its own.
    Demuxed,
    /// MPEG-TS with both.
    Muxed,
}

/// What media playlists show.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View {
    /// So many segments and an end.
    Ended(usize),
    /// A window that moves with the time since the start.
    Live,
}

/// The same stream of both kinds, in files.
pub(crate) struct Media(TempDir);

impl Media {
    /// What another test that runs now has made, or new.
    pub(crate) fn shared() -> Arc<Self> {
        static MADE: Mutex<Weak<Media>> = Mutex::new(Weak::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Self::make());
            *made = Arc::downgrade(&new);
            new
        })
    }

    fn make() -> Self {
        let media = Self(tempfile::tempdir().unwrap());
        let cmaf = "v:0,agroup:sound,name:low v:1,agroup:sound,name:high a:0,agroup:sound,default:yes,name:sound";
        media.ffmpeg("demuxed", cmaf, &["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4"], "m4s");
        media.ffmpeg("muxed", "v:0,a:0,name:low v:1,a:1,name:high", &["-map", "1:a"], "ts");
        media
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn folder(&self, kind: Kind) -> PathBuf {
        self.path().join(if kind == Kind::Demuxed { "demuxed" } else { "muxed" })
    }

    fn ffmpeg(&self, name: &str, streams: &str, more: &[&str], end: &str) {
        let folder = self.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let picture = format!("testsrc2=size=640x360:rate=25:duration={TOTAL_SECONDS}");
        let sound = format!("sine=sample_rate=48000:duration={TOTAL_SECONDS}");
        let seconds = SEGMENT_SECONDS.to_string();
        let done = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound])
            .args(["-filter_complex", "[0:v]split=2[a][high];[a]scale=320:180[low]", "-map", "[low]", "-map", "[high]"])
            .args(["-map", "1:a"])
            .args(more)
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-keyint_min", "50"])
            .args(["-b:v:0", "200k", "-b:v:1", "600k", "-c:a", "aac", "-b:a", "64k"])
            .args(["-f", "hls", "-hls_time", &seconds, "-hls_list_size", "0", "-hls_playlist_type", "vod"])
            .args(["-hls_flags", "independent_segments", "-master_pl_name", "index.m3u8", "-var_stream_map", streams])
            .arg("-hls_segment_filename")
            .arg(folder.join(format!("%v-%d.{end}")))
            .arg(folder.join("%v.m3u8"))
            .output()
            .expect("ffmpeg to start");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Two regions and what they have in common.
pub(crate) struct Cluster {
    pub(crate) regions: [Stand; 2],
    front: Stand,
}

impl Cluster {
    pub(crate) fn start(media: &Media, kinds: [Kind; 2], view: View) -> Self {
        let began = Instant::now();
        let regions = kinds.map(|kind| Stand::start(Some((media.folder(kind), view, began))));
        Self { regions, front: Stand::start(None) }
    }

    /// Merges what the regions have and gives the URL of the playlist. Browsers know every name below `localhost`, and some tell regions
    /// apart by the names of their hosts alone; other players get addresses.
    pub(crate) fn publish(&self, steered: bool, for_browser: bool) -> String {
        let base = |at: usize| {
            let address = self.regions[at].address;
            let host = if for_browser { format!("{}.localhost", NAMES[at]) } else { address.ip().to_string() };
            format!("http://{host}:{}/index.m3u8", address.port())
        };
        let bases = [0, 1].map(base);
        let playlists = self.regions.each_ref().map(Stand::multivariant);
        let regions = [0, 1].map(|at| Region { name: NAMES[at], base: &bases[at], playlist: &playlists[at] });
        let steering = steered.then_some(Steering { server_uri: "steering.json", pathway: None });
        let merged = merge(&regions, &NAMES, steering.as_ref()).expect("playlists that can be merged");
        let manifest =
            SteeringManifest::by_opening(&NAMES.map(|name| Pathway { name, open: true }), STEERING_TTL_SECONDS);
        self.front.put("/steering.json", manifest.render());
        let path = if steered { "/steered.m3u8" } else { "/plain.m3u8" };
        self.front.put(path, merged.render());
        format!("http://{}{path}", self.front.address)
    }
}

/// A small HTTP server.
pub(crate) struct Stand {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    media: Option<(PathBuf, View, Instant)>,
    texts: Mutex<BTreeMap<String, String>>,
    closed: AtomicBool,
    segments: AtomicUsize,
    stopped: AtomicBool,
}

impl Stand {
    fn start(media: Option<(PathBuf, View, Instant)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { media, ..State::default() });
        let serving = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let state = serving.clone();
                // Those who leave in the middle are no matter of this test.
                thread::spawn(move || stream.and_then(|stream| state.serve(stream)));
            }
        });
        Self { address, state }
    }

    fn put(&self, path: &str, text: String) {
        self.state.texts.lock().unwrap().insert(path.to_owned(), text);
    }

    /// From now on everything is 404, as of a region that is closed.
    pub(crate) fn close(&self) {
        self.state.closed.store(true, Ordering::SeqCst);
    }

    /// How many segments it has sent.
    pub(crate) fn segments(&self) -> usize {
        self.state.segments.load(Ordering::SeqCst)
    }

    fn multivariant(&self) -> MultivariantPlaylist {
        let (folder, ..) = self.state.media.as_ref().unwrap();
        MultivariantPlaylist::parse(&std::fs::read(folder.join("index.m3u8")).unwrap()).unwrap()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let mut words = line.split(' ');
            let (method, target) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
            while line.trim() != "" {
                line.clear();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(());
                }
            }
            let path = target.split('?').next().unwrap_or("");
            let (status, kind, body) = match (method.as_str(), self.answer(path)) {
                ("OPTIONS", _) => ("204 No Content", "text/plain", Vec::new()),
                (_, Some((kind, body))) => ("200 OK", kind, body),
                _ => ("404 Not Found", "text/plain", b"closed\n".to_vec()),
            };
            let cors = "access-control-allow-origin: *\r\naccess-control-allow-headers: *\r\ncache-control: no-store";
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status}\r\n{cors}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            if method != "HEAD" {
                stream.write_all(&body)?;
            }
        }
    }

    fn answer(&self, path: &str) -> Option<(&'static str, Vec<u8>)> {
        const PLAYLIST: &str = "application/vnd.apple.mpegurl";
        if self.closed.load(Ordering::SeqCst) {
            return None;
        }
        if let Some(text) = self.texts.lock().unwrap().get(path) {
            let kind = if path.ends_with(".json") { "application/json" } else { PLAYLIST };
            return Some((kind, text.clone().into_bytes()));
        }
        let (folder, view, began) = self.media.as_ref()?;
        let name = path.strip_prefix('/').filter(|name| !name.contains(['/', '\\']))?;
        let bytes = std::fs::read(folder.join(name)).ok()?;
        match name.rsplit('.').next()? {
            "m3u8" if name != "index.m3u8" => {
                Some((PLAYLIST, shown(&String::from_utf8(bytes).ok()?, *view, began.elapsed()).into_bytes()))
            }
            "m3u8" => Some((PLAYLIST, bytes)),
            "ts" => {
                self.segments.fetch_add(1, Ordering::SeqCst);
                Some(("video/mp2t", bytes))
            }
            _ => {
                self.segments.fetch_add(1, Ordering::SeqCst);
                Some(("video/mp4", bytes))
            }
        }
    }
}

/// A media playlist of everything, as it is shown now.
fn shown(whole: &str, view: View, since: Duration) -> String {
    let lines: Vec<&str> = whole.lines().filter(|line| !line.starts_with("#EXT-X-ENDLIST")).collect();
    let first = lines.iter().position(|line| line.starts_with("#EXTINF")).expect("a segment");
    let (head, segments) = lines.split_at(first);
    let segments: Vec<&[&str]> = segments.chunks(2).collect();
    let elapsed = usize::try_from(since.as_secs()).unwrap() / SEGMENT_SECONDS;
    let (from, to) = match view {
        View::Ended(count) => (0, count),
        View::Live => (elapsed, (elapsed + WINDOW).min(segments.len())),
    };
    let mut out = String::new();
    for line in head {
        match (view, line.split(':').next()) {
            (View::Live, Some("#EXT-X-PLAYLIST-TYPE")) => {}
            (_, Some("#EXT-X-MEDIA-SEQUENCE")) => writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{from}").unwrap(),
            _ => writeln!(out, "{line}").unwrap(),
        }
    }
    let seconds = from * SEGMENT_SECONDS;
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{minutes:02}:{seconds:02}.000Z").unwrap();
    segments[from..to].iter().for_each(|segment| writeln!(out, "{}", segment.join("\n")).unwrap());
    if matches!(view, View::Ended(_)) {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    out
}
