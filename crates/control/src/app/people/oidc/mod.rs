//! Logging in by a provider of identities: the code flow of OpenID Connect Core 1.0 §3.1 with PKCE (RFC 7636).

mod discovery;
mod flow;
mod map;
mod token;

use std::time::Duration;

use anabranch_db::{Identity, NewUser, UserChange, UserRow};
use anabranch_model::UserId;
use reqwest::Url;
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::config::OidcConfig;
use super::login::counted;
use super::privilege::Role;
use super::session::SignedIn;
use super::via::Via;
use crate::app::{App, Error};
use crate::chain::chain;
use discovery::{Discovery, FetchError, is_safe};
use flow::{Flow, Flows, challenge};
use map::Claims;
use token::{Expected, TokenError};

/// Longest wait for one answer of a provider.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest code and state that are looked at, in bytes.
const WORD_MAX: usize = 4096;

/// Longest path to which somebody returns, in bytes.
const RETURN_MAX: usize = 1024;

/// What is asked for of everybody.
const SCOPES: [&str; 3] = ["openid", "profile", "email"];

/// Why a provider of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// Names are part of addresses.
    #[error("auth.oidc: a name has 1 to 32 of a-z, 0-9 and -: {0:?}")]
    Name(String),
    /// Tokens and secrets travel by TLS.
    #[error("auth.oidc.{name}.issuer must begin with https://, or http:// on loopback: {issuer:?}")]
    Issuer {
        /// The provider.
        name: String,
        /// What it has.
        issuer: String,
    },
    /// There are four roles.
    #[error("auth.oidc.{name}: a role is owner, admin, operator or viewer: {role:?}")]
    Role {
        /// The provider.
        name: String,
        /// What it names.
        role: String,
    },
    /// Who would have a role?
    #[error("auth.oidc.{0} needs default_role, or role_claim and roles: nobody could log in")]
    NoRole(String),
    /// Nothing could be asked for.
    #[error("auth.oidc.{0}.client_id must not be empty")]
    Client(String),
    /// HTTP cannot be set up.
    #[error("cannot set up HTTP for providers of identities")]
    Http(#[source] reqwest::Error),
}

/// A provider with what is known of it.
struct Provider {
    config: OidcConfig,
    discovery: Discovery,
}

/// The providers of the configuration.
pub(crate) struct Providers {
    all: Vec<Provider>,
    http: reqwest::Client,
    flows: Flows,
    /// Scheme and host by which browsers reach this server.
    base_url: String,
}

/// A log-in that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Where the browser goes.
    pub(crate) location: String,
    /// What it keeps in a cookie meanwhile: another browser cannot end it.
    pub(crate) binding: String,
}

/// What a provider sends a browser back with.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Callback {
    /// What the ID token is asked for with.
    code: Option<String>,
    /// Names the log-in.
    state: Option<String>,
    /// Who answers (RFC 9207).
    iss: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the provider refuses: {0:?}")]
    Provider(String),
    #[error("no such log-in is under way in this browser; it ends after ten minutes")]
    State,
    #[error("another provider answers: {0:?}")]
    Mixed(String),
    #[error("the provider cannot be asked")]
    Fetch(#[from] FetchError),
    #[error("the ID token is not believed: {0}")]
    Token(#[from] TokenError),
    #[error("the provider gives no ID token")]
    NoToken,
    #[error("what the provider says of the user is about another one")]
    OtherSubject,
    #[error(
        "{subject:?} may not log in here: neither their claims nor a default give them a role, or their domain is not allowed"
    )]
    Refused { subject: String },
    #[error("the user is disabled")]
    Disabled { user: String },
    #[error("cannot keep the user")]
    App(#[from] Error),
}

impl Failure {
    /// Word for the page.
    fn code(&self) -> &'static str {
        match self {
            Self::Provider(_) | Self::Fetch(FetchError::Status { .. }) => "provider",
            Self::State => "state",
            Self::Fetch(_) => "away",
            Self::Mixed(_) | Self::Token(_) | Self::NoToken | Self::OtherSubject => "token",
            Self::Refused { .. } => "refused",
            Self::Disabled { .. } => "disabled",
            Self::App(_) => "failed",
        }
    }
}

/// A log-in that failed, as far as a page is told.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// `provider`, `state`, `away`, `token`, `refused`, `disabled` or `failed`.
    pub(crate) code: &'static str,
    /// The user, if it is one of ours.
    pub(crate) user: Option<String>,
}

impl Providers {
    pub(super) fn new(configs: &[OidcConfig], base_url: &str) -> Result<Self, OidcError> {
        for config in configs {
            check(config)?;
        }
        // A redirection would carry codes and secrets elsewhere.
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build();
        Ok(Self {
            all: configs
                .iter()
                .map(|config| Provider { config: config.clone(), discovery: Discovery::default() })
                .collect(),
            http: http.map_err(OidcError::Http)?,
            flows: Flows::default(),
            base_url: base_url.trim_end_matches('/').to_owned(),
        })
    }

