//! What is one decision of a cluster is one row of its history, whatever its instances think of who decides.

use serde_json::{Value, json};

use crate::cluster::{Link, Pair, done, is, vote};
use crate::support::{NOW_MS, Server, text};

fn items(answer: &Value) -> &[Value] {
    answer["items"].as_array().unwrap()
}

async fn what(server: &Server) -> Vec<String> {
    let history = server.get("/v1/clusters/c/history").await.body;
    items(&history).iter().map(|item| text(&item["what"]).to_owned()).collect()
}

/// Lets time pass on both, so that each would do what it is to do.
fn pass(pair: &Pair, now_ms: i64) {
    pair.servers.iter().for_each(|server| server.clock.set_ms(now_ms));
}

async fn vote_at_both(pair: &Pair, region: &str, state: &str) {
    for (server, watcher) in pair.servers.iter().zip(["watcher eu", "watcher us"]) {
        vote(server, region, watcher, state).await;
    }
}

#[tokio::test]
async fn where_the_automat_is_off_one_instance_speaks_for_it() {
    let pair = Pair::start(json!({ "mode": "manual" })).await;
    pair.servers[0].until("/v1/clusters/c", |cluster| cluster["decides"] == true).await;
    pair.servers[1].until("/v1/clusters/c", |cluster| cluster["decides"] == false).await;
    for step in 1..=4 {
        pass(&pair, NOW_MS + step * 1_000);
        vote_at_both(&pair, "us", "fresh").await;
        vote_at_both(&pair, "eu", "stale").await;
    }
    let withheld = |history: &Value| items(history).first().is_some_and(|item| item["what"] == "withheld");
    let history = pair.servers[0].until("/v1/clusters/c/history", withheld).await;
    assert!(text(&history["items"][0]["why"]).contains("the automat is off"), "{history}");

    // A drill that ends at its time.
    done(&pair.servers[1], "/v1/clusters/c/drill", json!({ "region": "eu", "seconds": 30, "why": "practice" })).await;
    pair.servers[0].until("/v1/clusters/c", is("eu", "closed")).await;
    pass(&pair, NOW_MS + 40_000);
    for server in &pair.servers {
        server.until("/v1/clusters/c/history", |history| items(history)[0]["what"] == "automatic").await;
    }
    // Each has heard the other one since.
    done(&pair.servers[0], "/v1/clusters/c/close", json!({ "region": "us" })).await;
    pair.servers[1].until("/v1/clusters/c", is("us", "closed")).await;
    done(&pair.servers[1], "/v1/clusters/c/open", json!({ "region": "us" })).await;
    pair.servers[0].until("/v1/clusters/c", is("us", "open")).await;
    assert_eq!(what(&pair.servers[0]).await, ["open", "closed", "automatic", "drill", "withheld"]);
    assert_eq!(what(&pair.servers[1]).await, ["open", "closed", "automatic", "drill"]);
}

#[tokio::test]
async fn a_drill_that_two_halves_end_is_ended_once() {
    let pair = Pair::start(json!({ "mode": "automatic" })).await;
    done(&pair.servers[0], "/v1/clusters/c/drill", json!({ "region": "us", "seconds": 30 })).await;
    pair.servers[1].until("/v1/clusters/c", is("us", "closed")).await;
    pair.links.iter().for_each(Link::cut);
    pair.lost().await;
    pair.servers[1].until("/v1/clusters/c", |cluster| cluster["decides"] == true).await;
    pass(&pair, NOW_MS + 31_000);
    for server in &pair.servers {
        server.until("/v1/clusters/c/history", |history| items(history)[0]["what"] == "automatic").await;
    }
    pair.links.iter().for_each(Link::mend);
    done(&pair.servers[0], "/v1/clusters/c/close", json!({ "region": "us" })).await;
    pair.servers[1].until("/v1/clusters/c", is("us", "closed")).await;
    done(&pair.servers[1], "/v1/clusters/c/open", json!({ "region": "us" })).await;
    pair.servers[0].until("/v1/clusters/c", is("us", "open")).await;
    for server in &pair.servers {
        assert_eq!(what(server).await, ["open", "closed", "automatic", "drill"]);
        let log = server.get("/v1/log?type=cluster.region.automatic").await.body;
        assert_eq!(items(&log).len(), 1, "{log}");
    }
}

#[tokio::test]
async fn a_spell_that_other_watchers_date_is_the_same_one() {
    let server = Server::start_on(anabranch_testkit::Engine::Sqlite).await;
    crate::cluster::made(&server, json!({ "name": "c", "here": "eu", "regions": crate::cluster::regions() })).await;
    // Each watcher says it at once: what is heard of one alone is no verdict.
    vote(&server, "eu", "two", "fresh").await;
    vote(&server, "eu", "one", "stale").await;
    server.clock.set_ms(NOW_MS + 2_000);
    for watcher in ["one", "two"] {
        vote(&server, "us", watcher, "fresh").await;
        vote(&server, "eu", watcher, "stale").await;
    }
    server.clock.set_ms(NOW_MS + 4_000);
    let history = server.until("/v1/clusters/c/history", |history| !items(history).is_empty()).await;
    assert_eq!(history["items"][0]["what"], "withheld");
    // The second falls silent: the verdict is that of the first, who dates it earlier.
    server.clock.set_ms(NOW_MS + 5_000);
    vote(&server, "us", "one", "fresh").await;
    vote(&server, "eu", "one", "stale").await;
    server.clock.set_ms(NOW_MS + 8_000);
    let alone = |cluster: &Value| crate::cluster::region(cluster, "eu")["watchers"] == 1;
    server.until("/v1/clusters/c", alone).await;
    server.until("/v1/log?type=cluster.watcher.silent", |log| !items(log).is_empty()).await;
    assert_eq!(what(&server).await, ["withheld"]);
}
