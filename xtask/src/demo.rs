//! `cargo xtask demo`: the whole river on one machine, from a generated picture to a signed URL that plays.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{self, Group, Interrupted};
use crate::tree::Tree;
use crate::{Args, Unusable, http, tools, ui};

/// Time for the server to be ready.
const READY: Duration = Duration::from_secs(60);
/// Time from the first pushed frame to a segment that the edge delivers.
const PLAYABLE: Duration = Duration::from_secs(60);
/// Pause between two looks at something that is not there yet.
const PAUSE: Duration = Duration::from_millis(250);
/// Lines of each log shown after a failure.
const TAIL: usize = 20;
// Where the listeners stand unless told otherwise.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What the command line says.
pub(crate) struct Options {
    release: bool,
    api: Option<SocketAddr>,
    edge: Option<SocketAddr>,
    rtmp: Option<SocketAddr>,
    seconds: Option<u64>,
}

impl Options {
    pub(crate) fn parse(args: &mut Args) -> Result<Self> {
        let mut address = |name: &str| -> Result<Option<SocketAddr>> {
            let Some(text) = args.value(name)? else { return Ok(None) };
            text.parse().map(Some).context(Unusable(format!("option needs ADDRESS:PORT: {name}")))
        };
        let (api, edge, rtmp) = (address("--api")?, address("--edge")?, address("--rtmp")?);
        Ok(Self { release: args.flag("--release"), api, edge, rtmp, seconds: args.number("--seconds")? })
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    tools::require(&[tools::FFMPEG, tools::NODE])?;
    let tree = Tree::find()?;
    ui::build(&tree)?;
    let mut build = tree.cargo();
    build.args(["build", "-p", "anabranch"]);
    if options.release {
        build.arg("--release");
    }
    process::run(&mut build)?;
    let binary = tree.binary(if options.release { "release" } else { "debug" });

    let scratch = Scratch::new("demo")?;
    // Dropped before the scratch directory: the processes end first.
    let mut cast = Cast { server: None, encoder: None };
    let outcome = play(&binary, options, &scratch.0, &mut cast);
    let interrupted = outcome.as_ref().is_err_and(anyhow::Error::is::<Interrupted>);
    println!("\nending the demo");
    // The encoder first, so that the server sees a clean end of the push.
    cast.encoder.iter_mut().for_each(Group::end);
    cast.server.iter_mut().for_each(Group::end);
    if outcome.is_err() && !interrupted {
        for log in ["serve.log", "ffmpeg.log"] {
            show_tail(&scratch.0.join(log));
        }
    }
    // Ctrl-C is how a demo ends.
    if interrupted { Ok(()) } else { outcome }
}

/// The processes of a demo.
struct Cast {
    server: Option<Group>,
    encoder: Option<Group>,
}

impl Cast {
    /// An error when one of them has ended, or when we were interrupted.
    fn alive(&mut self) -> Result<()> {
        process::check_interrupt()?;
        for group in [&mut self.server, &mut self.encoder].into_iter().flatten() {
            if let Some(status) = group.status()? {
                bail!("{} has ended: {status}", group.name());
            }
        }
        Ok(())
    }

    /// Looks again and again until there is an answer, all are alive and the time is not over.
    fn wait<T>(&mut self, what: &str, limit: Duration, mut look: impl FnMut() -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            self.alive()?;
            match look() {
                Ok(found) => return Ok(found),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("{what}: not within {} s", limit.as_secs())));
                }
                Err(_) => sleep(PAUSE),
            }
        }
    }
}

