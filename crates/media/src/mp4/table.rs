//! Sample tables (§8.6 and §8.7): when each sample is decoded and shown, where it lies, whether decoding may start there.
//!
//! The tables stay as they are in the file and are read entry by entry, so an index takes the memory that `moov` takes.

use std::sync::Arc;

use bytes::Bytes;

use super::boxes::need;
use super::{FourCc, MAX_TRACK_SAMPLES, Mp4Error};
use crate::{Sample, TrackKind};

/// Where a sample lies and when it is shown. Times are in the track's timescale and of the presentation: edits are in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRef {
    /// Offset in the file.
    pub offset: u64,
    /// Bytes.
    pub size: u32,
    /// Decoding time; before zero where pictures are decoded ahead of the one that is shown first.
    pub dts: i64,
    /// Presentation time.
    pub pts: i64,
    /// Time until the next sample is decoded.
    pub duration: u32,
    /// Whether decoding may start here; always true for sound.
    pub keyframe: bool,
}

impl SampleRef {
    /// The sample with its coded bytes.
    pub fn with_data(&self, kind: TrackKind, data: Bytes) -> Sample {
        Sample { kind, dts: self.dts, pts: self.pts, keyframe: self.keyframe, data }
    }
}

/// How sizes are stored.
#[derive(Debug)]
enum Sizes {
    /// All the same.
    Same(u32),
    /// Of this many bits each: 32 (`stsz`), 16, 8 or 4 (`stz2`).
    Each(u8, Bytes),
}

/// The tables of one track.
#[derive(Debug)]
pub(super) struct Tables {
    count: u32,
    sizes: Sizes,
    /// (u32 sample_count, u32 sample_delta)
    times: Bytes,
    /// (u32 sample_count, i32 sample_offset)
    offsets: Bytes,
    /// u32 sample_number; `None`: decoding may start at every sample.
    sync: Option<Bytes>,
    /// (u32 first_chunk, u32 samples_per_chunk, u32 sample_description_index)
    chunks: Bytes,
    /// Offsets of chunks, of this many bytes each: 4 (`stco`) or 8 (`co64`).
    places: (usize, Bytes),
}

impl Tables {
    /// Reads the body of `stbl`, which must be a part of `whole`.
    pub(super) fn parse(whole: &Bytes, stbl: &[u8]) -> Result<Self, Mp4Error> {
        const STBL: FourCc = FourCc(*b"stbl");
        let list = |kind: &[u8; 4], bytes: usize| match super::boxes::find(STBL, stbl, kind)? {
            None => Ok(None),
            Some(mut fields) => {
                fields.version_and_flags()?;
                let count = fields.u32()?;
                fields.entries(count, bytes).map(|table| Some(whole.slice_ref(table)))
            }
        };
        let (count, sizes) = sizes(whole, stbl)?;
        if count > MAX_TRACK_SAMPLES {
            let (count, limit) = (count.into(), MAX_TRACK_SAMPLES.into());
            return Err(Mp4Error::TooMany { what: "samples in a track", count, limit });
        }
        let missing = |kind: &[u8; 4]| Mp4Error::Missing(FourCc(*kind));
        let places = match list(b"stco", 4)? {
            Some(table) => (4, table),
            None => (8, list(b"co64", 8)?.ok_or(missing(b"stco"))?),
        };
        Ok(Self {
            count,
            sizes,
            times: list(b"stts", 8)?.ok_or(missing(b"stts"))?,
            offsets: list(b"ctts", 8)?.unwrap_or_default(),
            sync: list(b"stss", 4)?,
            chunks: list(b"stsc", 12)?.ok_or(missing(b"stsc"))?,
            places,
        })
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    fn size(&self, index: u32) -> u32 {
        let Sizes::Each(bits, table) = &self.sizes else {
            let Sizes::Same(size) = self.sizes else { return 0 };
            return size;
        };
        let at = index as usize;
        match bits {
            4 => {
                table.get(at / 2).map_or(0, |byte| u32::from(if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 }))
            }
            8 => table.get(at).map_or(0, |byte| u32::from(*byte)),
            16 => table.get(at * 2..at * 2 + 2).map_or(0, |pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))),
            _ => u32_at(table, at).unwrap_or(0),
        }
    }
}

