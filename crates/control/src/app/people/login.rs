//! Logging in by password, the first owner, and what people do about themselves.

use anabranch_db::{EndLogins, NewUser, UserChange};
use anabranch_model::UserId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::{Caller, LoggedIn};
use super::privilege::{Privileges, Role};
use super::session::SignedIn;
use super::via::Via;
use crate::app::{App, Error, Scope, names};
use crate::time;

/// How people may log in here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoginWays {
    /// Whether there is no user yet: `POST /v1/setup` makes the first.
    setup: bool,
    /// Whether users log in by password.
    password: bool,
    /// Who else vouches for users; each begins at `/v1/login/oidc/NAME`.
    providers: Vec<LoginProvider>,
}

/// A provider of identities.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoginProvider {
    /// Name in addresses.
    name: String,
    /// What pages show.
    label: String,
}

/// Who wants to log in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginCreate {
    /// The name to log in with.
    name: String,
    /// The password.
    password: String,
}

/// The first user, who may do everything.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetupCreate {
    /// The name to log in with, 1 to 100 characters.
    name: String,
    /// 12 to 256 characters.
    password: String,
    /// What pages show; the name if it is missing.
    display_name: Option<String>,
}

/// Another password for oneself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordPut {
    /// The password until now.
    old: String,
    /// The password from now on, 12 to 256 characters.
    new: String,
}

/// What people change of themselves.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MePatch {
    /// What pages show.
    display_name: String,
}

/// Who asks, and what they may do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// `user` or `token`.
    #[schema(example = "user", pattern = "^(user|token)$")]
    kind: &'static str,
    /// Id of the user or the token.
    id: String,
    /// Name of the user or the token.
    name: String,
    /// What pages show.
    display_name: String,
    /// Role of a user; null for a token.
    #[schema(example = "operator")]
    role: Option<String>,
    /// Everything that they may do, as `object:action`.
    privileges: Vec<String>,
    /// The session of a user; null for a token.
    session: Option<MeSession>,
    /// What requests by cookie show as `X-Anabranch-CSRF` when they change something; null for a token.
    csrf: Option<String>,
}

/// The session that a request is of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeSession {
    /// Identifier.
    id: String,
    /// RFC 3339.
    created_at: String,
    /// When it ends unless it is used again (RFC 3339).
    expires_at: String,
}

impl Me {
    pub(crate) fn of_user(who: &LoggedIn) -> Self {
        Self {
            kind: "user",
            id: who.user.id.to_string(),
            name: who.user.name.clone(),
            display_name: who.user.display_name.clone(),
            role: Some(who.role.as_str().to_owned()),
            privileges: who.privileges.words(),
            session: Some(MeSession {
                id: who.login.id.to_string(),
                created_at: time::render_ms(who.login.created_at),
                expires_at: time::render_ms(who.ends_at),
            }),
            csrf: Some(who.csrf.clone()),
        }
    }

    /// `opened` says which privileges a scope is worth.
    pub(crate) fn of(caller: &Caller, opened: impl Fn(Scope) -> Privileges) -> Self {
        let grant = match caller {
            Caller::User(who) => return Self::of_user(who),
            Caller::Token(grant) => grant,
        };
        let privileges: Privileges = grant.scopes().iter().flat_map(|scope| opened(*scope).iter()).collect();
        Self {
            kind: "token",
            id: grant.id.to_string(),
            name: grant.name.clone(),
            display_name: grant.name.clone(),
            role: None,
            privileges: privileges.words(),
            session: None,
            csrf: None,
        }
    }
}

impl App {
    pub(crate) async fn login_ways(&self) -> Result<LoginWays, Error> {
        let providers = self.config.auth.providers.iter();
        let providers =
            providers.map(|provider| LoginProvider { name: provider.name.clone(), label: provider.label.clone() });
        Ok(LoginWays {
            setup: !self.db.users_any().await?,
            password: self.config.auth.password,
            providers: providers.collect(),
        })
    }

