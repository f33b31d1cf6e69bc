//! Signatures are not written down: who can read a log must not be able to watch.

/// Names whose values open doors, also as the ends of longer names (`CloudFront-Policy`, `X-Amz-Signature`).
const SECRETS: [&[u8]; 2] = [b"signature", b"policy"];

/// Longest rest of a name after one of [`SECRETS`].
const MAX_MARK_BYTES: usize = 64;

/// What stands in place of a value.
const MASK: &[u8] = b"***";

/// `text`, a path, a query or a URL, without the values of `Signature` and `Policy`. Names are found in any case, and `=` and `&`
/// also percent-encoded any number of times, as in a URL that is a parameter of another.
pub(super) fn redacted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((begin, end)) = secret(rest) {
        out.extend_from_slice(&rest[..begin]);
        out.extend_from_slice(MASK);
        rest = &rest[end..];
    }
    out.extend_from_slice(rest);
    out
}

/// Where the first secret value begins and ends.
fn secret(text: &[u8]) -> Option<(usize, usize)> {
    (0..text.len()).find_map(|at| {
        let word = SECRETS.iter().find(|word| starts_with(&text[at..], word))?;
        let begin = at + word.len();
        // Copies of a signature have longer names, as `Signature-PREFIX`.
        let mark = text[begin..].iter().take(MAX_MARK_BYTES).take_while(|byte| is_name(**byte)).count();
        let begin = begin + mark;
        let begin = begin + encoded(&text[begin..], b'=', b"3d")?;
        let end = (begin..text.len())
            .find(|&at| matches!(text[at], b'#' | b';' | b' ' | b'"') || encoded(&text[at..], b'&', b"26").is_some());
        Some((begin, end.unwrap_or(text.len())))
    })
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Length of `plain`, or of its code `hex`, at the beginning of `text`.
fn encoded(text: &[u8], plain: u8, hex: &[u8; 2]) -> Option<usize> {
    match *text.first()? {
        byte if byte == plain => Some(1),
        b'%' => {
            let mut at = 1;
            while text[at..].starts_with(b"25") {
                at += 2;
            }
            starts_with(&text[at..], hex).then_some(at + 2)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_signatures_are_masked() {
        for (text, expected) in [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("Expires=9&Signature=SECRET~_-&Key-Pair-Id=K1", "Expires=9&Signature=***&Key-Pair-Id=K1"),
            ("Policy=SECRET__&Signature=SECRET&Key-Pair-Id=K1", "Policy=***&Signature=***&Key-Pair-Id=K1"),
            ("signature=SECRET&POLICY=SECRET", "signature=***&POLICY=***"),
            ("X-Amz-Signature=SECRET", "X-Amz-Signature=***"),
            ("Signature=SECRET&Signature=SECRET", "Signature=***&Signature=***"),
            ("https://a/b?Policy=SECRET#top", "https://a/b?Policy=***#top"),
            ("url=https%3A%2F%2Fa%3FPolicy%3DSECRET%26x%3D1", "url=https%3A%2F%2Fa%3FPolicy%3D***%26x%3D1"),
            ("url=%253FPolicy%253DSECRET%2526x", "url=%253FPolicy%253D***%2526x"),
            ("Signature=SECRET%2BSECRET%3D&x", "Signature=***&x"),
            ("Policy-PREFIX=SECRET&x=1", "Policy-PREFIX=***&x=1"),
            ("Signature-PREFIX%3DSECRET%26x", "Signature-PREFIX%3D***%26x"),
            ("-PREFIXSignature_x.y=SECRET", "-PREFIXSignature_x.y=***"),
            ("policy", "policy"),
            ("policy=", "policy=***"),
            ("mypolicy.html", "mypolicy.html"),
            ("policypolicy=SECRET", "policypolicy=***"),
            ("Signature%", "Signature%"),
            ("Signature%2", "Signature%2"),
        ] {
            assert_eq!(String::from_utf8(redacted(text.as_bytes())).unwrap(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_else_is_lost(text: Vec<u8>, query in "((Policy|Signature|a|%25|%3[dD]|=|&|%26|;|x){0,12})") {
            let _ = redacted(&text);
            let once = redacted(query.as_bytes());
            proptest::prop_assert_eq!(redacted(&once), once);
        }
    }
}
