//! A line's text: CloudFront's standard log (W3C extended format), and JSON with names of our own.

use std::io::Write as _;
use std::net::IpAddr;

use serde::Serialize;

use super::end::{End, Ending};
use super::facts::Facts;

/// First lines of a file of CloudFront's standard log.
pub(super) const W3C_HEADER: &str = "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) \
    cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id \
    x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type \
    cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type \
    sc-content-type sc-content-len sc-range-start sc-range-end\n";

/// What stands for a value that is not there.
const ABSENT: &[u8] = b"-";

/// A moment of the proleptic Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
}

impl Civil {
    /// The moment of a Unix second.
    pub(super) fn of(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years are counted from March, so that the leap day is the last of one, in eras of 400 years.
        let since = days + 719_468;
        let (era, of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }
}

/// Tab-separated values under construction. Writing to a vector does not fail.
struct Row(Vec<u8>);

impl Row {
    fn tab(&mut self) {
        if !self.0.is_empty() {
            self.0.push(b'\t');
        }
    }

    fn plain(&mut self, value: impl std::fmt::Display) {
        self.tab();
        let _ = write!(self.0, "{value}");
    }

    fn plain_or_absent(&mut self, value: Option<impl std::fmt::Display>) {
        match value {
            Some(value) => self.plain(value),
            None => self.absent(),
        }
    }

    fn absent(&mut self) {
        self.tab();
        self.0.extend_from_slice(ABSENT);
    }

    /// A value that a viewer or an origin gave.
    fn escaped(&mut self, value: Option<&[u8]>) {
        self.tab();
        match value {
            Some(value) if !value.is_empty() => escape(value, &mut self.0),
            _ => self.0.extend_from_slice(ABSENT),
        }
    }

    fn seconds(&mut self, us: u64) {
        self.plain(format_args!("{}.{:03}", us / 1_000_000, us / 1_000 % 1_000));
    }
}

/// Writes `value` with the characters percent-encoded that the standard log encodes.
fn escape(value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        let encoded = matches!(
            byte,
            0..=32 | 127.. | b'<' | b'>' | b'"' | b'#' | b'%' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'~' | b'[' | b']' | b'`' | b'\''
        );
        if encoded {
            let _ = write!(out, "%{byte:02X}");
        } else {
            out.push(byte);
        }
    }
}

/// The line of an answer in CloudFront's standard log, with its end. Cookies are never logged: they carry signatures.
pub(super) fn w3c(facts: &Facts, end: &End, location: &str) -> Vec<u8> {
    let Civil { year, month, day, hour, minute, second } = Civil::of(end.moment_ms.div_euclid(1000));
    let mut row = Row(Vec::with_capacity(512));
    row.plain(format_args!("{year:04}-{month:02}-{day:02}"));
    row.plain(format_args!("{hour:02}:{minute:02}:{second:02}"));
    row.escaped(Some(location.as_bytes()));
    row.plain(end.sent);
    row.plain(facts.client);
    row.escaped(Some(facts.method.as_bytes()));
    row.escaped(Some(facts.domain.as_bytes()));
    row.escaped(Some(&facts.path));
    row.plain(format_args!("{:03}", end.status()));
    row.escaped(facts.referer.as_deref());
    row.escaped(facts.user_agent.as_deref());
    row.escaped(facts.query.as_deref());
    row.absent();
    row.plain(end.result());
    row.plain(&facts.request_id);
    row.escaped(Some(facts.host.as_bytes()));
    row.plain(facts.scheme);
    row.plain_or_absent(facts.received);
    row.seconds(end.taken_us);
    row.escaped(facts.forwarded_for.as_deref());
    row.plain_or_absent(facts.tls.map(|tls| tls.protocol));
    row.plain_or_absent(facts.tls.map(|tls| tls.cipher));
    row.plain(end.response_result());
    row.escaped(Some(facts.version.as_bytes()));
    row.absent();
    row.absent();
    row.plain_or_absent((facts.port != 0).then_some(facts.port));
    row.seconds(facts.first_byte_us);
    row.plain(end.detail());
    row.escaped(facts.content_type.as_deref());
    row.plain_or_absent(facts.content_length);
    row.plain_or_absent(facts.range.map(|(start, _)| start));
    row.plain_or_absent(facts.range.map(|(_, end)| end));
    row.0.push(b'\n');
    row.0
}

/// The JSON line. Names stay; ones may be added. Absent values have no member.
#[derive(Serialize)]
struct Json<'a> {
    time: String,
    location: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    distribution: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    behavior: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    breakout: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    request_id: &'a str,
    client_ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded_for: Option<String>,
    protocol: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cipher: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_bytes: Option<u64>,
    status: u16,
    sent_bytes: u64,
    complete: bool,
    cache: &'static str,
    result: &'static str,
    response_result: &'static str,
    detail: &'static str,
    first_byte_us: u64,
    taken_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range_start: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range_end: Option<u64>,
}

