use anabranch_net::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const LIMIT: Duration = Duration::from_millis(200);

/// Reads a body of which `here` has come with the head and the client sends `pieces`; gives the outcome, the bytes of `here`
/// that were used and those that follow.
async fn read(
    framing: Framing,
    here: &[u8],
    pieces: &[&[u8]],
    limit: u64,
) -> (Result<Bytes, u16>, usize, Vec<u8>, Reading) {
    let (mut server, mut client) = pair().await;
    let mut patience = Patience::new(Shutdown::new(), LIMIT);
    let mut body = request(&mut server, &mut patience, framing, here);
    let sending = async {
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        client
    };
    let (outcome, _client) = tokio::join!(body.collect(limit), sending);
    (outcome, body.used, body.after, body.reading)
}

fn request<'c>(
    wire: &'c mut TcpStream,
    patience: &'c mut Patience,
    framing: Framing,
    here: &'c [u8],
) -> RequestBody<'c, TcpStream> {
    let (reading, after) = (Reading::Unread, Vec::new());
    RequestBody { wire, patience, framing, here, expects: false, limit: LIMIT, reading, used: 0, after }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, client)
}

#[tokio::test]
async fn what_follows_a_body_is_kept_for_the_next_request() {
    let (body, used, after, reading) = read(Framing::Length(5), b"abcdeGET ", &[], 9).await;
    assert_eq!((body.unwrap(), used, after, reading), (Bytes::from("abcde"), 5, vec![], Reading::Read));
    let (body, used, after, _) = read(Framing::Length(5), b"ab", &[b"c", b"de"], 5).await;
    assert_eq!((body.unwrap(), used, after), (Bytes::from("abcde"), 2, vec![]));
    let (body, used, after, _) = read(Framing::Chunked, b"2\r\nab\r\n0\r\n\r\nGET ", &[], 9).await;
    assert_eq!((body.unwrap(), used, after), (Bytes::from("ab"), 12, vec![]));
    let (body, used, after, _) = read(Framing::Chunked, b"2\r\na", &[b"b\r\n0\r\n\r\nGET "], 9).await;
    assert_eq!((body.unwrap(), used, after), (Bytes::from("ab"), 4, b"GET ".to_vec()));
    let (body, used, _, _) = read(Framing::Length(0), b"GET ", &[], 0).await;
    assert_eq!((body.unwrap(), used), (Bytes::new(), 0));
}

#[tokio::test]
async fn bodies_are_refused_by_size_form_and_time() {
    for (status, framing, here) in [
        (413, Framing::Length(6), b"abcdef".as_slice()),
        (413, Framing::Chunked, b"6\r\nabcdef\r\n0\r\n\r\n"),
        (400, Framing::Chunked, b"x\r\n"),
        (408, Framing::Length(5), b"ab"),
        (408, Framing::Chunked, b"2\r\nab\r\n"),
    ] {
        let (outcome, .., reading) = read(framing, here, &[], 5).await;
        assert_eq!((outcome, reading), (Err(status), Reading::Broken), "{framing:?}");
    }
    let (mut server, client) = pair().await;
    drop(client);
    let mut patience = Patience::new(Shutdown::new(), LIMIT);
    let mut body = request(&mut server, &mut patience, Framing::Length(5), b"ab");
    assert_eq!(body.collect(9).await, Err(400), "the viewer has gone");
}

#[tokio::test]
async fn an_interim_answer_invites_the_body() {
    let (mut server, mut client) = pair().await;
    server.writable().await.unwrap();
    let mut patience = Patience::new(Shutdown::new(), LIMIT);
    let mut body = request(&mut server, &mut patience, Framing::Length(3), b"");
    body.expects = true;
    let viewer = async {
        let mut interim = [0; 25];
        client.read_exact(&mut interim).await.unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"abc").await.unwrap();
    };
    let (outcome, ()) = tokio::join!(body.collect(9), viewer);
    assert_eq!(outcome.unwrap(), "abc");
}
