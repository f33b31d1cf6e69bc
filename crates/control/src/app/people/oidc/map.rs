//! Who somebody is here, by what a provider says of them.

use serde_json::{Map, Value};

use super::super::config::OidcConfig;
use super::super::privilege::Role;
use crate::app::names;
use crate::secret::sha256;

/// What a provider says of somebody.
pub(super) type Claims = Map<String, Value>;

/// Whether they may log in, by the domain of their address. Only one that the provider has verified counts.
pub(super) fn is_of_domain(config: &OidcConfig, claims: &Claims) -> bool {
    if config.allowed_domains.is_empty() {
        return true;
    }
    let verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        // Some say it as a text.
        Some(Value::String(text)) => text == "true",
        _ => false,
    };
    let domain = claims.get("email").and_then(Value::as_str).and_then(|email| email.rsplit_once('@'));
    let is_ours = |domain: &str| config.allowed_domains.iter().any(|ours| ours.eq_ignore_ascii_case(domain));
    verified && domain.is_some_and(|(_, domain)| is_ours(domain))
}

/// The highest role that the claim gives, or the default; none for who has no role here.
pub(super) fn role(config: &OidcConfig, claims: &Claims) -> Option<Role> {
    let values = config.role_claim.as_deref().map_or_else(Vec::new, |claim| values(claims, claim));
    let given = values.into_iter().filter_map(|value| Role::parse(config.roles.get(value)?));
    given.max().or_else(|| config.default_role.as_deref().and_then(Role::parse))
}

/// The texts of a claim: itself, or what it lists. `a.b` is `b` within `a`, unless there is a claim of that very name.
fn values<'a>(claims: &'a Claims, claim: &str) -> Vec<&'a str> {
    let found = claims.get(claim).or_else(|| {
        let mut parts = claim.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    });
    match found {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Names that somebody may get, the better ones first.
pub(super) fn wanted_names(config: &OidcConfig, claims: &Claims, subject: &str) -> Vec<String> {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str).and_then(|text| names::name(text).ok());
    let first = text("preferred_username").or_else(|| text("email")).or_else(|| names::name(subject).ok());
    let first = first.unwrap_or_else(|| config.name.clone());
    let short: String = first.chars().take(50).collect();
    let mark = sha256(subject.as_bytes());
    let mark = format!("{:02x}{:02x}{:02x}{:02x}", mark[0], mark[1], mark[2], mark[3]);
    vec![first, format!("{short} ({})", config.name), format!("{short} ({} {mark})", config.name)]
}

/// What pages show of them.
pub(super) fn display_name(claims: &Claims, name: &str) -> String {
    let shown = claims.get("name").and_then(Value::as_str).and_then(|text| names::name(text).ok());
    shown.unwrap_or_else(|| name.to_owned())
}

/// Whether something that decides is not in the ID token, so that the provider has to be asked for it.
pub(super) fn lacks(config: &OidcConfig, claims: &Claims) -> bool {
    let has = |claim: &str| claims.contains_key(claim);
    let role = config.role_claim.as_deref().is_some_and(|claim| values(claims, claim).is_empty());
    let domain = !config.allowed_domains.is_empty() && (!has("email") || !has("email_verified"));
    role || domain || !(has("preferred_username") || has("email"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> OidcConfig {
        OidcConfig {
            name: "corp".into(),
            label: "Corp".into(),
            issuer: "https://id.example.com".into(),
            client_id: "c".into(),
            client_secret: None,
            scopes: Vec::new(),
            role_claim: Some("groups".into()),
            roles: [("ops".to_owned(), "operator".to_owned()), ("root".to_owned(), "owner".to_owned())].into(),
            default_role: None,
            allowed_domains: Vec::new(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "made by a macro at each call")]
    fn claims(value: Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn roles_come_from_the_claim() {
        let mut config = config();
        for (given, wanted) in [
            (json!({ "groups": ["staff", "ops"] }), Some(Role::Operator)),
            (json!({ "groups": ["root", "ops"] }), Some(Role::Owner)),
            (json!({ "groups": "ops" }), Some(Role::Operator)),
            (json!({ "groups": ["staff"] }), None),
            (json!({ "groups": { "ops": true } }), None),
            (json!({}), None),
        ] {
            assert_eq!(role(&config, &claims(given.clone())), wanted, "{given}");
        }
        config.default_role = Some("viewer".into());
        assert_eq!(role(&config, &claims(json!({}))), Some(Role::Viewer));
        config.role_claim = Some("realm_access.roles".into());
        assert_eq!(role(&config, &claims(json!({ "realm_access": { "roles": ["ops"] } }))), Some(Role::Operator));
        assert_eq!(role(&config, &claims(json!({ "realm_access.roles": ["ops"] }))), Some(Role::Operator));
    }

    #[test]
    fn only_verified_addresses_count() {
        let mut config = config();
        assert!(is_of_domain(&config, &claims(json!({}))));
        config.allowed_domains = vec!["example.com".into()];
        for (given, wanted) in [
            (json!({ "email": "a@example.com", "email_verified": true }), true),
            (json!({ "email": "a@EXAMPLE.com", "email_verified": "true" }), true),
            (json!({ "email": "a@example.com", "email_verified": false }), false),
            (json!({ "email": "a@example.com" }), false),
            (json!({ "email": "a@example.com@evil.test", "email_verified": true }), false),
            (json!({ "email": "a@evil-example.com", "email_verified": true }), false),
            (json!({ "email": "a@sub.example.com", "email_verified": true }), false),
            (json!({ "email": "example.com", "email_verified": true }), false),
        ] {
            assert_eq!(is_of_domain(&config, &claims(given.clone())), wanted, "{given}");
        }
    }

    #[test]
    fn names_are_names() {
        let config = config();
        let names = wanted_names(&config, &claims(json!({ "preferred_username": "\u{0}", "email": "a@b.test" })), "s");
        assert_eq!(names[..2], ["a@b.test".to_owned(), "a@b.test (corp)".to_owned()]);
        let long = wanted_names(&config, &claims(json!({ "preferred_username": "x".repeat(100) })), "s");
        assert!(long.iter().all(|name| crate::app::names::name(name).is_ok()));
        assert_eq!(wanted_names(&config, &claims(json!({})), &"s".repeat(200))[0], "corp");
    }
}
