//! The access log of a real edge.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anabranch_edge::{AccessLogConfig, AccessLogFormat};
use anabranch_model::{DistributionSpec, KeyGroupSpec, KeySpec, ViewerProtocol};
use anabranch_signing::{Policy, PrivateKey, SignSpec, sign_url};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{
    NOW_MS, Reply, Script, TestEdge, TestOrigin, Viewer, ask, distribution, get, start_with_keys, until,
};

struct Logged {
    origin: TestOrigin,
    edge: TestEdge,
    dir: tempfile::TempDir,
}

async fn logged(key: Option<&PrivateKey>, change: impl FnOnce(&mut DistributionSpec)) -> Logged {
    let origin = TestOrigin::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut site = distribution("E1", "e1.test", &origin);
    change(&mut site);
    let groups = key.map(|key| {
        let key = KeySpec { id: "K1".parse().unwrap(), public_key_pem: key.public_key_pem().unwrap() };
        KeyGroupSpec { id: "g1".parse().unwrap(), keys: vec![key] }
    });
    let log = AccessLogConfig { format: AccessLogFormat::Both, ..AccessLogConfig::new(dir.path().to_owned()) };
    let edge = start_with_keys(vec![site], groups.into_iter().collect(), |config| {
        config.node = "FRA1".to_owned();
        config.access_log = Some(log);
    });
    Logged { origin, edge, dir }
}

/// The standard log's values and the JSON line of every answer, in order.
type Lines = Vec<(Vec<String>, Value)>;

impl Logged {
    /// Ends the edge and reads what it has logged of a distribution.
    async fn lines(&mut self, distribution: &str) -> Lines {
        self.edge.shutdown.cancel();
        (&mut self.edge.running).await.unwrap().unwrap();
        let (mut standard, mut json) = (Vec::new(), Vec::new());
        for (name, text) in texts(&self.dir.path().join(distribution)) {
            if name.contains(".jsonl") {
                json.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
            } else {
                assert!(text.starts_with("#Version: 1.0\n#Fields: date time "));
                standard.extend(text.lines().skip(2).map(|line| line.split('\t').map(str::to_owned).collect()));
            }
        }
        assert_eq!(standard.len(), json.len());
        standard.into_iter().zip(json).collect()
    }
}

/// The lines of these answers, in that order: answers on different connections may be logged in another.
fn of_replies<'r>(lines: &Lines, replies: impl Iterator<Item = &'r Reply>) -> Lines {
    let ids = replies.map(|reply| reply.header("x-amz-cf-id").unwrap());
    let line = |id: &str| lines.iter().find(|(standard, _)| standard[14] == id).cloned();
    let found: Lines = ids.map(|id| line(id).unwrap()).collect();
    assert_eq!(found.len(), lines.len());
    found
}

/// Names and texts of the files in a directory.
fn texts(dir: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let files = entries.map(|entry| {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut text = String::new();
        if name.ends_with(".gz") {
            GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(bytes).unwrap();
        }
        (name, text)
    });
    files.collect()
}

