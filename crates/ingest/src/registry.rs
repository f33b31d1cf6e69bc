//! Who is live on which input, and when a newcomer may take the place.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anabranch_model::InputId;
use anabranch_net::Shutdown as Token;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A session that has received nothing for so long loses its place to any newcomer.
pub const TAKEOVER_SILENCE: Duration = Duration::from_secs(3);

/// A session that has received nothing for so long loses its place to the same encoder: its connection was cut.
pub const RECONNECT_SILENCE: Duration = Duration::from_secs(1);

/// How long a newcomer waits for the session before it to prove dead; then it is refused.
pub const JUDGEMENT: Duration = Duration::from_secs(3);

/// How long an ended session may take to leave its place.
const LEAVE: Duration = Duration::from_secs(2);

/// Marks a session that cannot be heard because we do not read it.
const NOT_READING: u64 = u64::MAX;

/// What tells an encoder from others, as far as that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) flash_ver: String,
    pub(crate) tc_url: String,
}

/// How long silence lasts that proves a session dead; tests shrink it.
#[derive(Clone, Copy, Debug)]
struct Patience {
    takeover: Duration,
    reconnect: Duration,
    judgement: Duration,
}

/// Inputs with their live sessions.
#[derive(Debug)]
pub(crate) struct Registry {
    epoch: Instant,
    patience: Patience,
    inputs: Mutex<HashMap<InputId, Arc<Holder>>>,
}

/// The session that has an input.
#[derive(Debug)]
struct Holder {
    peer: Peer,
    /// Milliseconds since the epoch of the registry, or [`NOT_READING`].
    heard_ms: AtomicU64,
    evict: Token,
    gone: Token,
}

/// The right to an input, given back when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    registry: Arc<Registry>,
    input: InputId,
    holder: Arc<Holder>,
}

impl Registry {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(Patience { takeover: TAKEOVER_SILENCE, reconnect: RECONNECT_SILENCE, judgement: JUDGEMENT })
    }

    fn with(patience: Patience) -> Arc<Self> {
        Arc::new(Self { epoch: Instant::now(), patience, inputs: Mutex::default() })
    }

    /// Takes the input for `peer`, from a dead session if need be; `None` when a live encoder has it.
    pub(crate) async fn claim(self: &Arc<Self>, input: &InputId, peer: &Peer) -> Option<Claim> {
        let deadline = Instant::now() + self.patience.judgement;
        loop {
            let holder = match self.take(input, peer) {
                Ok(claim) => return Some(claim),
                Err(holder) => holder,
            };
            let needed = if holder.peer == *peer { self.patience.reconnect } else { self.patience.takeover };
            let silence = self.silence(&holder);
            if silence >= needed {
                holder.evict.cancel();
                tokio::time::timeout(LEAVE, holder.gone.cancelled()).await.ok()?;
                continue;
            }
            if Instant::now() >= deadline {
                return None;
            }
            let look_again = deadline.min(Instant::now() + (needed - silence));
            tokio::select! {
                () = holder.gone.cancelled() => {}
                () = tokio::time::sleep_until(look_again) => {}
            }
        }
    }

    fn take(self: &Arc<Self>, input: &InputId, peer: &Peer) -> Result<Claim, Arc<Holder>> {
        let mut inputs = self.inputs.lock();
        if let Some(holder) = inputs.get(input) {
            return Err(holder.clone());
        }
        let holder = Arc::new(Holder {
            peer: peer.clone(),
            heard_ms: AtomicU64::new(self.now_ms()),
            evict: Token::new(),
            gone: Token::new(),
        });
        inputs.insert(input.clone(), holder.clone());
        Ok(Claim { registry: self.clone(), input: input.clone(), holder })
    }

    fn silence(&self, holder: &Holder) -> Duration {
        match holder.heard_ms.load(Ordering::Relaxed) {
            NOT_READING => Duration::ZERO,
            heard => Duration::from_millis(self.now_ms().saturating_sub(heard)),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(NOT_READING - 1)
    }
}

impl Claim {
    /// Bytes came from the encoder.
    pub(crate) fn heard(&self) {
        self.holder.heard_ms.store(self.registry.now_ms(), Ordering::Relaxed);
    }

    /// Reading stops until [`Self::heard`]: silence is ours, not the encoder's.
    pub(crate) fn not_reading(&self) {
        self.holder.heard_ms.store(NOT_READING, Ordering::Relaxed);
    }

    /// Waits until a newcomer takes the place. Cancel safe.
    pub(crate) async fn evicted(&self) {
        self.holder.evict.cancelled().await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.registry.inputs.lock().remove(&self.input);
        self.holder.gone.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(flash_ver: &str) -> Peer {
        Peer { address: IpAddr::from([127, 0, 0, 1]), flash_ver: flash_ver.to_owned(), tc_url: String::new() }
    }

    const PATIENCE: Patience = Patience {
        takeover: Duration::from_millis(300),
        reconnect: Duration::from_millis(100),
        judgement: Duration::from_millis(300),
    };

    /// Claims for `newcomer` while the holder is silent, and leaves when it is evicted.
    async fn wait_for_place(newcomer: &Peer) -> Duration {
        let (registry, input) = (Registry::with(PATIENCE), InputId::random());
        let first = registry.claim(&input, &peer("a")).await.unwrap();
        let begun = Instant::now();
        let (claim, ()) = tokio::join!(registry.claim(&input, newcomer), async move {
            first.evicted().await;
            drop(first);
        });
        assert!(claim.is_some());
        begun.elapsed()
    }

    #[tokio::test]
    async fn the_same_encoder_waits_less_than_another() {
        let (same, other) = (wait_for_place(&peer("a")).await, wait_for_place(&peer("b")).await);
        // Silence is measured in whole milliseconds, so a wait may look up to two shorter.
        let rounding = Duration::from_millis(2);
        assert!(same + rounding >= PATIENCE.reconnect, "{same:?}");
        assert!(other + rounding >= PATIENCE.takeover, "{other:?}");
        assert!(same < other, "{same:?} {other:?}");
    }

    #[tokio::test]
    async fn a_live_session_keeps_its_place() {
        let (registry, input) = (Registry::with(PATIENCE), InputId::random());
        let first = registry.claim(&input, &peer("a")).await.unwrap();
        let live = async {
            loop {
                first.heard();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let newcomer = peer("a");
        tokio::select! {
            claim = registry.claim(&input, &newcomer) => assert!(claim.is_none()),
            () = live => {}
        }
        first.not_reading();
        assert!(registry.claim(&input, &peer("b")).await.is_none());
    }

    #[tokio::test]
    async fn a_place_that_was_left_is_free_at_once() {
        let (registry, input) = (Registry::with(PATIENCE), InputId::random());
        drop(registry.claim(&input, &peer("a")).await);
        assert!(registry.take(&input, &peer("b")).is_ok());
    }
}
