use std::time::Duration;

use anabranch_ingest::rtmp::amf0::Value;
use anabranch_ingest::rtmp::message::{Message, kind};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::encoder::{Encoder, hung_up};
use crate::harness::{KEY, Server, count, ffmpeg, finish, soon};

/// Bytes without sense; the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// Sends what it can and waits until the server has had enough.
async fn send_noise(address: std::net::SocketAddr, bytes: Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may hang up in the middle.
    let _ = stream.write_all(&bytes).await;
    hung_up(&mut stream).await;
}

#[tokio::test]
async fn random_bytes_end_only_their_own_connection() {
    let mut server = Server::start(|config| config.publish_timeout = Duration::from_secs(1));
    for seed in 1..20 {
        send_noise(server.address, noise(seed, 20_000)).await;
        let mut version_3 = noise(seed, 20_000);
        version_3[0] = 3;
        send_noise(server.address, version_3).await;
    }
    let (mut encoder, status) = Encoder::publish(server.address, "test", "live", KEY).await;
    assert_eq!(status.code, "NetStream.Publish.Start");
    let mut session = server.session().await;
    encoder.stream.write_all(&noise(7, 50_000)).await.unwrap();
    hung_up(&mut encoder.stream).await;
    count(&mut session).await;
}

#[tokio::test]
async fn a_slow_handshake_is_cut_off() {
    let server = Server::start(|config| config.publish_timeout = Duration::from_millis(400));
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let drip = async {
        loop {
            if writer.write_all(&[3]).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let closed = async {
        let mut byte = [0];
        let _ = tokio::io::AsyncReadExt::read(&mut reader, &mut byte).await;
    };
    soon("hanging up", async {
        tokio::select! {
            () = closed => {}
            () = drip => {}
        }
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_millis(400));

    let mut silent = Encoder::connect(server.address).await;
    hung_up(&mut silent.stream).await;
}

#[tokio::test]
async fn an_oversized_message_ends_the_session_with_words() {
    let mut server = Server::start(|_| {});
    let (mut encoder, _) = Encoder::publish(server.address, "test", "live", KEY).await;
    let mut session = server.session().await;
    encoder.audio_config().await;
    encoder.audio(10).await.unwrap();
    // Type 0 chunk on chunk stream 6: a video message of 2^24 - 1 bytes.
    encoder.stream.write_all(&[6, 0, 0, 0, 0xFF, 0xFF, 0xFF, 9, 1, 0, 0, 0, 0x17]).await.unwrap();
    let counted = count(&mut session).await;
    assert_eq!(counted.audio, 1);
    assert!(encoder.status().await.words.contains("too long"));
    hung_up(&mut encoder.stream).await;
}

#[tokio::test]
async fn a_large_message_before_publish_is_refused() {
    let server = Server::start(|_| {});
    let mut encoder = Encoder::connect(server.address).await;
    encoder.stream.write_all(&[3, 0, 0, 0, 0x02, 0, 0, 20, 0, 0, 0, 0]).await.unwrap();
    hung_up(&mut encoder.stream).await;
}

#[tokio::test]
async fn an_encoder_without_media_is_sent_away() {
    let mut server = Server::start(|config| config.idle_timeout = Duration::from_millis(300));
    let (mut encoder, _) = Encoder::publish(server.address, "test", "live", KEY).await;
    let mut session = server.session().await;
    // Messages that carry no media do not count.
    let ping = Message::new(kind::USER_CONTROL, 0, vec![0, 6, 0, 0, 0, 0]);
    encoder.send(&ping).await;
    assert!(encoder.status().await.words.contains("no media"));
    count(&mut session).await;
}

#[tokio::test]
async fn media_that_cannot_be_read_ends_the_session_with_words() {
    let mut server = Server::start(|_| {});
    let (mut encoder, _) = Encoder::publish(server.address, "test", "live", KEY).await;
    let mut session = server.session().await;
    // Sorenson H.263, which is not carried.
    encoder.send(&Message::new(kind::VIDEO, 1, vec![0x12, 0, 0, 0])).await;
    let status = encoder.status().await;
    assert!(status.words.contains("video codec"), "{status:?}");
    count(&mut session).await;
}

#[tokio::test]
async fn players_are_sent_elsewhere() {
    let server = Server::start(|_| {});
    let mut player = Encoder::connect(server.address).await;
    player.command("connect", &[Value::object([("app", Value::string("live"))])]).await;
    assert_eq!(player.status().await.code, "NetConnection.Connect.Success");
    player.command("play", &[Value::Null, Value::string(KEY)]).await;
    assert_eq!(player.status().await.code, "NetStream.Play.Failed");
    hung_up(&mut player.stream).await;
}

#[tokio::test]
async fn connections_are_limited() {
    let server = Server::start(|config| config.max_connections = 2);
    let (_one, _two) = (Encoder::connect(server.address).await, Encoder::connect(server.address).await);
    let mut third = TcpStream::connect(server.address).await.unwrap();
    hung_up(&mut third).await;
}

#[tokio::test]
async fn garbage_does_not_disturb_a_publish() {
    let mut server = Server::start(|config| config.publish_timeout = Duration::from_secs(2));
    let push = tokio::spawn(finish(ffmpeg(4, &["-re"], &format!("{}/{KEY}", server.url()))));
    let mut session = server.session().await;
    let counting = tokio::spawn(async move { count(&mut session).await });
    let mut garbage = JoinSet::new();
    for seed in 0..200_u64 {
        let mut bytes = noise(seed, 6000);
        bytes[0] = if seed % 2 == 0 { 3 } else { bytes[0] };
        // A quarter of them stay half open in the handshake.
        bytes.truncate(if seed % 4 == 0 { 1000 } else { 6000 });
        garbage.spawn(send_noise(server.address, bytes));
    }
    soon("end of garbage", garbage.join_all()).await;
    assert!(!push.is_finished(), "the garbage came while ffmpeg published");
    assert!(push.await.unwrap().status.success());
    let count = counting.await.unwrap();
    assert_eq!((count.video, count.keyframes, count.discontinuities), (100, 4, 0));
}