#[tokio::test]
async fn hits_and_misses_are_logged_by_cloudfronts_fields() {
    let mut logged = logged(None, |site| site.aliases = vec!["www.test".to_owned()]).await;
    logged.origin.set("/a%20b.txt?x=1", Script::ok("0123456789", "max-age=60"));
    logged.origin.set("/a%20b.txt", Script::ok("0123456789", "max-age=60"));
    let lines = "User-Agent: Tester 1.0 (\"q\")\r\nReferer: https://page.test/?a=b\r\nX-Forwarded-For: 192.0.2.7\r\n";
    let mut replies = Vec::new();
    for extra in ["", "", "Range: bytes=2-5\r\n"] {
        replies
            .push(ask(logged.edge.address, "GET", "www.test:8080", "/a%20b.txt?x=1", &format!("{lines}{extra}")).await);
    }
    replies.push(ask(logged.edge.address, "HEAD", "www.test", "/a%20b.txt?x=1", "").await);
    let found = of_replies(&logged.lines("E1").await, replies.iter());
    assert_eq!(found.len(), 4);
    let words = ["Miss", "Hit", "Hit", "Hit"];
    let statuses = ["200", "200", "206", "200"];
    for (at, ((standard, json), reply)) in found.iter().zip(&replies).enumerate() {
        assert_eq!(standard.len(), 33);
        assert_eq!(standard[..3], ["2023-11-14", "22:13:20", "FRA1"]);
        assert_eq!(standard[3], (reply.head.len() + reply.body.len()).to_string(), "sc-bytes");
        assert_eq!((standard[4].as_str(), standard[6].as_str()), ("127.0.0.1", "e1.test"));
        assert_eq!((standard[7].as_str(), standard[8].as_str()), ("/a%2520b.txt", statuses[at]));
        assert_eq!((standard[11].as_str(), standard[12].as_str()), ("x=1", "-"));
        assert_eq!([13, 22, 28].map(|field| standard[field].as_str()), [words[at]; 3], "{standard:?}");
        assert_eq!(standard[14], reply.header("x-amz-cf-id").unwrap());
        assert_eq!(reply.header("x-amz-cf-pop"), Some("FRA1"));
        assert_eq!((standard[16].as_str(), standard[23].as_str()), ("http", "HTTP/1.1"));
        assert_eq!(standard[29], "text/plain");
        assert_ne!(standard[26], "-");
        assert_eq!(json["request_id"], standard[14].as_str());
        assert_eq!((&json["distribution"], &json["behavior"]), (&Value::from("E1"), &Value::from("*")));
        assert_eq!(json["cache"], ["miss", "hit", "hit", "hit"][at]);
        assert_eq!(json["complete"], true);
        assert_eq!(json["path"], "/a%20b.txt");
    }
    let first = &found[0].0;
    assert_eq!((first[9].as_str(), first[10].as_str()), ("https://page.test/?a=b", "Tester%201.0%20(%22q%22)"));
    assert_eq!((first[15].as_str(), first[19].as_str()), ("www.test:8080", "192.0.2.7"));
    let request = format!("GET /a%20b.txt?x=1 HTTP/1.1\r\nHost: www.test:8080\r\n{lines}\r\n");
    assert_eq!(first[17], request.len().to_string(), "cs-bytes");
    assert_eq!(first[30..], ["10", "-", "-"]);
    assert_eq!(found[2].0[30..], ["4", "2", "5"]);
    assert_eq!((found[3].0[5].as_str(), found[3].0[30].as_str()), ("HEAD", "10"));
    let mut ids: Vec<_> = found.iter().map(|(standard, _)| &standard[14]).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn signatures_are_in_no_file() {
    let key = PrivateKey::generate().unwrap();
    let mut logged = logged(Some(&key), |site| {
        site.default_behavior.trusted_key_groups = vec!["g1".parse().unwrap()];
    })
    .await;
    logged.origin.set("/b1/a.m4s", Script::ok("segment", "max-age=60"));
    let policy = Policy::new("*://*/b1/*", NOW_MS / 1000 + 60).claim("session", "viewer-7".into());
    let url = sign_url("http://x/b1/a.m4s", &SignSpec::Custom(policy), "K1", &key).unwrap();
    let query = url.split_once('?').unwrap().1;
    let canned =
        sign_url("http://e1.test/b1/a.m4s", &SignSpec::Canned { expires: NOW_MS / 1000 + 60 }, "K1", &key).unwrap();
    let canned = canned.split_once('?').unwrap().1;
    let secrets: Vec<&str> = [query, canned]
        .iter()
        .flat_map(|query| query.split('&'))
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| matches!(*name, "Signature" | "Policy"))
        .map(|(_, value)| value)
        .collect();
    assert_eq!(secrets.len(), 3);
    let cookies: Vec<_> = query.split('&').map(|parameter| format!("CloudFront-{parameter}")).collect();
    let cookie = format!("Cookie: {}\r\n", cookies.join("; "));
    let referer = format!("Referer: http://e1.test/b1/a.m4s?{query}\r\n");
    let encoded = format!("/b1/a.m4s?u=http%3A%2F%2Fe1.test%2F%3F{}", query.replace('&', "%26").replace('=', "%3D"));
    let address = logged.edge.address;
    let expected = [
        (200, get(address, "e1.test", &format!("/b1/a.m4s?{query}")).await),
        (200, get(address, "e1.test", &format!("/b1/a.m4s?{canned}")).await),
        (200, ask(address, "GET", "e1.test", "/b1/a.m4s", &cookie).await),
        (403, ask(address, "GET", "e1.test", "/b1/a.m4s", &referer).await),
        (403, get(address, "e1.test", &encoded).await),
        (403, get(address, "e1.test", &format!("/b2/a.m4s?{query}")).await),
        (403, get(address, "e1.test", &format!("/b1/a.m4s%3F{query}")).await),
    ];
    for (status, reply) in &expected {
        assert_eq!(reply.status, *status, "{}", reply.head);
    }
    let found = of_replies(&logged.lines("E1").await, expected.iter().map(|(_, reply)| reply));
    for (_, text) in texts(&logged.dir.path().join("E1")) {
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    }
    let queries: Vec<_> = found.iter().map(|(standard, _)| standard[11].as_str()).collect();
    assert!(queries[0].contains("Policy=***") && queries[0].contains("Signature=***"), "{queries:?}");
    assert!(queries[0].contains("Key-Pair-Id=K1") && queries[1].contains("Expires="), "{queries:?}");
    let sessions: Vec<_> = found.iter().map(|(_, json)| json.get("session").and_then(Value::as_str)).collect();
    assert_eq!(sessions[..4], [Some("viewer-7"), None, Some("viewer-7"), None]);
    for (standard, json) in &found[3..] {
        assert_eq!(
            (standard[8].as_str(), standard[28].as_str(), &json["cache"]),
            ("403", "Error", &Value::from("own"))
        );
    }
}

