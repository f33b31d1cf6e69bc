use std::time::Duration;

use anabranch_model::{InputState, Report};

use crate::encoder::{Encoder, hung_up};
use crate::harness::{Count, KEY, Server, count, ffmpeg, finish, metrics, soon};

/// AAC access units in 3 s at 48 kHz, with the encoder's priming.
const AUDIO_IN_3_S: std::ops::RangeInclusive<usize> = 140..=144;

fn check_3_s(count: &Count) {
    assert_eq!(count.tracks.len(), 2, "{count:?}");
    assert!(count.tracks.iter().any(|codecs| codecs.starts_with("avc1.")), "{count:?}");
    assert!(count.tracks.iter().any(|codecs| codecs == "mp4a.40.2"), "{count:?}");
    assert_eq!((count.video, count.keyframes, count.discontinuities), (75, 3, 0));
    assert!(AUDIO_IN_3_S.contains(&count.audio), "{count:?}");
}

#[tokio::test]
async fn ffmpeg_publishes_and_everything_arrives() {
    let mut server = Server::start(|_| {});
    let first = soon("report", server.reports.recv()).await;
    assert_eq!(first, Some(Report::Begun { role: "ingest".into(), node: "node-1".into() }), "before all others");
    assert_eq!(server.applied().await, 1);
    let push = tokio::spawn(finish(ffmpeg(3, &[], &format!("{}/{KEY}", server.url()))));
    let mut session = server.session().await;
    assert_eq!((&session.channel, &session.input), (&server.channel, &server.input));
    check_3_s(&count(&mut session).await);
    let output = push.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let InputState::Connected { remote, encoder, bitrate: 0, media: None } = server.input_state().await else {
        panic!("connected")
    };
    assert_eq!(remote, session.remote.to_string());
    assert!(!encoder.is_empty());
    assert_eq!(server.input_state().await, InputState::Disconnected);
    server.stop().await;
}

#[tokio::test]
async fn a_query_after_the_key_is_cut_off() {
    let mut server = Server::start(|_| {});
    let push = tokio::spawn(finish(ffmpeg(1, &[], &format!("{}/{KEY}?user=a", server.url()))));
    assert_eq!(count(&mut server.session().await).await.video, 25);
    assert!(push.await.unwrap().status.success());
}

#[tokio::test]
async fn ffmpeg_with_a_wrong_key_is_told_so() {
    let metrics = metrics();
    let mut server = Server::start(|_| {});
    for (url, words) in [
        (format!("{}/wrong-key", server.url()), "no input has this stream key"),
        (format!("rtmp://{}/vod/{KEY}", server.address), "unknown application"),
    ] {
        let output = finish(ffmpeg(3, &[], &url)).await;
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words), "{said}");
    }
    let (encoder, status) = Encoder::publish(server.address, "test", "live", "").await;
    drop(encoder);
    assert!(status.words.contains("missing"), "{status:?}");
    assert!(server.sessions.try_recv().is_err());
    let text = metrics.render();
    for reason in ["key", "app", "key_missing"] {
        assert!(text.contains(&format!("anabranch_ingest_refused_total{{reason=\"{reason}\"}}")), "{text}");
    }
}

#[tokio::test]
async fn a_key_in_the_application_is_taken() {
    let mut server = Server::start(|_| {});
    let (mut encoder, status) = Encoder::publish(server.address, "test", &format!("live/{KEY}"), "").await;
    assert_eq!(status.code, "NetStream.Publish.Start");
    let mut session = server.session().await;
    encoder.audio_config().await;
    encoder.audio(10).await.unwrap();
    encoder.command("deleteStream", &[]).await;
    assert_eq!(count(&mut session).await.audio, 1);
}

#[tokio::test]
async fn a_changed_key_ends_the_session_with_words() {
    let mut server = Server::start(|_| {});
    let (mut encoder, _) = Encoder::publish(server.address, "test", "live", KEY).await;
    let mut session = server.session().await;
    encoder.audio_config().await;
    server.set_key(2, KEY);
    encoder.audio(10).await.unwrap();
    server.set_key(3, "another-key");
    let status = encoder.status().await;
    assert!(status.words.contains("stream key was changed"), "{status:?}");
    hung_up(&mut encoder.stream).await;
    count(&mut session).await;
    while server.applied().await < 3 {}
    assert_eq!(Encoder::publish(server.address, "test", "live", "another-key").await.1.code, "NetStream.Publish.Start");
}

#[tokio::test]
async fn a_full_queue_holds_the_encoder_back_and_loses_nothing() {
    let mut server = Server::start(|config| {
        config.event_queue = 4;
        config.idle_timeout = Duration::from_millis(300);
    });
    let (mut encoder, _) = Encoder::publish(server.address, "test", "live", KEY).await;
    let mut session = server.session().await;
    let writer = tokio::spawn(async move {
        encoder.audio_config().await;
        for _ in 0..2000 {
            encoder.audio(20_000).await.unwrap();
        }
        encoder.command("deleteStream", &[]).await;
        encoder
    });
    // Longer than the idle timeout: a wait that is ours is not held against the encoder.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!writer.is_finished());
    let count = count(&mut session).await;
    assert_eq!((count.audio, count.tracks.len()), (2000, 1));
    soon("writer", writer).await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_server_ends_its_sessions() {
    let mut server = Server::start(|_| {});
    let address = server.address;
    let (mut encoder, _) = Encoder::publish(address, "test", "live", KEY).await;
    let mut session = server.session().await;
    encoder.audio_config().await;
    let teller = tokio::spawn(async move {
        let status = encoder.status().await;
        hung_up(&mut encoder.stream).await;
        status
    });
    server.stop().await;
    count(&mut session).await;
    assert!(teller.await.unwrap().words.contains("the server stops"));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_dropped_session_sends_the_encoder_away() {
    let mut server = Server::start(|_| {});
    let (mut encoder, _) = Encoder::publish(server.address, "test", "live", KEY).await;
    drop(server.session().await);
    assert!(encoder.status().await.words.contains("no longer takes"));
    hung_up(&mut encoder.stream).await;
}
