//! Sessions: a secret in a cookie, of which only the hash is kept.

use std::sync::Arc;
use std::time::Duration;

use anabranch_db::{LoginRow, NewLogin, UserRow};
use anabranch_model::LoginId;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::{Caller, LoggedIn};
use super::privilege::{Action, Object, Privilege, Role};
use super::user::effective;
use super::via::Via;
use crate::app::page::list;
use crate::app::view::List;
use crate::app::{App, Error, PageQuery};
use crate::secret::{self, sha256};
use crate::time;

/// Sessions of one user; beyond them the one that was used longest ago ends.
const SESSIONS_MAX: u32 = 50;

/// Longest secret that is looked at, in bytes.
const SECRET_MAX: usize = 128;

/// Characters of a user agent that are kept.
const AGENT_MAX: usize = 300;

/// How far the row's time of the last use may lag, in milliseconds.
const SEEN_LAG_MS: i64 = 60 * 1000;

/// Uses of sessions that wait to be written; more are written late.
const SEEN_MAX: usize = 100_000;

/// Which sessions.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionQuery {
    /// Only those of this user, by id or name. Without it those of everybody for who may change users, and the caller's own otherwise.
    user: Option<String>,
    /// Items at most, 1 to 200; 50 if it is missing.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
    /// `oldest` or `newest`: what comes first; `oldest` if it is missing. The next page is asked for in the same order.
    #[param(pattern = "^(oldest|newest)$")]
    order: Option<String>,
}

/// A log-in that is in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// Identifier.
    id: String,
    /// Id of the user.
    user: String,
    /// Name of the user.
    user_name: String,
    /// RFC 3339.
    created_at: String,
    /// When it was used last (RFC 3339); may lag by a minute.
    seen_at: String,
    /// When it ends unless it is used again (RFC 3339).
    expires_at: String,
    /// Address that it was made from.
    remote: String,
    /// What the browser calls itself.
    user_agent: String,
    /// Whether this request is of it.
    current: bool,
}

/// A session that has just begun.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// What the cookie holds.
    pub(crate) secret: String,
    pub(crate) who: Arc<LoggedIn>,
}

/// What changes must show beside the cookie: only who can read the answers of this server knows it.
pub(crate) fn csrf_of(secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, b"anabranch: changes of this session").as_ref())
}

impl App {
    fn idle_ms(&self) -> i64 {
        milliseconds(self.config.auth.idle)
    }

    /// Begins a session of somebody who has shown who they are.
    pub(super) async fn session_begin(&self, user: UserRow, via: &Via) -> Result<SignedIn, Error> {
        let now_ms = self.clock.now_ms();
        let secret = secret::random("");
        let new = NewLogin {
            id: LoginId::random(),
            hash: sha256(secret.as_bytes()),
            user: user.id.clone(),
            expires_at: now_ms.saturating_add(milliseconds(self.config.auth.lifetime)),
            remote: via.address.to_string(),
            user_agent: via.user_agent.chars().filter(|character| !character.is_control()).take(AGENT_MAX).collect(),
        };
        let login = self.db.login_create(&new, SESSIONS_MAX, now_ms).await?;
        let who = Arc::new(self.logged_in(login, user, &secret, now_ms));
        Ok(SignedIn { secret, who })
    }

    /// Who has the session of this cookie; none when it is over, or none of ours.
    pub(crate) async fn session_of(&self, secret: &str) -> Result<Option<Arc<LoggedIn>>, Error> {
        if secret.is_empty() || secret.len() > SECRET_MAX {
            return Ok(None);
        }
        let Some((mut login, user)) = self.db.login_of(&sha256(secret.as_bytes())).await? else { return Ok(None) };
        let now_ms = self.clock.now_ms();
        if let Some(seen_at) = self.people.seen.lock().get(&login.id) {
            login.seen_at = login.seen_at.max(*seen_at);
        }
        if user.disabled || self.ends_at(&login) <= now_ms {
            return Ok(None);
        }
        if now_ms - login.seen_at >= SEEN_LAG_MS {
            let mut seen = self.people.seen.lock();
            if seen.len() < SEEN_MAX || seen.contains_key(&login.id) {
                seen.insert(login.id.clone(), now_ms);
            }
            login.seen_at = now_ms;
        }
        Ok(Some(Arc::new(self.logged_in(login, user, secret, now_ms))))
    }

    /// When it ends unless it is used again.
    fn ends_at(&self, login: &LoginRow) -> i64 {
        login.expires_at.min(login.seen_at.saturating_add(self.idle_ms()))
    }

