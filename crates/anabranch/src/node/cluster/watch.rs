//! Watchers of all streams: one for each region's way through its CDN and one for its origin.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anabranch_cluster::watch::{
    AfterEnd, ChangeDetect, FetchConfig, Fetcher, Place, Preset, Settings, Verdict, Watch, Watcher,
};
use anabranch_control::{ClusterDesk, ClusterStream, StreamPlace, Way};
use anabranch_model::{ChangeDetect as ModelDetect, SecretHeaders};
use anabranch_net::{SharedClock, Shutdown};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::Url;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Whose playlists: cluster, stream and region, and the way there.
type Key = (String, String, String, Way);

/// How long a stream may not be there from the start before its region is stale, in milliseconds: as long as one of 6 s segments that
/// stands still, so that one refused connection closes nothing.
const START_GRACE_MS: u64 = 9000;

/// How long a watcher's signature opens.
const SIGNED: Duration = Duration::from_secs(48 * 60 * 60);

/// After so long a watcher of signed playlists goes on with another signature: long before the old one ends, and soon after its key may have
/// been taken away.
pub(super) const SIGN_AGAIN: Duration = Duration::from_secs(10 * 60);

/// What is watched, and how it is asked for: what has another of these is another watch.
#[derive(Clone, PartialEq)]
struct Wanted {
    settings: Settings,
    /// Whether it has a signature, which ends.
    signed: bool,
    /// What the server of the playlist is asked with beside that.
    headers: SecretHeaders,
}

/// A watcher that runs.
struct Running {
    wanted: Wanted,
    /// Since when it has its signature, where it has one.
    signed_at: Option<Instant>,
    fetcher: Fetcher,
    watch: Watch,
    stop: Shutdown,
}

impl Running {
    /// Goes on with another signature, when it is time. One that was begun anew would know nothing of the stream for a while.
    async fn sign_again(&mut self, desk: &ClusterDesk, stream: &str) -> Result<(), String> {
        if self.signed_at.is_some_and(|at| at.elapsed() >= SIGN_AGAIN) {
            self.fetcher.set_headers(all(signature(desk, stream).await?, &self.wanted.headers));
            self.signed_at = Some(Instant::now());
        }
        Ok(())
    }
}

/// The watchers of this process.
pub(super) struct Watches {
    desk: ClusterDesk,
    fetcher: Fetcher,
    clock: SharedClock,
    running: BTreeMap<Key, Running>,
    tasks: JoinSet<()>,
    /// Changes with every verdict.
    news: watch::Sender<u64>,
    /// Whether something is stale, so that it is waited for news of the rest.
    is_stale: Arc<AtomicBool>,
    seen: watch::Receiver<u64>,
}

impl Watches {
    pub(super) fn new(desk: ClusterDesk, fetcher: Fetcher, clock: SharedClock) -> Self {
        let (news, seen) = watch::channel(0);
        let (running, tasks, is_stale) = Default::default();
        Self { desk, fetcher, clock, running, tasks, news, is_stale, seen }
    }

    /// Ends when a verdict has changed since it ended last.
    pub(super) async fn changed(&mut self) {
        // The sender is in this very struct.
        let _ = self.seen.changed().await;
    }

    /// Watches these streams and no others: all of them that can be watched.
    ///
    /// # Errors
    /// Why the first of those that cannot is not.
    pub(super) async fn follow(&mut self, streams: &[ClusterStream]) -> Result<(), String> {
        let (mut wanted, mut done) = (BTreeMap::new(), Ok(()));
        for stream in streams {
            for place in &stream.places {
                for way in [Way::Cdn, Way::Origin] {
                    let key = (stream.cluster.id.to_string(), stream.name.clone(), place.region.clone(), way);
                    match settings(stream, place, way) {
                        Ok(settings) => {
                            let headers = headers(place, &settings.origin_url);
                            wanted.insert(key, Wanted { settings, signed: place.is_ours, headers });
                        }
                        Err(error) => done = done.and(Err(error)),
                    }
                }
            }
        }
        self.running.retain(|key, running| {
            let stays = wanted.get(key) == Some(&running.wanted);
            if !stays {
                running.stop.cancel();
            }
            stays
        });
        for (key, wanted) in wanted {
            if let Some(running) = self.running.get_mut(&key) {
                done = done.and(running.sign_again(&self.desk, &key.1).await);
                continue;
            }
            match self.begin(wanted, &key).await {
                Ok(running) => drop(self.running.insert(key, running)),
                Err(error) => done = done.and(Err(error)),
            }
        }
        while self.tasks.try_join_next().is_some() {}
        done
    }

