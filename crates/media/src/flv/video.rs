//! Bodies of video messages.

use bytes::Bytes;

use super::enhanced::{Body, skip_mod_ex, track_packet};
use super::{CodecName, FlvError, Format, Packet};

/// `VideoFrameType` values (FLV §E.4.3.1).
const FRAME_KEY: u8 = 1;
const FRAME_GENERATED_KEY: u8 = 4;
const FRAME_COMMAND: u8 = 5;

/// Legacy `CodecID` values: AVC, and the number that the industry agreed on for HEVC before Enhanced RTMP.
const CODEC_AVC: u8 = 7;
const CODEC_HEVC: u8 = 12;

/// `AVCPacketType` values.
const AVC_SEQUENCE_HEADER: u8 = 0;
const AVC_NAL_UNITS: u8 = 1;

/// `VideoPacketType` values (Enhanced RTMP v2, "Enhanced video").
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const MULTITRACK: u8 = 6;

/// Reads one body; `None` when it holds nothing to carry.
pub(super) fn parse(body: Bytes) -> Result<Option<Packet>, FlvError> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut body = Body::new("video", body);
    // 1 bit isExHeader, 3 bits frame type, 4 bits packet type; legacy: 4 bits frame type, 4 bits codec
    let header = body.u8()?;
    let keyframe = |frame_type| matches!(frame_type, FRAME_KEY | FRAME_GENERATED_KEY);
    if header & 0x80 == 0 {
        let frame_type = header >> 4;
        return legacy(body, header & 0xf, frame_type, keyframe(frame_type));
    }
    let frame_type = (header >> 4) & 7;
    enhanced(body, header & 0xf, frame_type, keyframe(frame_type))
}

fn legacy(mut body: Body, codec: u8, frame_type: u8, keyframe: bool) -> Result<Option<Packet>, FlvError> {
    if frame_type == FRAME_COMMAND {
        return Ok(None);
    }
    let format = match codec {
        CODEC_AVC => Format::H264,
        CODEC_HEVC => Format::H265,
        other => return Err(FlvError::VideoCodec { codec: legacy_name(other) }),
    };
    // u8 AVCPacketType, SI24 CompositionTime, data
    let packet_type = body.u8()?;
    if packet_type > AVC_NAL_UNITS {
        // The end of a sequence; some encoders leave its composition time out.
        return Ok(None);
    }
    let composition_ms = body.i24()?;
    let data = body.into_rest();
    Ok(match packet_type {
        _ if data.is_empty() => None,
        AVC_SEQUENCE_HEADER => Some(Packet::Config(format, data)),
        _ => Some(Packet::Coded { format, composition_ms, keyframe, data }),
    })
}

fn enhanced(mut body: Body, packet_type: u8, frame_type: u8, keyframe: bool) -> Result<Option<Packet>, FlvError> {
    let packet_type = skip_mod_ex(&mut body, packet_type)?;
    if frame_type == FRAME_COMMAND && packet_type != METADATA {
        return Ok(None);
    }
    let Some(track) = track_packet(body, packet_type, MULTITRACK)? else {
        return Ok(None);
    };
    let (packet_type, mut body) = (track.packet_type, track.body);
    if matches!(packet_type, SEQUENCE_END | METADATA) {
        return Ok(None);
    }
    let format = match &track.four_cc {
        b"avc1" => Format::H264,
        b"hvc1" => Format::H265,
        b"av01" => Format::Av1,
        _ => return Err(FlvError::VideoCodec { codec: CodecName::FourCc(track.four_cc) }),
    };
    let composition_ms = match packet_type {
        SEQUENCE_START | CODED_FRAMES_X => 0,
        CODED_FRAMES if format == Format::Av1 => 0,
        CODED_FRAMES => body.i24()?,
        other => return Err(FlvError::PacketType { kind: "video", packet_type: other }),
    };
    let data = body.into_rest();
    Ok(match packet_type {
        _ if data.is_empty() => None,
        SEQUENCE_START => Some(Packet::Config(format, data)),
        _ => Some(Packet::Coded { format, composition_ms, keyframe, data }),
    })
}

