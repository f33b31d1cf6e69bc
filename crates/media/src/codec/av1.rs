//! AV1: AV1CodecConfigurationRecord and sequence header OBU.

use super::{ConfigError, ConfigFault, PictureSize, Video, check_length, check_size};
use crate::bits::{BitReader, EndOfBits};

/// `obu_type` of a sequence header (AV1 §6.2.2).
const OBU_SEQUENCE_HEADER: u8 = 1;

/// `obu_type` of a temporal delimiter.
const OBU_TEMPORAL_DELIMITER: u8 = 2;

/// Reads an `av1C` (AV1-ISOBMFF §2.3.3). The record must hold the sequence header: the picture size stands nowhere else.
pub(crate) fn parse(record: &[u8]) -> Result<Video, ConfigError> {
    read(record).map_err(|fault| fault.of("av1C"))
}

/// Length of the temporal delimiters at the head of a temporal unit, which an MP4 sample must not have (AV1-ISOBMFF §2.4).
pub(crate) fn delimiter_bytes(sample: &[u8]) -> usize {
    let mut at = 0;
    while let Some(obu) = Obu::read(&sample[at..]) {
        if obu.kind != OBU_TEMPORAL_DELIMITER {
            break;
        }
        at += obu.total_bytes;
    }
    at
}

fn read(record: &[u8]) -> Result<Video, ConfigFault> {
    check_length(record)?;
    // 1 bit marker = 1, 7 bits version = 1
    // 3 bits seq_profile, 5 bits seq_level_idx_0
    // 1 bit each: seq_tier_0, high_bitdepth, twelve_bit, monochrome, chroma_subsampling_x, _y; 2 bits sample position
    // 3 bits reserved, 1 bit initial_presentation_delay_present, 4 bits initial_presentation_delay_minus_one
    // configOBUs to the end
    let &[version, profile_level, format, _, ref obus @ ..] = record else {
        return Err(ConfigFault::Truncated { byte: record.len() });
    };
    if version != 0x81 {
        return Err(ConfigFault::Value { field: "marker and version", value: version.into() });
    }
    let (profile, level) = (profile_level >> 5, profile_level & 0x1f);
    let tier = if format & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (format & 0x40 != 0, format & 0x20 != 0) {
        (true, true) => 12,
        (true, false) => 10,
        (false, _) => 8,
    };
    let mut rest = obus;
    while let Some(obu) = Obu::read(rest) {
        if obu.kind == OBU_SEQUENCE_HEADER {
            let size = picture_size(obu.payload)?;
            // AV1-ISOBMFF §5: profile, level and tier, bit depth; the optional fields keep their defaults.
            let codecs = format!("av01.{profile}.{level:02}{tier}.{depth:02}");
            return Ok(Video { codecs, size, nal_length_bytes: 0 });
        }
        rest = &rest[obu.total_bytes..];
    }
    Err(ConfigFault::Missing("sequence header OBU"))
}

/// One open bitstream unit (AV1 §5.3).
struct Obu<'a> {
    kind: u8,
    payload: &'a [u8],
    total_bytes: usize,
}

impl<'a> Obu<'a> {
    /// The unit at the head of `data`; `None` when there is none or it is cut off.
    fn read(data: &'a [u8]) -> Option<Self> {
        // 1 bit forbidden, 4 bits obu_type, 1 bit has_extension, 1 bit has_size_field, 1 bit reserved
        let header = *data.first()?;
        let mut at = if header & 4 == 0 { 1 } else { 2 };
        let kind = (header >> 3) & 0xf;
        if header & 2 == 0 {
            return Some(Self { kind, payload: data.get(at..)?, total_bytes: data.len() });
        }
        let mut size = 0_u64;
        for index in 0..8 {
            let byte = *data.get(at)?;
            at += 1;
            size |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let end = at.checked_add(usize::try_from(size).ok()?)?;
                return Some(Self { kind, payload: data.get(at..end)?, total_bytes: end });
            }
        }
        None
    }
}

