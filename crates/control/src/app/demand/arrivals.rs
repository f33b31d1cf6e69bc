//! The loop that notices files: told of them by the store, and looking for those that it was not told of.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anabranch_db::{BucketRow, NewArrival};
use anabranch_net::Shutdown;
use anabranch_store::buckets::{BucketError, Event, ListQuery, MAX_PAGE, ObjectInfo};
use anabranch_store::key;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::caption::is_side_car;
use crate::app::{App, Error};
use crate::chain::chain;

/// Time between two looks through all buckets of whose files assets are made.
const LOOK: Duration = Duration::from_secs(10 * 60);

/// Time until the next look after one that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How long an upload in parts may rest before it is given up.
const UPLOAD_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What an object may have with it, as `x-amz-meta-<this>`: the preset by which its asset is made.
pub(super) const PRESET: &str = "anabranch-preset";

/// Time between two looks through buckets that are elsewhere, of which nobody tells. A look that takes long is followed by a longer rest.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(10);

/// How many times as long as it took to look is not looked then.
const REST_SHARE: u32 = 10;

/// Buckets elsewhere that are looked through at once.
const ELSEWHERE_AT_ONCE: usize = 8;

/// Comes after every key.
const AFTER_ALL: &str = "\u{10FFFF}";

/// Notices files that others put where buckets are elsewhere, until `shutdown`.
pub(crate) async fn watch_elsewhere(app: Arc<App>, shutdown: Shutdown) {
    let mut next_look = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep_until(next_look) => {}
        }
        let began = Instant::now();
        let mut looks = JoinSet::new();
        for name in app.media.buckets.remote_names() {
            if looks.len() >= ELSEWHERE_AT_ONCE {
                looks.join_next().await;
            }
            let app = app.clone();
            looks.spawn(async move {
                match app.look_elsewhere(&name).await {
                    // The store has said so once, and says when it is over.
                    Ok(()) | Err(Error::Bucket(BucketError::Away { .. } | BucketError::Refused { .. })) => {}
                    Err(error) => {
                        tracing::error!(
                            bucket = name,
                            error = chain(&error),
                            "a bucket cannot be looked through; tried again"
                        );
                    }
                }
            });
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = async { while looks.join_next().await.is_some() {} } => {}
        }
        next_look = Instant::now() + LOOK_ELSEWHERE.max(began.elapsed() * REST_SHARE);
    }
}

/// Notices files until `shutdown`.
pub(crate) async fn watch_arrivals(app: Arc<App>, mut events: mpsc::Receiver<Event>, shutdown: Shutdown) {
    let mut next_look = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(event) = events.recv() => {
                if let Err(error) = app.noticed(&event).await {
                    tracing::error!(error = chain(&error), ?event, "an arrival cannot be noted; it is looked for again");
                    next_look = Instant::now() + LOOK_AGAIN;
                }
            }
            () = app.arrivals_wake.notified() => next_look = Instant::now(),
            () = sleep_until(next_look) => {
                let looked = app.look_for_arrivals().await;
                if let Err(error) = &looked {
                    tracing::error!(error = chain(error), "buckets cannot be looked through; tried again");
                }
                next_look = Instant::now() + if looked.is_ok() { LOOK } else { LOOK_AGAIN };
            }
        }
    }
}

impl App {
    async fn noticed(&self, event: &Event) -> Result<(), Error> {
        match event {
            // What the system writes itself is no news.
            Event::ObjectCreated { bucket, .. } | Event::ObjectRemoved { bucket, .. }
                if [key::VOD, key::RECORDINGS].contains(&bucket.as_str()) => {}
            Event::ObjectCreated { bucket, key, .. } => {
                let info = match self.media.buckets.head(bucket, key).await {
                    // It is gone already, which is another event.
                    Err(BucketError::NoSuchKey { .. } | BucketError::NoSuchBucket { .. }) => return Ok(()),
                    found => found?,
                };
                match self.arrived(bucket, &info).await {
                    Err(Error::Db(anabranch_db::Error::NotFound { .. })) => self.buckets_agree().await?,
                    noted => noted?,
                }
            }
            Event::ObjectRemoved { bucket, key } => {
                if let Some(asset) = self.db.arrival_gone(bucket, key, self.clock.now_ms()).await? {
                    self.asset_purge(&asset.id).await?;
                    self.jobs_wake.notify_one();
                }
            }
        }
        Ok(())
    }

