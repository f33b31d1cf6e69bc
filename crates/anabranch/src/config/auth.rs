//! How people log in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anabranch_control::{AuthConfig, Network, OidcConfig};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::texts::Texts;
use super::units::duration;

/// Providers at most.
const PROVIDERS_MAX: usize = 20;

/// Shortest time after which a session ends.
const SHORTEST: Duration = Duration::from_secs(60);

/// Longest time for which a session lasts.
const LONGEST: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Longest time that rows of the audit are kept, in days.
const AUDIT_MAX_DAYS: u32 = 3650;

/// Longest secret of a client that is read, in bytes.
const SECRET_MAX: usize = 4096;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    /// Whether users log in by password.
    pub(crate) password: bool,
    /// A session ends when it was not used for so long.
    #[serde(deserialize_with = "duration")]
    pub(crate) idle: Duration,
    /// A session ends so long after its log-in.
    #[serde(deserialize_with = "duration")]
    pub(crate) lifetime: Duration,
    /// Whose word on senders and schemes is believed.
    pub(crate) trusted_proxies: Texts,
    pub(crate) audit_days: u32,
    /// Who else vouches for users, by name.
    pub(crate) oidc: BTreeMap<String, Oidc>,
}

/// A provider of identities.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Oidc {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    /// File with what this server proves itself with; the space around it does not count.
    pub(crate) client_secret_file: Option<PathBuf>,
    pub(crate) label: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) role_claim: Option<String>,
    pub(crate) roles: BTreeMap<String, String>,
    pub(crate) default_role: Option<String>,
    pub(crate) allowed_domains: Vec<String>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            password: true,
            idle: Duration::from_secs(12 * 60 * 60),
            lifetime: Duration::from_secs(7 * 24 * 60 * 60),
            trusted_proxies: Texts::default(),
            audit_days: 400,
            oidc: BTreeMap::new(),
        }
    }
}

impl Auth {
    pub(super) fn check(&self) -> Result<()> {
        for (key, value) in [("auth.idle", self.idle), ("auth.lifetime", self.lifetime)] {
            if !(SHORTEST..=LONGEST).contains(&value) {
                bail!("{key} must be 1 minute to 90 days: {} s", value.as_secs());
            }
        }
        if !(1..=AUDIT_MAX_DAYS).contains(&self.audit_days) {
            bail!("auth.audit_days must be 1 to {AUDIT_MAX_DAYS}: {}", self.audit_days);
        }
        ensure!(
            self.password || !self.oidc.is_empty(),
            "auth.password is false and there is no auth.oidc: nobody could log in"
        );
        ensure!(self.oidc.len() <= PROVIDERS_MAX, "auth.oidc must name at most {PROVIDERS_MAX}: {}", self.oidc.len());
        self.networks().map(drop)
    }

    fn networks(&self) -> Result<Vec<Network>> {
        self.trusted_proxies.0.iter().map(|text| text.parse::<Network>().context("auth.trusted_proxies")).collect()
    }

    /// What the control room is told.
    ///
    /// # Errors
    /// A secret cannot be read, or a network is none.
    pub(crate) fn resolve(&self) -> Result<AuthConfig> {
        let providers = self.oidc.iter().map(|(name, oidc)| oidc.resolve(name));
        Ok(AuthConfig {
            password: self.password,
            idle: self.idle,
            lifetime: self.lifetime,
            trusted_proxies: self.networks()?,
            audit_keep: Duration::from_secs(u64::from(self.audit_days) * 24 * 60 * 60),
            providers: providers.collect::<Result<_>>()?,
        })
    }
}

impl Oidc {
    fn resolve(&self, name: &str) -> Result<OidcConfig> {
        let secret = self.client_secret_file.as_deref().map(secret).transpose();
        Ok(OidcConfig {
            name: name.to_owned(),
            label: self.label.clone().unwrap_or_else(|| name.to_owned()),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: secret.with_context(|| format!("auth.oidc.{name}.client_secret_file"))?,
            scopes: self.scopes.clone(),
            role_claim: self.role_claim.clone(),
            roles: self.roles.clone(),
            default_role: self.default_role.clone(),
            allowed_domains: self.allowed_domains.clone(),
        })
    }
}

fn secret(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = text.trim();
    ensure!(
        !text.is_empty() && text.len() <= SECRET_MAX,
        "{} must hold a secret of 1 to {SECRET_MAX} bytes",
        path.display()
    );
    Ok(text.to_owned())
}
