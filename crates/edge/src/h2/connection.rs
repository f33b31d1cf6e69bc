//! The state of a connection, without its bytes' way: what came is given to it, and what is to go lies in its outbox.

use std::collections::VecDeque;

use super::calm::Calm;
use super::frame::{
    FIRST_WINDOW, MAX_ID, Reason, push_farewell, push_ping, push_reset, push_settings, push_window_update, setting,
};
use super::hpack::{Decoder, Encoder};
use super::lane::{Lane, Paper};
use super::outbox::Outbox;
use super::stream::{Stream, Streams};

/// Requests open at once on a connection.
pub(super) const MAX_STREAMS: usize = 128;

/// Bytes of request bodies that a viewer may send before they are asked for, per stream and in all.
pub(super) const STREAM_WINDOW_BYTES: u32 = 64 << 10;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;

/// Streams that we have reset, for which frames may still be under way.
const MAX_RECENT: usize = 64;

/// Lanes and papers that are kept for the next requests.
const MAX_KEPT: usize = 4;

/// What comes back with a farewell's ping: then the viewer has seen the farewell, and no request is lost.
pub(super) const FAREWELL_PING: [u8; 8] = *b"farewell";

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Nobody thinks of it.
    None,
    /// Announced; requests that were under way are still taken.
    Announced,
    /// No other requests are taken.
    Said,
    /// It has failed: nothing is read any more.
    Failed,
}

/// A head that comes in several frames.
#[derive(Debug)]
pub(super) struct Heading {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    pub(super) block: Vec<u8>,
    pub(super) frames: usize,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) max_head_bytes: usize,
    pub(super) outbox: Outbox,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) streams: Streams,
    /// Streams whose answers nobody has begun.
    pub(super) begun: VecDeque<u32>,
    /// Streams that have something to send, in turn.
    pub(super) sending: VecDeque<u32>,
    pub(super) heading: Option<Heading>,
    /// Whether the preface, and the first settings, have come.
    pub(super) greeted: bool,
    pub(super) settled: bool,
    /// The last stream that the viewer has opened.
    pub(super) last: u32,
    pub(super) farewell: Farewell,
    /// Whether the viewer has said farewell.
    pub(super) left_by_viewer: bool,
    /// What streams begin with that the viewer opens.
    pub(super) first_window: i64,
    pub(super) send_window: i64,
    pub(super) receive_window: i64,
    /// What of the viewer's window may be given back.
    pub(super) credit: usize,
    pub(super) calm: Calm,
    recent: VecDeque<u32>,
    pub(super) papers: Vec<Paper>,
    pub(super) lanes: Vec<Lane>,
    /// Counts requests, and content that has gone.
    pub(super) progress: u64,
}

