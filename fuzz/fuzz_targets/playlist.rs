//! Playlists from elsewhere: what is read and written is read and written the same again.
#![no_main]

use anabranch_hls::playlist::{MediaPlaylist, MultivariantPlaylist};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    round_trip(input);
    // And past what every playlist has to begin with.
    round_trip(&[b"#EXTM3U\n#EXT-X-VERSION:7\n".as_slice(), input].concat());
    round_trip(&[b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n".as_slice(), input].concat());
});

fn round_trip(input: &[u8]) {
    if let Ok(playlist) = MediaPlaylist::parse(input) {
        let text = playlist.render();
        let again = MediaPlaylist::parse(text.as_bytes()).expect("what was written is read");
        assert_eq!(again.render(), text);
    }
    if let Ok(playlist) = MultivariantPlaylist::parse(input) {
        let text = playlist.render();
        let again = MultivariantPlaylist::parse(text.as_bytes()).expect("what was written is read");
        assert_eq!(again.render(), text);
    }
}
