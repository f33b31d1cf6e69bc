//! Names of origins to addresses, remembered for a moment.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::way::Way;

/// Time that addresses are used again without a question.
const REMEMBER: Duration = Duration::from_secs(5);

/// Names remembered at once.
const MAX_NAMES: usize = 256;

/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Names and their addresses.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<String, (Vec<IpAddr>, Instant)>>);

impl Names {
    /// The addresses of a way's host, in the order in which they are to be tried; at least one.
    ///
    /// # Errors
    /// The name is not known, or nobody could be asked.
    pub(super) async fn resolve(&self, way: &Way) -> io::Result<Vec<IpAddr>> {
        if let Some(address) = way.address() {
            return Ok(vec![address]);
        }
        let known = self.0.lock().get(&way.host).filter(|(_, since)| since.elapsed() < REMEMBER).cloned();
        if let Some((addresses, _)) = known {
            return Ok(addresses);
        }
        let mut addresses = Vec::new();
        for found in tokio::net::lookup_host((way.host.as_str(), way.port)).await? {
            if addresses.len() < MAX_ADDRESSES && !addresses.contains(&found.ip()) {
                addresses.push(found.ip());
            }
        }
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        let mut names = self.0.lock();
        if names.len() >= MAX_NAMES {
            names.retain(|_, (_, since)| since.elapsed() < REMEMBER);
        }
        if names.len() < MAX_NAMES {
            names.insert(way.host.clone(), (addresses.clone(), Instant::now()));
        }
        Ok(addresses)
    }

    /// Forgets what led nowhere.
    pub(super) fn forget(&self, way: &Way) {
        self.0.lock().remove(&way.host);
    }
}
