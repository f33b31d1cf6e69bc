//! AAC: AudioSpecificConfig.

use super::{Audio, ConfigError, ConfigFault, check_length};
use crate::bits::BitReader;

/// Audio object types (ISO/IEC 14496-3 table 1.17) that are told apart here.
pub(crate) const AOT_LC: u32 = 2;
const AOT_SBR: u32 = 5;
const AOT_PS: u32 = 29;

/// `samplingFrequencyIndex` → samples per second (ISO/IEC 14496-3 table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Reads an AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1).
///
/// `sample_rate` is that of the core coder, also where SBR doubles it on output: an access unit then holds
/// `frame_samples` at this rate.
pub(crate) fn parse(config: &[u8]) -> Result<Audio, ConfigError> {
    read(config).map_err(|fault| fault.of("AudioSpecificConfig"))
}

/// The audio object type that a configuration signals first.
pub(crate) fn object_type(config: &[u8]) -> Option<u32> {
    read_object_type(&mut BitReader::new(config)).ok()
}

/// The index by which heads of frames tell a rate.
pub(crate) fn rate_index(sample_rate: u32) -> Option<u8> {
    RATES.iter().position(|rate| *rate == sample_rate).map(|index| index as u8)
}

fn read(config: &[u8]) -> Result<Audio, ConfigFault> {
    check_length(config)?;
    let mut bits = BitReader::new(config);
    // 5 (+6) bits audioObjectType, 4 (+24) bits samplingFrequencyIndex, 4 bits channelConfiguration
    // with SBR or PS: 4 (+24) bits extensionSamplingFrequencyIndex, 5 (+6) bits audioObjectType of the core
    // GASpecificConfig: 1 bit frameLengthFlag, 1 bit dependsOnCoreCoder (+14), 1 bit extensionFlag
    // with channelConfiguration 0: program_config_element
    let signalled = read_object_type(&mut bits)?;
    let sample_rate = read_rate(&mut bits)?;
    let channel_configuration = bits.bits(4)?;
    let mut core = signalled;
    if matches!(signalled, AOT_SBR | AOT_PS) {
        read_rate(&mut bits)?;
        core = read_object_type(&mut bits)?;
    }
    // Main, LC, SSR and LTP share the layout below; the others are not made by live encoders.
    if !(1..=4).contains(&core) {
        return Err(ConfigFault::Value { field: "audioObjectType", value: core.into() });
    }
    let frame_samples = if bits.flag()? { 960 } else { 1024 };
    if bits.flag()? {
        bits.skip(14)?; // coreCoderDelay
    }
    bits.flag()?; // extensionFlag
    let channels = match channel_configuration {
        0 => program_channels(&mut bits)?,
        count @ 1..=6 => count,
        7 | 12 | 14 => 8,
        11 => 7,
        other => return Err(ConfigFault::Value { field: "channelConfiguration", value: other.into() }),
    };
    if channels == 0 {
        return Err(ConfigFault::Missing("channel"));
    }
    Ok(Audio { codecs: format!("mp4a.40.{signalled}"), sample_rate, channels, frame_samples })
}

fn read_object_type(bits: &mut BitReader<'_>) -> Result<u32, ConfigFault> {
    Ok(match bits.bits(5)? {
        31 => 32 + bits.bits(6)?,
        plain => plain,
    })
}

fn read_rate(bits: &mut BitReader<'_>) -> Result<u32, ConfigFault> {
    let index = bits.bits(4)?;
    let rate = match index {
        15 => bits.bits(24)?,
        _ => RATES.get(index as usize).copied().unwrap_or(0),
    };
    // The upper bound keeps durations of one access unit above zero in any timescale in use.
    if (1_000..=192_000).contains(&rate) {
        Ok(rate)
    } else {
        Err(ConfigFault::Value { field: "samplingFrequency", value: rate.into() })
    }
}