/// `CodecID` names (FLV §E.4.3.1).
fn legacy_name(codec: u8) -> CodecName {
    CodecName::Legacy(match codec {
        2 => "Sorenson H.263",
        3 => "Screen Video",
        4 => "VP6",
        5 => "VP6 with alpha",
        6 => "Screen Video 2",
        other => return CodecName::Id(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_slice(body: &[u8]) -> Result<Option<Packet>, FlvError> {
        parse(Bytes::copy_from_slice(body))
    }

    fn coded(format: Format, composition_ms: i32, keyframe: bool) -> Result<Option<Packet>, FlvError> {
        Ok(Some(Packet::Coded { format, composition_ms, keyframe, data: Bytes::from_static(b"data") }))
    }

    fn config(format: Format) -> Result<Option<Packet>, FlvError> {
        Ok(Some(Packet::Config(format, Bytes::from_static(b"data"))))
    }

    #[test]
    fn legacy_bodies() {
        assert_eq!(parse_slice(b"\x17\x00\x00\x00\x00data"), config(Format::H264));
        assert_eq!(parse_slice(b"\x27\x01\xff\xff\xfedata"), coded(Format::H264, -2, false));
        assert_eq!(parse_slice(b"\x1c\x01\x00\x00\x28data"), coded(Format::H265, 40, true));
        for nothing in [&b""[..], b"\x17\x01\0\0\0", b"\x17\x02", b"\x17\x02\0\0\0", b"\x57\x00", b"\x52\x01"] {
            assert_eq!(parse_slice(nothing), Ok(None), "{nothing:?}");
        }
    }

    #[test]
    fn enhanced_bodies() {
        assert_eq!(parse_slice(b"\x90hvc1data"), config(Format::H265));
        assert_eq!(parse_slice(b"\x91hvc1\x00\x00\x50data"), coded(Format::H265, 80, true));
        assert_eq!(parse_slice(b"\xa3avc1data"), coded(Format::H264, 0, false));
        assert_eq!(parse_slice(b"\xa1av01data"), coded(Format::Av1, 0, false));
        for nothing in [&b"\x92hvc1"[..], b"\x94av01\x02\0\x09colorInfo", b"\xd1\x00", b"\x91hvc1\0\0\0"] {
            assert_eq!(parse_slice(nothing), Ok(None), "{nothing:?}");
        }
    }

    #[test]
    fn mod_ex_is_passed_over() {
        assert_eq!(parse_slice(b"\x97\x02\x00\x00\x63\x03hvc1data"), coded(Format::H265, 0, true));
        assert_eq!(parse_slice(b"\x97\x00\x63\x07\x00\x63\x03hvc1data"), coded(Format::H265, 0, true));
        let mut long = b"\x97\xff\x01\x2b".to_vec();
        long.resize(4 + 300, 0);
        long.extend_from_slice(b"\x03hvc1data");
        assert_eq!(parse_slice(&long), coded(Format::H265, 0, true));
    }

    #[test]
    fn of_many_tracks_the_first_is_carried() {
        assert_eq!(parse_slice(b"\x96\x03avc1\x00data"), coded(Format::H264, 0, true));
        assert_eq!(parse_slice(b"\x96\x03avc1\x01data"), Ok(None));
        assert_eq!(parse_slice(b"\x96\x13avc1\x01\0\0\x02no\x00\0\0\x04data"), coded(Format::H264, 0, true));
        assert_eq!(parse_slice(b"\x96\x23vp09\x01\0\0\x02noav01\x00\0\0\x04data"), coded(Format::Av1, 0, true));
        assert_eq!(parse_slice(b"\x96\x13avc1\x01\0\0\x02no"), Ok(None));
    }

    #[test]
    fn other_codecs_are_named() {
        let error = parse_slice(b"\x14rest").unwrap_err();
        assert_eq!(error.to_string(), "video codec VP6 is not supported, send H.264, H.265 or AV1");
        let error = parse_slice(b"\x90vp09rest").unwrap_err();
        assert_eq!(error.to_string(), "video codec `vp09` is not supported, send H.264, H.265 or AV1");
        assert_eq!(
            parse_slice(b"\x95av01rest").unwrap_err().to_string(),
            "video packet type 5 is not supported, send plain Enhanced RTMP packets"
        );
    }

    #[test]
    fn cut_headers_are_errors() {
        for cut in [
            &b"\x17"[..],
            b"\x17\x01\x00",
            b"\x91hvc1\x00",
            b"\x90hv",
            b"\x97\x05\x00",
            b"\x96",
            b"\x96\x13avc1\x01\0\0\x09no",
        ] {
            let expected = FlvError::Truncated { kind: "video", bytes: cut.len() };
            assert_eq!(parse_slice(cut), Err(expected), "{cut:?}");
        }
    }
}
