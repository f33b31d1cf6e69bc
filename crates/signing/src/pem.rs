//! PEM (RFC 7468): one labelled block.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest text that is looked at, in bytes: an 8192-bit private key takes under 7 KiB.
const PEM_MAX_BYTES: usize = 64 * 1024;

/// Bytes of base64 on a line (RFC 7468 §2).
const LINE: usize = 64;

/// The first block of `text`: its label and its bytes. Text around the block is skipped.
pub(crate) fn decode(text: &str) -> Option<(&str, Vec<u8>)> {
    if text.len() > PEM_MAX_BYTES {
        return None;
    }
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, tail) = rest.split_once("-----END ")?;
    if !tail.strip_prefix(label)?.starts_with("-----") {
        return None;
    }
    let body: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    Some((label, STANDARD.decode(body).ok()?))
}

/// A block with lines of 64 characters, ended by a line feed.
pub(crate) fn encode(label: &str, bytes: &[u8]) -> String {
    let body = STANDARD.encode(bytes);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_round_trip() {
        for len in [0, 1, 47, 48, 49, 1000] {
            let bytes: Vec<u8> = (0..len).map(|i: usize| i.to_le_bytes()[0]).collect();
            let text = encode("PUBLIC KEY", &bytes);
            assert!(text.lines().all(|line| line.len() <= LINE));
            assert_eq!(decode(&text), Some(("PUBLIC KEY", bytes.clone())));
            assert_eq!(decode(&format!("a comment\r\n{}", text.replace('\n', "\r\n"))), Some(("PUBLIC KEY", bytes)));
        }
    }

    #[test]
    fn what_is_no_block() {
        let text = encode("A", b"bytes");
        for bad in ["", "-----BEGIN ", "-----BEGIN A-----", &text.replace("END A", "END B"), &text.replace("Yn", "!!")]
        {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
        assert_eq!(decode(&" ".repeat(PEM_MAX_BYTES + 1)), None);
    }
}
