//! Users: making, changing and deleting them. Nobody grants what they do not have, and only owners touch owners.

use anabranch_db::{EndLogins, NewUser, UserChange, UserRow};
use anabranch_model::UserId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Caller;
use super::password;
use super::privilege::{Action, Object, Privilege, Privileges, Role};
use crate::app::page::{PageQuery, list};
use crate::app::view::List;
use crate::app::{App, Error, names};
use crate::time;

/// A user to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserCreate {
    /// The name to log in with, 1 to 100 characters; no other user has it, in whatever case.
    name: String,
    /// What pages show; the name if it is missing.
    display_name: Option<String>,
    /// `owner`, `admin`, `operator` or `viewer`.
    role: String,
    /// 12 to 256 characters; without one they log in by a provider, or not yet.
    password: Option<String>,
    /// Privileges beyond those of the role, such as `breakout:delete`.
    #[serde(default)]
    privileges_added: Vec<String>,
    /// Privileges of the role that they do not get.
    #[serde(default)]
    privileges_removed: Vec<String>,
}

/// What changes of a user; what is missing stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UserPatch {
    /// The name to log in with.
    name: Option<String>,
    /// What pages show.
    display_name: Option<String>,
    /// `owner`, `admin`, `operator` or `viewer`.
    role: Option<String>,
    /// Another password; every session of theirs ends.
    password: Option<String>,
    /// Privileges beyond those of the role, all of them.
    privileges_added: Option<Vec<String>>,
    /// Privileges of the role that they do not get, all of them.
    privileges_removed: Option<Vec<String>>,
    /// Whether they are kept out; every session of theirs ends.
    disabled: Option<bool>,
}

/// Somebody who logs in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    /// Identifier.
    id: String,
    /// The name to log in with.
    name: String,
    /// What pages show.
    display_name: String,
    /// `owner`, `admin`, `operator` or `viewer`.
    #[schema(example = "operator", pattern = "^(owner|admin|operator|viewer)$")]
    role: String,
    /// Privileges beyond those of the role.
    privileges_added: Vec<String>,
    /// Privileges of the role that they do not get.
    privileges_removed: Vec<String>,
    /// Everything that they may do, as `object:action`.
    privileges: Vec<String>,
    /// Whether they are kept out.
    disabled: bool,
    /// Whether they may log in by password.
    has_password: bool,
    /// The provider by which they log in; null if there is none.
    provider: Option<String>,
    /// RFC 3339; null if they never did.
    last_login_at: Option<String>,
    /// RFC 3339.
    created_at: String,
    /// RFC 3339.
    updated_at: String,
}

/// Role and differences that somebody is to have.
struct Wanted {
    role: Role,
    added: Vec<String>,
    removed: Vec<String>,
}

impl Wanted {
    fn check(role: &str, added: &[String], removed: &[String]) -> Result<Self, Error> {
        let role = Role::parse(role).ok_or_else(|| {
            Error::invalid("role", format!("a role is owner, admin, operator or viewer: {:?}", brief(role)))
        })?;
        let (added, removed) = (words("privileges_added", added)?, words("privileges_removed", removed)?);
        if role == Role::Owner && !(added.is_empty() && removed.is_empty()) {
            let detail = "an owner may do everything: neither add nor remove privileges, or choose another role";
            return Err(Error::invalid("privileges_removed", detail));
        }
        Ok(Self { role, added, removed })
    }

    fn effective(&self) -> Privileges {
        self.role.effective(&self.added, &self.removed)
    }
}

impl App {
    pub(crate) async fn user_create(&self, request: UserCreate, caller: &Caller) -> Result<User, Error> {
        let name = names::name(&request.name)?;
        let wanted = Wanted::check(&request.role, &request.privileges_added, &request.privileges_removed)?;
        may_grant(caller, wanted.role, wanted.effective())?;
        let new = NewUser {
            id: UserId::random(),
            display_name: names::name(request.display_name.as_deref().unwrap_or(&name)).map_err(of_display_name)?,
            role: wanted.role.as_str().to_owned(),
            privileges_added: wanted.added,
            privileges_removed: wanted.removed,
            password_hash: match &request.password {
                Some(text) => Some(self.password_hash(text, &name).await?),
                None => None,
            },
            identity: None,
            only_first: false,
            name,
        };
        let row = self.db.user_create(&new, self.clock.now_ms()).await?;
        self.changed();
        Ok(view(row))
    }

    pub(crate) async fn user_list(&self, query: &PageQuery) -> Result<List<User>, Error> {
        let page = self.db.user_page(&query.request()?).await?;
        Ok(list(page, view))
    }

    pub(crate) async fn user_show(&self, wanted: &str) -> Result<User, Error> {
        Ok(view(self.db.user_find(wanted).await?))
    }

