//! The distribution of a cluster's merged playlists: what it has as its root, what pages may ask of it, and what is done when a playlist in it is
//! replaced.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anabranch_testkit::{Fetched, Reply, Server, Site, Viewer, wait_for};
use serde_json::{Value, json};

use crate::text;

/// Longest wait for what is published anew: a look, and an invalidation that may not come at once.
const PUBLISHED: Duration = Duration::from_secs(60);

/// A page.
const PAGE: &str = "https://app.example.com";

/// A region that somebody else runs, which has a multivariant playlist and nothing else.
pub(crate) struct Foreign {
    name: &'static str,
    site: Site,
    ladder: Arc<Mutex<String>>,
}

impl Foreign {
    pub(crate) fn start(name: &'static str) -> Self {
        let ladder = Arc::new(Mutex::new(ladder(3000, "high.m3u8")));
        let shown = ladder.clone();
        let site = Site::start(move |asked| match asked.path() {
            "/live/index.m3u8" => {
                let text = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Reply::ok(text).with("content-type", "application/vnd.apple.mpegurl")
            }
            _ => Reply::status(404),
        });
        Self { name, site, ladder }
    }

    fn url(&self) -> String {
        self.site.url("/live/index.m3u8")
    }

    pub(crate) fn definition(&self) -> Value {
        json!({ "name": self.name, "origin_url": self.url(), "cdn_url": self.url() })
    }

    fn show(&self, ladder: String) {
        *self.ladder.lock().unwrap_or_else(PoisonError::into_inner) = ladder;
    }
}

/// Two rungs, the upper one of this rate and with this name.
fn ladder(kbps: u32, high: &str) -> String {
    let rung = |kbps: u32, size: &str, uri: &str| {
        format!("#EXT-X-STREAM-INF:BANDWIDTH={kbps}000,CODECS=\"avc1.64001f\",RESOLUTION={size}\n{uri}\n")
    };
    format!("#EXTM3U\n{}{}", rung(kbps, "1280x720", high), rung(800, "640x360", "low.m3u8"))
}

/// A cluster of foreign regions with its distribution.
struct House {
    server: Server,
    /// Of the distribution.
    id: String,
    domain: String,
    /// The merged playlist, signed for everything.
    url: String,
}

impl House {
    fn start(regions: &[Foreign]) -> Self {
        let server = Server::start();
        let definitions: Vec<Value> = regions.iter().map(Foreign::definition).collect();
        let cluster = server.call("POST", "/v1/clusters", &json!({ "name": "show", "regions": definitions }));
        let published = server.cli(&["cluster", "publish", "show"]);
        let (id, domain) = (text(&published["id"]), text(&published["domain_name"]));
        let url = format!("{}/d/{id}/{}/index.m3u8", server.edge(), text(&cluster["id"]));
        let url = signed(&server, &url);
        let house = Self { server, id, domain, url };
        house.wait(|playlist| regions.iter().all(|region| playlist.contains(&region.site.url("/"))));
        house
    }

    fn wait(&self, wanted: impl Fn(&str) -> bool) -> String {
        wait_for("the merged playlist", PUBLISHED, || {
            let answer = Viewer::new().try_get(&self.url).filter(|answer| answer.status == 200)?;
            Some(answer.text()).filter(|playlist| wanted(playlist))
        })
    }

    fn invalidations(&self) -> Vec<Value> {
        let listed = self.server.cli(&["invalidation", "list", &self.id]);
        listed["items"].as_array().cloned().unwrap_or_default()
    }
}

fn signed(server: &Server, url: &str) -> String {
    text(&server.cli(&["sign", url, "--resource", "*"])["url"])
}

fn first(playlist: &str) -> &str {
    playlist.lines().find(|line| line.starts_with("http")).unwrap_or_default()
}

