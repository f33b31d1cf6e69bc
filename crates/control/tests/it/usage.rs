//! Usage and charges: counted once, settled once, the same however they are summed.

use anabranch_model::{
    BreakoutId, DistributionId, InstanceId, Quality, Recorded, Report, ReportBatch, SpoolId, Stay, Traffic, ViewerSeen,
};
use anabranch_testkit::{Engine, both};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{NODE_TOKEN, NOW_MS, Server, TOKEN, answer, own, text};

both!(
    usage_is_counted_once_by_all_that_it_is_asked_by,
    collecting_ten_times_changes_nothing_and_what_comes_late_is_a_correction,
    requests_to_storage_are_charged_once,
    players_tell_how_well_it_went,
    attendance_is_known_by_breakout_event_and_account,
    a_start_that_is_aborted_at_once_is_charged,
);

pub(crate) const NODE: &str = "edge-1";

pub(crate) async fn told(server: &Server, spool: &SpoolId, sequence: u64, report: Report) {
    let batch =
        ReportBatch { node: NODE.parse().unwrap(), spool: spool.clone(), sequence, reports: vec![report], journal: 0 };
    let url = format!("{}/edge/v1/reports", server.base);
    let answered = answer(server.client.post(url).bearer_auth(NODE_TOKEN).json(&batch)).await;
    assert_eq!(answered.status, StatusCode::OK, "{}", answered.body);
}

/// Has a node ask, so that it is waited for; it says until when all is told.
pub(crate) async fn present(server: &Server, instance: &InstanceId, told_ms: i64) {
    let url = format!(
        "{}/edge/v1/snapshot?node={NODE}&instance={instance}&role=edge&location=Basel&location_class=PriceClass_100&after=0&told_ms={told_ms}",
        server.base
    );
    let asked = answer(server.client.get(url).bearer_auth(NODE_TOKEN)).await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
}

fn sent(distribution: &DistributionId, breakout: &str, rendition: &str, bytes: u64) -> Traffic {
    Traffic {
        breakout: breakout.parse().ok(),
        session: u32::from(!breakout.is_empty()),
        rendition: rendition.to_owned(),
        minute: NOW_MS / 1000,
        requests: 2,
        bytes,
        statuses: [0, 1, 0, 1, 0],
        hits: 1,
        fetched: bytes / 2,
        ..Traffic::none(distribution.clone())
    }
}

/// A breakout that is on air, and its distribution.
pub(crate) async fn on_air(server: &mut Server) -> (String, DistributionId) {
    server.channel("c").await;
    let breakout = text(&server.breakout("b", "c").await["id"]).to_owned();
    let snapshot = server.snapshot(|snapshot| !own(snapshot).is_empty()).await;
    let distribution = own(&snapshot)[0].id.clone();
    server.act("/v1/breakouts/b/start").await;
    server.applied_until("/v1/breakouts/b", |breakout| breakout["state"] == "RUNNING").await;
    (breakout, distribution)
}

