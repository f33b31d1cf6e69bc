//! Names and marks that follow from content.

use std::fmt::Write;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

/// Bytes of a digest that are told: 64 bits, for the few names of one number and the few pictures of one minute.
const TOLD_BYTES: usize = 8;

/// The beginning of the SHA-256 of `chunks`, joined, in hexadecimal.
pub(crate) fn of(chunks: &[Bytes]) -> String {
    let mut context = Context::new(&SHA256);
    chunks.iter().for_each(|chunk| context.update(chunk));
    let digest = context.finish();
    digest.as_ref().iter().take(TOLD_BYTES).fold(String::with_capacity(2 * TOLD_BYTES), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