/// `sequence_header_obu` (AV1 §5.5.1) up to the largest frame size.
fn picture_size(payload: &[u8]) -> Result<PictureSize, ConfigFault> {
    let mut bits = BitReader::new(payload);
    bits.skip(3 + 1)?; // seq_profile, still_picture
    if bits.flag()? {
        bits.skip(5)?; // reduced_still_picture_header: seq_level_idx[0]
    } else {
        skip_operating_points(&mut bits)?;
    }
    let width_bits = bits.bits(4)? + 1;
    let height_bits = bits.bits(4)? + 1;
    let width = i64::from(bits.bits(width_bits)?) + 1;
    let height = i64::from(bits.bits(height_bits)?) + 1;
    check_size(width, height)
}

fn skip_operating_points(bits: &mut BitReader<'_>) -> Result<(), EndOfBits> {
    let mut buffer_delay_bits = None;
    if bits.flag()? {
        bits.skip(32 + 32)?; // num_units_in_display_tick, time_scale
        if bits.flag()? {
            skip_uvlc(bits)?; // num_ticks_per_picture_minus_1
        }
        if bits.flag()? {
            buffer_delay_bits = Some(bits.bits(5)? as usize + 1);
            bits.skip(32 + 5 + 5)?; // num_units_in_decoding_tick, lengths of removal and presentation time
        }
    }
    let display_delay = bits.flag()?;
    for _ in 0..=bits.bits(5)? {
        bits.skip(12)?; // operating_point_idc
        if bits.bits(5)? > 7 {
            bits.skip(1)?; // seq_tier
        }
        if let Some(delay_bits) = buffer_delay_bits
            && bits.flag()?
        {
            bits.skip(2 * delay_bits + 1)?; // decoder and encoder buffer delay, low_delay_mode_flag
        }
        if display_delay && bits.flag()? {
            bits.skip(4)?; // initial_display_delay_minus_1
        }
    }
    Ok(())
}

/// `uvlc()` (AV1 §4.10.3).
fn skip_uvlc(bits: &mut BitReader<'_>) -> Result<(), EndOfBits> {
    let mut zeros = 0;
    while !bits.flag()? {
        zeros += 1;
    }
    if zeros < 32 { bits.skip(zeros) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `av1C` with a sequence header of 1280x720, Main profile, level index 5, 8 bits.
    pub(crate) fn av1c_720p() -> Vec<u8> {
        let mut bits = crate::bits::BitWriter::default();
        bits.bits(0, 3 + 1 + 1); // profile, still picture, reduced header
        bits.bits(0, 1 + 1); // no timing info, no display delay
        bits.bits(0, 5 + 12); // one operating point
        bits.bits(5, 5); // level
        bits.bits(10, 4);
        bits.bits(9, 4);
        bits.bits(1279, 11);
        bits.bits(719, 10);
        bits.bits(0, 24);
        let header = bits.into_bytes();
        let mut record = vec![0x81, 0x05, 0x0c, 0x00, 0x0a, header.len() as u8];
        record.extend_from_slice(&header);
        record
    }

    #[test]
    fn size_and_codecs() {
        let video = parse(&av1c_720p()).unwrap();
        assert_eq!(video, Video { codecs: "av01.0.05M.08".into(), size: (1280, 720), nal_length_bytes: 0 });
        let mut ten_bits = av1c_720p();
        ten_bits[1] = 0x2d;
        ten_bits[2] = 0xcc;
        assert_eq!(parse(&ten_bits).unwrap().codecs, "av01.1.13H.10");
    }

    #[test]
    fn a_sequence_header_is_needed() {
        assert_eq!(parse(&[0x81, 5, 0xc, 0]).unwrap_err().fault, ConfigFault::Missing("sequence header OBU"));
        assert!(parse(&[0x81, 5]).is_err());
        let whole = av1c_720p();
        for end in 0..whole.len() - 3 {
            assert!(parse(&whole[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn delimiters_are_measured() {
        assert_eq!(delimiter_bytes(&[0x12, 0, 0x32, 1, 7]), 2);
        assert_eq!(delimiter_bytes(&[0x32, 1, 7]), 0);
        assert_eq!(delimiter_bytes(&[]), 0);
    }

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&data);
            let _ = picture_size(&data);
            prop_assert!(delimiter_bytes(&data) <= data.len());
        }

        #[test]
        fn any_mutation(at in 0..18_usize, byte in any::<u8>()) {
            let mut data = av1c_720p();
            let at = at % data.len();
            data[at] = byte;
            let _ = parse(&data);
        }
    }
}
