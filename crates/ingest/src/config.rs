//! Settings of the ingest.

use std::net::SocketAddr;
use std::time::Duration;

/// Settings of the ingest.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the RTMP listener.
    pub listen: SocketAddr,
    /// Name of this node in reports.
    pub node: String,
    /// Connections at once; more are closed as they come.
    pub max_connections: usize,
    /// Time from accept to the publish command.
    pub publish_timeout: Duration,
    /// Time without media after which a publishing encoder is sent away.
    pub idle_timeout: Duration,
    /// Events of a session that wait for the room behind; when it is full the encoder is not read.
    pub event_queue: usize,
}

impl Config {
    /// The defaults, for a listener at `listen` on a node called `node`.
    #[must_use]
    pub fn new(listen: SocketAddr, node: impl Into<String>) -> Self {
        Self {
            listen,
            node: node.into(),
            max_connections: 512,
            publish_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(15),
            event_queue: 64,
        }
    }
}
