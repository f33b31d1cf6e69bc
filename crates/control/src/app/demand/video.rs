//! The list and the links of one bucket's files, as callers of an earlier system know them (D5, D6).

use anabranch_store::buckets::{ListQuery, MAX_PAGE};

use super::LinkCreate;
use crate::app::{App, Error};

/// Files that the list names at most.
const LIST_MAX: usize = 10_000;

impl App {
    /// Keys of the files of the bucket, in their order.
    pub(crate) async fn video_list(&self) -> Result<Vec<String>, Error> {
        let bucket = self.video_bucket()?;
        self.db.bucket_find(bucket).await?;
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let query = ListQuery { after, limit: MAX_PAGE, ..ListQuery::default() };
            let page = self.media.buckets.list(bucket, query).await?;
            keys.extend(page.objects.into_iter().map(|info| info.key));
            after = page.next;
            if after.is_none() || keys.len() >= LIST_MAX {
                keys.truncate(LIST_MAX);
                return Ok(keys);
            }
        }
    }

    /// A link that opens one file for an hour.
    pub(crate) async fn video_link(&self, name: &str) -> Result<String, Error> {
        Ok(self.object_link(self.video_bucket()?, &LinkCreate::of(name)).await?.url)
    }

    fn video_bucket(&self) -> Result<&str, Error> {
        let bucket = self.config.video_list_bucket.as_deref();
        bucket.ok_or_else(|| Error::Conflict("no bucket is listed: set demand.video_list_bucket".to_owned()))
    }
}
