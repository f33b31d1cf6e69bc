//! The net room: listeners, accept loops with limits and drain, and the clock that tests replace.
//!
//! In: addresses, services, a shutdown token.
//! Out: served connections.
//! Never: rules of HTTP caching or media. TLS and client pools come here when they are needed.

mod clock;
mod listen;
mod serve;

pub use clock::{Clock, ManualClock, SharedClock, SystemClock};
pub use listen::{BindError, Reuse, bind};
pub use serve::{PeerAddr, ServeConfig, serve_http};
pub use tokio_util::sync::CancellationToken as Shutdown;
