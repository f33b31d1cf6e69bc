//! The streams of a connection.

use std::sync::Arc;

use super::inbox::Inbox;
use super::lane::{Lane, Paper};
use super::outgoing::Outgoing;

/// A request and its answer.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// The request, until it is begun to be answered.
    pub(super) asked: Option<Paper>,
    /// Whether more of the request may come.
    pub(super) open: bool,
    /// Of a request that has a body.
    pub(super) inbox: Option<Arc<Inbox>>,
    /// Announced length of the request's body, and how much of it has not come.
    pub(super) length: Option<u64>,
    pub(super) left: u64,
    /// What the viewer may still send, and what of it may be given back.
    pub(super) receive_window: i64,
    pub(super) credit: usize,
    /// What the viewer still takes.
    pub(super) send_window: i64,
    /// Where it is answered.
    pub(super) lane: Option<Lane>,
    /// The answer's body.
    pub(super) outgoing: Option<Outgoing>,
    /// Whether it waits for its turn to send.
    pub(super) queued: bool,
    /// Whether the answer has been sent whole: what still comes of the request is passed over.
    pub(super) over: bool,
}

/// The open ones.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Apart, because they are searched through.
    ids: Vec<u32>,
    all: Vec<Stream>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether all have their answers.
    pub(super) fn are_over(&self) -> bool {
        self.all.iter().all(|stream| stream.over)
    }

    pub(super) fn find(&self, id: u32) -> Option<usize> {
        self.ids.iter().position(|one| *one == id)
    }

    pub(super) fn insert(&mut self, stream: Stream) {
        self.ids.push(stream.id);
        self.all.push(stream);
    }

    pub(super) fn remove(&mut self, index: usize) -> Stream {
        self.ids.swap_remove(index);
        self.all.swap_remove(index)
    }

    pub(super) fn get(&mut self, index: usize) -> &mut Stream {
        &mut self.all[index]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.all.iter_mut()
    }

    /// Gives all up.
    pub(super) fn clear(&mut self) {
        self.ids = Vec::new();
        self.all = Vec::new();
    }
}
