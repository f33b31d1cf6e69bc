//! Frames in: what each kind does to a connection (RFC 9113 §6).

use super::connection::{Connection, FAREWELL_PING, Farewell, Heading, MAX_STREAMS, STREAM_WINDOW_BYTES};
use super::frame::{
    FrameHead, HEAD_BYTES, MAX_FRAME_BYTES, MAX_WINDOW, Reason, flag, kind, push_ping, push_settings_ack, read_31,
    setting,
};
use super::head::{check, is_trailer};
use super::inbox::Inbox;
use super::stream::Stream;
use crate::h1::PREFACE;

/// Frames that one head may be spread over, and what they may hold besides the limit of heads.
const MAX_CONTINUATIONS: usize = 32;
const EXTRA_HEAD_BYTES: usize = 16 << 10;

/// Windows that are opened by less bring as little as a ping; larger ones have an end of their own, the largest window.
const SMALL_WINDOW_BYTES: i64 = 1 << 10;

/// Bytes of the priority that a head may begin with; it counts for nothing.
const PRIORITY_BYTES: usize = 5;

impl Connection {
    /// Takes the whole frames at the beginning of `input`; returns how many bytes they have, and how many are wanted at once for
    /// the next.
    ///
    /// # Errors
    /// The connection has to be ended for this reason.
    pub(super) fn receive(&mut self, input: &[u8]) -> Result<(usize, usize), Reason> {
        let mut used = 0;
        if !self.greeted {
            let here = &input[..input.len().min(PREFACE.len())];
            if !PREFACE.starts_with(here) {
                return Err(Reason::Protocol);
            }
            if here.len() < PREFACE.len() {
                return Ok((0, PREFACE.len()));
            }
            self.greeted = true;
            used = PREFACE.len();
        }
        while let Some(head) = FrameHead::read(&input[used..]) {
            if head.length > MAX_FRAME_BYTES {
                return Err(Reason::FrameSize);
            }
            let whole = HEAD_BYTES + head.length;
            let Some(payload) = input[used..].get(HEAD_BYTES..whole) else { return Ok((used, whole)) };
            used += whole;
            self.frame(head, payload)?;
        }
        Ok((used, HEAD_BYTES))
    }

    fn frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Reason> {
        let continues = head.kind == kind::CONTINUATION;
        // Nothing comes between the frames of a head (RFC 9113 §6.10), and settings come first (§3.4).
        if self.heading.is_some() != continues || !self.settled && (head.kind != kind::SETTINGS || head.has(flag::ACK))
        {
            return Err(Reason::Protocol);
        }
        match head.kind {
            kind::DATA => self.data(head, payload),
            kind::HEADERS => self.headers(head, payload),
            kind::PRIORITY if head.stream == 0 => Err(Reason::Protocol),
            kind::PRIORITY if head.length != PRIORITY_BYTES => Err(Reason::FrameSize),
            kind::RST_STREAM => self.reset(head, payload),
            kind::SETTINGS => self.settings(head, payload),
            kind::PUSH_PROMISE => Err(Reason::Protocol),
            kind::PING => self.ping(head, payload),
            kind::GOAWAY if head.stream != 0 => Err(Reason::Protocol),
            kind::GOAWAY if head.length < 8 => Err(Reason::FrameSize),
            kind::GOAWAY => {
                self.left_by_viewer = true;
                self.calm.noise()
            }
            kind::WINDOW_UPDATE => self.window(head, payload),
            kind::CONTINUATION => self.continuation(head, payload),
            _ => self.calm.noise(),
        }
    }

    /// Whether no stream of this id has been opened.
    fn is_idle(&self, id: u32) -> bool {
        id > self.last || id.is_multiple_of(2)
    }

    fn headers(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Reason> {
        if head.stream.is_multiple_of(2) {
            return Err(Reason::Protocol);
        }
        let mut block = head.unpad(payload)?;
        if head.has(flag::PRIORITY) {
            block = block.get(PRIORITY_BYTES..).ok_or(Reason::FrameSize)?;
        }
        let end_stream = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.block(head.stream, end_stream, block);
        }
        self.heading = Some(Heading { stream: head.stream, end_stream, block: block.to_vec(), frames: 0 });
        Ok(())
    }

