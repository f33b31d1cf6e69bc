//! From message bodies to tracks and samples.

use std::sync::Arc;

use bytes::Bytes;

use super::{FlvError, FlvKind, Format, Packet, audio, video};
use crate::codec::{self, NalUnits, aac, av1, avc, hevc, opus};
use crate::time::{Step, Unwrapper};
use crate::{Codec, Event, Sample, Track, TrackKind};

/// Units per second of the tracks that a demuxer announces.
pub const TIMESCALE: u32 = 1000;

/// Jumps of time that may stand against a session at once.
const MAX_JUMPS: u32 = 16;

/// Samples in order that make one jump forgotten.
const SAMPLES_PER_JUMP: u32 = 50;

/// What was left out, counted since the session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Coded frames before a decoder configuration of their codec.
    pub before_config: u64,
    /// Coded frames whose NAL unit lengths do not add up.
    pub malformed: u64,
}

/// Reads the audio and video messages of one session.
///
/// Announces a track when its decoder configuration first appears and when it really changes; a repeated one says nothing.
/// An Opus track is announced with its first packet, which tells the duration of them all. Timestamps are placed by
/// [`Unwrapper`]; a jump is said once, before the first sample after it. Of a session with several audio or video tracks,
/// track 0 is read.
#[derive(Debug, Default)]
pub struct Demuxer {
    time: Unwrapper,
    video: Lane,
    audio: Lane,
    dropped: Dropped,
    jumps: u32,
    calm: u32,
}

/// What is known of the track of one kind.
#[derive(Debug, Default)]
enum Lane {
    #[default]
    Unknown,
    /// A configuration that waits for a packet to complete it.
    Waiting { format: Format, config: Bytes, track: Track },
    /// A track that was announced.
    Running { format: Format, config: Bytes, nal_length_bytes: u8 },
}

impl Demuxer {
    /// A demuxer at the start of a session.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one message body and appends what it says. `timestamp_ms` is the message's, modulo 2³².
    ///
    /// # Errors
    /// On a codec that is not carried, on bytes that break the format, and on timestamps that jump without end. What was
    /// appended to `out` before stays valid; the session cannot go on.
    pub fn push(
        &mut self,
        kind: FlvKind,
        timestamp_ms: u32,
        body: Bytes,
        out: &mut Vec<Event>,
    ) -> Result<(), FlvError> {
        let packet = match kind {
            FlvKind::Audio => audio::parse(body)?,
            FlvKind::Video => video::parse(body)?,
        };
        match packet {
            None => Ok(()),
            Some(Packet::Config(format, config)) => self.configure(format, config, out),
            Some(Packet::Coded { format, composition_ms, keyframe, data }) => {
                self.coded(format, timestamp_ms, composition_ms, keyframe, data, out)
            }
        }
    }

    /// What was left out so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    fn lane(&mut self, kind: TrackKind) -> &mut Lane {
        match kind {
            TrackKind::Audio => &mut self.audio,
            TrackKind::Video => &mut self.video,
        }
    }

    fn configure(&mut self, format: Format, config: Bytes, out: &mut Vec<Event>) -> Result<(), FlvError> {
        let lane = self.lane(format.kind());
        if lane.config() == Some((format, &config)) {
            return Ok(());
        }
        let (track, nal_length_bytes) = describe(format, &config)?;
        *lane = if format == Format::Opus {
            Lane::Waiting { format, config, track }
        } else {
            out.push(Event::Track(Arc::new(track)));
            Lane::Running { format, config, nal_length_bytes }
        };
        Ok(())
    }

    fn coded(
        &mut self,
        format: Format,
        timestamp_ms: u32,
        composition_ms: i32,
        flagged_key: bool,
        data: Bytes,
        out: &mut Vec<Event>,
    ) -> Result<(), FlvError> {
        let kind = format.kind();
        let lane = self.lane(kind);
        lane.complete(&data, out);
        let Lane::Running { format: running, nal_length_bytes, .. } = *lane else {
            self.dropped.before_config += 1;
            return Ok(());
        };
        if running != format {
            self.dropped.before_config += 1;
            return Ok(());
        }
        let Some((data, keyframe)) = access_unit(format, nal_length_bytes, data, flagged_key) else {
            self.dropped.malformed += 1;
            return Ok(());
        };
        let placed = self.time.place(kind, timestamp_ms);
        self.watch(placed.step)?;
        if placed.step == Step::Jump {
            out.push(Event::Discontinuity);
        }
        // Where decoding time was pushed forward, presentation keeps its true time as long as it can.
        let pts = (placed.unclamped + i64::from(composition_ms)).max(placed.dts);
        out.push(Event::Sample(Sample { kind, dts: placed.dts, pts, keyframe, data }));
        Ok(())
    }

    /// Ends sessions whose time jumps without end: each jump costs a segment.
    fn watch(&mut self, step: Step) -> Result<(), FlvError> {
        match step {
            Step::Continues => {
                self.calm += 1;
                if self.calm == SAMPLES_PER_JUMP {
                    self.calm = 0;
                    self.jumps = self.jumps.saturating_sub(1);
                }
            }
            Step::Jump => self.jumps += 1,
        }
        if self.jumps > MAX_JUMPS { Err(FlvError::UnstableTime { jumps: self.jumps }) } else { Ok(()) }
    }
}

