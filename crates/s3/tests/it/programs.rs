//! AWS CLI, boto3, rclone, s3cmd, curl.

use std::path::Path;

use anabranch_store::buckets::Event;

use crate::house::{House, NAMES, PYTHON_PACKAGE, noise, python};

/// More than the clients send in one piece.
const BIG: usize = 21 * 1024 * 1024 + 7;

fn same(a: &Path, b: &Path) {
    assert!(std::fs::read(a).expect("a file") == std::fs::read(b).expect("a file"), "{a:?} is not {b:?}");
}

/// A folder with a file of each name.
fn folder(house: &House) {
    for name in NAMES {
        let path = house.file(&format!("up/{name}"), name.as_bytes());
        // Tools compare whole seconds: a file of this very second looks newer than its object.
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        std::fs::File::options()
            .append(true)
            .open(path)
            .and_then(|file| file.set_modified(long_ago))
            .expect("an older file");
    }
}

fn same_folder(house: &House, down: &str) {
    for name in NAMES {
        same(&house.path(&format!("up/{name}")), &house.path(&format!("{down}/{name}")));
    }
}

fn created(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::ObjectCreated { .. })).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_aws_cli_works_unchanged() {
    let mut house = House::open(|_| {}).await;
    let (small, big) = (house.file("small file.txt", b"hello"), house.file("big.bin", &noise(BIG)));
    house.aws(&["s3", "mb", "s3://made-here"]).await;
    assert!(house.aws(&["s3", "ls"]).await.contains("made-here"));
    house.told();
    house.aws(&["s3", "cp", "small file.txt", "s3://inbox/Grüße/small file.txt"]).await;
    house.aws(&["s3", "cp", "big.bin", "s3://inbox/big.bin", "--metadata", "by=me"]).await;
    assert_eq!(created(&house.told()), 2);
    let listed = house.aws(&["s3", "ls", "s3://inbox/", "--recursive"]).await;
    assert!(listed.contains("Grüße/small file.txt") && listed.contains(&BIG.to_string()), "{listed}");
    let listed = house.aws(&["s3", "ls", "s3://inbox/"]).await;
    assert!(listed.contains("PRE Grüße/"), "{listed}");
    house.aws(&["s3", "cp", "s3://inbox/Grüße/small file.txt", "small.back"]).await;
    house.aws(&["s3", "cp", "s3://inbox/big.bin", "big.back"]).await;
    same(&small, &house.path("small.back"));
    same(&big, &house.path("big.back"));
    let head = house.aws(&["s3api", "head-object", "--bucket", "inbox", "--key", "big.bin"]).await;
    assert!(head.contains("\"by\": \"me\"") && head.contains("-3"), "{head}");
    house.aws(&["s3", "cp", "s3://inbox/big.bin", "s3://other/copied here.bin"]).await;
    house
        .aws(&["s3api", "get-object", "--bucket", "other", "--key", "copied here.bin", "--range", "bytes=5-9", "part"])
        .await;
    assert_eq!(std::fs::read(house.path("part")).expect("a part"), noise(10)[5..]);

    folder(&house);
    house.aws(&["s3", "sync", "up", "s3://made-here/folder"]).await;
    assert_eq!(house.aws(&["s3", "sync", "up", "s3://made-here/folder"]).await, "", "nothing is sent twice");
    house.aws(&["s3", "sync", "s3://made-here/folder", "down"]).await;
    same_folder(&house, "down");

    let url = house.aws(&["s3", "presign", "s3://inbox/Grüße/small file.txt"]).await;
    assert_eq!(house.curl(&["--fail", url.trim()]).await, "hello");
    // That was of version 2, as this CLI makes them for the oldest regions.
    let url = house.aws(&["--region", "eu-central-1", "s3", "presign", "s3://inbox/Grüße/small file.txt"]).await;
    assert!(url.contains("X-Amz-Signature"), "{url}");
    assert_eq!(house.curl(&["--fail", url.trim()]).await, "hello");
    let refused = house
        .output(&python("aws"), PYTHON_PACKAGE, &["s3", "rb", "s3://made-here", "--endpoint-url", &house.url()])
        .await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("BucketNotEmpty"));
    house.aws(&["s3", "rm", "s3://made-here", "--recursive"]).await;
    house.aws(&["s3", "rb", "s3://made-here"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_works_unchanged() {
    let house = House::open(|_| {}).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/boto.py");
    let done = house.run(&python("python"), PYTHON_PACKAGE, &[script.to_str().expect("a path of text")]).await;
    assert!(done.trim_end().ends_with("all done"), "{done}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_works_unchanged() {
    let house = House::open(|_| {}).await;
    folder(&house);
    house.file("up/big.bin", &noise(BIG));
    let parts = ["--s3-upload-cutoff", "6M", "--s3-chunk-size", "5M"];
    house.rclone(&[&["copy", "up", "house:inbox/folder"], &parts[..]].concat()).await;
    house.rclone(&["check", "up", "house:inbox/folder"]).await;
    house.rclone(&["check", "--download", "up", "house:inbox/folder"]).await;
    let listed = house.rclone(&["lsf", "-R", "--files-only", "house:inbox/folder"]).await;
    for name in NAMES {
        assert!(listed.lines().any(|line| line == name), "{name}: {listed}");
    }
    assert_eq!(
        house.rclone(&["cat", "--offset", "2", "--count", "5", "house:inbox/folder/plain/a.txt"]).await,
        "ain/a"
    );
    house.rclone(&["copy", "house:inbox/folder", "house:other"]).await;
    house.rclone(&["sync", "house:other", "down"]).await;
    same_folder(&house, "down");
    same(&house.path("up/big.bin"), &house.path("down/big.bin"));
    // Times are kept, so nothing is sent again.
    let again = house.rclone(&["sync", "-v", "--dry-run", "up", "house:other"]).await;
    assert!(!again.contains("Skipped copy"), "{again}");
    house.rclone(&["purge", "house:inbox/folder"]).await;
    assert_eq!(house.rclone(&["lsf", "-R", "house:inbox"]).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3cmd_works_unchanged() {
    let house = House::open(|_| {}).await;
    folder(&house);
    let big = house.file("big.bin", &noise(BIG));
    house.s3cmd(&["mb", "s3://made-here"]).await;
    assert!(house.s3cmd(&["ls"]).await.contains("s3://made-here"));
    house.s3cmd(&["put", "--multipart-chunk-size-mb=5", "big.bin", "s3://inbox/big file.bin"]).await;
    house.s3cmd(&["get", "s3://inbox/big file.bin", "back.bin"]).await;
    same(&big, &house.path("back.bin"));
    house.s3cmd(&["sync", "up/", "s3://made-here/folder/"]).await;
    let listed = house.s3cmd(&["ls", "--recursive", "s3://made-here/folder/"]).await;
    for name in NAMES {
        assert!(listed.contains(&format!("s3://made-here/folder/{name}")), "{name}: {listed}");
    }
    std::fs::create_dir(house.path("down")).expect("a folder");
    house.s3cmd(&["sync", "s3://made-here/folder/", "down/"]).await;
    same_folder(&house, "down");
    house.s3cmd(&["cp", "s3://inbox/big file.bin", "s3://other/copy.bin"]).await;
    assert!(house.s3cmd(&["info", "s3://other/copy.bin"]).await.contains(&BIG.to_string()));
    house.s3cmd(&["del", "--recursive", "--force", "s3://made-here/folder/"]).await;
    house.s3cmd(&["rb", "s3://made-here"]).await;
}
