//! How long a connection waits for its peer.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use anabranch_net::Shutdown;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::wire::Wire;

/// Timer and shutdown signal of one connection, registered once: setting a timer anew for each request would cost as much as
/// finding its answer.
pub(crate) struct Patience {
    timer: Pin<Box<Sleep>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Readable,
    TimedOut,
    Shutdown,
}

/// Whether shutdown ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Shutdown,
    DataOnly,
}

impl Patience {
    pub(crate) fn new(shutdown: Shutdown, limit: Duration) -> Self {
        Self { timer: Box::pin(sleep_until(Instant::now() + limit)), shutdown: Box::pin(shutdown.cancelled_owned()) }
    }

    /// Waits until the wire can be read, `deadline`, or shutdown if that is to end it.
    pub(crate) async fn readable<W: Wire>(&mut self, wire: &W, deadline: Instant, on: On) -> io::Result<Waited> {
        loop {
            // A timer that is set too early only wakes once for nothing; one that is too late must be moved.
            if self.timer.deadline() > deadline {
                self.timer.as_mut().reset(deadline);
            }
            tokio::select! {
                biased;
                ready = poll_fn(|cx| wire.poll_readable(cx)) => return ready.map(|()| Waited::Readable),
                () = &mut self.shutdown, if on == On::Shutdown => return Ok(Waited::Shutdown),
                () = &mut self.timer => {
                    if Instant::now() >= deadline {
                        return Ok(Waited::TimedOut);
                    }
                    self.timer.as_mut().reset(deadline);
                }
            }
        }
    }
}

/// Waits until the wire takes bytes.
///
/// # Errors
/// It takes none for `limit`, or is broken.
pub(crate) async fn writable<W: Wire>(wire: &W, limit: Duration) -> io::Result<()> {
    match timeout(limit, wire.writable()).await {
        Ok(ready) => ready,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