    /// Logs in by password. Names that nobody has take as long and are answered the same.
    pub(crate) async fn login(&self, request: LoginCreate, via: &Via) -> Result<SignedIn, Error> {
        if !self.config.auth.password {
            let detail = "nobody logs in by password here: use one of the providers of GET /v1/login";
            return Err(Error::Forbidden(detail.to_owned()));
        }
        let name: String = request.name.trim().to_lowercase().chars().take(NAME_TRIED_MAX).collect();
        self.try_login(&name, via)?;
        // What no name can be the database need not be asked for; some refuse to look.
        let found = if name.chars().any(char::is_control) { None } else { self.db.user_named(&name).await? };
        let hash = found.as_ref().and_then(|user| user.password_hash.clone());
        let right = self.people.hasher.verify(&request.password, hash).await?;
        match found {
            Some(user) if right && !user.disabled => {
                self.people.by_name.clear(&name);
                self.people.by_address.give_back(&via.sender());
                counted("granted");
                self.session_begin(user, via).await
            }
            found => {
                counted("refused");
                Err(Error::Login { user: found.map(|user| user.name) })
            }
        }
    }

    /// Takes a try of this name from this address.
    fn try_login(&self, name: &str, via: &Via) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let by_address = self.people.by_address.take(&via.sender(), now_ms);
        let taken = by_address.and_then(|()| self.people.by_name.take(&name.to_owned(), now_ms));
        taken.map_err(|wait_ms| {
            counted("limited");
            Error::TooMany { seconds: u16::try_from(wait_ms.max(0) / 1000 + 1).unwrap_or(u16::MAX) }
        })
    }

    /// Makes the first owner and logs them in.
    pub(crate) async fn setup(&self, request: SetupCreate, via: &Via) -> Result<SignedIn, Error> {
        let name = names::name(&request.name)?;
        let new = NewUser {
            id: UserId::random(),
            display_name: names::name(request.display_name.as_deref().unwrap_or(&name))?,
            role: Role::Owner.as_str().to_owned(),
            privileges_added: Vec::new(),
            privileges_removed: Vec::new(),
            password_hash: Some(self.password_hash(&request.password, &name).await?),
            identity: None,
            only_first: true,
            name,
        };
        let user = self.db.user_create(&new, self.clock.now_ms()).await?;
        self.changed();
        self.session_begin(user, via).await
    }

    /// Changes one's own password; every other session of theirs ends.
    pub(crate) async fn password_put(&self, request: PasswordPut, caller: &Caller, via: &Via) -> Result<(), Error> {
        let own = caller.user()?;
        let Some(hash) = own.user.password_hash.clone() else {
            let detail = "you have no password; who may change users can give you one";
            return Err(Error::Conflict(detail.to_owned()));
        };
        let name = own.user.name.to_lowercase();
        self.try_login(&name, via)?;
        if !self.people.hasher.verify(&request.old, Some(hash)).await? {
            return Err(Error::invalid("old", "this is not your password"));
        }
        self.people.by_name.clear(&name);
        self.people.by_address.give_back(&via.sender());
        let change = UserChange {
            password_hash: Some(self.password_hash(&request.new, &own.user.name).await.map_err(of_new)?),
            end_logins: Some(EndLogins::But(own.login.id.clone())),
            ..UserChange::default()
        };
        self.db.user_update(own.user.id.as_str(), &change, self.clock.now_ms()).await?;
        self.changed();
        Ok(())
    }

    /// Changes what pages show of oneself.
    pub(crate) async fn me_update(&self, patch: MePatch, caller: &Caller) -> Result<Me, Error> {
        let own = caller.user()?;
        let display_name = Some(names::name(&patch.display_name)?);
        let change = UserChange { display_name, ..UserChange::default() };
        let user = self.db.user_update(own.user.id.as_str(), &change, self.clock.now_ms()).await?;
        self.changed();
        let mut me = Me::of_user(own);
        me.display_name = user.display_name;
        Ok(me)
    }
}

/// Characters of a name that is tried.
const NAME_TRIED_MAX: usize = 100;

fn of_new(error: Error) -> Error {
    match error {
        Error::Invalid { detail, .. } => Error::Invalid { field: "new", detail },
        other => other,
    }
}

pub(super) fn counted(outcome: &'static str) {
    metrics::counter!("anabranch_control_logins_total", "outcome" => outcome).increment(1);
}
