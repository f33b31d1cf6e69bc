//! A ladder in a bucket, played by the three ways of signed access: carried on, by copies, by cookies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anabranch_testkit::{Playlist, Server, Viewer};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::text;

/// Folder of the ladder below the bucket's distribution.
const FOLDER: &str = "assets/m1/HLS";

/// Segments of each rendition, and their length in seconds.
const SEGMENTS: usize = 10;
const SEGMENT_SECONDS: usize = 2;

struct Library {
    server: Server,
    /// Of the ladder, without a slash at its end.
    url: String,
    folder: PathBuf,
}

impl Library {
    fn open() -> Self {
        let server = Server::start();
        let folder = server.data().join("media/bucket/vod").join(FOLDER);
        ladder(&folder);
        let groups = server.cli(&["key-group", "list"]);
        let config = json!({
            "CallerReference": "vod", "Comment": "", "Enabled": true,
            "Origins": {"Quantity": 1, "Items": [{
                "Id": "vod", "DomainName": "vod.s3.anabranch.internal", "S3OriginConfig": {"OriginAccessIdentity": ""}
            }]},
            "DefaultCacheBehavior": {
                "TargetOriginId": "vod", "ViewerProtocolPolicy": "allow-all", "Compress": true,
                "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
                // Simple CORS.
                "ResponseHeadersPolicyId": "60669652-455b-4ae9-85a4-c4c02393f86c",
                "TrustedKeyGroups": {"Enabled": true, "Quantity": 1, "Items": [groups["items"][0]["id"]]}
            }
        });
        let file = server.data().with_file_name("vod.json");
        fs::write(&file, config.to_string()).expect("a scratch file");
        let id = text(&server.cli(&["distribution", "create", "--config", &file.to_string_lossy(), "--wait"])["id"]);
        let url = format!("{}/d/{id}/{FOLDER}", server.edge());
        Self { server, url, folder }
    }

    /// Query of a signature over the whole folder.
    fn wildcard(&self) -> String {
        let resource = format!("{}/*", self.url);
        let signed = self.server.cli(&["sign", &format!("{}/m1.m3u8", self.url), "--resource", &resource]);
        query(&text(&signed["url"]))
    }

    /// The URL that first users of copies send: their names, and a signature of the multivariant playlist alone.
    fn with_copies(&self) -> String {
        let wide = self.wildcard();
        let url = format!("{}/m1.m3u8?{}", self.url, copies(&wide));
        let signed = text(&self.server.cli(&["sign", &url])["url"]);
        assert!(signed.contains("Expires="), "a canned policy: {signed}");
        signed
    }
}

fn query(url: &str) -> String {
    url.split_once('?').expect("a signature").1.to_owned()
}

fn copies(query: &str) -> String {
    query.split('&').map(|parameter| parameter.replacen('=', "-PREFIX=", 1)).collect::<Vec<_>>().join("&")
}

