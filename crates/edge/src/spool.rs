//! Where a body goes while it comes.

use bytes::Bytes;

use crate::body::FileBody;
use crate::cache::Cache;
use crate::disk::Draft;
use crate::flight::Flight;
use crate::object_head::ObjectHead;
use crate::object_key::Key;

/// A body that comes is in its flight for those who wait for it; a large one goes to disk too.
#[derive(Debug)]
pub(crate) enum Spool {
    /// Nowhere besides the flight: it is small so far.
    Memory,
    Draft(Draft),
    /// To no file.
    Refused,
}

impl Spool {
    /// Takes the next bytes of a body of which `length` have come. Once it is known to be large its beginning follows.
    pub(crate) fn take(self, cache: &Cache, flight: &Flight, bytes: Bytes, length: u64, head: &ObjectHead) -> Self {
        match self {
            Self::Refused => Self::Refused,
            Self::Draft(mut draft) => {
                draft.append(bytes);
                Self::Draft(draft)
            }
            Self::Memory => match cache.draft(Some(head.length.unwrap_or(0).max(length))) {
                Some(mut draft) => {
                    let first = bytes.len() as u64 == length;
                    draft.append(if first { bytes } else { flight.take_body().contiguous() });
                    Self::Draft(draft)
                }
                None if head.length.is_some() => Self::Refused,
                None => Self::Memory,
            },
        }
    }

    /// The whole body on disk, if it went there.
    pub(crate) async fn finish(self, key: &Key, head: &ObjectHead) -> Option<FileBody> {
        match self {
            Self::Draft(draft) => draft.finish(key, head).await,
            Self::Memory | Self::Refused => None,
        }
    }
}
