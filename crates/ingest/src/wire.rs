//! A session on a socket.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rtmp::session::{Answer, Event, Output, Session, SessionError};

/// Bytes read at once.
const READ_BUFFER: usize = 32 * 1024;

/// Time for the peer to take what is said to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for the peer to read the last words and hang up.
const LINGER: Duration = Duration::from_secs(1);

/// Why a connection ended that should not have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The peer breaks the protocol or a limit.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// The socket failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The peer hung up before it published.
    #[error("peer hung up before it published")]
    HungUp,
    /// The peer did not publish in time.
    #[error("peer did not publish in time")]
    Slow,
    /// No media came for too long.
    #[error("no media came in time")]
    Idle,
    /// The media cannot be read.
    #[error("media: {0}")]
    Media(#[from] anabranch_media::flv::FlvError),
}

impl Fault {
    /// A bounded word for metrics and log.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Session(error) => error.kind(),
            Self::Io(_) => "io",
            Self::HungUp => "hung_up",
            Self::Slow => "slow",
            Self::Idle => "idle",
            Self::Media(_) => "media",
        }
    }
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// The peer hung up.
    End,
}

/// Socket, session and the buffers between them.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    session: Session,
    input: Vec<u8>,
    handled: usize,
    output: Output,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, nonce: u64) -> Self {
        let input = Vec::with_capacity(READ_BUFFER);
        Self { stream, session: Session::new(nonce), input, handled: 0, output: Output::default() }
    }

    /// Waits for bytes. Cancel safe. Everything read before must have been handled.
    pub(crate) async fn read(&mut self) -> io::Result<Read> {
        self.input.clear();
        self.handled = 0;
        Ok(match self.stream.read_buf(&mut self.input).await? {
            0 => Read::End,
            len => Read::Bytes(len),
        })
    }

    /// Lets the session handle what was read, and sends its answers, also those of a failure. Events that came before
    /// a failure stay valid.
    pub(crate) async fn handle(&mut self) -> (Vec<Event>, Result<(), Fault>) {
        let mut input = &self.input[self.handled..];
        let session = std::mem::replace(&mut self.session, Session::Closed);
        let handled = session.handle(&mut input, &mut self.output);
        self.handled = self.input.len() - input.len();
        let sent = self.flush().await;
        let handled = handled.map(|session| self.session = session);
        (std::mem::take(&mut self.output.events), handled.map_err(Fault::from).and(sent.map_err(Fault::from)))
    }

    /// Answers the open request.
    pub(crate) async fn answer(&mut self, answer: Answer<'_>) -> io::Result<()> {
        let session = std::mem::replace(&mut self.session, Session::Closed);
        self.session = session.answer(answer, &mut self.output);
        self.flush().await
    }

    /// Tells a publishing peer why it is cut off.
    pub(crate) async fn revoke(&mut self, words: &str) -> io::Result<()> {
        std::mem::replace(&mut self.session, Session::Closed).revoke(words, &mut self.output);
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.output.bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        match tokio::time::timeout(WRITE_TIMEOUT, self.stream.write_all(&bytes)).await {
            Ok(written) => written,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "peer does not read")),
        }
    }

    /// Closes so that the last words arrive: a socket closed with unread input resets the connection under them.
    pub(crate) async fn close(mut self) {
        // Whatever fails here, the connection is over.
        let _ = self.stream.shutdown().await;
        self.input.clear();
        let drained = async {
            while let Ok(1..) = self.stream.read_buf(&mut self.input).await {
                self.input.clear();
            }
        };
        let _ = tokio::time::timeout(LINGER, drained).await;
    }
}
