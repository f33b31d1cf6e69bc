//! HTTP/2 in frames, for viewers that do what no library does.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field block of literals without an index (RFC 7541 §6.2.2), after `:method: GET` and `:scheme: http`.
pub fn block(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    for (name, value) in [(":path", path)].iter().chain(fields) {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A connection whose preface has been sent.
pub struct Frames {
    pub stream: TcpStream,
}

impl Frames {
    /// With these settings (identifier and value).
    pub async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let settings: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &settings)).await.unwrap();
        Self { stream }
    }

    /// The next frame of this kind, as stream and payload.
    pub async fn next(&mut self, kind: u8) -> (u32, Vec<u8>) {
        let read = async {
            loop {
                let mut head = [0; 9];
                self.stream.read_exact(&mut head).await.unwrap();
                let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
                self.stream.read_exact(&mut payload).await.unwrap();
                if head[3] == kind {
                    return (u32::from_be_bytes(head[5..].try_into().unwrap()), payload);
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read).await.expect("the frame comes")
    }

    /// Frames until the edge ends the connection, as kind, stream and payload.
    pub async fn rest(&mut self) -> Vec<(u8, u32, Vec<u8>)> {
        let mut bytes = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.stream.read_to_end(&mut bytes)).await;
        // A reset is an end as well.
        let _ = ended.expect("the edge ends the connection");
        let mut frames = Vec::new();
        let mut rest = &bytes[..];
        while rest.len() >= 9 {
            let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
            let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]);
            let end = (9 + length).min(rest.len());
            frames.push((rest[3], stream, rest[9..end].to_vec()));
            rest = &rest[end..];
        }
        frames
    }
}

/// The error code of the last farewell.
pub fn farewell(frames: &[(u8, u32, Vec<u8>)]) -> Option<u32> {
    let (.., payload) = frames.iter().rev().find(|(kind, ..)| *kind == GOAWAY)?;
    Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()))
}
