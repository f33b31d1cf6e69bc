//! Two regions with the same stream, each a machine of its own on a network that can be taken apart, and a door before each origin that can
//! fail in several ways.

#![expect(clippy::print_stdout, reason = "what was measured, and what is skipped, is printed")]

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anabranch_testkit::{EdgeNode, Encoder, Link, Namespace, Picture, Playlist, Reply, Server, Site, Viewer, wait_for};
use serde_json::{Value, json};

use crate::text;

/// Target duration of the segments, in seconds, where nothing else is wanted.
pub(crate) const TARGET: u32 = 2;

/// Longest wait for both regions to be well.
pub(crate) const WELL: Duration = Duration::from_secs(90);

/// Longest time in which a failure is noticed: 1.5 target durations, the confirmation, watchers that fall silent, and a busy machine.
pub(crate) const NOTICED: Duration = Duration::from_secs(20);

/// How the door before an origin fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not.
    None,
    /// Everything is answered with this status.
    Status(u16),
    /// Every answer comes so much later.
    Slow(Duration),
}

/// Which edges of the regions serve viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edges {
    /// Those of the control planes' own processes.
    Inside,
    /// Processes of their own.
    Apart,
}

/// A region and what it has.
pub(crate) struct Region {
    pub(crate) name: &'static str,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) server: Server,
    pub(crate) fault: Arc<Mutex<Fault>>,
    encoder: Option<Encoder>,
    door: Site,
    edge: Option<EdgeNode>,
    channel: Value,
}

impl Region {
    fn start(name: &'static str, target: u32, edges: Edges) -> Self {
        let namespace = Arc::new(Namespace::new());
        let server = Server::start_in(&namespace, &[]);
        let channel = server.cli(&["channel", "create", "main", "--segment", &target.to_string()]);
        let fault = Arc::new(Mutex::new(Fault::None));
        let door = door(&namespace, server.edge(), fault.clone());
        let edge = (edges == Edges::Apart).then(|| EdgeNode::start_in(&namespace, &server, name));
        Self { name, namespace, server, fault, encoder: None, door, edge, channel }
    }

    /// Base URL of the edge that serves its viewers.
    fn edge(&self) -> String {
        self.edge.as_ref().map_or_else(|| self.server.edge(), EdgeNode::url)
    }

    /// Where its control plane listens.
    fn control(&self) -> SocketAddrV4 {
        self.server.api().trim_start_matches("http://").parse().expect("an address")
    }

    fn distribution(&self) -> String {
        text(&self.channel["distribution"]["id"])
    }

    /// Path of the stream at its edge.
    fn path(&self) -> String {
        format!("/d/{}/{{breakout}}/index.m3u8", self.distribution())
    }

    fn definition(&self) -> Value {
        json!({ "name": self.name, "origin_url": self.door.url(&self.path()),
                "cdn_url": format!("{}{}", self.edge(), self.path()) })
    }

    pub(crate) fn push_url(&self) -> String {
        crate::push_url(&self.channel)
    }

    /// Sends it a stream, in place of the one that it has: the same in each region.
    pub(crate) fn encode(&mut self) {
        self.encode_hue(0);
    }

    /// The same picture in other colours, so that nothing of it was there before.
    pub(crate) fn encode_hue(&mut self, hue: u32) {
        self.encoder = None;
        let picture = Picture { size: (320, 180), kbps: 300, hue, ..Picture::default() };
        self.encoder = Some(Encoder::push(&self.push_url(), picture));
    }

    /// Its encoder is gone.
    pub(crate) fn lose_encoder(&mut self) {
        self.encoder = None;
    }

    /// Its encoder stands still, so that all goes on answering and nothing new comes; or goes on.
    pub(crate) fn freeze(&self, still: bool) {
        self.encoder.as_ref().expect("an encoder").stand_still(still);
    }

