//! A file that has arrived is read once: it is known by its bytes.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anabranch_control::Progress;
use anabranch_model::{Done, Failure};
use anabranch_store::Buckets;
use anabranch_store::buckets::{Content, ObjectInfo, Opened, Pieces};
use anabranch_transcode::CancellationToken;
use aws_lc_rs::digest::{Context, SHA256};

use super::elsewhere;
use super::failure::{given_up, lost, of_bucket};

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// Gives the SHA-256 of an object.
pub(super) async fn read(
    buckets: &Buckets,
    bucket: &str,
    key: &str,
    progress: Progress,
    cancel: CancellationToken,
) -> Result<Done, Failure> {
    if buckets.backend(bucket).map_err(|error| of_bucket(&error))?.is_some() {
        let (info, pieces) = open(buckets, bucket, key).await?;
        let sha256 = elsewhere::receive(pieces, &info, None, &cancel, |permille| progress.set(permille)).await?;
        return Ok(Done { sha256: Some(sha256), bytes: info.size, ..Done::default() });
    }
    let found = buckets.locate(bucket, key).await.map_err(|error| of_bucket(&error))?;
    let told = progress.clone();
    let sha256 = digest(&found.path, found.info.size, cancel, move |permille| told.set(permille)).await?;
    Ok(Done { sha256: Some(sha256), bytes: found.info.size, ..Done::default() })
}

/// An object of a bucket that is elsewhere.
pub(super) async fn open(buckets: &Buckets, bucket: &str, key: &str) -> Result<(ObjectInfo, Pieces), Failure> {
    let Opened { info, content } = buckets.get(bucket, key).await.map_err(|error| of_bucket(&error))?;
    match content {
        Content::Remote(object) => {
            let pieces = object.pieces(0, info.size).await.map_err(|error| of_bucket(&error))?;
            Ok((info, pieces))
        }
        Content::File(_) => Err(lost(&std::io::Error::other("the bucket has just come here"))),
    }
}

/// The SHA-256 of a file.
pub(super) async fn digest(
    path: &Path,
    size: u64,
    cancel: CancellationToken,
    told: impl Fn(u32) + Send + 'static,
) -> Result<[u8; 32], Failure> {
    let path = path.to_owned();
    let work = move || {
        let mut file = File::open(path)?;
        let (mut context, mut piece, mut done) = (Context::new(&SHA256), vec![0; PIECE], 0_u64);
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 || cancel.is_cancelled() {
                break;
            }
            context.update(&piece[..read]);
            done += read as u64;
            // The end is told when it is settled.
            told(u32::try_from(done.saturating_mul(999) / size.max(1)).unwrap_or(999).min(999));
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(context.finish().as_ref());
        Ok::<_, std::io::Error>((sha256, cancel.is_cancelled()))
    };
    match tokio::task::spawn_blocking(work).await.map_err(|error| lost(&error))?.map_err(|error| lost(&error))? {
        (_, true) => Err(given_up("cancelled")),
        (sha256, false) => Ok(sha256),
    }
}