impl Connection {
    /// A connection that has sent its settings.
    pub(super) fn new(max_head_bytes: usize) -> Self {
        let mut outbox = Outbox::default();
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, u32::try_from(MAX_STREAMS).unwrap_or(u32::MAX)),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES),
            (setting::MAX_HEADER_LIST_SIZE, u32::try_from(max_head_bytes).unwrap_or(u32::MAX)),
        ];
        push_settings(outbox.own(), &settings);
        push_window_update(outbox.own(), 0, CONNECTION_WINDOW_BYTES - u32::try_from(FIRST_WINDOW).unwrap_or(0));
        Self {
            max_head_bytes,
            outbox,
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            streams: Streams::default(),
            begun: VecDeque::new(),
            sending: VecDeque::new(),
            heading: None,
            greeted: false,
            settled: false,
            last: 0,
            farewell: Farewell::None,
            left_by_viewer: false,
            first_window: FIRST_WINDOW,
            send_window: FIRST_WINDOW,
            receive_window: i64::from(CONNECTION_WINDOW_BYTES),
            credit: 0,
            calm: Calm::new(),
            recent: VecDeque::new(),
            papers: Vec::new(),
            lanes: Vec::new(),
            progress: 0,
        }
    }

    /// Whether nothing more will come of it.
    pub(super) fn is_over(&self) -> bool {
        match self.farewell {
            Farewell::Failed => true,
            Farewell::Said => self.streams.are_over(),
            Farewell::None | Farewell::Announced => self.left_by_viewer && self.streams.are_over(),
        }
    }

    /// Announces the end: requests that the viewer sends before it knows are still answered.
    pub(super) fn announce_end(&mut self) {
        if self.farewell == Farewell::None {
            self.farewell = Farewell::Announced;
            push_farewell(self.outbox.own(), MAX_ID, Reason::NoError);
            push_ping(self.outbox.own(), 0, FAREWELL_PING);
        }
    }

    /// The viewer knows: requests that come now are for another connection.
    pub(super) fn say_farewell(&mut self) {
        if self.farewell == Farewell::Announced {
            self.farewell = Farewell::Said;
            push_farewell(self.outbox.own(), self.last, Reason::NoError);
        }
    }

    /// Ends everything for `reason`.
    pub(super) fn fail(&mut self, reason: Reason) {
        if self.farewell != Farewell::Failed {
            self.farewell = Farewell::Failed;
            self.streams.clear();
            self.begun.clear();
            self.sending.clear();
            push_farewell(self.outbox.own(), self.last, reason);
        }
    }

    /// Gives the viewer `bytes` of the connection's window back.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.credit += bytes;
        if self.credit >= (CONNECTION_WINDOW_BYTES / 2) as usize {
            let bytes = std::mem::take(&mut self.credit);
            self.receive_window += i64::try_from(bytes).unwrap_or(0);
            push_window_update(self.outbox.own(), 0, u32::try_from(bytes).unwrap_or(0));
        }
    }

    /// Gives back what has been taken of a stream's body.
    pub(super) fn settle_inbox(&mut self, index: usize) {
        let stream = self.streams.get(index);
        let taken = stream.inbox.as_ref().map_or(0, |inbox| inbox.taken());
        if taken > 0 {
            self.give_back_of(index, taken);
            self.give_back(taken);
        }
    }

    /// Gives the viewer `bytes` of a stream's window back.
    pub(super) fn give_back_of(&mut self, index: usize, bytes: usize) {
        let stream = self.streams.get(index);
        stream.credit += bytes;
        if stream.open && stream.credit >= (STREAM_WINDOW_BYTES / 2) as usize {
            let bytes = std::mem::take(&mut stream.credit);
            stream.receive_window += i64::try_from(bytes).unwrap_or(0);
            push_window_update(self.outbox.own(), stream.id, u32::try_from(bytes).unwrap_or(0));
        }
    }

    /// Puts a stream with something to send in the queue.
    pub(super) fn queue(&mut self, index: usize) {
        let stream = self.streams.get(index);
        if stream.outgoing.is_some() && !stream.queued {
            stream.queued = true;
            self.sending.push_back(stream.id);
        }
    }

    /// The answer has been sent whole. What is under way of the request is passed over, as far as the viewer's window goes: there
    /// are viewers who forget an answer when a reset follows it at once.
    pub(super) fn finish(&mut self, index: usize) {
        let stream = self.streams.get(index);
        if !stream.open {
            return self.remove(index);
        }
        stream.over = true;
        stream.queued = false;
        stream.outgoing = None;
        let lane = stream.lane.take();
        let unread = stream.inbox.take().map_or(0, |inbox| inbox.abandon());
        self.keep_lane(lane);
        self.give_back(unread);
    }

    /// Ends a stream that has its answer: the rest of the request is not wanted (RFC 9113 §8.1).
    pub(super) fn dismiss(&mut self, index: usize) {
        let id = self.streams.get(index).id;
        push_reset(self.outbox.own(), id, Reason::NoError);
        self.remember(id);
        self.remove(index);
    }

    /// Ends all streams that have their answers.
    pub(super) fn dismiss_all(&mut self) {
        loop {
            let found = self.streams.iter().position(|stream| stream.over);
            let Some(index) = found else { return };
            self.dismiss(index);
        }
    }

    /// Resets a stream that is ours to blame.
    pub(super) fn break_off(&mut self, index: usize) {
        let id = self.streams.get(index).id;
        push_reset(self.outbox.own(), id, Reason::Internal);
        self.remember(id);
        self.remove(index);
    }

    /// Resets a stream for what the viewer did.
    ///
    /// # Errors
    /// It does so too often.
    pub(super) fn reject(&mut self, id: u32, reason: Reason) -> Result<(), Reason> {
        push_reset(self.outbox.own(), id, reason);
        self.remember(id);
        if let Some(index) = self.streams.find(id) {
            self.remove(index);
        }
        self.calm.provoked()
    }

    fn remember(&mut self, id: u32) {
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(id);
    }

    /// Whether we have reset the stream a moment ago: the viewer may not know.
    pub(super) fn is_recent(&self, id: u32) -> bool {
        self.recent.contains(&id)
    }

    /// Forgets a stream; what was begun for it is given up.
    pub(super) fn remove(&mut self, index: usize) {
        let Stream { asked, inbox, lane, .. } = self.streams.remove(index);
        if let Some(inbox) = inbox {
            let left = inbox.abandon();
            self.give_back(left);
        }
        if let Some(paper) = asked {
            self.keep_paper(paper);
        }
        self.keep_lane(lane);
    }

    /// A lane in the middle of a request is given up with it.
    fn keep_lane(&mut self, lane: Option<Lane>) {
        if let Some(lane) = lane.filter(|lane| lane.is_free() && self.lanes.len() < MAX_KEPT) {
            self.lanes.push(lane);
        }
    }

    pub(super) fn keep_paper(&mut self, paper: Paper) {
        if self.papers.len() < MAX_KEPT && paper.is_small() {
            self.papers.push(paper);
        }
    }

    /// Gives back what only busy connections need.
    pub(super) fn shrink(&mut self) {
        self.papers = Vec::new();
        self.lanes = Vec::new();
        self.outbox.release();
        if self.streams.len() == 0 {
            self.streams.clear();
            self.begun = VecDeque::new();
            self.sending = VecDeque::new();
            self.recent = VecDeque::new();
        }
    }
}
