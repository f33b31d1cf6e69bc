//! What a watch page is told: the same signature opens it that opens the playlist.

use std::net::IpAddr;
use std::sync::Arc;

use anabranch_db::{BreakoutRow, DistributionRow, Exit};
use anabranch_model::BreakoutState;
use anabranch_signing::{Credentials, Denied, KeySet, ParsedPolicy, PublicKey, RequestUrl, verify};

use super::play::{Bound, channel_of};
use super::view::{PlayUrl, ViewerCookie, Watch, WatchState};
use super::{App, Error};
use crate::time;

/// Longest time for which a signature is renewed, in seconds.
const RENEWED_MAX_SECONDS: i64 = 12 * 60 * 60;

/// What a viewer's signature has opened.
struct Opened {
    breakout: BreakoutRow,
    /// Unsigned playlist.
    address: String,
    credentials: Credentials,
    policy: Arc<ParsedPolicy>,
}

impl App {
    /// `recording` is the session of the breakout whose recording is asked for.
    pub(crate) async fn watch_show(
        &self,
        wanted: &str,
        recording: Option<u32>,
        query: &str,
        client: IpAddr,
    ) -> Result<Watch, Error> {
        let opened = self.opened(wanted, recording, query, client).await?;
        let preview = opened.policy.claim("preview") == Some(&serde_json::Value::Bool(true));
        let (found, content) = (&opened.breakout, &opened.breakout.content);
        let state = match recording {
            Some(_) => WatchState::Ended,
            None if !content.curtain_up && !preview => WatchState::Waiting,
            None => self.watch_state(found),
        };
        let problem =
            if recording.is_some() { None } else { self.breakout_problem(found, "the sender is not connected") };
        Ok(Watch {
            name: content.name.clone(),
            state,
            playlist_url: format!("{}?{}", opened.address, opened.credentials.raw_query()),
            expires_at: time::render_seconds(opened.policy.expires()),
            problem,
        })
    }

    /// Another signature for a viewer whose own has not ended yet: for the same session, and for as long again.
    pub(crate) async fn watch_renew(&self, wanted: &str, query: &str, client: IpAddr) -> Result<PlayUrl, Error> {
        let opened = self.opened(wanted, None, query, client).await?;
        let bound = self.renewed(&opened).await?;
        self.play(&opened.breakout, &bound).await
    }

    /// The cookies that open what the viewer's own signature opens (V57).
    pub(crate) async fn stream_auth(
        &self,
        wanted: &str,
        query: &str,
        client: IpAddr,
    ) -> Result<Vec<ViewerCookie>, Error> {
        Ok(self.watch_renew(wanted, query, client).await?.cookies)
    }

