//! Users: who logs in, and what they may do.

use anabranch_model::UserId;

use crate::log::{self, NewEntry};
use crate::page::paged;
use crate::row::{flag, id, integer, optional_integer, optional_text, text};
use crate::sql::{self, Conn, Row};
use crate::{Cursor, Db, Error, Page, PageRequest};

/// Users at most.
const USERS_MAX: i64 = 10_000;

/// The role without which nobody could give roles.
const OWNER: &str = "owner";

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Identifier.
    pub id: UserId,
    /// The name to log in with; no other user has it, in whatever case.
    pub name: String,
    /// What pages show.
    pub display_name: String,
    /// `owner`, `admin`, `operator` or `viewer`.
    pub role: String,
    /// Privileges beyond those of the role, as `object:action`.
    pub privileges_added: Vec<String>,
    /// Privileges of the role that are taken away.
    pub privileges_removed: Vec<String>,
    /// Whether they are kept out.
    pub disabled: bool,
    /// PHC string of the password's hash.
    pub password_hash: Option<String>,
    /// Who vouches for them, and by which name that one knows them.
    pub identity: Option<Identity>,
    /// Unix milliseconds.
    pub last_login_at: Option<i64>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

impl std::fmt::Debug for UserRow {
    // Without the hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserRow").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// By which name a provider of identities knows somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the provider in the configuration.
    pub provider: String,
    /// Its `sub`.
    pub subject: String,
}

/// A user to make.
#[derive(Clone)]
pub struct NewUser {
    /// Its id.
    pub id: UserId,
    /// The name to log in with.
    pub name: String,
    /// What pages show.
    pub display_name: String,
    /// Role.
    pub role: String,
    /// Privileges beyond those of the role.
    pub privileges_added: Vec<String>,
    /// Privileges of the role that are taken away.
    pub privileges_removed: Vec<String>,
    /// PHC string of the password's hash.
    pub password_hash: Option<String>,
    /// Who vouches for them.
    pub identity: Option<Identity>,
    /// Only while there is no user at all.
    pub only_first: bool,
}

/// What changes of a user; what is none stays.
#[derive(Clone, Default)]
pub struct UserChange {
    /// The name to log in with.
    pub name: Option<String>,
    /// What pages show.
    pub display_name: Option<String>,
    /// Role.
    pub role: Option<String>,
    /// Privileges beyond those of the role.
    pub privileges_added: Option<Vec<String>>,
    /// Privileges of the role that are taken away.
    pub privileges_removed: Option<Vec<String>>,
    /// Whether they are kept out.
    pub disabled: Option<bool>,
    /// PHC string of the password's hash.
    pub password_hash: Option<String>,
    /// Ends every log-in of theirs but that of this hash.
    pub end_logins: Option<EndLogins>,
}

/// Which log-ins of a user end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndLogins {
    /// Every one.
    All,
    /// Every one but this.
    But(anabranch_model::LoginId),
}

impl Db {
    /// Whether there is any user.
    ///
    /// # Errors
    /// The query fails.
    pub async fn users_any(&self) -> Result<bool, Error> {
        let found: Option<String> = sql::scalar("SELECT id FROM users LIMIT 1").fetch_optional(&self.readers).await?;
        Ok(found.is_some())
    }

