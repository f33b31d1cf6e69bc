//! Putting a query on the URIs of a playlist: how media playlists and segments come to carry their viewer's signature.

use std::borrow::Cow;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Appends `query` (without `?`) to every URI of `playlist` that leads to where the playlist came from, and writes the result to
/// `out`: URI lines, and `URI="…"` attributes of any tag. A URI counts if it is relative, begins with `/`, or names
/// `own_authority` (`host` or `host:port`) over HTTP. Its own query stays before, its fragment after. All other bytes stay as
/// they are.
///
/// One pass, linear; the result is longer by at most one `query` and a sign for each URI. Bytes of `query` that would end a
/// line or a quoted string are percent-encoded.
pub fn append_query(playlist: &[u8], query: &str, own_authority: Option<&str>, out: &mut Vec<u8>) {
    if query.is_empty() {
        out.extend_from_slice(playlist);
        return;
    }
    out.reserve(playlist.len() + query.len() * 16);
    let query = contained(query);
    let appender = Appender { query: query.as_bytes(), own_authority };
    let body = playlist.strip_prefix(BOM).unwrap_or(playlist);
    out.extend_from_slice(&playlist[..playlist.len() - body.len()]);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let text = line.trim_ascii();
        if text.is_empty() {
            out.extend_from_slice(line);
        } else if text.starts_with(b"#") {
            appender.tag(line, out);
        } else {
            let start = line.len() - line.trim_ascii_start().len();
            out.extend_from_slice(&line[..start]);
            appender.uri(text, out);
            out.extend_from_slice(&line[start + text.len()..]);
        }
    }
}

struct Appender<'a> {
    query: &'a [u8],
    own_authority: Option<&'a str>,
}

impl Appender<'_> {
    /// A line that begins with `#`: comments and the free text of `EXTINF` have no attributes.
    fn tag(&self, line: &[u8], out: &mut Vec<u8>) {
        let attributes = line.iter().position(|byte| *byte == b':').map_or(line.len(), |colon| colon + 1);
        if !line.starts_with(b"#EXT-X-") || attributes == line.len() {
            out.extend_from_slice(line);
            return;
        }
        let mut done = 0;
        let mut at = attributes;
        // Each turn takes one `NAME=VALUE` and its comma, so that `URI=` inside a quoted string is never a name.
        while let Some(equals) = line[at..].iter().position(|byte| matches!(byte, b'=' | b',')) {
            let name = line[at..at + equals].trim_ascii();
            at += equals + 1;
            if line[at - 1] == b',' {
                continue;
            }
            if line.get(at) == Some(&b'"') {
                let start = at + 1;
                let Some(len) = line[start..].iter().position(|byte| *byte == b'"') else { break };
                if name == b"URI" {
                    out.extend_from_slice(&line[done..start]);
                    self.uri(&line[start..start + len], out);
                    done = start + len;
                }
                at = start + len + 1;
            }
            let Some(comma) = line[at..].iter().position(|byte| *byte == b',') else { break };
            at += comma + 1;
        }
        out.extend_from_slice(&line[done..]);
    }

    fn uri(&self, uri: &[u8], out: &mut Vec<u8>) {
        if !self.is_own(uri) {
            out.extend_from_slice(uri);
            return;
        }
        let fragment = uri.iter().position(|byte| *byte == b'#').unwrap_or(uri.len());
        let (base, fragment) = uri.split_at(fragment);
        out.extend_from_slice(base);
        match base.iter().position(|byte| *byte == b'?') {
            None => out.push(b'?'),
            Some(_) if base.ends_with(b"?") || base.ends_with(b"&") => {}
            Some(_) => out.push(b'&'),
        }
        out.extend_from_slice(self.query);
        out.extend_from_slice(fragment);
    }

    fn is_own(&self, uri: &[u8]) -> bool {
        let rest = match scheme(uri) {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https") => {
                &uri[scheme.len() + 1..]
            }
            Some(_) => return false,
            // Nothing, or a place in the playlist itself.
            None if uri.is_empty() || uri.starts_with(b"#") => return false,
            // Browsers drop tabs and line ends before they look for an authority, so `/<tab>/host` may be another's.
            None if uri.iter().any(u8::is_ascii_control) => return false,
            None => uri,
        };
        // Browsers take a backslash for a slash here.
        let is_slash = |at: usize| rest.get(at).is_some_and(|byte| matches!(byte, b'/' | b'\\'));
        if !(is_slash(0) && is_slash(1)) {
            return rest.len() == uri.len();
        }
        let authority = &rest[2..];
        let end =
            authority.iter().position(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#')).unwrap_or(authority.len());
        self.own_authority.is_some_and(|own| own.as_bytes().eq_ignore_ascii_case(&authority[..end]))
    }
}

