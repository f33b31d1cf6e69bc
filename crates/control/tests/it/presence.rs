//! Viewer-minutes and peaks by distribution, rendition and location: told once, twice or late, they are the same.

use anabranch_model::{DistributionId, InstanceId, Report, SpoolId, Stay, ViewerSeen};
use anabranch_testkit::{Engine, both};
use serde_json::{Value, json};

use crate::support::{NOW_MS, Server, TOKEN, answer, text};
use crate::usage::{collect, on_air, present, told};

both!(what_is_watched_is_counted_once_by_all_that_it_is_asked_by, what_is_forgotten_is_kept_by_the_hour);

/// All that is asked for.
const SPAN: &str = "from=2025-12-31T00:00:00Z&to=2026-01-02T00:00:00Z";

fn stay(distribution: &DistributionId, rendition: &str, seconds: (i64, i64)) -> Stay {
    Stay {
        distribution: distribution.clone(),
        rendition: rendition.to_owned(),
        location: String::new(),
        first_ms: NOW_MS + seconds.0 * 1000,
        last_ms: NOW_MS + seconds.1 * 1000,
    }
}

fn seen(breakout: &str, session: &str, stays: Vec<Stay>) -> ViewerSeen {
    ViewerSeen {
        breakout: breakout.parse().unwrap(),
        session: session.to_owned(),
        user: String::new(),
        address: String::new(),
        user_agent: String::new(),
        first_ms: stays.iter().map(|stay| stay.first_ms).min().unwrap(),
        last_ms: stays.iter().map(|stay| stay.last_ms).max().unwrap(),
        bytes: 0,
        stays,
    }
}

/// Key, viewer-minutes and peak.
type Found = (String, u64, u64);

