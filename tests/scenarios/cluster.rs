//! Two regions, each a server of its own, fed by one encoder: the same segments in both, one merged playlist, and a region that goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anabranch_testkit::{Encoder, Fetched, Server, Viewer, wait_for};
use serde_json::{Value, json};

use crate::published::Foreign;
use crate::text;

/// Target duration of the segments, in seconds.
const TARGET: u32 = 2;

/// Longest wait for a region's first playlist, and for segments.
pub(crate) const PLAYING: Duration = Duration::from_secs(40);

/// Longest time from an operator's word to its effect.
pub(crate) const CLOSED: Duration = Duration::from_secs(2);

/// Longest time in which a region that is gone is noticed: 1.5 target durations and the rest.
const NOTICED: Duration = Duration::from_secs(15);

/// The automat's shortest time between two switches, in milliseconds.
const HOLD_MS: &str = "4000";

/// A region and what it has.
pub(crate) struct Region {
    name: &'static str,
    pub(crate) server: Server,
    channel: Value,
}

impl Region {
    fn start(name: &'static str) -> Self {
        let server = Server::start();
        let target = TARGET.to_string();
        let channel = server.cli(&["channel", "create", "main", "--segment", &target]);
        Self { name, server, channel }
    }

    fn distribution(&self) -> String {
        text(&self.channel["distribution"]["id"])
    }

    fn playlist(&self) -> String {
        format!("{}/d/{}/{{breakout}}/index.m3u8", self.server.edge(), self.distribution())
    }

    fn push_url(&self) -> String {
        crate::push_url(&self.channel)
    }

    /// What the cluster's definition says of it where it is, or elsewhere.
    fn definition(&self, here: bool, token: &str) -> String {
        let (name, playlist) = (self.name, self.playlist());
        if here {
            format!("{name},origin={playlist},distribution={}", self.distribution())
        } else {
            format!("{name},origin={playlist},peer={},token={token}", self.server.api())
        }
    }

