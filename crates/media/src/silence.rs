//! Silent access units, to fill gaps of sound.

use bytes::Bytes;

use crate::bits::BitWriter;
use crate::codec::aac;
use crate::{Codec, Track};

/// `id_syn_ele` values (ISO/IEC 14496-3 table 4.85).
const ID_SCE: u32 = 0;
const ID_CPE: u32 = 1;
const ID_END: u32 = 7;

/// A global gain at which nothing sounds; without spectral data any value is silent.
const GLOBAL_GAIN: u32 = 100;

/// An access unit that decodes to silence and lasts as long as the track's others: for AAC-LC with one or two channels, and
/// for Opus with one or two channels and packets of 2.5 to 60 ms. `None` for any other track.
pub fn silent_frame(track: &Track) -> Option<Bytes> {
    match (&track.codec, track.channels) {
        (Codec::Aac(config), channels @ 1..=2) => {
            (aac::object_type(config) == Some(aac::AOT_LC)).then(|| aac_frame(channels).into())
        }
        (Codec::Opus(_), channels @ 1..=2) => opus_packet(channels, track.frame_samples),
        _ => None,
    }
}

/// `raw_data_block` (ISO/IEC 14496-3 table 4.3) of one element without any scale factor band.
fn aac_frame(channels: u32) -> Vec<u8> {
    let mut w = BitWriter::default();
    if channels == 1 {
        w.bits(ID_SCE, 3);
        w.bits(0, 4); // element_instance_tag
        w.bits(GLOBAL_GAIN, 8);
        ics_info(&mut w);
        channel_tail(&mut w);
    } else {
        w.bits(ID_CPE, 3);
        w.bits(0, 4); // element_instance_tag
        w.bits(1, 1); // common_window
        ics_info(&mut w);
        w.bits(0, 2); // ms_mask_present
        for _ in 0..2 {
            w.bits(GLOBAL_GAIN, 8);
            channel_tail(&mut w);
        }
    }
    w.bits(ID_END, 3);
    w.into_bytes()
}

/// `ics_info` of a long window without bands.
fn ics_info(w: &mut BitWriter) {
    w.bits(0, 1); // ics_reserved_bit
    w.bits(0, 2); // window_sequence: ONLY_LONG_SEQUENCE
    w.bits(0, 1); // window_shape
    w.bits(0, 6); // max_sfb
    w.bits(0, 1); // predictor_data_present
}

/// What follows section and scale factor data, which are empty with `max_sfb` = 0.
fn channel_tail(w: &mut BitWriter) {
    w.bits(0, 1); // pulse_data_present
    w.bits(0, 1); // tns_data_present
    w.bits(0, 1); // gain_control_data_present
}

/// CELT frames that code silence (RFC 6716 §4.3: the silence flag is the first symbol, which all ones decode to true).
fn opus_packet(channels: u32, frame_samples: u32) -> Option<Bytes> {
    const SILENCE: [u8; 2] = [0xff, 0xfe];
    // Configurations 28 to 31: full band, 2.5, 5, 10 and 20 ms.
    let (config, frames) = match frame_samples {
        120 => (28, 1),
        240 => (29, 1),
        480 => (30, 1),
        960 => (31, 1),
        1920 => (31, 2),
        2880 => (31, 3),
        _ => return None,
    };
    // Code 0: one frame; 1: two of the same size; 3: a count follows.
    let code = [0, 0, 1, 3][frames];
    let mut packet = vec![config << 3 | u8::from(channels == 2) << 2 | code];
    if code == 3 {
        packet.push(frames as u8);
    }
    packet.extend(SILENCE.repeat(frames));
    Some(packet.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TrackKind, opus_packet_samples};

    fn track(codec: Codec, channels: u32, frame_samples: u32) -> Track {
        Track {
            kind: TrackKind::Audio,
            timescale: 1000,
            codec,
            codecs: String::new(),
            width: 0,
            height: 0,
            sample_rate: 48_000,
            channels,
            frame_samples,
        }
    }

    #[test]
    fn opus_packets_last_as_long_as_the_others() {
        for samples in [120, 240, 480, 960, 1920, 2880] {
            let packet = silent_frame(&track(Codec::Opus(Bytes::new()), 2, samples)).unwrap();
            assert_eq!(opus_packet_samples(&packet), Some(samples));
        }
        assert_eq!(silent_frame(&track(Codec::Opus(Bytes::new()), 2, 0)), None);
    }

    #[test]
    fn other_tracks_have_none() {
        let surround = track(Codec::Aac(Bytes::from_static(&[0x11, 0xb0])), 6, 1024);
        assert_eq!(silent_frame(&surround), None);
        let high_efficiency = track(Codec::Aac(Bytes::from_static(&[0x2b, 0x11, 0x88])), 2, 1024);
        assert_eq!(silent_frame(&high_efficiency), None);
        assert_eq!(silent_frame(&track(Codec::H264(Bytes::new()), 0, 0)), None);
    }
}
