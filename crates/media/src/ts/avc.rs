//! H.264 as a byte stream (ITU-T H.264 annex B).

use super::TsError;
use crate::codec::{ByteReader, NalUnits, avc};

/// `nal_unit_type` (ITU-T H.264 table 7-1).
const SPS: u8 = 7;
const PPS: u8 = 8;
const ACCESS_UNIT_DELIMITER: u8 = 9;

/// Access unit delimiter with `primary_pic_type` = 7: any slices.
const DELIMITER: [u8; 6] = [0, 0, 0, 1, 9, 0xf0];

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Turns length-prefixed pictures into byte streams.
#[derive(Debug)]
pub(super) struct AnnexB {
    length_bytes: u8,
    /// Parameter sets with their start codes.
    sets: Vec<u8>,
}

impl AnnexB {
    /// From an `avcC`; `None` if it cannot be read.
    pub(super) fn new(config: &[u8]) -> Option<Self> {
        let length_bytes = avc::parse(config).ok()?.nal_length_bytes;
        let mut reader = ByteReader::new(config);
        reader.take(5).ok()?;
        let mut sets = Vec::new();
        for mask in [0x1f, 0xff] {
            for _ in 0..reader.u8().ok()? & mask {
                let length = reader.u16().ok()?;
                sets.extend_from_slice(&START_CODE);
                sets.extend_from_slice(reader.take(length.into()).ok()?);
            }
        }
        Some(Self { length_bytes, sets })
    }

    pub(super) fn convert(&self, sample: &[u8], keyframe: bool, out: &mut Vec<u8>) -> Result<(), TsError> {
        out.reserve(sample.len() + self.sets.len() + 64);
        out.extend_from_slice(&DELIMITER);
        if keyframe {
            out.extend_from_slice(&self.sets);
        }
        for unit in NalUnits::new(sample, self.length_bytes) {
            let unit = unit.ok_or(TsError::NalUnits)?;
            let Some(&header) = unit.first() else { continue };
            let kind = header & 0x1f;
            // Delimiters stand first and once; parameter sets that were written are not repeated.
            let is_known = keyframe && matches!(kind, SPS | PPS) && contains(&self.sets, unit);
            if kind == ACCESS_UNIT_DELIMITER || is_known {
                continue;
            }
            out.extend_from_slice(&START_CODE);
            out.extend_from_slice(unit);
        }
        Ok(())
    }
}

fn contains(sets: &[u8], unit: &[u8]) -> bool {
    sets.windows(unit.len()).any(|window| window == unit)
}
