//! H.264: AVCDecoderConfigurationRecord and sequence parameter set.

use super::{ByteReader, ConfigError, ConfigFault, PictureSize, Video, check_length, check_size};
use crate::bits::{BitReader, unescape};

/// Reads an `avcC` (ISO/IEC 14496-15 §5.3.3.1.2).
pub(crate) fn parse(record: &[u8]) -> Result<Video, ConfigError> {
    read(record).map_err(|fault| fault.of("avcC"))
}

/// Whether a NAL unit is a slice of an IDR picture (ITU-T H.264 table 7-1: type 5).
pub(crate) fn is_idr(nal: &[u8]) -> bool {
    nal.first().is_some_and(|header| header & 0x1f == 5)
}

fn read(record: &[u8]) -> Result<Video, ConfigFault> {
    check_length(record)?;
    let mut reader = ByteReader::new(record);
    // u8  configurationVersion = 1
    // u8  AVCProfileIndication, u8 profile_compatibility, u8 AVCLevelIndication
    // u8  6 bits reserved, 2 bits lengthSizeMinusOne
    // u8  3 bits reserved, 5 bits numOfSequenceParameterSets, then u16 length + NAL unit each
    // u8  numOfPictureParameterSets, then u16 length + NAL unit each
    // (extension fields of high profiles are left to decoders)
    let version = reader.u8()?;
    if version != 1 {
        return Err(ConfigFault::Value { field: "configurationVersion", value: version.into() });
    }
    let (profile, compatibility, level) = (reader.u8()?, reader.u8()?, reader.u8()?);
    let nal_length_bytes = (reader.u8()? & 3) + 1;
    if nal_length_bytes == 3 {
        return Err(ConfigFault::Value { field: "lengthSizeMinusOne", value: 2 });
    }
    let mut sps = None;
    for _ in 0..reader.u8()? & 0x1f {
        let length = reader.u16()?;
        let unit = reader.take(length.into())?;
        sps = sps.or(Some(unit));
    }
    let pps_count = reader.u8()?;
    for _ in 0..pps_count {
        let length = reader.u16()?;
        reader.take(length.into())?;
    }
    if pps_count == 0 {
        return Err(ConfigFault::Missing("picture parameter set"));
    }
    let size = picture_size(sps.ok_or(ConfigFault::Missing("sequence parameter set"))?)?;
    // RFC 6381 §3.3: three bytes after profile_idc, in hexadecimal.
    let codecs = format!("avc1.{profile:02x}{compatibility:02x}{level:02x}");
    Ok(Video { codecs, size, nal_length_bytes })
}

/// `seq_parameter_set_data` (ITU-T H.264 §7.3.2.1.1) up to the cropping window.
fn picture_size(sps: &[u8]) -> Result<PictureSize, ConfigFault> {
    let payload = unescape(sps);
    let mut bits = BitReader::new(&payload);
    let header = bits.bits(8)?;
    if header & 0x1f != 7 {
        return Err(ConfigFault::Value { field: "nal_unit_type of the sequence parameter set", value: header.into() });
    }
    let profile = bits.bits(8)?;
    bits.skip(16)?; // constraint flags, level_idc
    bits.ue()?; // seq_parameter_set_id
    let mut chroma_format = 1;
    let mut separate_planes = false;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma_format = bits.ue()?;
        if chroma_format > 3 {
            return Err(ConfigFault::Value { field: "chroma_format_idc", value: chroma_format.into() });
        }
        if chroma_format == 3 {
            separate_planes = bits.flag()?;
        }
        bits.ue()?; // bit_depth_luma_minus8
        bits.ue()?; // bit_depth_chroma_minus8
        bits.flag()?; // qpprime_y_zero_transform_bypass_flag
        if bits.flag()? {
            skip_scaling_matrix(&mut bits, chroma_format)?;
        }
    }
    bits.ue()?; // log2_max_frame_num_minus4
    skip_picture_order(&mut bits)?;
    bits.ue()?; // max_num_ref_frames
    bits.flag()?; // gaps_in_frame_num_value_allowed_flag
    let width_mbs = i64::from(bits.ue()?) + 1;
    let height_map_units = i64::from(bits.ue()?) + 1;
    let frame_mbs_only = bits.flag()?;
    if !frame_mbs_only {
        bits.flag()?; // mb_adaptive_frame_field_flag
    }
    bits.flag()?; // direct_8x8_inference_flag
    let fields = if frame_mbs_only { 1 } else { 2 };
    let (mut width, mut height) = (width_mbs * 16, height_map_units * 16 * fields);
    if bits.flag()? {
        let (unit_x, unit_y) = match (chroma_format, separate_planes) {
            (1, _) => (2, 2),
            (2, _) => (2, 1),
            _ => (1, 1),
        };
        let [left, right, top, bottom] = [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?].map(i64::from);
        width -= unit_x * (left + right);
        height -= unit_y * fields * (top + bottom);
    }
    check_size(width, height)
}

