//! Bodies: an append-only list of byte strings, read by offset.

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};

/// Strings shorter than this are joined once so many bytes of them have come.
const JOIN_BYTES: usize = 1 << 20;

/// A body, whole or still growing. Reading by offset stays right while short strings are joined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments {
    parts: Vec<Bytes>,
    starts: Vec<u64>,
    length: u64,
    /// Index of the first part that is not joined yet.
    loose: usize,
    /// Parts before this index have been given back.
    discarded: usize,
}

impl Segments {
    /// A body of one string.
    pub(crate) fn one(bytes: Bytes) -> Self {
        let mut all = Self::default();
        all.push(bytes);
        all
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.starts.push(self.length);
        self.length += bytes.len() as u64;
        self.parts.push(bytes);
        if self.length - self.starts[self.loose] >= JOIN_BYTES as u64 {
            self.join();
        }
    }

    /// Gives the memory of parts that end at or before `offset` back; what they held can no longer be read, nor joined.
    pub(crate) fn discard(&mut self, offset: u64) {
        while self.starts.get(self.discarded + 1).is_some_and(|&end| end <= offset) {
            self.parts[self.discarded] = Bytes::new();
            self.discarded += 1;
        }
        self.loose = self.loose.max(self.discarded);
    }

    /// Copies the loose tail into one string of exactly its size: what stays in memory is then what is counted.
    pub(crate) fn join(&mut self) {
        let Some(&start) = self.starts.get(self.loose) else { return };
        let mut joined = BytesMut::with_capacity(usize::try_from(self.length - start).unwrap_or(0));
        for part in self.parts.drain(self.loose..) {
            joined.extend_from_slice(&part);
        }
        self.starts.truncate(self.loose + 1);
        self.parts.push(joined.freeze());
        self.loose = self.parts.len();
        debug_assert_eq!(self.starts.len(), self.parts.len());
    }

    /// The longest string at `offset`, cut at `end`; nothing at or past either.
    pub(crate) fn at(&self, offset: u64, end: u64) -> Option<Bytes> {
        let (index, skip) = self.find(offset)?;
        let part = &self.parts[index];
        let take = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).min(part.len() - skip);
        if take == 0 { None } else { Some(part.slice(skip..skip + take)) }
    }

    /// Fills `slices` from index `used` with the bytes of `offset..end` and returns how many slices are used then.
    pub(crate) fn fill<'a>(&'a self, offset: u64, end: u64, slices: &mut [IoSlice<'a>], mut used: usize) -> usize {
        let Some((first, mut skip)) = self.find(offset) else { return used };
        let mut left = end.saturating_sub(offset);
        for part in &self.parts[first..] {
            if used == slices.len() || left == 0 {
                break;
            }
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(part.len() - skip);
            slices[used] = IoSlice::new(&part[skip..skip + take]);
            left -= take as u64;
            used += 1;
            skip = 0;
        }
        used
    }

    /// All bytes in one string; copies only if there are several.
    pub(crate) fn contiguous(&self) -> Bytes {
        match self.parts.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => {
                let mut all = BytesMut::with_capacity(usize::try_from(self.length).unwrap_or(0));
                many.iter().for_each(|part| all.extend_from_slice(part));
                all.freeze()
            }
        }
    }

    fn find(&self, offset: u64) -> Option<(usize, usize)> {
        if offset >= self.length {
            return None;
        }
        let index = self.starts.partition_point(|&start| start <= offset).checked_sub(1)?;
        Some((index, usize::try_from(offset - self.starts[index]).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(all: &Segments, mut offset: u64, end: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(bytes) = all.at(offset, end) {
            offset += bytes.len() as u64;
            out.extend_from_slice(&bytes);
        }
        out
    }

    #[test]
    fn offsets_stay_right_across_joins() {
        let whole: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut all = Segments::default();
        for (count, chunk) in whole.chunks(70_001).enumerate() {
            all.push(Bytes::copy_from_slice(chunk));
            if count == 3 {
                all.join();
            }
        }
        assert_eq!(all.length(), 3_000_000);
        assert_eq!(read(&all, 0, u64::MAX), whole);
        assert_eq!(read(&all, 1_048_570, 1_500_000), whole[1_048_570..1_500_000]);
        all.join();
        assert_eq!(all.contiguous(), whole);
        assert!(all.parts.len() < 6, "short strings are joined");
        let mut slices = [IoSlice::new(&[]); 4];
        let used = all.fill(10, 2_000_000, &mut slices, 1);
        assert_eq!(slices[1..used].iter().flat_map(|s| s.to_vec()).collect::<Vec<_>>(), whole[10..2_000_000]);
    }

    #[test]
    fn past_the_end_is_nothing() {
        let all = Segments::one(Bytes::from_static(b"abc"));
        assert_eq!(all.at(3, 9), None);
        assert_eq!(all.at(1, 1), None);
        assert_eq!(all.at(1, 2).unwrap(), "b");
        assert_eq!(Segments::default().contiguous(), "");
    }
}
