//! A server for one test.

use std::sync::Arc;
use std::time::Duration;

use anabranch_control::{ClusterDesk, Config, Control, EventsConfig, MediaConfig};
use anabranch_db::Db;
use anabranch_model::{Report, Snapshot};
use anabranch_net::{ManualClock, Reuse, Shutdown, bind};
use anabranch_store::{Buckets, LocalStore};
use anabranch_testkit::{Engine, Scratch};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) const TOKEN: &str = "test-token-1";

pub(crate) const NODE_TOKEN: &str = "test-node-token-1";

pub(crate) const ORIGIN: &str = "127.0.0.1:9996";

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW_MS: i64 = 1_767_225_600_000;

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) first_token: Option<String>,
    pub(crate) scratch: Scratch,
    pub(crate) buckets: Buckets,
    /// What the node's watchers tell.
    pub(crate) clusters: ClusterDesk,
    db: Db,
    _files: TempDir,
    shutdown: Shutdown,
    task: JoinHandle<()>,
    /// Keeps the lead of a PostgreSQL database, as whoever runs a control room does.
    lead: JoinHandle<()>,
}

/// The database in a scratch place, which this process leads as soon as nobody else does.
pub(crate) async fn open(scratch: &Scratch) -> Db {
    match scratch {
        Scratch::File(dir) => Db::open(&dir.path().join("control.sqlite")).await.unwrap(),
        Scratch::Server(database) => {
            let db = Db::open_url(&database.url()).await.unwrap();
            let lead = async {
                while !db.try_lead().await.unwrap() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(PATIENCE, lead).await.expect("nobody else leads");
            db
        }
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<String>,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Server {
    pub(crate) async fn start_on(engine: Engine) -> Self {
        Self::start_in(Scratch::new(engine), Some(TOKEN)).await
    }

    pub(crate) async fn start_in(scratch: Scratch, token: Option<&str>) -> Self {
        Self::start_as(scratch, token, |_| {}).await
    }

    /// The same with something changed in its configuration.
    pub(crate) async fn start_as(scratch: Scratch, token: Option<&str>, change: impl FnOnce(&mut Config)) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap(), Reuse::Exclusive).unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = Config {
            listen: address,
            admin_token: token.map(str::to_owned),
            edge_base_url: "http://127.0.0.1:8888".into(),
            edge_port: 8888,
            edge_https: false,
            domain_suffix: "cdn.localhost".into(),
            rtmp_public: "rtmp://127.0.0.1:1935/live".into(),
            watch_base_url: "http://127.0.0.1:9997".into(),
            viewer_origins: vec!["https://app.example.com".into()],
            embed_frame_ancestors: vec!["*".into()],
            viewers_keep: Duration::from_secs(90 * 24 * 60 * 60),
            node_token: Some(NODE_TOKEN.into()),
            sweep_every: anabranch_control::SWEEP_EVERY,
            crash_at: None,
            events: EventsConfig::default(),
            prices: anabranch_control::Prices::default(),
            place: anabranch_control::Place::default(),
            settings: anabranch_control::SettingsTree::default(),
            video_list_bucket: None,
            auth: anabranch_control::AuthConfig::default(),
        };
        change(&mut config);
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let db = open(&scratch).await;
        let files = tempfile::tempdir().unwrap();
        let (told, arrivals) = mpsc::channel(64);
        let store = LocalStore::open(files.path(), 0).unwrap();
        let buckets = Buckets::new(store, Some(Arc::new(told)));
        let media = MediaConfig { buckets: buckets.clone(), presets: vec!["standard".into(), "lms".into()] };
        let (reports, received) = mpsc::channel(64);
        let (control, mut snapshots) =
            Control::build(config, media, db.clone(), clock.clone(), received, arrivals).await.unwrap();
        control.origin_room_at(ORIGIN.into());
        let first_token = control.first_token();
        let shutdown = Shutdown::new();
        let led = db.clone();
        let lead = tokio::spawn(async move { led.lost().await });
        let clusters = control.clusters();
        let task = tokio::spawn(control.run(listener, shutdown.clone()));
        // The distribution of recordings comes by itself; tests begin after it.
        let library = snapshots.wait_for(|snapshot| !snapshot.distributions.is_empty());
        tokio::time::timeout(PATIENCE, library).await.expect("the first distribution comes").unwrap();
        let client = reqwest::Client::new();
        let base = format!("http://{address}");
        Self {
            base,
            client,
            clock,
            reports,
            snapshots,
            first_token,
            scratch,
            buckets,
            clusters,
            db,
            _files: files,
            shutdown,
            task,
            lead,
        }
    }

    /// The database under the server, for what somebody else would do to it.
    pub(crate) fn db(&self) -> Db {
        self.db.clone()
    }

    pub(crate) async fn stop(self) -> Scratch {
        self.shutdown.cancel();
        drop(self.client);
        self.task.await.unwrap();
        self.lead.abort();
        let _ = self.lead.await;
        self.db.close().await;
        self.scratch
    }

    /// Ends it without a word, as a process that is killed: nothing is drained, nothing is written at the end.
    pub(crate) async fn kill(self) -> Scratch {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        self.lead.abort();
        let _ = self.lead.await;
        self.db.close().await;
        self.scratch
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn act(&self, path: &str) -> Answer {
        self.call(Method::POST, path, None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// A channel, as its create answered.
    pub(crate) async fn channel(&self, name: &str) -> Value {
        let made = self.post("/v1/channels", json!({ "name": name })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        made.body
    }

    pub(crate) async fn breakout(&self, name: &str, channel: &str) -> Value {
        let made = self.post("/v1/breakouts", json!({ "name": name, "channel": channel })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        made.body
    }

    /// Lets every role apply the newest snapshot.
    pub(crate) async fn apply(&self) {
        let version = self.snapshots.borrow().version;
        for role in ["ingest", "packager", "edge"] {
            self.applied(role, version).await;
        }
    }

    pub(crate) async fn applied(&self, role: &str, version: u64) {
        self.reports.send(Report::Applied { role: role.into(), node: "n1".into(), version }).await.unwrap();
    }

    /// Waits for a snapshot like this.
    pub(crate) async fn snapshot(&mut self, wanted: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
        let found = tokio::time::timeout(PATIENCE, self.snapshots.wait_for(wanted)).await;
        found.expect("the snapshot does not come").unwrap().clone()
    }

    /// Lets every role apply whatever is newest until the answer is like this.
    pub(crate) async fn applied_until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.asked_until(path, wanted, true).await
    }

    /// Asks until the answer is like this.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.asked_until(path, wanted, false).await
    }

    async fn asked_until(&self, path: &str, wanted: impl Fn(&Value) -> bool, applying: bool) -> Value {
        let mut last = Value::Null;
        let asking = async {
            loop {
                if applying {
                    self.apply().await;
                }
                let found = self.get(path).await.body;
                if wanted(&found) {
                    return found;
                }
                last = found;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, asking).await;
        found.unwrap_or_else(|_| panic!("{path} never became so: {last}"))
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status();
    let content_type = response.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, retry_after, content_type, body }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

impl Answer {
    /// Checks that it is a problem of this status, whose words contain `words`.
    pub(crate) fn problem(&self, status: u16, words: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.content_type, "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert!(text(&self.body["type"]).starts_with("urn:anabranch:problem:"));
        assert!(!text(&self.body["title"]).is_empty());
        assert!(text(&self.body["detail"]).contains(words), "{}", self.body);
    }
}

/// Distributions but the one that recordings and the media library share, which is always there.
pub(crate) fn own(snapshot: &Snapshot) -> Vec<&anabranch_model::DistributionSpec> {
    let library = |spec: &&anabranch_model::DistributionSpec| {
        !spec.behaviors.iter().any(|behavior| behavior.path_pattern == "/media-manager/*")
    };
    snapshot.distributions.iter().filter(library).collect()
}
