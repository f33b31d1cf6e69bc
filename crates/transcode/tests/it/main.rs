//! MP4 of recordings: real media, real ffmpeg, and scripts that stand for one that misbehaves.

mod misbehaving;
mod support;
mod vod;

use anabranch_transcode::{CancellationToken, Method, Mp4Done, TranscodeError, Worker};

use support::{PLAIN, Recording, Stretch, complaints, probe};

async fn make(recording: &Recording) -> Result<Mp4Done, TranscodeError> {
    Worker::default().mp4(recording.job(), |_| {}, &CancellationToken::new()).await
}

/// The file is whole, plays from its start and lasts so long.
fn judge(recording: &Recording, done: &Mp4Done) {
    let seconds = recording.seconds;
    let output = recording.output();
    let told: f64 = probe(&output, &["-show_entries", "format=duration"]).parse().expect("a number");
    assert!((told - seconds).abs() < 0.05, "{told} s instead of {seconds} s");
    assert!((done.duration_ms as f64 / 1000.0 - seconds).abs() < 0.05, "{done:?}");
    let bytes = std::fs::read(&output).expect("a file");
    assert_eq!(bytes.len() as u64, done.bytes);
    let place = |kind: &[u8]| bytes.windows(4).position(|window| window == kind).expect("a box");
    assert!(place(b"moov") < place(b"mdat"));
    assert_eq!(complaints(&output), "");
    assert!(recording.leftovers().is_empty(), "{:?}", recording.leftovers());
}

fn packets(recording: &Recording, stream: &str) -> u32 {
    let arguments = ["-select_streams", stream, "-count_packets", "-show_entries", "stream=nb_read_packets"];
    probe(&recording.output(), &arguments).parse().expect("a number")
}

#[tokio::test]
async fn stretches_follow_each_other_without_holes() {
    // Media time that jumps, goes back and goes on, as after failures to write and restarts of encoders.
    let stretches = [PLAIN, Stretch { seconds: 4, at: 40, ..PLAIN }, Stretch { seconds: 5, at: 10, ..PLAIN }];
    let recording = Recording::of(&stretches);
    let mut told = Vec::new();
    let job = recording.job();
    let done = Worker::default().mp4(job, |permille| told.push(permille), &CancellationToken::new()).await.unwrap();
    assert_eq!((done.method, done.method.to_string().as_str()), (Method::Copied, "copied without encoding again"));
    judge(&recording, &done);
    assert_eq!(packets(&recording, "v:0"), 15 * 25, "no frame is lost");
    assert!(told.is_sorted_by(|a, b| a < b) && told.iter().all(|permille| *permille < 1000), "{told:?}");
    // Another one replaces it.
    std::fs::write(recording.output(), "old").unwrap();
    assert_eq!(make(&recording).await.unwrap(), done);
    judge(&recording, &done);
}

#[tokio::test]
async fn pictures_alone_and_sound_alone_are_files() {
    for (stretch, stream) in
        [(Stretch { sound: false, ..PLAIN }, "video"), (Stretch { picture: None, ..PLAIN }, "audio")]
    {
        let recording = Recording::of(&[stretch, Stretch { at: 30, ..stretch }]);
        let done = make(&recording).await.unwrap();
        assert_eq!(done.method, Method::Copied);
        judge(&recording, &done);
        assert_eq!(probe(&recording.output(), &["-show_entries", "stream=codec_type"]), stream);
    }
}

#[tokio::test]
async fn another_picture_size_means_encoding_again() {
    let large = Stretch { seconds: 4, picture: Some((640, 360)), at: 6, ..PLAIN };
    let recording = Recording::of(&[PLAIN, large, Stretch { at: 10, seconds: 3, ..PLAIN }]);
    let done = make(&recording).await.unwrap();
    assert_eq!(done.method, Method::Encoded { changes: 2 });
    assert_eq!(done.method.to_string(), "encoded again: the encoder's settings changed 2 times");
    judge(&recording, &done);
    assert_eq!(
        probe(&recording.output(), &["-select_streams", "v:0", "-show_entries", "stream=width,height"]),
        "640\n360"
    );
    assert_eq!(packets(&recording, "v:0"), 13 * 25);
}

#[tokio::test]
async fn a_stretch_without_sound_is_silent_and_one_without_pictures_black() {
    let silent = Stretch { seconds: 3, sound: false, at: 6, ..PLAIN };
    let black = Stretch { seconds: 4, picture: None, at: 9, ..PLAIN };
    let recording = Recording::of(&[PLAIN, silent, black]);
    let done = make(&recording).await.unwrap();
    assert_eq!(done.method, Method::Encoded { changes: 2 });
    judge(&recording, &done);
    assert_eq!(packets(&recording, "v:0"), 13 * 25);
    let sound: f64 =
        probe(&recording.output(), &["-select_streams", "a:0", "-show_entries", "stream=duration"]).parse().unwrap();
    assert!((sound - 13.0).abs() < 0.1, "{sound}");
}

#[tokio::test]
async fn what_is_no_recording_is_refused() {
    let recording = Recording::of(&[PLAIN]);
    let playlist = recording.folder().join("video.m3u8");
    let text = std::fs::read_to_string(&playlist).unwrap();
    for (from, to, reason) in [
        ("#EXT-X-ENDLIST\n", "", "it has not ended"),
        ("video/00000000-r0.m4s", "../../etc/passwd", "is no file of the recording"),
        ("video/00000000-r0.m4s", "http://127.0.0.1/x.m4s", "is no file of the recording"),
        ("#EXT-X-MAP:URI=\"video/init-r0-0.mp4\"\n", "", "a segment has no init section"),
    ] {
        std::fs::write(&playlist, text.replacen(from, to, 1)).unwrap();
        let error = make(&recording).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!error.may_pass() && !recording.output().exists() && recording.leftovers().is_empty());
    }
    std::fs::write(&playlist, text).unwrap();
    std::fs::remove_file(recording.folder().join("video/00000001-r0.m4s")).unwrap();
    let error = make(&recording).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot read ") && error.to_string().ends_with("00000001-r0.m4s"), "{error}");
}
