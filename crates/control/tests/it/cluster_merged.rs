//! The distribution of a cluster's merged playlists, as edges are told of it.

use std::sync::Arc;

use anabranch_model::{AllowedMethods, DistributionSpec, Origin, Selection, Snapshot, ViewerProtocol};
use anabranch_testkit::{Engine, both};
use serde_json::{Value, json};

use crate::cluster::{Link, done, made, region, regions};
use crate::support::{Server, TOKEN, text};

both!(replaced_playlists_are_invalidated_where_they_are_served);

/// The cluster's distribution in a snapshot.
fn spec<'s>(snapshot: &'s Snapshot, id: &str) -> Option<&'s DistributionSpec> {
    snapshot.distributions.iter().find(|spec| spec.id.as_str() == id)
}

async fn published(server: &Server) -> String {
    text(&done(server, "/v1/clusters/c/publish", json!({})).await["id"]).to_owned()
}

#[tokio::test]
async fn it_has_a_root_and_keeps_what_pages_ask() {
    let mut server = Server::start_on(Engine::Sqlite).await;
    let cluster = made(&server, json!({ "name": "c", "regions": regions() })).await;
    let id = published(&server).await;
    let snapshot = server.snapshot(|snapshot| spec(snapshot, &id).is_some()).await;
    let spec = spec(&snapshot, &id).unwrap();
    assert_eq!(spec.default_root_object, "index.m3u8");
    let Origin::Bucket(bucket) = &spec.origins[0].origin else { panic!("{:?}", spec.origins) };
    assert_eq!(bucket.path, format!("/{}", text(&cluster["id"])));
    let behavior = &spec.default_behavior;
    assert_eq!((behavior.allowed_methods, behavior.cache_options), (AllowedMethods::GetHeadOptions, true));
    assert_eq!(behavior.cache.headers, ["access-control-request-headers", "access-control-request-method", "origin"]);
    assert_eq!((&behavior.cache.query, &behavior.cache.cookies), (&Selection::None, &Selection::None));
    assert_eq!(behavior.viewer_protocol, ViewerProtocol::AllowAll, "this edge has no certificate");
    let again = published(&server).await;
    assert_eq!(again, id, "it is made once");
}

#[tokio::test]
async fn http_is_redirected_where_all_of_it_is_https() {
    for (url, wanted) in [
        ("https://cdn.eu.example.com/{breakout}/index.m3u8", ViewerProtocol::RedirectToHttps),
        ("http://cdn.eu.example.com/{breakout}/index.m3u8", ViewerProtocol::AllowAll),
    ] {
        let scratch = anabranch_testkit::Scratch::new(Engine::Sqlite);
        let mut server = Server::start_as(scratch, Some(TOKEN), |config| config.edge_https = true).await;
        let mut regions = regions();
        regions[0]["cdn_url"] = json!(url);
        made(&server, json!({ "name": "c", "regions": regions })).await;
        let id = published(&server).await;
        let snapshot = server.snapshot(|snapshot| spec(snapshot, &id).is_some()).await;
        assert_eq!(spec(&snapshot, &id).unwrap().default_behavior.viewer_protocol, wanted, "{url}");
    }
}

#[tokio::test]
async fn a_region_that_comes_later_gets_viewers_signatures() {
    let mut server = Server::start_on(Engine::Sqlite).await;
    made(&server, json!({ "name": "c", "regions": regions() })).await;
    let id = published(&server).await;
    let hosts = |snapshot: &Arc<Snapshot>| spec(snapshot, &id).map(|spec| spec.signed_hosts.clone());
    let snapshot = server.snapshot(|snapshot| hosts(snapshot).is_some()).await;
    assert_eq!(hosts(&snapshot).unwrap(), ["cdn.eu.example.com", "cdn.us.example.com:8443"]);
    let mut all = regions();
    let asia = json!({ "name": "asia", "origin_url": "http://origin.asia.example.com/{breakout}/index.m3u8",
                       "cdn_url": "https://CDN.asia.example.com/{breakout}/index.m3u8" });
    all.as_array_mut().unwrap().push(asia);
    let changed = server.patch("/v1/clusters/c", json!({ "regions": all })).await;
    assert!(changed.status.is_success(), "{}", changed.body);
    server
        .snapshot(|snapshot| {
            hosts(snapshot).is_some_and(|hosts| hosts.last().is_some_and(|last| last == "cdn.asia.example.com"))
        })
        .await;
}

