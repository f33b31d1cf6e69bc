//! `moof`: the samples of a fragment (§8.8).

use super::boxes::{Boxes, Fields, need};
use super::table::SampleRef;
use super::{FourCc, MAX_FRAGMENT_SAMPLES, MAX_MOOF_BYTES, Movie, Mp4Error};
use crate::TrackKind;

const MOOF: FourCc = FourCc(*b"moof");
const TRAF: FourCc = FourCc(*b"traf");

/// `sample_is_non_sync_sample` of sample flags (§8.8.3.1).
const NON_SYNC: u32 = 0x1_0000;

/// `tf_flags` (§8.8.7).
const TFHD_BASE_OFFSET: u32 = 0x01;
const TFHD_DESCRIPTION: u32 = 0x02;
const TFHD_DURATION: u32 = 0x08;
const TFHD_SIZE: u32 = 0x10;
const TFHD_FLAGS: u32 = 0x20;
const TFHD_BASE_IS_MOOF: u32 = 0x02_0000;

/// `tr_flags` (§8.8.8).
const TRUN_DATA_OFFSET: u32 = 0x001;
const TRUN_FIRST_FLAGS: u32 = 0x004;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_OFFSET: u32 = 0x800;

/// What `trex` says of a track's samples unless a fragment says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    pub(super) track_id: u32,
    duration: u32,
    size: u32,
    flags: u32,
}

impl Defaults {
    pub(super) fn parse(mut fields: Fields<'_>) -> Result<Self, Mp4Error> {
        fields.version_and_flags()?;
        let track_id = fields.u32()?;
        fields.u32()?; // default_sample_description_index
        Ok(Self { track_id, duration: fields.u32()?, size: fields.u32()?, flags: fields.u32()? })
    }
}

/// Where the next fragment of a track goes on if it does not say: begin with the default, and hand the same to each fragment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentTime {
    /// Decoding time as it is stored, in the track's timescale.
    pub(super) next: i64,
}

impl FragmentTime {
    /// After a sample of the tables of a file that has both, or of an earlier fragment: `shift` is that of the track's edit.
    pub fn after(sample: &SampleRef, shift: i64) -> Self {
        Self { next: sample.dts.saturating_sub(shift).saturating_add(sample.duration.into()) }
    }
}

/// A track fragment that is being read.
struct Traf {
    wanted: bool,
    defaults: Defaults,
    base: u64,
    /// Where samples lie that do not say: after those before.
    end: u64,
}

impl Movie {
    /// Appends the samples of the track at `index` of [`Movie::tracks`] that the body of a `moof` tells of. `moof_at` is where the box,
    /// its head included, begins in the file.
    ///
    /// # Errors
    /// When the box is malformed, or tells of more than [`MAX_FRAGMENT_SAMPLES`]; some samples may have been appended.
    pub fn fragment(
        &self,
        index: usize,
        moof_at: u64,
        body: &[u8],
        time: &mut FragmentTime,
        out: &mut Vec<SampleRef>,
    ) -> Result<(), Mp4Error> {
        if body.len() as u64 > MAX_MOOF_BYTES {
            return Err(Mp4Error::TooLarge { kind: MOOF, bytes: body.len() as u64, limit: MAX_MOOF_BYTES });
        }
        let Some(track) = self.tracks.get(index) else { return Ok(()) };
        let Some(kind) = track.kind() else { return Ok(()) };
        let first = out.len();
        let mut end = moof_at;
        for found in Boxes::new(MOOF, body) {
            let (found, traf) = found?;
            if found != TRAF {
                continue;
            }
            let mut state = self.track_fragment(track.id, moof_at, end, need(TRAF, traf, b"tfhd")?)?;
            for found in Boxes::new(TRAF, traf) {
                let (found, body) = found?;
                let fields = Fields::new(found, body);
                match &found.0 {
                    b"tfdt" if state.wanted => time.next = decode_time(fields)?,
                    b"trun" => run(fields, &mut state, kind, track.edit.shift, time, first, out)?,
                    _ => {}
                }
            }
            end = state.end;
        }
        Ok(())
    }

    fn track_fragment(&self, wanted: u32, moof_at: u64, end: u64, mut fields: Fields<'_>) -> Result<Traf, Mp4Error> {
        let (_, flags) = fields.version_and_flags()?;
        let id = fields.u32()?;
        let mut defaults =
            self.tracks.iter().find(|track| track.id == id).map(|track| track.defaults).unwrap_or_default();
        let base = match (flags & TFHD_BASE_OFFSET != 0, flags & TFHD_BASE_IS_MOOF != 0) {
            (true, _) => fields.u64()?,
            (false, true) => moof_at,
            // The first one counts from the box, others from where the one before ended.
            (false, false) => end,
        };
        if flags & TFHD_DESCRIPTION != 0 {
            fields.u32()?;
        }
        for (flag, field) in [
            (TFHD_DURATION, &mut defaults.duration),
            (TFHD_SIZE, &mut defaults.size),
            (TFHD_FLAGS, &mut defaults.flags),
        ] {
            if flags & flag != 0 {
                *field = fields.u32()?;
            }
        }
        Ok(Traf { wanted: id == wanted, defaults, base, end: base })
    }
}

/// `tfdt` (§8.8.12).
fn decode_time(mut fields: Fields<'_>) -> Result<i64, Mp4Error> {
    let (version, _) = fields.version_and_flags()?;
    Ok(i64::try_from(fields.wide(version)?).unwrap_or(i64::MAX))
}

fn run(
    mut fields: Fields<'_>,
    traf: &mut Traf,
    kind: TrackKind,
    shift: i64,
    time: &mut FragmentTime,
    first: usize,
    out: &mut Vec<SampleRef>,
) -> Result<(), Mp4Error> {
    let (_, flags) = fields.version_and_flags()?;
    let count = fields.u32()?;
    let has = |flag| flags & flag != 0;
    if has(TRUN_DATA_OFFSET) {
        traf.end = traf.base.saturating_add_signed(i64::from(fields.u32()? as i32));
    }
    let mut first_flags = if has(TRUN_FIRST_FLAGS) { Some(fields.u32()?) } else { None };
    let total = (out.len() - first).saturating_add(count as usize);
    if total > MAX_FRAGMENT_SAMPLES {
        let limit = MAX_FRAGMENT_SAMPLES as u64;
        return Err(Mp4Error::TooMany { what: "samples in a fragment", count: total as u64, limit });
    }
    for _ in 0..count {
        let duration = if has(TRUN_DURATION) { fields.u32()? } else { traf.defaults.duration };
        let size = if has(TRUN_SIZE) { fields.u32()? } else { traf.defaults.size };
        let own_flags = if has(TRUN_FLAGS) { Some(fields.u32()?) } else { None };
        let composition = if has(TRUN_OFFSET) { i64::from(fields.u32()? as i32) } else { 0 };
        let sample_flags = first_flags.take().or(own_flags).unwrap_or(traf.defaults.flags);
        if traf.wanted {
            let dts = time.next.saturating_add(shift);
            out.push(SampleRef {
                offset: traf.end,
                size,
                dts,
                pts: dts.saturating_add(composition),
                duration,
                keyframe: kind == TrackKind::Audio || sample_flags & NON_SYNC == 0,
            });
            time.next = time.next.saturating_add(duration.into());
        }
        traf.end = traf.end.saturating_add(size.into());
    }
    Ok(())
}
