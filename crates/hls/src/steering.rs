//! Steering manifests (rfc8216bis §7): which region players are to prefer now.

use std::fmt::Write;

/// How often players are told to look again where nobody has chosen, in seconds: a closing of a region moves them before they meet an
/// error, and ten thousand of them ask a cache a thousand times a second.
pub const STEERING_TTL_SECONDS: u32 = 10;

/// A steering manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteeringManifest {
    /// `TTL`: after how many seconds players ask again; at least 1 is written.
    pub ttl_seconds: u32,
    /// `RELOAD-URI`: where they ask then, relative to the manifest. Without it they ask where they have asked, with the signature that
    /// they have asked with; bodies of this kind are not rewritten, so under signed URLs it must stay absent.
    pub reload_uri: Option<String>,
    /// `PATHWAY-PRIORITY`: the best first.
    pub pathways: Vec<String>,
}

/// A region as steering sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pathway<'a> {
    /// Name of the region, the `PATHWAY-ID` of its variants.
    pub name: &'a str,
    /// Whether it is open.
    pub open: bool,
}

impl SteeringManifest {
    /// The manifest of regions in their preferred order. Closed ones are left out, unless all are: players need somewhere to go.
    /// Of a name that stands twice the first counts.
    #[must_use]
    pub fn by_opening(regions: &[Pathway<'_>], ttl_seconds: u32) -> Self {
        let any = regions.iter().any(|region| region.open);
        let mut pathways: Vec<String> = Vec::with_capacity(regions.len());
        for region in regions.iter().filter(|region| region.open || !any) {
            if !pathways.iter().any(|known| known == region.name) {
                pathways.push(region.name.to_owned());
            }
        }
        Self { ttl_seconds, reload_uri: None, pathways }
    }

    /// Writes the manifest as JSON; the same bytes for the same value. Its media type is `application/json`.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::from("{\"VERSION\":1,\"TTL\":");
        // Writing to a string does not fail.
        let _ = write!(out, "{}", self.ttl_seconds.max(1));
        if let Some(uri) = &self.reload_uri {
            out.push_str(",\"RELOAD-URI\":");
            text(uri, &mut out);
        }
        out.push_str(",\"PATHWAY-PRIORITY\":[");
        for (at, pathway) in self.pathways.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            text(pathway, &mut out);
        }
        out.push_str("]}\n");
        out
    }
}

/// A string of JSON (RFC 8259 §7).
fn text(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(regions: &[(&str, bool)]) -> String {
        let regions: Vec<Pathway<'_>> = regions.iter().map(|&(name, open)| Pathway { name, open }).collect();
        SteeringManifest::by_opening(&regions, 10).render()
    }

    #[test]
    fn closed_regions_are_left_out_unless_all_are() {
        let of = |list: &str| format!("{{\"VERSION\":1,\"TTL\":10,\"PATHWAY-PRIORITY\":[{list}]}}\n");
        assert_eq!(manifest(&[("fra", true), ("nyc", true)]), of("\"fra\",\"nyc\""));
        assert_eq!(manifest(&[("fra", false), ("nyc", true)]), of("\"nyc\""));
        assert_eq!(manifest(&[("nyc", true), ("fra", false), ("nyc", true)]), of("\"nyc\""));
        assert_eq!(manifest(&[("fra", false), ("nyc", false)]), of("\"fra\",\"nyc\""));
        assert_eq!(manifest(&[]), of(""));
    }

    #[test]
    fn what_json_needs_is_escaped() {
        let manifest = SteeringManifest {
            ttl_seconds: 0,
            reload_uri: Some("s.json?a=\"\\\n".to_owned()),
            pathways: vec!["a".to_owned()],
        };
        assert_eq!(
            manifest.render(),
            "{\"VERSION\":1,\"TTL\":1,\"RELOAD-URI\":\"s.json?a=\\\"\\\\\\u000a\",\"PATHWAY-PRIORITY\":[\"a\"]}\n"
        );
    }
}
