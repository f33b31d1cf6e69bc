//! Allow-lists by address, on real sockets.

use std::time::Duration;

use anabranch_model::{AlarmKind, Report};
use tokio::time::Instant;

use crate::encoder::{Encoder, hung_up};
use crate::harness::{KEY, Server, ffmpeg, finish, metrics, soon};

const START: &str = "NetStream.Publish.Start";

#[tokio::test]
async fn an_address_that_is_not_allowed_is_refused_with_words_and_one_alarm() {
    let metrics = metrics();
    let mut server = Server::start(|_| {});
    server.set_allow(2, &["203.0.113.0/24", "::1"]);
    for _ in 0..3 {
        let (_, status) = Encoder::publish(server.address, "test", "live", KEY).await;
        assert_eq!(status.code, "NetStream.Publish.BadName");
        assert!(status.words.contains("allow-list"), "{status:?}");
    }
    let output = finish(ffmpeg(1, &[], &format!("{}/{KEY}", server.url()))).await;
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("allow-list"), "{output:?}");
    assert!(server.sessions.try_recv().is_err());
    assert!(metrics.render().contains("anabranch_ingest_refused_total{reason=\"not_allowed\"}"));
    let mut alarms = Vec::new();
    while let Ok(report) = server.reports.try_recv() {
        if let Report::Alarm { channel, input, kind, raised, detail } = report {
            assert_eq!((&channel, &input), (&server.channel, &server.input));
            assert!(detail.contains("127.0.0.1"), "{detail}");
            alarms.push((kind, raised));
        }
    }
    assert_eq!(alarms, [(AlarmKind::NotAllowed, true)]);
    server.set_allow(3, &["127.0.0.0/8"]);
    assert_eq!(Encoder::publish(server.address, "test", "live", KEY).await.1.code, START);
}

#[tokio::test]
async fn a_changed_list_cuts_a_session_that_it_does_not_admit() {
    let mut server = Server::start(|_| {});
    server.set_allow(2, &["127.0.0.1"]);
    let (mut encoder, status) = Encoder::publish(server.address, "test", "live", KEY).await;
    assert_eq!(status.code, START);
    let mut session = server.session().await;
    encoder.audio_config().await;
    // Another list that admits it changes nothing.
    server.set_allow(3, &["127.0.0.1/32", "10.0.0.0/8"]);
    encoder.audio(10).await.unwrap();
    for _ in 0..2 {
        soon("track and sample", session.events.recv()).await.unwrap();
    }
    let begun = Instant::now();
    server.set_allow(4, &["10.0.0.0/8"]);
    let status = encoder.status().await;
    assert!(status.words.contains("allow-list"), "{status:?}");
    hung_up(&mut encoder.stream).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(soon("end", session.events.recv()).await.is_none());
}

#[tokio::test]
async fn a_list_that_cannot_be_read_admits_nobody() {
    let server = Server::start(|_| {});
    server.set_allow(2, &["127.0.0.1", "everyone"]);
    let (_, status) = Encoder::publish(server.address, "test", "live", KEY).await;
    assert!(status.words.contains("allow-list"), "{status:?}");
    server.set_allow(3, &[]);
    assert_eq!(Encoder::publish(server.address, "test", "live", KEY).await.1.code, START);
}
