//! Signing any URL.

use anabranch_net::SharedClock;
use anabranch_signing::{Ipv4Block, Policy, SignSpec};
use serde::Deserialize;
use utoipa::ToSchema;

use super::key::SigningKey;
use super::view::SignedUrl;
use super::{App, Error};
use crate::time;

/// Longest time for which a signature is given, in seconds: a year.
const EXPIRES_MAX: u64 = 31_536_000;

/// What to sign.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignCreate {
    /// Absolute URL of what is to be opened.
    url: String,
    /// What the signature opens, with `*` and `?` as wildcards; just the URL if it is missing.
    resource: Option<String>,
    /// Seconds from now, up to a year.
    expires_in_seconds: u64,
    /// RFC 3339 time before which it does not open.
    starts_at: Option<String>,
    /// IPv4 address or block of the viewer; any if it is missing.
    ip: Option<String>,
    /// Id or name of the key; the server's own if it is missing.
    key_id: Option<String>,
}

impl App {
    pub(crate) async fn sign(&self, request: &SignCreate) -> Result<SignedUrl, Error> {
        let expires = expiry(&self.clock, request.expires_in_seconds)?;
        let starts_at = match &request.starts_at {
            Some(text) => Some(time::parse_seconds(text).ok_or_else(|| {
                Error::invalid("starts_at", format!("not a time such as 2026-01-31T20:00:00Z: {text:?}"))
            })?),
            None => None,
        };
        if starts_at.is_some_and(|start| start >= expires) {
            return Err(Error::invalid("starts_at", "the signature would expire before it starts"));
        }
        let block = source_ip(request.ip.as_deref())?;
        let resource = match &request.resource {
            Some(resource) if !["http://", "https://", "*"].iter().any(|start| resource.starts_with(start)) => {
                return Err(Error::invalid("resource", "a resource begins with http://, https:// or a star"));
            }
            resource => resource.as_deref(),
        };
        let key = match &request.key_id {
            Some(wanted) => SigningKey::read(&self.db.key_find(wanted).await?)?,
            None => self.default_signing_key().await?,
        };
        let spec = if resource.is_none() && starts_at.is_none() && block.is_none() {
            SignSpec::Canned { expires }
        } else {
            let mut policy = Policy::new(resource.unwrap_or(&request.url), expires);
            if let Some(start) = starts_at {
                // The policy's bound is exclusive.
                policy = policy.date_greater_than(start - 1);
            }
            if let Some(block) = block {
                policy = policy.source_ip(block);
            }
            SignSpec::Custom(policy)
        };
        let url = key.sign(&request.url, &spec)?;
        Ok(SignedUrl { url, key_id: key.id.to_string(), expires_at: time::render_seconds(expires) })
    }
}

/// Unix seconds at which a signature made now ends.
pub(super) fn expiry(clock: &SharedClock, seconds: u64) -> Result<i64, Error> {
    let valid = i64::try_from(seconds).ok().filter(|_| (1..=EXPIRES_MAX).contains(&seconds));
    let Some(seconds) = valid else {
        let detail = format!("a signature lasts 1 to {EXPIRES_MAX} seconds: {seconds}");
        return Err(Error::invalid("expires_in_seconds", detail));
    };
    Ok(clock.now_seconds() + seconds)
}

pub(super) fn source_ip(text: Option<&str>) -> Result<Option<Ipv4Block>, Error> {
    let block = text.map(str::parse).transpose();
    block.map_err(|error: anabranch_signing::Ipv4BlockError| Error::invalid("ip", error.to_string()))
}
