use std::time::Duration;

use anabranch_ingest::{JUDGEMENT, RECONNECT_SILENCE};
use anabranch_model::InputState;
use tokio::time::Instant;

use crate::encoder::{Encoder, hung_up};
use crate::harness::{KEY, Server, count, ffmpeg, finish};

const START: &str = "NetStream.Publish.Start";

#[tokio::test]
async fn a_second_live_encoder_is_refused() {
    let mut server = Server::start(|_| {});
    let (mut first, _) = Encoder::publish(server.address, "same", "live", KEY).await;
    let mut session = server.session().await;
    first.audio_config().await;
    let counting = tokio::spawn(async move { count(&mut session).await });
    let begun = Instant::now();
    let live = async {
        loop {
            first.audio(100).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let second = async {
        let same = Encoder::publish(server.address, "same", "live", KEY);
        let ffmpeg = finish(ffmpeg(1, &[], &format!("{}/{KEY}", server.url())));
        let ((_, status), output) = tokio::join!(same, ffmpeg);
        (status, output)
    };
    let (status, output) = tokio::select! {
        second = second => second,
        () = live => unreachable!("the first encoder never ends"),
    };
    assert_eq!(status.code, "NetStream.Publish.BadName");
    assert!(status.words.contains("an encoder is live"), "{status:?}");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("an encoder is live"));
    assert!(begun.elapsed() >= JUDGEMENT);
    first.audio(100).await.unwrap();
    first.command("deleteStream", &[]).await;
    let count = counting.await.unwrap();
    assert!(count.audio > 30, "{count:?}");
    assert!(server.sessions.try_recv().is_err());
}

#[tokio::test]
async fn the_same_encoder_takes_over_its_dead_session() {
    let mut server = Server::start(|_| {});
    let (mut first, _) = Encoder::publish(server.address, "same", "live", KEY).await;
    let mut session = server.session().await;
    first.audio_config().await;
    first.audio(100).await.unwrap();
    let begun = Instant::now();
    let (_second, status) = Encoder::publish(server.address, "same", "live", KEY).await;
    assert_eq!(status.code, START);
    assert!(begun.elapsed() < JUDGEMENT, "{:?}", begun.elapsed());
    assert!(begun.elapsed() + Duration::from_millis(200) > RECONNECT_SILENCE);
    assert_eq!(count(&mut session).await.audio, 1);
    let _kept = server.session().await;
    assert!(first.status().await.words.contains("taken over"));
    hung_up(&mut first.stream).await;
    let states = [server.input_state().await, server.input_state().await, server.input_state().await];
    assert!(
        matches!(states, [InputState::Connected { .. }, InputState::Disconnected, InputState::Connected { .. }]),
        "{states:?}"
    );
}

#[tokio::test]
async fn another_encoder_takes_over_after_a_longer_silence() {
    let mut server = Server::start(|_| {});
    let (_first, _) = Encoder::publish(server.address, "one", "live", KEY).await;
    let _kept = server.session().await;
    let begun = Instant::now();
    let (_second, status) = Encoder::publish(server.address, "two", "live", KEY).await;
    assert_eq!(status.code, START);
    assert!(begun.elapsed() > RECONNECT_SILENCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_closed_connection_leaves_its_place_at_once() {
    let mut server = Server::start(|_| {});
    for _ in 0..3 {
        let (encoder, status) = Encoder::publish(server.address, "same", "live", KEY).await;
        assert_eq!(status.code, START);
        let mut session = server.session().await;
        drop(encoder);
        count(&mut session).await;
    }
    let begun = Instant::now();
    let (_encoder, status) = Encoder::publish(server.address, "another", "live", KEY).await;
    assert_eq!(status.code, START);
    assert!(begun.elapsed() < RECONNECT_SILENCE);
}
