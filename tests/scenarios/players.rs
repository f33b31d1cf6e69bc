//! Players that people have: ffprobe, mpv, GStreamer.

use std::process::{Command, Output};
use std::time::Duration;

use anabranch_testkit::{Encoder, Server, wait_for};

use crate::{media_playlist, play_url, push_url, text, wait_playing};

/// Runs a player for thirty seconds at the most.
fn run(program: &str, arguments: &[&str]) -> Output {
    let limited = ["30", program].into_iter().chain(arguments.iter().copied());
    Command::new("timeout").args(limited).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

#[test]
fn ffprobe_mpv_and_gstreamer_accept_the_signed_url() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("players");
    let url = push_url(&channel);
    // Faster than real time, so that there is enough to play at once.
    let mut encoder = Encoder::run(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360:rate=25",
        "-f",
        "lavfi",
        "-i",
        "sine=sample_rate=48000",
        "-t",
        "40",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "50",
        "-c:a",
        "aac",
        "-f",
        "flv",
        &url,
    ]);
    assert!(encoder.wait(Duration::from_secs(60)).success(), "{}", encoder.log());
    let url = play_url(&server, &breakout);
    let multivariant = wait_playing(&url);
    wait_for("eight segments", Duration::from_secs(10), || {
        (media_playlist(&multivariant).uris().len() >= 8).then_some(())
    });

    let probe = run("ffprobe", &["-v", "warning", "-show_entries", "stream=codec_name,width", "-of", "csv=p=0", &url]);
    let (out, error) = (String::from_utf8_lossy(&probe.stdout), String::from_utf8_lossy(&probe.stderr));
    assert!(probe.status.success() && out.contains("h264,640") && out.contains("aac"), "{out}{error}");
    assert_eq!(error, "", "ffprobe has nothing to warn of");

    let mpv = run("mpv", &["--no-config", "--vo=null", "--ao=null", "--length=3", "--msg-level=all=warn", &url]);
    let said = String::from_utf8_lossy(&mpv.stdout).into_owned() + &String::from_utf8_lossy(&mpv.stderr);
    assert!(mpv.status.success(), "{said}");
    assert_eq!(said.trim(), "", "mpv has nothing to warn of");

    // Played to the end: a live source keeps this launcher buffering for as long as it may grow.
    let _ = server.cli(&["breakout", "stop", &text(&breakout["id"])]);
    wait_for("the end of the playlist", Duration::from_secs(15), || {
        media_playlist(&multivariant).text.contains("#EXT-X-ENDLIST").then_some(())
    });
    let frames = std::env::temp_dir().join(format!("anabranch-frames-{}", std::process::id()));
    std::fs::create_dir_all(&frames).unwrap();
    let (source, sink) = (format!("uri={url}"), format!("location={}/%05d.jpg", frames.display()));
    let gst = run(
        "gst-launch-1.0",
        &[
            "-q",
            "uridecodebin",
            "name=d",
            &source,
            "d.",
            "!",
            "queue",
            "!",
            "videoconvert",
            "!",
            "jpegenc",
            "!",
            "multifilesink",
            &sink,
            "d.",
            "!",
            "queue",
            "!",
            "audioconvert",
            "!",
            "fakesink",
        ],
    );
    let said = String::from_utf8_lossy(&gst.stderr);
    let pictures = std::fs::read_dir(&frames).unwrap().count();
    std::fs::remove_dir_all(&frames).unwrap();
    assert_eq!(said, "", "GStreamer has nothing to warn of");
    assert_eq!(pictures, 1000, "40 s of 25 pictures a second");
}
