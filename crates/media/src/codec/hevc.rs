//! H.265: HEVCDecoderConfigurationRecord and sequence parameter set.

use super::{ByteReader, ConfigError, ConfigFault, PictureSize, Video, check_length, check_size};
use crate::bits::{BitReader, unescape};

/// `nal_unit_type` of a sequence parameter set (ITU-T H.265 table 7-1).
const SPS_NUT: u8 = 33;

/// Reads an `hvcC` (ISO/IEC 14496-15 §8.3.3.1.2).
pub(crate) fn parse(record: &[u8]) -> Result<Video, ConfigError> {
    read(record).map_err(|fault| fault.of("hvcC"))
}

/// Whether a NAL unit is a slice of an intra random access picture (ITU-T H.265 table 7-1: types 16 to 23).
pub(crate) fn is_irap(nal: &[u8]) -> bool {
    nal.first().is_some_and(|header| (16..=23).contains(&((header >> 1) & 0x3f)))
}

fn read(record: &[u8]) -> Result<Video, ConfigFault> {
    check_length(record)?;
    let mut reader = ByteReader::new(record);
    // u8     configurationVersion = 1
    // u8     2 bits general_profile_space, 1 bit general_tier_flag, 5 bits general_profile_idc
    // u32    general_profile_compatibility_flags
    // u48    general_constraint_indicator_flags
    // u8     general_level_idc
    // 8 * u8 segmentation, parallelism, chroma, bit depths, frame rate: repeated in the parameter sets
    // u8     6 bits of frame rate and layers, 2 bits lengthSizeMinusOne
    // u8     numOfArrays, each: u8 (6 low bits NAL_unit_type), u16 numNalus, then u16 length + NAL unit each
    let version = reader.u8()?;
    // Some encoders still write 0 here, from drafts of the record; the layout is the same.
    if version > 1 {
        return Err(ConfigFault::Value { field: "configurationVersion", value: version.into() });
    }
    let profile = reader.u8()?;
    let compatibility = reader.take(4)?.iter().fold(0_u32, |flags, &byte| (flags << 8) | u32::from(byte));
    let constraints = reader.take(6)?;
    let level = reader.u8()?;
    reader.take(8)?;
    let nal_length_bytes = (reader.u8()? & 3) + 1;
    if nal_length_bytes == 3 {
        return Err(ConfigFault::Value { field: "lengthSizeMinusOne", value: 2 });
    }
    let mut sps = None;
    for _ in 0..reader.u8()? {
        let kind = reader.u8()? & 0x3f;
        for _ in 0..reader.u16()? {
            let length = reader.u16()?;
            let unit = reader.take(length.into())?;
            if kind == SPS_NUT {
                sps = sps.or(Some(unit));
            }
        }
    }
    let size = picture_size(sps.ok_or(ConfigFault::Missing("sequence parameter set"))?)?;
    Ok(Video { codecs: codecs(profile, compatibility, constraints, level), size, nal_length_bytes })
}

/// `codecs` value by ISO/IEC 14496-15 annex E.3: `hvc1.<space><profile>.<compatibility, bits reversed>.<tier><level>` and
/// the constraint bytes without trailing zeros.
fn codecs(profile: u8, compatibility: u32, constraints: &[u8], level: u8) -> String {
    use std::fmt::Write;

    let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let mut text = format!("hvc1.{space}{}.{:X}.{tier}{level}", profile & 0x1f, compatibility.reverse_bits());
    let used = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        write!(text, ".{byte:X}").expect("writing to a string does not fail");
    }
    text
}

/// `seq_parameter_set_rbsp` (ITU-T H.265 §7.3.2.2.1) up to the conformance window.
fn picture_size(sps: &[u8]) -> Result<PictureSize, ConfigFault> {
    let payload = unescape(sps);
    let mut bits = BitReader::new(&payload);
    bits.skip(16 + 4)?; // NAL unit header, sps_video_parameter_set_id
    let sub_layers = bits.bits(3)?;
    bits.skip(1)?; // sps_temporal_id_nesting_flag
    skip_profile_tier_level(&mut bits, sub_layers)?;
    bits.ue()?; // sps_seq_parameter_set_id
    let chroma_format = bits.ue()?;
    if chroma_format > 3 {
        return Err(ConfigFault::Value { field: "chroma_format_idc", value: chroma_format.into() });
    }
    if chroma_format == 3 {
        bits.flag()?; // separate_colour_plane_flag
    }
    let (mut width, mut height) = (i64::from(bits.ue()?), i64::from(bits.ue()?));
    if bits.flag()? {
        let (unit_x, unit_y) = match chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let [left, right, top, bottom] = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?].map(i64::from);
        width -= unit_x * (left + right);
        height -= unit_y * (top + bottom);
    }
    check_size(width, height)
}

/// `profile_tier_level(1, sub_layers)` (ITU-T H.265 §7.3.3); `sub_layers` is sps_max_sub_layers_minus1.
fn skip_profile_tier_level(bits: &mut BitReader<'_>, sub_layers: u32) -> Result<(), ConfigFault> {
    bits.skip(88 + 8)?; // general profile and level
    let mut present = Vec::with_capacity(8);
    for _ in 0..sub_layers {
        present.push((bits.flag()?, bits.flag()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers as usize))?; // reserved_zero_2bits
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 })?;
        bits.skip(if level { 8 } else { 0 })?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `hvcC` of an x265 stream: Main, level 3.1, 1280x720; VPS, SPS and PPS.
    pub(crate) const HVCC_720P: &[u8] = &[
        0x01, 0x01, 0x60, 0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x00, 0x00, 0x5d, 0xf0, 0x00, 0xfc, 0xfd, 0xf8,
        0xf8, 0x00, 0x00, 0x0f, 0x03, 0xa0, 0x00, 0x01, 0x00, 0x18, 0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60,
        0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00, 0x5d, 0x95, 0x98, 0x09, 0xa1, 0x00,
        0x01, 0x00, 0x2b, 0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00,
        0x03, 0x00, 0x5d, 0xa0, 0x02, 0x80, 0x80, 0x2d, 0x16, 0x59, 0x59, 0xa4, 0x93, 0x2b, 0xc0, 0x5a, 0x02, 0x00,
        0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x32, 0x10, 0xa2, 0x00, 0x01, 0x00, 0x07, 0x44, 0x01, 0xc1,
        0x72, 0xb4, 0x62, 0x40,
    ];

    #[test]
    fn main_profile_of_x265() {
        let video = parse(HVCC_720P).unwrap();
        assert_eq!(video, Video { codecs: "hvc1.1.6.L93.90".into(), size: (1280, 720), nal_length_bytes: 4 });
    }

    #[test]
    fn codecs_of_a_high_tier_profile_space() {
        let text = codecs(0b0110_0010, 0x2000_0000, &[0, 0xb0, 0, 0, 0, 0], 153);
        assert_eq!(text, "hvc1.A2.4.H153.0.B0");
    }

    #[test]
    fn records_without_parameter_sets_are_refused() {
        let mut record = HVCC_720P[..23].to_vec();
        record[22] = 0;
        assert_eq!(parse(&record).unwrap_err().fault, ConfigFault::Missing("sequence parameter set"));
        for end in 0..HVCC_720P.len() {
            assert!(parse(&HVCC_720P[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&data);
            let _ = picture_size(&data);
        }

        #[test]
        fn any_mutation(at in 0..HVCC_720P.len(), byte in any::<u8>()) {
            let mut data = HVCC_720P.to_vec();
            data[at] = byte;
            let _ = parse(&data);
        }
    }
}
