//! How people log in, as the configuration says it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::network::Network;

/// How people log in, and how long what they did is kept.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Whether users log in by password.
    pub password: bool,
    /// A session ends when it was not used for so long.
    pub idle: Duration,
    /// A session ends so long after its log-in, whatever happens.
    pub lifetime: Duration,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
    /// Rows of the audit that are older go.
    pub audit_keep: Duration,
    /// Who else vouches for users.
    pub providers: Vec<OidcConfig>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            password: true,
            idle: Duration::from_secs(12 * 60 * 60),
            lifetime: Duration::from_secs(7 * 24 * 60 * 60),
            trusted_proxies: Vec::new(),
            audit_keep: Duration::from_secs(400 * 24 * 60 * 60),
            providers: Vec::new(),
        }
    }
}

/// A provider of identities (OpenID Connect).
#[derive(Clone)]
pub struct OidcConfig {
    /// Name, as addresses and rows have it: 1 to 32 of a-z, 0-9 and `-`.
    pub name: String,
    /// What the page shows.
    pub label: String,
    /// Its `iss`: <https://...>, or <http://...> on loopback.
    pub issuer: String,
    /// By which it knows this server.
    pub client_id: String,
    /// With which this server proves that; none for a public client.
    pub client_secret: Option<String>,
    /// Scopes beside `openid profile email`.
    pub scopes: Vec<String>,
    /// Claim that says the role; its parts with dots between, such as `realm_access.roles`.
    pub role_claim: Option<String>,
    /// Roles by what that claim holds.
    pub roles: BTreeMap<String, String>,
    /// Role of who has none of these; without it they are refused.
    pub default_role: Option<String>,
    /// Domains of verified addresses that may log in; none stands for all.
    pub allowed_domains: Vec<String>,
}

impl std::fmt::Debug for OidcConfig {
    // Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcConfig").field("name", &self.name).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