#[tokio::test]
async fn viewers_who_go_away_are_told_from_origins_that_do() {
    let mut logged = logged(None, |_| {}).await;
    logged.origin.set("/big", Script::ok(vec![b'x'; 20 << 20], "max-age=60"));
    logged.origin.set("/cut", Script::ok(vec![b'x'; 10_000], "max-age=60").with(|s| s.cut_after = Some(5_000)));
    let mut viewer = Viewer::connect(logged.edge.address).await;
    viewer.send("GET /big HTTP/1.1\r\nHost: e1.test\r\n\r\n").await;
    viewer.body_begins().await;
    drop(viewer);
    let dir = logged.dir.path().join("E1");
    until("the cut is logged", || texts(&dir).iter().any(|(_, text)| text.contains("/big"))).await;
    assert!(!get(logged.edge.address, "e1.test", "/cut").await.complete);
    get(logged.edge.address, "e1.test", "/none").await;
    let found = logged.lines("E1").await;
    for (path, words, complete) in [
        ("/big", ["200", "Error", "Miss", "ClientCommError"], false),
        ("/cut", ["200", "Error", "Miss", "OriginReadError"], false),
        ("/none", ["404", "Error", "Error", "Error"], true),
    ] {
        let (standard, json) = found.iter().find(|(standard, _)| standard[7] == path).unwrap();
        assert_eq!([8, 13, 22, 28].map(|at| standard[at].as_str()), words, "{path}");
        assert_eq!(json["complete"], complete, "{path}");
    }
}

