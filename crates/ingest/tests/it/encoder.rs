//! An encoder on a bare TCP connection, which does only what it is told.

use std::net::SocketAddr;

use anabranch_ingest::rtmp::amf0::{Value, decode, encode_all};
use anabranch_ingest::rtmp::chunk::{Decoder, Encoder as ChunkEncoder};
use anabranch_ingest::rtmp::message::{Message, kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::soon;

pub(crate) struct Encoder {
    pub(crate) stream: TcpStream,
    encoder: ChunkEncoder,
    decoder: Decoder,
    input: Vec<u8>,
    at: u32,
}

/// What the server said about the publish: code and description.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: String,
    pub(crate) words: String,
}

impl Encoder {
    /// Connects and shakes hands.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut hello = vec![3];
        hello.extend([0; 2 * 1536]);
        stream.write_all(&hello).await.unwrap();
        let mut answer = vec![0; hello.len()];
        soon("handshake", stream.read_exact(&mut answer)).await.unwrap();
        Self { stream, encoder: ChunkEncoder::new(), decoder: Decoder::new(), input: Vec::new(), at: 0 }
    }

    /// Connects and asks to publish; the answer is the last thing that the server said.
    pub(crate) async fn publish(address: SocketAddr, flash_ver: &str, app: &str, name: &str) -> (Self, Status) {
        let mut encoder = Self::connect(address).await;
        let object = Value::object([
            ("app", Value::string(app)),
            ("flashVer", Value::string(flash_ver)),
            ("tcUrl", Value::string("rtmp://127.0.0.1/live")),
        ]);
        encoder.command("connect", &[object]).await;
        let status = encoder.status().await;
        if status.code != "NetConnection.Connect.Success" {
            return (encoder, status);
        }
        encoder.command("createStream", &[Value::Null]).await;
        encoder.command("publish", &[Value::Null, Value::string(name), Value::string("live")]).await;
        let status = encoder.status().await;
        (encoder, status)
    }

    pub(crate) async fn command(&mut self, name: &str, values: &[Value]) {
        let mut all = vec![Value::string(name), Value::Number(1.0)];
        all.extend_from_slice(values);
        self.send(&Message::new(kind::COMMAND_AMF0, 1, encode_all(&all))).await;
    }

    pub(crate) async fn send(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        self.encoder.encode(3, message, &mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// An AAC configuration: 44.1 kHz, stereo.
    pub(crate) async fn audio_config(&mut self) {
        self.send(&Message::new(kind::AUDIO, 1, vec![0xAF, 0, 0x12, 0x10])).await;
    }

    /// One AAC access unit of `bytes` bytes.
    pub(crate) async fn audio(&mut self, bytes: usize) -> std::io::Result<()> {
        let mut body = vec![0xAF, 1];
        body.resize(2 + bytes, 0x21);
        let message = Message { kind: kind::AUDIO, timestamp: self.at, stream: 1, body: body.into() };
        self.at += 23;
        let mut wire = Vec::new();
        self.encoder.encode(4, &message, &mut wire);
        self.stream.write_all(&wire).await
    }

    /// The next information object that the server sends.
    pub(crate) async fn status(&mut self) -> Status {
        loop {
            let message = self.message().await.expect("the server says something before it hangs up");
            if message.kind != kind::COMMAND_AMF0 {
                continue;
            }
            let values = decode(&message.body).unwrap();
            let text = |name| values.last()?.property(name)?.as_str().map(str::to_owned);
            if let (Some(code), Some(words)) = (text("code"), text("description")) {
                return Status { code, words };
            }
        }
    }

    async fn message(&mut self) -> Option<Message> {
        loop {
            let mut input = self.input.as_slice();
            let message = self.decoder.decode(&mut input).unwrap();
            let used = self.input.len() - input.len();
            self.input.drain(..used);
            if message.is_some() {
                return message;
            }
            if soon("answer", self.stream.read_buf(&mut self.input)).await.unwrap() == 0 {
                return None;
            }
        }
    }
}

/// Waits until the server hangs up.
pub(crate) async fn hung_up(stream: &mut TcpStream) {
    let mut buffer = vec![0; 4096];
    soon("hanging up", async {
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
}