/// The line of an answer in JSON, with its end.
pub(super) fn json(facts: &Facts, end: &End, location: &str) -> Vec<u8> {
    let Civil { year, month, day, hour, minute, second } = Civil::of(end.moment_ms.div_euclid(1000));
    let ms = end.moment_ms.rem_euclid(1000);
    let text = |bytes: &Option<Box<[u8]>>| bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let line = Json {
        time: format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"),
        location,
        distribution: &facts.distribution,
        domain: &facts.domain,
        behavior: &facts.behavior,
        breakout: facts.breakout.as_deref(),
        session: facts.session.as_deref(),
        request_id: &facts.request_id,
        client_ip: facts.client,
        client_port: (facts.port != 0).then_some(facts.port),
        forwarded_for: text(&facts.forwarded_for),
        protocol: facts.scheme,
        version: facts.version,
        tls_version: facts.tls.map(|tls| tls.protocol),
        tls_cipher: facts.tls.map(|tls| tls.cipher),
        method: facts.method,
        host: &facts.host,
        path: String::from_utf8_lossy(&facts.path).into_owned(),
        query: text(&facts.query),
        referer: text(&facts.referer),
        user_agent: text(&facts.user_agent),
        received_bytes: facts.received,
        status: end.status(),
        sent_bytes: end.sent,
        complete: end.ending == Ending::Whole,
        cache: end.outcome.as_str(),
        result: end.result(),
        response_result: end.response_result(),
        detail: end.detail(),
        first_byte_us: facts.first_byte_us,
        taken_us: end.taken_us,
        content_type: text(&facts.content_type),
        content_length: facts.content_length,
        range_start: facts.range.map(|(start, _)| start),
        range_end: facts.range.map(|(_, end)| end),
    };
    let mut out = Vec::with_capacity(768);
    // Text and numbers can always be written as JSON.
    let _ = serde_json::to_writer(&mut out, &line);
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::request::Tls;

    fn escaped(value: &str) -> String {
        let mut row = Row(Vec::new());
        row.escaped(Some(value.as_bytes()));
        String::from_utf8(row.0).unwrap()
    }

    #[test]
    fn values_are_escaped_as_documented() {
        for (value, expected) in [
            ("", "-"),
            ("/images/cat.jpg", "/images/cat.jpg"),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Mozilla/5.0%20(Windows%20NT%2010.0;%20Win64;%20x64)"),
            ("bytes%3D0", "bytes%253D0"),
            ("<>\"#%{}|\\^~[]`'", "%3C%3E%22%23%25%7B%7D%7C%5C%5E%7E%5B%5D%60%27"),
            ("a\tb\r\n\0\u{7f}", "a%09b%0D%0A%00%7F"),
            ("é", "%C3%A9"),
            ("a!$&()*+,-./:;=?@_z", "a!$&()*+,-./:;=?@_z"),
        ] {
            assert_eq!(escaped(value), expected);
        }
    }

    #[test]
    fn moments_are_dated() {
        for (seconds, expected) in [
            (0, (1970, 1, 1, 0, 0, 0)),
            (951_782_399, (2000, 2, 28, 23, 59, 59)),
            (951_782_400, (2000, 2, 29, 0, 0, 0)),
            (1_575_493_351, (2019, 12, 4, 21, 2, 31)),
            (-1, (1969, 12, 31, 23, 59, 59)),
            (4_107_542_400, (2100, 3, 1, 0, 0, 0)),
        ] {
            let civil = Civil::of(seconds);
            let found = (civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second);
            assert_eq!(found, expected, "{seconds}");
        }
    }

    fn facts() -> Facts {
        let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/78.0.3904.108 \
             Safari/537.36";
        Facts {
            distribution: "E1".into(),
            domain: "d111111abcdef8.cloudfront.net".into(),
            behavior: "*".into(),
            breakout: None,
            session: None,
            request_id: "SOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==".to_owned(),
            client: "192.0.2.100".parse().unwrap(),
            port: 11040,
            method: "GET",
            scheme: "https",
            version: "HTTP/2.0",
            tls: Some(Tls { protocol: "TLSv1.2", cipher: "ECDHE-RSA-AES128-GCM-SHA256" }),
            host: "d111111abcdef8.cloudfront.net".into(),
            path: b"/index.html".as_slice().into(),
            query: None,
            referer: None,
            user_agent: Some(agent.as_bytes().into()),
            forwarded_for: None,
            received: Some(23),
            first_byte_us: 1_200,
            content_type: Some(b"text/html".as_slice().into()),
            content_length: Some(78),
            range: None,
        }
    }

    const END: End = End {
        moment_ms: 1_575_493_351_042,
        status: 200,
        outcome: Outcome::Hit,
        sent: 392,
        ending: Ending::Whole,
        taken_us: 1_999,
    };

    fn row(facts: &Facts, end: &End, location: &str) -> String {
        String::from_utf8(w3c(facts, end, location)).unwrap()
    }

    #[test]
    fn the_documented_lines_are_written() {
        // Lines of the CloudFront developer guide.
        assert_eq!(
            row(&facts(), &END, "LAX1"),
            "2019-12-04\t21:02:31\tLAX1\t392\t192.0.2.100\tGET\td111111abcdef8.cloudfront.net\t/index.html\t200\t-\t\
             Mozilla/5.0%20(Windows%20NT%2010.0;%20Win64;%20x64)%20AppleWebKit/537.36%20(KHTML,%20like%20Gecko)%20\
             Chrome/78.0.3904.108%20Safari/537.36\t-\t-\tHit\tSOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==\t\
             d111111abcdef8.cloudfront.net\thttps\t23\t0.001\t-\tTLSv1.2\tECDHE-RSA-AES128-GCM-SHA256\tHit\tHTTP/2.0\t-\t-\t\
             11040\t0.001\tHit\ttext/html\t78\t-\t-\n"
        );
        let refused = Facts {
            request_id: "1pkpNfBQ39sYMnjjUQjmH2w1wdJnbHYTbag21o_3OfcQgPzdL2RSSQ==".to_owned(),
            client: "192.0.2.200".parse().unwrap(),
            port: 25260,
            scheme: "http",
            version: "HTTP/1.1",
            tls: None,
            host: "www.example.com".into(),
            path: b"/favicon.ico".as_slice().into(),
            referer: Some(b"http://www.example.com/".as_slice().into()),
            user_agent: Some(b"curl/7.55.1".as_slice().into()),
            received: Some(675),
            first_byte_us: 102_000,
            content_length: Some(507),
            ..facts()
        };
        let end = End {
            moment_ms: 1_576_276_587_000,
            status: 502,
            outcome: Outcome::Miss,
            sent: 900,
            taken_us: 102_400,
            ..END
        };
        assert_eq!(
            row(&refused, &end, "SEA19-C1"),
            "2019-12-13\t22:36:27\tSEA19-C1\t900\t192.0.2.200\tGET\td111111abcdef8.cloudfront.net\t/favicon.ico\t502\t\
             http://www.example.com/\tcurl/7.55.1\t-\t-\tError\t1pkpNfBQ39sYMnjjUQjmH2w1wdJnbHYTbag21o_3OfcQgPzdL2RSSQ==\t\
             www.example.com\thttp\t675\t0.102\t-\t-\t-\tError\tHTTP/1.1\t-\t-\t25260\t0.102\tOriginError\ttext/html\t507\t-\t-\n"
        );
        let fields = W3C_HEADER.lines().nth(1).unwrap().strip_prefix("#Fields: ").unwrap();
        assert_eq!(fields.split(' ').count(), 33);
        assert_eq!(row(&facts(), &END, "LAX1").trim_end().split('\t').count(), 33);
    }

    #[test]
    fn gone_viewers_and_ranges_are_told() {
        let gone = End { sent: 0, ending: Ending::Cut, ..END };
        let line = row(&facts(), &gone, "LAX1");
        let values: Vec<_> = line.split('\t').collect();
        assert_eq!((values[8], values[13], values[22], values[28]), ("000", "Error", "Hit", "ClientCommError"));
        let part = Facts { range: Some((5, 9)), query: Some(b"a=b c".as_slice().into()), ..facts() };
        let line = row(&part, &End { status: 206, ..END }, "LAX1");
        assert!(line.ends_with("\t5\t9\n") && line.contains("\ta=b%20c\t"), "{line}");
    }

    #[test]
    fn json_has_what_cloudfront_has_no_field_for() {
        let facts = Facts {
            breakout: Some("b1".into()),
            session: Some("s\"1".into()),
            user_agent: Some(b"\xff\n".as_slice().into()),
            ..facts()
        };
        let line = json(&facts, &END, "LAX1");
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["time"], "2019-12-04T21:02:31.042Z");
        assert_eq!(value["distribution"], "E1");
        assert_eq!(value["behavior"], "*");
        assert_eq!(value["breakout"], "b1");
        assert_eq!(value["session"], "s\"1");
        assert_eq!(value["cache"], "hit");
        assert_eq!(value["complete"], true);
        assert_eq!(value["user_agent"], "\u{fffd}\n");
        assert_eq!(value.get("query"), None);
    }

    proptest::proptest! {
        #[test]
        fn lines_keep_their_form(path: Vec<u8>, agent: Vec<u8>, host in "\\PC{0,20}") {
            let facts = Facts { path: path.into(), user_agent: Some(agent.into()), host: host.into(), ..facts() };
            let line = w3c(&facts, &END, "LAX1");
            proptest::prop_assert_eq!(line.iter().filter(|byte| **byte == b'\t').count(), 32);
            proptest::prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            proptest::prop_assert!(line.iter().all(u8::is_ascii));
            let line = json(&facts, &END, "LAX1");
            proptest::prop_assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok());
        }
    }
}
