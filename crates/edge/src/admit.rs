//! Bend: what goes into the cache.

use std::sync::Arc;

use crate::cache::{Cache, Key};
use crate::object::Object;

/// Keeps `object` under `key` if its head allows it. What was stored before goes either way: the origin has said something newer.
pub(crate) fn admit(cache: &Cache, key: &Key, object: &Arc<Object>) {
    match object.head.keep {
        Ok(()) => cache.admit(key.clone(), object.clone()),
        Err(reason) => {
            cache.purge(key);
            tracing::debug!(%reason, cache.key = %String::from_utf8_lossy(key), "response is not stored");
        }
    }
}