fn play(binary: &Path, options: &Options, scratch: &Path, cast: &mut Cast) -> Result<()> {
    let api = listener("API", options.api, LOOPBACK, 9997)?;
    let metrics = listener("metrics", None, LOOPBACK, 9998)?;
    let s3 = listener("S3", None, LOOPBACK, 9995)?;
    let edge = listener("edge", options.edge, ANY, 8888)?;
    let tls = listener("edge with TLS", None, edge.ip(), 8443)?;
    let rtmp = listener("RTMP", options.rtmp, ANY, 1935)?;
    let token = token()?;

    let mut serve = Command::new(binary);
    serve.arg("serve").arg("--data").arg(scratch.join("data"));
    for (flag, address) in [("--api", api), ("--edge", edge), ("--rtmp", rtmp)] {
        serve.args([flag, &address.to_string()]);
    }
    serve
        .env("ANABRANCH_METRICS_LISTEN", metrics.to_string())
        .env("ANABRANCH_S3_LISTEN", s3.to_string())
        .env("ANABRANCH_TOKEN", &token);
    serve.env("ANABRANCH_EDGE_TLS_LISTEN", tls.to_string());
    cast.server = Some(Group::spawn_logged("anabranch serve", &mut serve, &scratch.join("serve.log"))?);
    let admin = format!("http://{}", reachable(api));
    cast.wait("the server is ready", READY, || ok(&format!("{admin}/readyz")))?;

    let cli = Cli { binary, server: &admin, token: &token };
    let channel = cli.json(&["channel", "create", "demo"])?;
    let breakout = cli.json(&["breakout", "create", "demo", "--channel", text(&channel, "/id")?])?;
    let breakout = text(&breakout, "/id")?;
    cli.json(&["breakout", "start", breakout, "--wait"])?;

    let push = format!("{}/{}", text(&channel, "/inputs/0/push_url")?, text(&channel, "/inputs/0/stream_key")?);
    println!(
        "publishing a test picture with {}",
        if clock_works() { "a clock" } else { "no clock: ffmpeg lacks text or fonts" }
    );
    cast.encoder = Some(Group::spawn_logged("ffmpeg", &mut encoder(&push), &scratch.join("ffmpeg.log"))?);

    let link = cli.json(&["breakout", "play-url", breakout])?;
    let url = text(&link, "/url")?;
    let begun = Instant::now();
    let bytes = cast.wait("the signed URL plays", PLAYABLE, || first_segment(url))?;
    println!("first segment through the edge after {:.1} s: {bytes} bytes", begun.elapsed().as_secs_f64());

    // Relative to the page's own address when the server does not know how it is reached.
    let watch = link.pointer("/watch_url").and_then(Value::as_str);
    let watch = watch
        .map_or_else(|| Ok(format!("{admin}/watch/{breakout}")), |watch| http::join(&format!("{admin}/"), watch))?;
    println!(
        "\n  watch     {watch}\n  playlist  {url}\n  admin     {admin}/   token {token}\n  push      {push}\n\n  {}",
        options
            .seconds
            .map_or("Ctrl-C ends all of it".to_owned(), |n| format!("ends by itself after {n} s, or by Ctrl-C"))
    );
    let end = options.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    while end.is_none_or(|end| Instant::now() < end) {
        cast.alive()?;
        sleep(process::POLL);
    }
    Ok(())
}

/// A free address: the one asked for or nothing, else the default port or any other, and then it is said.
pub(crate) fn listener(what: &str, asked: Option<SocketAddr>, ip: IpAddr, port: u16) -> Result<SocketAddr> {
    let wanted = asked.unwrap_or(SocketAddr::new(ip, port));
    let free = |address: SocketAddr| TcpListener::bind(address).and_then(|listener| listener.local_addr());
    match (free(wanted), asked) {
        (Ok(address), _) => Ok(address),
        (Err(error), Some(_)) => bail!(Unusable(format!("cannot listen for {what} on {wanted}: {error}"))),
        (Err(_), None) => {
            let other = free(SocketAddr::new(ip, 0)).with_context(|| format!("no free port for {what}"))?;
            println!("port {port} is taken: {what} listens on port {}", other.port());
            Ok(other)
        }
    }
}

/// The address to ask when a listener stands on every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::new(LOOPBACK, address.port()) } else { address }
}

