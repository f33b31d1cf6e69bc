//! What tests share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anabranch_cluster::watch::{
    Event, FetchConfig, Fetcher, Preset, Report, Settings, Verdict, VerdictState, Watch, Watcher,
};
use anabranch_net::{Shutdown, SystemClock};
use anabranch_testkit::{Reply, live_playlist};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Longest wait for anything; most things come within seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A watch that runs.
pub(crate) struct Running {
    pub(crate) watch: Watch,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) shutdown: Shutdown,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(settings: Settings) -> Self {
        let fetch = FetchConfig { timeout: Duration::from_millis(settings.timeout_ms), ..FetchConfig::default() };
        Self::start_with(settings, fetch)
    }

    pub(crate) fn start_with(settings: Settings, fetch: FetchConfig) -> Self {
        Self::start_by(settings, Fetcher::new(fetch).unwrap())
    }

    pub(crate) fn start_by(settings: Settings, fetcher: Fetcher) -> Self {
        let (watcher, watch) = Watcher::new(settings, fetcher, Arc::new(SystemClock)).unwrap();
        let (push, events) = mpsc::channel(1000);
        let shutdown = Shutdown::new();
        let task = tokio::spawn(watcher.with_events(push).run(shutdown.clone()));
        Self { watch, events, shutdown, task }
    }

    /// Waits until the verdict is that.
    pub(crate) async fn verdict(&self, state: VerdictState) -> Verdict {
        let mut verdicts = self.watch.verdict();
        let reached = tokio::time::timeout(PATIENCE, verdicts.wait_for(|verdict| verdict.state == state)).await;
        let verdict = reached.map(|verdict| verdict.map(|verdict| Verdict::clone(&verdict)));
        match verdict {
            Ok(Ok(verdict)) => verdict,
            _ => panic!("waited in vain for {state:?}: {:#?}", self.watch.report().await),
        }
    }

    /// Waits until the report is as wanted.
    pub(crate) async fn report(&self, what: &str, is_it: impl Fn(&Report) -> bool) -> Report {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.watch.report().await.expect("a report");
            if is_it(&report) {
                return report;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}: {report:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Settings for a stream: patient with a busy machine, a short limit of time.
pub(crate) fn settings(url: String) -> Settings {
    Settings { timeout_ms: 500, ..Settings::new(url, Preset::Relaxed) }
}

/// A healthy media playlist with segments of one second.
pub(crate) fn live(name: &str, begun: Instant) -> Reply {
    Reply::ok(live_playlist(name, 1, 100 + begun.elapsed().as_secs()))
}
