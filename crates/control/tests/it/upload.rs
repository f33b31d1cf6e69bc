//! Uploads by tus 1.0: requests by hand, with connections that break.

use std::time::Duration;

use anabranch_store::buckets::Content;
use anabranch_testkit::{Engine, both};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Answer, NOW_MS, Server, TOKEN, answer, text};

both!(a_file_comes_in_over_broken_connections, an_upload_that_rests_is_forgotten,);

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(20);

const HOUR_MS: i64 = 60 * 60 * 1000;

/// Of `filename film ü.mp4` and `filetype video/mp4`.
const METADATA: &str = "filename ZmlsbSDDvC5tcDQ=,filetype dmlkZW8vbXA0";

impl Server {
    fn tus(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN).header("Tus-Resumable", "1.0.0")
    }

    /// Begins an upload; its path.
    async fn upload(&self, size: usize) -> String {
        let request = self.tus(Method::POST, "/v1/uploads").header("Upload-Metadata", METADATA);
        let made = request.header("Upload-Length", size).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
        field(&made, "location").to_owned()
    }

    fn append(&self, path: &str, offset: usize, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.tus(Method::PATCH, path).header("Content-Type", "application/offset+octet-stream");
        request.header("Upload-Offset", offset).body(body)
    }

    async fn offset(&self, path: &str) -> Option<usize> {
        let head = self.tus(Method::HEAD, path).send().await.unwrap();
        (head.status() == StatusCode::OK).then(|| field(&head, "upload-offset").parse().unwrap())
    }

    async fn object(&self, bucket: &str, key: &str) -> Option<(Vec<u8>, Option<String>)> {
        let opened = self.buckets.get(bucket, key).await.ok()?;
        let mut bytes = Vec::new();
        let Content::File(mut file) = opened.content else { panic!("it is not here") };
        file.read_to_end(&mut bytes).await.unwrap();
        Some((bytes, opened.info.attributes.content_type))
    }

    /// A PATCH that says to bring `announced` bytes and brings fewer.
    async fn begin_append(&self, path: &str, offset: usize, announced: usize, bytes: &[u8], more: &str) -> TcpStream {
        let address = self.base.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nTus-Resumable: 1.0.0\r\n\
             Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\nContent-Length: {announced}\r\n\
             Expect: 100-continue\r\n{more}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The body is asked for by who has hold of the upload.
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut said).await.unwrap(), 0);
        }
        assert!(said.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&said));
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

fn field<'r>(response: &'r Response, name: &str) -> &'r str {
    value(response.headers(), name)
}

fn value<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).unwrap_or_else(|| panic!("no {name}: {headers:?}")).to_str().unwrap()
}

