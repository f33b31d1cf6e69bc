//! Opus: identification header, `dOps` and packet durations.

use super::{Audio, ConfigError, ConfigFault};

/// Opus in MP4 always counts at this rate (Opus-in-ISOBMFF §4.1).
pub(crate) const RATE: u32 = 48_000;

const MAGIC: &[u8] = b"OpusHead";

/// Turns an identification header (RFC 7845 §5.1, with or without its magic, little endian) into the body of a `dOps` box
/// (Opus-in-ISOBMFF §4.3.2, big endian).
pub(crate) fn to_dops(head: &[u8]) -> Result<Vec<u8>, ConfigError> {
    convert(head).map_err(|fault| fault.of("OpusHead"))
}

/// Reads the body of a `dOps` box.
pub(crate) fn parse(dops: &[u8]) -> Result<Audio, ConfigError> {
    match dops.get(1) {
        Some(&channels) if channels > 0 && dops.len() >= 11 => {
            Ok(Audio { codecs: "opus".into(), sample_rate: RATE, channels: channels.into(), frame_samples: 0 })
        }
        Some(0) => Err(ConfigFault::Missing("channel").of("dOps")),
        _ => Err(ConfigFault::Truncated { byte: dops.len() }.of("dOps")),
    }
}

fn convert(head: &[u8]) -> Result<Vec<u8>, ConfigFault> {
    let head = head.strip_prefix(MAGIC).unwrap_or(head);
    // u8 version, u8 channel count, u16 pre-skip, u32 input sample rate, i16 output gain, u8 mapping family,
    // with a family above 0: u8 stream count, u8 coupled count, u8 mapping for each channel
    let Some((&[version, channels, s0, s1, r0, r1, r2, r3, g0, g1, family], mapping)) = head.split_first_chunk() else {
        return Err(ConfigFault::Truncated { byte: head.len() });
    };
    if version > 15 {
        return Err(ConfigFault::Value { field: "version", value: version.into() });
    }
    if channels == 0 || (family == 0 && channels > 2) {
        return Err(ConfigFault::Value { field: "channel count", value: channels.into() });
    }
    let mut dops = vec![0, channels, s1, s0, r3, r2, r1, r0, g1, g0, family];
    if family > 0 {
        let table = mapping.get(..2 + usize::from(channels)).ok_or(ConfigFault::Truncated { byte: head.len() })?;
        dops.extend_from_slice(table);
    }
    Ok(dops)
}

/// Sound samples at 48 kHz in one packet (RFC 6716 §3.1 and §3.2.5); `None` when the packet is empty or breaks the rules.
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    // 5 bits config, 1 bit stereo, 2 bits frame count code
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config % 4)],
        config @ 12..=15 => [480, 960][usize::from(config % 2)],
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    // A packet holds at most 120 ms (RFC 6716 §3.4 R5).
    (1..=5760).contains(&(frame * frames)).then_some(frame * frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn head_becomes_dops() {
        let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
        let dops = to_dops(head).unwrap();
        assert_eq!(dops, [0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0]);
        assert_eq!(to_dops(&head[8..]).unwrap(), dops);
        assert_eq!(parse(&dops).unwrap().channels, 2);
    }

    #[test]
    fn mapping_family_one_keeps_its_table() {
        let head = b"OpusHead\x01\x06\x38\x01\x80\xbb\x00\x00\x00\x00\x01\x04\x02\x00\x04\x01\x02\x03\x05";
        assert_eq!(to_dops(head).unwrap()[10..], head[18..]);
        assert!(to_dops(&head[..head.len() - 1]).is_err());
    }

    #[test]
    fn packet_durations() {
        assert_eq!(packet_samples(&[0xfc]), Some(960));
        assert_eq!(packet_samples(&[0xe1]), Some(240));
        assert_eq!(packet_samples(&[0x03, 6]), Some(2880));
        assert_eq!(packet_samples(&[0x63]), None);
        assert_eq!(packet_samples(&[0x1b, 3]), None);
        assert_eq!(packet_samples(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(dops) = to_dops(&data) {
                prop_assert!(parse(&dops).is_ok());
            }
            let _ = parse(&data);
            let _ = packet_samples(&data);
        }
    }
}
