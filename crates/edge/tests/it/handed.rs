//! What playlists hand to what they name: a viewer's own signature, or copies of one under other names.

use std::fmt::Write as _;
use std::io::Read as _;

use anabranch_edge::{Carried, Rewriting, Transforms};
use anabranch_model::{Behavior, KeyGroupSpec, KeySpec, Selection, Transform};
use anabranch_signing::{Policy, PrivateKey, SignSpec, sign_url};
use tokio::io::AsyncWriteExt as _;

use crate::raw_h2::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, WINDOW_UPDATE, block, frame};
use crate::support::{NOW_MS, Reply, Script, TestEdge, TestOrigin, ask, behavior, distribution, get, start_with_keys};

const NOW: i64 = NOW_MS / 1000;
const HOST: &str = "127.0.0.1";

/// A playlist of two rungs.
const MULTIVARIANT: &str = "#EXTM3U\nlow.m3u8\nhigh.m3u8\n";

/// Puts its query on each line that is no tag.
#[derive(Debug)]
struct ByLine {
    playlists: String,
    others: String,
    held: Vec<u8>,
}

impl ByLine {
    fn begin(carried: &Carried<'_>) -> Box<dyn Rewriting> {
        assert_eq!(carried.authority, HOST);
        Box::new(Self { playlists: carried.playlists.to_owned(), others: carried.others.to_owned(), held: vec![] })
    }
}

impl Rewriting for ByLine {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, enough: usize) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if out.len() >= enough {
                return Some(at);
            }
            if *byte == b'\n' {
                self.finish(out);
                out.push(b'\n');
            } else {
                self.held.push(*byte);
            }
        }
        Some(bytes.len())
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.held);
        out.extend_from_slice(&line);
        if !line.is_empty() && !line.starts_with(b"#") {
            out.push(b'?');
            out.extend_from_slice(if line.ends_with(b".m3u8") { &self.playlists } else { &self.others }.as_bytes());
        }
    }
}

struct Library {
    origin: TestOrigin,
    edge: TestEdge,
    key: PrivateKey,
}

impl Library {
    async fn open(change: impl FnOnce(&mut Behavior)) -> Self {
        let origin = TestOrigin::start().await;
        let key = PrivateKey::generate().unwrap();
        let mut site = distribution("E1", "a.test", &origin);
        site.default_behavior = behavior("*");
        site.default_behavior.trusted_key_groups = vec!["g1".parse().unwrap()];
        site.default_behavior.transform = Transform::SignedPlaylist;
        change(&mut site.default_behavior);
        let public = KeySpec { id: "K1".parse().unwrap(), public_key_pem: key.public_key_pem().unwrap() };
        let group = KeyGroupSpec { id: "g1".parse().unwrap(), keys: vec![public] };
        let edge = start_with_keys(vec![site], vec![group], |config| {
            config.transforms = Transforms { signed_playlist: ByLine::begin };
        });
        origin.set("/a/x.m3u8", playlist(MULTIVARIANT));
        origin.set("/a/low.m3u8", playlist("#EXTM3U\n1.ts\n"));
        origin.set("/a/1.ts", Script::ok("segment", "max-age=60"));
        Self { origin, edge, key }
    }

    /// Query of a signature over everything below `/a/`.
    fn wildcard(&self, expires: i64) -> String {
        let policy = Policy::new("http://127.0.0.1/d/E1/a/*", expires);
        let url = sign_url("http://x/a", &SignSpec::Custom(policy), "K1", &self.key).unwrap();
        url.split_once('?').unwrap().1.to_owned()
    }

    /// `target` with the canned signature of that very URL.
    fn canned(&self, target: &str) -> String {
        let url = sign_url(&format!("http://{HOST}{target}"), &SignSpec::Canned { expires: NOW + 60 }, "K1", &self.key);
        url.unwrap().strip_prefix("http://127.0.0.1").unwrap().to_owned()
    }

    async fn get(&self, target: &str) -> Reply {
        get(self.edge.address, HOST, target).await
    }
}

fn playlist(text: &str) -> Script {
    Script::ok(text, "max-age=60").with(|script| {
        script.headers[1].1 = "application/vnd.apple.mpegurl".to_owned();
        script.etag = Some("\"p\"");
    })
}