async fn refused(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    assert_eq!(field(&response, "tus-resumable"), "1.0.0");
    let content_type = field(&response, "content-type").to_owned();
    let status = response.status();
    Answer { status, retry_after: None, content_type, body: response.json().await.unwrap() }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn a_file_comes_in_over_broken_connections(engine: Engine) {
    let server = Server::start_on(engine).await;
    // More than any other body may have.
    let file = bytes(3_000_000);
    let path = server.upload(file.len()).await;
    assert_eq!(server.offset(&path).await, Some(0));
    let stream = server.begin_append(&path, 0, file.len(), &file[..1_500_000], "").await;
    drop(stream);
    eventually("what came is kept", async || server.offset(&path).await.is_some_and(|offset| offset > 0)).await;
    // All of it was written to the socket, so all of it comes; a reset may take some of it.
    let offset = server.offset(&path).await.unwrap();
    assert!(offset <= 1_500_000);
    refused(server.append(&path, 0, "x")).await.problem(409, &format!("has {offset} bytes, not 0"));
    // The second breaks in the middle of a checksum: it counts as a whole or not at all.
    let sum = "Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n";
    drop(server.begin_append(&path, offset, 1000, &file[offset..offset + 500], sum).await);
    eventually("nothing of it is kept", async || server.offset(&path).await == Some(offset)).await;
    let last = server.append(&path, offset, file[offset..].to_vec()).send().await.unwrap();
    assert_eq!(last.status(), StatusCode::NO_CONTENT);
    assert_eq!(field(&last, "upload-offset"), file.len().to_string());
    // It is an object by now, with its type, and is noticed as any other.
    let (found, content_type) = server.object("uploads", "film ü.mp4").await.unwrap();
    assert!(found == file);
    assert_eq!(content_type.as_deref(), Some("video/mp4"));
    server.until("/v1/buckets/uploads/objects", |list| list["items"][0]["arrival"] == "WAITING").await;
    // Whoever missed the answer still learns that all is there.
    let head = server.tus(Method::HEAD, &path).send().await.unwrap();
    assert_eq!((field(&head, "upload-offset"), field(&head, "upload-length")), ("3000000", "3000000"));
    assert_eq!(field(&head, "upload-metadata"), METADATA);
    assert_eq!(field(&head, "cache-control"), "no-store");
    refused(server.append(&path, 5, "x")).await.problem(409, "has 3000000 bytes");
    assert_eq!(server.tus(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(server.offset(&path).await, None);
    assert!(server.object("uploads", "film ü.mp4").await.is_some(), "what it became stays");
}

#[tokio::test]
async fn only_one_request_writes_at_a_time() {
    let server = Server::start_on(Engine::Sqlite).await;
    let path = server.upload(10).await;
    let mut stream = server.begin_append(&path, 0, 10, b"01234", "").await;
    refused(server.append(&path, 0, "x")).await.problem(423, "another request");
    let head = server.tus(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::LOCKED);
    refused(server.tus(Method::DELETE, &path)).await.problem(423, "another request");
    stream.write_all(b"56789").await.unwrap();
    eventually("it is whole", async || server.offset(&path).await == Some(10)).await;
    assert_eq!(server.object("uploads", "film ü.mp4").await.unwrap().0, b"0123456789");
}

#[tokio::test]
async fn bytes_with_another_checksum_do_not_count() {
    let server = Server::start_on(Engine::Sqlite).await;
    let path = server.upload(10).await;
    let with = |body: &'static str, sum: &str| server.append(&path, 0, body).header("Upload-Checksum", sum);
    for wrong in [
        "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "md5 AAAAAAAAAAAAAAAAAAAAAA==",
    ] {
        refused(with("hello", wrong)).await.problem(460, "checksum");
        assert_eq!(server.offset(&path).await, Some(0), "{wrong}");
    }
    refused(with("hello", "crc32 YQ==")).await.problem(400, "sha1, sha256 or md5");
    let right = with("hello", "sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=").send().await.unwrap();
    assert_eq!((right.status(), field(&right, "upload-offset")), (StatusCode::NO_CONTENT, "5"));
}

#[tokio::test]
async fn a_length_may_be_told_later_and_bytes_come_at_once() {
    let server = Server::start_on(Engine::Sqlite).await;
    server.post("/v1/buckets", json!({ "name": "films" })).await;
    // filename a.b/c.mp4, bucket films
    let metadata = "filename YS5iL2MubXA0,bucket ZmlsbXM=";
    let begin = || server.tus(Method::POST, "/v1/uploads").header("Upload-Metadata", metadata);
    let made = begin()
        .header("Upload-Defer-Length", "1")
        .header("Content-Type", "application/offset+octet-stream")
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!((made.status(), field(&made, "upload-offset")), (StatusCode::CREATED, "5"));
    assert!(field(&made, "upload-expires").ends_with("GMT"));
    let path = field(&made, "location").to_owned();
    let head = server.tus(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(field(&head, "upload-defer-length"), "1");
    assert!(head.headers().get("upload-length").is_none());
    refused(server.append(&path, 5, "x").header("Upload-Length", "4")).await.problem(400, "5 are there");
    let told = server.append(&path, 5, " ").header("Upload-Length", "11").send().await.unwrap();
    assert_eq!(told.status(), StatusCode::NO_CONTENT);
    refused(server.append(&path, 6, "x").header("Upload-Length", "12")).await.problem(400, "said to have 11");
    refused(server.append(&path, 6, "a world too long")).await.problem(413, "11 bytes");
    // The same where nobody says how long the body is.
    let pieces = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(&b"longer than that"[..]));
    refused(server.append(&path, 6, pieces)).await.problem(413, "11 bytes");
    assert_eq!(server.offset(&path).await, Some(6));
    let by_post = server
        .tus(Method::POST, &path)
        .header("X-HTTP-Method-Override", "PATCH")
        .header("Content-Type", "application/offset+octet-stream")
        .header("Upload-Offset", "6")
        .body("world");
    assert_eq!(by_post.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(server.object("films", "a.b/c.mp4").await.unwrap(), (b"hello world".to_vec(), None));
    // Nothing is a file as well.
    let empty = begin().header("Upload-Length", "0").send().await.unwrap();
    assert_eq!(empty.status(), StatusCode::CREATED);
    assert_eq!(server.object("films", "a.b/c.mp4").await.unwrap().0, b"");
    // Only what is under way holds the bucket.
    server.delete("/v1/buckets/films/objects?key=a.b%2Fc.mp4").await;
    let open = begin().header("Upload-Length", "1").send().await.unwrap();
    server.delete("/v1/buckets/films").await.problem(409, "under way");
    server.tus(Method::DELETE, field(&open, "location")).send().await.unwrap();
    assert_eq!(server.delete("/v1/buckets/films").await.status, StatusCode::NO_CONTENT);
}

async fn an_upload_that_rests_is_forgotten(engine: Engine) {
    let server = Server::start_on(engine).await;
    let path = server.upload(10).await;
    let id = path.rsplit('/').next().unwrap().to_owned();
    server.clock.set_ms(NOW_MS + 20 * HOUR_MS);
    // Going on with it keeps it.
    assert_eq!(server.append(&path, 0, "abc").send().await.unwrap().status(), StatusCode::NO_CONTENT);
    server.clock.set_ms(NOW_MS + 40 * HOUR_MS);
    assert_eq!(server.offset(&path).await, Some(3));
    server.clock.set_ms(NOW_MS + 45 * HOUR_MS);
    assert_eq!(server.offset(&path).await, None);
    assert!(server.buckets.drafts().open(&id).await.is_ok(), "its bytes are there until somebody looks");
    let drafts = server.buckets.drafts();
    eventually("its bytes go", async || {
        // A bucket that has changed is looked at; whoever has the draft open, as this test has for a moment, keeps it.
        server.patch("/v1/buckets/uploads", json!({ "mirror": false })).await;
        drafts.open(&id).await.is_err_and(|error| error.to_string().contains("no such"))
    })
    .await;
}

#[tokio::test]
async fn what_is_no_upload_is_refused() {
    let server = Server::start_on(Engine::Sqlite).await;
    let path = server.upload(10).await;
    let url = format!("{}{path}", server.base);
    let old = server.client.head(&url).bearer_auth(TOKEN).header("Tus-Resumable", "0.2.2").send().await.unwrap();
    assert_eq!((old.status().as_u16(), field(&old, "tus-version")), (412, "1.0.0"));
    answer(server.client.delete(&url).bearer_auth(TOKEN)).await.problem(412, "Tus-Resumable: 1.0.0");
    let begin = || server.tus(Method::POST, "/v1/uploads");
    refused(begin()).await.problem(400, "either Upload-Length");
    refused(begin().header("Upload-Length", "ten")).await.problem(400, "number of bytes");
    refused(begin().header("Upload-Length", (6_u64 << 40).to_string())).await.problem(413, "5497558138880");
    let metadata = |text: &str| begin().header("Upload-Length", "1").header("Upload-Metadata", text);
    refused(metadata("filename ???")).await.problem(422, "no base64");
    // bucket nowhere, bucket vod
    refused(metadata("bucket bm93aGVyZQ==")).await.problem(404, "no bucket");
    refused(metadata("bucket dm9k")).await.problem(409, "system's own");
    let octets = "application/offset+octet-stream";
    refused(server.tus(Method::PATCH, &path).header("Upload-Offset", "0").body("x")).await.problem(415, octets);
    refused(server.tus(Method::PATCH, &path).header("Content-Type", octets))
        .await
        .problem(400, "Upload-Offset is missing");
    refused(server.append("/v1/uploads/u0000000000000", 0, "x")).await.problem(404, "no such upload");
    refused(server.append("/v1/uploads/..%2f..%2fcontrol", 0, "x")).await.problem(404, "no such upload");
    let made = server.post("/v1/tokens", json!({ "name": "reader", "scopes": ["read"] })).await.body;
    let reads = server.client.patch(&url).bearer_auth(text(&made["secret"])).header("Tus-Resumable", "1.0.0");
    refused(reads).await.problem(403, "scope operate");
    assert_eq!(server.offset(&path).await, Some(0));
}

#[tokio::test]
async fn a_page_of_an_origin_that_may_is_let_in() {
    let server = Server::start_on(Engine::Sqlite).await;
    for path in ["/v1/uploads", "/v1/uploads/u1"] {
        let options = |origin: &str| {
            let request = server.client.request(Method::OPTIONS, format!("{}{path}", server.base));
            request.header("Origin", origin).header("Access-Control-Request-Method", "PATCH").send()
        };
        let allowed = options("https://app.example.com").await.unwrap();
        assert_eq!(allowed.status(), StatusCode::NO_CONTENT);
        assert_eq!(field(&allowed, "tus-version"), "1.0.0");
        assert!(field(&allowed, "tus-extension").contains("creation-defer-length"));
        assert_eq!(field(&allowed, "tus-checksum-algorithm"), "sha1,sha256,md5");
        assert_eq!(field(&allowed, "tus-max-size"), "5497558138880");
        assert_eq!(field(&allowed, "access-control-allow-origin"), "https://app.example.com");
        assert!(field(&allowed, "access-control-allow-headers").contains("Upload-Offset"));
        let other = options("https://other.example.com").await.unwrap();
        assert!(other.headers().get("access-control-allow-origin").is_none());
    }
    let request = server.tus(Method::POST, "/v1/uploads").header("Upload-Length", "1");
    let made = request.header("Origin", "https://app.example.com").send().await.unwrap();
    assert!(field(&made, "access-control-expose-headers").contains("Location"));
}
