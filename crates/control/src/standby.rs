//! Waiting for the lead: one controller of those that have the same database acts.

use std::io;
use std::time::Duration;

use anabranch_db::Db;
use anabranch_net::{ServeConfig, Shutdown, serve_http};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::chain::chain;
use crate::http;

/// Time between two attempts to take the lead.
const ATTEMPT: Duration = Duration::from_millis(500);

/// Waits until this process may act on the database, and answers `listener` meanwhile: `/livez`, and 503 to everything else.
/// Gives the listener back, or nothing when `shutdown` came first. Does not wait for a database that is a file.
///
/// # Errors
/// The socket cannot be shared for that time.
pub async fn stand_by(listener: TcpListener, db: &Db, shutdown: &Shutdown) -> io::Result<Option<TcpListener>> {
    let acting = metrics::gauge!("anabranch_control_acting_count");
    acting.set(0.0);
    let first = db.try_lead().await;
    if !matches!(first, Ok(true)) {
        match first {
            Ok(_) => tracing::info!("another controller acts; standing by"),
            Err(error) => tracing::error!(error = chain(&error), "cannot ask for the lead; it is tried again"),
        }
        // The same socket for both, so that no connection is refused when it changes hands.
        let listener = listener.into_std()?;
        let shared = TcpListener::from_std(listener.try_clone()?)?;
        let over = Shutdown::new();
        let service = TowerToHyperService::new(http::standby::router());
        let serve = serve_http(shared, service, ServeConfig::default(), over.clone());
        let wait = async {
            let led = tokio::select! {
                () = take_lead(db) => true,
                () = shutdown.cancelled() => false,
            };
            over.cancel();
            led
        };
        let ((), led) = tokio::join!(serve, wait);
        if !led {
            return Ok(None);
        }
        acting.set(1.0);
        tracing::info!("this controller acts from now on");
        return TcpListener::from_std(listener).map(Some);
    }
    acting.set(1.0);
    Ok(Some(listener))
}

async fn take_lead(db: &Db) {
    let mut failing = None;
    loop {
        tokio::time::sleep(ATTEMPT).await;
        match db.try_lead().await {
            Ok(true) => return,
            Ok(false) => failing = None,
            Err(error) => {
                // A lasting failure makes one line.
                let text = chain(&error);
                if failing.as_ref() != Some(&text) {
                    tracing::error!(error = text, "cannot ask for the lead; it is tried again");
                }
                failing = Some(text);
            }
        }
    }
}