/// Copies of a query's parameters, by the names that the first users of this way gave them.
fn copies(query: &str) -> String {
    query.split('&').map(|parameter| parameter.replacen('=', "-PREFIX=", 1)).collect::<Vec<_>>().join("&")
}

fn long_playlist(segments: usize) -> String {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n".to_owned();
    for number in 0..segments {
        writeln!(text, "#EXTINF:6.000000,\nm0123456789abcdefghjkmnpqrs_1080_{number:05}.m4s").unwrap();
    }
    text + "#EXT-X-ENDLIST\n"
}

fn signed(playlist: &str, query: &str) -> String {
    playlist
        .lines()
        .map(|line| if line.starts_with('#') { format!("{line}\n") } else { format!("{line}?{query}\n") })
        .collect()
}

#[tokio::test]
async fn a_signature_of_the_playlist_alone_plays_everything_by_copies() {
    let library = Library::open(|_| {}).await;
    let wide = library.wildcard(NOW + 60);
    let target = library.canned(&format!("/d/E1/a/x.m3u8?{}", copies(&wide)));
    let reply = library.get(&target).await;
    let both = format!("{wide}&{}", copies(&wide));
    assert_eq!(reply.text(), format!("#EXTM3U\nlow.m3u8?{both}\nhigh.m3u8?{both}\n"));
    let low = library.get(&format!("/d/E1/a/low.m3u8?{both}")).await;
    assert_eq!((low.status, low.text()), (200, format!("#EXTM3U\n1.ts?{wide}\n").as_str()));
    assert_eq!(library.get(&format!("/d/E1/a/1.ts?{wide}")).await.text(), "segment");
    // Copies open nothing by themselves, and what was signed cannot be had with others.
    assert_eq!(library.get(&format!("/d/E1/a/x.m3u8?{}", copies(&wide))).await.status, 403);
    let others = target.replace(&copies(&wide), &copies(&library.wildcard(NOW + 61)));
    assert_eq!(library.get(&others).await.status, 403);
}

#[tokio::test]
async fn copies_are_in_no_key_and_reach_no_origin_unless_they_are_named() {
    for (selection, shared) in [
        (Selection::All, true),
        (Selection::Except(vec!["b".to_owned()]), true),
        (Selection::Only(vec!["Signature-PREFIX".to_owned()]), false),
    ] {
        let library = Library::open(|behavior| behavior.cache.query = selection.clone()).await;
        let mut tags = Vec::new();
        for expires in [NOW + 60, NOW + 61] {
            let wide = library.wildcard(expires);
            // The origin of the test knows only bare paths.
            if !shared {
                let signature = copies(&wide).split('&').find(|p| p.starts_with("Signature")).unwrap().to_owned();
                library.origin.set(&format!("/a/x.m3u8?{signature}"), playlist(MULTIVARIANT));
            }
            let reply = library.get(&format!("/d/E1/a/x.m3u8?{wide}&{}", copies(&wide))).await;
            assert_eq!(reply.status, 200, "{selection:?}");
            tags.push(reply.header("etag").unwrap().to_owned());
        }
        assert_ne!(tags[0], tags[1]);
        assert_eq!(library.origin.count(), if shared { 1 } else { 2 }, "{selection:?}");
        let told = library.origin.heads().concat();
        assert_eq!(told.contains("Signature-PREFIX"), !shared, "{told}");
        assert!(!told.contains("Policy"), "{told}");
    }
}

#[tokio::test]
async fn an_open_playlist_hands_copies_on_too() {
    let library = Library::open(|behavior| {
        behavior.trusted_key_groups.clear();
        behavior.copy_mark = "_c".to_owned();
    })
    .await;
    let query = "Expires_c=9&Signature_c=s~%22&Key-Pair-Id_c=K1";
    let reply = library.get(&format!("/d/E1/a/low.m3u8?{query}")).await;
    assert_eq!(reply.text(), "#EXTM3U\n1.ts?Expires=9&Signature=s~%22&Key-Pair-Id=K1\n");
    assert_eq!(library.get("/d/E1/a/low.m3u8").await.text(), "#EXTM3U\n1.ts\n");
    assert_eq!(library.origin.count(), 1);
}

