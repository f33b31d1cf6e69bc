//! Bend: what the cache has.

use std::sync::Arc;

use crate::body::StoredBody;
use crate::forward::variant_values;
use crate::invalidation::Place;
use crate::key::{Keyed, keyed_query};
use crate::object::Object;
use crate::strikes::resource;
use crate::worker::Worker;

/// What is stored under a key.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// Fresh at the given moment.
    Fresh(Arc<Object>),
    /// Not fresh any more.
    Stale(Arc<Object>),
    /// Nothing.
    Absent,
}

/// A request and what the cache has for it.
#[derive(Debug)]
pub(crate) struct Found<'t, 'r, 'k> {
    pub(crate) keyed: Keyed<'t, 'r, 'k>,
    pub(crate) lookup: Lookup,
}

/// Looks the key up: in memory, and on disk where memory has nothing. Where answers vary by request headers the key becomes that
/// of the variant. What an invalidation has forgotten is not found.
pub(crate) async fn lookup<'t, 'r, 'k>(keyed: Keyed<'t, 'r, 'k>, worker: &Worker, now_ms: i64) -> Found<'t, 'r, 'k> {
    let routed = &keyed.authorised.routed;
    if !routed.rule.caches(routed.request.method) {
        return Found { keyed, lookup: Lookup::Absent };
    }
    let mut object = find(&keyed, worker).await;
    if let Some(varying) = object.as_ref().and_then(|object| object.head.varying.as_ref()) {
        varying.write_key(&variant_values(routed.rule, routed.request, &varying.names), keyed.key);
        object = find(&keyed, worker).await;
    }
    let lookup = match object {
        None => Lookup::Absent,
        Some(object) if object.head.timing.is_fresh(now_ms) => Lookup::Fresh(object),
        Some(object) => Lookup::Stale(object),
    };
    Found { keyed, lookup }
}

async fn find(keyed: &Keyed<'_, '_, '_>, worker: &Worker) -> Option<Arc<Object>> {
    let cache = worker.cache();
    let object = match cache.lookup(keyed.key) {
        Some(object) => object,
        None if cache.on_disk(keyed.key) => cache.load(keyed.key).await?,
        None => return None,
    };
    if is_usable(keyed, worker, &object) {
        Some(object)
    } else {
        cache.purge(keyed.key);
        None
    }
}

/// Whether neither an order, nor an unsafe request, nor the disk forbids the object's use. What has been found so once is found so
/// at once until there are others.
pub(crate) fn is_usable(keyed: &Keyed<'_, '_, '_>, worker: &Worker, object: &Object) -> bool {
    if matches!(&object.body, StoredBody::File(file) if file.claim.is_spoilt()) {
        return false;
    }
    let struck = worker.strikes().last();
    if object.spared_ms() < struck {
        if !worker.strikes().spares(resource(keyed.key), object.head.begun_ms) {
            return false;
        }
        object.spare(struck);
    }
    let routed = &keyed.authorised.routed;
    let orders = &routed.site.orders;
    if object.checked_sequence() < orders.last() {
        let query = keyed_query(routed.rule, routed.request);
        let place = Place { path: routed.path, query: &query, select: &routed.rule.keying.query };
        if orders.forget(object.checked_sequence(), place, &object.head.tags) {
            return false;
        }
        object.check_sequence(orders.last());
    }
    true
}
