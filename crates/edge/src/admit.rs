//! Bend: what goes into the cache.

use std::sync::Arc;

use anabranch_http_cache::Timing;

use crate::body::StoredBody;
use crate::cache::{Cache, Key};
use crate::object::{Object, ObjectHead, Varying};

/// Keeps `object` under `primary` if its head allows it, or under the key of its variant if answers vary. What was stored before
/// goes either way: the origin has said something newer.
pub(crate) fn admit(cache: &Cache, primary: &Key, object: &Arc<Object>) {
    if let Some(key) = place(cache, primary, &object.head) {
        cache.admit(key, object.clone());
    }
}

/// The key that an answer with this head is kept under; `None` if it is not kept. Under the primary key of answers that vary a marker
/// says how they do; each variant has a key of its own.
pub(crate) fn place(cache: &Cache, primary: &Key, head: &ObjectHead) -> Option<Key> {
    if let Err(reason) = head.keep {
        cache.purge(primary);
        tracing::debug!(%reason, cache.key = %String::from_utf8_lossy(primary), "response is not stored");
        return None;
    }
    let Some(variant) = &head.variant else { return Some(primary.clone()) };
    let known = cache.peek(primary).and_then(|marker| marker.head.varying.clone());
    let varying = match known {
        Some(known) if known.names == variant.names => known,
        _ => {
            let generation = u64::try_from(head.timing.born_ms).unwrap_or(0) ^ head.sequence.rotate_left(48);
            let varying = Varying { names: variant.names.clone(), generation };
            // It holds until another takes its place.
            let timing = Timing { fresh_until_ms: i64::MAX, ..head.timing };
            let marker = ObjectHead::marker(varying.clone(), head.sequence, timing);
            let marker = Object::new(Arc::new(marker), StoredBody::one(bytes::Bytes::new()));
            cache.admit(primary.clone(), Arc::new(marker));
            varying
        }
    };
    let mut key = primary.to_vec();
    varying.write_key(&variant.values, &mut key);
    Some(key.into())
}