async fn replaced_playlists_are_invalidated_where_they_are_served(engine: Engine) {
    let server = Server::start_on(engine).await;
    let cluster = made(&server, json!({ "name": "c", "regions": regions() })).await;
    let cluster = text(&cluster["id"]);
    // Nothing is served yet, or any more.
    server.clusters.invalidate_merged(cluster).await.unwrap();
    server.clusters.invalidate_merged("nowhere").await.unwrap();
    let id = published(&server).await;
    server.clusters.invalidate_merged(cluster).await.unwrap();
    server.clusters.invalidate_merged(cluster).await.unwrap();
    let listed = server.get(&format!("/v1/distributions/{id}/invalidations")).await.body;
    let paths: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|item| &item["paths"]).collect();
    assert_eq!(paths, [&json!(["/*"]), &json!(["/*"])], "each is an order of its own");
    let done = |listed: &Value| listed["items"].as_array().unwrap().iter().all(|item| item["status"] == "Completed");
    server.applied_until(&format!("/v1/distributions/{id}/invalidations"), done).await;
}

/// A cluster of three, seen by the first.
struct Trio {
    servers: [Server; 3],
    links: [Link; 2],
    /// Distributions of merged playlists.
    ids: [String; 3],
}

const NAMES: [&str; 3] = ["eu", "us", "asia"];

impl Trio {
    async fn start() -> Self {
        let mut all = regions();
        let asia = json!({ "name": "asia", "origin_url": "http://origin.asia.example.com/{breakout}/index.m3u8",
                           "cdn_url": "https://cdn.asia.example.com/{breakout}/index.m3u8" });
        all.as_array_mut().unwrap().push(asia);
        let plain = all.clone();
        let start = async || Server::start_on(Engine::Sqlite).await;
        let servers = [start().await, start().await, start().await];
        let links = [Link::to(&servers[1]).await, Link::to(&servers[2]).await];
        for (at, link) in links.iter().enumerate() {
            let body = json!({ "name": "peer", "scopes": ["cluster"] });
            let token = text(&servers[at + 1].post("/v1/tokens", body).await.body["secret"]).to_owned();
            // They know of no peer.
            made(&servers[at + 1], json!({ "name": "c", "here": NAMES[at + 1], "regions": plain })).await;
            all[at + 1]["peer"] = json!({ "url": link.url, "token": token });
        }
        made(&servers[0], json!({ "name": "c", "here": "eu", "regions": all })).await;
        let ids = [published(&servers[0]).await, published(&servers[1]).await, published(&servers[2]).await];
        Self { servers, links, ids }
    }

    /// Waits until the copy of this one stands behind the own copy.
    async fn behind(&mut self, at: usize) {
        let path = format!("/d/{}/peer", self.ids[at]);
        let own = self.ids[0].clone();
        let is_behind = |snapshot: &Arc<Snapshot>| {
            let Some(spec) = spec(snapshot, &own) else { return false };
            let group = spec.origin_groups.iter().any(|group| group.primary == "clusters" && group.secondary == "peer");
            let peer = spec.origins.iter().find(|origin| origin.id == "peer");
            group && peer.is_some_and(|peer| matches!(&peer.origin, Origin::Http(http) if http.path == path))
        };
        self.servers[0].snapshot(is_behind).await;
    }

    async fn say(&self, word: &str, of: &str) {
        done(&self.servers[0], &format!("/v1/clusters/c/{word}"), json!({ "region": of })).await;
    }

    async fn lost(&self, name: &str) {
        let is_lost = |cluster: &Value| region(cluster, name)["peer"]["problem"].is_string();
        self.servers[0].until("/v1/clusters/c", is_lost).await;
    }
}

#[tokio::test]
async fn the_second_copy_is_that_of_the_region_that_viewers_would_go_to() {
    let mut trio = Trio::start().await;
    trio.behind(1).await;
    // Nobody is sent to what is closed, as long as there is another.
    trio.say("close", "us").await;
    trio.behind(2).await;
    trio.say("automatic", "us").await;
    trio.behind(1).await;
    // One that is not heard has copies that may be old, if any.
    trio.links[0].cut();
    trio.lost("us").await;
    trio.behind(2).await;
    trio.links[1].cut();
    trio.lost("asia").await;
    trio.behind(1).await;
    trio.links[1].mend();
    trio.behind(2).await;
    trio.links[0].mend();
    trio.behind(1).await;
}
