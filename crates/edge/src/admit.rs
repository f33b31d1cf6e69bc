//! Bend: what goes into the cache.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use anabranch_http_cache::Timing;

use crate::body::StoredBody;
use crate::cache::Cache;
use crate::object::Object;
use crate::object_head::{ObjectHead, Varying};
use crate::object_key::Key;

/// Where the answer to a request may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    pub(crate) primary: &'a Key,
    /// Where the request looked: the primary key, or that of its variant. Absent where another's answer stands.
    pub(crate) own: Option<&'a Key>,
}

/// Keeps `object` where its head says. What was stored before goes either way: the origin has said something newer.
pub(crate) fn admit(cache: &Cache, places: Places<'_>, object: &Arc<Object>) {
    if let Some(key) = place(cache, places, &object.head) {
        cache.admit(key, object.clone());
    }
}

/// The key that an answer with this head is kept under; `None` if it is not kept. Under the primary key of answers that vary a marker
/// says how they do; each variant has a key of its own.
pub(crate) fn place(cache: &Cache, places: Places<'_>, head: &ObjectHead) -> Option<Key> {
    let Places { primary, own } = places;
    if !head.is_stored() {
        if let Some(own) = own {
            cache.purge(own);
        }
        let reason = head.keep.err().map(|reason| reason.to_string());
        tracing::debug!(reason, cache.key = %String::from_utf8_lossy(primary), "response is not stored");
        return None;
    }
    let Some(variant) = &head.variant else {
        // An error of one variant says nothing of the others.
        return if head.status >= 400 { own.cloned() } else { Some(primary.clone()) };
    };
    let known = cache.peek(primary).and_then(|marker| marker.head.varying.clone());
    let varying = match known {
        Some(known) if known.names == variant.names => known,
        _ => {
            // Another than any before, also those on disk: their variants shall never be found again.
            let generation = RandomState::new().hash_one(head.begun_ms);
            let varying = Varying { names: variant.names.clone(), generation };
            // It holds until another takes its place.
            let timing = Timing { fresh_until_ms: i64::MAX, ..head.timing };
            let marker =
                Object::new(Arc::new(head.marker(varying.clone(), timing)), StoredBody::one(bytes::Bytes::new()));
            cache.admit(primary.clone(), Arc::new(marker));
            varying
        }
    };
    let mut key = primary.to_vec();
    varying.write_key(&variant.values, &mut key);
    Some(key.into())
}
