//! Binding of TCP listeners.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// Whether several listeners of this process share the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// One listener.
    Exclusive,
    /// One listener per thread (`SO_REUSEPORT`); the kernel spreads connections.
    PerThread,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {hint}")]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What to do about it.
    pub hint: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Binds and listens; an IPv6 address takes no IPv4 connections. Must be called within a tokio runtime, whose reactor the listener then belongs to.
///
/// # Errors
/// The address is in use, not of this machine, or not permitted.
pub fn bind(address: SocketAddr, reuse: Reuse) -> Result<TcpListener, BindError> {
    listen(address, reuse).map_err(|source| explain(address, source))
}

fn explain(address: SocketAddr, source: io::Error) -> BindError {
    let hint = match source.kind() {
        io::ErrorKind::AddrInUse => "another program has it; stop that or choose another port".to_owned(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a higher one".to_owned(),
        io::ErrorKind::AddrNotAvailable => "the address is not of this machine".to_owned(),
        _ => source.to_string(),
    };
    BindError { address, hint, source }
}

/// Binds a UDP socket, which does not block; an IPv6 address takes no IPv4 datagrams.
///
/// # Errors
/// As [`bind`].
pub fn bind_udp(address: SocketAddr) -> Result<UdpSocket, BindError> {
    datagrams(address).map_err(|source| explain(address, source))
}

fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn listen(address: SocketAddr, reuse: Reuse) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Whatever the system's default is, `[::]` and `0.0.0.0` may be listened on side by side.
        socket.set_only_v6(true)?;
    }
    if reuse == Reuse::PerThread {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
