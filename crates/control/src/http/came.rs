//! From where a request came: as the connection has it, and as proxies that are trusted tell it.

use std::net::{IpAddr, Ipv4Addr};

use anabranch_net::PeerAddr;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};

use crate::app::App;
use crate::app::people::Via;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// From where a request came; an extension of every request.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) via: Via,
    /// Whether the browser speaks TLS, with whomever.
    pub(super) is_https: bool,
    /// Host and port that the browser asks.
    host: String,
}

impl Came {
    pub(super) fn of(app: &App, request: &Request) -> Self {
        let headers = request.headers();
        let peer = request.extensions().get::<PeerAddr>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        let is_trusted =
            |address: IpAddr| app.config.auth.trusted_proxies.iter().any(|network| network.contains(address));
        let by_proxy = is_trusted(peer);
        let told = |name: &HeaderName| if by_proxy { last(headers, name) } else { None };
        let host = told(&X_FORWARDED_HOST)
            .or_else(|| request.uri().authority().map(ToString::to_string))
            .or_else(|| last(headers, &header::HOST))
            .unwrap_or_default();
        let public = app.config.watch_base_url.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
        let is_https = match told(&X_FORWARDED_PROTO) {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            // The public address is one of TLS: whoever asks for it has asked so.
            None => public.is_some_and(|public| public.eq_ignore_ascii_case(&host)),
        };
        let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let address = sender(peer, headers, is_trusted).to_canonical();
        Self { via: Via { address, user_agent: user_agent.to_owned() }, is_https, host }
    }

    /// Whether a page of this server asks, or none at all: what browsers say of it cannot be forged by a page.
    pub(super) fn is_of_own_page(&self, app: &App, headers: &HeaderMap) -> bool {
        if let Some(site) = headers.get(SEC_FETCH_SITE) {
            return site == "same-origin";
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        let own = app.config.watch_base_url.trim_end_matches('/');
        (!host.is_empty() && host.eq_ignore_ascii_case(&self.host)) || origin.eq_ignore_ascii_case(own)
    }
}

/// The nearest sender that is no trusted proxy: each proxy appends whom it has heard.
fn sender(peer: IpAddr, headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut sender = peer;
    let lines: Vec<&str> = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    for told in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(sender) {
            break;
        }
        let Ok(address) = told.trim().trim_matches(['[', ']']).parse() else { break };
        sender = address;
    }
    sender
}

/// The last value of a list, which the nearest proxy has written.
fn last(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let value = line.rsplit(',').next()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let of = |peer: &str, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_FOR, line.parse().unwrap());
            }
            let trusted = |address: IpAddr| address.to_string().starts_with("10.");
            sender(peer.parse().unwrap(), &headers, trusted).to_string()
        };
        assert_eq!(of("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(of("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(of("10.0.0.1", &["6.6.6.6, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(of("10.0.0.1", &["6.6.6.6", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(of("10.0.0.1", &["198.51.100.7, unknown"]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
    }
}