/// Channel count of a `program_config_element` (ISO/IEC 14496-3 table 4.2).
fn program_channels(bits: &mut BitReader<'_>) -> Result<u32, ConfigFault> {
    bits.skip(4 + 2 + 4)?; // element_instance_tag, object_type, sampling_frequency_index
    let (front, side, back) = (bits.bits(4)?, bits.bits(4)?, bits.bits(4)?);
    let low_frequency = bits.bits(2)?;
    bits.skip(3 + 4)?; // num_assoc_data_elements, num_valid_cc_elements
    for width in [4, 4, 3] {
        if bits.flag()? {
            bits.skip(width)?; // mono, stereo and matrix mixdown
        }
    }
    let mut channels = low_frequency;
    for _ in 0..front + side + back {
        channels += if bits.flag()? { 2 } else { 1 }; // is_cpe
        bits.skip(4)?; // tag_select
    }
    Ok(channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::BitWriter;
    use proptest::prelude::*;

    fn audio(codecs: &str, sample_rate: u32, channels: u32, frame_samples: u32) -> Audio {
        Audio { codecs: codecs.into(), sample_rate, channels, frame_samples }
    }

    #[test]
    fn low_complexity() {
        assert_eq!(parse(&[0x12, 0x10]), Ok(audio("mp4a.40.2", 44_100, 2, 1024)));
        assert_eq!(parse(&[0x11, 0x8c]), Ok(audio("mp4a.40.2", 48_000, 1, 960)));
        assert_eq!(parse(&[0x11, 0xb8]), Ok(audio("mp4a.40.2", 48_000, 8, 1024)));
    }

    #[test]
    fn explicit_sbr_and_ps_keep_the_core_rate() {
        // type 5 or 29, rate index 6 (24 kHz), channels, extension rate index 3 (48 kHz), core type 2
        for (kind, channels) in [(5, 2), (29, 1)] {
            let mut bits = BitWriter::default();
            for (value, width) in [(kind, 5), (6, 4), (channels, 4), (3, 4), (2, 5), (0, 3)] {
                bits.bits(value, width);
            }
            let expected = audio(&format!("mp4a.40.{kind}"), 24_000, channels, 1024);
            assert_eq!(parse(&bits.into_bytes()), Ok(expected));
        }
    }

    #[test]
    fn escape_values() {
        let mut bits = BitWriter::default();
        for (value, width) in [(2, 5), (15, 4), (50_000, 24), (2, 4), (0, 3)] {
            bits.bits(value, width);
        }
        assert_eq!(parse(&bits.into_bytes()), Ok(audio("mp4a.40.2", 50_000, 2, 1024)));
        let mut bits = BitWriter::default();
        for (value, width) in [(31, 5), (10, 6), (3, 4), (2, 4), (0, 3)] {
            bits.bits(value, width);
        }
        let fault = parse(&bits.into_bytes()).unwrap_err().fault;
        assert_eq!(fault, ConfigFault::Value { field: "audioObjectType", value: 42 });
    }

    #[test]
    fn program_config_element_is_counted() {
        let mut bits = BitWriter::default();
        for (value, width) in [(2, 5), (3, 4), (0, 4), (0, 3)] {
            bits.bits(value, width);
        }
        // 5.1: front SCE + CPE, back CPE, one LFE
        for (value, width) in [(0, 10), (2, 4), (0, 4), (1, 4), (1, 2), (0, 7), (0, 3)] {
            bits.bits(value, width);
        }
        for (value, width) in [(0, 5), (1, 1), (0, 4), (1, 1), (1, 4)] {
            bits.bits(value, width);
        }
        assert_eq!(parse(&bits.into_bytes()), Ok(audio("mp4a.40.2", 48_000, 6, 1024)));
    }

    #[test]
    fn bad_values_are_refused() {
        assert!(parse(&[]).is_err());
        assert!(parse(&[0x12]).is_err());
        assert!(parse(&[0x16, 0x90]).is_err(), "rate index 13");
        assert!(parse(&[0x12, 0x48]).is_err(), "channel configuration 9");
    }

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&data);
            let _ = object_type(&data);
        }
    }
}