impl Lane {
    fn config(&self) -> Option<(Format, &Bytes)> {
        match self {
            Self::Unknown => None,
            Self::Waiting { format, config, .. } | Self::Running { format, config, .. } => Some((*format, config)),
        }
    }

    /// Announces a waiting track with what its first packet tells.
    fn complete(&mut self, packet: &[u8], out: &mut Vec<Event>) {
        if let Self::Waiting { format, config, track } = self
            && let Some(samples) = opus::packet_samples(packet)
        {
            out.push(Event::Track(Arc::new(Track { frame_samples: samples, ..track.clone() })));
            *self = Self::Running { format: *format, config: config.clone(), nal_length_bytes: 0 };
        }
    }
}

impl Format {
    fn kind(self) -> TrackKind {
        match self {
            Self::H264 | Self::H265 | Self::Av1 => TrackKind::Video,
            Self::Aac | Self::Opus => TrackKind::Audio,
        }
    }
}

/// The track that a configuration describes, and the bytes of its NAL unit lengths.
fn describe(format: Format, config: &Bytes) -> Result<(Track, u8), FlvError> {
    match format {
        Format::H264 => Ok(video_track(Codec::H264(config.clone()), avc::parse(config)?)),
        Format::H265 => Ok(video_track(Codec::H265(config.clone()), hevc::parse(config)?)),
        Format::Av1 => Ok(video_track(Codec::Av1(config.clone()), av1::parse(config)?)),
        Format::Aac => Ok(audio_track(Codec::Aac(config.clone()), aac::parse(config)?)),
        Format::Opus => {
            let dops = Bytes::from(opus::to_dops(config)?);
            let audio = opus::parse(&dops)?;
            Ok(audio_track(Codec::Opus(dops), audio))
        }
    }
}

fn video_track(codec: Codec, video: codec::Video) -> (Track, u8) {
    let track = Track {
        kind: TrackKind::Video,
        timescale: TIMESCALE,
        codec,
        codecs: video.codecs,
        width: video.size.0,
        height: video.size.1,
        sample_rate: 0,
        channels: 0,
        frame_samples: 0,
    };
    (track, video.nal_length_bytes)
}

fn audio_track(codec: Codec, audio: codec::Audio) -> (Track, u8) {
    let track = Track {
        kind: TrackKind::Audio,
        timescale: TIMESCALE,
        codec,
        codecs: audio.codecs,
        width: 0,
        height: 0,
        sample_rate: audio.sample_rate,
        channels: audio.channels,
        frame_samples: audio.frame_samples,
    };
    (track, 0)
}

/// The sample's bytes as MP4 wants them and whether decoding may start there; `None` when they are malformed.
///
/// The encoder's flag is trusted when it says "keyframe" (recovery points are no IDR pictures); an IDR or IRAP picture counts
/// without it.
fn access_unit(format: Format, nal_length_bytes: u8, data: Bytes, flagged_key: bool) -> Option<(Bytes, bool)> {
    let random_access = match format {
        Format::H264 => avc::is_idr,
        Format::H265 => hevc::is_irap,
        Format::Av1 => {
            let data = data.slice(av1::delimiter_bytes(&data)..);
            return (!data.is_empty()).then_some((data, flagged_key));
        }
        Format::Aac | Format::Opus => return Some((data, true)),
    };
    let mut keyframe = flagged_key;
    for unit in NalUnits::new(&data, nal_length_bytes) {
        keyframe |= random_access(unit?);
    }
    Some((data, keyframe))
}

#[cfg(test)]
#[path = "demux_tests.rs"]
mod tests;
