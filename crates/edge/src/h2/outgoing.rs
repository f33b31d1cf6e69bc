//! Bodies of answers on their way out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::access_log::Ending;
use crate::answer::Body;
use crate::buffers::slice;
use crate::flight::{Broken, Follower};
use crate::object::Object;
use crate::record::Record;

/// Bytes of a body that are taken at once: what stays in the processor's cache until it is sent.
pub(super) const PIECE_BYTES: usize = 64 << 10;

type Step = Pin<Box<dyn Future<Output = (Follower, Result<Option<Bytes>, Broken>)> + Send>>;

enum Outflow {
    Empty,
    Bytes(Bytes),
    Stored {
        object: Arc<Object>,
        at: u64,
        end: u64,
    },
    /// `here` has come and is not sent; `at` is what comes after it.
    Growing {
        step: Option<Step>,
        here: Bytes,
        at: u64,
        end: u64,
    },
}

impl Outflow {
    fn of(body: Body) -> Self {
        match body {
            Body::Bytes(bytes) if !bytes.is_empty() => Self::Bytes(bytes),
            Body::Stored { object, start, end } if start < end => Self::Stored { object, at: start, end },
            Body::Growing { follower, start, end } if start < end => {
                Self::Growing { step: Some(step(follower, start, end)), here: Bytes::new(), at: start, end }
            }
            Body::Empty | Body::Bytes(_) | Body::Stored { .. } | Body::Growing { .. } => Self::Empty,
        }
    }
}

fn step(mut follower: Follower, at: u64, end: u64) -> Step {
    Box::pin(async move {
        let next = follower.next(at, end).await;
        (follower, next)
    })
}

/// What a body gives.
pub(super) enum Piece {
    /// Some bytes; whether they are the last.
    Bytes(Bytes, bool),
    /// Nothing until the viewer opens its window.
    NoRoom,
    /// Nothing until more has come.
    Waits,
    /// It has broken off.
    Broken,
}

/// A body on its way out, counted as it goes.
pub(super) struct Outgoing {
    source: Outflow,
    record: Record,
    /// Whether nothing can be sent before more has come.
    pub(super) waits: bool,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Outgoing {
    /// Nothing, and the record closed, if the body is empty.
    pub(super) fn begin(body: Body, mut record: Record) -> Option<Self> {
        let source = Outflow::of(body);
        if matches!(source, Outflow::Empty) {
            record.ended(Ending::Whole);
            return None;
        }
        Some(Self { source, record, waits: false })
    }

    /// The next bytes, no more than `room`.
    pub(super) fn take(&mut self, cx: &mut Context<'_>, room: usize) -> Piece {
        let piece = self.next(cx, room.min(PIECE_BYTES));
        self.waits = matches!(piece, Piece::Waits);
        match &piece {
            Piece::Bytes(bytes, last) => {
                self.record.sent(bytes.len() as u64);
                if *last {
                    self.record.ended(Ending::Whole);
                }
            }
            Piece::Broken => self.record.ended(Ending::Broken),
            Piece::NoRoom | Piece::Waits => {}
        }
        piece
    }

    fn next(&mut self, cx: &mut Context<'_>, room: usize) -> Piece {
        match &mut self.source {
            Outflow::Empty => Piece::Bytes(Bytes::new(), true),
            Outflow::Bytes(_) | Outflow::Stored { .. } if room == 0 => Piece::NoRoom,
            Outflow::Bytes(bytes) => {
                let piece = bytes.split_to(room.min(bytes.len()));
                Piece::Bytes(piece, bytes.is_empty())
            }
            Outflow::Stored { object, at, end } => {
                let until = (*end).min(at.saturating_add(room as u64));
                match slice(&object.body, *at, until, PIECE_BYTES) {
                    Ok(Some(bytes)) => {
                        *at += bytes.len() as u64;
                        Piece::Bytes(bytes, at >= end)
                    }
                    Ok(None) | Err(_) => Piece::Broken,
                }
            }
            Outflow::Growing { step, here, at, end } => grown(step, here, at, *end, cx, room),
        }
    }
}

/// The next bytes of a body that still comes.
fn grown(
    waiting: &mut Option<Step>,
    here: &mut Bytes,
    at: &mut u64,
    end: u64,
    cx: &mut Context<'_>,
    room: usize,
) -> Piece {
    if here.is_empty()
        && let Some(future) = waiting
    {
        let Poll::Ready((follower, next)) = future.as_mut().poll(cx) else { return Piece::Waits };
        *waiting = None;
        match next {
            Ok(Some(bytes)) => {
                *at += bytes.len() as u64;
                *here = bytes;
                if *at < end {
                    *waiting = Some(step(follower, *at, end));
                }
            }
            Ok(None) if end == u64::MAX => {}
            Ok(None) | Err(Broken) => return Piece::Broken,
        }
    }
    if room == 0 && !here.is_empty() {
        return Piece::NoRoom;
    }
    let piece = here.split_to(room.min(here.len()));
    Piece::Bytes(piece, here.is_empty() && waiting.is_none())
}
