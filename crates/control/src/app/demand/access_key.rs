//! Access keys of the S3-compatible endpoint.

use anabranch_db::AccessKeyRow;
use anabranch_model::AccessKeyId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::{AccessKey, AccessKeyCreated};
use crate::app::page::{PageQuery, list};
use crate::app::view::List;
use crate::app::{App, Error, names};
use crate::time;

/// Random bytes of a secret.
const SECRET_BYTES: usize = 30;

/// Buckets of one key at most.
const BUCKETS_MAX: usize = 100;

/// An access key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessKeyCreate {
    /// Name for people.
    name: String,
    /// Buckets that it opens; every one if none is named. The system's own can only be read.
    #[serde(default)]
    buckets: Vec<String>,
    /// Whether it may only read.
    #[serde(default)]
    read_only: bool,
}

impl App {
    pub(crate) async fn access_key_create(&self, request: &AccessKeyCreate) -> Result<AccessKeyCreated, Error> {
        if request.buckets.len() > BUCKETS_MAX {
            return Err(Error::invalid("buckets", format!("a key names at most {BUCKETS_MAX} buckets")));
        }
        for bucket in &request.buckets {
            self.db.bucket_find(bucket).await?;
        }
        let now = self.clock.now_ms();
        let row = AccessKeyRow {
            id: AccessKeyId::random(),
            name: names::name(&request.name)?,
            secret: secret(),
            buckets: request.buckets.clone(),
            may_write: !request.read_only,
            created_at: now,
        };
        self.db.access_key_create(&row, now).await?;
        self.changed();
        Ok(AccessKeyCreated { secret: row.secret.clone(), key: view(row) })
    }

    pub(crate) async fn access_key_list(&self, query: &PageQuery) -> Result<List<AccessKey>, Error> {
        Ok(list(self.db.access_key_page(&query.request()?).await?, view))
    }

    pub(crate) async fn access_key_delete(&self, wanted: &str) -> Result<(), Error> {
        self.db.access_key_delete(wanted, self.clock.now_ms()).await?;
        self.changed();
        Ok(())
    }
}

/// Letters and digits that nobody guesses, as tools expect them.
fn secret() -> String {
    let mut bytes = [0_u8; SECRET_BYTES];
    // The kernel's generator does not fail once the machine has booted; a machine without it must not hand out secrets.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().fold(String::new(), |mut text, byte| {
        text.push(char::from(b"abcdefghijklmnopqrstuvwxyzABCDEF"[usize::from(byte & 31)]));
        text.push(char::from(b"01234567"[usize::from(byte >> 5)]));
        text
    })
}

fn view(row: AccessKeyRow) -> AccessKey {
    AccessKey {
        id: row.id.into(),
        name: row.name,
        buckets: row.buckets,
        may_write: row.may_write,
        created_at: time::render_ms(row.created_at),
    }
}
