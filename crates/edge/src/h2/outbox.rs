//! Frames that wait for the wire.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use super::frame::{flag, kind, push_head};

/// Content up to this length is copied between the heads of its frames: one string more is dearer than the copy.
const COPIED_BYTES: usize = 4 << 10;

/// What an empty outbox keeps of its memory.
const KEPT_BYTES: usize = 16 << 10;

/// A queue of bytes of the front's own and of content that lies elsewhere.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    own: Vec<u8>,
    /// How much of `own` has gone.
    gone: usize,
    /// Content, each with the place in `own` that it comes before.
    shared: VecDeque<(usize, Bytes)>,
    shared_bytes: usize,
}

impl Outbox {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.own.len() - self.gone + self.shared_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where frames are appended.
    pub(super) fn own(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// Appends a frame of content.
    pub(super) fn data(&mut self, stream: u32, bytes: Bytes, last: bool) {
        push_head(&mut self.own, bytes.len(), kind::DATA, if last { flag::END_STREAM } else { 0 }, stream);
        if bytes.len() <= COPIED_BYTES {
            self.own.extend_from_slice(&bytes);
        } else {
            self.shared_bytes += bytes.len();
            self.shared.push_back((self.own.len(), bytes));
        }
    }

    /// Fills `slices` from the front of the queue; returns how many.
    pub(super) fn slices<'o>(&'o self, slices: &mut [IoSlice<'o>]) -> usize {
        let (mut at, mut used) = (self.gone, 0);
        for (place, bytes) in &self.shared {
            if at < *place {
                if used == slices.len() {
                    return used;
                }
                slices[used] = IoSlice::new(&self.own[at..*place]);
                used += 1;
                at = *place;
            }
            if used == slices.len() {
                return used;
            }
            slices[used] = IoSlice::new(bytes);
            used += 1;
        }
        if at < self.own.len() && used < slices.len() {
            slices[used] = IoSlice::new(&self.own[at..]);
            used += 1;
        }
        used
    }

    /// Takes `count` bytes off the front.
    pub(super) fn consume(&mut self, mut count: usize) {
        while count > 0 {
            let until = self.shared.front().map_or(self.own.len(), |(place, _)| *place);
            let own = count.min(until - self.gone);
            self.gone += own;
            count -= own;
            let Some((_, bytes)) = self.shared.front_mut().filter(|_| count > 0) else { break };
            let take = count.min(bytes.len());
            bytes::Buf::advance(bytes, take);
            self.shared_bytes -= take;
            count -= take;
            if bytes.is_empty() {
                self.shared.pop_front();
            }
        }
        if self.gone == self.own.len() && self.shared.is_empty() {
            self.gone = 0;
            self.own.clear();
            self.own.shrink_to(KEPT_BYTES);
        }
    }

    /// Gives the memory of an empty queue back.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn bytes_leave_in_order(
            pieces in proptest::collection::vec((0_usize..9000, proptest::bool::ANY), 1..30),
            steps in proptest::collection::vec(1_usize..20_000, 1..30),
        ) {
            let (mut outbox, mut wanted, mut got) = (Outbox::default(), Vec::new(), Vec::new());
            let mut steps = steps.iter().cycle();
            let mut leave = |outbox: &mut Outbox, got: &mut Vec<u8>| {
                let mut slices = [IoSlice::new(&[]); 5];
                let used = outbox.slices(&mut slices);
                let all: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
                let take = all.len().min(*steps.next().unwrap());
                got.extend_from_slice(&all[..take]);
                outbox.consume(take);
            };
            for (number, (length, data)) in pieces.into_iter().enumerate() {
                let bytes = vec![u8::try_from(number).unwrap(); length];
                if data {
                    push_head(&mut wanted, length, kind::DATA, 0, 3);
                    outbox.data(3, bytes.clone().into(), false);
                } else {
                    outbox.own().extend_from_slice(&bytes);
                }
                wanted.extend(bytes);
                assert_eq!(outbox.len(), wanted.len() - got.len());
                leave(&mut outbox, &mut got);
            }
            while !outbox.is_empty() {
                leave(&mut outbox, &mut got);
            }
            assert!(got == wanted);
        }
    }
}