    fn find(&self, name: &str) -> Result<&Provider, Error> {
        let found = self.all.iter().find(|provider| provider.config.name == name);
        let wanted = || name.chars().take(100).collect();
        found.ok_or_else(|| anabranch_db::Error::NotFound { subject: "provider", wanted: wanted() }.into())
    }

    fn redirect_uri(&self, provider: &Provider) -> String {
        format!("{}/v1/login/oidc/{}/callback", self.base_url, provider.config.name)
    }
}

fn check(config: &OidcConfig) -> Result<(), OidcError> {
    let name = config.name.clone();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
        return Err(OidcError::Name(name));
    }
    if !is_safe(&config.issuer) {
        return Err(OidcError::Issuer { name, issuer: config.issuer.clone() });
    }
    if config.client_id.is_empty() {
        return Err(OidcError::Client(name));
    }
    if let Some(role) = config.roles.values().chain(&config.default_role).find(|role| Role::parse(role).is_none()) {
        return Err(OidcError::Role { name, role: role.clone() });
    }
    let by_claim = config.role_claim.is_some() && !config.roles.is_empty();
    if config.default_role.is_none() && !by_claim {
        return Err(OidcError::NoRole(name));
    }
    Ok(())
}

/// A path of this server's pages; anything else is its first page.
fn path_of(wanted: Option<&str>) -> String {
    let own = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= RETURN_MAX
            // What browsers take for another host or throw away.
            && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    wanted.filter(own).unwrap_or("/").to_owned()
}

