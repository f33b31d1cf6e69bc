//! The HTTP/2 front's protocol, with any bytes of a viewer after the preface, in pieces of any length.
#![no_main]

use anabranch_edge::receive_http2;
use libfuzzer_sys::fuzz_target;

/// The preface and empty settings, which every connection begins with.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fuzz_target!(|input: &[u8]| {
    let (pieces, bytes) = input.split_at(input.len().min(4));
    receive_http2(&[HELLO, bytes].concat(), pieces);
});
