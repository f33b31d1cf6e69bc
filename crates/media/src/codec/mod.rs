//! Decoder configurations: what each record says of its track.

pub(crate) mod aac;
pub(crate) mod ac3;
pub(crate) mod av1;
pub(crate) mod avc;
pub(crate) mod hevc;
pub(crate) mod opus;

use crate::bits::EndOfBits;

/// Largest decoder configuration that is read, in bytes. Real ones stay below one kilobyte.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;

/// Largest picture side that is accepted, in pixels: what the 16-bit fields of a sample entry hold.
pub const MAX_PICTURE_SIDE: u32 = 65_535;

/// Why a decoder configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad {record}: {fault}")]
pub struct ConfigError {
    /// Name of the record, such as `avcC` or `AudioSpecificConfig`.
    pub record: &'static str,
    /// What is wrong with it.
    pub fault: ConfigFault,
}

/// What is wrong with a decoder configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// The data ends inside a field or holds a code that no field may have.
    #[error("ends or breaks off at byte {byte}")]
    Truncated {
        /// Offset in the record, or in the parameter set inside of it.
        byte: usize,
    },
    /// A field has a value that is not supported.
    #[error("{field} is not supported: {value}")]
    Value {
        /// Name of the field in the specification.
        field: &'static str,
        /// The value found.
        value: u64,
    },
    /// A part that is needed is not there.
    #[error("it lacks a {0}")]
    Missing(&'static str),
    /// More than [`MAX_CONFIG_BYTES`].
    #[error("too long: {bytes} bytes")]
    TooLong {
        /// The length found.
        bytes: usize,
    },
}

impl From<EndOfBits> for ConfigFault {
    fn from(end: EndOfBits) -> Self {
        Self::Truncated { byte: end.bit / 8 }
    }
}

impl ConfigFault {
    pub(crate) fn of(self, record: &'static str) -> ConfigError {
        ConfigError { record, fault: self }
    }
}

/// Width and height in pixels after cropping.
pub(crate) type PictureSize = (u32, u32);

/// What a picture configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Video {
    pub(crate) codecs: String,
    pub(crate) size: PictureSize,
    /// Bytes of the length before each NAL unit; 0 where samples are not made of NAL units.
    pub(crate) nal_length_bytes: u8,
}

/// What a sound configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audio {
    pub(crate) codecs: String,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u32,
    pub(crate) frame_samples: u32,
}

/// Refuses a configuration above the limit.
pub(crate) fn check_length(data: &[u8]) -> Result<(), ConfigFault> {
    if data.len() > MAX_CONFIG_BYTES { Err(ConfigFault::TooLong { bytes: data.len() }) } else { Ok(()) }
}

/// Refuses a picture size that is empty or does not fit a sample entry.
pub(crate) fn check_size(width: i64, height: i64) -> Result<PictureSize, ConfigFault> {
    let side = |field, value: i64| match u32::try_from(value) {
        Ok(side) if (1..=MAX_PICTURE_SIDE).contains(&side) => Ok(side),
        _ => Err(ConfigFault::Value { field, value: value.max(0) as u64 }),
    };
    Ok((side("picture width", width)?, side("picture height", height)?))
}

/// Reads whole bytes, bounds-checked.
pub(crate) struct ByteReader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> ByteReader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], ConfigFault> {
        let rest = &self.data[self.at..];
        let taken = rest.get(..count).ok_or(ConfigFault::Truncated { byte: self.at })?;
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ConfigFault> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ConfigFault> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}

/// The NAL units of a length-prefixed sample.
///
/// Yields `None` and ends where a length goes past the end of the sample.
pub(crate) struct NalUnits<'a> {
    rest: &'a [u8],
    length_bytes: usize,
}

impl<'a> NalUnits<'a> {
    pub(crate) fn new(sample: &'a [u8], length_bytes: u8) -> Self {
        Self { rest: sample, length_bytes: usize::from(length_bytes) }
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let unit = self.rest.split_at_checked(self.length_bytes).and_then(|(length, rest)| {
            let length = length.iter().fold(0_usize, |sum, &byte| (sum << 8) | usize::from(byte));
            rest.split_at_checked(length)
        });
        let Some((unit, rest)) = unit else {
            self.rest = &[];
            return Some(None);
        };
        self.rest = rest;
        Some(Some(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nal_units_end_at_a_false_length() {
        let units: Vec<_> = NalUnits::new(&[0, 1, 9, 0, 0, 0, 2, 7], 2).collect();
        assert_eq!(units, [Some(&[9][..]), Some(&[][..]), None]);
        assert_eq!(NalUnits::new(&[0], 4).collect::<Vec<_>>(), [None]);
    }
}
