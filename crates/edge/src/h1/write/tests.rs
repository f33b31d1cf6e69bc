use std::io::Write as _;
use std::sync::Arc;

use anabranch_http_cache::Policy;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::disk::claim::Claim;
use crate::metrics::Metrics;
use crate::object::Object;
use crate::object_head::{Making, ObjectHead};
use crate::outcome::Outcome;

const LIMIT: Duration = Duration::from_millis(300);

fn record() -> Record {
    let metrics = Arc::new(Metrics::new());
    Record::new(None, (metrics, Arc::new(crate::ledger::Ledger::new(None))), 200, Outcome::Hit)
}

fn object(contents: &[u8], start: u64, length: u64) -> Arc<Object> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(contents).unwrap();
    let head = ObjectHead::read(200, &http::HeaderMap::new(), &Making::plain(&Policy::default(), 0));
    let body = StoredBody::File(FileBody { file: Arc::new(file), start, length, claim: Arc::new(Claim::kept(0, 0)) });
    Arc::new(Object::new(Arc::new(head), body))
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    // A new socket is writable once its first event has come.
    server.writable().await.unwrap();
    (server, client)
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[tokio::test]
async fn files_and_parts_of_them_are_sent_by_the_kernel() {
    let contents = noise(5_000_100);
    let object = object(&contents, 100, 5_000_000);
    for (start, end) in [(0, 5_000_000), (0, 1), (17, 4_194_400), (4_999_999, 5_000_000), (3, 3)] {
        let (mut server, mut client) = pair().await;
        let body = Body::Stored { object: object.clone(), start, end };
        let sending = tokio::spawn(async move {
            let mut record = record();
            send(&mut server, b"head\r\n\r\n", body, Marking::Length, LIMIT, &mut record).await.map(|()| record.bytes())
        });
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(sending.await.unwrap().unwrap(), 8 + end - start);
        assert_eq!(&got[..8], b"head\r\n\r\n");
        let (from, to) = (100 + usize::try_from(start).unwrap(), 100 + usize::try_from(end).unwrap());
        assert!(got[8..] == contents[from..to], "{start}..{end}");
    }
}

#[tokio::test]
async fn a_file_that_has_become_shorter_ends_the_connection() {
    let object = object(b"abcdef", 0, 9);
    let (mut server, mut client) = pair().await;
    let body = Body::Stored { object, start: 0, end: 9 };
    let mut record = record();
    let ended = send(&mut server, b"h", body, Marking::Length, LIMIT, &mut record).await.unwrap_err();
    assert_eq!((ended.kind(), record.bytes()), (io::ErrorKind::UnexpectedEof, 7));
    drop(server);
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"habcdef");
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_given_up() {
    let object = object(&noise(40 << 20), 0, 40 << 20);
    let (mut server, client) = pair().await;
    let body = Body::Stored { object, start: 0, end: 40 << 20 };
    let mut record = record();
    let ended = send(&mut server, b"h", body, Marking::Length, LIMIT, &mut record).await.unwrap_err();
    assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    assert!(record.bytes() < 40 << 20);
    drop(client);
}
