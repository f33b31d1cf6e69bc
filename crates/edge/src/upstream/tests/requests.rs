//! What origins, buckets and shields are asked.

use super::*;

#[tokio::test]
async fn requests_go_out_as_the_specification_says() {
    let origin = RawOrigin::plain("x").await;
    let pool = plain_pool();
    let upstream = http(origin.address, |spec| {
        spec.path = "/base".to_owned();
        spec.headers = [("x-Secret".to_owned(), "ours".to_owned())].into();
    });
    let lines = &[
        ("x-secret", "theirs"),
        ("via", "2 front"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("expect", "100-continue"),
        ("content-length", "99"),
        ("accept-encoding", "br"),
    ];
    whole(&pool, &upstream, &ask(Method::GET, "/a%20b?c=d", lines, "")).await.unwrap();
    let expected = [
        "accept-encoding: br".to_owned(),
        format!("host: {}", origin.address),
        "via: 2 front, 1.1 anabranch".to_owned(),
        "x-secret: ours".to_owned(),
    ];
    let head = origin.heads()[0].clone();
    let mut fields: Vec<_> = head.trim_end().split("\r\n").collect();
    assert_eq!(fields.remove(0), "GET /base/a%20b?c=d HTTP/1.1");
    fields.sort_unstable();
    assert_eq!(fields, expected);
    whole(&pool, &upstream, &ask(Method::POST, "/", &[("host", "viewers.test")], "12345")).await.unwrap();
    whole(&pool, &upstream, &ask(Method::PUT, "/", &[], "")).await.unwrap();
    let heads = origin.heads();
    assert!(heads[1].contains("host: viewers.test\r\n") && !heads[1].contains("host: 127"), "{}", heads[1]);
    assert!(heads[1].contains("content-length: 5\r\n") && heads[1].ends_with("\r\n\r\n12345"), "{}", heads[1]);
    assert!(heads[2].contains("content-length: 0\r\n"), "{}", heads[2]);
    assert_eq!(origin.connections(), 1);
    assert_eq!(upstream.name(), format!("o at http://{}", origin.address));
}

#[tokio::test]
async fn a_large_upload_arrives_whole() {
    let body: &'static str = "u".repeat(3 << 20).leak();
    let script = |_: usize, _: usize, text: &str| {
        let length = text.split_once("\r\n\r\n").unwrap().1.len();
        (ok(&length.to_string()), Then::Keep)
    };
    let origin = RawOrigin::start(script).await;
    let (pool, upstream) = (plain_pool(), http(origin.address, |_| {}));
    for _ in 0..2 {
        let count = whole(&pool, &upstream, &ask(Method::PUT, "/", &[], body)).await.unwrap();
        assert_eq!(count, (3 << 20).to_string());
    }
    assert_eq!(origin.connections(), 1);
}

fn bucket(change: impl FnOnce(&mut BucketOrigin)) -> Origin {
    let mut origin =
        BucketOrigin { bucket: "vod".to_owned(), path: String::new(), headers: [].into(), timeouts: QUICK };
    change(&mut origin);
    Origin::Bucket(origin)
}

#[tokio::test]
async fn buckets_of_the_house_are_behind_the_origin_room() {
    let origin = RawOrigin::plain("x").await;
    let room = OriginRoom { authority: origin.address.to_string(), token: "secret".to_owned() };
    let config = Config { origin_room: Some(room), ..Config::default() };
    let upstream = compile(bucket(|origin| origin.path = "/films".to_owned()), &config).unwrap();
    let lines = &[("authorization", "Bearer v"), ("cookie", "a=b"), ("range", "bytes=0-1"), ("host", "v.test")];
    let pool = plain_pool();
    whole(&pool, &upstream, &ask(Method::GET, "/1.mp4?list-type=2", lines, "")).await.unwrap();
    let head = origin.heads()[0].clone();
    assert!(head.starts_with("GET /bucket/vod/films/1.mp4 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-anabranch-origin-token: secret\r\n") && head.contains("range: bytes=0-1\r\n"), "{head}");
    for absent in ["authorization", "cookie", "v.test"] {
        assert!(!head.contains(absent), "{head}");
    }
    let mut missing = pool.fetch(&upstream, &get("/?list-type=2")).await.unwrap();
    assert_eq!((missing.status, read(&mut missing).await.unwrap().contains("NoSuchKey")), (404, true));
    pool.release(missing);
    let refused = pool.fetch(&upstream, &ask(Method::PUT, "/1.mp4", &[], "x")).await.unwrap();
    assert_eq!((refused.status, refused.headers["allow"].as_bytes()), (405, &b"GET, HEAD, OPTIONS"[..]));
    let mut told = pool.fetch(&upstream, &ask(Method::OPTIONS, "/1.mp4", &[], "")).await.unwrap();
    assert_eq!((told.status, told.headers["allow"].as_bytes()), (204, &b"GET, HEAD, OPTIONS"[..]));
    assert_eq!(told.headers["cache-control"].as_bytes(), b"max-age=60");
    assert!(read(&mut told).await.unwrap().is_empty());
    assert_eq!(origin.heads().len(), 1);
    assert_eq!(compile(bucket(|_| {}), &Config::default()), Err(Unusable::NoRoom));
}

#[tokio::test]
async fn buckets_elsewhere_are_asked_with_signatures() {
    let origin = RawOrigin::plain("x").await;
    let known = S3Bucket {
        bucket: "vod".to_owned(),
        endpoint: format!("http://{}", origin.address),
        region: "eu-west-1".to_owned(),
        access_key_id: "AKID".to_owned(),
        secret_access_key: "hidden".to_owned(),
        path_style: true,
    };
    assert!(!format!("{known:?}").contains("hidden"));
    let config = Config { buckets: vec![known.clone()], ..Config::default() };
    let upstream = compile(bucket(|_| {}), &config).unwrap();
    let lines = &[("authorization", "Bearer v"), ("x-amz-acl", "public"), ("range", "bytes=0-1")];
    let pool = plain_pool();
    whole(&pool, &upstream, &ask(Method::GET, "/a%20b(1).mp4?acl", lines, "")).await.unwrap();
    let head = origin.heads().pop().unwrap();
    assert!(head.starts_with("GET /vod/a%20b%281%29.mp4 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-amz-date: 20130524T000000Z\r\n") && !head.contains("Bearer"), "{head}");
    assert!(head.contains("Credential=AKID/20130524/eu-west-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"), "{head}");
    assert!(!head.contains("x-amz-acl"));
    let mut hosted = known.clone();
    (hosted.endpoint, hosted.path_style) = ("https://s3.example.com/".to_owned(), false);
    let upstream = compile(bucket(|_| {}), &Config { buckets: vec![hosted], ..Config::default() }).unwrap();
    assert_eq!(upstream.name(), "o at https://vod.s3.example.com:443");
    for endpoint in ["", "s3.example.com", "ftp://s3.example.com", "https://s3.example.com/path", "https:///"] {
        let wrong = S3Bucket { endpoint: endpoint.to_owned(), ..known.clone() };
        let compiled = compile(bucket(|_| {}), &Config { buckets: vec![wrong], ..Config::default() });
        assert!(matches!(compiled, Err(Unusable::Endpoint(_))), "{endpoint}: {compiled:?}");
    }
}

#[tokio::test]
async fn a_shield_is_asked_in_the_origins_place() {
    let shield = RawOrigin::plain("x").await;
    let known = Shield { authority: shield.address.to_string(), tls: false, token: "between us".to_owned() };
    assert!(!format!("{known:?}").contains("between us"));
    let config = Config { shields: [("paris".to_owned(), known)].into(), ..Config::default() };
    let spec = |name: &str| OriginSpec {
        id: "o".to_owned(),
        origin: Origin::Http(HttpOrigin {
            host: "origin.invalid".to_owned(),
            http_port: 80,
            https_port: 443,
            protocol: OriginProtocol::MatchViewer,
            path: "/base".to_owned(),
            headers: [("x-secret".to_owned(), "ours".to_owned())].into(),
            timeouts: QUICK,
        }),
        shield: Some(name.to_owned()),
    };
    let upstream = Upstream::compile(&spec("paris"), &distribution(), &config).unwrap();
    let asked =
        Ask { scheme: Scheme::Https, ..ask(Method::GET, "/a?b=c", &[("host", "alias.test"), ("accept", "*/*")], "") };
    whole(&plain_pool(), &upstream, &asked).await.unwrap();
    let head = shield.heads()[0].clone();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    for line in ["host: d1.test", "x-anabranch-shield: between us", "x-anabranch-viewer-scheme: https", "accept: */*"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    assert!(!head.contains("x-secret") && !head.contains("alias"), "{head}");
    let direct = Upstream::compile(&spec("elsewhere"), &distribution(), &config).unwrap();
    assert_eq!(direct.name(), "o at https://origin.invalid:443");
}

#[test]
fn what_cannot_be_asked_is_named() {
    let wrong = |change: fn(&mut HttpOrigin)| {
        let mut origin = HttpOrigin {
            host: "a.test".to_owned(),
            http_port: 80,
            https_port: 443,
            protocol: OriginProtocol::MatchViewer,
            path: String::new(),
            headers: [].into(),
            timeouts: QUICK,
        };
        change(&mut origin);
        compile(Origin::Http(origin), &Config::default()).unwrap_err().to_string()
    };
    assert!(wrong(|origin| origin.host = "a b".to_owned()).ends_with(": a b:80"));
    assert!(wrong(|origin| origin.path = "base/".to_owned()).ends_with(": base/"));
    assert!(wrong(|origin| origin.path = "/a?b".to_owned()).ends_with(": /a?b"));
    for name in ["content-length", "transfer-encoding", "connection", "a b"] {
        let Origin::Bucket(mut origin) = bucket(|_| {}) else { unreachable!() };
        origin.headers = [(name.to_owned(), "x".to_owned())].into();
        let room = OriginRoom { authority: "127.0.0.1:1".to_owned(), token: "t".to_owned() };
        let config = Config { origin_room: Some(room), ..Config::default() };
        assert_eq!(compile(Origin::Bucket(origin), &config), Err(Unusable::Header(name.to_owned())));
    }
    let room = OriginRoom { authority: "127.0.0.1:1".to_owned(), token: "a\nb".to_owned() };
    let config = Config { origin_room: Some(room), ..Config::default() };
    assert!(matches!(compile(bucket(|_| {}), &config), Err(Unusable::Secret(_))));
    let named = compile(bucket(|origin| origin.bucket = "../live".to_owned()), &config);
    assert!(matches!(named, Err(Unusable::Secret(_) | Unusable::Bucket(_))));
}

#[test]
fn only_what_the_origin_room_may_hold_is_waited_for_longer() {
    let room = OriginRoom { authority: "127.0.0.1:8081".to_owned(), token: "t".to_owned() };
    let shield = Shield { authority: "127.0.0.1:8082".to_owned(), tls: false, token: "t".to_owned() };
    let shields = [("paris".to_owned(), shield)];
    let alone = Config { origin_room: Some(room), ..Config::default() };
    let shielded = Config { shields: shields.clone().into(), ..alone.clone() };
    let apart = Config { shields: shields.into(), ..Config::default() };
    let live = || Origin::Live { channel: "c1".parse().unwrap() };
    let hold = Duration::from_secs(HOLD_MAX_SECONDS);
    for (shield, config) in [(None, &alone), (Some("paris"), &shielded), (Some("paris"), &apart)] {
        let spec = OriginSpec { id: "o".to_owned(), origin: live(), shield: shield.map(str::to_owned) };
        let upstream = Upstream::compile(&spec, &distribution(), config).unwrap();
        let usual = upstream.patience_for(&get("/b1/video.m3u8"));
        assert!(usual < hold, "{shield:?}");
        for target in ["/b1/video.m3u8?_HLS_msn=7", "/b1/video.m3u8?a=b&_HLS_msn=7&_HLS_part=0"] {
            assert_eq!(upstream.patience_for(&get(target)), usual + hold, "{shield:?}");
        }
        for target in ["/b1/_HLS_msn=7", "/b1/video.m3u8?_HLS_skip=YES", "/b1/video.m3u8?x_HLS_msn=7"] {
            assert_eq!(upstream.patience_for(&get(target)), usual, "{target}");
        }
    }
    let other = http("127.0.0.1:80".parse().unwrap(), |_| {});
    assert_eq!(other.patience_for(&get("/video.m3u8?_HLS_msn=7")), other.patience_for(&get("/")));
}
