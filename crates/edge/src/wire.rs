//! What HTTP is spoken over: TCP, bare or beneath TLS. Calls try first, and the loop waits only when they cannot go on.

use std::fs::File;
use std::future::Future;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::request::Scheme;

/// A connection's bytes. A call that cannot go on says [`io::ErrorKind::WouldBlock`].
pub(crate) trait Wire: Send + Sync + Sized + 'static {
    const SCHEME: Scheme;

    /// Whether the kernel sends files on it: then [`Self::try_send_file`] may be called.
    const SENDS_FILES: bool;

    /// Whether HTTP/2 may begin without having been agreed on (RFC 9113 §3.3); TLS agrees by ALPN.
    const PRIOR_KNOWLEDGE: bool;

    /// Reads what is there; 0 is the end.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Waits until [`Self::try_read`] may get further. Cancel safe.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// As [`Self::readable`], for tasks that wait for several things.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes bytes; those that are taken may still have to be flushed.
    fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// As a write of bytes that others follow at once, so that they may share a packet.
    fn try_write_more(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Sends up to `count` bytes of a file without copying them; 0 is the file's end.
    fn try_send_file(&mut self, file: &File, offset: u64, count: usize) -> io::Result<usize>;

    /// Waits until a write, flush or sending may get further. Cancel safe.
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// As [`Self::writable`], for tasks that wait for several things.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Hands everything taken so far to the kernel.
    fn try_flush(&mut self) -> io::Result<()>;

    /// Says that no more will be sent; the other direction stays open.
    fn finish(&mut self) -> io::Result<()>;
}

/// Reads what is there. If that is less than there is room for, the socket is empty, and the next try costs no call to the
/// kernel: readiness is edge-triggered, so that what comes later tells of itself.
pub(crate) fn try_read_all(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let room = &mut *buffer;
    let read = stream.try_io(Interest::READABLE, || Ok(rustix::net::recv(stream, room, RecvFlags::empty())?.1))?;
    if 0 < read && read < buffer.len() {
        let _: io::Result<()> = stream.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    }
    Ok(read)
}

/// Writes what the socket takes. By the system call itself: the C library's goes through points of cancellation that nobody needs.
pub(crate) fn try_write_all(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL;
    stream.try_io(Interest::WRITABLE, || {
        Ok(match slices {
            [one] => rustix::net::send(stream, one, flags)?,
            several => rustix::net::sendmsg(stream, several, &mut SendAncillaryBuffer::default(), flags)?,
        })
    })
}

impl Wire for TcpStream {
    const SCHEME: Scheme = Scheme::Http;
    const SENDS_FILES: bool = true;
    const PRIOR_KNOWLEDGE: bool = true;

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        try_read_all(self, buffer)
    }

    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        Self::readable(self)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        try_write_all(self, slices)
    }

    fn try_write_more(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        self.try_io(Interest::WRITABLE, || Ok(rustix::net::send(&*self, bytes, flags)?))
    }

    fn try_send_file(&mut self, file: &File, mut offset: u64, count: usize) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || Ok(rustix::fs::sendfile(&*self, file, Some(&mut offset), count)?))
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        Self::writable(self)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }

    fn try_flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&*self, Shutdown::Write)?)
    }
}
