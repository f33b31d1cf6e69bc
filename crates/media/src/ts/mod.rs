//! Writing of MPEG transport streams (ISO/IEC 13818-1) of one programme: H.264 as a byte stream, AAC as ADTS.
//!
//! A [`Writer`] makes one file after another, as HLS segments are: each begins with [`Writer::begin`], so that it can be decoded by itself,
//! and continuity counters run on from one to the next.

mod adts;
mod avc;
mod packet;
mod tables;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use adts::MAX_FRAME_BYTES;

use crate::{Codec, Track};
use adts::Adts;
use avc::AnnexB;
use packet::{Packets, PesTimes};

/// Bytes of a packet.
pub const PACKET_BYTES: usize = 188;

/// Units per second of all times.
pub const TIMESCALE: u32 = 90_000;

/// How far the programme's clock is behind decoding, which is the time that a decoder has to fill its buffers: half a second.
pub const CLOCK_DELAY: i64 = 45_000;

const PMT_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;

/// `stream_id` of PES packets (table 2-22).
const VIDEO_STREAM: u8 = 0xe0;
const AUDIO_STREAM: u8 = 0xc0;

/// Why a track or sample cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TsError {
    /// Nothing to write.
    #[error("a transport stream needs a track")]
    Empty,
    /// Only H.264 and AAC are written.
    #[error("codec is not for a transport stream; package it as CMAF: {codecs}")]
    Codec {
        /// The track's `codecs` value.
        codecs: String,
    },
    /// An AudioSpecificConfig that the head of an ADTS frame cannot tell.
    #[error("aac configuration is not for adts: {0}")]
    Adts(&'static str),
    /// An AAC frame that the head of an ADTS frame cannot hold.
    #[error("aac frame is too long: {bytes} bytes")]
    FrameLength {
        /// Its length.
        bytes: usize,
    },
    /// A length inside of a sample goes past its end.
    #[error("picture is not made of whole nal units")]
    NalUnits,
}

/// Writes a transport stream.
#[derive(Debug)]
pub struct Writer {
    pat: Packets,
    pmt: Packets,
    tables: (Vec<u8>, Vec<u8>),
    video: Option<(AnnexB, Packets)>,
    audio: Option<(Adts, Packets)>,
    scratch: Vec<u8>,
}

impl Writer {
    /// A stream of these tracks.
    ///
    /// # Errors
    /// Without a track, and on one that is neither H.264 nor AAC in a form that ADTS can tell.
    pub fn new(video: Option<&Arc<Track>>, audio: Option<&Arc<Track>>) -> Result<Self, TsError> {
        let unsupported = |track: &Track| TsError::Codec { codecs: track.codecs.clone() };
        let video = match video.map(|track| (&track.codec, track)) {
            Some((Codec::H264(config), track)) => Some(AnnexB::new(config).ok_or(unsupported(track))?),
            Some((_, track)) => return Err(unsupported(track)),
            None => None,
        };
        let audio = match audio.map(|track| (&track.codec, track)) {
            Some((Codec::Aac(config), _)) => Some(Adts::new(config)?),
            Some((_, track)) => return Err(unsupported(track)),
            None => None,
        };
        if video.is_none() && audio.is_none() {
            return Err(TsError::Empty);
        }
        let clock_pid = if video.is_some() { VIDEO_PID } else { AUDIO_PID };
        let streams = [
            video.as_ref().map(|_| (tables::STREAM_H264, VIDEO_PID)),
            audio.as_ref().map(|_| (tables::STREAM_ADTS, AUDIO_PID)),
        ];
        let streams: Vec<_> = streams.into_iter().flatten().collect();
        Ok(Self {
            pat: Packets::new(0),
            pmt: Packets::new(PMT_PID),
            tables: (tables::association(PMT_PID), tables::program_map(clock_pid, &streams)),
            video: video.map(|form| (form, Packets::new(VIDEO_PID))),
            audio: audio.map(|form| (form, Packets::new(AUDIO_PID))),
            scratch: Vec::new(),
        })
    }

    /// Appends the tables that tell what is in the stream: at the start of each file, and wherever decoding may begin.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        self.pat.section(&self.tables.0, out);
        self.pmt.section(&self.tables.1, out);
    }

    /// Appends a picture, with the programme's clock. Times are in 1/90000 s and may be of any size; only their 33 low bits are written.
    /// Where decoding may start the parameter sets stand before it.
    ///
    /// # Errors
    /// On a sample that is not made of whole NAL units; nothing is appended. Without a video track nothing is, either.
    pub fn video(
        &mut self,
        dts: i64,
        pts: i64,
        keyframe: bool,
        sample: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TsError> {
        let Some((form, packets)) = &mut self.video else { return Ok(()) };
        self.scratch.clear();
        form.convert(sample, keyframe, &mut self.scratch)?;
        let times = PesTimes { pts, dts, clock: Some(dts - CLOCK_DELAY), random_access: keyframe };
        packets.pes(VIDEO_STREAM, times, &self.scratch, out);
        Ok(())
    }

    /// Appends access units of sound that follow each other, the first of which is heard at `pts` (1/90000 s), as one PES packet.
    ///
    /// # Errors
    /// On a frame longer than [`MAX_FRAME_BYTES`]; nothing is appended. Without an audio track nothing is, either.
    pub fn audio<'a>(
        &mut self,
        pts: i64,
        frames: impl IntoIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), TsError> {
        let has_video = self.video.is_some();
        let Some((form, packets)) = &mut self.audio else { return Ok(()) };
        self.scratch.clear();
        for frame in frames {
            form.convert(frame, &mut self.scratch)?;
        }
        let clock = (!has_video).then_some(pts - CLOCK_DELAY);
        packets.pes(AUDIO_STREAM, PesTimes { pts, dts: pts, clock, random_access: true }, &self.scratch, out);
        Ok(())
    }
}