async fn usage_is_counted_once_by_all_that_it_is_asked_by(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let (breakout, distribution) = on_air(&mut server).await;
    present(&server, &InstanceId::random(), 0).await;
    let spool = SpoolId::random();
    let rows = vec![
        sent(&distribution, &breakout, "video", 1000),
        sent(&distribution, &breakout, "audio", 100),
        sent(&distribution, "", "", 7),
    ];
    for _ in 0..3 {
        told(&server, &spool, 1, Report::Traffic(rows.clone())).await;
    }
    for by in ["breakout", "distribution", "rendition", "location", "event", "account", "platform"] {
        let usage = server.get(&format!("/v1/usage?by={by}")).await.body;
        let items = usage["items"].as_array().unwrap();
        let sum = |of: &str| items.iter().map(|item| item[of].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("bytes"), sum("requests")), (1107, 6), "{by}: {usage}");
        assert_eq!((&usage["total"]["bytes"], &usage["total"]["errors"]), (&json!(1107), &json!(3)), "{by}");
    }
    let by_rendition = server.get(&format!("/v1/usage?by=rendition&breakout={breakout}")).await.body;
    assert_eq!((&by_rendition["items"][0]["key"], &by_rendition["items"][0]["bytes"]), (&json!("video"), &json!(1000)));
    let by_location = server.get("/v1/usage?by=location").await.body;
    assert_eq!(by_location["items"][0]["key"], "Basel");
    let series = server.get("/v1/usage/series?step=60&from=2025-12-31T23:58:00Z&to=2026-01-01T00:02:00Z").await.body;
    let bytes: Vec<_> =
        series["items"].as_array().unwrap().iter().map(|item| item["bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes, [0, 0, 1107, 0], "{series}");
    let csv = answer(server.client.get(format!("{}/v1/usage?format=csv", server.base)).bearer_auth(TOKEN)).await;
    assert!(csv.content_type.starts_with("text/csv"));
    assert!(text(&csv.body).starts_with("key,name,from,to,bytes,requests,") && text(&csv.body).contains(",1100,4,"));
    // Old minutes are added up to longer stretches, and nothing is lost by it.
    let later = NOW_MS / 1000 + 400 * 86_400;
    server.db().usage_roll_up(later).await.unwrap();
    assert_eq!(server.db().usage_roll_up(later).await.unwrap(), 0);
    let total = server.get("/v1/usage?by=platform&from=2025-12-01T00:00:00Z").await.body;
    assert_eq!(total["total"]["bytes"], 1107);
    for by in ["breakout", "event", "account", "platform"] {
        for (month, bytes) in [("2026-01", 1107), ("2025-12", 0)] {
            let usage = server.get(&format!("/v1/usage?by={by}&month={month}")).await.body;
            assert_eq!(usage["total"]["bytes"], bytes, "{by} {month}");
        }
    }
    for (query, words) in [
        ("usage?by=colour", "by"),
        ("usage?from=yesterday", "RFC 3339"),
        ("usage?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "begins before"),
        ("usage/series?step=7", "60, 300"),
        ("usage?month=2026", "2026-11"),
        ("usage?month=2026-01&to=2026-01-01T00:00:00Z", "ask for a month"),
        ("charges?month=2026", "2026-11"),
        ("charges?month=2026-01&from=2026-01-01T00:00:00Z", "ask for a month"),
    ] {
        server.get(&format!("/v1/{query}")).await.problem(422, words);
    }
    server.get("/v1/usage?breakout=none").await.problem(404, "no breakout");
}

pub(crate) async fn collect(server: &Server) -> Value {
    let done = server.post("/v1/charges/collect", json!({})).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    done.body
}

fn states(charges: &Value, service: &str) -> Vec<String> {
    let services = charges["sessions"][0]["services"].as_array().unwrap();
    services.iter().filter(|one| one["service"] == service).map(|one| text(&one["state"]).to_owned()).collect()
}

/// Millionths of an amount.
fn micros(amount: &Value) -> i64 {
    let text = text(amount);
    let (whole, fraction) = text.split_once('.').unwrap();
    let value: i64 = format!("{}{fraction:0<6}", whole.trim_start_matches('-')).parse().unwrap();
    if text.starts_with('-') { -value } else { value }
}

async fn collecting_ten_times_changes_nothing_and_what_comes_late_is_a_correction(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let (breakout, distribution) = on_air(&mut server).await;
    let (spool, instance) = (SpoolId::random(), InstanceId::random());
    present(&server, &instance, 0).await;
    told(&server, &spool, 1, Report::Traffic(vec![sent(&distribution, &breakout, "video", 4_000_000_000)])).await;
    let id: BreakoutId = breakout.parse().unwrap();
    let seen = ViewerSeen {
        breakout: id.clone(),
        session: "s1".to_owned(),
        user: "u1".to_owned(),
        address: String::new(),
        user_agent: String::new(),
        first_ms: NOW_MS,
        last_ms: NOW_MS + 90_000,
        bytes: 1,
        stays: Vec::new(),
    };
    server.clock.set_ms(NOW_MS + 2 * 60_000);
    server.reports.send(Report::Viewers(vec![seen])).await.unwrap();
    server.until("/v1/breakouts/b/viewers", |list| !list["items"][0].is_null()).await;
    let path = format!("/v1/breakouts/{breakout}/charges");
    server.clock.set_ms(NOW_MS + 20 * 60_000);
    collect(&server).await;
    let live = server.get(&path).await.body;
    assert_eq!(states(&live, "encoder"), ["estimate", "estimate"], "{live}");
    assert_eq!(micros(&live["total"]), micros(&live["sessions"][0]["estimate"]));

    server.act("/v1/breakouts/b/stop").await;
    let recorded =
        Recorded { duration_ms: 1_200_000, segments: 10, bytes: 2_000_000_000, complete: true, ..Recorded::default() };
    server.reports.send(Report::Recorded { breakout: id, session: 1, recorded }).await.unwrap();
    server.until("/v1/recordings", |list| list["items"][0]["state"] == "AVAILABLE").await;
    collect(&server).await;
    let ended = server.get(&path).await.body;
    // The encoder is known at once; what edges have sent only when they have told of it.
    assert_eq!(
        (states(&ended, "encoder")[0].as_str(), states(&ended, "cdn")[0].as_str()),
        ("final", "estimate"),
        "{ended}"
    );
    assert!(text(&ended["sessions"][0]["waiting_for"]).contains("every edge"));
    server.clock.set_ms(NOW_MS + 25 * 60_000);
    present(&server, &instance, 0).await;
    collect(&server).await;
    assert_eq!(states(&server.get(&path).await.body, "cdn")[0], "estimate", "the edge has not told yet");
    present(&server, &instance, NOW_MS + 24 * 60_000).await;
    collect(&server).await;
    let settled = server.get(&path).await.body;
    assert!(
        ["encoder", "packager", "cdn"]
            .iter()
            .all(|service| states(&settled, service).iter().all(|state| state == "final")),
        "{settled}"
    );
    // 20 minutes of input and output; 2 GB in, 2 GB asked for; 4 GB from the cheapest places, and 2 requests; 10 objects.
    assert_eq!(micros(&settled["total"]), 98_000 + 234_000 + 60_000 + 100_000 + 340_000 + 2 + 50);

    let lines = settled["sessions"][0]["services"].as_array().unwrap();
    let explains =
        |line: &Value| ["rule", "price_key", "price_source", "arithmetic"].iter().all(|of| line[of].is_string());
    assert!(lines.iter().all(explains), "{settled}");
    let components: Vec<_> = lines.iter().map(|line| (text(&line["service"]), text(&line["component"]))).collect();
    for apart in
        [("encoder", "inputs"), ("packager", "packaged"), ("cdn", "bytes of PriceClass_100"), ("cdn", "requests")]
    {
        assert!(components.contains(&apart), "{components:?}");
    }
    let input = lines.iter().find(|line| line["component"] == "inputs").unwrap();
    assert_eq!(input["arithmetic"], "20 / 60 hour \u{d7} 0.294 = 0.098");
    assert_eq!(input["price_key"], "prices.cloud.encoder_input_single");
    let csv = format!("{}/v1/charges?format=csv&month=2026-01", server.base);
    let csv = answer(server.client.get(csv).bearer_auth(TOKEN)).await.body;
    assert!(text(&csv).contains(",arithmetic,rule,price_source\r\n") && text(&csv).contains("begun minutes"), "{csv}");
    for _ in 0..10 {
        assert_eq!(collect(&server).await["changed"], 0);
    }
    assert_eq!(server.get(&path).await.body, settled);

    // The same batch again, and then one that was on its way for long.
    told(&server, &spool, 1, Report::Traffic(vec![sent(&distribution, &breakout, "video", 4_000_000_000)])).await;
    assert_eq!(collect(&server).await["changed"], 0);
    told(&server, &spool, 2, Report::Traffic(vec![sent(&distribution, &breakout, "video", 1_000_000_000)])).await;
    assert_eq!(collect(&server).await["changed"], 2, "packager and cdn");
    for _ in 0..10 {
        assert_eq!(collect(&server).await["changed"], 0);
    }
    let corrected = server.get(&path).await.body;
    assert_eq!(states(&corrected, "cdn").last().unwrap(), "correction");
    assert_eq!(micros(&corrected["sessions"][0]["final"]), micros(&settled["sessions"][0]["final"]));
    assert_eq!(micros(&corrected["sessions"][0]["corrections"]), 85_000 + 25_000 + 2);

    let all = server.get("/v1/charges?month=2026-01").await.body;
    for by in ["breakout", "service", "event", "account", "platform"] {
        let charges = server.get(&format!("/v1/charges?month=2026-01&by={by}")).await.body;
        let items = charges["items"].as_array().unwrap();
        assert_eq!(items.iter().map(|item| micros(&item["total"])).sum::<i64>(), micros(&all["total"]), "{by}");
        for item in items {
            let services = item["services"].as_array().unwrap();
            assert_eq!(
                services.iter().map(|one| micros(&one["amount"])).sum::<i64>(),
                micros(&item["total"]),
                "{item}"
            );
        }
    }
    assert_eq!(server.get("/v1/charges?month=2025-12").await.body["total"], "0.00");
    let usage = server.get("/v1/usage").await.body;
    let item = &usage["items"][0];
    assert_eq!(
        (&item["viewers"], &item["peak_viewers"], &item["viewer_minutes"]),
        (&json!(1), &json!(1), &json!(2)),
        "{usage}"
    );
    assert_eq!((&item["stream_seconds"], &item["ingest_bytes"]), (&json!(1200), &json!(2_000_000_000)));
    // A bill outlives what it is for, and a restart changes nothing.
    assert!(server.delete("/v1/breakouts/b").await.status.is_success());
    let scratch = server.stop().await;
    let server = Server::start_in(scratch, Some(TOKEN)).await;
    server.clock.set_ms(NOW_MS + 26 * 60_000);
    collect(&server).await;
    assert_eq!(collect(&server).await["changed"], 0);
    assert_eq!(server.get(&path).await.body["total"], corrected["total"]);
}

/// What storage costs, by component: quantity, unit, amount, state; what is kept grows by the hour and is left out.
fn stored(charges: &Value) -> Vec<[String; 5]> {
    let services = charges["sessions"][0]["services"].as_array().unwrap().iter();
    let stored = services.filter(|one| one["service"] == "storage" && one["component"] != "kept");
    stored.map(|one| ["component", "quantity", "unit", "amount", "state"].map(|of| text(&one[of]).to_owned())).collect()
}

async fn requests_to_storage_are_charged_once(engine: Engine) {
    const HOUR_MS: i64 = 3_600_000;
    let mut server = Server::start_on(engine).await;
    let (breakout, distribution) = on_air(&mut server).await;
    let (spool, instance) = (SpoolId::random(), InstanceId::random());
    let id: BreakoutId = breakout.parse().unwrap();
    // What edges asked of the live stream is the packager's.
    let live = Traffic { fetches: 7, ..sent(&distribution, &breakout, "video", 1000) };
    let recorded = |fetches: u64| Traffic { recorded: true, misses: 9000, fetches, ..live.clone() };
    let told_of = [live.clone(), Traffic { fetched: 2_000_000_000, ..recorded(3000) }].to_vec();
    present(&server, &instance, 0).await;
    for _ in 0..2 {
        told(&server, &spool, 1, Report::Traffic(told_of.clone())).await;
    }
    server.clock.set_ms(NOW_MS + HOUR_MS);
    server.act("/v1/breakouts/b/stop").await;
    let made = Recorded { duration_ms: 3_600_000, segments: 7200, complete: true, bytes: 1, ..Recorded::default() };
    server.reports.send(Report::Recorded { breakout: id, session: 1, recorded: made }).await.unwrap();
    server.until("/v1/recordings", |list| list["items"][0]["state"] == "AVAILABLE").await;
    let path = format!("/v1/breakouts/{breakout}/charges");
    server.clock.set_ms(NOW_MS + 2 * HOUR_MS);
    present(&server, &instance, NOW_MS + 2 * HOUR_MS).await;
    collect(&server).await;
    let now = stored(&server.get(&path).await.body);
    let line = |words: [&str; 5]| words.map(str::to_owned);
    let written = line(["written", "7.20", "1 000 requests", "0.036", "final"]);
    let of_month = |state| {
        [line(["asked for", "3.00", "1 000 requests", "0.0012", state]), line(["read", "2.00", "GB", "0.00", state])]
    };
    assert_eq!(now, [&[written.clone()][..], &of_month("estimate")[..]].concat());
    for _ in 0..10 {
        assert_eq!(collect(&server).await["changed"], 0);
    }
    // The month is over and told of; then an edge tells of something late.
    server.clock.set_ms(NOW_MS + 32 * 24 * HOUR_MS);
    present(&server, &instance, NOW_MS + 32 * 24 * HOUR_MS).await;
    collect(&server).await;
    let over = [&[written.clone()][..], &of_month("final")[..]].concat();
    let charges = server.get(&path).await.body;
    assert_eq!(stored(&charges)[..3], over, "{charges}");
    told(&server, &spool, 2, Report::Traffic(vec![Traffic { fetched: 0, ..recorded(1000) }])).await;
    collect(&server).await;
    let corrected = server.get(&path).await.body;
    assert!(stored(&corrected).contains(&line(["correction", "1", "sum", "0.0004", "correction"])), "{corrected}");
    // Longer stretches take the place of shorter ones, and the bill is the same.
    server.db().usage_roll_up(NOW_MS / 1000 + 300 * 86_400).await.unwrap();
    for _ in 0..10 {
        assert_eq!(collect(&server).await["changed"], 0);
    }
    assert_eq!(server.get(&path).await.body, corrected);
}

async fn players_tell_how_well_it_went(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    let (breakout, _) = on_air(&mut server).await;
    present(&server, &InstanceId::random(), 0).await;
    let mut quality = Quality { breakout: breakout.parse().ok(), at: NOW_MS / 1000, ..Quality::default() };
    (quality.sessions, quality.told, quality.stalls, quality.starved) = (2, 10, 1, 1);
    (quality.stalled_ms, quality.watched_ms) = (500, 10_000);
    [700, 900].into_iter().for_each(|ms| quality.startup_ms.take(ms));
    quality.bitrate_kbps.take(3200);
    let spool = SpoolId::random();
    for _ in 0..2 {
        told(&server, &spool, 1, Report::Quality(vec![quality.clone()])).await;
    }
    told(&server, &spool, 2, Report::Quality(vec![quality.clone()])).await;
    let analytics = server.get(&format!("/v1/analytics?breakout={breakout}")).await.body;
    let found = &analytics["quality"];
    assert_eq!(
        (&found["sessions"], &found["rebuffer_count"], &found["rebuffer_ratio"]),
        (&json!(4), &json!(2), &json!(0.05))
    );
    assert_eq!(found["bitrate_kbps"]["mean"], 3200);
    assert!((700..1300).contains(&found["startup_ms"]["p50"].as_u64().unwrap()), "{found}");
    server.get("/v1/analytics?asset=none").await.problem(404, "no asset");
    let mut huge = quality;
    huge.startup_ms.buckets = vec![1; 100];
    let batch = ReportBatch {
        node: NODE.parse().unwrap(),
        spool,
        sequence: 3,
        reports: vec![Report::Quality(vec![huge])],
        journal: 0,
    };
    let url = format!("{}/edge/v1/reports", server.base);
    answer(server.client.post(url).bearer_auth(NODE_TOKEN).json(&batch)).await.problem(422, "quality");

    let overview = server.get("/v1/overview").await.body;
    assert_eq!(
        (&overview["breakouts"]["live"], &overview["channels"]["running"]),
        (&json!(1), &json!(1)),
        "{overview}"
    );
    let prices = server.get("/v1/prices").await.body;
    assert!(prices["items"].as_array().unwrap().iter().all(|price| !text(&price["source"]).is_empty()));
    assert!(server.get("/v1/settings").await.body["settings"].is_null());
}

async fn attendance_is_known_by_breakout_event_and_account(engine: Engine) {
    let mut server = Server::start_on(engine).await;
    server.post("/v1/accounts", json!({ "name": "acme" })).await;
    server.post("/v1/events", json!({ "name": "ev", "account": "acme" })).await;
    let (other, distribution) = on_air(&mut server).await;
    server.channel("d").await;
    let made =
        server.post("/v1/breakouts", json!({ "name": "of the event", "channel": "d", "event": "ev" })).await.body;
    let breakout = text(&made["id"]).to_owned();
    server.act(&format!("/v1/breakouts/{breakout}/start")).await;
    let seen = |breakout: &str, session: &str, stays: Vec<Stay>| ViewerSeen {
        breakout: breakout.parse().unwrap(),
        session: session.to_owned(),
        user: String::new(),
        address: String::new(),
        user_agent: String::new(),
        first_ms: NOW_MS,
        last_ms: NOW_MS + 90_000,
        bytes: 1,
        stays,
    };
    server.clock.set_ms(NOW_MS + 90_000);
    let stay = Stay {
        distribution: distribution.clone(),
        rendition: "video".to_owned(),
        location: String::new(),
        first_ms: NOW_MS,
        last_ms: NOW_MS + 90_000,
    };
    server
        .reports
        .send(Report::Viewers(vec![seen(&other, "s1", vec![stay]), seen(&breakout, "s2", Vec::new())]))
        .await
        .unwrap();
    server.until("/v1/analytics", |analytics| analytics["sessions"] == 2).await;
    let times = "step=60&from=2025-12-31T23:58:00Z&to=2026-01-01T00:03:00Z";
    for (whose, viewers) in [
        (String::new(), json!([0, 0, 2, 2, 0])),
        (format!("&breakout={other}"), json!([0, 0, 1, 1, 0])),
        ("&event=ev".to_owned(), json!([0, 0, 1, 1, 0])),
        ("&account=acme".to_owned(), json!([0, 0, 1, 1, 0])),
        (format!("&account=acme&breakout={other}"), json!([0, 0, 0, 0, 0])),
        (format!("&distribution={distribution}"), json!([0, 0, 1, 1, 0])),
        (format!("&event=ev&distribution={distribution}"), json!([0, 0, 0, 0, 0])),
    ] {
        let series = server.get(&format!("/v1/usage/series?{times}{whose}")).await.body;
        let found: Vec<_> = series["items"].as_array().unwrap().iter().map(|item| item["viewers"].clone()).collect();
        assert_eq!(json!(found), viewers, "{whose}");
        assert!(series["viewers_missing"].is_null(), "{series}");
    }
    let analytics = server.get("/v1/analytics?from=2025-12-31T00:02:00Z&to=2026-01-01T00:02:00Z").await.body;
    let joins = analytics["joins"].as_array().unwrap();
    assert_eq!((&analytics["step"], joins.len()), (&json!(120), 720));
    assert_eq!(joins[719], json!({ "at": "2026-01-01T00:00:00Z", "count": 2 }));
    // What is forgotten is not known to be nobody.
    server.clock.set_ms(NOW_MS + 91 * 86_400_000);
    let series = server.get(&format!("/v1/usage/series?{times}")).await.body;
    assert!(series["items"][2]["viewers"].is_null(), "{series}");
    assert!(text(&series["viewers_missing"]).contains("forgotten"), "{series}");
}

async fn a_start_that_is_aborted_at_once_is_charged(engine: Engine) {
    let server = Server::start_on(engine).await;
    server.channel("c").await;
    let breakout = text(&server.breakout("b", "c").await["id"]).to_owned();
    let path = format!("/v1/breakouts/{breakout}/charges");
    for session in [1, 2] {
        server.act("/v1/breakouts/b/start").await;
        server.clock.set_ms(NOW_MS + i64::try_from(session).unwrap() * 10_000);
        assert_eq!(server.act("/v1/breakouts/b/abort").await.body["state"], "IDLE");
        collect(&server).await;
        assert_eq!(collect(&server).await["changed"], 0);
        let charges = server.get(&path).await.body;
        let sessions = charges["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), session, "{charges}");
        let last = &sessions[session - 1];
        assert_eq!(last["ended_at"], format!("2026-01-01T00:00:{session}0.000Z"), "{last}");
        // Ten minutes of input and output, as the shortest session is billed.
        assert_eq!(micros(&last["final"]), 49_000 + 117_000, "{last}");
    }
}