#[tokio::test]
async fn refusals_and_strangers_are_logged() {
    let mut logged = logged(None, |site| site.default_behavior.viewer_protocol = ViewerProtocol::RedirectToHttps).await;
    let address = logged.edge.address;
    assert_eq!(get(address, "e1.test", "/a").await.status, 301);
    assert_eq!(get(address, "stranger.test", "/a").await.status, 421);
    let found = logged.lines("E1").await;
    assert_eq!([8, 13, 22, 28].map(|at| found[0].0[at].as_str()), ["301", "Redirect", "Redirect", "Redirect"]);
    let strangers = texts(&logged.dir.path().join("none"));
    let (_, text) = strangers.iter().find(|(name, _)| name.contains(".jsonl")).unwrap();
    let line: Value = serde_json::from_str(text).unwrap();
    assert_eq!((&line["status"], &line["detail"]), (&Value::from(421), &Value::from("InvalidRequest")));
    assert_eq!(line.get("distribution"), None);
}

#[tokio::test]
async fn what_cannot_be_read_is_logged() {
    let mut logged = logged(None, |_| {}).await;
    let address = logged.edge.address;
    let long = format!("GET /{} HTTP/1.1\r\nHost: e1.test\r\n\r\n", "a".repeat(20_000));
    let wide = format!("GET / HTTP/1.1\r\nHost: e1.test\r\nX: {}\r\n\r\n", "a".repeat(40_000));
    let requests = [
        (400, "GET / HTTP/1.1\r\nbad name: x\r\n\r\n"),
        (414, &long),
        (431, &wide),
        (505, "GET / HTTP/3.7\r\nHost: e1.test\r\n\r\n"),
    ];
    for (status, request) in requests {
        let mut viewer = Viewer::connect(address).await;
        viewer.send(request).await;
        let reply = viewer.reply(false).await.unwrap();
        assert_eq!(reply.status, status);
        assert!(viewer.ended().await);
    }
    let found = logged.lines("none").await;
    assert_eq!(found.len(), requests.len());
    for ((status, request), (standard, json)) in requests.into_iter().zip(found) {
        assert_eq!((standard.len(), standard[8].as_str()), (33, status.to_string().as_str()));
        assert_eq!([4, 28].map(|field| standard[field].as_str()), ["127.0.0.1", "InvalidRequest"]);
        for unknown in [5, 6, 7, 9, 10, 11, 15, 23] {
            assert_eq!(standard[unknown], "-", "{standard:?}");
        }
        assert!(standard[3].parse::<usize>().unwrap() > 0, "sc-bytes");
        let received: usize = standard[17].parse().unwrap();
        assert!(received > 0 && received <= request.len(), "cs-bytes: {received}");
        assert_eq!((&json["status"], json.get("method"), json.get("path")), (&Value::from(status), None, None));
        assert_eq!((&json["client_ip"], &json["complete"]), (&Value::from("127.0.0.1"), &Value::from(true)));
    }
}

#[tokio::test]
async fn an_origins_own_ids_do_not_pass_for_ours() {
    let mut logged = logged(None, |_| {}).await;
    logged.origin.set(
        "/a",
        Script::ok("a", "max-age=60").with(|s| {
            s.headers.push(("x-amz-cf-id", "theirs".to_owned()));
            s.headers.push(("x-amz-cf-pop", "theirs".to_owned()));
        }),
    );
    for _ in 0..2 {
        let reply = get(logged.edge.address, "e1.test", "/a").await;
        assert_eq!(reply.head.matches("x-amz-cf-").count(), 2, "{}", reply.head);
        assert!(!reply.head.contains("theirs"));
    }
    assert_eq!(logged.lines("E1").await.len(), 2);
}

#[tokio::test]
async fn lines_come_within_a_second_and_files_change_with_the_hour() {
    let mut logged = logged(None, |_| {}).await;
    logged.origin.set("/a", Script::ok("a", "max-age=86400"));
    get(logged.edge.address, "e1.test", "/a").await;
    let dir = logged.dir.path().join("E1");
    let began = std::time::Instant::now();
    until("the line is written", || texts_quietly(&dir).iter().filter(|(_, text)| text.contains("/a")).count() == 2)
        .await;
    assert!(began.elapsed() < Duration::from_secs(1));
    logged.edge.clock.set_ms(NOW_MS + 3_600_000);
    until("the old files are compressed", || {
        let files = texts_quietly(&dir);
        files.len() == 2 && files.iter().all(|(name, text)| name.ends_with(".gz") && text.contains("/a"))
    })
    .await;
    get(logged.edge.address, "e1.test", "/a").await;
    let found = logged.lines("E1").await;
    assert_eq!(found.len(), 2);
    assert!(texts(&dir).iter().any(|(name, _)| name.starts_with("E1.2023-11-14-23.")));
}

