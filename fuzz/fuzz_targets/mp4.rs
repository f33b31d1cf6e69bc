//! Indexes of MP4 files as people upload them: the top level, `moov`, `moof`, and the samples that they tell of.
#![no_main]

use anabranch_media::mp4::{BoxHeader, FragmentTime, MAX_FRAGMENT_SAMPLES, MAX_TRACK_SAMPLES, MAX_TRACKS, Movie};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// Samples of a track that are looked at: a few bytes may tell of millions.
const SAMPLES: usize = 1 << 12;

fuzz_target!(|input: &[u8]| {
    file(input);
    // And past what every index has to begin with: a movie header whose timescale is not zero.
    let mut header = vec![0; 108];
    header[..8].copy_from_slice(&[0, 0, 0, 108, b'm', b'v', b'h', b'd']);
    header[20..24].copy_from_slice(&1000_u32.to_be_bytes());
    movie(Bytes::from([header.as_slice(), input].concat()));
});

/// Walks the top level as a reader of a file does.
fn file(input: &[u8]) {
    let (mut at, mut known) = (0_usize, None);
    let mut times = vec![FragmentTime::default(); MAX_TRACKS];
    while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
        let Ok(header) = BoxHeader::parse(&rest[..rest.len().min(BoxHeader::MAX_BYTES)]) else { return };
        let start = usize::try_from(header.header_bytes).expect("a head is short").min(rest.len());
        let body = &rest[start..];
        let length = header.body_bytes.map_or(body.len(), |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let body = &body[..length.min(body.len())];
        match &header.kind.0 {
            b"moov" => known = movie(Bytes::copy_from_slice(body)),
            b"moof" => {
                if let Some(movie) = &known {
                    fragments(movie, at as u64, body, &mut times);
                }
            }
            _ => {}
        }
        at = at.saturating_add(start).saturating_add(length);
    }
}

fn movie(body: Bytes) -> Option<Movie> {
    let movie = Movie::parse(&body).ok()?;
    assert!(movie.tracks.len() <= MAX_TRACKS);
    for track in &movie.tracks {
        assert!(track.sample_count() <= MAX_TRACK_SAMPLES);
        let mut told = 0;
        for sample in track.samples().take(SAMPLES) {
            let _ = track.shows(&sample);
            told += 1;
        }
        assert!(told <= track.sample_count() as usize);
        let _ = (track.rotation(), track.media(), track.kind());
    }
    Some(movie)
}

fn fragments(movie: &Movie, at: u64, body: &[u8], times: &mut [FragmentTime]) {
    for (index, time) in (0..movie.tracks.len()).zip(times) {
        let mut samples = Vec::new();
        let _ = movie.fragment(index, at, body, time, &mut samples);
        assert!(samples.len() <= MAX_FRAGMENT_SAMPLES);
    }
}
