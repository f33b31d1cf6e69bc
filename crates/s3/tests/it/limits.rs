//! Who is refused, and what ends.

use std::time::Duration;

use anabranch_store::buckets::{BucketError, Put};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{House, PYTHON_PACKAGE, READER, python};

/// A URL by which anyone may do one thing.
async fn presigned(house: &House, operation: &str, key: &str, seconds: u32, who: (&str, &str)) -> String {
    let (id, secret) = who;
    let script = format!(
        "import boto3,os\nfrom botocore.config import Config\n\
         c=boto3.client('s3',endpoint_url=os.environ['ENDPOINT'],aws_access_key_id={id:?},aws_secret_access_key={secret:?},\
         config=Config(signature_version='s3v4',s3={{'addressing_style':'path'}}))\n\
         print(c.generate_presigned_url({operation:?},Params={{'Bucket':'inbox','Key':{key:?}}},ExpiresIn={seconds}))"
    );
    let url = house.run(&python("python"), PYTHON_PACKAGE, &["-c", &script]).await;
    url.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presigned_urls_do_what_they_say_and_no_more() {
    let house = House::open(|_| {}).await;
    let owner = crate::house::OWNER;
    let body = house.file("body", b"by curl");
    let body = body.to_str().expect("a path of text");
    let put = presigned(&house, "put_object", "a folder/Grüße.txt", 60, owner).await;
    house.curl(&["--fail", "-T", body, &put]).await;
    let get = presigned(&house, "get_object", "a folder/Grüße.txt", 60, owner).await;
    assert_eq!(house.curl(&["--fail", &get]).await, "by curl");
    assert_eq!(house.curl(&["--fail", "-r", "3-", &get]).await, "curl");
    for (url, args) in [
        (get.replace("Gr", "gr"), vec![]),
        (get.clone(), vec!["-T", body]),
        (put.clone(), vec!["-X", "DELETE"]),
        (get.split('?').next().expect("a path").to_owned(), vec![]),
        (get.replace("X-Amz-Expires=60", "X-Amz-Expires=61"), vec![]),
    ] {
        let said = house.curl(&[&args[..], &["-w", " %{http_code}", &url]].concat()).await;
        assert!(said.contains("<Error>") && said.ends_with(" 403"), "{url}: {said}");
    }
    // One that ends while it is tried.
    let brief = presigned(&house, "get_object", "a folder/Grüße.txt", 2, owner).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let said = loop {
        let said = house.curl(&["-w", " %{http_code}", &brief]).await;
        if said.ends_with("403") {
            break said;
        }
        assert!(said.starts_with("by curl") && tokio::time::Instant::now() < deadline, "{said}");
    };
    assert!(said.contains("AccessDenied") && said.contains("expired"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_do_what_their_rights_say() {
    let house = House::open(|_| {}).await;
    let put = |bucket, key| house.buckets.put_bytes(bucket, key, Put::default(), Bytes::from_static(b"x"));
    for (bucket, key) in [("inbox", "a"), ("recordings", "b"), ("other", "c")] {
        put(bucket, key).await.expect("an object");
    }
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/rights.py");
    let script = script.to_str().expect("a path of text");
    let done = house.run(&python("python"), PYTHON_PACKAGE, &[script, READER.0, READER.1]).await;
    assert!(done.trim_end().ends_with("all done"), "{done}");
    let old = house.curl(&["-H", "Authorization: AWS AKIAOWNER:sig", &format!("{}/inbox/a", house.url())]).await;
    assert!(old.contains("AWS4-HMAC-SHA256"), "{old}");
    let nobody = house.curl(&["-w", " %{http_code}", &format!("{}/inbox/a", house.url())]).await;
    assert!(nobody.ends_with(" 403"), "{nobody}");
    let form = house.curl(&["-F", "key=a", &format!("{}/inbox", house.url())]).await;
    assert!(form.contains("NotImplemented"), "{form}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_have_host_names_of_their_own() {
    let house = House::open(|config| config.domain = Some("s3.test".to_owned())).await;
    let put = house.buckets.put_bytes("inbox", "a b", Put::default(), Bytes::from_static(b"x"));
    put.await.expect("an object");
    let script = "import boto3,os,sys\nfrom botocore.config import Config\n\
        p=os.environ['ENDPOINT'].rsplit(':',1)[1]\n\
        c=boto3.client('s3',endpoint_url='http://s3.test:'+p,config=Config(signature_version='s3v4',s3={'addressing_style':'virtual'}))\n\
        print(c.generate_presigned_url('get_object',Params={'Bucket':'inbox','Key':'a b'}))";
    let url = house.run(&python("python"), PYTHON_PACKAGE, &["-c", script]).await;
    assert!(url.starts_with("http://inbox.s3.test:"), "{url}");
    let resolve = format!("inbox.s3.test:{}:127.0.0.1", house.address.port());
    assert_eq!(house.curl(&["--fail", "--resolve", &resolve, url.trim()]).await, "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_nothing_is_given_up_and_who_is_too_many_comes_later() {
    let house = House::open(|config| {
        config.idle = Duration::from_millis(1500);
        config.max_uploads = 1;
        config.max_body_bytes = 1000;
    })
    .await;
    let owner = crate::house::OWNER;
    let url = presigned(&house, "put_object", "slow", 60, owner).await;
    let path = url.strip_prefix(&house.url()).expect("a path").to_owned();
    // Made before the time runs: a signer takes a second to start.
    let other = presigned(&house, "put_object", "other", 60, owner).await;
    let body = house.file("body", b"x");
    let body = body.to_str().expect("a path of text");
    let mut stream = TcpStream::connect(house.address).await.expect("a connection");
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 10\r\n\r\nhalf", house.address);
    stream.write_all(head.as_bytes()).await.expect("a head");
    // Until the first is given up, the second is one too many; then it is not.
    let (mut is_refused, mut is_taken) = (false, false);
    while !is_taken {
        let said = house.curl(&["-T", body, &other]).await;
        is_refused |= said.contains("SlowDown");
        is_taken = said.is_empty();
    }
    let mut answer = String::new();
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, stream.read_to_string(&mut answer)).await.expect("an end").expect("an answer");
    assert!(answer.contains("RequestTimeout") && is_refused, "{is_refused}: {answer}");
    let slow = house.buckets.head("inbox", "slow").await;
    assert!(matches!(slow, Err(BucketError::NoSuchKey { .. })));
    let large = house.file("large", &[0; 1001]);
    let said = house.curl(&["-T", large.to_str().expect("a path of text"), &other]).await;
    assert!(said.contains("EntityTooLarge"), "{said}");
}
