//! API tokens: made, revoked, and judged from memory. Kept as hashes only.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anabranch_db::{Db, NewToken, TokenHash, TokenRow};
use anabranch_model::TokenId;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::grant::{Grant, Scope};
use super::page::{PageQuery, list};
use super::people::{Caller, Privileges};
use super::view::List;
use super::{App, Error, names};
use crate::secret::{self, sha256};
use crate::{BuildError, time};

/// Shortest token of the operator's choice, in characters.
pub(crate) const TOKEN_MIN: usize = 8;

/// Longest token, in characters.
pub(crate) const TOKEN_MAX: usize = 512;

/// How far the row's time of the last use may lag, in milliseconds.
const USED_LAG_MS: i64 = 60 * 1000;

/// What became of a token that a request shows.
#[derive(Clone, Debug)]
pub(crate) enum Admission {
    /// It is known and in force.
    Granted(Arc<Grant>),
    /// Its time is over.
    Expired,
    /// It is none of ours, or revoked.
    Unknown,
}

#[derive(Debug)]
struct Known {
    id: TokenId,
    hash: TokenHash,
    expires_at: Option<i64>,
    grant: Arc<Grant>,
    used_at: AtomicI64,
    /// What the row says.
    written_at: AtomicI64,
}

impl Known {
    fn of(row: TokenRow, used_at: Option<i64>) -> Self {
        // A word that this code does not know allows nothing.
        let scopes = row.scopes.iter().filter_map(|word| Scope::parse(word)).collect();
        let written = row.last_used_at.unwrap_or(0);
        Self {
            id: row.id.clone(),
            hash: row.hash,
            expires_at: row.expires_at,
            grant: Arc::new(Grant { id: row.id, name: row.name, scopes }),
            used_at: AtomicI64::new(used_at.unwrap_or(written).max(written)),
            written_at: AtomicI64::new(written),
        }
    }
}

/// Every token that is not revoked.
#[derive(Debug, Default)]
pub(crate) struct ApiTokens(RwLock<(u64, Vec<Known>)>);

impl ApiTokens {
    /// Judges a token. Takes the same time whichever it is.
    pub(crate) fn admit(&self, token: &str, now_ms: i64) -> Admission {
        let hash = sha256(token.as_bytes());
        let tokens = self.0.read();
        let found = tokens.1.iter().fold(None, |found, known| {
            if verify_slices_are_equal(&known.hash, &hash).is_ok() { Some(known) } else { found }
        });
        match found {
            None => Admission::Unknown,
            Some(known) if known.expires_at.is_some_and(|expires| expires <= now_ms) => Admission::Expired,
            Some(known) => {
                known.used_at.fetch_max(now_ms, Ordering::Relaxed);
                Admission::Granted(known.grant.clone())
            }
        }
    }

    fn version(&self) -> u64 {
        self.0.read().0
    }

    fn replace(&self, version: u64, rows: Vec<TokenRow>) {
        let mut tokens = self.0.write();
        let used: HashMap<TokenId, i64> =
            tokens.1.iter().map(|known| (known.id.clone(), known.used_at.load(Ordering::Relaxed))).collect();
        let known = rows.into_iter().map(|row| {
            let used_at = used.get(&row.id).copied();
            Known::of(row, used_at)
        });
        *tokens = (version, known.collect());
    }

    /// Tokens whose row is a minute behind, with their last use.
    fn unwritten(&self) -> Vec<(TokenId, i64)> {
        let tokens = self.0.read();
        let behind = tokens.1.iter().filter_map(|known| {
            let (used, written) = (known.used_at.load(Ordering::Relaxed), known.written_at.load(Ordering::Relaxed));
            (used - written >= USED_LAG_MS).then(|| (known.id.clone(), used))
        });
        behind.collect()
    }

    fn written(&self, used: &[(TokenId, i64)]) {
        let tokens = self.0.read();
        for (id, at) in used {
            if let Some(known) = tokens.1.iter().find(|known| known.id == *id) {
                known.written_at.fetch_max(*at, Ordering::Relaxed);
            }
        }
    }
}

