//! What connections have in common.

use std::sync::Arc;

use anabranch_model::{Report, Snapshot};
use anabranch_net::Shutdown;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::refusals::Refusals;
use crate::registry::Registry;
use crate::session::IngestSession;

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(crate) sessions: mpsc::Sender<IngestSession>,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) shutdown: Shutdown,
}
