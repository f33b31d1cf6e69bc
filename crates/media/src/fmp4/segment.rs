//! Media segments: `styp`, `moof` and the head of `mdat`.

use super::boxes::Writer;
use super::{MAX_SEGMENT_BYTES, MAX_SEGMENT_SAMPLES, TRACK_ID, WriteError};
use crate::{Track, TrackKind};

/// What `trun` says of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentSample {
    /// Bytes.
    pub size: u32,
    /// Time until the next sample's decoding time, in the timescale of the init section.
    pub duration: u32,
    /// Presentation time minus decoding time, in the timescale of the init section.
    pub composition_offset: i32,
    /// Whether decoding may start here.
    pub keyframe: bool,
}

/// `tf_flags` of `tfhd` (ISO/IEC 14496-12 §8.8.7).
const TFHD_DURATION: u32 = 0x08;
const TFHD_SIZE: u32 = 0x10;
const TFHD_FLAGS: u32 = 0x20;
const TFHD_BASE_IS_MOOF: u32 = 0x02_0000;

/// `tr_flags` of `trun` (§8.8.8).
const TRUN_DATA_OFFSET: u32 = 0x001;
const TRUN_FIRST_FLAGS: u32 = 0x004;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_OFFSET: u32 = 0x800;

/// Sample flags (§8.8.3.1): `sample_depends_on` = 2 (on no other), or = 1 with `sample_is_non_sync_sample`.
const SYNC: u32 = 0x0200_0000;
const NON_SYNC: u32 = 0x0101_0000;

/// Bytes of a box header.
const BOX_HEADER: u32 = 8;

/// Bytes of `styp`, which a segment begins with.
pub const SEGMENT_TYPE_BYTES: usize = 24;

/// Everything of a CMAF segment before its sample data: the segment is this head and the data of `samples`, joined in order.
///
/// The segment holds one fragment. `sequence` is the number of the fragment in the file that segments make, going up;
/// `base_decode_time` is the decoding time of the first sample in the timescale of the init section. Whatever is the same
/// for all samples is said once: of sound with constant frames only the sizes are listed.
///
/// # Errors
/// Without samples, and above [`MAX_SEGMENT_BYTES`] or [`MAX_SEGMENT_SAMPLES`].
pub fn segment_head(
    sequence: u32,
    base_decode_time: u64,
    samples: &[FragmentSample],
    track: &Track,
) -> Result<Vec<u8>, WriteError> {
    let mut w = Writer::default();
    // `msix` would promise a segment index, which segments that begin with their only fragment do without.
    w.plain(b"styp", |w| {
        w.put(b"msdh"); // major_brand
        w.u32(0); // minor_version
        w.put(b"msdhcmfs"); // compatible_brands
    });
    fragment(&mut w, sequence, base_decode_time, samples, track)?;
    Ok(w.into_bytes())
}

/// The head of a further fragment of the same segment (a CMAF chunk): as [`segment_head`], without `styp`.
///
/// # Errors
/// As [`segment_head`].
pub fn fragment_head(
    sequence: u32,
    base_decode_time: u64,
    samples: &[FragmentSample],
    track: &Track,
) -> Result<Vec<u8>, WriteError> {
    let mut w = Writer::default();
    fragment(&mut w, sequence, base_decode_time, samples, track)?;
    Ok(w.into_bytes())
}

fn fragment(
    w: &mut Writer,
    sequence: u32,
    base_decode_time: u64,
    samples: &[FragmentSample],
    track: &Track,
) -> Result<(), WriteError> {
    if samples.is_empty() {
        return Err(WriteError::Empty);
    }
    if samples.len() > MAX_SEGMENT_SAMPLES {
        return Err(WriteError::Samples { samples: samples.len() });
    }
    let bytes = samples.iter().map(|sample| u64::from(sample.size)).sum();
    if bytes > MAX_SEGMENT_BYTES {
        return Err(WriteError::SegmentLength { bytes });
    }
    let moof_at = w.len();
    let mut offset_at = 0;
    w.plain(b"moof", |w| {
        w.full(b"mfhd", 0, 0, |w| w.u32(sequence));
        w.plain(b"traf", |w| {
            let shape = Shape::of(samples, track.kind);
            shape.fragment_header(w);
            w.full(b"tfdt", 1, 0, |w| w.u64(base_decode_time));
            offset_at = shape.run(w, samples);
        });
    });
    // Sample data starts behind the header of `mdat`; default-base-is-moof counts from the start of `moof`.
    let offset = u32::try_from(w.len() - moof_at).expect("the sample limit keeps moof below 4 GiB") + BOX_HEADER;
    w.patch(offset_at, offset);
    w.u32(bytes as u32 + BOX_HEADER);
    w.put(b"mdat");
    Ok(())
}