/// Keeps the operator's token, or makes the first one. The second value is one that was made.
pub(super) async fn prepare(
    db: &Db,
    chosen: Option<&str>,
    now_ms: i64,
) -> Result<(ApiTokens, Option<String>), BuildError> {
    if let Some(token) = chosen {
        let usable = (TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
        if !usable {
            return Err(BuildError::Token);
        }
        db.token_add("admin", &sha256(token.as_bytes()), now_ms).await?;
    }
    let tokens = ApiTokens::default();
    let (version, rows) = db.tokens_live().await?;
    let admin = |row: &TokenRow| {
        row.scopes.iter().any(|scope| scope == Scope::Admin.as_str())
            && row.expires_at.is_none_or(|expires| expires > now_ms)
    };
    if let Some(token) = chosen
        && !rows.iter().any(|row| row.hash == sha256(token.as_bytes()))
    {
        tracing::warn!("the admin token of the configuration was revoked and opens nothing: set another");
    }
    if rows.iter().any(admin) {
        tokens.replace(version, rows);
        return Ok((tokens, None));
    }
    let token = secret::random("");
    db.token_add("first admin", &sha256(token.as_bytes()), now_ms).await?;
    let (version, rows) = db.tokens_live().await?;
    tokens.replace(version, rows);
    Ok((tokens, Some(token)))
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenCreate {
    /// Name, 1 to 100 characters; what the log says who did something. No other token in force has it.
    name: String,
    /// What it may do: `read`, `operate`, `manage`, `keys`, `webhooks`, `cluster` or `admin`, which is everything. None stands for another.
    scopes: Vec<String>,
    /// From when on it is refused (RFC 3339); never if it is missing.
    expires_at: Option<String>,
}

/// An API token without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Token {
    /// Identifier.
    pub(crate) id: String,
    /// Name.
    pub(crate) name: String,
    /// What it may do.
    pub(crate) scopes: Vec<String>,
    /// RFC 3339; null if it does not expire.
    pub(crate) expires_at: Option<String>,
    /// RFC 3339; null if it was never used. May lag by a minute.
    pub(crate) last_used_at: Option<String>,
    /// RFC 3339; null if it is in force.
    pub(crate) revoked_at: Option<String>,
    /// RFC 3339.
    pub(crate) created_at: String,
}

/// A token that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenCreated {
    /// What it is.
    #[serde(flatten)]
    pub(crate) token: Token,
    /// What requests show as `Authorization: Bearer`. This answer is the only one that has it.
    pub(crate) secret: String,
}

