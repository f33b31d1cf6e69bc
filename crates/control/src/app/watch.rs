//! What a watch page is told: the same signature opens it that opens the playlist.

use std::net::IpAddr;
use std::sync::Arc;

use anabranch_db::{BreakoutRow, DistributionRow, Exit, JOB_MP4, RecordingRow};
use anabranch_model::{BreakoutState, JobState, RecordingState};
use anabranch_signing::{Credentials, Denied, KeySet, ParsedPolicy, PublicKey, RequestUrl, verify};

use super::play::{Bound, channel_of, session};
use super::view::{PlayUrl, ViewerCookie};
use super::viewers::LEFT_AFTER_MS;
use super::watch_view::{Watch, WatchMp4, WatchProgress, WatchRecording, WatchState};
use super::{App, Barred, Error};
use crate::time;

/// Longest time for which a signature is renewed, in seconds.
const RENEWED_MAX_SECONDS: i64 = 12 * 60 * 60;

/// What a viewer's signature has opened.
struct Opened {
    breakout: BreakoutRow,
    /// Session of the breakout whose recording was asked for.
    recording: Option<u32>,
    /// It opens the stream in every region of its cluster.
    everywhere: bool,
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
        self.admit(&opened).await?;
        let preview = previews(&opened.policy);
        let (found, content) = (&opened.breakout, &opened.breakout.content);
        let state = match recording {
            Some(_) => WatchState::Ended,
            None if !content.curtain_up && !preview => WatchState::Waiting,
            None => self.watch_state(found),
        };
        let problem =
            // Of a stream in several regions, this one's troubles are not the viewer's.
            if recording.is_some() || opened.everywhere { None } else { self.breakout_problem(found, "the sender is not connected") };
        let starts_at = if state == WatchState::Waiting { self.planned_start(found).await? } else { None };
        let now_seconds = self.clock.now_seconds();
        Ok(Watch {
            id: found.id.to_string(),
            name: content.name.clone(),
            state,
            curtain: if content.curtain_up { "up" } else { "down" },
            refresh: found.refreshes,
            preview,
            starts_at: starts_at.map(time::render_ms),
            starts_in_seconds: starts_at.map(|at| at.div_euclid(1000) - now_seconds),
            playlist_url: format!("{}?{}", opened.address, opened.credentials.raw_query()),
            viewers: self.shown_viewers(found, state).await?,
            recording: if state == WatchState::Ended { self.watch_recording(&opened).await? } else { None },
            user: opened.policy.claim("user").and_then(|claim| claim.as_str()).map(str::to_owned),
            expires_at: time::render_seconds(opened.policy.expires()),
            expires_in_seconds: opened.policy.expires() - now_seconds,
            problem,
        })
    }

    /// Another signature for a viewer whose own has not ended yet: for the same session, and for as long again.
    pub(crate) async fn watch_renew(
        &self,
        wanted: &str,
        recording: Option<u32>,
        query: &str,
        client: IpAddr,
    ) -> Result<PlayUrl, Error> {
        let opened = self.opened(wanted, recording, query, client).await?;
        let (bound, _) = bound_again(&opened.policy, self.clock.now_seconds())?;
        self.admit(&opened).await?;
        self.play_again(&opened, &bound).await
    }

    /// A signature for a session of its own, for a viewer whose session the device limit has shut out. It enters as the newest, so that
    /// the limit now shuts out the one that had taken its place.
    pub(crate) async fn watch_takeover(
        &self,
        wanted: &str,
        recording: Option<u32>,
        query: &str,
        client: IpAddr,
    ) -> Result<PlayUrl, Error> {
        let opened = self.opened(wanted, recording, query, client).await?;
        let (bound, _) = bound_again(&opened.policy, self.clock.now_seconds())?;
        match self.admit(&opened).await {
            Ok(()) | Err(Error::Barred(Barred::DeviceLimit, _)) => {}
            Err(error) => return Err(error),
        }
        self.play_again(&opened, &Bound { session: session(), ..bound }).await
    }

    /// What opens the same once more.
    async fn play_again(&self, opened: &Opened, bound: &Bound) -> Result<PlayUrl, Error> {
        match opened.recording {
            None => match self.merged_of(&opened.breakout).await?.filter(|_| opened.everywhere) {
                Some(merged) => self.merged_play(&merged, bound).await,
                None => self.play(&opened.breakout, bound).await,
            },
            Some(session) => match self.db.recording_of(&opened.breakout.id, session).await? {
                Some(row) => self.recording_play(&row, bound).await,
                None => Err(forbidden(Denied::WrongResource, "breakout")),
            },
        }
    }

    /// The cookies that open what the viewer's own signature opens (V57).
    pub(crate) async fn stream_auth(
        &self,
        wanted: &str,
        query: &str,
        client: IpAddr,
    ) -> Result<Vec<ViewerCookie>, Error> {
        Ok(self.watch_renew(wanted, None, query, client).await?.cookies)
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
        let now_seconds = self.clock.now_seconds();
        if let Some(merged) = self.merged_of(&breakout).await?.filter(|_| recording.is_none()) {
            let address = self.play_address(&merged.distribution.id, &merged.stream);
            let keys = self.key_set(&merged.distribution).await?;
            // What opens this region alone plays from it alone.
            if let Some(Ok(verified)) =
                request_url(&address, query).map(|url| verify(&credentials, &keys, &url, client, now_seconds))
            {
                let policy = verified.policy;
                return Ok(Opened { breakout, recording, everywhere: true, address, credentials, policy });
            }
        }
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
        let verified = verify(&credentials, &keys, &url, client, now_seconds).map_err(forbidden)?;
        Ok(Opened { breakout, recording, everywhere: false, address, credentials, policy: verified.policy })
    }

    /// Judges as edges do, so that the page has words for what they refuse.
    async fn admit(&self, opened: &Opened) -> Result<(), Error> {
        let (breakout, claim) = (&opened.breakout, |name| opened.policy.claim(name));
        let made_at = claim("iat").and_then(serde_json::Value::as_i64);
        if breakout.revoked_before > 0 && made_at.is_none_or(|at| at < breakout.revoked_before) {
            return Err(Error::Barred(Barred::Revoked, "the link was revoked".to_owned()));
        }
        let Some(session) = claim("session").and_then(serde_json::Value::as_str) else { return Ok(()) };
        match self.db.viewer_expelled(&breakout.id, session).await? {
            None => Ok(()),
            Some(Exit::DeviceLimit) => {
                let detail = "the session was shut out: the same user watches on another device";
                Err(Error::Barred(Barred::DeviceLimit, detail.to_owned()))
            }
            Some(_) => Err(Error::Barred(Barred::ShutOut, "the session was shut out by the operator".to_owned())),
        }
    }

    /// Unix milliseconds; when the breakout is meant to begin.
    async fn planned_start(&self, row: &BreakoutRow) -> Result<Option<i64>, Error> {
        Ok(match (row.content.scheduled_at, &row.content.event) {
            (Some(at), _) => Some(at),
            (None, Some(event)) => self.db.event_find(event.as_str()).await?.starts_at,
            (None, None) => None,
        })
    }

    /// How many watch, where the breakout says so.
    async fn shown_viewers(&self, row: &BreakoutRow, state: WatchState) -> Result<Option<u64>, Error> {
        if !row.content.show_viewers || state != WatchState::Live {
            return Ok(None);
        }
        let now = self.clock.now_ms();
        if let Some(known) = self.counts.recall(&row.id, now) {
            return Ok(Some(known));
        }
        let count = self.db.viewers_count(&row.id, now - LEFT_AFTER_MS).await?;
        self.counts.keep(&row.id, now, count);
        Ok(Some(count))
    }

    /// The recording of the session that is over, signed for the viewer as long as his own signature holds (V84).
    async fn watch_recording(&self, opened: &Opened) -> Result<Option<WatchRecording>, Error> {
        let breakout = &opened.breakout;
        let session = opened.recording.unwrap_or(breakout.session);
        let Some(row) = self.db.recording_of(&breakout.id, session).await? else { return Ok(None) };
        // Signatures of other houses have no session, and nothing else is made for their holders.
        let Ok(bound) = bound_of(&opened.policy) else { return Ok(None) };
        let state = match row.state {
            RecordingState::Recording | RecordingState::Closing => WatchProgress::Making,
            RecordingState::Available => WatchProgress::Ready,
            RecordingState::Failed => WatchProgress::Failed,
        };
        let play = match state {
            WatchProgress::Ready => Some(self.recording_play(&row, &bound).await?),
            WatchProgress::Making | WatchProgress::Failed => None,
        };
        let mp4_url = play.as_ref().and_then(|play| play.mp4_url.clone());
        Ok(Some(WatchRecording {
            state,
            playlist_url: play.map(|play| play.url),
            duration_seconds: (state == WatchProgress::Ready).then(|| row.recorded.duration_ms as f64 / 1000.0),
            mp4: if breakout.content.viewer_download { self.watch_mp4(&row, mp4_url).await? } else { None },
        }))
    }

    async fn watch_mp4(&self, row: &RecordingRow, url: Option<String>) -> Result<Option<WatchMp4>, Error> {
        if url.is_some() {
            return Ok(Some(WatchMp4 {
                state: WatchProgress::Ready,
                progress_percent: 100.0,
                url,
                bytes: row.mp4_bytes,
            }));
        }
        let job = self.db.jobs_about(JOB_MP4, &[row.id.as_str()]).await?.remove(row.id.as_str());
        Ok(job.map(|job| WatchMp4 {
            state: match job.state {
                JobState::Failed | JobState::Cancelled => WatchProgress::Failed,
                _ => WatchProgress::Making,
            },
            progress_percent: f64::from(job.progress) / 10.0,
            url: None,
            bytes: None,
        }))
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
        preview: previews(policy),
    })
}

/// Whether a signature opens while the curtain is down.
fn previews(policy: &ParsedPolicy) -> bool {
    policy.claim("preview") == Some(&serde_json::Value::Bool(true))
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
    let (why, detail) = match denied {
        Denied::Expired => (Barred::Expired, "the link has expired".to_owned()),
        Denied::NotYet => (Barred::NotYet, "the link does not open yet".to_owned()),
        Denied::WrongAddress => (Barred::Address, "the link is for another network address".to_owned()),
        _ => (Barred::Wrong, format!("the link does not open this {subject}")),
    };
    Error::Barred(why, detail)
}

/// The pieces of an absolute URL.
pub(super) fn request_url<'a>(address: &'a str, query: &'a str) -> Option<RequestUrl<'a>> {
    let (scheme, rest) = address.split_once("://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    Some(RequestUrl { scheme, host, path, query: Some(query) })
}