/// Two rungs and an audio rendition, all in one folder.
fn ladder(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (duration, segment) = ((SEGMENTS * SEGMENT_SECONDS).to_string(), SEGMENT_SECONDS.to_string());
    #[rustfmt::skip]
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25"])
        .args(["-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", &duration])
        .args(["-filter_complex", "[0:v]split=2[a][b];[b]scale=320:180[c]", "-map", "[a]", "-map", "[c]", "-map", "1:a"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-sc_threshold", "0"])
        .args(["-c:a", "aac", "-f", "hls", "-hls_time", &segment, "-hls_playlist_type", "vod"])
        .args(["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "m1_%v_init.mp4"])
        .args(["-hls_segment_filename", &at("m1_%v_%05d.m4s"), "-master_pl_name", "m1.m3u8"])
        .args(["-var_stream_map", "v:0,agroup:a,name:360 v:1,agroup:a,name:180 a:0,agroup:a,name:audio,language:en,default:yes"])
        .arg(at("m1_%v.m3u8"))
        .stdin(Stdio::null())
        .status()
        .expect("ffmpeg");
    assert!(status.success());
}

/// Decodes every rendition of a multivariant playlist; frames of each video.
fn decoded(url: &str) -> Vec<usize> {
    let mut ffmpeg = Command::new("timeout");
    ffmpeg.args(["60", "ffmpeg", "-v", "warning", "-i", url, "-map", "0", "-f", "framecrc", "-"]).stdin(Stdio::null());
    let done = ffmpeg.output().expect("ffmpeg");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{said}");
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let streams = out.lines().filter(|line| line.starts_with("#media_type"));
    let of = |index: usize| out.lines().filter(|line| line.starts_with(&format!("{index},"))).count();
    streams.enumerate().filter(|(_, line)| line.ends_with("video")).map(|(index, _)| of(index)).collect()
}

const FRAMES: usize = SEGMENTS * SEGMENT_SECONDS * 25;

#[test]
fn copies_play_every_rung_where_the_signature_opens_one_playlist_only() {
    let library = Library::open();
    let url = library.with_copies();
    assert_eq!(decoded(&url), [FRAMES, FRAMES], "both rungs, with the audio beside them");
    let multivariant = Viewer::new().playlist(&url);
    let wide = library.wildcard();
    for child in multivariant.uris().into_iter().chain(multivariant.attribute_uris()) {
        assert!(child.contains("?Policy=") && child.contains("&Policy-PREFIX="), "{child}");
        let media = Viewer::new().playlist(&child);
        for uri in media.uris().into_iter().chain(media.attribute_uris()) {
            assert!(uri.contains("?Policy=") && !uri.contains("-PREFIX"), "{uri}");
            assert_eq!(Viewer::new().get(&uri).status, 200, "{uri}");
        }
    }
    // The signature of the multivariant playlist opens nothing else.
    let (_, own) = url.rsplit_once("&Expires=").expect("a canned signature at the end");
    assert_eq!(Viewer::new().get(&format!("{}/m1_360.m3u8?Expires={own}", library.url)).status, 403);
    assert_eq!(Viewer::new().get(&format!("{}/m1.m3u8?{}", library.url, copies(&wide))).status, 403);
}

#[test]
fn a_wildcard_is_carried_on_and_cookies_leave_playlists_alone() {
    let library = Library::open();
    let (url, wide) = (format!("{}/m1.m3u8", library.url), library.wildcard());
    assert_eq!(decoded(&format!("{url}?{wide}")), [FRAMES, FRAMES]);
    // A part from the end of what no cache has yet is no part of what the viewer gets.
    let audio = format!("{}/m1_audio.m3u8?{}", library.url, library.wildcard());
    let _ = fs::copy(library.folder.join("m1_audio.m3u8"), library.folder.join("fresh.m3u8")).expect("a copy");
    let fresh = Viewer::new().with("Range", "bytes=-5").get(&audio.replace("m1_audio", "fresh"));
    assert!(fresh.status == 200 && fresh.text().contains(".m4s?Policy="), "{} {}", fresh.status, fresh.text());

    let named: Vec<String> = wide.split('&').map(|parameter| format!("CloudFront-{parameter}")).collect();
    let viewer = Viewer::new().with("Cookie", &named.join("; "));
    for name in ["m1.m3u8", "m1_360.m3u8"] {
        let got = viewer.get(&format!("{}/{name}", library.url));
        assert_eq!((got.status, got.body), (200, fs::read(library.folder.join(name)).expect("a playlist")), "{name}");
    }
    let media = Playlist {
        url: format!("{}/m1_360.m3u8", library.url),
        text: viewer.get(&format!("{}/m1_360.m3u8", library.url)).text(),
    };
    assert_eq!(media.uris().len(), SEGMENTS);
    assert!(media.uris().iter().all(|uri| viewer.get(uri).status == 200 && Viewer::new().get(uri).status == 403));
}

#[test]
fn chromium_plays_by_copies() {
    let library = Library::open();
    let result = Browser::open(&library.with_copies(), 8, &["--playlist"]).result();
    assert!(result["played_seconds"].as_f64().is_some_and(|played| played >= 7.0), "{result}");
    assert_eq!(result["errors"].as_array().map_or(0, Vec::len), 0, "{result}");
    assert!(!matches!(result["width"], Value::Null), "{result}");
}
