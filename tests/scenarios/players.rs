//! Players that people have: ffprobe, mpv, GStreamer.

use std::process::{Command, Output};

use anabranch_testkit::{Encoder, Picture, Server};

use crate::{play_url, push_url, wait_playing};

fn run(program: &str, arguments: &[&str]) -> Output {
    let limited = ["60", program].into_iter().chain(arguments.iter().copied());
    Command::new("timeout").args(limited).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

#[test]
fn ffprobe_mpv_and_gstreamer_accept_the_signed_url() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("players");
    let _encoder = Encoder::push(&push_url(&channel), Picture::default());
    let url = play_url(&server, &breakout);
    wait_playing(&url);

    let probe = run("ffprobe", &["-v", "warning", "-show_entries", "stream=codec_name,width", "-of", "csv=p=0", &url]);
    let (out, error) = (String::from_utf8_lossy(&probe.stdout), String::from_utf8_lossy(&probe.stderr));
    assert!(probe.status.success() && out.contains("h264,640") && out.contains("aac"), "{out}{error}");
    assert_eq!(error, "", "ffprobe has nothing to warn of");

    let mpv = run("mpv", &["--no-config", "--vo=null", "--ao=null", "--length=3", "--msg-level=all=warn", &url]);
    let said = String::from_utf8_lossy(&mpv.stdout).into_owned() + &String::from_utf8_lossy(&mpv.stderr);
    assert!(mpv.status.success(), "{said}");
    assert_eq!(said.trim(), "", "mpv has nothing to warn of");

    let gst = run("gst-launch-1.0", &["-q", "uridecodebin", &format!("uri={url}"), "!", "fakesink", "num-buffers=50"]);
    let said = String::from_utf8_lossy(&gst.stderr);
    assert!(gst.status.success() && !said.contains("ERROR"), "{said}");
}
