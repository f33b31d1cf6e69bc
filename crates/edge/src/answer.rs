//! An answer on its way to a front.

use std::sync::Arc;

use bytes::Bytes;

use crate::flight::Follower;
use crate::object::Object;
use crate::record::Record;

/// What follows a head.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    Bytes(Bytes),
    /// Part of a stored object.
    Stored {
        object: Arc<Object>,
        start: u64,
        end: u64,
    },
    /// Part of an object that is still coming; without a known length `end` is the largest number.
    Growing {
        follower: Follower,
        start: u64,
        end: u64,
    },
}

/// An answer; its head is in the context's buffer, without the last line and what frames the message on the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the head has a `Content-Length`, or needs none.
    pub(crate) sized: bool,
    pub(crate) body: Body,
    pub(crate) record: Record,
}
