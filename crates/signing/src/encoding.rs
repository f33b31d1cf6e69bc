//! The URL-safe base64 of CloudFront, and percent-decoding.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

/// Padding may be missing: some clients strip it from the end of a URL.
const DECODER: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Standard base64 with `+` as `-`, `=` as `_` and `/` as `~`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let swap = |c| match c {
        '+' => '-',
        '=' => '_',
        '/' => '~',
        other => other,
    };
    STANDARD.encode(bytes).chars().map(swap).collect()
}

/// The inverse of [`encode`]; `None` for anything else, the standard's own signs included.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let swap = |byte| match byte {
        b'-' => Some(b'+'),
        b'_' => Some(b'='),
        b'~' => Some(b'/'),
        b'+' | b'=' | b'/' => None,
        other => Some(other),
    };
    let standard: Vec<u8> = text.bytes().map(swap).collect::<Option<_>>()?;
    DECODER.decode(standard).ok()
}

/// Decodes `%XX`. A sign that is not followed by two hex digits stands for itself; `+` is no space.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], escaped(&bytes[at..])) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

fn escaped(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(*bytes.get(1)?)? << 4 | digit(*bytes.get(2)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_uses_the_three_other_signs() {
        assert_eq!(encode(&[0xfb, 0xef, 0xff, 0xfe]), "--~~~g__");
        assert_eq!(decode("--~~~g__").unwrap(), [0xfb, 0xef, 0xff, 0xfe]);
        assert_eq!(decode("--~~~g").unwrap(), [0xfb, 0xef, 0xff, 0xfe]);
        for bad in ["++//", "A", "AA==", "A A_", "é"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn percent_signs() {
        assert_eq!(percent_decode("a%7Eb%7e").as_ref(), b"a~b~");
        assert_eq!(percent_decode("%").as_ref(), b"%");
        assert_eq!(percent_decode("%4").as_ref(), b"%4");
        assert_eq!(percent_decode("%zz+%25").as_ref(), b"%zz+%");
    }
}