/// Those of each row, in the order of keys, and minutes and peak of the total.
fn found(usage: &Value) -> (Vec<Found>, (u64, u64)) {
    let of = |counts: &Value| (counts["viewer_minutes"].as_u64().unwrap(), counts["peak_viewers"].as_u64().unwrap());
    let mut rows: Vec<_> = usage["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (text(&item["key"]).to_owned(), of(item).0, of(item).1))
        .collect();
    rows.sort_unstable();
    (rows, of(&usage["total"]))
}

fn row(key: &str, minutes: u64, peak: u64) -> (String, u64, u64) {
    (key.to_owned(), minutes, peak)
}

async fn by(server: &Server, by: &str, whose: &str) -> (Vec<(String, u64, u64)>, (u64, u64)) {
    found(&server.get(&format!("/v1/usage?by={by}&{SPAN}{whose}")).await.body)
}

async fn until_minutes(server: &Server, minutes: u64) {
    let path = format!("/v1/usage?by=rendition&{SPAN}");
    server.until(&path, |usage| usage["total"]["viewer_minutes"] == minutes).await;
}

/// Everything that is asked of the audience of one distribution.
async fn everything(server: &Server, distribution: &DistributionId) -> Vec<Value> {
    let mut all = Vec::new();
    for by in ["distribution", "rendition", "location", "breakout", "event", "account", "platform"] {
        all.push(server.get(&format!("/v1/usage?by={by}&{SPAN}")).await.body);
        all.push(server.get(&format!("/v1/usage?by={by}&{SPAN}&distribution={distribution}")).await.body);
    }
    all
}

async fn what_is_watched_is_counted_once_by_all_that_it_is_asked_by(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let (breakout, distribution) = on_air(&mut server).await;
    server.clock.set_ms(NOW_MS + 600_000);
    present(&server, &InstanceId::random(), 0).await;
    let (spool, site) = (SpoolId::random(), &distribution);
    // The first hears and sees, changes its rendition and goes on; the second comes later.
    let first = [stay(site, "", (0, 0)), stay(site, "audio", (0, 120)), stay(site, "video", (0, 60))];
    let first = first.into_iter().chain([stay(site, "low", (64, 120))]).collect();
    let rows = vec![seen(&breakout, "s1", first), seen(&breakout, "s2", vec![stay(site, "video", (30, 90))])];
    for _ in 0..3 {
        told(&server, &spool, 1, Report::Viewers(rows.clone())).await;
    }
    until_minutes(&server, 3).await;
    let renditions = vec![row("", 0, 1), row("audio", 2, 1), row("low", 1, 1), row("video", 2, 2)];
    assert_eq!(by(&server, "rendition", "").await, (renditions.clone(), (3, 2)));
    assert_eq!(by(&server, "location", "").await, (vec![row("Basel", 3, 2)], (3, 2)));
    assert_eq!(by(&server, "distribution", "").await, (vec![row(site.as_str(), 3, 2)], (3, 2)));
    let whose = format!("&distribution={site}&breakout={breakout}");
    assert_eq!(by(&server, "rendition", &whose).await, (renditions, (3, 2)));
    assert_eq!(by(&server, "breakout", &format!("&distribution={site}")).await, (vec![row(&breakout, 3, 2)], (3, 2)));
    assert_eq!(by(&server, "location", "&distribution=none").await, (vec![], (0, 0)));
    let csv = format!("{}/v1/usage?by=location&format=csv&{SPAN}", server.base);
    let csv = answer(server.client.get(csv).bearer_auth(TOKEN)).await.body;
    assert!(text(&csv).lines().any(|line| line.starts_with("Basel,") && line.contains(",0,0,3,2,")), "{csv}");

    // The edge begins anew, with another spool, and tells of the last seconds of one of them again.
    let again = vec![seen(&breakout, "s2", vec![stay(site, "video", (80, 150))])];
    told(&server, &SpoolId::random(), 1, Report::Viewers(again.clone())).await;
    until_minutes(&server, 4).await;
    assert_eq!(by(&server, "location", "").await, (vec![row("Basel", 4, 2)], (4, 2)));

    // This process's own edge serves a third one.
    server
        .reports
        .send(Report::Viewers(vec![seen(&breakout, "s3", vec![stay(site, "video", (100, 160))])]))
        .await
        .unwrap();
    until_minutes(&server, 5).await;
    let (locations, total) = by(&server, "location", "").await;
    assert_eq!((locations.len(), total), (2, (5, 3)), "{locations:?}");

    let before = everything(&server, site).await;
    for round in 0..10 {
        told(&server, &spool, 1, Report::Viewers(rows.clone())).await;
        // In a batch that is not known as a repetition, too.
        let all = rows.iter().chain(&again).cloned().collect();
        told(&server, &SpoolId::random(), 1, Report::Viewers(all)).await;
        // A viewer who comes last says that all before it is written.
        let last = format!("marker {round}");
        server
            .reports
            .send(Report::Viewers(vec![seen(&breakout, &last, vec![stay(site, "m", (-7200, -7200))])]))
            .await
            .unwrap();
        let is_there =
            |list: &Value| list["items"].as_array().unwrap().iter().any(|one| one["session"] == last.as_str());
        server.until("/v1/breakouts/b/viewers", is_there).await;
        collect(&server).await;
        server.db().usage_roll_up(NOW_MS / 1000 + 600).await.unwrap();
    }
    let from_now_on = "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z";
    for dimension in ["distribution", "rendition", "location"] {
        let usage = server.get(&format!("/v1/usage?by={dimension}&{from_now_on}")).await.body;
        let was = before.iter().find(|usage| usage["by"] == dimension).unwrap();
        assert_eq!(found(&usage), found(was), "{dimension}");
    }
}

async fn what_is_forgotten_is_kept_by_the_hour(engine: Engine) {
    const HOUR: i64 = 3600;
    let mut server = Server::start_on(engine).await;
    let (breakout, distribution) = on_air(&mut server).await;
    server.clock.set_ms(NOW_MS + 4 * HOUR * 1000);
    present(&server, &InstanceId::random(), 0).await;
    let site = &distribution;
    let rows = vec![
        // Over two hours, and in two stays of the third.
        seen(
            &breakout,
            "s1",
            vec![stay(site, "v", (HOUR - 600, HOUR + 300)), stay(site, "v", (2 * HOUR, 2 * HOUR + 60))],
        ),
        seen(&breakout, "s2", vec![stay(site, "v", (HOUR, HOUR + 600)), stay(site, "a", (HOUR + 500, HOUR + 900))]),
    ];
    told(&server, &SpoolId::random(), 1, Report::Viewers(rows)).await;
    until_minutes(&server, 31).await;
    let before = everything(&server, site).await;
    let series = format!("/v1/usage/series?step=3600&{SPAN}&distribution={site}");
    let course = server.get(&series).await.body;
    let viewers: Vec<_> =
        course["items"].as_array().unwrap()[24..28].iter().map(|item| item["viewers"].clone()).collect();
    assert_eq!(json!(viewers), json!([1, 2, 1, 0]), "{course}");
    for hours in [0, 1, 2, 10] {
        while server.db().stays_forget(NOW_MS + hours * HOUR * 1000).await.unwrap() {}
        for _ in 0..10 {
            assert!(!server.db().stays_forget(NOW_MS + hours * HOUR * 1000).await.unwrap());
        }
        assert_eq!(everything(&server, site).await, before, "{hours}");
    }
}