impl App {
    /// Begins a log-in at a provider.
    pub(crate) async fn oidc_begin(&self, name: &str, back_to: Option<&str>) -> Result<Result<Begun, Refusal>, Error> {
        let providers = &self.people.providers;
        let provider = providers.find(name)?;
        let known = match provider.discovery.known(&providers.http, &provider.config.issuer, false).await {
            Ok(known) => known,
            Err(error) => return Ok(Err(refusal(provider, &error.into()))),
        };
        let (flow, state, binding) = Flow::begin(name, path_of(back_to), self.clock.now_ms());
        // What the provider names was looked at when it was fetched.
        let Ok(mut location) = Url::parse(&known.metadata.authorization_endpoint) else {
            return Ok(Err(Refusal { code: "away", user: None }));
        };
        let scopes: Vec<&str> = SCOPES.into_iter().chain(provider.config.scopes.iter().map(String::as_str)).collect();
        location
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.config.client_id)
            .append_pair("redirect_uri", &providers.redirect_uri(provider))
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &state)
            .append_pair("nonce", &flow.nonce)
            .append_pair("code_challenge", &challenge(&flow.verifier))
            .append_pair("code_challenge_method", "S256");
        providers.flows.add(&state, flow, self.clock.now_ms());
        Ok(Ok(Begun { location: location.into(), binding }))
    }

    /// Ends a log-in with what the provider has sent the browser back with; and the path to which it goes then.
    pub(crate) async fn oidc_end(
        &self,
        name: &str,
        callback: Callback,
        binding: Option<&str>,
        via: &Via,
    ) -> Result<Result<(SignedIn, String), Refusal>, Error> {
        let provider = self.people.providers.find(name)?;
        match self.oidc_ended(provider, callback, binding, via).await {
            Ok(ended) => {
                counted("granted");
                Ok(Ok(ended))
            }
            Err(failure) => {
                counted("refused");
                Ok(Err(refusal(provider, &failure)))
            }
        }
    }

    async fn oidc_ended(
        &self,
        provider: &Provider,
        callback: Callback,
        binding: Option<&str>,
        via: &Via,
    ) -> Result<(SignedIn, String), Failure> {
        let config = &provider.config;
        let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= WORD_MAX);
        let (Some(state), true) = (&callback.state, short(&callback.state) && short(&callback.code)) else {
            return Err(Failure::State);
        };
        let now_ms = self.clock.now_ms();
        let flows = &self.people.providers.flows;
        // Taken before anything is asked: a code that was shown once is not tried again.
        let flow = flows.take(state, &config.name, binding, now_ms).ok_or(Failure::State)?;
        if let Some(error) = callback.error {
            return Err(Failure::Provider(error.chars().take(100).collect()));
        }
        let known = provider.discovery.known(&self.people.providers.http, &config.issuer, false).await?;
        match &callback.iss {
            Some(issuer) if *issuer != config.issuer => return Err(Failure::Mixed(issuer.chars().take(200).collect())),
            None if known.metadata.authorization_response_iss_parameter_supported => {
                return Err(Failure::Mixed(String::new()));
            }
            _ => {}
        }
        let code = callback.code.ok_or(Failure::State)?;
        let claims = self.claims(provider, &known, &flow, &code).await?;
        let user = self.user_by(config, &claims).await?;
        let signed_in = self.session_begin(user, via).await?;
        Ok((signed_in, flow.back_to))
    }

    /// What the provider says of who has shown themselves there.
    async fn claims(
        &self,
        provider: &Provider,
        known: &discovery::Known,
        flow: &Flow,
        code: &str,
    ) -> Result<Claims, Failure> {
        let (providers, config) = (&self.people.providers, &provider.config);
        let tokens = flow::exchange(
            &providers.http,
            &known.metadata,
            config,
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", &providers.redirect_uri(provider)),
                ("code_verifier", &flow.verifier),
            ],
        )
        .await?;
        let id_token = tokens.id_token.ok_or(Failure::NoToken)?;
        let expected = Expected {
            issuer: &config.issuer,
            client_id: &config.client_id,
            nonce: &flow.nonce,
            now_seconds: self.clock.now_ms().div_euclid(1000),
        };
        let mut claims = match token::check(&id_token, &known.keys, expected) {
            Err(TokenError::UnknownKey) => {
                let fresh = provider.discovery.known(&providers.http, &config.issuer, true).await?;
                token::check(&id_token, &fresh.keys, expected)?
            }
            checked => checked?,
        };
        if let (Some(endpoint), Some(access)) = (&known.metadata.userinfo_endpoint, tokens.access_token)
            && map::lacks(config, &claims)
        {
            let told: Claims = discovery::read(endpoint, providers.http.get(endpoint).bearer_auth(access)).await?;
            if told.get("sub") != claims.get("sub") {
                return Err(Failure::OtherSubject);
            }
            // What the token says was signed, and wins.
            told.into_iter().for_each(|(claim, value)| {
                claims.entry(claim).or_insert(value);
            });
        }
        Ok(claims)
    }

    /// The user of these claims, made if there is none yet.
    async fn user_by(&self, config: &OidcConfig, claims: &Claims) -> Result<UserRow, Failure> {
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        let identity = Identity { provider: config.name.clone(), subject: subject.clone() };
        let found = self.db.user_of(&identity).await.map_err(Error::from)?;
        if let Some(user) = &found
            && user.disabled
        {
            return Err(Failure::Disabled { user: user.name.clone() });
        }
        let role = map::role(config, claims).filter(|_| map::is_of_domain(config, claims));
        let role = role.ok_or(Failure::Refused { subject })?;
        match found {
            Some(user) if config.role_claim.is_some() && user.role != role.as_str() => self.role_by(user, role).await,
            Some(user) => Ok(user),
            None => self.user_made(config, claims, identity, role).await,
        }
    }

    /// Follows the claim: who has another role there has another role here.
    async fn role_by(&self, user: UserRow, role: Role) -> Result<UserRow, Failure> {
        let owner = role == Role::Owner;
        let change = UserChange {
            role: Some(role.as_str().to_owned()),
            // An owner has no differences.
            privileges_added: owner.then(Vec::new),
            privileges_removed: owner.then(Vec::new),
            end_logins: (Role::parse(&user.role) > Some(role)).then_some(anabranch_db::EndLogins::All),
            ..UserChange::default()
        };
        match self.db.user_update(user.id.as_str(), &change, self.clock.now_ms()).await {
            Ok(changed) => {
                self.changed();
                Ok(changed)
            }
            Err(anabranch_db::Error::NotNow { .. }) => {
                tracing::warn!(user.id = %user.id, "a provider takes the role of owner from the last owner, who stays one");
                Ok(user)
            }
            Err(error) => Err(Error::from(error).into()),
        }
    }

    async fn user_made(
        &self,
        config: &OidcConfig,
        claims: &Claims,
        identity: Identity,
        role: Role,
    ) -> Result<UserRow, Failure> {
        let mut taken = None;
        for name in map::wanted_names(config, claims, &identity.subject) {
            let new = NewUser {
                id: UserId::random(),
                display_name: map::display_name(claims, &name),
                role: role.as_str().to_owned(),
                privileges_added: Vec::new(),
                privileges_removed: Vec::new(),
                password_hash: None,
                identity: Some(identity.clone()),
                only_first: false,
                name,
            };
            match self.db.user_create(&new, self.clock.now_ms()).await {
                Err(error @ anabranch_db::Error::NameTaken { .. }) => taken = Some(error),
                made => {
                    let row = made.map_err(Error::from)?;
                    self.changed();
                    return Ok(row);
                }
            }
        }
        let error = taken.unwrap_or(anabranch_db::Error::NotFound { subject: "user", wanted: identity.subject });
        Err(Error::from(error).into())
    }
}

fn refusal(provider: &Provider, failure: &Failure) -> Refusal {
    tracing::warn!(oidc.provider = %provider.config.name, reason = chain(failure), "nobody was logged in by a provider");
    let user = match failure {
        Failure::Disabled { user } => Some(user.clone()),
        _ => None,
    };
    Refusal { code: failure.code(), user }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_host() {
        for (given, wanted) in [
            (Some("/channels/c1?tab=log#x"), "/channels/c1?tab=log#x"),
            (Some("//evil.test/"), "/"),
            (Some("/\\evil.test/"), "/"),
            (Some("https://evil.test/"), "/"),
            (Some("/\t/evil.test"), "/"),
            (Some("/a\r\nSet-Cookie: x"), "/"),
            (Some(""), "/"),
            (None, "/"),
        ] {
            assert_eq!(path_of(given), wanted, "{given:?}");
        }
    }
}