impl App {
    /// `opened` says which privileges a scope is worth: users give tokens no more than they have.
    pub(crate) async fn token_create(
        &self,
        request: &TokenCreate,
        caller: &Caller,
        opened: impl Fn(Scope) -> Privileges,
    ) -> Result<TokenCreated, Error> {
        let mut scopes: Vec<Scope> = Vec::new();
        for word in &request.scopes {
            let scope = Scope::parse(word).ok_or_else(|| Error::invalid("scopes", no_scope(word)))?;
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        if scopes.is_empty() {
            return Err(Error::invalid("scopes", format!("a token has at least one scope: {}", scope_words())));
        }
        may_give(caller, &scopes, opened)?;
        let now_ms = self.clock.now_ms();
        let expires_at = match &request.expires_at {
            None => None,
            Some(text) => {
                let seconds = time::parse_seconds(text)
                    .ok_or_else(|| Error::invalid("expires_at", format!("not a time of RFC 3339: {text:?}")))?;
                let expires = seconds.saturating_mul(1000);
                if expires <= now_ms {
                    return Err(Error::invalid("expires_at", format!("this time is over: {text:?}")));
                }
                Some(expires)
            }
        };
        let secret = secret::random("anb_");
        let new = NewToken {
            id: TokenId::random(),
            hash: sha256(secret.as_bytes()),
            name: names::name(&request.name)?,
            scopes: scopes.into_iter().map(|scope| scope.as_str().to_owned()).collect(),
            expires_at,
        };
        let row = self.db.token_create(&new, now_ms).await?;
        self.tokens_reload().await?;
        self.changed();
        Ok(TokenCreated { token: view(row), secret })
    }

    pub(crate) async fn token_list(&self, query: &PageQuery) -> Result<List<Token>, Error> {
        let page = self.db.token_page(&query.request()?).await?;
        Ok(list(page, view))
    }

    /// Refuses a token from now on: once this has answered, no request is let through by it.
    pub(crate) async fn token_revoke(&self, wanted: &str) -> Result<(), Error> {
        self.db.token_revoke(wanted, self.clock.now_ms()).await?;
        self.tokens_reload().await?;
        self.changed();
        Ok(())
    }

    async fn tokens_reload(&self) -> Result<(), anabranch_db::Error> {
        let (version, rows) = self.db.tokens_live().await?;
        self.tokens.replace(version, rows);
        Ok(())
    }

    /// Takes over what another process has changed.
    pub(crate) async fn tokens_follow(&self) -> Result<(), anabranch_db::Error> {
        if self.db.tokens_version().await? == self.tokens.version() { Ok(()) } else { self.tokens_reload().await }
    }

    /// Writes when tokens were used last, as far as rows are a minute behind.
    pub(crate) async fn tokens_write(&self) -> Result<(), anabranch_db::Error> {
        let used = self.tokens.unwritten();
        if used.is_empty() {
            return Ok(());
        }
        self.db.tokens_used(&used).await?;
        self.tokens.written(&used);
        Ok(())
    }
}

/// Refuses to give a token what its maker does not have.
fn may_give(caller: &Caller, scopes: &[Scope], opened: impl Fn(Scope) -> Privileges) -> Result<(), Error> {
    let Caller::User(user) = caller else { return Ok(()) };
    if scopes.contains(&Scope::Admin) && !caller.is_owner() {
        return Err(Error::Forbidden(
            "only an owner makes a token with scope admin: it changes owners, too".to_owned(),
        ));
    }
    match scopes.iter().find_map(|scope| opened(*scope).beyond(user.privileges)) {
        Some(privilege) => Err(Error::Privilege(privilege)),
        None => Ok(()),
    }
}

fn no_scope(word: &str) -> String {
    let word: String = word.chars().take(100).collect();
    format!("no such scope: {word:?}; there are {}", scope_words())
}

fn scope_words() -> String {
    let mut words = String::new();
    for (at, scope) in Scope::ALL.into_iter().enumerate() {
        // Writing to a text does not fail.
        let _ = write!(words, "{}{}", if at == 0 { "" } else { ", " }, scope.as_str());
    }
    words
}

fn view(row: TokenRow) -> Token {
    Token {
        id: row.id.into(),
        name: row.name,
        scopes: row.scopes,
        expires_at: row.expires_at.map(time::render_ms),
        last_used_at: row.last_used_at.map(time::render_ms),
        revoked_at: row.revoked_at.map(time::render_ms),
        created_at: time::render_ms(row.created_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(secret: &str, scopes: &[&str], expires_at: Option<i64>) -> TokenRow {
        TokenRow {
            id: TokenId::random(),
            hash: sha256(secret.as_bytes()),
            name: secret.to_owned(),
            scopes: scopes.iter().map(|text| (*text).to_owned()).collect(),
            expires_at,
            last_used_at: None,
            revoked_at: None,
            created_at: 1,
        }
    }

    #[test]
    fn scopes_are_judged_one_by_one() {
        let tokens = ApiTokens::default();
        tokens.replace(1, vec![row("a", &["read", "future"], None), row("b", &["admin"], Some(100))]);
        let Admission::Granted(grant) = tokens.admit("a", 1) else { panic!("known") };
        assert!(grant.may(Scope::Read));
        assert!(Scope::ALL.into_iter().filter(|scope| *scope != Scope::Read).all(|scope| !grant.may(scope)));
        assert_eq!((grant.name.as_str(), grant.words().as_str()), ("a", "read"));
        let Admission::Granted(grant) = tokens.admit("b", 99) else { panic!("not expired yet") };
        assert!(Scope::ALL.into_iter().all(|scope| grant.may(scope)));
        assert!(matches!(tokens.admit("b", 100), Admission::Expired));
        tokens.replace(2, Vec::new());
        assert!(matches!(tokens.admit("a", 1), Admission::Unknown));
    }

    #[test]
    fn the_last_use_is_written_once_a_minute() {
        let tokens = ApiTokens::default();
        tokens.replace(1, vec![row("a", &["read"], None)]);
        tokens.admit("a", 100_000);
        let used = tokens.unwritten();
        assert_eq!(used.len(), 1);
        tokens.written(&used);
        tokens.admit("a", 159_999);
        assert!(tokens.unwritten().is_empty());
        tokens.admit("a", 160_000);
        assert_eq!(tokens.unwritten()[0].1, 160_000);
    }
}