    pub(crate) async fn user_update(&self, id: &str, patch: UserPatch, caller: &Caller) -> Result<User, Error> {
        let before = self.db.user_find(id).await?;
        self.may_change(caller, &before)?;
        // Who becomes an owner has no differences any more.
        let raised = patch.role.as_deref() == Some(Role::Owner.as_str());
        let kept = |list: &[String]| if raised { Vec::new() } else { list.to_vec() };
        let wanted = Wanted::check(
            patch.role.as_deref().unwrap_or(&before.role),
            &patch.privileges_added.clone().unwrap_or_else(|| kept(&before.privileges_added)),
            &patch.privileges_removed.clone().unwrap_or_else(|| kept(&before.privileges_removed)),
        )?;
        let (had, has) = (effective(&before), wanted.effective());
        if has != had || wanted.role.as_str() != before.role {
            may_grant(caller, wanted.role, has)?;
        }
        let name = patch.name.as_deref().map(names::name).transpose()?;
        let password_hash = match &patch.password {
            Some(text) => Some(self.password_hash(text, name.as_deref().unwrap_or(&before.name)).await?),
            None => None,
        };
        let ends = password_hash.is_some() || patch.disabled == Some(true) || had.beyond(has).is_some();
        let change = UserChange {
            name,
            display_name: patch.display_name.as_deref().map(names::name).transpose().map_err(of_display_name)?,
            role: Some(wanted.role.as_str().to_owned()),
            privileges_added: Some(wanted.added),
            privileges_removed: Some(wanted.removed),
            disabled: patch.disabled,
            password_hash,
            end_logins: ends.then(|| match caller.user() {
                // Who changes their own password is not thrown out by it.
                Ok(own) if own.user.id == before.id && had.beyond(has).is_none() => {
                    EndLogins::But(own.login.id.clone())
                }
                _ => EndLogins::All,
            }),
        };
        let row = self.db.user_update(before.id.as_str(), &change, self.clock.now_ms()).await?;
        self.people.by_name.clear(&row.name.to_lowercase());
        self.changed();
        Ok(view(row))
    }

    pub(crate) async fn user_delete(&self, id: &str, caller: &Caller) -> Result<(), Error> {
        let row = self.db.user_find(id).await?;
        self.may_change(caller, &row)?;
        self.db.user_delete(row.id.as_str(), self.clock.now_ms()).await?;
        self.changed();
        Ok(())
    }

    /// Refuses a caller who would gain by changing this user: by their password one could do all that they may.
    pub(super) fn may_change(&self, caller: &Caller, user: &UserRow) -> Result<(), Error> {
        let role = Role::parse(&user.role).unwrap_or(Role::Owner);
        if role == Role::Owner && !caller.is_owner() {
            return Err(Error::Forbidden("only an owner changes an owner".to_owned()));
        }
        let Caller::User(own) = caller else { return Ok(()) };
        let needed = Privilege(Object::User, Action::Update);
        if !own.privileges.has(needed) && !own.privileges.has(Privilege(Object::User, Action::Delete)) {
            return Err(Error::Privilege(needed));
        }
        match effective(user).beyond(own.privileges) {
            Some(privilege) => Err(Error::Privilege(privilege)),
            None => Ok(()),
        }
    }

    pub(super) async fn password_hash(&self, text: &str, name: &str) -> Result<String, Error> {
        password::check(text, name)?;
        self.people.hasher.hash(text).await
    }
}

/// Refuses to give what the caller does not have.
fn may_grant(caller: &Caller, role: Role, privileges: Privileges) -> Result<(), Error> {
    if role == Role::Owner && !caller.is_owner() {
        return Err(Error::Forbidden("only an owner makes an owner".to_owned()));
    }
    match caller {
        Caller::Token(_) => Ok(()),
        Caller::User(own) => match privileges.beyond(own.privileges) {
            Some(privilege) => Err(Error::Privilege(privilege)),
            None => Ok(()),
        },
    }
}

pub(super) fn effective(row: &UserRow) -> Privileges {
    Role::parse(&row.role).unwrap_or(Role::Viewer).effective(&row.privileges_added, &row.privileges_removed)
}

/// Privileges in their order, each once.
fn words(field: &'static str, list: &[String]) -> Result<Vec<String>, Error> {
    let mut set = Privileges::default();
    for word in list {
        let privilege = Privilege::parse(word).ok_or_else(|| {
            Error::invalid(field, format!("no such privilege; they are like breakout:view: {:?}", brief(word)))
        })?;
        set.insert(privilege);
    }
    Ok(set.words())
}

fn of_display_name(error: Error) -> Error {
    match error {
        Error::Invalid { detail, .. } => Error::Invalid { field: "display_name", detail },
        other => other,
    }
}

fn brief(text: &str) -> String {
    text.chars().take(100).collect()
}

fn view(row: UserRow) -> User {
    let privileges = effective(&row).words();
    User {
        id: row.id.into(),
        name: row.name,
        display_name: row.display_name,
        role: row.role,
        privileges_added: row.privileges_added,
        privileges_removed: row.privileges_removed,
        privileges,
        disabled: row.disabled,
        has_password: row.password_hash.is_some(),
        provider: row.identity.map(|identity| identity.provider),
        last_login_at: row.last_login_at.map(time::render_ms),
        created_at: time::render_ms(row.created_at),
        updated_at: time::render_ms(row.updated_at),
    }
}