fn skip_scaling_matrix(bits: &mut BitReader<'_>, chroma_format: u32) -> Result<(), ConfigFault> {
    for list in 0..if chroma_format == 3 { 12 } else { 8 } {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + i64::from(bits.se()?)).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Ok(())
}

fn skip_picture_order(bits: &mut BitReader<'_>) -> Result<(), ConfigFault> {
    match bits.ue()? {
        0 => {
            bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.flag()?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `avcC` of an x264 stream, High profile, level 3.1, 1280x720.
    pub(crate) const AVCC_720P: &[u8] = &[
        0x01, 0x64, 0x00, 0x1f, 0xff, 0xe1, 0x00, 0x1a, 0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb,
        0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x19, 0x60, 0x01, 0x00,
        0x04, 0x68, 0xef, 0x8f, 0xcb, 0xfd, 0xf8, 0xf8, 0x00,
    ];

    /// `avcC` around a Baseline sequence parameter set of 1920x1088 cropped to 1080 lines.
    pub(crate) fn avcc_1080p() -> Vec<u8> {
        let mut bits = crate::bits::BitWriter::default();
        bits.bits(0x67_42_c0, 24);
        bits.bits(0x28, 8);
        ue(&mut bits, 0); // id
        ue(&mut bits, 0); // log2_max_frame_num_minus4
        ue(&mut bits, 2); // pic_order_cnt_type
        ue(&mut bits, 1); // max_num_ref_frames
        bits.bits(0, 1);
        ue(&mut bits, 119);
        ue(&mut bits, 67);
        bits.bits(0b11, 2); // frame_mbs_only, direct_8x8
        bits.bits(1, 1); // frame_cropping_flag
        for edge in [0, 0, 0, 4] {
            ue(&mut bits, edge);
        }
        bits.bits(0b01, 2); // no VUI, stop bit
        let sps = bits.into_bytes();
        let mut record = vec![1, 0x42, 0xc0, 0x28, 0xff, 0xe1, 0, sps.len() as u8];
        record.extend_from_slice(&sps);
        record.extend_from_slice(&[1, 0, 2, 0x68, 0xce]);
        record
    }

    fn ue(bits: &mut crate::bits::BitWriter, value: u32) {
        let length = 32 - (value + 1).leading_zeros() as usize;
        bits.bits(value + 1, 2 * length - 1);
    }

    #[test]
    fn high_profile_of_x264() {
        let video = parse(AVCC_720P).unwrap();
        assert_eq!(video, Video { codecs: "avc1.64001f".into(), size: (1280, 720), nal_length_bytes: 4 });
    }

    #[test]
    fn cropping_is_applied() {
        let video = parse(&avcc_1080p()).unwrap();
        assert_eq!((video.size, video.codecs.as_str()), ((1920, 1080), "avc1.42c028"));
    }

    #[test]
    fn each_truncation_is_an_error() {
        let needed = AVCC_720P.len() - 4;
        for end in 0..needed {
            assert!(parse(&AVCC_720P[..end]).is_err(), "{end}");
        }
        assert!(parse(&vec![1; super::super::MAX_CONFIG_BYTES + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&data);
            let _ = picture_size(&data);
        }

        #[test]
        fn any_mutation(at in 0..AVCC_720P.len(), byte in any::<u8>()) {
            let mut data = AVCC_720P.to_vec();
            data[at] = byte;
            let _ = parse(&data);
        }
    }
}