#[tokio::test]
async fn with_cookies_playlists_stay_as_they_are() {
    let library = Library::open(|_| {}).await;
    let text = long_playlist(10_000);
    library.origin.set("/a/long.m3u8", playlist(&text));
    for expires in [NOW + 60, NOW + 61] {
        let query = library.wildcard(expires);
        let named = query.split('&').map(|parameter| format!("CloudFront-{parameter}"));
        let cookie = format!("Cookie: {}\r\n", named.collect::<Vec<_>>().join("; "));
        let reply = ask(library.edge.address, "GET", HOST, "/d/E1/a/long.m3u8", &cookie).await;
        assert!(reply.status == 200 && reply.text() == text);
        assert_eq!((reply.header("etag"), reply.header("vary")), (Some("\"p\""), None));
        let known = format!("{cookie}If-None-Match: \"p\"\r\n");
        assert_eq!(ask(library.edge.address, "GET", HOST, "/d/E1/a/long.m3u8", &known).await.status, 304);
        let part = format!("{cookie}Range: bytes=0-6\r\n");
        let part = ask(library.edge.address, "GET", HOST, "/d/E1/a/long.m3u8", &part).await;
        assert_eq!((part.status, part.text()), (206, "#EXTM3U"));
    }
    assert_eq!(library.origin.count(), 1);
}

#[tokio::test]
async fn long_playlists_are_sent_while_they_are_made() {
    let library = Library::open(|_| {}).await;
    let text = long_playlist(10_000);
    library.origin.set("/a/long.m3u8", playlist(&text));
    let query = library.wildcard(NOW + 60);
    let target = format!("/d/E1/a/long.m3u8?{query}");
    let head = ask(library.edge.address, "HEAD", HOST, &target, "").await;
    assert_eq!((head.status, head.header("content-length")), (200, None), "of a body that is not here");
    for round in 0..2 {
        let reply = library.get(&target).await;
        assert!(reply.complete && reply.text() == signed(&text, &query), "round {round}");
        assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    }
    let tag = library.get(&target).await.header("etag").unwrap().to_owned();
    let lines = format!("If-None-Match: {tag}\r\nRange: bytes=0-1\r\n");
    assert_eq!(ask(library.edge.address, "GET", HOST, &target, &lines).await.status, 304);
    let head = ask(library.edge.address, "HEAD", HOST, &target, "").await;
    assert_eq!((head.status, head.header("content-length"), head.header("etag")), (200, None, Some(tag.as_str())));
    let old = format!("GET {target} HTTP/1.0\r\nHost: {HOST}\r\n\r\n");
    let mut viewer = crate::support::Viewer::connect(library.edge.address).await;
    viewer.send(&old).await;
    let reply = viewer.reply(false).await.unwrap();
    assert!(reply.body == signed(&text, &query).as_bytes(), "for HTTP/1.0 up to the end of the connection");
}

#[tokio::test]
async fn long_playlists_come_by_http2_too() {
    let library = Library::open(|behavior| behavior.trusted_key_groups.clear()).await;
    let text = long_playlist(10_000);
    library.origin.set("/a/long.m3u8", playlist(&text));
    let path = "/d/E1/a/long.m3u8?Policy-PREFIX=p&Signature-PREFIX=s&Key-Pair-Id-PREFIX=K";
    let wide = 1_u32 << 24;
    let mut frames = Frames::connect(library.edge.address, &[(4, wide)]).await;
    let ask = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(path, &[(":authority", HOST)]));
    let asked = [frame(WINDOW_UPDATE, 0, 0, &wide.to_be_bytes()), ask].concat();
    frames.stream.write_all(&asked).await.unwrap();
    let expected = signed(&text, "Policy=p&Signature=s&Key-Pair-Id=K");
    let mut got = Vec::new();
    while got.len() < expected.len() {
        got.extend(frames.next(DATA).await.1);
    }
    assert!(got == expected.as_bytes());
}

