//! Header fields as they cross the edge: what stays on one side, and what an answer's framing may be.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, Method};

/// How the edge calls itself in `Via` (RFC 9110 §7.6.3).
const VIA_VALUE: &str = "1.1 anabranch";

/// Fields that are for one connection only, besides those that `Connection` names (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Where the end of an answer's body is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, whatever the fields say.
    Bodyless,
    /// After `Content-Length` bytes.
    Sized,
    /// At the last chunk.
    Chunked,
    /// When the connection closes.
    UntilClose,
}

/// Whether the edge alone decides about the field in a request.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || *name == CONTENT_LENGTH || *name == http::header::EXPECT
}

/// Takes out what is for one connection only.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
        let named = lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse().ok());
        let named: Vec<HeaderName> = named.collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Puts the edge behind those that the request has come through.
pub(super) fn append_via(headers: &mut HeaderMap) {
    let mut chain: Vec<u8> = Vec::new();
    for line in headers.get_all(VIA) {
        chain.extend_from_slice(line.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(VIA_VALUE.as_bytes());
    let value = HeaderValue::from_bytes(&chain).unwrap_or(HeaderValue::from_static(VIA_VALUE));
    headers.insert(VIA, value);
}

/// Judges an answer's framing, stricter than the parser does (RFC 9112 §6.3): what two programs could cut differently is refused.
/// Equal lengths become one.
///
/// # Errors
/// What is ambiguous.
pub(super) fn check_framing(method: &Method, status: u16, headers: &mut HeaderMap) -> Result<Framing, &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    if codings.next().is_some() || coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err("a transfer coding other than chunked");
    }
    let chunked = coding.is_some();
    let length = content_length(headers)?;
    if chunked && length.is_some() {
        return Err("both a length and a transfer coding");
    }
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(match (status, length) {
        (204 | 304, _) => Framing::Bodyless,
        _ if method == Method::HEAD => Framing::Bodyless,
        _ if chunked => Framing::Chunked,
        (_, Some(_)) => Framing::Sized,
        (_, None) => Framing::UntilClose,
    })
}

/// Whether bytes may follow that are no answer's: a body where none may be (RFC 9110 §15.3.5).
pub(super) fn may_trail(status: u16, headers: &HeaderMap) -> bool {
    let sized = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    status == 204 && (sized || headers.contains_key(TRANSFER_ENCODING))
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let mut found = None;
    for line in headers.get_all(CONTENT_LENGTH) {
        let line = line.to_str().map_err(|_| "a length that is no number")?;
        for item in line.split(',') {
            let item = item.trim_matches([' ', '\t']);
            if item.is_empty() || !item.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err("a length that is no number");
            }
            let length: u64 = item.parse().map_err(|_| "a length past all limits")?;
            if found.is_some_and(|other| other != length) {
                return Err("several lengths");
            }
            found = Some(length);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_one_reading_of_a_framing_is_accepted() {
        let check = |lines: &[(&'static str, &'static str)]| check_framing(&Method::GET, 200, &mut map(lines));
        assert_eq!(check(&[]), Ok(Framing::UntilClose));
        assert_eq!(check(&[("content-length", "5")]), Ok(Framing::Sized));
        assert_eq!(check(&[("content-length", "5"), ("content-length", "5")]), Ok(Framing::Sized));
        assert_eq!(check(&[("transfer-encoding", "Chunked")]), Ok(Framing::Chunked));
        for lines in [
            &[("content-length", "5"), ("transfer-encoding", "chunked")][..],
            &[("content-length", "5"), ("content-length", "6")],
            &[("content-length", "5, 6")],
            &[("content-length", "+5")],
            &[("content-length", "")],
            &[("content-length", "99999999999999999999")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "identity")],
            &[("transfer-encoding", "chunked, identity")],
        ] {
            assert!(check(lines).is_err(), "{lines:?}");
            assert!(check_framing(&Method::HEAD, 200, &mut map(lines)).is_err(), "{lines:?}");
        }
        let mut twice = map(&[("content-length", "05, 5")]);
        assert_eq!(check_framing(&Method::HEAD, 200, &mut twice), Ok(Framing::Bodyless));
        assert_eq!(twice, map(&[("content-length", "5")]));
    }

    #[test]
    fn what_is_for_one_connection_stays_there() {
        let mut headers = map(&[
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("accept", "*/*")]));
    }

    #[test]
    fn via_grows() {
        let mut headers = map(&[("via", "1.0 a"), ("via", "2 b")]);
        append_via(&mut headers);
        assert_eq!(headers, map(&[("via", "1.0 a, 2 b, 1.1 anabranch")]));
    }

    proptest::proptest! {
        #[test]
        fn any_fields_are_judged(length in "[0-9, +x]{0,24}", coding in "[chunked, gzip]{0,20}") {
            let mut headers = HeaderMap::new();
            headers.append(CONTENT_LENGTH, HeaderValue::from_str(&length).unwrap());
            let alone = check_framing(&Method::GET, 200, &mut headers.clone());
            proptest::prop_assert!(matches!(alone, Ok(Framing::Sized) | Err(_)));
            headers.append(TRANSFER_ENCODING, HeaderValue::from_str(&coding).unwrap());
            proptest::prop_assert!(check_framing(&Method::GET, 200, &mut headers).is_err());
        }
    }
}
