//! AAC frames with the head of ADTS (ISO/IEC 14496-3 §1.A.2.2).

use super::TsError;
use crate::bits::BitReader;
use crate::codec::aac;

const HEAD_BYTES: usize = 7;

/// Longest access unit that fits a frame, in bytes: 13 bits count it with its head.
pub const MAX_FRAME_BYTES: usize = (1 << 13) - 1 - HEAD_BYTES;

/// What all heads of a track have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adts {
    /// Audio object type minus one.
    profile: u8,
    rate_index: u8,
    channels: u8,
}

impl Adts {
    pub(super) fn new(config: &[u8]) -> Result<Self, TsError> {
        let audio = aac::parse(config).map_err(|_| TsError::Adts("it cannot be read"))?;
        let rate_index = aac::rate_index(audio.sample_rate).ok_or(TsError::Adts("its sample rate has no index"))?;
        if audio.frame_samples != 1024 {
            return Err(TsError::Adts("its frames are not of 1024 samples"));
        }
        let unread = |_| TsError::Adts("it cannot be read");
        let mut bits = BitReader::new(config);
        let signalled = bits.bits(5).map_err(unread)?;
        let explicit_rate = bits.bits(4).map_err(unread)? == 15;
        bits.skip(if explicit_rate { 24 } else { 0 }).map_err(unread)?;
        let channels = bits.bits(4).map_err(unread)?;
        // With SBR or PS signalled the core is LC; decoders find the rest in the frames.
        let profile = if (1..=4).contains(&signalled) { signalled - 1 } else { aac::AOT_LC - 1 };
        match channels {
            1..=7 => Ok(Self { profile: profile as u8, rate_index, channels: channels as u8 }),
            _ => Err(TsError::Adts("its channels have no number")),
        }
    }

    pub(super) fn convert(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), TsError> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(TsError::FrameLength { bytes: frame.len() });
        }
        let length = frame.len() + HEAD_BYTES;
        // 12 bits syncword, 1 bit ID, 2 bits layer, 1 bit protection_absent = 1; 2 bits profile, 4 bits sampling_frequency_index, 1 bit
        // private, 3 bits channel_configuration, 4 bits original, home, copyright; 13 bits frame_length, 11 bits buffer fullness = all
        // ones for variable rate, 2 bits number of further blocks
        out.extend_from_slice(&[
            0xff,
            0xf1,
            self.profile << 6 | self.rate_index << 2 | self.channels >> 2,
            (self.channels & 3) << 6 | (length >> 11) as u8,
            (length >> 3) as u8,
            (length as u8 & 7) << 5 | 0x1f,
            0xfc,
        ]);
        out.extend_from_slice(frame);
        Ok(())
    }
}