    fn logged_in(&self, login: LoginRow, user: UserRow, secret: &str, now_ms: i64) -> LoggedIn {
        // A role that this code does not know is that of who sees least.
        let role = Role::parse(&user.role).unwrap_or(Role::Viewer);
        let privileges = role.effective(&user.privileges_added, &user.privileges_removed);
        let ends_at = login.expires_at.min(now_ms.saturating_add(self.idle_ms()));
        LoggedIn { login, user, role, privileges, csrf: csrf_of(secret), ends_at }
    }

    /// Ends the session of the caller.
    pub(crate) async fn logout(&self, caller: &Caller) -> Result<(), Error> {
        self.db.login_end(&caller.user()?.login.id).await?;
        Ok(())
    }

    pub(crate) async fn session_list(&self, query: SessionQuery, caller: &Caller) -> Result<List<Session>, Error> {
        let page = PageQuery { limit: query.limit, after: query.after, order: query.order }.request()?;
        // Addresses and browsers of others are for those who can end their sessions.
        let everybody = Privilege(Object::User, Action::Update);
        let user = match (&query.user, caller) {
            (None, Caller::User(own)) if !own.privileges.has(everybody) => Some(own.user.id.clone()),
            (None, _) => None,
            (Some(wanted), Caller::User(own)) if own.is(wanted) => Some(own.user.id.clone()),
            (Some(_), Caller::User(own)) if !own.privileges.has(everybody) => return Err(Error::Privilege(everybody)),
            (Some(wanted), _) => Some(self.db.user_find(wanted).await?.id),
        };
        let now_ms = self.clock.now_ms();
        self.seen_write().await?;
        let page = self.db.login_page(user.as_ref(), now_ms.saturating_sub(self.idle_ms()), &page, now_ms).await?;
        let current = caller.user().ok().map(|own| own.login.id.clone());
        Ok(list(page, |row| Session {
            current: current.as_ref() == Some(&row.id),
            expires_at: time::render_ms(self.ends_at(&row)),
            id: row.id.into(),
            user: row.user.into(),
            user_name: row.user_name,
            created_at: time::render_ms(row.created_at),
            seen_at: time::render_ms(row.seen_at),
            remote: row.remote,
            user_agent: row.user_agent,
        }))
    }

    /// Ends a session: the caller's own, or that of a user whom they may change.
    pub(crate) async fn session_end(&self, wanted: &str, caller: &Caller) -> Result<(), Error> {
        let login = self.db.login_find(wanted).await?;
        let own = caller.user().is_ok_and(|own| own.user.id == login.user);
        if !own {
            // Who may not end it need not learn whether it is there; but they have guessed 65 random bits.
            let user = self.db.user_find(login.user.as_str()).await?;
            self.may_change(caller, &user)?;
        }
        self.db.login_end(&login.id).await?;
        Ok(())
    }

    /// Ends every session of a user.
    pub(crate) async fn user_sessions_end(&self, wanted: &str, caller: &Caller) -> Result<(), Error> {
        let user = self.db.user_find(wanted).await?;
        self.may_change(caller, &user)?;
        self.db.logins_end(&user.id).await?;
        Ok(())
    }

    /// Whether a caller whose request goes on for long may still do what it asks for. One that the database cannot say is believed.
    pub(crate) async fn still_may(&self, caller: &Caller, privilege: Privilege) -> bool {
        let Caller::User(own) = caller else { return true };
        let user = match self.db.user_find(own.user.id.as_str()).await {
            Ok(user) => user,
            Err(error) => return !matches!(error, anabranch_db::Error::NotFound { .. }),
        };
        match self.db.login_find(own.login.id.as_str()).await {
            Ok(login) => {
                let privileges = effective(&user);
                !user.disabled && privileges.has(privilege) && self.ends_at(&login) > self.clock.now_ms()
            }
            Err(error) => !matches!(error, anabranch_db::Error::NotFound { .. }),
        }
    }

    /// Writes when sessions were used last.
    pub(super) async fn seen_write(&self) -> Result<(), anabranch_db::Error> {
        let seen: Vec<(LoginId, i64)> = self.people.seen.lock().iter().map(|(id, at)| (id.clone(), *at)).collect();
        if seen.is_empty() {
            return Ok(());
        }
        self.db.logins_seen(&seen).await?;
        let mut waiting = self.people.seen.lock();
        for (id, at) in &seen {
            if waiting.get(id) == Some(at) {
                waiting.remove(id);
            }
        }
        Ok(())
    }

    /// Deletes sessions whose time is over.
    pub(super) async fn sessions_sweep(&self) -> Result<(), anabranch_db::Error> {
        let now_ms = self.clock.now_ms();
        self.db.logins_sweep(now_ms.saturating_sub(self.idle_ms()), now_ms).await?;
        Ok(())
    }
}

impl LoggedIn {
    /// Whether `wanted` is the id or the name of them.
    fn is(&self, wanted: &str) -> bool {
        self.user.id.as_str() == wanted || self.user.name.to_lowercase() == wanted.to_lowercase()
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
