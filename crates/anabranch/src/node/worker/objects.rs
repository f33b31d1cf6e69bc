//! Objects of assets: put and removed where assets are.

use anabranch_model::Failure;
use anabranch_store::buckets::{Attributes, ListQuery, MAX_PAGE, Put};
use anabranch_store::{Buckets, LocalStore, key};
use bytes::Bytes;

use super::failure::{lost, of_bucket};

/// Puts a small object of an asset where assets are.
pub(super) async fn put(store: &LocalStore, buckets: &Buckets, name: &str, bytes: Bytes) -> Result<(), Failure> {
    if buckets.backend(key::VOD).map_err(|error| of_bucket(&error))?.is_some() {
        let put = Put { attributes: Attributes::of_type(content_type(name)), ..Put::default() };
        let sent = buckets.put_bytes(key::VOD, name, put, bytes).await;
        return sent.map(drop).map_err(|error| of_bucket(&error));
    }
    store.put(&key::bucket_object(key::VOD, name), vec![bytes]).await.map_err(|error| lost(&error))
}

/// Removes the objects of the bucket of assets whose keys begin with `prefix`, but for those that are to stay.
pub(super) async fn remove(buckets: &Buckets, prefix: &str, stays: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let query = ListQuery { prefix: prefix.to_owned(), after, limit: MAX_PAGE, ..ListQuery::default() };
        let page = buckets.list(key::VOD, query).await.map_err(|error| lost(&error))?;
        let gone: Vec<String> = page.objects.into_iter().map(|object| object.key).filter(|key| !stays(key)).collect();
        if !gone.is_empty() {
            buckets.delete_many(key::VOD, &gone).await.map_err(|error| lost(&error))?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The type of an object by its name, as the origin room tells it of such names.
pub(super) fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("m4s" | "mp4") => "video/mp4",
        Some("ts") => "video/mp2t",
        Some("vtt") => "text/vtt",
        Some("jpg") => "image/jpeg",
        _ => "application/octet-stream",
    }
}
