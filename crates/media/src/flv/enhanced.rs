//! What the extended headers of audio and video have in common (Enhanced RTMP v2, "ExAudioTagHeader", "ExVideoTagHeader").

use bytes::{Buf, Bytes};

use super::FlvError;

/// `AudioPacketType` and `VideoPacketType` of a ModEx prelude.
const PACKET_MOD_EX: u8 = 7;

/// `AvMultitrackType` values.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS_MANY_CODECS: u8 = 2;

/// The track that is carried; others are passed over.
const TRACK: u8 = 0;

/// A message body that is read from its front.
pub(super) struct Body {
    kind: &'static str,
    total: usize,
    rest: Bytes,
}

impl Body {
    pub(super) fn new(kind: &'static str, body: Bytes) -> Self {
        Self { kind, total: body.len(), rest: body }
    }

    fn need(&self, count: usize) -> Result<(), FlvError> {
        if self.rest.len() < count {
            return Err(FlvError::Truncated { kind: self.kind, bytes: self.total });
        }
        Ok(())
    }

    pub(super) fn u8(&mut self) -> Result<u8, FlvError> {
        self.need(1)?;
        Ok(self.rest.get_u8())
    }

    pub(super) fn u24(&mut self) -> Result<u32, FlvError> {
        self.need(3)?;
        Ok(self.rest.get_uint(3) as u32)
    }

    /// A 24-bit two's complement number: `SI24`.
    pub(super) fn i24(&mut self) -> Result<i32, FlvError> {
        self.need(3)?;
        Ok(self.rest.get_int(3) as i32)
    }

    pub(super) fn four_cc(&mut self) -> Result<[u8; 4], FlvError> {
        self.need(4)?;
        let mut code = [0; 4];
        self.rest.copy_to_slice(&mut code);
        Ok(code)
    }

    fn split(&mut self, count: usize) -> Result<Self, FlvError> {
        self.need(count)?;
        Ok(Self { kind: self.kind, total: self.total, rest: self.rest.split_to(count) })
    }

    pub(super) fn into_rest(self) -> Bytes {
        self.rest
    }
}

/// Passes over ModEx preludes and answers the packet type that follows them.
///
/// The one ModEx that is defined, a nanosecond offset of the presentation time, is finer than the timescale and left out.
pub(super) fn skip_mod_ex(body: &mut Body, mut packet_type: u8) -> Result<u8, FlvError> {
    while packet_type == PACKET_MOD_EX {
        // u8 size - 1, or 255 and u16 size - 1; data; 4 bits ModEx type, 4 bits packet type
        let mut size = usize::from(body.u8()?) + 1;
        if size == 256 {
            size = (usize::from(body.u8()?) << 8 | usize::from(body.u8()?)) + 1;
        }
        body.split(size)?;
        packet_type = body.u8()? & 0xf;
    }
    Ok(packet_type)
}

/// The packet of track 0 after the extended header's first byte and ModEx: packet type, FourCC, body.
pub(super) struct TrackPacket {
    pub(super) packet_type: u8,
    pub(super) four_cc: [u8; 4],
    pub(super) body: Body,
}

/// Reads FourCC and, where the packet type is `multitrack`, the multitrack header; `None` when track 0 is not in the message.
pub(super) fn track_packet(mut body: Body, packet_type: u8, multitrack: u8) -> Result<Option<TrackPacket>, FlvError> {
    if packet_type != multitrack {
        let four_cc = body.four_cc()?;
        return Ok(Some(TrackPacket { packet_type, four_cc, body }));
    }
    // 4 bits multitrack type, 4 bits packet type; FourCC when all tracks share it
    // each track: FourCC when they do not, u8 track id, u24 size unless there is one track only, data
    let header = body.u8()?;
    let (layout, packet_type) = (header >> 4, header & 0xf);
    if layout > MANY_TRACKS_MANY_CODECS || packet_type == multitrack {
        return Err(FlvError::PacketType { kind: body.kind, packet_type: header });
    }
    let shared = if layout == MANY_TRACKS_MANY_CODECS { None } else { Some(body.four_cc()?) };
    loop {
        let four_cc = match shared {
            Some(code) => code,
            None => body.four_cc()?,
        };
        let track = body.u8()?;
        if layout == ONE_TRACK {
            return Ok((track == TRACK).then_some(TrackPacket { packet_type, four_cc, body }));
        }
        let size = body.u24()? as usize;
        let data = body.split(size)?;
        if track == TRACK {
            return Ok(Some(TrackPacket { packet_type, four_cc, body: data }));
        }
        if body.rest.is_empty() {
            return Ok(None);
        }
    }
}