    fn continuation(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Reason> {
        let Some(mut heading) = self.heading.take().filter(|heading| heading.stream == head.stream) else {
            return Err(Reason::Protocol);
        };
        heading.frames += 1;
        let bytes = heading.block.len() + payload.len();
        if heading.frames > MAX_CONTINUATIONS || bytes > 2 * self.max_head_bytes + EXTRA_HEAD_BYTES {
            return Err(Reason::EnhanceYourCalm);
        }
        heading.block.extend_from_slice(payload);
        if head.has(flag::END_HEADERS) {
            return self.block(heading.stream, heading.end_stream, &heading.block);
        }
        self.heading = Some(heading);
        Ok(())
    }

    /// A whole head: a request, or the end of one.
    fn block(&mut self, id: u32, end_stream: bool, block: &[u8]) -> Result<(), Reason> {
        let mut paper = self.papers.pop().unwrap_or_default();
        // What is not wanted is read all the same: it changes the table.
        self.decoder.decode(block, self.max_head_bytes, &mut paper.block).map_err(|_| Reason::Compression)?;
        if let Some(index) = self.streams.find(id) {
            let trailer = end_stream && is_trailer(&paper.block);
            self.keep_paper(paper);
            return match self.streams.get(index).open {
                true if trailer => self.end_request(index),
                true => self.reject(id, Reason::Protocol),
                false => self.reject(id, Reason::StreamClosed),
            };
        }
        if id <= self.last {
            self.keep_paper(paper);
            return if self.is_recent(id) { self.calm.noise() } else { Err(Reason::StreamClosed) };
        }
        if matches!(self.farewell, Farewell::Said | Farewell::Failed) {
            self.keep_paper(paper);
            return self.calm.noise();
        }
        self.last = id;
        if self.streams.len() >= MAX_STREAMS {
            self.keep_paper(paper);
            return self.reject(id, Reason::RefusedStream);
        }
        let length = if paper.block.is_over() { Ok(None) } else { check(&paper.block) };
        let Some(length) = length.ok().filter(|length| !end_stream || length.unwrap_or(0) == 0) else {
            self.keep_paper(paper);
            return self.reject(id, Reason::Protocol);
        };
        self.streams.insert(Stream {
            id,
            asked: Some(paper),
            open: !end_stream,
            inbox: (!end_stream).then(Default::default),
            length,
            left: length.unwrap_or(0),
            receive_window: i64::from(STREAM_WINDOW_BYTES),
            credit: 0,
            send_window: self.first_window,
            lane: None,
            outgoing: None,
            queued: false,
            over: false,
        });
        self.begun.push_back(id);
        self.progress += 1;
        Ok(())
    }

    /// The request has come whole.
    fn end_request(&mut self, index: usize) -> Result<(), Reason> {
        let stream = self.streams.get(index);
        if stream.over {
            self.remove(index);
            return Ok(());
        }
        if stream.length.is_some() && stream.left > 0 {
            let id = stream.id;
            return self.reject(id, Reason::Protocol);
        }
        stream.open = false;
        if let Some(inbox) = &stream.inbox {
            Inbox::end(inbox);
        }
        Ok(())
    }

    fn data(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Reason> {
        if self.is_idle(head.stream) {
            return Err(Reason::Protocol);
        }
        let bytes = head.unpad(payload)?;
        let whole = i64::try_from(payload.len()).unwrap_or(i64::MAX);
        self.receive_window -= whole;
        if self.receive_window < 0 {
            return Err(Reason::FlowControl);
        }
        let Some(index) = self.streams.find(head.stream) else {
            self.give_back(payload.len());
            return if self.is_recent(head.stream) {
                self.calm.noise()
            } else {
                self.reject(head.stream, Reason::StreamClosed)
            };
        };
        let stream = self.streams.get(index);
        stream.receive_window -= whole;
        if stream.over && stream.receive_window >= 0 {
            let last = stream.receive_window < i64::try_from(MAX_FRAME_BYTES).unwrap_or(0);
            self.give_back(payload.len());
            if head.has(flag::END_STREAM) {
                self.remove(index);
            } else if last {
                self.dismiss(index);
            }
            return self.calm.noise();
        }
        let length = bytes.len() as u64;
        let wrong = if !stream.open {
            Some(Reason::StreamClosed)
        } else if stream.receive_window < 0 {
            Some(Reason::FlowControl)
        } else if stream.length.is_some() && length > stream.left {
            Some(Reason::Protocol)
        } else {
            None
        };
        if let Some(reason) = wrong {
            self.give_back(payload.len());
            return self.reject(head.stream, reason);
        }
        stream.left = stream.left.saturating_sub(length);
        if let Some(inbox) = stream.inbox.as_ref().filter(|_| !bytes.is_empty()) {
            inbox.put(bytes);
        }
        let padding = payload.len() - bytes.len();
        if padding > 0 {
            self.give_back_of(index, padding);
            self.give_back(padding);
        }
        if head.has(flag::END_STREAM) {
            return self.end_request(index);
        }
        if bytes.is_empty() {
            return self.calm.noise();
        }
        self.calm.useful();
        Ok(())
    }

    fn reset(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Reason> {
        if self.is_idle(head.stream) {
            return Err(Reason::Protocol);
        }
        if payload.len() != 4 {
            return Err(Reason::FrameSize);
        }
        let Some(index) = self.streams.find(head.stream) else { return self.calm.noise() };
        let stream = self.streams.get(index);
        let (early, answered) = (stream.asked.is_some(), stream.outgoing.is_some() || stream.over);
        self.remove(index);
        match (early, answered) {
            (true, _) => self.calm.early(),
            (false, false) => self.calm.abandoned(),
            (false, true) => Ok(()),
        }
    }

    fn settings(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Reason> {
        if head.stream != 0 {
            return Err(Reason::Protocol);
        }
        if head.has(flag::ACK) {
            return if payload.is_empty() { self.calm.noise() } else { Err(Reason::FrameSize) };
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Reason::FrameSize);
        }
        for [id_high, id_low, value @ ..] in settings {
            self.setting(u16::from_be_bytes([*id_high, *id_low]), u32::from_be_bytes(*value))?;
        }
        self.settled = true;
        push_settings_ack(self.outbox.own());
        self.calm.noise()
    }

    fn setting(&mut self, id: u16, value: u32) -> Result<(), Reason> {
        match id {
            setting::HEADER_TABLE_SIZE => self.encoder.allow(usize::try_from(value).unwrap_or(usize::MAX)),
            setting::ENABLE_PUSH if value > 1 => return Err(Reason::Protocol),
            setting::INITIAL_WINDOW_SIZE => {
                let window = i64::from(value);
                if window > MAX_WINDOW {
                    return Err(Reason::FlowControl);
                }
                let more = window - self.first_window;
                self.first_window = window;
                for stream in self.streams.iter_mut() {
                    stream.send_window += more;
                    if stream.send_window > MAX_WINDOW {
                        return Err(Reason::FlowControl);
                    }
                }
                for index in 0..self.streams.len() {
                    self.queue(index);
                }
            }
            // Larger frames than everybody takes are not sent.
            setting::MAX_FRAME_SIZE if !(16_384..1 << 24).contains(&value) => return Err(Reason::Protocol),
            _ => {}
        }
        Ok(())
    }

    fn ping(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Reason> {
        if head.stream != 0 {
            return Err(Reason::Protocol);
        }
        let payload: [u8; 8] = payload.try_into().map_err(|_| Reason::FrameSize)?;
        if !head.has(flag::ACK) {
            push_ping(self.outbox.own(), flag::ACK, payload);
        } else if payload == FAREWELL_PING {
            self.say_farewell();
        }
        self.calm.noise()
    }

    fn window(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), Reason> {
        let more = i64::from(read_31(payload).ok_or(Reason::FrameSize)?);
        if more < SMALL_WINDOW_BYTES {
            self.calm.noise()?;
        }
        if head.stream == 0 {
            self.send_window += more;
            return match more {
                0 => Err(Reason::Protocol),
                _ if self.send_window > MAX_WINDOW => Err(Reason::FlowControl),
                _ => Ok(()),
            };
        }
        if self.is_idle(head.stream) {
            return Err(Reason::Protocol);
        }
        let Some(index) = self.streams.find(head.stream) else { return self.calm.noise() };
        let stream = self.streams.get(index);
        stream.send_window += more;
        if more == 0 {
            return self.reject(head.stream, Reason::Protocol);
        }
        if stream.send_window > MAX_WINDOW {
            return self.reject(head.stream, Reason::FlowControl);
        }
        self.queue(index);
        Ok(())
    }
}
