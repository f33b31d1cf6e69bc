//! What opens a breakout or a recording for one viewer: URLs and cookies, bound to breakout, session, user and address (V50-V63).

use anabranch_db::{BreakoutRow, DistributionRow};
use anabranch_model::{BreakoutId, ChannelId, DistributionId};
use anabranch_signing::{Ipv4Block, Policy, SignSpec};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::key::SigningKey;
use super::sign::{expiry, source_ip};
use super::view::{PlayUrl, ViewerCookie};
use super::{App, Error};
use crate::time;

/// How long a play URL opens when the caller names no time, in seconds (V56).
const PLAY_EXPIRES_DEFAULT: u64 = 12 * 60 * 60;

/// Characters of a session that is made here (V15).
const SESSION_CHARS: usize = 10;

/// Longest session or user, in characters; edges cut longer claims.
const CLAIM_MAX: usize = 128;

/// For whom and how long a play URL opens.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlayUrlCreate {
    /// Seconds from now; 43200 if it is missing.
    expires_in_seconds: Option<u64>,
    /// IPv4 address or block of the viewer; any if it is missing.
    ip: Option<String>,
    /// The viewer, in the caller's own words; the device limit counts the sessions of one user.
    user: Option<String>,
    /// The viewer's session, to renew its signature; a new one if it is missing.
    session: Option<String>,
    /// Whether it opens while the curtain is down.
    #[serde(default)]
    preview: bool,
}

/// What callers say of a signature that they want.
pub(super) struct Wish<'a> {
    pub(super) expires_in_seconds: Option<u64>,
    pub(super) ip: Option<&'a str>,
    pub(super) user: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    pub(super) preview: bool,
}

/// What a signature is bound to.
pub(super) struct Bound {
    pub(super) expires: i64,
    pub(super) block: Option<Ipv4Block>,
    pub(super) user: Option<String>,
    pub(super) session: String,
    pub(super) preview: bool,
}

impl Bound {
    /// A policy for `resource` with the claims that edges go by; `subject` is the one that names what is played.
    pub(super) fn policy(&self, resource: String, subject: (&'static str, &str), now_seconds: i64) -> Policy {
        let mut policy = Policy::new(resource, self.expires)
            .claim(subject.0, json!(subject.1))
            .claim("session", json!(self.session))
            .claim("iat", json!(now_seconds));
        if let Some(user) = &self.user {
            policy = policy.claim("user", json!(user));
        }
        if self.preview {
            policy = policy.claim("preview", json!(true));
        }
        match self.block {
            Some(block) => policy.source_ip(block),
            None => policy,
        }
    }
}

/// Where something is played: on a distribution, below a path.
pub(super) struct Place<'a> {
    pub(super) distribution: &'a DistributionRow,
    /// Path of the directory without slashes around it, such as the id of a breakout.
    pub(super) directory: String,
    /// Unix seconds. Signatures made before were revoked; one that is made now is not, even if the clock was set back since.
    pub(super) revoked_before: i64,
}

/// A signature for every URL of a place.
pub(super) struct Signed {
    /// Multivariant playlist, by the address of the edge.
    pub(super) url: String,
    /// The same by the distribution's host name.
    pub(super) host_url: String,
    /// As cookies for the distribution's host.
    pub(super) cookies: Vec<ViewerCookie>,
    /// Parameters of `url`.
    pub(super) query: String,
}

impl App {
    pub(crate) async fn breakout_play_url(&self, wanted: &str, request: &PlayUrlCreate) -> Result<PlayUrl, Error> {
        let bound = self.bound(request)?;
        let breakout = self.db.breakout_find(wanted).await?;
        self.play(&breakout, &bound).await
    }

    /// URLs and cookies that open a breakout.
    pub(super) async fn play(&self, breakout: &BreakoutRow, bound: &Bound) -> Result<PlayUrl, Error> {
        let distribution = self.distribution_serving(channel_of(breakout)?).await?;
        let key = self.signing_key(&distribution.key_groups).await?;
        let place = Place {
            distribution: &distribution,
            directory: breakout.id.to_string(),
            revoked_before: breakout.revoked_before,
        };
        let signed = self.sign_place(&place, &breakout.id, &key, bound)?;
        // The page outlives a region where another one has the same.
        let watch_url = match self.merged_of(breakout).await? {
            Some(merged) => self.merged_play(&merged, bound).await?.watch_url,
            None => self.watch_address(&breakout.id, &signed.query),
        };
        Ok(PlayUrl {
            watch_url,
            url: signed.url,
            mp4_url: None,
            host_url: signed.host_url,
            cookies: signed.cookies,
            session: bound.session.clone(),
            user: bound.user.clone(),
            expires_at: time::render_seconds(bound.expires),
        })
    }

