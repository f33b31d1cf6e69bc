//! Sockets that an edge listens on, dealt out to its threads.

use std::net::{SocketAddr, TcpListener};

use anabranch_net::{Reuse, bind};

use crate::error::Error;
use crate::request::Scheme;

/// One socket, and what is spoken on it.
#[derive(Debug)]
pub(crate) enum Door {
    Tcp(Scheme, TcpListener),
    /// HTTP/3.
    #[cfg(feature = "http3")]
    Udp(std::net::UdpSocket),
}

/// All sockets.
#[derive(Debug)]
pub(crate) struct Listening {
    by_worker: Vec<Vec<Door>>,
    addresses: Vec<(Scheme, SocketAddr)>,
    http3: Vec<SocketAddr>,
}

impl Listening {
    /// None yet, for this many threads.
    pub(crate) fn new(workers: usize) -> Self {
        Self { by_worker: (0..workers).map(|_| Vec::new()).collect(), addresses: Vec::new(), http3: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// The first address; there has to be one.
    pub(crate) fn first(&self) -> SocketAddr {
        self.addresses[0].1
    }

    /// The first address with TLS.
    pub(crate) fn secure(&self) -> Option<SocketAddr> {
        self.addresses.iter().find(|(scheme, _)| *scheme == Scheme::Https).map(|(_, address)| *address)
    }

    /// The first address of HTTP/3.
    pub(crate) fn http3(&self) -> Option<SocketAddr> {
        self.http3.first().copied()
    }

    /// The sockets of each thread.
    pub(crate) fn into_workers(self) -> impl Iterator<Item = Vec<Door>> {
        self.by_worker.into_iter()
    }

    /// Listens with a socket for each thread, among which the kernel deals connections out.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(crate) fn listen(&mut self, mut address: SocketAddr, scheme: Scheme) -> Result<(), Error> {
        if address.port() != 0 {
            // Listeners for threads would share the port with those of another edge, who would then take half of the viewers.
            drop(bind(address, Reuse::Exclusive)?);
        }
        for (index, of_worker) in self.by_worker.iter_mut().enumerate() {
            let listener = bind(address, Reuse::PerThread)?;
            if index == 0 {
                // With port 0 the first listener decides for all.
                address = listener.local_addr().map_err(Error::Prepare)?;
                self.addresses.push((scheme, address));
            }
            of_worker.push(Door::Tcp(scheme, listener.into_std().map_err(Error::Prepare)?));
        }
        Ok(())
    }

    /// Listens for HTTP/3 with one socket, for the first thread: several would lose connections whose viewers change addresses.
    ///
    /// # Errors
    /// The address cannot be listened on.
    #[cfg(feature = "http3")]
    pub(crate) fn listen_http3(&mut self, address: SocketAddr) -> Result<(), Error> {
        let socket = anabranch_net::bind_udp(address)?;
        self.http3.push(socket.local_addr().map_err(Error::Prepare)?);
        if let Some(first) = self.by_worker.first_mut() {
            first.push(Door::Udp(socket));
        }
        Ok(())
    }

    /// Refuses: this build has no HTTP/3.
    #[cfg(not(feature = "http3"))]
    #[expect(clippy::unused_self, reason = "as with HTTP/3")]
    pub(crate) fn listen_http3(&mut self, _: SocketAddr) -> Result<(), Error> {
        Err(Error::NoHttp3)
    }
}
