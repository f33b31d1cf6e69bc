//! A control plane that serves, and a data plane that applies everything at once.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anabranch_control::{Config, Control, EventsConfig, MediaConfig, SWEEP_EVERY};
use anabranch_db::Db;
use anabranch_model::{InputState, PackagingState, Report, Snapshot};
use anabranch_net::{ManualClock, Reuse, Shutdown, bind};
use anabranch_store::{Buckets, LocalStore};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const TOKEN: &str = "bench-token-1";

/// 2026-01-01T00:00:00Z; the rows are four days old by then.
pub(crate) const NOW_MS: i64 = 1_767_225_600_000;

/// A day in milliseconds.
pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(600);

/// Time between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// Where the rows are.
pub(crate) enum Place {
    File(PathBuf),
    Server(String),
}

impl Place {
    pub(crate) fn parse(text: &str) -> Self {
        if text.starts_with("postgres") { Self::Server(text.to_owned()) } else { Self::File(text.into()) }
    }

    /// Whether the rows have been made.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self, Self::File(path) if path.exists())
    }

    async fn open(&self) -> Db {
        match self {
            Self::File(path) => Db::open(path).await.expect("the database opens"),
            Self::Server(url) => {
                let db = Db::open_url(url).await.expect("the database opens");
                assert!(db.try_lead().await.expect("the database answers"), "nobody else acts");
                db
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(url) => f.write_str(url),
        }
    }
}

/// Both planes.
pub(crate) struct Plane {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) db: Db,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    base: String,
    client: reqwest::Client,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
    applying: JoinHandle<()>,
    _files: tempfile::TempDir,
}

impl Plane {
    pub(crate) async fn start(place: &Place, now_ms: i64) -> Self {
        let listener = bind("127.0.0.1:0".parse().expect("an address"), Reuse::Exclusive).expect("a port");
        let address = listener.local_addr().expect("an address");
        let config = Config {
            listen: address,
            admin_token: Some(TOKEN.into()),
            edge_base_url: "http://127.0.0.1:8888".into(),
            edge_port: 8888,
            edge_https: false,
            domain_suffix: "cdn.localhost".into(),
            rtmp_public: "rtmp://127.0.0.1:1935/live".into(),
            watch_base_url: "http://127.0.0.1:9997".into(),
            viewer_origins: Vec::new(),
            embed_frame_ancestors: vec!["*".into()],
            viewers_keep: Duration::from_secs(90 * 24 * 60 * 60),
            node_token: None,
            sweep_every: SWEEP_EVERY,
            crash_at: None,
            events: EventsConfig::default(),
            prices: anabranch_control::Prices::default(),
            place: anabranch_control::Place::default(),
            settings: anabranch_control::SettingsTree::default(),
            video_list_bucket: None,
            auth: anabranch_control::AuthConfig::default(),
        };
        let clock = Arc::new(ManualClock::new(now_ms));
        let db = place.open().await;
        let (reports, received) = mpsc::channel(256);
        let files = tempfile::tempdir().expect("a scratch directory");
        let (told, arrivals) = mpsc::channel(16);
        let store = LocalStore::open(files.path(), 0).expect("a store");
        let media =
            MediaConfig { buckets: Buckets::new(store, Some(Arc::new(told))), presets: vec!["standard".into()] };
        let built = Control::build(config, media, db.clone(), clock.clone(), received, arrivals).await;
        let (control, snapshots) = built.expect("the control plane starts");
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(control.run(listener, shutdown.clone()));
        let applying = tokio::spawn(apply(snapshots.clone(), reports.clone()));
        let (base, client) = (format!("http://{address}"), reqwest::Client::new());
        Self { clock, db, reports, snapshots, base, client, shutdown, serving, applying, _files: files }
    }

    pub(crate) async fn stop(self) {
        self.applying.abort();
        self.shutdown.cancel();
        drop(self.client);
        self.serving.await.expect("it ends");
        self.db.close().await;
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call(self.client.get(self.url(path))).await
    }

    /// The bytes of an answer.
    pub(crate) async fn read(&self, path: &str) -> usize {
        let answer = self.client.get(self.url(path)).bearer_auth(TOKEN).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.expect("a body").len()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.call(self.client.post(self.url(path)).json(&body)).await
    }

    pub(crate) async fn act(&self, path: &str) -> Value {
        self.call(self.client.post(self.url(path))).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Value {
        self.call(self.client.put(self.url(path)).json(&body)).await
    }

    /// Asks until a breakout is in this state.
    pub(crate) async fn becomes(&self, breakout: &str, state: &str) {
        let asking = async {
            while self.get(&format!("/v1/breakouts/{breakout}")).await["state"] != state {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{breakout} never was {state}"));
    }

    /// Waits until nothing is being done.
    pub(crate) async fn settles(&self) {
        let waiting = async {
            while !self.db.operations_due(i64::MAX).await.expect("the database answers").is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("everything settles");
    }

    /// Every channel on air has an encoder, and every breakout on air is packaged.
    pub(crate) async fn encoders(&self) {
        let snapshot = self.snapshots.borrow().clone();
        for breakout in snapshot.breakouts.iter().filter(|one| one.on_air) {
            let state = PackagingState::Live;
            self.report(Report::Packaging { breakout: breakout.id.clone(), state }).await;
        }
        for channel in snapshot.channels.iter().filter(|one| one.running) {
            let Some(input) = channel.inputs.first() else { continue };
            let state = InputState::Connected {
                remote: "192.0.2.1:5000".into(),
                encoder: "encoder".into(),
                bitrate: 6_000_000,
                media: None,
            };
            self.report(Report::Input { channel: channel.id.clone(), input: input.id.clone(), state }).await;
        }
    }

    pub(crate) async fn report(&self, report: Report) {
        self.reports.send(report).await.expect("somebody listens");
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Value {
        let answer = request.bearer_auth(TOKEN).send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{status}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

/// What all nodes together would say of each snapshot.
async fn apply(mut snapshots: watch::Receiver<Arc<Snapshot>>, reports: mpsc::Sender<Report>) {
    loop {
        let version = snapshots.borrow_and_update().version;
        for role in ["ingest", "packager", "edge"] {
            let report = Report::Applied { role: role.into(), node: "n1".into(), version };
            if reports.send(report).await.is_err() {
                return;
            }
        }
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

/// A text of an answer.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}
