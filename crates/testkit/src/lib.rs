//! The test kit: a real server in a scratch directory, a real encoder, a viewer by HTTP.
//!
//! In: the binary that `ANABRANCH_BIN` names, or the one beside the running test; the PostgreSQL server that
//! `ANABRANCH_TEST_POSTGRES` names.
//! Out: running processes that end with their handle.
//! Never: product code; no room may depend on it but for its tests.

mod edge_node;
mod encoder;
mod engine;
mod lock;
mod netns;
mod postgres;
mod server;
mod site;
mod viewer;
mod worker_node;

pub use edge_node::EdgeNode;
pub use encoder::{Encoder, Picture};
pub use engine::{Engine, Scratch};
pub use lock::HeldLock;
pub use netns::{Link, Namespace};
pub use postgres::Database;
pub use server::{Server, binary};
pub use site::{Asked, Reply, Site, live_playlist, multivariant_playlist};
pub use viewer::{Fetched, Playlist, Viewer};
pub use worker_node::WorkerNode;

use std::time::{Duration, Instant};

/// Calls `look` until it gives a value.
///
/// # Panics
/// Nothing came within `limit`; the message names `what`.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