/// RFC 3986 §3.1: what stands before the first colon, if it can be a scheme.
fn scheme(uri: &[u8]) -> Option<&[u8]> {
    let end = uri.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(byte)))?;
    (uri[end] == b':' && uri[0].is_ascii_alphabetic()).then(|| &uri[..end])
}

fn contained(query: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#');
    if query.bytes().all(plain) {
        return Cow::Borrowed(query);
    }
    let mut out = String::with_capacity(query.len() + 16);
    for byte in query.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn appended(playlist: &str) -> String {
        let mut out = Vec::new();
        append_query(playlist.as_bytes(), "P=1&S=2", Some("h.example:8888"), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_uri_with_control_bytes_is_not_trusted_with_a_signature() {
        let mut out = Vec::new();
        append_query(b"/\t/elsewhere.example/a.m4s\n", "Policy=p", None, &mut out);
        assert_eq!(out, b"/\t/elsewhere.example/a.m4s\n");
    }

    #[test]
    fn uris_of_every_form() {
        for (uri, expected) in [
            ("video.m3u8", "video.m3u8?P=1&S=2"),
            ("video/1.m4s", "video/1.m4s?P=1&S=2"),
            ("../x", "../x?P=1&S=2"),
            ("/b/x", "/b/x?P=1&S=2"),
            ("x?a=1", "x?a=1&P=1&S=2"),
            ("x?", "x?P=1&S=2"),
            ("x?a=1&", "x?a=1&P=1&S=2"),
            ("x#t=1?2", "x?P=1&S=2#t=1?2"),
            ("x?a=1#t", "x?a=1&P=1&S=2#t"),
            ("?a=1", "?a=1&P=1&S=2"),
            ("12:30.ts", "12:30.ts?P=1&S=2"),
            ("a/b:c", "a/b:c?P=1&S=2"),
            ("http://h.example:8888/x", "http://h.example:8888/x?P=1&S=2"),
            ("HTTPS://H.example:8888/x#f", "HTTPS://H.example:8888/x?P=1&S=2#f"),
            ("//h.example:8888/x", "//h.example:8888/x?P=1&S=2"),
            ("http://h.example:8888?a", "http://h.example:8888?a&P=1&S=2"),
            ("http://h.example/x", "http://h.example/x"),
            ("http://h.example:8888@evil.example/x", "http://h.example:8888@evil.example/x"),
            ("http://evil.example/h.example:8888/", "http://evil.example/h.example:8888/"),
            ("//evil.example/x", "//evil.example/x"),
            ("/\\evil.example/x", "/\\evil.example/x"),
            ("\\\\evil.example/x", "\\\\evil.example/x"),
            ("http:x", "http:x"),
            ("data:text/plain,x", "data:text/plain,x"),
            ("skd://key", "skd://key"),
            ("javascript:x", "javascript:x"),
        ] {
            assert_eq!(appended(uri), expected);
            assert_eq!(appended(&format!("#EXT-X-MAP:URI=\"{uri}\"\n")), format!("#EXT-X-MAP:URI=\"{expected}\"\n"));
        }
        assert_eq!(
            appended("#EXT-X-KEY:URI=\"\"\n#EXT-X-KEY:URI=\"#a\""),
            "#EXT-X-KEY:URI=\"\"\n#EXT-X-KEY:URI=\"#a\""
        );
    }

    #[test]
    fn attributes_are_found_by_name() {
        for (line, expected) in [
            (r#"#EXT-X-MEDIA:TYPE=AUDIO,URI="a",NAME="n""#, r#"#EXT-X-MEDIA:TYPE=AUDIO,URI="a?P=1&S=2",NAME="n""#),
            (r#"#EXT-X-MEDIA:NAME="x,URI=y",URI="a""#, r#"#EXT-X-MEDIA:NAME="x,URI=y",URI="a?P=1&S=2""#),
            (r#"#EXT-X-KEY:METHOD=AES-128, URI="k",IV=0x1"#, r#"#EXT-X-KEY:METHOD=AES-128, URI="k?P=1&S=2",IV=0x1"#),
            (r#"#EXT-X-FOO:URI="a",URI="b""#, r#"#EXT-X-FOO:URI="a?P=1&S=2",URI="b?P=1&S=2""#),
            (r#"#EXT-X-FOO:flag,URI="a""#, r#"#EXT-X-FOO:flag,URI="a?P=1&S=2""#),
            (r#"#EXT-X-FOO:A="1"junk,URI="a""#, r#"#EXT-X-FOO:A="1"junk,URI="a?P=1&S=2""#),
            (r#"#EXT-X-FOO:X-URI="a",uri="b""#, r#"#EXT-X-FOO:X-URI="a",uri="b""#),
            (r#"#EXT-X-FOO:URI=a"#, r#"#EXT-X-FOO:URI=a"#),
            (r#"#EXT-X-FOO:URI="a"#, r#"#EXT-X-FOO:URI="a"#),
            (r#"#EXTINF:6,URI="a""#, r#"#EXTINF:6,URI="a""#),
            (r#"#comment:URI="a""#, r#"#comment:URI="a""#),
            ("#EXT-X-DISCONTINUITY", "#EXT-X-DISCONTINUITY"),
            ("#EXT-X-KEY:", "#EXT-X-KEY:"),
        ] {
            assert_eq!(appended(line), expected);
        }
    }

    #[test]
    fn line_ends_marks_and_blank_lines_stay() {
        assert_eq!(
            appended("\u{feff}#EXTM3U\r\n\r\n#EXT-X-ODD\r\n#EXTINF:6.0,\r\n a.ts \r\n\t\n\nb.ts"),
            "\u{feff}#EXTM3U\r\n\r\n#EXT-X-ODD\r\n#EXTINF:6.0,\r\n a.ts?P=1&S=2 \r\n\t\n\nb.ts?P=1&S=2"
        );
    }

    #[test]
    fn hostile_queries_stay_inside_their_uri() {
        let mut out = Vec::new();
        append_query(b"#EXT-X-MAP:URI=\"a\"\nb#f\n", "x=\"\r\n#\u{e9}", None, &mut out);
        let query = "x=%22%0D%0A%23%C3%A9";
        assert_eq!(String::from_utf8(out).unwrap(), format!("#EXT-X-MAP:URI=\"a?{query}\"\nb?{query}#f\n"));
    }

    #[test]
    fn no_query_changes_nothing() {
        let mut out = b"kept".to_vec();
        append_query(b"a.ts\xff\n", "", None, &mut out);
        assert_eq!(out, b"kepta.ts\xff\n");
    }

    proptest! {
        #[test]
        fn only_the_query_is_added(lines in prop::collection::vec(
            prop_oneof![
                "[a-z/.?&:# ]{0,12}", "#EXT-X-[A-Z]{0,3}:(URI=|URI=\"|\"|,|[a-z?#/:]|NAME=\"){0,9}", Just("\r".to_owned()), ".{0,8}",
            ], 0..8)) {
            let playlist = lines.join("\n");
            let mut out = Vec::new();
            append_query(playlist.as_bytes(), "\u{1}", None, &mut out);
            let out = String::from_utf8(out).unwrap();
            let restored = out.replace("?%01", "").replace("&%01", "").replace("%01", "");
            // An empty own query loses its sign with the query in this reading.
            prop_assert_eq!(restored.replace(['?', '&'], ""), playlist.replace(['?', '&'], ""));
            prop_assert_eq!(out.lines().count(), playlist.lines().count());
        }

        #[test]
        fn any_bytes_pass(playlist in prop::collection::vec(any::<u8>(), 0..200), query in ".*") {
            let mut out = Vec::new();
            append_query(&playlist, &query, Some("h"), &mut out);
            prop_assert!(out.len() >= playlist.len());
        }
    }
}