    /// Makes a user.
    ///
    /// # Errors
    /// Another has the name or the identity, there is a user and this was to be the first, there are too many, or the query fails.
    pub async fn user_create(&self, new: &NewUser, now_ms: i64) -> Result<UserRow, Error> {
        let mut tx = self.begin().await?;
        let count: i64 = sql::scalar("SELECT COUNT(*) FROM users").fetch_one(&mut tx).await?;
        let refuse =
            |remedy: &str| Error::NotNow { subject: "user", name: new.name.clone(), remedy: remedy.to_owned() };
        if new.only_first && count > 0 {
            return Err(refuse("there is a user already; log in, or make users with the privilege user:add"));
        }
        if count >= USERS_MAX {
            return Err(refuse("there are too many users; delete those that are gone"));
        }
        if named(&mut tx, &new.name).await?.is_some() {
            return Err(Error::NameTaken { subject: "user", name: new.name.clone() });
        }
        insert(&mut tx, new, now_ms).await?;
        let entry = NewEntry::activity("user.created", "user", new.id.as_str())
            .detail("name", new.name.as_str())
            .detail("role", new.role.as_str());
        log::append(&mut tx, &entry, now_ms).await?;
        let row = find(&mut tx, new.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// The user with this id or name.
    ///
    /// # Errors
    /// There is none, or the query fails.
    pub async fn user_find(&self, wanted: &str) -> Result<UserRow, Error> {
        find(&mut self.readers.acquire().await?, wanted).await
    }

    /// The user who logs in with this name.
    ///
    /// # Errors
    /// The query fails.
    pub async fn user_named(&self, name: &str) -> Result<Option<UserRow>, Error> {
        named(&mut self.readers.acquire().await?, name).await
    }

    /// The user whom a provider knows so.
    ///
    /// # Errors
    /// The query fails.
    pub async fn user_of(&self, identity: &Identity) -> Result<Option<UserRow>, Error> {
        let row = sql::query("SELECT * FROM users WHERE provider = $1 AND provider_subject = $2")
            .bind(&identity.provider)
            .bind(&identity.subject)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// A page of users.
    ///
    /// # Errors
    /// The query fails.
    pub async fn user_page(&self, page: &PageRequest) -> Result<Page<UserRow>, Error> {
        page.select(&self.readers, paged!("SELECT * FROM users WHERE ", "created_at", "id"), read, |row| Cursor {
            created_at: row.created_at,
            id: row.id.to_string(),
        })
        .await
    }

    /// Changes a user.
    ///
    /// # Errors
    /// There is none with this id or name, another has the new name, nobody would be left who may do everything, or the query fails.
    pub async fn user_update(&self, wanted: &str, change: &UserChange, now_ms: i64) -> Result<UserRow, Error> {
        let mut tx = self.begin().await?;
        let before = find(&mut tx, wanted).await?;
        let after = changed(&before, change);
        if let Some(name) = &change.name
            && let Some(other) = named(&mut tx, name).await?
            && other.id != before.id
        {
            return Err(Error::NameTaken { subject: "user", name: name.clone() });
        }
        if acts_as_owner(&before) && !acts_as_owner(&after) && !other_owner(&mut tx, &before).await? {
            return Err(Error::NotNow { subject: "user", name: before.name, remedy: LAST_OWNER.to_owned() });
        }
        write(&mut tx, &after, now_ms).await?;
        match &change.end_logins {
            None => {}
            Some(EndLogins::All) => drop(end_logins(&mut tx, &before.id, "").await?),
            Some(EndLogins::But(kept)) => drop(end_logins(&mut tx, &before.id, kept.as_str()).await?),
        }
        let mut entry = NewEntry::activity("user.updated", "user", before.id.as_str())
            .detail("name", after.name.as_str())
            .detail("role", after.role.as_str())
            .detail("disabled", after.disabled);
        if change.password_hash.is_some() {
            entry = entry.detail("password", "changed");
        }
        log::append(&mut tx, &entry, now_ms).await?;
        let row = find(&mut tx, before.id.as_str()).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Deletes a user with every log-in of theirs.
    ///
    /// # Errors
    /// There is none with this id or name, nobody would be left who may do everything, or the query fails.
    pub async fn user_delete(&self, wanted: &str, now_ms: i64) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        let row = find(&mut tx, wanted).await?;
        if acts_as_owner(&row) && !other_owner(&mut tx, &row).await? {
            return Err(Error::InUse { subject: "user", name: row.name, remedy: LAST_OWNER.to_owned() });
        }
        end_logins(&mut tx, &row.id, "").await?;
        sql::query("DELETE FROM users WHERE id = $1").bind(row.id.as_str()).execute(&mut tx).await?;
        let entry = NewEntry::activity("user.deleted", "user", row.id.as_str()).detail("name", row.name.as_str());
        log::append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Ends the log-ins of a user but the one with the id `kept`, which may be empty; how many.
pub(crate) async fn end_logins(conn: &mut Conn, user: &UserId, kept: &str) -> Result<u64, Error> {
    let others = sql::query("DELETE FROM logins WHERE user_id = $1 AND id <> $2").bind(user.as_str()).bind(kept);
    Ok(others.execute(conn).await?)
}

/// Why an owner has to stay one.
const LAST_OWNER: &str = "it is the last owner who is not disabled; make another owner first";

fn acts_as_owner(row: &UserRow) -> bool {
    row.role == OWNER && !row.disabled
}

async fn other_owner(tx: &mut Conn, row: &UserRow) -> Result<bool, Error> {
    let found: Option<String> =
        sql::scalar("SELECT id FROM users WHERE role = $1 AND disabled = 0 AND id <> $2 LIMIT 1")
            .bind(OWNER)
            .bind(row.id.as_str())
            .fetch_optional(tx)
            .await?;
    Ok(found.is_some())
}

fn changed(before: &UserRow, change: &UserChange) -> UserRow {
    let mut after = before.clone();
    let put = |to: &mut String, from: &Option<String>| {
        if let Some(text) = from {
            to.clone_from(text);
        }
    };
    put(&mut after.name, &change.name);
    put(&mut after.display_name, &change.display_name);
    put(&mut after.role, &change.role);
    if let Some(added) = &change.privileges_added {
        after.privileges_added.clone_from(added);
    }
    if let Some(removed) = &change.privileges_removed {
        after.privileges_removed.clone_from(removed);
    }
    after.disabled = change.disabled.unwrap_or(before.disabled);
    if change.password_hash.is_some() {
        after.password_hash.clone_from(&change.password_hash);
    }
    after
}

async fn write(tx: &mut Conn, row: &UserRow, now_ms: i64) -> Result<(), Error> {
    sql::query(
        "UPDATE users SET name = $1, name_key = $2, display_name = $3, role = $4, privileges_added = $5,
             privileges_removed = $6, disabled = $7, password_hash = $8, updated_at = $9
         WHERE id = $10",
    )
    .bind(&row.name)
    .bind(row.name.to_lowercase())
    .bind(&row.display_name)
    .bind(&row.role)
    .bind(row.privileges_added.join(","))
    .bind(row.privileges_removed.join(","))
    .bind(row.disabled)
    .bind(&row.password_hash)
    .bind(now_ms)
    .bind(row.id.as_str())
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert(tx: &mut Conn, new: &NewUser, now_ms: i64) -> Result<(), Error> {
    sql::query(
        "INSERT INTO users (id, name, name_key, display_name, role, privileges_added, privileges_removed, disabled,
                            password_hash, provider, provider_subject, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11, $11)",
    )
    .bind(new.id.as_str())
    .bind(&new.name)
    .bind(new.name.to_lowercase())
    .bind(&new.display_name)
    .bind(&new.role)
    .bind(new.privileges_added.join(","))
    .bind(new.privileges_removed.join(","))
    .bind(&new.password_hash)
    .bind(new.identity.as_ref().map(|identity| identity.provider.as_str()))
    .bind(new.identity.as_ref().map(|identity| identity.subject.as_str()))
    .bind(now_ms)
    .execute(tx)
    .await?;
    Ok(())
}

async fn named(conn: &mut Conn, name: &str) -> Result<Option<UserRow>, Error> {
    let row =
        sql::query("SELECT * FROM users WHERE name_key = $1").bind(name.to_lowercase()).fetch_optional(conn).await?;
    row.as_ref().map(read).transpose()
}

/// By id, or by name.
async fn find(conn: &mut Conn, wanted: &str) -> Result<UserRow, Error> {
    let row = sql::query(
        "SELECT * FROM users WHERE id = $1 OR name_key = $2 ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1",
    )
    .bind(wanted)
    .bind(wanted.to_lowercase())
    .fetch_optional(conn)
    .await?;
    read(&row.ok_or_else(|| Error::not_found("user", wanted))?)
}

pub(crate) fn read(row: &Row) -> Result<UserRow, Error> {
    let words = |column| -> Result<Vec<String>, Error> {
        Ok(text(row, column)?.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect())
    };
    let (provider, subject) = (optional_text(row, "provider")?, optional_text(row, "provider_subject")?);
    Ok(UserRow {
        id: id(row, "id")?,
        name: text(row, "name")?,
        display_name: text(row, "display_name")?,
        role: text(row, "role")?,
        privileges_added: words("privileges_added")?,
        privileges_removed: words("privileges_removed")?,
        disabled: flag(row, "disabled")?,
        password_hash: optional_text(row, "password_hash")?,
        identity: provider.zip(subject).map(|(provider, subject)| Identity { provider, subject }),
        last_login_at: optional_integer(row, "last_login_at")?,
        created_at: integer(row, "created_at")?,
        updated_at: integer(row, "updated_at")?,
    })
}
