//! Keys that sign viewer URLs, here or elsewhere.

use anabranch_db::{Db, Idempotency, KeyRow, NewKey};
use anabranch_model::{IdError, KeyGroupId, KeyId};
use anabranch_signing::{KeyError, PrivateKey, PublicKey, SignError, SignSpec, sign_cookies, sign_url};
use serde::Deserialize;
use utoipa::ToSchema;

use super::page::{PageQuery, list};
use super::view::{Key, KeyCreated, List};
use super::{App, Error, key_group, names};
use crate::{BuildError, time};

/// Name of the key that is made at the first start.
const FIRST_KEY: &str = "first";

/// A key to make or to trust.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyCreate {
    /// Unique name, 1 to 100 characters; the id if it is missing.
    name: Option<String>,
    /// `Key-Pair-Id`: 1 to 64 letters, digits, `-` or `_`; a new one if it is missing.
    id: Option<String>,
    /// PEM of a key whose private half stays with the caller: RSA of 2048 to 4096 bits or ECDSA P-256. If it is missing, a
    /// pair is made here.
    public_key: Option<String>,
    /// Key groups that it joins, by id or name; the default group if it is missing.
    key_groups: Option<Vec<String>>,
}

/// A key that signs.
pub(super) struct SigningKey {
    pub(super) id: KeyId,
    key: PrivateKey,
}

impl SigningKey {
    pub(super) fn read(row: &KeyRow) -> Result<Self, Error> {
        let Some(pem) = &row.private_pem else {
            let detail =
                format!("the private half of key {} is not here; sign where it is, or name another key", row.id);
            return Err(Error::NoKey(detail));
        };
        let key = PrivateKey::from_pem(pem).map_err(|source| Error::Key { id: row.id.to_string(), source })?;
        Ok(Self { id: row.id.clone(), key })
    }

    pub(super) fn sign(&self, url: &str, spec: &SignSpec) -> Result<String, Error> {
        sign_url(url, spec, self.id.as_str(), &self.key).map_err(|error| self.refused(error))
    }

    /// Names and values of the cookies that open what `spec` covers.
    pub(super) fn cookies(&self, url: &str, spec: &SignSpec) -> Result<Vec<(String, String)>, Error> {
        sign_cookies(url, spec, self.id.as_str(), &self.key).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: SignError) -> Error {
        match error {
            SignError::Key(source) => Error::Key { id: self.id.to_string(), source },
            SignError::PolicyTooLong(_) => Error::invalid("resource", error.to_string()),
            SignError::KeyId(_) => Error::invalid("key_id", error.to_string()),
            SignError::Url(_) | SignError::Signed(_) => Error::invalid("url", error.to_string()),
        }
    }
}

/// A pair in PEM: private, public.
async fn generate() -> Result<Result<(String, String), KeyError>, tokio::task::JoinError> {
    // Finding primes takes long enough to hold up other requests of the thread.
    tokio::task::spawn_blocking(|| {
        let key = PrivateKey::generate()?;
        Ok((key.to_pem()?, key.public_key_pem()?))
    })
    .await
}

/// Makes the key with which this house signs.
pub(super) async fn first(db: &Db, now_ms: i64) -> Result<(), BuildError> {
    let (private_pem, public_pem) = generate().await.map_err(|_| KeyError::Crypto)??;
    let id = KeyId::random();
    // The first key of all may have left the group since.
    let name = match db.key_find(FIRST_KEY).await {
        Err(anabranch_db::Error::NotFound { .. }) => FIRST_KEY.to_owned(),
        found => found.map(|_| id.to_string())?,
    };
    let new = NewKey {
        id,
        groups: vec![super::DEFAULT_KEY_GROUP.to_owned()],
        name,
        private_pem: Some(private_pem),
        public_pem,
        idempotency: None,
    };
    db.key_create(&new, now_ms).await?;
    Ok(())
}

impl App {
    pub(crate) async fn key_create(
        &self,
        request: KeyCreate,
        idempotency: Option<Idempotency>,
    ) -> Result<KeyCreated, Error> {
        let id = match &request.id {
            Some(text) => text.parse().map_err(|error: IdError| Error::invalid("id", error.to_string()))?,
            None => KeyId::random(),
        };
        let name = names::name(request.name.as_deref().unwrap_or(id.as_str()))?;
        let (private_pem, public_pem) = match &request.public_key {
            Some(pem) => {
                let public = PublicKey::from_pem(pem).and_then(|key| key.to_pem());
                (None, public.map_err(|error| Error::invalid("public_key", error.to_string()))?)
            }
            None => {
                let pair = generate().await?;
                let (private, public) = pair.map_err(|source| Error::Key { id: id.to_string(), source })?;
                (Some(private), public)
            }
        };
        let groups = request.key_groups.unwrap_or_else(|| vec![self.key_group.to_string()]);
        key_group::check_length("key_groups", &groups)?;
        let new = NewKey { id, groups, name, private_pem, public_pem, idempotency };
        let row = self.db.key_create(&new, self.clock.now_ms()).await?.into_inner();
        self.changed();
        let private_key = row.private_pem.clone();
        Ok(KeyCreated { key: view(row), private_key })
    }

    pub(crate) async fn key_list(&self, query: &PageQuery) -> Result<List<Key>, Error> {
        let page = self.db.key_page(&query.request()?).await?;
        Ok(list(page, view))
    }

    pub(crate) async fn key_delete(&self, wanted: &str) -> Result<(), Error> {
        self.db.key_delete(wanted, self.clock.now_ms()).await?;
        self.changed();
        Ok(())
    }

    /// The oldest key that signs here, of the first group that has one.
    pub(super) async fn signing_key(&self, groups: &[KeyGroupId]) -> Result<SigningKey, Error> {
        for group in groups {
            let keys = self.db.keys_of_group(group).await?;
            if let Some(row) = keys.iter().find(|key| key.private_pem.is_some()) {
                return SigningKey::read(row);
            }
        }
        Err(Error::NoKey("no key of the key group signs here; make one".to_owned()))
    }

    pub(super) async fn default_signing_key(&self) -> Result<SigningKey, Error> {
        self.signing_key(std::slice::from_ref(&self.key_group)).await
    }
}

fn view(row: KeyRow) -> Key {
    Key {
        signs: row.private_pem.is_some(),
        id: row.id.into(),
        name: row.name,
        key_groups: row.groups.into_iter().map(String::from).collect(),
        public_key: row.public_pem,
        created_at: time::render_ms(row.created_at),
    }
}
