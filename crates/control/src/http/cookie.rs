//! Cookies of people (RFC 6265bis): unreadable for scripts, never sent by other sites' requests but for a link that is followed.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// A cookie of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookie {
    /// The secret of a session.
    Session,
    /// What a browser keeps while its user is at a provider.
    Flow,
}

impl Cookie {
    /// With TLS a name that no other host, and no page without TLS, can set.
    fn name(self, is_https: bool) -> &'static str {
        match (self, is_https) {
            (Self::Session, true) => "__Host-anabranch",
            (Self::Session, false) => "anabranch_session",
            (Self::Flow, true) => "__Host-anabranch-flow",
            (Self::Flow, false) => "anabranch_flow",
        }
    }

    /// Its value in a request.
    pub(super) fn read(self, headers: &HeaderMap, is_https: bool) -> Option<&str> {
        let name = self.name(is_https);
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// Sets it for so long.
    pub(super) fn set(self, response: &mut Response, value: &str, age: Duration, is_https: bool) {
        let secure = if is_https { "; Secure" } else { "" };
        let line = format!(
            "{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            self.name(is_https),
            age.as_secs()
        );
        // What is set is base64.
        if let Ok(line) = HeaderValue::from_str(&line) {
            response.headers_mut().append(header::SET_COOKIE, line);
        }
    }

    pub(super) fn clear(self, response: &mut Response, is_https: bool) {
        self.set(response, "", Duration::ZERO, is_https);
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, line.parse().unwrap())).collect()
    }

    #[test]
    fn each_name_is_for_its_scheme() {
        let both = headers(&["a=b; anabranch_session=plain", " __Host-anabranch=safe ;c=d"]);
        assert_eq!(Cookie::Session.read(&both, true), Some("safe"));
        assert_eq!(Cookie::Session.read(&both, false), Some("plain"));
        assert_eq!(Cookie::Flow.read(&both, true), None);
        assert_eq!(Cookie::Session.read(&headers(&["xanabranch_session=1; ANABRANCH_SESSION=2"]), false), None);
    }

    #[test]
    fn flags_are_set() {
        let mut response = ().into_response();
        Cookie::Session.set(&mut response, "abc", Duration::from_secs(60), true);
        Cookie::Flow.clear(&mut response, false);
        let set: Vec<&str> = response.headers().get_all("set-cookie").iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(
            set,
            [
                "__Host-anabranch=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure",
                "anabranch_flow=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
            ]
        );
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in "[ -~]{0,200}") {
            if let Ok(value) = line.parse::<HeaderValue>() {
                let map: HeaderMap = [(header::COOKIE, value)].into_iter().collect();
                let _ = Cookie::Session.read(&map, false);
            }
        }
    }
}
