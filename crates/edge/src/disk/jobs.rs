//! What the tier's threads are given to do.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::body::FileBody;
use crate::object::Object;
use crate::object_key::Key;

/// A job of the thread that writes.
#[derive(Debug)]
pub(super) enum Write {
    /// More of a draft.
    Append { serial: u64, bytes: Bytes },
    /// The end of a draft.
    Finish { serial: u64, key: Key, head: Vec<u8>, reply: oneshot::Sender<FileBody> },
    /// A draft that will not be finished.
    Abandon { serial: u64 },
    /// A finished draft has entered the index.
    Keep { serial: u64, key: Key },
    /// A small object, whole.
    Whole { serial: u64, key: Key, object: Arc<Object> },
    /// A newer head for a file.
    Freshen { serial: u64, key: Key, head: Vec<u8> },
    /// A file of so many bytes goes.
    Remove { serial: u64, bytes: u64 },
}

/// A job of those that read: an object to bring into memory, and who is to be told.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) key: Key,
    pub(super) answers: Answers,
}

/// By what loads of one key get their common answer; the inner value is absent until it is there.
pub(super) type Answers = Arc<watch::Sender<Option<Option<Arc<Object>>>>>;
