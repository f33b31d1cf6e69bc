//! What a snapshot means at this place.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anabranch_model::{Briefing, HttpOrigin, Origin, OriginProtocol, OriginTimeouts, PriceClass, Snapshot};

/// Header by which the origin room knows its own edges.
const TOKEN_HEADER: &str = anabranch_origin::TOKEN_HEADER;

/// The place of this node.
#[derive(Clone, Debug)]
pub(super) struct Locality {
    pub(super) class: PriceClass,
    /// How the origin room is reached when the control plane says where it is; absent if the configuration does.
    pub(super) told: Option<ToldOrigin>,
}

/// What is needed to reach an origin room that the control plane names.
#[derive(Clone)]
pub(super) struct ToldOrigin {
    /// Host of the control plane, in place of an unspecified address.
    pub(super) control_host: String,
    pub(super) token: String,
}

impl std::fmt::Debug for ToldOrigin {
    // Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToldOrigin").field("control_host", &self.control_host).finish_non_exhaustive()
    }
}

impl Locality {
    /// The snapshot without distributions that are not carried here, and with the origin room where it is.
    pub(super) fn localise(&self, briefing: &Briefing) -> Snapshot {
        let mut snapshot = briefing.snapshot.clone();
        snapshot.distributions.retain(|distribution| distribution.price_class >= self.class);
        let Some(told) = &self.told else { return snapshot };
        let place = briefing.origin.as_deref().and_then(|origin| told.place(origin));
        let Some((host, port)) = place else {
            tracing::warn!("the control plane does not say where the origin room is: live media is not served here");
            return snapshot;
        };
        for spec in snapshot.distributions.iter_mut().flat_map(|distribution| &mut distribution.origins) {
            if let Origin::Live { channel } = &spec.origin {
                spec.origin = Origin::Http(HttpOrigin {
                    host: host.clone(),
                    http_port: port,
                    https_port: port,
                    protocol: OriginProtocol::HttpOnly,
                    path: format!("/live/{channel}"),
                    headers: BTreeMap::from([(TOKEN_HEADER.to_owned(), told.token.clone())]),
                    timeouts: OriginTimeouts::default(),
                });
            }
        }
        snapshot
    }
}

impl ToldOrigin {
    /// Host and port of an origin room as the control plane names it.
    fn place(&self, origin: &str) -> Option<(String, u16)> {
        let (host, port) = origin.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let Some(address) = address(host) else { return Some((host.to_owned(), port)) };
        if address.is_unspecified() {
            return Some((self.control_host.clone(), port));
        }
        if address.is_loopback() && !is_here(&self.control_host) {
            tracing::warn!(
                origin,
                "the origin room listens on the control plane's loopback address: set origin.listen or origin.public there"
            );
        }
        Some((host.to_owned(), port))
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || address(host).is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use anabranch_model::PlaneId;

    use super::*;

    fn briefing(origin: &str) -> Briefing {
        let behavior = serde_json::json!({ "path_pattern": "*", "origin": "live" });
        let distribution = |id: &str, class: &str| {
            serde_json::json!({
                "id": id, "domain_name": id, "enabled": true, "price_class": class, "default_behavior": behavior,
                "origins": [{ "id": "live", "origin": { "type": "live", "channel": "c1" } }],
            })
        };
        let snapshot = serde_json::json!({
            "version": 3, "channels": [], "breakouts": [], "key_groups": [],
            "distributions": [distribution("E1", "PriceClass_100"), distribution("E2", "PriceClass_All")],
        });
        let snapshot = serde_json::from_value(snapshot).unwrap();
        Briefing { plane: PlaneId::random(), origin: Some(origin.to_owned()), snapshot }
    }

    fn locality(class: PriceClass) -> Locality {
        Locality { class, told: Some(ToldOrigin { control_host: "admin.example.com".into(), token: "secret".into() }) }
    }

    #[test]
    fn a_dear_location_carries_only_distributions_of_its_class() {
        let carried = |class| locality(class).localise(&briefing("a:1")).distributions.len();
        assert_eq!(carried(PriceClass::Class100), 2);
        assert_eq!(carried(PriceClass::Class200), 1);
        assert_eq!(carried(PriceClass::All), 1);
    }

    #[test]
    fn live_origins_are_where_the_control_plane_says() {
        for (told, host) in [
            ("origin.example.com:9996", "origin.example.com"),
            ("0.0.0.0:9996", "admin.example.com"),
            ("[::]:9996", "admin.example.com"),
            ("[2001:db8::1]:9996", "[2001:db8::1]"),
        ] {
            let snapshot = locality(PriceClass::Class100).localise(&briefing(told));
            let Origin::Http(origin) = &snapshot.distributions[0].origins[0].origin else { panic!("{told}") };
            assert_eq!((origin.host.as_str(), origin.http_port, origin.path.as_str()), (host, 9996, "/live/c1"));
            assert_eq!(origin.headers[TOKEN_HEADER], "secret");
        }
    }

    #[test]
    fn a_configured_origin_room_stays_a_live_origin() {
        let locality = Locality { class: PriceClass::Class100, told: None };
        let snapshot = locality.localise(&briefing("a:1"));
        assert!(matches!(snapshot.distributions[0].origins[0].origin, Origin::Live { .. }));
    }
}