    /// The door before its origin fails so from now on.
    pub(crate) fn fail(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// How the cluster is, as this region has it; nothing while it cannot be asked.
    pub(crate) fn try_view(&self) -> Option<Value> {
        let url = format!("{}/v1/clusters/show", self.server.api());
        let viewer = Viewer::new().with("authorization", &format!("Bearer {}", Server::token()));
        let answer = viewer.try_get(&url).filter(|answer| answer.status == 200)?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// What this region says of one.
    pub(crate) fn says_of(&self, of: &str) -> Option<Value> {
        let shown = self.try_view()?;
        let found = shown["regions"].as_array()?.iter().find(|region| region["name"] == of).cloned();
        found.map(|mut region| {
            region["decides"] = shown["decides"].clone();
            region
        })
    }

    /// Entries of the history on a region, the oldest first.
    pub(crate) fn history(&self, of: &str) -> Vec<Value> {
        let shown = self.server.call("GET", "/v1/clusters/show/history?limit=200", &Value::Null);
        let items = shown["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().rev().filter(|entry| entry["region"] == of).collect()
    }

    /// The media playlist of its picture, as viewers get it from outside.
    pub(crate) fn media(&self) -> Option<Playlist> {
        Self::media_at(&self.play_url())
    }

    /// Where a viewer from outside finds the stream.
    pub(crate) fn play_url(&self) -> String {
        let url = text(&self.server.cli(&["breakout", "play-url", "show"])["url"]);
        url.replace(&self.server.edge(), &self.edge())
    }

    /// The media playlist of the picture of a stream, by the URL of that; nothing where it is not answered.
    pub(crate) fn media_at(url: &str) -> Option<Playlist> {
        let url = url.to_owned();
        let answer = Viewer::new().try_get(&url).filter(|answer| answer.status == 200)?;
        Some(crate::media_playlist(&Playlist { url, text: answer.text() }))
    }

    /// Media sequence number of the first segment, and the URLs of all.
    fn segments(&self) -> Option<(u64, Vec<String>)> {
        let media = self.media()?;
        let first: u64 = media.tag("EXT-X-MEDIA-SEQUENCE")?.parse().ok()?;
        Some((first, media.uris()))
    }

    /// Number behind that of the newest segment.
    pub(crate) fn newest(&self) -> Option<u64> {
        let (first, urls) = self.segments()?;
        Some(first + urls.len() as u64)
    }

    /// URL of the newest segment.
    pub(crate) fn segment(&self) -> Option<String> {
        self.segments()?.1.pop()
    }
}

/// Passes on what it is asked, from inside the region, unless it is to fail.
fn door(namespace: &Namespace, target: String, fault: Arc<Mutex<Fault>>) -> Site {
    Site::start_in(namespace, move |asked| {
        let now = *fault.lock().unwrap_or_else(PoisonError::into_inner);
        if let Fault::Status(status) = now {
            return Reply::status(status);
        }
        // Of a HEAD the site leaves the body out itself.
        let viewer = Viewer::new().with("cookie", asked.header("cookie"));
        let Some(answer) = viewer.try_get(&format!("{target}{}", asked.target)) else {
            return Reply::status(502);
        };
        let reply = Reply { status: answer.status, ..Reply::ok(answer.body.clone()) };
        let reply = reply.with("content-type", answer.header("content-type"));
        if let Fault::Slow(delay) = now { reply.after(delay) } else { reply }
    })
}

/// Two regions on air with one stream.
pub(crate) struct Land {
    pub(crate) regions: [Region; 2],
    pub(crate) link: Link,
}

impl Land {
    /// Both well and open; nothing where this machine has no network namespaces, which is said once.
    pub(crate) fn start(hold_ms: u32) -> Option<Self> {
        Self::start_with(hold_ms, TARGET, |regions| regions.iter_mut().for_each(Region::encode))
    }

    /// The same with segments of `target` seconds and streams that come from elsewhere.
    pub(crate) fn start_with(hold_ms: u32, target: u32, encode: impl FnOnce(&mut [Region; 2])) -> Option<Self> {
        Self::start_by(hold_ms, target, Edges::Inside, encode)
    }

    /// Both well and open, with edges of their own.
    pub(crate) fn start_apart(hold_ms: u32) -> Option<Self> {
        Self::start_by(hold_ms, TARGET, Edges::Apart, |regions| regions.iter_mut().for_each(Region::encode))
    }

    fn start_by(hold_ms: u32, target: u32, edges: Edges, encode: impl FnOnce(&mut [Region; 2])) -> Option<Self> {
        if let Some(why) = Namespace::why_not() {
            println!("skipped: {why}");
            return None;
        }
        let mut regions = ["east", "west"].map(|name| Region::start(name, target, edges));
        let [east, west] = &regions;
        let link = east.namespace.link(&west.namespace);
        trust_each_other(&regions);
        let token =
            |region: &Region| text(&region.server.cli(&["token", "create", "peer", "--scope", "cluster"])["secret"]);
        let tokens = regions.each_ref().map(token);

        let mut definitions = regions.each_ref().map(Region::definition);
        definitions[0]["distribution"] = json!(east.distribution());
        definitions[1]["peer"] = json!({ "url": west.server.api(), "token": tokens[1] });
        let body = json!({
            "name": "show", "here": "east", "regions": definitions, "watch": { "silence_ms": 2000 },
            "automat": { "mode": "automatic", "hold_ms": hold_ms, "cool_down_ms": 0 },
        });
        let _ = east.server.call("POST", "/v1/clusters", &body);
        #[rustfmt::skip]
        let _ = west.server.cli(&[
            "cluster", "join", "show", "--from", &east.server.api(), "--peer-token", &tokens[0], "--here", "west",
            "--distribution", &west.distribution(),
        ]);
        for region in &mut regions {
            let _ = region.server.cli(&["breakout", "create", "show", "--channel", "main", "--cluster", "show"]);
            let _ = region.server.cli(&["breakout", "start", "show", "--wait"]);
        }
        encode(&mut regions);
        let land = Self { regions, link };
        land.well("both regions to be on air");
        Some(land)
    }

    pub(crate) fn east(&self) -> &Region {
        &self.regions[0]
    }

    pub(crate) fn west(&self) -> &Region {
        &self.regions[1]
    }

    /// The control plane of the west is dead to everybody, and everybody to it; or lives again. All else of the west goes on.
    pub(crate) fn silence_west(&self, silent: bool) {
        for region in &self.regions {
            self.west().namespace.silence(region.control(), silent);
        }
    }

    /// Waits until both say that both are open and fresh. A region is opened when it has been fresh for the hold.
    pub(crate) fn well(&self, what: &str) {
        wait_for(what, WELL, || {
            let is_well = |by: &Region| {
                ["east", "west"].into_iter().all(|of| {
                    by.says_of(of).is_some_and(|said| {
                        said["opening"] == "open" && said["verdict"] == "fresh" && said["by"] != "fail_open"
                    })
                })
            };
            self.regions.iter().all(is_well).then_some(())
        });
    }

    /// Waits until `by` says that `of` is closed by the automat, prints how long it took, and gives what it says.
    pub(crate) fn closed(&self, by: &Region, of: &str, why: &str, since: Instant) -> Value {
        let said = wait_for(&format!("{of} to be closed: {why}"), NOTICED, || {
            by.says_of(of).filter(|said| said["opening"] == "closed")
        });
        println!("{why}: {of} is closed after {:?}, as {} says: {}", since.elapsed(), by.name, said["verdict_reason"]);
        assert_eq!(said["by"], "automat", "{said}");
        said
    }
}

/// Lets viewers with signatures of one region be served by the other.
fn trust_each_other(regions: &[Region; 2]) {
    let [east, west] = regions.each_ref().map(|region| region.server.cli(&["key", "list"])["items"].clone());
    for (region, keys) in regions.iter().zip([west, east]) {
        for key in keys.as_array().expect("keys") {
            let file = region.server.data().join("other.pem");
            std::fs::write(&file, text(&key["public_key"])).expect("a file");
            let (id, file) = (text(&key["id"]), file.display().to_string());
            let _ = region.server.cli(&["key", "create", "--id", &id, "--public-key", &file]);
        }
    }
}

/// Times at which the automat has switched, Unix milliseconds, from a history.
pub(crate) fn switches(history: &[Value]) -> Vec<i64> {
    let by_automat = history.iter().filter(|entry| entry["by"] == "automat" && entry["what"] != "withheld");
    by_automat.filter_map(|entry| anabranch_hls::time::parse(entry["at"].as_str()?)).collect()
}

/// Latest entries by region: only for messages.
pub(crate) fn words(history: &[Value]) -> BTreeMap<String, String> {
    history.iter().map(|entry| (text(&entry["at"]), format!("{} {}", entry["what"], entry["why"]))).collect()
}
