//! AC-3 and E-AC-3: `dac3` and `dec3` (ETSI TS 102 366 annex F).

use super::{Audio, ConfigError, ConfigFault};
use crate::bits::BitReader;

/// Samples of one AC-3 frame: six blocks of 256.
const FRAME_SAMPLES: u32 = 1536;

/// `fscod` → samples per second.
const RATES: [u32; 3] = [48_000, 44_100, 32_000];

/// `acmod` → full-range channels.
const CHANNELS: [u32; 8] = [2, 1, 2, 3, 3, 4, 4, 5];

/// `chan_loc` bit → channels, the highest bit first (table F.6.1): pairs at the sides and above, single ones between.
const LOCATIONS: [u32; 9] = [1, 1, 2, 2, 2, 1, 1, 2, 2];

/// Reads the body of a `dac3` box.
pub(crate) fn parse(config: &[u8]) -> Result<Audio, ConfigError> {
    // 2 bits fscod, 5 bits bsid, 3 bits bsmod, 3 bits acmod, 1 bit lfeon, 5 bits bit_rate_code, 5 bits reserved
    let mut bits = BitReader::new(config);
    let mut read = || {
        let rate = rate(bits.bits(2)?)?;
        bits.skip(5 + 3)?;
        let channels = CHANNELS[bits.bits(3)? as usize] + bits.bits(1)?;
        Ok(audio("ac-3", rate, channels))
    };
    read().map_err(|fault: ConfigFault| fault.of("dac3"))
}

/// Reads the body of a `dec3` box. The channels are those of the first programme.
pub(crate) fn parse_enhanced(config: &[u8]) -> Result<Audio, ConfigError> {
    // 13 bits data_rate, 3 bits num_ind_sub; each: 2 bits fscod, 5 bits bsid, 1 bit reserved, 1 bit asvc, 3 bits bsmod, 3 bits acmod,
    // 1 bit lfeon, 3 bits reserved, 4 bits num_dep_sub, 9 bits chan_loc (with dependent substreams) or 1 bit reserved
    let mut bits = BitReader::new(config);
    let mut read = || {
        bits.skip(13 + 3)?;
        let rate = rate(bits.bits(2)?)?;
        bits.skip(5 + 1 + 1 + 3)?;
        let mut channels = CHANNELS[bits.bits(3)? as usize] + bits.bits(1)?;
        bits.skip(3)?;
        if bits.bits(4)? > 0 {
            for count in LOCATIONS {
                channels += count * bits.bits(1)?;
            }
        }
        Ok(audio("ec-3", rate, channels))
    };
    read().map_err(|fault: ConfigFault| fault.of("dec3"))
}

fn rate(code: u32) -> Result<u32, ConfigFault> {
    RATES.get(code as usize).copied().ok_or(ConfigFault::Value { field: "fscod", value: code.into() })
}

fn audio(codecs: &str, sample_rate: u32, channels: u32) -> Audio {
    Audio { codecs: codecs.to_owned(), sample_rate, channels, frame_samples: FRAME_SAMPLES }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn surround() {
        // 48 kHz, bsid 8, acmod 7 (3/2), lfe, 448 kbit/s
        let dac3 = parse(&[0x10, 0x3d, 0xe0]).unwrap();
        assert_eq!((dac3.sample_rate, dac3.channels, dac3.frame_samples), (48_000, 6, 1536));
        // 192 kbit/s, one substream: 48 kHz, bsid 16, acmod 7, lfe
        let dec3 = parse_enhanced(&[0x06, 0x00, 0x20, 0x0f, 0x00]).unwrap();
        assert_eq!((dec3.codecs.as_str(), dec3.channels), ("ec-3", 6));
    }

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..32)) {
            let _ = parse(&data);
            let _ = parse_enhanced(&data);
        }
    }
}