    async fn begin(&mut self, wanted: Wanted, key: &Key) -> Result<Running, String> {
        let (_, stream, _, way) = key;
        let Wanted { settings, signed, headers } = &wanted;
        let signature = if *signed { signature(&self.desk, stream).await? } else { HeaderMap::new() };
        let timeout = Duration::from_millis(settings.timeout_ms);
        let fetcher = self.fetcher.with(asking(&settings.origin_url, signature, headers, timeout));
        let place = Some(Place { region: settings.region.clone(), way: way.as_str() });
        let (watcher, watch) = Watcher::of_place(settings.clone(), place, fetcher.clone(), self.clock.clone())
            .map_err(|error| format!("a stream cannot be watched: {error}"))?;
        let stop = Shutdown::new();
        self.tasks.spawn(watcher.run(stop.clone()));
        let (mut verdict, mut last, news) = (watch.verdict(), watch.last_change(), self.news.clone());
        let is_stale = self.is_stale.clone();
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    changed = verdict.changed() => match changed {
                        Ok(()) => {}
                        Err(_) => return,
                    },
                    // While a region is stale it is waited for what others bring.
                    Ok(()) = last.changed() => {
                        if !is_stale.load(Ordering::Relaxed) {
                            continue;
                        }
                    }
                }
                news.send_modify(|count| *count += 1);
            }
        });
        let signed_at = signed.then(Instant::now);
        Ok(Running { wanted, signed_at, fetcher, watch, stop })
    }

    /// What is said of a region's stream by one way, and when something new came last.
    pub(super) fn verdict(
        &self,
        stream: &ClusterStream,
        region: &str,
        way: Way,
    ) -> Option<(Verdict, Option<(i64, i64)>)> {
        let key = (stream.cluster.id.to_string(), stream.name.clone(), region.to_owned(), way);
        let watch = &self.running.get(&key)?.watch;
        let (verdict, last) = (watch.verdict(), watch.last_change());
        let said = (verdict.borrow().clone(), *last.borrow());
        Some(said)
    }

    /// Takes note of whether a region is stale.
    pub(super) fn note_stale(&self, is_stale: bool) {
        self.is_stale.store(is_stale, Ordering::Relaxed);
    }

    /// Every watch: cluster, stream, region, the way there.
    pub(super) fn all(&self) -> Vec<(String, String, String, Way, Watch)> {
        let one = |((cluster, stream, region, way), running): (&Key, &Running)| {
            (cluster.clone(), stream.clone(), region.clone(), *way, running.watch.clone())
        };
        self.running.iter().map(one).collect()
    }

    /// Ends all.
    pub(super) async fn end(&mut self) {
        self.running.values().for_each(|running| running.stop.cancel());
        self.running.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The signature with which instances of ours are asked for a stream.
pub(super) async fn signature(desk: &ClusterDesk, stream: &str) -> Result<HeaderMap, String> {
    let seconds = i64::try_from(SIGNED.as_secs()).unwrap_or(i64::MAX);
    let cookie = desk.watcher_cookie(stream, seconds).await?;
    let mut cookie = HeaderValue::from_str(&cookie).map_err(|error| format!("a signature is no header: {error}"))?;
    cookie.set_sensitive(true);
    Ok(HeaderMap::from_iter([(header::COOKIE, cookie)]))
}

/// Asks for the playlist of a stream in a region as viewers are given it, for what is made of it.
pub(super) fn viewer(plain: &Fetcher, stream: &ClusterStream, place: &StreamPlace, signature: &HeaderMap) -> Fetcher {
    let signature = if place.is_ours { signature.clone() } else { HeaderMap::new() };
    let default = FetchConfig::default().timeout;
    let timeout = stream.cluster.watch.timeout_ms.map_or(default, |ms| Duration::from_millis(u64::from(ms)));
    plain.with(asking(&place.cdn_url, signature, &headers(place, &place.cdn_url), timeout))
}

/// Asks the host of `url`, and no other, with a signature and headers.
fn asking(url: &str, signature: HeaderMap, headers: &SecretHeaders, timeout: Duration) -> FetchConfig {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    FetchConfig { timeout, headers: all(signature, headers), host }
}

/// A signature with headers.
fn all(signature: HeaderMap, headers: &SecretHeaders) -> HeaderMap {
    let mut all = signature;
    for (name, value) in headers.iter() {
        // Others are refused where they are given.
        let (Ok(name), Ok(mut value)) = (HeaderName::from_str(name), HeaderValue::from_str(value)) else { continue };
        value.set_sensitive(true);
        all.insert(name, value);
    }
    all
}

/// The headers for the server of a region's origin, if a URL is of that server.
fn headers(place: &StreamPlace, url: &str) -> SecretHeaders {
    let server = |url: &str| Url::parse(url).ok().map(|url| url.origin());
    if server(url).is_some_and(|of_url| server(&place.origin_url) == Some(of_url)) {
        place.headers.clone()
    } else {
        SecretHeaders::default()
    }
}

fn settings(stream: &ClusterStream, place: &StreamPlace, way: Way) -> Result<Settings, String> {
    let watch = &stream.cluster.watch;
    let preset: Preset = watch.preset.parse().map_err(|error| format!("cluster {}: {error}", stream.cluster.name))?;
    let url = match way {
        Way::Cdn => &place.cdn_url,
        Way::Origin => &place.origin_url,
    };
    let preset = Settings::new(url.as_str(), preset);
    Ok(Settings {
        cdn_url: Some(place.cdn_url.clone()),
        duration_multiplier: watch.multiplier.unwrap_or(preset.duration_multiplier),
        stale_tolerance: watch.tolerance.unwrap_or(preset.stale_tolerance),
        change_detect: watch.change_detect.map_or(preset.change_detect, |way| match way {
            ModelDetect::MediaSequence => ChangeDetect::MediaSequence,
            ModelDetect::ContentHash => ChangeDetect::ContentHash,
        }),
        segment_pause_divisor: watch.poll_divisor.unwrap_or(preset.segment_pause_divisor),
        timeout_ms: watch.timeout_ms.map_or(preset.timeout_ms, u64::from),
        reload_on_top_level_change: watch.reload.unwrap_or(preset.reload_on_top_level_change),
        name: format!("{}/{}", stream.cluster.name, stream.name),
        region: place.region.clone(),
        // A breakout's next session has the same URL.
        after_end: AfterEnd::Keep,
        start_grace_ms: START_GRACE_MS,
        ..preset
    })
}

#[cfg(test)]
mod tests {
    use anabranch_cluster::state::Opening;
    use anabranch_model::{AutomatSettings, Cluster, ClusterId, WatchSettings};
    use anabranch_net::SystemClock;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    fn stream(watch: WatchSettings) -> ClusterStream {
        let place = StreamPlace {
            region: "eu".to_owned(),
            cdn_url: "https://cdn.example.com/x.m3u8".to_owned(),
            origin_url: "https://origin.example.com/x.m3u8".to_owned(),
            is_ours: false,
            opening: Opening::Open,
            headers: [("x-key".to_owned(), "secret-word".to_owned())].into_iter().collect(),
        };
        let cluster = Cluster {
            id: ClusterId::random(),
            name: "show".to_owned(),
            here: None,
            regions: Vec::new(),
            watch,
            automat: AutomatSettings::default(),
        };
        ClusterStream { cluster, name: "b".to_owned(), places: vec![place] }
    }

    #[test]
    fn a_clusters_settings_are_the_watchers() {
        let of = |watch: WatchSettings| {
            let stream = stream(watch);
            super::settings(&stream, &stream.places[0], Way::Cdn).unwrap()
        };
        let preset = Settings::new("https://cdn.example.com/x.m3u8", Preset::Default);
        let usual = of(WatchSettings::default());
        assert_eq!(
            (usual.change_detect, usual.segment_pause_divisor, usual.timeout_ms, usual.reload_on_top_level_change),
            (preset.change_detect, preset.segment_pause_divisor, preset.timeout_ms, preset.reload_on_top_level_change)
        );
        let other = of(WatchSettings {
            change_detect: Some(ModelDetect::ContentHash),
            poll_divisor: Some(9),
            timeout_ms: Some(700),
            reload: Some(false),
            ..WatchSettings::default()
        });
        assert_eq!((other.change_detect, other.segment_pause_divisor), (ChangeDetect::ContentHash, 9));
        assert_eq!((other.timeout_ms, other.reload_on_top_level_change), (700, false));
        assert!(other.check().is_ok());
    }

    #[test]
    fn headers_are_for_the_origins_server() {
        let stream = stream(WatchSettings::default());
        let place = &stream.places[0];
        assert!(headers(place, &place.cdn_url).is_empty());
        assert!(headers(place, "http://origin.example.com/x.m3u8").is_empty(), "another scheme is another server");
        let config = asking(&place.origin_url, HeaderMap::new(), &headers(place, &place.origin_url), Duration::ZERO);
        assert_eq!(
            (config.headers["x-key"].to_str().unwrap(), config.host.as_deref()),
            ("secret-word", Some("origin.example.com"))
        );
        assert!(!format!("{config:?}").contains("secret-word"));
        let wanted = Wanted { settings: Settings::default(), signed: false, headers: place.headers.clone() };
        let without = Wanted { headers: SecretHeaders::default(), ..wanted.clone() };
        assert!(wanted != without, "another header is another watch");
    }

    #[test]
    fn each_region_and_way_has_numbers_of_its_own() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let fetcher = Fetcher::new(FetchConfig::default()).unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let made = |place: Option<Place>| {
            let settings = Settings { name: "show/b".to_owned(), ..Settings::new("http://o/x.m3u8", Preset::Default) };
            Watcher::of_place(settings, place, fetcher.clone(), clock.clone()).unwrap();
        };
        metrics::with_local_recorder(&recorder, || {
            made(None);
            for region in ["east", "west"] {
                for way in [Way::Cdn, Way::Origin] {
                    made(Some(Place { region: region.to_owned(), way: way.as_str() }));
                }
            }
        });
        let text = recorder.handle().render();
        let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(series("anabranch_cluster_watch_requests_total"), 5, "{text}");
        assert!(
            text.contains(r#"anabranch_cluster_watch_requests_total{watch="show/b",region="west",way="cdn"}"#),
            "{text}"
        );
        assert!(text.contains(r#"anabranch_cluster_watch_requests_total{watch="show/b"}"#), "of one alone: {text}");
    }
}