    pub(crate) fn region(&self, of: &str) -> Value {
        let shown = self.server.cli(&["cluster", "show", "show"]);
        let regions = shown["regions"].as_array().cloned().unwrap_or_default();
        regions.into_iter().find(|region| region["name"] == of).unwrap_or_else(|| panic!("region {of} of {shown}"))
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

/// Two regions on air with one stream.
pub(crate) struct Pair {
    pub(crate) regions: [Region; 2],
    stream: String,
    encoder: Encoder,
}

impl Pair {
    pub(crate) fn start() -> Self {
        let regions = [Region::start("east"), Region::start("west")];
        trust_each_other(&regions);
        let token =
            |region: &Region| text(&region.server.cli(&["token", "create", "peer", "--scope", "cluster"])["secret"]);
        let tokens = regions.each_ref().map(token);
        let mut stream = String::new();
        for (at, region) in regions.iter().enumerate() {
            let definitions: Vec<String> =
                regions.iter().enumerate().map(|(of, other)| other.definition(of == at, &tokens[of])).collect();
            #[rustfmt::skip]
            let _ = region.server.cli(&[
                "cluster", "create", "show", "--here", region.name, "--mode", "automatic", "--vote", "any", "--confirm", "0", "--hold", HOLD_MS,
                "--cool-down", "0", "--region", &definitions[0], "--region", &definitions[1],
            ]);
            let breakout = region.server.cli(&["breakout", "create", "show", "--channel", "main", "--cluster", "show"]);
            let _ = region.server.cli(&["breakout", "start", "show", "--wait"]);
            let id = text(&breakout["id"]);
            assert!(stream.is_empty() || stream == id, "a stream has the same id everywhere: {stream} {id}");
            stream = id;
        }
        let encoder = encode(&regions);
        Self { regions, stream, encoder }
    }

    fn url(&self, at: usize) -> String {
        self.regions[at].playlist().replace("{breakout}", &self.stream)
    }

    /// The stream in one region, under that region's signature.
    fn signed(&self, at: usize) -> String {
        text(&self.regions[at].server.cli(&["breakout", "play-url", "show"])["url"])
    }

    /// Waits until both servers say that both regions are open and fresh.
    pub(crate) fn wait_fresh(&self) {
        for at in &self.regions {
            wait_for("both regions to be fresh", PLAYING, || {
                // One whose stream came late was closed until then.
                let fresh = |of: &str| {
                    let region = at.region(of);
                    region["verdict"] == "fresh" && region["opening"] == "open"
                };
                (fresh("east") && fresh("west")).then_some(())
            });
        }
    }

    /// Segments of the picture by their number: name and URL.
    pub(crate) fn segments(&self, at: usize) -> BTreeMap<u64, (String, String)> {
        let Some(answer) = Viewer::new().try_get(&self.signed(at)).filter(|answer| answer.status == 200) else {
            return BTreeMap::new();
        };
        let _ = answer;
        let multivariant = Viewer::new().playlist(&self.signed(at));
        let media = crate::media_playlist(&multivariant);
        let first: u64 = media.tag("EXT-X-MEDIA-SEQUENCE").and_then(|tag| tag.parse().ok()).expect("a number");
        let name = |url: &String| {
            let path = url.split('?').next().unwrap_or_default();
            path.rsplit('/').next().unwrap_or_default().to_owned()
        };
        (first..).zip(media.uris()).map(|(number, url)| (number, (name(&url), url))).collect()
    }
}

/// One encoder that sends the very same to both.
fn encode(regions: &[Region; 2]) -> Encoder {
    let outputs = regions.each_ref().map(|region| format!("[f=flv:onfail=ignore]{}", region.push_url())).join("|");
    #[rustfmt::skip]
    let encoder = Encoder::run(&[
        "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-re", "-f", "lavfi", "-i", "sine=sample_rate=48000",
        "-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "25",
        "-b:v", "300k", "-c:a", "aac", "-flags", "+global_header", "-f", "tee", &outputs,
    ]);
    encoder
}

#[test]
fn regions_have_the_same_segments_and_one_playlist() {
    let pair = Pair::start();
    // Three numbers that both have, wherever each began.
    let common = wait_for("the same segments in both regions", PLAYING, || {
        let [east, west] = [pair.segments(0), pair.segments(1)];
        let common: Vec<_> =
            east.iter().filter_map(|(number, one)| Some((*number, one.clone(), west.get(number)?.clone()))).collect();
        (common.len() >= 4).then_some(common)
    });
    // The first one may have begun earlier in one of them.
    for (number, (name, url), (other_name, other_url)) in common.iter().skip(1) {
        assert_eq!(name, other_name, "segment {number}");
        let [one, other] = [url, other_url].map(|url| Viewer::new().get(url).body);
        assert!(one == other, "segment {number} is not the same in both regions");
    }

    let east = &pair.regions[0].server;
    let _ = east.cli(&["cluster", "publish", "show"]);
    let url = wait_for("the merged playlist", PLAYING, || {
        let url = text(&east.cli(&["cluster", "play-url", "show"])["url"]);
        let answer = Viewer::new().try_get(&url)?;
        (answer.status == 200 && answer.text().contains(&format!("{}/", pair.regions[1].server.edge()))).then_some(url)
    });
    let merged = Viewer::new().playlist(&url);
    assert!(merged.text.contains("#EXT-X-CONTENT-STEERING:"), "{}", merged.text);
    for uri in merged.uris().into_iter().chain(merged.attribute_uris()) {
        let answer = Viewer::new().get(&uri);
        assert_eq!(answer.status, 200, "{uri}: {}", answer.text());
    }
    let probe = std::process::Command::new("timeout")
        .args([
            "30",
            "ffprobe",
            "-v",
            "error",
            "-http_persistent",
            "0",
            "-show_entries",
            "stream=codec_name",
            "-of",
            "csv=p=0",
            &url,
        ])
        .output()
        .expect("ffprobe");
    let (out, said) = (String::from_utf8_lossy(&probe.stdout), String::from_utf8_lossy(&probe.stderr));
    assert!(probe.status.success() && out.contains("h264") && said.is_empty(), "{}: {out}{said:?}", probe.status);
    let bare = url.split('?').next().expect("a URL");
    assert_eq!(Viewer::new().get(bare).status, 403, "under signature");
}

#[test]
fn an_operator_closes_a_region_at_once_though_everything_is_cached() {
    let pair = Pair::start();
    let url = wait_for("segments in the west", PLAYING, || pair.segments(1).into_values().next_back()).1;
    let ask = || Viewer::new().get(&url);
    wait_for("a cached segment", PLAYING, || ask().header("cache-status").contains("hit").then_some(()));

    // Said in the east, done in the west.
    let said = Instant::now();
    let _ = pair.regions[0].server.cli(&["cluster", "close", "show", "west", "--why", "maintenance"]);
    let refused: Fetched = wait_for("the closing", CLOSED, || Some(ask()).filter(|answer| answer.status == 404));
    println!("closed in the other region after {:?}", said.elapsed());
    assert_eq!(refused.header("x-anabranch-closed"), "west");
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    let west = pair.regions[1].region("west");
    assert_eq!((&west["opening"], &west["by"]), (&"closed".into(), &"operator".into()), "{west}");
    let _ = pair.regions[1].server.cli(&["cluster", "automatic", "show", "west"]);
    let opened = wait_for("the opening", CLOSED, || Some(ask()).filter(|answer| answer.status == 200));
    assert!(opened.header("cache-status").contains("hit"), "{}", opened.header("cache-status"));
    let history = pair.regions[0].server.cli(&["cluster", "history", "show"]);
    let whats: Vec<_> =
        history["items"].as_array().expect("a history").iter().map(|entry| text(&entry["what"])).collect();
    assert!(whats.contains(&"closed".to_owned()) && whats.contains(&"automatic".to_owned()), "{history}");
}

#[test]
fn a_region_that_dies_is_closed_and_opened_again_by_itself() {
    let mut pair = Pair::start();
    pair.wait_fresh();
    let died = Instant::now();
    pair.regions[1].server.kill();
    let west = wait_for("the west to be closed", NOTICED, || {
        let west = pair.regions[0].region("west");
        (west["opening"] == "closed").then_some(west)
    });
    println!("closed {:?} after its server was killed: {}", died.elapsed(), west["verdict_reason"]);
    // What refuses connections ages like what stands still: its newest segment is less than a target duration old.
    assert!(died.elapsed() >= Duration::from_millis(u64::from(TARGET) * 500), "closed before it could be known");
    assert_eq!(west["by"], "automat", "{west}");
    let url = pair.url(1);
    pair.regions[1].server.restart();
    // The encoder has lost that output for good: it is started anew, for both.
    let regions = &pair.regions;
    pair.encoder = encode(regions);
    let opened = wait_for("the west to be opened again", PLAYING + Duration::from_secs(20), || {
        let west = pair.regions[0].region("west");
        (west["opening"] == "open" && west["verdict"] == "fresh").then_some(west)
    });
    assert_eq!(opened["by"], "automat", "{opened}, at {url}");
    let history = pair.regions[0].server.cli(&["cluster", "history", "show"]);
    let closing = history["items"].as_array().expect("a history").iter().find(|entry| entry["what"] == "closed");
    assert!(closing.is_some_and(|entry| !entry["evidence"].is_null()), "{history}");
    let viewers = pair.regions[0].server.cli(&["breakout", "viewers", "show"]);
    assert_eq!(viewers["items"].as_array().map(Vec::len), Some(0), "watchers are no viewers: {viewers}");
}

/// Longer than an edge keeps a multivariant playlist.
const KEPT: Duration = Duration::from_secs(6);

#[test]
fn a_peers_copy_of_the_merged_playlist_stands_behind_the_own_one() {
    let mut pair = Pair::start();
    let distributions = pair.regions.each_ref().map(|region| {
        let published = region.server.cli(&["cluster", "publish", "show"]);
        text(&published["id"])
    });
    let urls = pair.regions.each_ref().map(|region| {
        wait_for("the merged playlist", PLAYING, || {
            let url = text(&region.server.cli(&["cluster", "play-url", "show"])["url"]);
            let answer = Viewer::new().try_get(&url)?;
            let all = pair.regions.each_ref().map(|region| format!("{}/", region.server.edge()));
            (answer.status == 200 && all.iter().all(|edge| answer.text().contains(edge))).then_some(url)
        })
    });
    // Without an encoder (this one only tells its version) no rate changes, so that nothing is published anew.
    pair.encoder = Encoder::run(&["-version"]);
    let [east, _] = &pair.regions;
    let own = |url: &str| url.replace(&format!("/{}/", distributions[0]), &format!("/{}/peer/", distributions[0]));
    wait_for("the copy for peers", PLAYING, || (Viewer::new().try_get(&own(&urls[0]))?.status == 200).then_some(()));
    // The last rates may still be published, so that it is taken away again and again, for longer than anybody keeps it.
    let since = Instant::now();
    wait_for("the own copy to be gone, and caches to notice", PLAYING, || {
        for cluster in std::fs::read_dir(east.server.data().join("media/bucket/clusters")).expect("a bucket").flatten()
        {
            let _ = std::fs::remove_dir_all(cluster.path());
        }
        (Viewer::new().get(&own(&urls[0])).status == 404 && since.elapsed() > KEPT).then_some(())
    });
    let answer = Viewer::new().get(&urls[0]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let merged = Viewer::new().playlist(&urls[0]);
    for uri in merged.uris().into_iter().chain(merged.attribute_uris()) {
        let answer = Viewer::new().get(&uri);
        assert_eq!(answer.status, 200, "under the viewer's signature: {uri}: {}", answer.text());
    }
    assert_eq!(Viewer::new().get(urls[0].split('?').next().expect("a URL")).status, 403, "still under signature");
}

/// Watchers that a cluster hears at most.
const WATCHERS_MAX: usize = 32;

#[test]
fn a_cluster_that_hears_no_more_watchers_silences_no_other() {
    let regions = ["east", "west"].map(Foreign::start);
    let server = Server::start();
    let definitions: Vec<Value> = regions.iter().map(Foreign::definition).collect();
    for name in ["a", "b"] {
        let _ = server.call("POST", "/v1/clusters", &json!({ "name": name, "regions": definitions }));
    }
    let heard = |cluster: &str, watcher: &str| {
        let votes = server.call("GET", &format!("/v1/clusters/{cluster}/votes"), &Value::Null);
        let votes = votes["items"].as_array().cloned().unwrap_or_default();
        let own = votes.iter().filter(|vote| vote["watcher"].as_str().is_some_and(|name| name.starts_with(watcher)));
        own.map(|vote| text(&vote["heard_at"])).max()
    };
    let own = wait_for("a vote on each", PLAYING, || heard("a", "").and(heard("b", "")));
    // All places but its own are taken, and then it is called otherwise.
    for at in 1..WATCHERS_MAX {
        let vote = json!({ "region": "east", "watcher": format!("w{at}"), "state": "fresh" });
        let _ = server.call("POST", "/v1/clusters/a/votes", &vote);
    }
    let _ = server.call("PATCH", "/v1/clusters/a", &json!({ "here": "east" }));
    wait_for("it to be refused", PLAYING, || server.log().contains("a vote on cluster a is not heard").then_some(()));
    assert_eq!(heard("a", "east/"), None);
    let before = heard("b", "").max(Some(own));
    wait_for("its next vote on the other", PLAYING, || (heard("b", "") > before).then_some(()));
}