/// How flags are told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flags {
    /// The same for all samples.
    Same(u32),
    /// A keyframe, then none.
    FirstSync,
    /// One by one.
    Each,
}

/// What is said once, and what is said for each sample.
struct Shape {
    duration: Option<u32>,
    size: Option<u32>,
    flags: Flags,
    offsets: bool,
}

impl Shape {
    fn of(samples: &[FragmentSample], kind: TrackKind) -> Self {
        let first = samples[0];
        let flags = match kind {
            TrackKind::Audio => Flags::Same(SYNC),
            TrackKind::Video if samples.iter().all(|sample| sample.keyframe == first.keyframe) => {
                Flags::Same(sample_flags(&first))
            }
            TrackKind::Video if first.keyframe && samples[1..].iter().all(|sample| !sample.keyframe) => {
                Flags::FirstSync
            }
            TrackKind::Video => Flags::Each,
        };
        Self {
            duration: samples.iter().all(|sample| sample.duration == first.duration).then_some(first.duration),
            size: samples.iter().all(|sample| sample.size == first.size).then_some(first.size),
            flags,
            offsets: samples.iter().any(|sample| sample.composition_offset != 0),
        }
    }

    /// `TrackFragmentHeaderBox`.
    fn fragment_header(&self, w: &mut Writer) {
        let default_flags = match self.flags {
            Flags::Same(flags) => Some(flags),
            Flags::FirstSync => Some(NON_SYNC),
            Flags::Each => None,
        };
        let fields = [(TFHD_DURATION, self.duration), (TFHD_SIZE, self.size), (TFHD_FLAGS, default_flags)];
        let present = fields.iter().filter(|(_, value)| value.is_some()).map(|(flag, _)| flag).sum::<u32>();
        w.full(b"tfhd", 0, TFHD_BASE_IS_MOOF | present, |w| {
            w.u32(TRACK_ID);
            // default_sample_duration, default_sample_size, default_sample_flags
            for value in fields.iter().filter_map(|(_, value)| *value) {
                w.u32(value);
            }
        });
    }

    /// `TrackRunBox`, version 1 for signed offsets. Answers where `data_offset` stands.
    fn run(&self, w: &mut Writer, samples: &[FragmentSample]) -> usize {
        let fields = [
            (TRUN_FIRST_FLAGS, self.flags == Flags::FirstSync),
            (TRUN_DURATION, self.duration.is_none()),
            (TRUN_SIZE, self.size.is_none()),
            (TRUN_FLAGS, self.flags == Flags::Each),
            (TRUN_OFFSET, self.offsets),
        ];
        let present = fields.iter().filter(|(_, present)| *present).map(|(flag, _)| flag).sum::<u32>();
        let has = |flag| present & flag != 0;
        let mut offset_at = 0;
        w.full(b"trun", 1, TRUN_DATA_OFFSET | present, |w| {
            w.u32(samples.len() as u32); // sample_count
            offset_at = w.len();
            w.u32(0); // data_offset, known when moof is whole
            if has(TRUN_FIRST_FLAGS) {
                w.u32(SYNC); // first_sample_flags
            }
            for sample in samples {
                if has(TRUN_DURATION) {
                    w.u32(sample.duration); // sample_duration
                }
                if has(TRUN_SIZE) {
                    w.u32(sample.size); // sample_size
                }
                if has(TRUN_FLAGS) {
                    w.u32(sample_flags(sample)); // sample_flags
                }
                if has(TRUN_OFFSET) {
                    w.u32(sample.composition_offset as u32); // sample_composition_time_offset, two's complement
                }
            }
        });
        offset_at
    }
}

fn sample_flags(sample: &FragmentSample) -> u32 {
    if sample.keyframe { SYNC } else { NON_SYNC }
}
