//! Why a try failed, in words for the operator, and whether another could end otherwise.

use std::error::Error;
use std::io;

use anabranch_model::Failure;
use anabranch_packager::vod::VodError;
use anabranch_store::StoreError;
use anabranch_store::buckets::BucketError;
use anabranch_transcode::TranscodeError;

/// What ffmpeg and others say when a disk is full, by `strerror(3)`.
const NO_ROOM: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

/// The reason with what ffmpeg said last.
pub(super) fn failure(error: &TranscodeError) -> Failure {
    let mut reason = chain(error);
    for line in error.log() {
        reason.push('\n');
        reason.push_str(line);
    }
    let said = |line: &String| NO_ROOM.iter().any(|words| line.contains(words));
    if has_no_room(error) || error.log().iter().any(said) {
        return Failure::no_room(reason);
    }
    if error.may_pass() { Failure::passing(reason) } else { Failure::last(reason) }
}

/// No later try has a use for it.
pub(super) fn given_up(reason: impl Into<String>) -> Failure {
    Failure::last(reason)
}

/// What may pass.
pub(super) fn lost(error: &(dyn Error + 'static)) -> Failure {
    if has_no_room(error) { Failure::no_room(chain(error)) } else { Failure::passing(chain(error)) }
}

pub(super) fn of_bucket(error: &BucketError) -> Failure {
    match error {
        BucketError::NoSuchKey { .. } | BucketError::NoSuchBucket { .. } => Failure::last(chain(error)),
        _ => lost(error),
    }
}

fn chain(error: &(dyn Error + 'static)) -> String {
    anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Whether a full disk, or one of which only the reserve is left, is all that is wrong.
fn has_no_room(error: &(dyn Error + 'static)) -> bool {
    anyhow::Chain::new(error).any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(io, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
            || matches!(cause.downcast_ref(), Some(TranscodeError::Space { .. }))
            || matches!(cause.downcast_ref(), Some(StoreError::Full { .. }))
            // These two pass on what they wrap, and are no link of the chain.
            || matches!(cause.downcast_ref(), Some(BucketError::Store(StoreError::Full { .. })))
            || matches!(cause.downcast_ref(), Some(VodError::Store(StoreError::Full { .. })))
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_full_disk_is_known_wherever_it_is_met() {
        let full = || StoreError::Full { free: 1, reserve: 2, root: PathBuf::from("/m") };
        let io = || io::Error::from(io::ErrorKind::StorageFull);
        let space = TranscodeError::Space { free: 1, needed: 2, folder: PathBuf::from("/w") };
        let written = TranscodeError::Io { action: "write", path: PathBuf::from("/w/a"), source: io() };
        assert!(failure(&space).no_room && failure(&written).no_room);
        assert!(lost(&full()).no_room && lost(&VodError::Store(full())).no_room && lost(&io()).no_room);
        assert!(of_bucket(&BucketError::Store(full())).no_room);
        let other = lost(&io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(other.again && !other.no_room);
        assert!(!given_up("no video").again);
    }
}