#[test]
fn the_root_of_a_clusters_distribution_is_its_merged_playlist() {
    let regions = ["east", "west"].map(Foreign::start);
    let house = House::start(&regions);
    let port = house.server.edge().rsplit(':').next().map(str::to_owned).expect("a port");
    for root in [format!("{}/d/{}/", house.server.edge(), house.id), format!("http://{}:{port}/", house.domain)] {
        assert_eq!(Viewer::new().get(&root).status, 403, "under signature: {root}");
        let url = signed(&house.server, &root);
        let playlist = wait_for("the root", PUBLISHED, || {
            let answer = Viewer::new().try_get(&url).filter(|answer| answer.status == 200)?;
            Some(answer.text())
        });
        for region in &regions {
            let of = region.site.url("/live/high.m3u8");
            assert!(playlist.contains(&format!("{of}?")), "under the viewer's signature: {playlist}");
        }
        // What it names beside itself lies in the folder of the stream.
        let steering =
            playlist.split("SERVER-URI=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("steering");
        let answer = Viewer::new().get(&format!("{root}{steering}"));
        assert!(answer.status == 200 && answer.text().contains("PATHWAY-PRIORITY"), "{steering}: {}", answer.text());
    }
}

#[test]
fn pages_may_ask_for_merged_playlists_and_queries_make_no_difference() {
    let regions = ["east", "west"].map(Foreign::start);
    let house = House::start(&regions);
    let bare = house.url.split('?').next().expect("a URL");
    let page = || Viewer::new().with("origin", PAGE);
    let preflight = page()
        .with("access-control-request-method", "GET")
        .with("access-control-request-headers", "range")
        .options(bare);
    assert_eq!(preflight.status, 204, "without a signature: {}", preflight.text());
    for (name, wanted) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET"),
        ("access-control-allow-headers", "range"),
    ] {
        let value = preflight.header(name);
        assert!(value == "*" || value.to_ascii_uppercase().contains(&wanted.to_ascii_uppercase()), "{name}: {value}");
    }
    assert_eq!(Viewer::new().try_send("POST", &house.url, "{}").expect("an answer").status, 405);

    let is_hit = |answer: &Fetched| answer.header("cache-status").contains("hit");
    // Whatever players put into the query, they are answered from what is kept; a lifetime may end in between.
    wait_for("a hit", PUBLISHED, || {
        assert_eq!(page().get(&house.url).status, 200);
        let other = page().get(&format!("{}&_cb=1&v=2", house.url));
        assert_eq!((other.status, other.header("access-control-allow-origin")), (200, "*"));
        is_hit(&other).then_some(())
    });
    let elsewhere = Viewer::new().with("origin", "https://other.example.com").get(&house.url);
    assert!(!is_hit(&elsewhere), "each page has its own: {}", elsewhere.header("cache-status"));

    let options = || Viewer::new().options(&house.url);
    assert_eq!((options().status, options().header("allow")), (204, "GET, HEAD, OPTIONS"));
    wait_for("a kept answer to OPTIONS", PUBLISHED, || Some(options()).filter(is_hit));
}

#[test]
fn what_is_replaced_is_invalidated_and_what_only_measures_otherwise_is_not() {
    let regions = ["east", "west", "north"].map(Foreign::start);
    let [east, west, north] = &regions;
    let mut house = House::start(&regions[..2]);
    assert!(house.invalidations().is_empty(), "not the first time");
    east.show(ladder(3100, "high.m3u8"));
    let playlist = house.wait(|playlist| playlist.contains("BANDWIDTH=3100000"));
    assert_eq!(first(&playlist).split('?').next(), Some(east.site.url("/live/high.m3u8").as_str()));
    assert!(house.invalidations().is_empty(), "a rate is no other playlist");

    // The order of preference.
    let said = Instant::now();
    let _ = house.server.cli(&["cluster", "close", "show", "east"]);
    house.wait(|playlist| first(playlist).starts_with(&west.site.url("/")));
    println!("viewers begin in the other region {:?} after the closing", said.elapsed());
    let ordered = wait_for("an invalidation", PUBLISHED, || house.invalidations().pop());
    assert_eq!(ordered["paths"], json!(["/*"]), "{ordered}");
    wait_for("its end", PUBLISHED, || (house.invalidations()[0]["status"] == "Completed").then_some(()));

    // Another region, whose host gets the viewer's signature as well.
    let definitions: Vec<Value> = regions.iter().map(Foreign::definition).collect();
    let _ = house.server.call("PATCH", "/v1/clusters/show", &json!({ "regions": definitions }));
    let new = format!("{}?", north.site.url("/live/high.m3u8"));
    house.wait(|playlist| playlist.contains(&new));
    wait_for("the second invalidation", PUBLISHED, || (house.invalidations().len() == 2).then_some(()));

    // Variants, while nobody looks.
    house.server.kill();
    west.show(ladder(3000, "new.m3u8"));
    house.server.restart();
    house.wait(|playlist| playlist.contains(&west.site.url("/live/new.m3u8")));
    wait_for("the third invalidation", PUBLISHED, || (house.invalidations().len() == 3).then_some(()));
}