#[tokio::test]
async fn what_breaks_off_at_the_origin_breaks_off_at_the_viewer() {
    let library = Library::open(|_| {}).await;
    let text = long_playlist(10_000);
    library.origin.set("/a/long.m3u8", playlist(&text).with(|script| script.cut_after = Some(text.len() - 1)));
    let reply = library.get(&format!("/d/E1/a/long.m3u8?{}", library.wildcard(NOW + 60))).await;
    assert_eq!((reply.status, reply.complete), (200, false));
    library.origin.set("/a/short.m3u8", playlist("#EXTM3U\n").with(|script| script.cut_after = Some(3)));
    assert_eq!(library.get(&format!("/d/E1/a/short.m3u8?{}", library.wildcard(NOW + 60))).await.status, 502);
}

#[tokio::test]
async fn rewritten_playlists_are_compressed_for_those_who_ask() {
    let library = Library::open(|behavior| {
        behavior.compress = true;
        behavior.cache.encodings.gzip = true;
        behavior.cache.encodings.brotli = true;
    })
    .await;
    let query = library.wildcard(NOW + 60);
    for segments in [20, 10_000] {
        let text = long_playlist(segments);
        let path = format!("/a/{segments}.m3u8");
        library.origin.set(&path, playlist(&text));
        let target = format!("/d/E1{path}?{query}");
        let plain = library.get(&target).await;
        assert!(plain.text() == signed(&text, &query));
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("Accept-Encoding")));
        let known = format!("If-None-Match: {}\r\n", plain.header("etag").unwrap());
        let known = ask(library.edge.address, "GET", HOST, &target, &known).await;
        assert_eq!((known.status, known.header("vary")), (304, Some("Accept-Encoding")));
        for (coding, limit) in [("gzip", 12), ("br", 25)] {
            let lines = format!("Accept-Encoding: {coding}\r\n");
            let reply = ask(library.edge.address, "GET", HOST, &target, &lines).await;
            assert_eq!(
                (reply.header("content-encoding"), reply.header("vary")),
                (Some(coding), Some("Accept-Encoding"))
            );
            assert_eq!(reply.header("etag"), plain.header("etag"), "a weak tag");
            let mut undone = Vec::new();
            match coding {
                "gzip" => drop(flate2::read::GzDecoder::new(&*reply.body).read_to_end(&mut undone).unwrap()),
                _ => brotli::BrotliDecompress(&mut &*reply.body, &mut undone).unwrap(),
            }
            assert!(undone == plain.body, "{coding} of {segments}");
            println!(
                "{segments} segments, {} B bare, {} B signed, {} B as {coding}",
                text.len(),
                undone.len(),
                reply.body.len()
            );
            assert!(
                segments == 20 || reply.body.len() * limit < undone.len(),
                "{} of {}",
                reply.body.len(),
                undone.len()
            );
        }
    }
    assert_eq!(library.origin.count(), 2);
}

#[tokio::test]
async fn a_playlist_without_a_type_is_known_by_its_name() {
    let library = Library::open(|_| {}).await;
    let query = library.wildcard(NOW + 60);
    for (content_type, path, rewritten) in [
        ("binary/octet-stream", "/a/o.m3u8", true),
        ("application/octet-stream", "/a/p.m3u8", true),
        ("text/html", "/a/q.m3u8", false),
        ("binary/octet-stream", "/a/o.bin", false),
        ("audio/mpegurl", "/a/list", true),
    ] {
        let script = playlist("1.ts\n").with(|script| script.headers[1].1 = content_type.to_owned());
        library.origin.set(path, script);
        let expected = if rewritten { format!("1.ts?{query}\n") } else { "1.ts\n".to_owned() };
        assert_eq!(library.get(&format!("/d/E1{path}?{query}")).await.text(), expected, "{content_type} {path}");
    }
}

#[tokio::test]
async fn what_is_coded_already_is_not_taken_for_text() {
    let library = Library::open(|_| {}).await;
    let coded = playlist("\u{1f}a\nb\n").with(|script| script.headers.push(("content-encoding", "gzip".to_owned())));
    library.origin.set("/a/coded.m3u8", coded);
    let reply = library.get(&format!("/d/E1/a/coded.m3u8?{}", library.wildcard(NOW + 60))).await;
    assert_eq!((reply.text(), reply.header("content-encoding")), ("\u{1f}a\nb\n", Some("gzip")));
}
