//! The bytes of an HTTP/2 connection: TCP as it is, or TLS in writes as large as can be.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::life::Life;
use crate::tls::TlsWire;

/// A write that is no larger may be a probe or an acknowledgement: no sign that the viewer takes anything.
const SMALL_WRITE_BYTES: usize = 64;

/// What HTTP/2 is spoken over.
pub(crate) trait Flow: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether written bytes may stay until they are pushed.
    const KEEPS_BACK: bool;

    /// Hands everything written to the kernel.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Flow for TlsWire {
    const KEEPS_BACK: bool = true;

    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_push(self, cx)
    }
}

/// A TCP connection of which some bytes have been read.
pub(crate) struct Begun {
    stream: TcpStream,
    read: Vec<u8>,
    at: usize,
}

impl Begun {
    pub(crate) fn new(stream: TcpStream, read: Vec<u8>) -> Self {
        Self { stream, read, at: 0 }
    }
}

impl Flow for Begun {
    const KEEPS_BACK: bool = false;

    fn poll_push(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Begun {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.at == self.read.len() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let here = &self.read[self.at..];
        let take = here.len().min(buffer.remaining());
        buffer.put_slice(&here[..take]);
        self.at += take;
        if self.at == self.read.len() {
            self.at = 0;
            self.read = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A flow that the library writes to, and that the connection's own task pushes: only it knows when nothing more comes for now.
pub(crate) struct Pipe<F> {
    flow: Arc<Mutex<F>>,
    life: Arc<Life>,
}

impl<F: Flow> Pipe<F> {
    pub(crate) fn new(flow: F, life: Arc<Life>) -> Self {
        Self { flow: Arc::new(Mutex::new(flow)), life }
    }

    /// Another end of the same pipe.
    pub(crate) fn share(&self) -> Self {
        Self { flow: self.flow.clone(), life: self.life.clone() }
    }

    pub(crate) fn poll_push(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !F::KEEPS_BACK {
            return Poll::Ready(Ok(()));
        }
        let pushed = self.flow.lock().poll_push(cx);
        self.life.blocked(pushed.is_pending());
        pushed
    }

    fn written(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &polled {
            self.life.blocked(false);
            if *bytes > SMALL_WRITE_BYTES {
                self.life.progress();
            }
        } else if polled.is_pending() {
            self.life.blocked(true);
        }
        polled
    }
}

impl<F: Flow> AsyncRead for Pipe<F> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.flow.lock()).poll_read(cx, buffer)
    }
}

impl<F: Flow> AsyncWrite for Pipe<F> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.flow.lock()).poll_write(cx, bytes);
        self.written(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.flow.lock()).poll_write_vectored(cx, slices);
        self.written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.flow.lock().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.flow.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.flow.lock()).poll_shutdown(cx)
    }
}
