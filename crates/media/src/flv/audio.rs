//! Bodies of audio messages.

use bytes::Bytes;

use super::enhanced::{Body, skip_mod_ex, track_packet};
use super::{CodecName, FlvError, Format, Packet};

/// `SoundFormat` values (FLV §E.4.2.1; 9 by Enhanced RTMP v2).
const SOUND_EXTENDED: u8 = 9;
const SOUND_AAC: u8 = 10;

/// `AACPacketType` of a configuration.
const AAC_SEQUENCE_HEADER: u8 = 0;

/// `AudioPacketType` values (Enhanced RTMP v2, "Enhanced audio").
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const MULTICHANNEL_CONFIG: u8 = 4;
const MULTITRACK: u8 = 5;

/// Reads one body; `None` when it holds nothing to carry.
pub(super) fn parse(body: Bytes) -> Result<Option<Packet>, FlvError> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut body = Body::new("audio", body);
    // 4 bits SoundFormat; legacy: rate, size, type, all unused by AAC; extended: 4 bits packet type
    let header = body.u8()?;
    match header >> 4 {
        SOUND_AAC => {
            let packet_type = body.u8()?;
            Ok(packet(Format::Aac, packet_type == AAC_SEQUENCE_HEADER, body))
        }
        SOUND_EXTENDED => enhanced(body, header & 0xf),
        other => Err(FlvError::AudioCodec { codec: legacy_name(other) }),
    }
}

fn enhanced(mut body: Body, packet_type: u8) -> Result<Option<Packet>, FlvError> {
    let packet_type = skip_mod_ex(&mut body, packet_type)?;
    let Some(track) = track_packet(body, packet_type, MULTITRACK)? else {
        return Ok(None);
    };
    let format = match &track.four_cc {
        b"mp4a" => Format::Aac,
        b"Opus" => Format::Opus,
        _ => return Err(FlvError::AudioCodec { codec: CodecName::FourCc(track.four_cc) }),
    };
    match track.packet_type {
        start_or_coded @ (SEQUENCE_START | CODED_FRAMES) => {
            Ok(packet(format, start_or_coded == SEQUENCE_START, track.body))
        }
        // Channel order is a matter of the decoder configuration.
        SEQUENCE_END | MULTICHANNEL_CONFIG => Ok(None),
        other => Err(FlvError::PacketType { kind: "audio", packet_type: other }),
    }
}

fn packet(format: Format, is_config: bool, body: Body) -> Option<Packet> {
    let data = body.into_rest();
    match is_config {
        _ if data.is_empty() => None,
        true => Some(Packet::Config(format, data)),
        false => Some(Packet::Coded { format, composition_ms: 0, keyframe: true, data }),
    }
}

/// `SoundFormat` names (FLV §E.4.2.1).
fn legacy_name(format: u8) -> CodecName {
    CodecName::Legacy(match format {
        0 | 3 => "PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 | 8 => "G.711",
        11 => "Speex",
        other => return CodecName::Id(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_slice(body: &[u8]) -> Result<Option<Packet>, FlvError> {
        parse(Bytes::copy_from_slice(body))
    }

    fn coded(format: Format) -> Result<Option<Packet>, FlvError> {
        Ok(Some(Packet::Coded { format, composition_ms: 0, keyframe: true, data: Bytes::from_static(b"data") }))
    }

    fn config(format: Format) -> Result<Option<Packet>, FlvError> {
        Ok(Some(Packet::Config(format, Bytes::from_static(b"data"))))
    }

    #[test]
    fn legacy_and_enhanced_bodies() {
        assert_eq!(parse_slice(b"\xaf\x00data"), config(Format::Aac));
        assert_eq!(parse_slice(b"\xaf\x01data"), coded(Format::Aac));
        assert_eq!(parse_slice(b"\x90mp4adata"), config(Format::Aac));
        assert_eq!(parse_slice(b"\x91Opusdata"), coded(Format::Opus));
        assert_eq!(parse_slice(b"\x97\x02\0\0\x01\x01Opusdata"), coded(Format::Opus));
        assert_eq!(parse_slice(b"\x95\x01Opus\x00data"), coded(Format::Opus));
        assert_eq!(parse_slice(b"\x95\x11Opus\x02\0\0\x01x\x00\0\0\x04data"), coded(Format::Opus));
        for nothing in [&b""[..], b"\xaf\x01", b"\x92mp4a", b"\x94Opus\x01\x02", b"\x95\x01Opus\x03data"] {
            assert_eq!(parse_slice(nothing), Ok(None), "{nothing:?}");
        }
    }

    #[test]
    fn other_codecs_are_named() {
        let error = parse_slice(b"\x2frest").unwrap_err();
        assert_eq!(error.to_string(), "audio codec MP3 is not supported, send AAC or Opus");
        let error = parse_slice(b"\x90fLaCrest").unwrap_err();
        assert_eq!(error.to_string(), "audio codec `fLaC` is not supported, send AAC or Opus");
        assert_eq!(
            parse_slice(b"\xbf").unwrap_err().to_string(),
            "audio codec Speex is not supported, send AAC or Opus"
        );
        assert!(matches!(parse_slice(b"\x93Opus"), Err(FlvError::PacketType { .. })));
    }

    #[test]
    fn cut_headers_are_errors() {
        for cut in [&b"\xaf"[..], b"\x90Opu", b"\x97\x05", b"\x95\x11Opus\x00\0\0\x09d"] {
            assert_eq!(parse_slice(cut), Err(FlvError::Truncated { kind: "audio", bytes: cut.len() }), "{cut:?}");
        }
    }
}