    pub(super) fn bound(&self, request: &PlayUrlCreate) -> Result<Bound, Error> {
        self.bind(&Wish {
            expires_in_seconds: request.expires_in_seconds,
            ip: request.ip.as_deref(),
            user: request.user.as_deref(),
            session: request.session.as_deref(),
            preview: request.preview,
        })
    }

    /// What a signature is to be bound to, within the limits.
    pub(super) fn bind(&self, wish: &Wish<'_>) -> Result<Bound, Error> {
        let session = match wish.session {
            Some(session) => claim("session", session)?,
            None => session(),
        };
        let user = wish.user.map(|user| claim("user", user)).transpose()?;
        let expires = expiry(&self.clock, wish.expires_in_seconds.unwrap_or(PLAY_EXPIRES_DEFAULT))?;
        Ok(Bound { expires, block: source_ip(wish.ip)?, user, session, preview: wish.preview })
    }

    /// The policies cover just this place, at whatever address the edge is reached.
    pub(super) fn sign_place(
        &self,
        place: &Place<'_>,
        breakout: &BreakoutId,
        key: &SigningKey,
        bound: &Bound,
    ) -> Result<Signed, Error> {
        let now = self.clock.now_seconds().max(place.revoked_before);
        let (id, directory) = (&place.distribution.id, &place.directory);
        let subject = ("breakout", breakout.as_str());
        let by_path = bound.policy(format!("*://*/d/{id}/{directory}/*"), subject, now);
        let url = key.sign(&self.play_address(id, directory), &SignSpec::Custom(by_path))?;
        let by_host = SignSpec::Custom(bound.policy(format!("*://*/{directory}/*"), subject, now));
        let host = &place.distribution.domain_name;
        let playlist = format!("http://{host}:{}/{directory}/index.m3u8", self.config.edge_port);
        let host_url = key.sign(&playlist, &by_host)?;
        let cookies = key.cookies(&playlist, &by_host)?.into_iter();
        let cookies = cookies.map(|(name, value)| self.cookie(name, value)).collect();
        let query = url.split_once('?').map_or("", |(_, query)| query).to_owned();
        Ok(Signed { url, host_url, cookies, query })
    }

    /// The playlist of a directory without its signature, in the form that needs no name to be resolved.
    pub(super) fn play_address(&self, distribution: &DistributionId, directory: &str) -> String {
        let edge = self.config.edge_base_url.trim_end_matches('/');
        format!("{edge}/d/{distribution}/{directory}/index.m3u8")
    }

    /// The page of a breakout, with the parameters of its signature.
    pub(super) fn watch_address(&self, breakout: &BreakoutId, query: &str) -> String {
        format!("{}/watch/{breakout}?{query}", self.config.watch_base_url.trim_end_matches('/'))
    }

    /// A cookie for every host below the domain of the distributions (V56).
    pub(super) fn cookie(&self, name: String, value: String) -> ViewerCookie {
        let domain = &self.config.domain_suffix;
        let set_cookie = format!("{name}={value}; Path=/; Domain={domain}; Secure; HttpOnly; SameSite=None");
        ViewerCookie { name, value, set_cookie }
    }
}

/// The channel of a breakout, as long as it has one.
pub(super) fn channel_of(breakout: &BreakoutRow) -> Result<&ChannelId, Error> {
    breakout.channel.as_ref().ok_or_else(|| {
        Error::Conflict("the channel of the breakout was deleted: only its recordings can be played".to_owned())
    })
}

/// A session or user within its limits.
pub(super) fn claim(field: &'static str, text: &str) -> Result<String, Error> {
    let length = text.chars().count();
    if length == 0 || length > CLAIM_MAX || text.chars().any(char::is_control) {
        return Err(Error::invalid(field, format!("a {field} has 1 to {CLAIM_MAX} printable characters: {length}")));
    }
    Ok(text.to_owned())
}

/// A session that nobody guesses.
pub(super) fn session() -> String {
    String::from(BreakoutId::random()).chars().skip(1).take(SESSION_CHARS).collect()
}
