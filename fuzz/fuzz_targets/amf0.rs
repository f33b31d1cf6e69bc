//! AMF0 values: whatever decodes, encodes to bytes that decode and encode the same.
#![no_main]

use anabranch_ingest::rtmp::amf0::{decode, encode_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(values) = decode(input) else { return };
    let bytes = encode_all(&values);
    let again = decode(&bytes).expect("what was encoded decodes");
    // Bytes and not values: a number may be NaN.
    assert_eq!(encode_all(&again), bytes);
});