    /// Notes that the viewer leaves; gives the cookies that clear his.
    pub(crate) async fn stream_signout(
        &self,
        wanted: Option<&str>,
        query: &str,
        client: IpAddr,
    ) -> Result<Vec<String>, Error> {
        if let Some(wanted) = wanted {
            let opened = self.opened(wanted, None, query, client).await?;
            if let Some(session) = opened.policy.claim("session").and_then(|claim| claim.as_str()) {
                let now = self.clock.now_ms();
                self.db.viewer_left(&opened.breakout.id, session, Exit::SignedOut, now).await?;
            }
        }
        let names = ["Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];
        let clear =
            |name| format!("{}; Max-Age=0", self.cookie(format!("CloudFront-{name}"), String::new()).set_cookie);
        Ok(names.into_iter().map(clear).collect())
    }

    async fn opened(&self, wanted: &str, recording: Option<u32>, query: &str, client: IpAddr) -> Result<Opened, Error> {
        // Without a signature nobody learns which breakouts exist.
        let forbidden = |denied| forbidden(denied, "breakout");
        let credentials =
            Credentials::from_query(query).and_then(|found| found.ok_or(Denied::MissingKey)).map_err(forbidden)?;
        let breakout = match self.db.breakout_find(wanted).await {
            Err(anabranch_db::Error::NotFound { .. }) => return Err(forbidden(Denied::WrongResource)),
            found => found?,
        };
        let (distribution, address) = match recording {
            None => {
                let distribution = self.distribution_serving(channel_of(&breakout)?).await?;
                let address = self.play_address(&distribution.id, breakout.id.as_str());
                (distribution, address)
            }
            Some(session) => {
                let distribution = self.db.distribution_find(self.shared.as_str()).await?;
                let address = self.play_address(&distribution.id, &format!("{}/{session}", breakout.id));
                (distribution, address)
            }
        };
        let keys = self.key_set(&distribution).await?;
        let url = request_url(&address, query).ok_or_else(|| Error::Forbidden("the edge has no address".to_owned()))?;
        let verified = verify(&credentials, &keys, &url, client, self.clock.now_seconds()).map_err(forbidden)?;
        Ok(Opened { breakout, address, credentials, policy: verified.policy })
    }

    async fn renewed(&self, opened: &Opened) -> Result<Bound, Error> {
        let (bound, made_at) = bound_again(&opened.policy, self.clock.now_seconds())?;
        if made_at < opened.breakout.revoked_before {
            return Err(Error::Forbidden("the link was revoked".to_owned()));
        }
        if self.db.viewer_is_expelled(&opened.breakout.id, &bound.session).await? {
            return Err(Error::Forbidden(
                "the session was shut out: the same user watches on another device".to_owned(),
            ));
        }
        Ok(bound)
    }

    /// The keys that a distribution trusts.
    pub(super) async fn key_set(&self, distribution: &DistributionRow) -> Result<KeySet, Error> {
        let mut set = KeySet::default();
        for group in &distribution.key_groups {
            for row in self.db.keys_of_group(group).await? {
                let id = row.id.to_string();
                let key =
                    PublicKey::from_pem(&row.public_pem).map_err(|source| Error::Key { id: id.clone(), source })?;
                set.insert(id, Arc::new(key));
            }
        }
        Ok(set)
    }

    fn watch_state(&self, row: &BreakoutRow) -> WatchState {
        let published = self.observed.packaging(&row.id).is_some_and(|packaging| packaging.published);
        match row.state {
            BreakoutState::Completed => WatchState::Ended,
            BreakoutState::Starting | BreakoutState::Running if published => WatchState::Live,
            BreakoutState::Idle | BreakoutState::Starting | BreakoutState::Running => WatchState::Waiting,
        }
    }
}

/// What a signature is bound to.
///
/// # Errors
/// It has no session.
pub(super) fn bound_of(policy: &ParsedPolicy) -> Result<Bound, Error> {
    let text = |name| policy.claim(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let Some(session) = text("session") else { return Err(unrenewable()) };
    Ok(Bound {
        expires: policy.expires(),
        block: policy.address(),
        user: text("user"),
        session,
        preview: policy.claim("preview") == Some(&serde_json::Value::Bool(true)),
    })
}

/// The same for as long again from now on, and when the signature was made, Unix seconds.
///
/// # Errors
/// It has no session, or does not say when it was made.
pub(super) fn bound_again(policy: &ParsedPolicy, now_seconds: i64) -> Result<(Bound, i64), Error> {
    let bound = bound_of(policy)?;
    let made_at = policy.claim("iat").and_then(serde_json::Value::as_i64).ok_or_else(unrenewable)?;
    let lasts = bound.expires.saturating_sub(made_at).clamp(1, RENEWED_MAX_SECONDS);
    Ok((Bound { expires: now_seconds.saturating_add(lasts), ..bound }, made_at))
}

fn unrenewable() -> Error {
    Error::Forbidden("the link has no session that could be renewed: ask for another link".to_owned())
}

/// `subject` is what the link should have opened.
pub(super) fn forbidden(denied: Denied, subject: &str) -> Error {
    tracing::debug!(reason = denied.reason(), "watch page refused");
    Error::Forbidden(match denied {
        Denied::Expired => "the link has expired".to_owned(),
        Denied::NotYet => "the link does not open yet".to_owned(),
        Denied::WrongAddress => "the link is for another network address".to_owned(),
        _ => format!("the link does not open this {subject}"),
    })
}

/// The pieces of an absolute URL.
pub(super) fn request_url<'a>(address: &'a str, query: &'a str) -> Option<RequestUrl<'a>> {
    let (scheme, rest) = address.split_once("://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    Some(RequestUrl { scheme, host, path, query: Some(query) })
}