    /// Buckets may be made and removed by the S3-compatible endpoint, which knows no rows.
    pub(super) async fn buckets_agree(&self) -> Result<(), Error> {
        let there: Vec<String> = self.media.buckets.bucket_list().await?.into_iter().map(|info| info.name).collect();
        let known = self.db.bucket_names().await?;
        let now = self.clock.now_ms();
        for name in there.iter().filter(|name| !known.contains(*name)) {
            self.db.bucket_ensure(name, None, false, now).await?;
        }
        for name in known.iter().filter(|name| !there.contains(*name)) {
            // One of which assets were made stays: they say where they came from.
            let _ = self.db.bucket_delete(name, now).await;
        }
        Ok(())
    }

    async fn arrived(&self, bucket: &str, info: &ObjectInfo) -> Result<(), Error> {
        if is_side_car(&info.key) {
            return self.side_car_arrived(bucket, info).await;
        }
        let (key, size) = (info.key.as_str(), info.size);
        let preset = info.attributes.user.get(PRESET).map(String::as_str);
        if self
            .db
            .arrival_note(&NewArrival { bucket, key, version: &info.etag, size, preset }, self.clock.now_ms())
            .await?
        {
            tracing::info!(bucket, key, size, preset, "file arrived");
            self.jobs_wake.notify_one();
        }
        Ok(())
    }

    /// Compares what is in a bucket with what was noted of it. What is elsewhere may be removed by others, which nobody tells.
    async fn look_through(&self, bucket: &BucketRow, is_elsewhere: bool) -> Result<(), Error> {
        let mut after: Option<String> = None;
        loop {
            let query = ListQuery { after: after.clone(), limit: MAX_PAGE, ..ListQuery::default() };
            let page = self.media.buckets.list(&bucket.name, query).await?;
            let begin = after.as_deref().unwrap_or_default();
            let end = page.next.as_deref().unwrap_or(AFTER_ALL);
            let known = self.db.arrivals_between(&bucket.name, begin, end).await?;
            for info in &page.objects {
                let row = known.binary_search_by(|row| row.key.as_str().cmp(&info.key)).ok().map(|at| &known[at]);
                // Consoles mark folders by objects without bytes.
                let is_mark = is_elsewhere && info.size == 0 && info.key.ends_with('/');
                if !is_mark && row.is_none_or(|row| row.version != info.etag) {
                    self.arrived(&bucket.name, info).await?;
                }
            }
            if is_elsewhere && bucket.mirror {
                let there: HashSet<&str> = page.objects.iter().map(|info| info.key.as_str()).collect();
                for row in known.iter().filter(|row| row.key.as_str() > begin && !there.contains(row.key.as_str())) {
                    self.noticed(&Event::ObjectRemoved { bucket: bucket.name.clone(), key: row.key.clone() }).await?;
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Looks at a bucket that is elsewhere: for new files, or whether its service is back.
    async fn look_elsewhere(&self, name: &str) -> Result<(), Error> {
        let watched = self.db.buckets_watched().await?;
        if let Some(bucket) = watched.iter().find(|bucket| bucket.name == name) {
            return self.look_through(bucket, true).await;
        }
        if self.media.buckets.backend(name)?.is_some_and(|info| info.problem.is_some()) {
            self.media.buckets.list(name, ListQuery { limit: 1, ..ListQuery::default() }).await?;
        }
        Ok(())
    }

    /// Compares what is in the buckets of this disk with what was noted of them.
    async fn look_for_arrivals(self: &Arc<Self>) -> Result<(), Error> {
        self.buckets_agree().await?;
        let elsewhere = self.media.buckets.remote_names();
        for bucket in self.db.buckets_watched().await?.iter().filter(|bucket| !elsewhere.contains(&bucket.name)) {
            self.look_through(bucket, false).await?;
        }
        let now = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(self.clock.now_ms()).unwrap_or(0));
        let ended = self.media.buckets.uploads_expire(now, UPLOAD_AGE).await? + self.uploads_expire().await?;
        if ended > 0 {
            tracing::info!(uploads = ended, "uploads that nobody went on with were given up");
        }
        Ok(())
    }
}