fn sizes(whole: &Bytes, stbl: &[u8]) -> Result<(u32, Sizes), Mp4Error> {
    const STBL: FourCc = FourCc(*b"stbl");
    if let Some(mut fields) = super::boxes::find(STBL, stbl, b"stz2")? {
        fields.version_and_flags()?;
        let bits = (fields.u32()? & 0xff) as u8; // u24 reserved, u8 field_size
        let count = fields.u32()?;
        if !matches!(bits, 4 | 8 | 16) {
            return Err(fields.truncated());
        }
        let bytes = (count as usize).saturating_mul(bits.into()).div_ceil(8);
        return Ok((count, Sizes::Each(bits, whole.slice_ref(fields.take(bytes)?))));
    }
    let mut fields = need(STBL, stbl, b"stsz")?;
    fields.version_and_flags()?;
    let (same, count) = (fields.u32()?, fields.u32()?);
    if same > 0 {
        return Ok((count, Sizes::Same(same)));
    }
    Ok((count, Sizes::Each(32, whole.slice_ref(fields.entries(count, 4)?))))
}

fn u32_at(table: &[u8], index: usize) -> Option<u32> {
    let at = index.checked_mul(4)?;
    table.get(at..at + 4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
}

/// Walks a table of (count, value).
#[derive(Clone, Debug, Default)]
struct Runs {
    next_entry: usize,
    left: u32,
    value: u32,
}

impl Runs {
    /// The value of the next sample; `None` when the table has ended.
    fn next(&mut self, table: &[u8]) -> Option<u32> {
        while self.left == 0 {
            self.left = u32_at(table, self.next_entry * 2)?;
            self.value = u32_at(table, self.next_entry * 2 + 1)?;
            self.next_entry += 1;
        }
        self.left -= 1;
        Some(self.value)
    }
}

/// The samples of a track of a file that is not fragmented, in decoding order, as its tables tell.
///
/// Where the tables disagree the iterator ends with the shortest. Nothing says that the file is as long as they tell.
#[derive(Clone, Debug)]
pub struct Samples {
    tables: Arc<Tables>,
    kind: TrackKind,
    shift: i64,
    index: u32,
    dts: i64,
    times: Runs,
    last_delta: u32,
    offsets: Runs,
    next_sync: usize,
    chunk_entry: usize,
    next_chunk: usize,
    left_in_chunk: u32,
    offset: u64,
}

impl Samples {
    pub(super) fn new(tables: Arc<Tables>, kind: TrackKind, shift: i64) -> Self {
        Self {
            tables,
            kind,
            shift,
            index: 0,
            dts: 0,
            times: Runs::default(),
            last_delta: 0,
            offsets: Runs::default(),
            next_sync: 0,
            chunk_entry: 0,
            next_chunk: 0,
            left_in_chunk: 0,
            offset: 0,
        }
    }

    /// Goes on to the chunk of the next sample.
    fn enter_chunk(&mut self) -> Option<()> {
        let (tables, chunks) = (&self.tables, &self.tables.chunks);
        while self.left_in_chunk == 0 {
            let (width, places) = &tables.places;
            let at = self.next_chunk.checked_mul(*width)?;
            let place = places.get(at..at + width)?;
            self.offset = place.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
            self.next_chunk += 1;
            // Chunks are counted from 1; the entry holds until the first chunk of the next one.
            while u32_at(chunks, (self.chunk_entry + 1) * 3).is_some_and(|first| first as usize <= self.next_chunk) {
                self.chunk_entry += 1;
            }
            self.left_in_chunk = u32_at(chunks, self.chunk_entry * 3 + 1)?;
        }
        Some(())
    }

    fn is_sync(&mut self) -> bool {
        let Some(sync) = &self.tables.sync else { return true };
        // Samples are counted from 1.
        while u32_at(sync, self.next_sync).is_some_and(|number| number <= self.index) {
            self.next_sync += 1;
        }
        u32_at(sync, self.next_sync) == Some(self.index + 1)
    }
}

impl Iterator for Samples {
    type Item = SampleRef;

    fn next(&mut self) -> Option<SampleRef> {
        if self.index >= self.tables.count {
            return None;
        }
        self.enter_chunk()?;
        // Some writers leave out the last sample's time.
        let duration = self.times.next(&self.tables.times).unwrap_or(self.last_delta);
        self.last_delta = duration;
        // Version 0 has unsigned offsets, but writers put negative ones there.
        let composition = i64::from(self.offsets.next(&self.tables.offsets).unwrap_or(0) as i32);
        let keyframe = self.kind == TrackKind::Audio || self.is_sync();
        let size = self.tables.size(self.index);
        let dts = self.dts.saturating_add(self.shift);
        let sample =
            SampleRef { offset: self.offset, size, dts, pts: dts.saturating_add(composition), duration, keyframe };
        self.index += 1;
        self.left_in_chunk -= 1;
        self.offset = self.offset.saturating_add(size.into());
        self.dts = self.dts.saturating_add(duration.into());
        Some(sample)
    }
}
