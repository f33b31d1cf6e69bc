//! The origin room: playlists and segments over HTTP, inside the house.
//!
//! In: what packagers publish ([`Timelines`]) and the objects in the store, of breakouts and of buckets.
//! Out: HTTP answers with right types and cache lifetimes; a playlist that a player waits for is answered when it is published.
//! Never: viewers. Only edges that know the token are answered; signatures, CORS and caching are the edge's.
//! Spec: RFC 8216, 9110; rfc8216bis §6.2.5; `docs/adr/0005`, `0013`.

mod answer;
mod bucket;
mod hold;
mod path;
mod response;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anabranch_hls::timeline::Timeline;
use anabranch_model::{BreakoutId, ChannelId};
use anabranch_net::{BindError, Reuse, ServeConfig, SharedClock, Shutdown, bind, serve_http};
use anabranch_store::{Buckets, LocalStore};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use response::Body;

use hold::{Holds, MAX_HELD};

/// Header by which an edge shows that it is of this house.
pub const TOKEN_HEADER: &str = "x-anabranch-origin-token";

/// What has been published, by channel and breakout.
pub type Timelines = Arc<HashMap<(ChannelId, BreakoutId), watch::Receiver<Arc<Timeline>>>>;

/// Where and for whom the origin answers.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on; loopback when all rooms share a machine.
    pub listen: SocketAddr,
    /// Secret that edges send in [`TOKEN_HEADER`].
    pub token: String,
}

/// The origin of one node.
#[derive(Debug)]
pub struct Origin {
    listener: TcpListener,
    shared: Shared,
    closing: Shutdown,
}

#[derive(Debug)]
struct Shared {
    token: String,
    store: LocalStore,
    buckets: Buckets,
    timelines: watch::Receiver<Timelines>,
    clock: SharedClock,
    holds: Holds,
}

impl Origin {
    /// Binds the listener.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn bind(
        config: Config,
        store: LocalStore,
        timelines: watch::Receiver<Timelines>,
        clock: SharedClock,
    ) -> Result<Self, BindError> {
        let listener = bind(config.listen, Reuse::Exclusive)?;
        let closing = Shutdown::new();
        let holds = Holds::new(MAX_HELD, closing.clone());
        let buckets = Buckets::new(store.clone(), None);
        let shared = Shared { token: config.token, store, buckets, timelines, clock, holds };
        Ok(Self { listener, shared, closing })
    }

    /// Answers with the objects of these buckets, of which some may be elsewhere, rather than those of the store alone.
    #[must_use]
    pub fn with_buckets(mut self, buckets: Buckets) -> Self {
        self.shared.buckets = buckets;
        self
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then drains. From `closing` on no request is held, and those that are held are answered 503, so that
    /// edges which stop before the origin need not wait for segments.
    pub async fn run(self, closing: Shutdown, shutdown: Shutdown) {
        let serving =
            serve_http(self.listener, Handler(Arc::new(self.shared)), ServeConfig::default(), shutdown.clone());
        let releasing = async {
            tokio::select! {
                () = closing.cancelled() => {}
                () = shutdown.cancelled() => {}
            }
            self.closing.cancel();
        };
        tokio::join!(serving, releasing);
    }
}

#[derive(Clone, Debug)]
struct Handler(Arc<Shared>);

impl Service<Request<Incoming>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move { Ok(answer::answer(&shared, &request).await) })
    }
}
