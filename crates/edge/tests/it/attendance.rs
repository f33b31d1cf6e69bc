//! Who watches, as it is reported.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anabranch_model::{AudienceSpec, Report, Stay, VIEWERS_MAX, ViewerSeen};
use serde_json::json;
use tokio::time::timeout;

use crate::audience::{NOW, Theatre, breakout};
use crate::support::{NOW_MS, Viewer, ask};

fn counted() -> AudienceSpec {
    AudienceSpec { attendance: true, ..AudienceSpec::default() }
}

/// The next report of viewers.
async fn rows(theatre: &mut Theatre) -> Vec<ViewerSeen> {
    loop {
        let report = timeout(Duration::from_secs(10), theatre.edge.reports.recv()).await.unwrap().unwrap();
        if let Report::Viewers(rows) = report {
            assert!((1..=VIEWERS_MAX).contains(&rows.len()));
            return rows;
        }
    }
}

#[tokio::test]
async fn sessions_are_reported_soon_and_merged() {
    let mut theatre = Theatre::open(|_| {}).await;
    theatre.show(vec![breakout("b1", counted()), breakout("b2", AudienceSpec::default())]).await;
    let claims = [("session", json!("s1")), ("user", json!("u1")), ("breakout", json!("b1"))];
    let (first, second) = (theatre.query_until(NOW + 60, &claims), theatre.query_until(NOW + 61, &claims));
    let agent = format!("User-Agent: {}\r\n", "é".repeat(300));
    let began = Instant::now();
    let reply = ask(theatre.edge.address, "GET", "a.test", &format!("/b1/a.m4s?{first}"), &agent).await;
    assert_eq!(reply.status, 200);
    let seen = rows(&mut theatre).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let [seen] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((seen.breakout.as_str(), seen.session.as_str(), seen.user.as_str()), ("b1", "s1", "u1"));
    assert_eq!((seen.address.as_str(), seen.user_agent.as_str()), ("127.0.0.1", "é".repeat(256).as_str()));
    assert_eq!((seen.first_ms, seen.last_ms), (NOW_MS, NOW_MS));
    let mut bytes = seen.bytes;

    // Nobody else is reported: no session, no attendance wanted, refused.
    let other = theatre.query(&[("session", json!("s1")), ("breakout", json!("b2"))]);
    theatre.get("/b1/a.m4s", &theatre.query(&[])).await;
    theatre.get("/b2/a.m4s", &theatre.query(&[("session", json!("s2"))])).await;
    assert_eq!(theatre.get("/b1/a.m4s", &other).await.status, 403);
    // A renewed signature, and the old one, are the same session.
    theatre.edge.clock.set_ms(NOW_MS + 5_000);
    let mut sent = (reply.head.len() + reply.body.len()) as u64;
    for (at, query) in [(6_000, &second), (7_000, &first), (8_000, &second)] {
        theatre.edge.clock.set_ms(NOW_MS + at);
        let reply = theatre.get("/b1/b.m4s", query).await;
        sent += (reply.head.len() + reply.body.len()) as u64;
    }
    let mut all: Option<ViewerSeen> = None;
    while bytes < sent {
        for row in rows(&mut theatre).await {
            assert_eq!((row.breakout.as_str(), row.session.as_str()), ("b1", "s1"));
            bytes += row.bytes;
            match &mut all {
                Some(all) => all.absorb(&row),
                None => all = Some(row),
            }
        }
    }
    let all = all.unwrap();
    assert_eq!((all.last_ms, bytes), (NOW_MS + 8_000, sent));
    assert!(all.first_ms == NOW_MS || all.first_ms == NOW_MS + 6_000, "{all:?}");
    theatre.edge.shutdown.cancel();
    theatre.edge.running.await.unwrap().unwrap();
    // Nothing is told twice, and what it watched with the end at the latest.
    let mut stays = all.stays;
    while let Some(report) = theatre.edge.reports.recv().await {
        let Report::Viewers(rows) = report else { continue };
        for row in rows {
            assert_eq!((row.session.as_str(), row.bytes, row.last_ms), ("s1", 0, NOW_MS + 8_000));
            row.stays.into_iter().for_each(|stay| stay.put(&mut stays));
        }
    }
    let whole = Stay {
        distribution: "E1".parse().unwrap(),
        rendition: String::new(),
        location: String::new(),
        first_ms: NOW_MS,
        last_ms: NOW_MS + 8_000,
    };
    assert_eq!(stays, [whole]);
}

#[tokio::test]
async fn ten_thousand_sessions_are_all_reported_in_bounded_reports() {
    let mut theatre = Theatre::open(|_| {}).await;
    theatre.show(vec![breakout("b1", counted())]).await;
    const SESSIONS: usize = 10_000;
    let mut requests = Vec::new();
    for number in 0..SESSIONS {
        let query = theatre.query(&[("session", json!(format!("s{number}"))), ("user", json!(format!("u{number}")))]);
        requests.push(format!("GET /b1/a.m4s?{query} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    }
    let mut heard: HashMap<String, ViewerSeen> = HashMap::new();
    let mut sent = 0;
    // Signing takes longer than a connection may wait for its first request.
    let mut viewer = Viewer::connect(theatre.edge.address).await;
    for round in 0..2 {
        for request in &requests {
            viewer.send(request).await;
            let reply = viewer.reply(false).await.unwrap();
            assert_eq!(reply.status, 200, "{}", reply.head);
            sent += (reply.head.len() + reply.body.len()) as u64;
            // The queue of reports is short: what it does not take comes later.
            if round == 1 {
                while let Ok(report) = theatre.edge.reports.try_recv() {
                    take(&mut heard, report);
                }
            }
        }
    }
    while heard.len() < SESSIONS || heard.values().map(|seen| seen.bytes).sum::<u64>() < sent {
        rows(&mut theatre).await.into_iter().for_each(|row| take(&mut heard, Report::Viewers(vec![row])));
    }
    assert_eq!(heard.values().map(|seen| seen.bytes).sum::<u64>(), sent);
    assert!(heard.values().all(|seen| seen.user[1..] == seen.session[1..]));
}

fn take(heard: &mut HashMap<String, ViewerSeen>, report: Report) {
    let Report::Viewers(rows) = report else { return };
    assert!(rows.len() <= VIEWERS_MAX);
    for row in rows {
        match heard.get_mut(&row.session) {
            Some(known) => known.absorb(&row),
            None => drop(heard.insert(row.session.clone(), row)),
        }
    }
}