fn token() -> Result<String> {
    let mut bytes = [0; 24];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("no random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The command line of the product, used as an operator would.
struct Cli<'a> {
    binary: &'a Path,
    server: &'a str,
    token: &'a str,
}

impl Cli<'_> {
    fn json(&self, args: &[&str]) -> Result<Value> {
        let mut command = Command::new(self.binary);
        command.args(args).args(["--output", "json"]);
        command.env("ANABRANCH_SERVER", self.server).env("ANABRANCH_TOKEN", self.token);
        let printed = process::read(&mut command)?;
        serde_json::from_str(&printed).with_context(|| format!("no JSON from: {}", process::show(&command)))
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("the answer lacks: {pointer}"))
}

/// A picture that moves, a clock, and a tone.
fn encoder(push: &str) -> Command {
    let clock = "drawtext=text='%{localtime}  %{pts\\:hms}':fontsize=48:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=12\
                 :x=(w-tw)/2:y=h-th-48";
    let filter = if clock_works() { clock } else { "null" };
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-loglevel", "warning"]);
    command.args(["-re", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30"]);
    command.args(["-re", "-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000"]);
    command.args([
        "-vf",
        filter,
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-tune",
        "zerolatency",
        "-pix_fmt",
        "yuv420p",
    ]);
    command.args(["-g", "60", "-keyint_min", "60", "-sc_threshold", "0"]);
    command.args(["-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "5000k"]);
    command.args(["-c:a", "aac", "-b:a", "128k", "-ac", "2", "-flvflags", "no_duration_filesize", "-f", "flv", push]);
    command
}

/// Whether this ffmpeg can write text: it may be built without, or find no font.
fn clock_works() -> bool {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-hide_banner",
        "-nostdin",
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        "color=size=64x64:rate=1:duration=1",
    ]);
    command.args(["-vf", "drawtext=text=0", "-frames:v", "1", "-f", "null", "-"]);
    process::capture(&mut command).is_ok_and(|captured| captured.status.success())
}

fn ok(url: &str) -> Result<Vec<u8>> {
    let answer = http::get(url)?;
    if answer.status != 200 {
        let words = String::from_utf8_lossy(&answer.body);
        bail!("{url}: status {}: {}", answer.status, words.lines().next().unwrap_or_default());
    }
    Ok(answer.body)
}

/// Follows the signed URL as a player does, down to the bytes of the first segment; how many these are.
fn first_segment(url: &str) -> Result<usize> {
    let multivariant = String::from_utf8(ok(url)?).context("the playlist is not text")?;
    let media_url = http::join(url, first_uri(&multivariant).context("the multivariant playlist names no variant")?)?;
    let media = String::from_utf8(ok(&media_url)?).context("the playlist is not text")?;
    let segment = http::join(&media_url, first_uri(&media).context("the media playlist names no segment")?)?;
    match ok(&segment)?.len() {
        0 => bail!("the segment is empty: {segment}"),
        bytes => Ok(bytes),
    }
}

fn first_uri(playlist: &str) -> Option<&str> {
    playlist.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))
}

pub(crate) fn show_tail(log: &Path) {
    let Ok(text) = fs::read_to_string(log) else { return };
    let lines: Vec<&str> = text.lines().collect();
    println!("\nend of {}:", log.file_name().unwrap_or_default().to_string_lossy());
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        println!("  {line}");
    }
}

/// A directory for us alone, removed at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(purpose: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("anabranch-{purpose}-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced_unless_it_was_asked_for() {
        let taken = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        assert_ne!(listener("x", None, LOOPBACK, address.port()).unwrap().port(), address.port());
        assert!(listener("x", Some(address), LOOPBACK, 1).is_err());
    }

    #[test]
    fn the_first_uri_is_no_tag() {
        assert_eq!(first_uri("#EXTM3U\n#EXTINF:6,\nvideo/1.m4s?x\n"), Some("video/1.m4s?x"));
        assert_eq!(first_uri("#EXTM3U\n"), None);
    }
}
