//! The rewriting of URIs, with any query against any playlist: no line more or less, nothing lost, no larger than it says.
#![no_main]

use anabranch_hls::rewrite::append_query;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (query, playlist) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (b"Policy=a&Signature=b~&Key-Pair-Id=c".as_slice(), input),
    };
    let query = String::from_utf8_lossy(query);
    let mut out = Vec::new();
    append_query(playlist, &query, Some("example.com:8888"), &mut out);
    assert_eq!(lines(&out), lines(playlist), "a URI has broken a line");
    assert!(contains_in_order(&out, playlist), "bytes of the playlist are lost");
    let uris = lines(playlist) + 1 + playlist.windows(4).filter(|window| window.eq_ignore_ascii_case(b"URI=")).count();
    // A byte of the query becomes three at most.
    assert!(out.len() <= playlist.len() + uris * (1 + 3 * query.len()));
});

fn lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

fn contains_in_order(text: &[u8], wanted: &[u8]) -> bool {
    let mut text = text.iter();
    wanted.iter().all(|wanted| text.any(|byte| byte == wanted))
}
