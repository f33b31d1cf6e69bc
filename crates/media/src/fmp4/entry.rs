//! Sample entries: what `stsd` says of each codec.

use super::boxes::Writer;
use crate::{Codec, Track};

/// `objectTypeIndication` of MPEG-4 audio (ISO/IEC 14496-1 table 5).
const OBJECT_MPEG4_AUDIO: u8 = 0x40;

/// Writes the sample entry of a track whose fields were checked.
///
/// `extensions` are whole boxes that follow the configuration of a picture.
pub(super) fn sample_entry(w: &mut Writer, track: &Track, extensions: &[u8]) {
    let picture = |w: &mut Writer, kind, config: (&[u8; 4], &[u8])| {
        visual(w, kind, track, |w| {
            w.plain(config.0, |w| w.put(config.1));
            w.put(extensions);
        });
    };
    match &track.codec {
        Codec::H264(config) => picture(w, b"avc1", (b"avcC", config)),
        Codec::H265(config) => picture(w, b"hvc1", (b"hvcC", &complete_arrays(config))),
        Codec::Av1(config) => picture(w, b"av01", (b"av1C", config)),
        Codec::Aac(config) => audio(w, b"mp4a", track, |w| esds(w, config)),
        Codec::Opus(config) => audio(w, b"Opus", track, |w| w.plain(b"dOps", |w| w.put(config))),
        Codec::Ac3(config) => audio(w, b"ac-3", track, |w| w.plain(b"dac3", |w| w.put(config))),
        Codec::Eac3(config) => audio(w, b"ec-3", track, |w| w.plain(b"dec3", |w| w.put(config))),
    }
}

/// `VisualSampleEntry` (ISO/IEC 14496-12 §12.1.3).
fn visual(w: &mut Writer, kind: &[u8; 4], track: &Track, config: impl FnOnce(&mut Writer)) {
    w.plain(kind, |w| {
        w.zeros(6); // reserved
        w.u16(1); // data_reference_index
        w.zeros(2 + 2 + 12); // pre_defined, reserved, pre_defined
        w.u16(track.width as u16); // width
        w.u16(track.height as u16); // height
        w.u32(0x0048_0000); // horizresolution, 72 dpi
        w.u32(0x0048_0000); // vertresolution
        w.u32(0); // reserved
        w.u16(1); // frame_count
        w.zeros(32); // compressorname: length and text
        w.u16(0x0018); // depth: colour without alpha
        w.u16(0xffff); // pre_defined = -1
        config(w);
    });
}

/// `AudioSampleEntry` (ISO/IEC 14496-12 §12.2.3), version 0.
fn audio(w: &mut Writer, kind: &[u8; 4], track: &Track, config: impl FnOnce(&mut Writer)) {
    w.plain(kind, |w| {
        w.zeros(6); // reserved
        w.u16(1); // data_reference_index
        w.zeros(8); // reserved
        w.u16(track.channels as u16); // channelcount
        w.u16(16); // samplesize
        w.u32(0); // pre_defined, reserved
        // 16.16 fixed point; a rate above its range stands in the decoder configuration only.
        w.u16(u16::try_from(track.sample_rate).unwrap_or(0));
        w.u16(0);
        config(w);
    });
}

/// `ESDBox` (ISO/IEC 14496-14 §5.6.1) around an AudioSpecificConfig.
fn esds(w: &mut Writer, config: &[u8]) {
    w.full(b"esds", 0, 0, |w| {
        // ES_Descriptor
        w.descriptor(3, |w| {
            w.u16(0); // ES_ID: 0 in stored files
            w.u8(0); // no dependency, URL or clock reference; priority 0
            // DecoderConfigDescriptor
            w.descriptor(4, |w| {
                w.u8(OBJECT_MPEG4_AUDIO); // objectTypeIndication
                w.u8(5 << 2 | 1); // streamType = audio, upStream = 0, reserved = 1
                w.u24(0); // bufferSizeDB: not known
                w.u32(0); // maxBitrate: not known
                w.u32(0); // avgBitrate: not known
                w.descriptor(5, |w| w.put(config)); // DecoderSpecificInfo
            });
            w.descriptor(6, |w| w.u8(2)); // SLConfigDescriptor: predefined for MP4
        });
    });
}

/// The record with `array_completeness` set on its parameter sets, as the sample entry `hvc1` demands (ISO/IEC 14496-15
/// §8.4.1.1). Encoders leave it open for in-band copies, which players pass over. A record that cannot be walked stays as it is.
fn complete_arrays(record: &[u8]) -> Vec<u8> {
    /// Offset of numOfArrays.
    const ARRAYS: usize = 22;
    let mut out = record.to_vec();
    let mut at = ARRAYS + 1;
    for _ in 0..record.get(ARRAYS).copied().unwrap_or(0) {
        // 1 bit array_completeness, 1 bit reserved, 6 bits NAL_unit_type; u16 numNalus; u16 length + NAL unit each
        let Some(&[kind, high, low]) = record.get(at..at + 3) else {
            return record.to_vec();
        };
        if (32..=34).contains(&(kind & 0x3f)) {
            out[at] |= 0x80;
        }
        at += 3;
        for _ in 0..u16::from_be_bytes([high, low]) {
            let Some(&[high, low]) = record.get(at..at + 2) else {
                return record.to_vec();
            };
            at += 2 + usize::from(u16::from_be_bytes([high, low]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameter_set_arrays_are_marked_complete() {
        let mut record = vec![1; 22];
        record.extend_from_slice(&[2, 0x21, 0, 1, 0, 2, 9, 9, 0x27, 0, 0]);
        let out = complete_arrays(&record);
        assert_eq!(out[22..], [2, 0xa1, 0, 1, 0, 2, 9, 9, 0x27, 0, 0]);
        record.truncate(25);
        assert_eq!(complete_arrays(&record), record);
    }

    proptest! {
        #[test]
        fn any_record(record in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(complete_arrays(&record).len(), record.len());
        }
    }
}