/// As [`texts`], while files may go.
fn texts_quietly(dir: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let files = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let bytes = fs::read(&path).ok()?;
        let name = path.file_name()?.to_str()?.to_owned();
        let mut text = String::new();
        if name.ends_with(".gz") {
            GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).ok()?;
        } else {
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        Some((name, text))
    });
    files.collect()
}

#[tokio::test]
async fn http_2_is_logged() {
    use http_body_util::{BodyExt as _, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let mut logged = logged(None, |_| {}).await;
    logged.origin.set("/a", Script::ok("aaa", "max-age=60"));
    let stream = tokio::net::TcpStream::connect(logged.edge.address).await.unwrap();
    let port = stream.local_addr().unwrap().port();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driving = tokio::spawn(connection);
    for _ in 0..2 {
        let request = http::Request::get("http://e1.test/a").body(Empty::<bytes::Bytes>::new()).unwrap();
        let reply = sender.send_request(request).await.unwrap();
        assert!(reply.headers().contains_key("x-amz-cf-id"));
        assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "aaa");
    }
    drop(sender);
    driving.await.unwrap().unwrap();
    let found = logged.lines("E1").await;
    let words: Vec<_> = found.iter().map(|(standard, _)| [13, 23, 26, 28].map(|at| standard[at].as_str())).collect();
    let port = port.to_string();
    assert_eq!(words, [["Miss", "HTTP/2.0", &port, "Miss"], ["Hit", "HTTP/2.0", &port, "Hit"]]);
}

#[tokio::test]
async fn tls_is_logged_by_version_and_cipher() {
    use rustls::version::{TLS12, TLS13};

    use crate::secure::{ask as ask_securely, client, connect, make, secure};

    let certificates = tempfile::tempdir().unwrap();
    make(certificates.path(), "e1", &["e1.test"]);
    let dir = tempfile::tempdir().unwrap();
    let origin = TestOrigin::start().await;
    origin.set("/a", Script::ok("aaa", "max-age=60"));
    let edge = start_with_keys(vec![distribution("E1", "e1.test", &origin)], vec![], |config| {
        secure(config, certificates.path());
        config.location = "FRA1".to_owned();
        config.access_log =
            Some(AccessLogConfig { format: AccessLogFormat::Both, ..AccessLogConfig::new(dir.path().into()) });
    });
    for version in [&TLS12, &TLS13] {
        let mut stream = connect(edge.tls, &client(&[version], &["http/1.1"]), "e1.test").await.unwrap();
        let (status, head, _) = ask_securely(&mut stream, "e1.test", "/a", "").await;
        assert!(status == 200 && head.contains("x-amz-cf-pop: FRA1\r\n"), "{head}");
    }
    let mut logged = Logged { origin, edge, dir };
    let found = logged.lines("E1").await;
    let mut words: Vec<_> = found.iter().map(|(standard, _)| [16, 20, 2].map(|at| standard[at].as_str())).collect();
    words.sort_unstable();
    assert_eq!(words, [["https", "TLSv1.2", "FRA1"], ["https", "TLSv1.3", "FRA1"]]);
    for (standard, json) in &found {
        let prefix = if standard[20] == "TLSv1.2" { "ECDHE-ECDSA-" } else { "TLS_" };
        assert!(standard[21].starts_with(prefix) && json["tls_cipher"] == standard[21].as_str(), "{standard:?}");
        assert_ne!(standard[26], "-");
    }
}
