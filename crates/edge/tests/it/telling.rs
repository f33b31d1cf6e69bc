//! What players tell of playback (CTA-5004): counted, and nobody's business behind the edge. And what counts leave on disk.

use anabranch_edge::{Journal, JournalConfig};
use anabranch_model::{Report, Selection, SpoolId};

use crate::support::{Script, TestOrigin, ask, distribution, start};

const SEGMENT: &str = "/assets/m0123456789/HLS/a_720/1.ts";

#[tokio::test]
async fn what_players_tell_is_in_no_key_and_reaches_no_origin() {
    let origin = TestOrigin::start().await;
    for query in ["", "?v=1", "?v=2"] {
        origin.set(&format!("{SEGMENT}{query}"), Script::ok("segment", "max-age=60"));
    }
    let mut site = distribution("E1", "a.test", &origin);
    site.default_behavior.cache.query = Selection::All;
    site.default_behavior.origin_request.headers = Selection::All;
    let mut edge = start(vec![site], |_| {});
    let told = "CMCD=br%3D3200%2Csid%3D%22s1%22%2Csu%2Ccom.anabranch-startup%3D800";
    let later = "CMCD=bl%3D9000%2Cbs%2Csid%3D%22s1%22%2Ccom.anabranch-stall%3D250";
    ask(edge.address, "GET", "a.test", &format!("{SEGMENT}?v=1&{told}"), "").await;
    ask(edge.address, "GET", "a.test", &format!("{SEGMENT}?{later}&v=1"), "").await;
    ask(edge.address, "GET", "a.test", &format!("{SEGMENT}?v=1"), "CMCD-Session: sid=\"s2\"\r\nCMCD-Status: bs\r\n")
        .await;
    ask(edge.address, "GET", "a.test", &format!("{SEGMENT}?v=1"), "").await;
    assert_eq!(origin.count(), 1);
    let head = &origin.heads()[0];
    assert!(head.starts_with(&format!("GET {SEGMENT}?v=1 HTTP/1.1\r\n")), "{head}");
    ask(edge.address, "GET", "a.test", &format!("{SEGMENT}?v=2"), "CMCD-Session: sid=\"s2\"\r\n").await;
    assert!(!origin.heads()[1].to_ascii_lowercase().contains("cmcd"), "{}", origin.heads()[1]);
    edge.shutdown.cancel();
    edge.running.await.unwrap().unwrap();
    let (mut quality, mut traffic) = (Vec::new(), Vec::new());
    while let Some(report) = edge.reports.recv().await {
        match report {
            Report::Quality(rows) => quality.extend(rows),
            Report::Traffic(rows) => traffic.extend(rows),
            _ => {}
        }
    }
    let mut sum = quality[0].clone();
    quality[1..].iter().for_each(|row| sum.absorb(row));
    assert_eq!(sum.asset.as_ref().map(anabranch_model::AssetId::as_str), Some("m0123456789"));
    assert_eq!((sum.sessions, sum.told, sum.starved, sum.stalls, sum.stalled_ms), (2, 4, 2, 2, 250));
    assert_eq!((sum.startup_ms.count, sum.startup_ms.sum, sum.bitrate_kbps.sum), (1, 800, 3200));
    let of_asset: u64 = traffic.iter().filter(|row| row.rendition == "a_720").map(|row| row.requests).sum();
    assert_eq!(of_asset, 5);
}

#[tokio::test]
async fn a_policy_that_names_the_parameter_has_it() {
    let origin = TestOrigin::start().await;
    let mut site = distribution("E1", "a.test", &origin);
    site.default_behavior.cache.query = Selection::Only(vec!["CMCD".to_owned()]);
    let edge = start(vec![site], |_| {});
    ask(edge.address, "GET", "a.test", "/a?CMCD=br%3D1&x=1", "").await;
    assert!(origin.heads()[0].starts_with("GET /a?CMCD=br%3D1 HTTP/1.1\r\n"), "{}", origin.heads()[0]);
}

#[tokio::test]
async fn counts_are_on_disk_until_they_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok(vec![b'x'; 200_000], "max-age=60"));
    let config = JournalConfig { dir: dir.path().to_owned(), id: SpoolId::random(), first: 3 };
    let journal = config.clone();
    let mut edge = start(vec![distribution("E1", "a.test", &origin)], move |edge| edge.journal = Some(journal));
    let mut bytes = 0;
    for _ in 0..5 {
        bytes += ask(edge.address, "GET", "a.test", "/a", "").await.text().len() as u64;
    }
    edge.shutdown.cancel();
    edge.running.await.unwrap().unwrap();
    let mut told = Vec::new();
    while let Some(report) = edge.reports.recv().await {
        if let Report::Counted { journal, generation, traffic, .. } = report {
            assert_eq!(journal, config.id);
            told.extend(traffic.into_iter().map(|row| (generation, row.requests, row.bytes)));
        }
    }
    assert_eq!(told.iter().map(|(_, requests, _)| requests).sum::<u64>(), 5);
    let sent = told.iter().map(|(.., bytes)| bytes).sum::<u64>();
    assert!(sent > bytes && sent < bytes + 5 * 2000, "{sent} of {bytes}");
    // Whoever has kept the reports removes the files; until then they say the same.
    let left = Journal::open(dir.path()).unwrap();
    let kept = left.kept().unwrap();
    assert!(kept.iter().all(|kept| kept.generation >= 3));
    assert_eq!(kept.iter().flat_map(|kept| &kept.traffic).map(|row| row.bytes).sum::<u64>(), sent);
    left.forget(kept.last().unwrap().generation).unwrap();
    assert!(left.kept().unwrap().is_empty());
}
