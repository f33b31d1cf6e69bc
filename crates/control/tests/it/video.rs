//! `/videoList` and `/videoLink`, as callers of an earlier system know them.

use anabranch_store::buckets::Put;
use anabranch_testkit::{Engine, Scratch};
use reqwest::{Method, Response};

use crate::support::{Server, TOKEN};

impl Server {
    async fn ask(&self, method: Method, path: &str) -> (u16, Response) {
        let answer = self.client.request(method, format!("{}{path}", self.base)).send().await.unwrap();
        (answer.status().as_u16(), answer)
    }
}

fn field<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn they_are_off_unless_a_bucket_is_named() {
    let server = Server::start_on(Engine::Sqlite).await;
    for path in ["/videoList", "/videoLink?video_name=a"] {
        assert_eq!(server.ask(Method::GET, path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn files_are_listed_and_linked_without_a_token() {
    let listed = |config: &mut anabranch_control::Config| config.video_list_bucket = Some("uploads".into());
    let server = Server::start_as(Scratch::new(Engine::Sqlite), Some(TOKEN), listed).await;
    for key in ["b & c.mp4", "a/ü.mp4"] {
        server.buckets.put_bytes("uploads", key, Put::default(), "x".into()).await.unwrap();
    }
    let (status, list) = server.ask(Method::GET, "/videoList").await;
    assert_eq!(status, 200);
    assert_eq!(field(&list, "cache-control"), "public, max-age=60");
    assert_eq!(field(&list, "access-control-allow-origin"), "*");
    assert_eq!(list.json::<Vec<String>>().await.unwrap(), ["a/ü.mp4", "b & c.mp4"]);

    // The bucket has no distribution yet, and the answer says what to do.
    let (status, answer) = server.ask(Method::GET, "/videoLink?video_name=b+%26%20c.mp4").await;
    assert_eq!((status, field(&answer, "cache-control")), (409, "no-store"));
    assert!(answer.text().await.unwrap().contains("anabranch bucket publish uploads"));
    let published = server.act("/v1/buckets/uploads/distribution").await;
    assert_eq!(published.status.as_u16(), 200, "{}", published.body);

    let (status, answer) = server.ask(Method::GET, "/videoLink?video_name=b+%26%20c.mp4").await;
    assert_eq!((status, field(&answer, "cache-control")), (200, "no-store"));
    assert!(field(&answer, "content-type").starts_with("text/plain"));
    assert_eq!(field(&answer, "access-control-allow-origin"), "*");
    let url = answer.text().await.unwrap();
    // An hour from the clock of the server on.
    assert!(url.contains("/b%20%26%20c.mp4?Expires=1767229200&Signature=") && !url.contains("Policy="), "{url}");
    let (status, answer) = server.ask(Method::GET, "/videoLink?video_name=a%2F%C3%BC.mp4").await;
    assert_eq!(status, 200);
    assert!(answer.text().await.unwrap().contains("/a/%C3%BC.mp4?"));

    for (path, expected, words) in [
        ("/videoLink", 400, "video_name is missing"),
        ("/videoLink?video_name=", 400, "video_name is missing"),
        ("/videoLink?video_name=missing.mp4", 404, "missing.mp4"),
        ("/videoLink?video_name=..%2F..%2Fx", 404, "x"),
    ] {
        let (status, answer) = server.ask(Method::GET, path).await;
        assert_eq!((status, field(&answer, "cache-control")), (expected, "no-store"), "{path}");
        assert!(field(&answer, "content-type").starts_with("text/plain"));
        assert!(answer.text().await.unwrap().contains(words), "{path}");
    }
    let (status, preflight) = server.ask(Method::OPTIONS, "/videoLink").await;
    assert_eq!((status, field(&preflight, "access-control-allow-methods")), (204, "GET"));
}
