//! Buckets that are elsewhere: what is made of comes into the work folder, what is made goes out of it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_model::Failure;
use anabranch_packager::vod::{Output, Summary};
use anabranch_store::buckets::{Adopt, Attributes, BucketError, ListQuery, ObjectInfo, Pieces};
use anabranch_store::{Buckets, LocalStore, key};
use anabranch_transcode::CancellationToken;
use aws_lc_rs::digest::{Context, SHA256};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::failure::{given_up, lost, of_bucket};
use super::objects::content_type;

/// Folder of a rendition on its way, in the folder of the work.
const STAGING: &str = "staging";

/// Objects of a rendition that are sent at once.
const SENT_AT_ONCE: usize = 8;

/// Keys of a page of what was made.
const LISTED: usize = 1000;

/// Time between two looks whether a service is back.
const LOOK: Duration = Duration::from_secs(2);

/// How long a job waits for a service before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(6 * 60 * 60);

/// How often the services of these buckets have fallen away, and whether one is away now.
pub(super) fn outages(buckets: &Buckets, names: &[&str]) -> (u64, bool) {
    let known = names.iter().filter_map(|name| buckets.backend(name).ok().flatten());
    known.fold((0, false), |(outages, away), info| {
        (outages + info.outages, away || info.problem.is_some_and(|problem| problem.is_away))
    })
}

/// Waits until the services of these buckets answer; false when that takes too long.
pub(super) async fn wait_for(buckets: &Buckets, names: &[&str], cancel: &CancellationToken) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        tokio::select! {
            () = cancel.cancelled() => return false,
            () = sleep(LOOK) => {}
        }
        let mut all = true;
        for name in names.iter().filter(|name| matches!(buckets.backend(name), Ok(Some(_)))) {
            let listed = buckets.list(name, ListQuery { limit: 1, ..ListQuery::default() }).await;
            all &= !matches!(listed, Err(BucketError::Away { .. }));
        }
        if all {
            return true;
        }
    }
    false
}

/// Takes all bytes of an object: into a file, if one is wanted, and digests them. Fails when it is not of that size.
pub(super) async fn receive(
    mut pieces: Pieces,
    info: &ObjectInfo,
    file: Option<&Path>,
    cancel: &CancellationToken,
    told: impl Fn(u32),
) -> Result<[u8; 32], Failure> {
    let mut file = match file {
        Some(path) => Some(tokio::fs::File::create(path).await.map_err(|error| lost(&error))?),
        None => None,
    };
    let (mut context, mut done) = (Context::new(&SHA256), 0_u64);
    loop {
        let piece = tokio::select! {
            () = cancel.cancelled() => return Err(given_up("cancelled")),
            piece = pieces.next() => piece,
        };
        let Some(piece) = piece.transpose().map_err(|error| of_bucket(&error))? else { break };
        context.update(&piece);
        if let Some(file) = &mut file {
            file.write_all(&piece).await.map_err(|error| lost(&error))?;
        }
        done += piece.len() as u64;
        told(u32::try_from(done.saturating_mul(999) / info.size.max(1)).unwrap_or(999).min(999));
    }
    if done != info.size {
        return Err(lost(&BucketError::Length { announced: info.size, got: done }));
    }
    if let Some(file) = &mut file {
        file.sync_all().await.map_err(|error| lost(&error))?;
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(context.finish().as_ref());
    Ok(sha256)
}

/// A rendition that is made here and belongs elsewhere.
pub(super) struct Staging {
    folder: PathBuf,
    output: Output,
}

impl Staging {
    /// Its place in the folder of the work, for what goes to `output`; none when what is made of assets stays here.
    ///
    /// # Errors
    /// What an earlier try has left in `work`, the folder of the work, cannot be removed, or there is no room.
    pub(super) fn open(
        buckets: &Buckets,
        work: &Path,
        reserve_bytes: u64,
        output: Output,
    ) -> Result<Option<Self>, Failure> {
        if buckets.backend(key::VOD).map_err(|error| of_bucket(&error))?.is_none() {
            return Ok(None);
        }
        let folder = work.join(STAGING);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(lost(&error)),
            _ => {}
        }
        let store = LocalStore::open(&folder, reserve_bytes).map_err(|error| lost(&error))?;
        Ok(Some(Self { folder, output: Output { store, ..output } }))
    }

    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// Sends all of it, playlists after what they name and the media playlist last, and removes it here.
    pub(super) async fn send(
        self,
        buckets: &Buckets,
        summary: &Summary,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let (mut files, mut playlists) = (Vec::new(), Vec::new());
        let mut after: Option<String> = None;
        loop {
            let page = self.output.store.list(&self.output.prefix, after.as_deref(), LISTED).await;
            let page = page.map_err(|error| lost(&error))?;
            after = page.last().map(|(key, _)| key.clone());
            let is_last = page.len() < LISTED;
            for (key, _) in page {
                if key.ends_with(".m3u8") { playlists.push(key) } else { files.push(key) }
            }
            if is_last {
                break;
            }
        }
        playlists.sort_by_key(|key| key.ends_with(&format!("/{}", summary.playlist)));
        self.send_all(buckets, files, SENT_AT_ONCE, cancel).await?;
        self.send_all(buckets, playlists, 1, cancel).await?;
        std::fs::remove_dir_all(&self.folder).map_err(|error| lost(&error))
    }

    async fn send_all(
        &self,
        buckets: &Buckets,
        keys: Vec<String>,
        at_once: usize,
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let (mut waiting, mut sending) = (VecDeque::from(keys), JoinSet::new());
        while !waiting.is_empty() || !sending.is_empty() {
            while sending.len() < at_once
                && let Some(stored) = waiting.pop_front()
            {
                let path = self.output.store.file(&stored).map_err(|error| lost(&error))?;
                let buckets = buckets.clone();
                sending.spawn(async move { send(&buckets, &stored, &path).await });
            }
            let sent = tokio::select! {
                () = cancel.cancelled() => return Err(given_up("cancelled")),
                sent = sending.join_next() => sent,
            };
            if let Some(sent) = sent {
                sent.map_err(|error| lost(&error))?.map_err(|error| of_bucket(&error))?;
            }
        }
        Ok(())
    }
}

async fn send(buckets: &Buckets, stored: &str, path: &Path) -> Result<(), BucketError> {
    let prefix = key::bucket_object(key::VOD, "");
    let object = stored.strip_prefix(&prefix).unwrap_or(stored);
    let attributes = Attributes::of_type(content_type(object));
    buckets.adopt(key::VOD, object, path, Adopt::Copy, attributes, None).await.map(drop)
}
