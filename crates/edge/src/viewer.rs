//! Who asks, as a front knows it before there is a request.

use std::net::IpAddr;

use crate::request::{Connection, Scheme};
use crate::tls::HostGuard;

/// Who is at the other end of a connection, and what may be asked for on it.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    pub(crate) address: IpAddr,
    /// Of a connection over TLS.
    pub(crate) hosts: Option<HostGuard>,
    /// For the log.
    pub(crate) connection: Connection,
}

impl Viewer {
    pub(crate) fn scheme(&self) -> Scheme {
        if self.hosts.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// Whether a request for `host` has come by the right connection.
    pub(crate) fn may_ask(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.allows(host))
    }
}

/// What could not be read as a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread<'v> {
    pub(crate) viewer: &'v Viewer,
    /// Of the refusal.
    pub(crate) status: u16,
    /// Bytes that have come of it, where the front knows.
    pub(crate) received: Option<u64>,
}
