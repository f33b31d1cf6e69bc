//! A server on a free port, and what it says.

use std::future::Future;
use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anabranch_ingest::{Config, Ingest, IngestSession};
use anabranch_media::{Event, TrackKind};
use anabranch_model::{ChannelId, ChannelSpec, FailoverSpec, InputId, InputSpec, InputState, Report, Snapshot};
use anabranch_net::Shutdown;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Longest wait for anything that must happen.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const KEY: &str = "k3y-0f-the-first-input";

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("did not happen in time: {what}"))
}

/// A running server with one channel of one input, whose stream key is [`KEY`].
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) channel: ChannelId,
    pub(crate) input: InputId,
    pub(crate) sessions: mpsc::Receiver<IngestSession>,
    pub(crate) reports: mpsc::Receiver<Report>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(tune: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), "node-1");
        tune(&mut config);
        let (channel, input) = (ChannelId::random(), InputId::random());
        let (snapshot, snapshots) = watch::channel(Arc::new(snapshot(1, &channel, &input, KEY)));
        let (session_sender, sessions) = mpsc::channel(16);
        let (report_sender, reports) = mpsc::channel(1024);
        let ingest = Ingest::bind(config, snapshots, session_sender, report_sender).unwrap();
        let (address, shutdown) = (ingest.local_addr(), Shutdown::new());
        let task = tokio::spawn(ingest.run(shutdown.clone()));
        Self { address, channel, input, sessions, reports, snapshot, shutdown, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("rtmp://{}/live", self.address)
    }

    /// Gives the input another key.
    pub(crate) fn set_key(&self, version: u64, key: &str) {
        self.snapshot.send_replace(Arc::new(snapshot(version, &self.channel, &self.input, key)));
    }

    /// Gives the input an allow-list.
    pub(crate) fn set_allow(&self, version: u64, entries: &[&str]) {
        let mut snapshot = snapshot(version, &self.channel, &self.input, KEY);
        snapshot.channels[0].inputs[0].allow = entries.iter().map(|entry| (*entry).to_owned()).collect();
        self.snapshot.send_replace(Arc::new(snapshot));
    }

    pub(crate) async fn session(&mut self) -> IngestSession {
        soon("session", self.sessions.recv()).await.unwrap()
    }

    /// Waits for the next report about the input.
    pub(crate) async fn input_state(&mut self) -> InputState {
        loop {
            if let Report::Input { channel, input, state } = soon("report", self.reports.recv()).await.unwrap() {
                assert_eq!((&channel, &input), (&self.channel, &self.input));
                return state;
            }
        }
    }

    pub(crate) async fn applied(&mut self) -> u64 {
        loop {
            if let Report::Applied { role, node, version } = soon("report", self.reports.recv()).await.unwrap() {
                assert_eq!((role.as_str(), node.as_str()), ("ingest", "node-1"));
                return version;
            }
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        soon("end of the server", self.task).await.unwrap();
    }
}

fn snapshot(version: u64, channel: &ChannelId, input: &InputId, key: &str) -> Snapshot {
    let channel = ChannelSpec {
        id: channel.clone(),
        name: "test".to_owned(),
        running: false,
        segment_target_seconds: 6,
        window_seconds: 60,
        failover: FailoverSpec::default(),
        inputs: vec![InputSpec { id: input.clone(), stream_key: key.to_owned(), allow: Vec::new() }],
    };
    Snapshot { version, channels: vec![channel], ..Snapshot::default() }
}

/// What a session brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) tracks: Vec<String>,
    pub(crate) video: usize,
    pub(crate) keyframes: usize,
    pub(crate) audio: usize,
    pub(crate) discontinuities: usize,
}

/// Reads a session to its end.
pub(crate) async fn count(session: &mut IngestSession) -> Count {
    let mut count = Count::default();
    while let Some(event) = soon("event", session.events.recv()).await {
        match event {
            Event::Track(track) => count.tracks.push(track.codecs.clone()),
            Event::Sample(sample) if sample.kind == TrackKind::Video => {
                count.video += 1;
                count.keyframes += usize::from(sample.keyframe);
            }
            Event::Sample(_) => count.audio += 1,
            Event::Discontinuity => count.discontinuities += 1,
        }
    }
    count
}

/// An ffmpeg that pushes `seconds` of generated picture (25/s, keyframe each second) and tone.
pub(crate) fn ffmpeg(seconds: u32, input_options: &[&str], url: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error"]).args(input_options);
    command.args(["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]).args(input_options);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
    command.args(["-t", &seconds.to_string(), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]);
    command.args(["-g", "25", "-c:a", "aac", "-f", "flv", url]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) async fn finish(mut command: Command) -> Output {
    soon("end of ffmpeg", command.output()).await.unwrap()
}

/// The metrics of this whole test process.
pub(crate) fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap())
}
