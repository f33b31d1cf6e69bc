//! Bend: what goes into the cache.

use std::sync::Arc;

use anabranch_http_cache::Timing;

use crate::body::StoredBody;
use crate::cache::{Cache, Key};
use crate::object::{Object, ObjectHead, Variant, Varying};

/// Keeps `object` under `primary` if its head allows it, or under the key of its variant if answers vary. What was stored before
/// goes either way: the origin has said something newer.
pub(crate) fn admit(cache: &Cache, primary: &Key, object: &Arc<Object>) {
    if let Err(reason) = object.head.keep {
        cache.purge(primary);
        tracing::debug!(%reason, cache.key = %String::from_utf8_lossy(primary), "response is not stored");
        return;
    }
    match &object.head.variant {
        None => cache.admit(primary.clone(), object.clone()),
        Some(variant) => admit_variant(cache, primary, variant, object),
    }
}

/// Under the primary key a marker says how answers vary; each variant has a key of its own.
fn admit_variant(cache: &Cache, primary: &Key, variant: &Variant, object: &Arc<Object>) {
    let known = cache.peek(primary).and_then(|marker| marker.head.varying.clone());
    let varying = match known {
        Some(known) if known.names == variant.names => known,
        _ => {
            let generation =
                u64::try_from(object.head.timing.born_ms).unwrap_or(0) ^ object.head.sequence.rotate_left(48);
            Varying { names: variant.names.clone(), generation }
        }
    };
    let mut key = primary.to_vec();
    varying.write_key(&variant.values, &mut key);
    // A marker is as good as its youngest variant.
    let timing = Timing { fresh_until_ms: i64::MAX, ..object.head.timing };
    let head = ObjectHead::marker(varying, object.head.sequence, timing);
    let marker = Object::new(Arc::new(head), StoredBody::one(bytes::Bytes::new()));
    cache.admit(primary.clone(), Arc::new(marker));
    cache.admit(key.into(), object.clone());
}
