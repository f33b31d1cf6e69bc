//! Recordings, and the jobs about them.

use anabranch_db::{JOB_MP4, JobRow, RecordingRow};
use anabranch_model::{JobEvent, JobState, RecordingState};
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::{PageQuery, list};
use super::play::{Bound, Place, PlayUrlCreate};
use super::view::{Job, List, PlayUrl, Recording};
use super::{App, Error};
use crate::time;

/// Name of the MP4 of a recording.
const MP4: &str = "recording.mp4";

/// Which page of the recordings.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RecordingQuery {
    /// Items at most, 1 to 200; 50 if it is missing.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
    /// `oldest` or `newest`: what comes first; `oldest` if it is missing. The next page is asked for in the same order.
    #[param(pattern = "^(oldest|newest)$")]
    order: Option<String>,
    /// Recordings of this breakout only, by id or name.
    breakout: Option<String>,
}

/// Which page of the jobs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobQuery {
    /// Items at most, 1 to 200; 50 if it is missing.
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
    /// `oldest` or `newest`: what comes first; `oldest` if it is missing. The next page is asked for in the same order.
    #[param(pattern = "^(oldest|newest)$")]
    order: Option<String>,
    /// Jobs in this state only: `QUEUED`, `RUNNING`, `COMPLETED`, `FAILED` or `CANCELLED`.
    state: Option<String>,
    /// Jobs of this kind only, such as `mp4`.
    kind: Option<String>,
}

impl App {
    pub(crate) async fn recording_list(&self, query: RecordingQuery) -> Result<List<Recording>, Error> {
        let breakout = match &query.breakout {
            Some(wanted) => Some(self.db.breakout_find(wanted).await?.id),
            None => None,
        };
        let page = PageQuery { limit: query.limit, after: query.after, order: query.order }.request()?;
        let page = self.db.recording_page(breakout.as_ref(), &page).await?;
        let ids: Vec<&str> = page.items.iter().map(|row| row.id.as_str()).collect();
        let mut jobs = self.db.jobs_about(JOB_MP4, &ids).await?;
        Ok(list(page, |row| {
            let job = jobs.remove(row.id.as_str());
            recording(row, job)
        }))
    }

    pub(crate) async fn recording_show(&self, wanted: &str) -> Result<Recording, Error> {
        let row = self.db.recording_find(wanted).await?;
        let job = self.db.jobs_about(JOB_MP4, &[row.id.as_str()]).await?.remove(row.id.as_str());
        Ok(recording(row, job))
    }

    pub(crate) async fn recording_delete(&self, wanted: &str) -> Result<(), Error> {
        self.db.recording_delete(wanted, self.clock.now_ms()).await?;
        self.jobs_wake.notify_one();
        Ok(())
    }

    /// Orders an MP4, or answers the order that is under way.
    pub(crate) async fn recording_mp4(&self, wanted: &str) -> Result<Job, Error> {
        let row = self.db.recording_mp4(wanted, self.clock.now_ms()).await?;
        self.jobs_wake.notify_one();
        self.log_wake.notify_one();
        Ok(job(row))
    }

    /// URLs that open a recording, and its MP4 once there is one.
    pub(crate) async fn recording_play_url(&self, wanted: &str, request: &PlayUrlCreate) -> Result<PlayUrl, Error> {
        let bound = self.bound(request)?;
        let row = self.db.recording_find(wanted).await?;
        if row.state != RecordingState::Available {
            let detail =
                format!("recording {} is {}: it can be played once it is AVAILABLE", row.id, row.state.as_str());
            return Err(Error::Conflict(detail));
        }
        self.recording_play(&row, &bound).await
    }

    /// URLs and cookies that open a recording.
    pub(super) async fn recording_play(&self, row: &RecordingRow, bound: &Bound) -> Result<PlayUrl, Error> {
        let distribution = self.db.distribution_find(self.shared.as_str()).await?;
        let key = self.signing_key(&distribution.key_groups).await?;
        let place = Place {
            distribution: &distribution,
            directory: format!("{}/{}", row.breakout, row.session),
            revoked_before: 0,
        };
        let signed = self.sign_place(&place, &row.breakout, &key, bound)?;
        let watch = self.config.watch_base_url.trim_end_matches('/');
        Ok(PlayUrl {
            watch_url: format!("{watch}/watch/{}?recording={}&{}", row.breakout, row.session, signed.query),
            mp4_url: row.mp4_bytes.map(|_| signed.url.replacen("/index.m3u8?", &format!("/{MP4}?"), 1)),
            url: signed.url,
            host_url: signed.host_url,
            cookies: signed.cookies,
            session: bound.session.clone(),
            user: bound.user.clone(),
            expires_at: time::render_seconds(bound.expires),
        })
    }

    pub(crate) async fn job_list(&self, query: JobQuery) -> Result<List<Job>, Error> {
        let state = match query.state.as_deref() {
            None => None,
            Some(word) => Some(JobState::parse(word).ok_or_else(|| {
                let shown: String = word.chars().take(100).collect();
                let detail = format!("QUEUED, RUNNING, COMPLETED, FAILED or CANCELLED: {shown:?}");
                Error::invalid("state", detail)
            })?),
        };
        let page = PageQuery { limit: query.limit, after: query.after, order: query.order }.request()?;
        Ok(list(self.db.job_page(state, query.kind.as_deref(), &page).await?, job))
    }

    pub(crate) async fn job_show(&self, wanted: &str) -> Result<Job, Error> {
        Ok(job(self.db.job_find(wanted).await?))
    }

    pub(crate) async fn job_event(&self, wanted: &str, event: JobEvent) -> Result<Job, Error> {
        let row = self.db.job_event(wanted, event, self.clock.now_ms()).await?;
        self.jobs_wake.notify_one();
        Ok(job(row))
    }
}

fn recording(row: RecordingRow, mp4_job: Option<JobRow>) -> Recording {
    let recorded = row.recorded;
    Recording {
        path: format!("{}/{}/index.m3u8", row.breakout, row.session),
        id: row.id.into(),
        breakout: row.breakout.into(),
        session: row.session,
        state: row.state,
        duration_seconds: recorded.duration_ms as f64 / 1000.0,
        segments: recorded.segments,
        bytes: recorded.bytes,
        gaps: recorded.gaps,
        gap_seconds: recorded.gap_ms as f64 / 1000.0,
        mp4_bytes: row.mp4_bytes,
        mp4_job: mp4_job.map(job),
        problem: row.problem,
        started_at: time::render_ms(row.started_at),
        ended_at: row.ended_at.map(time::render_ms),
    }
}

fn job(row: JobRow) -> Job {
    Job {
        id: row.id.into(),
        kind: row.kind,
        subject: row.subject,
        state: row.state,
        progress_percent: f64::from(row.progress) / 10.0,
        attempts: row.attempts,
        attempts_max: row.attempts_max,
        waits: row.waits,
        problem: row.problem,
        next_try_at: (row.state == anabranch_model::JobState::Queued).then(|| time::render_ms(row.next_try_at)),
        created_at: time::render_ms(row.created_at),
        started_at: row.started_at.map(time::render_ms),
        ended_at: row.ended_at.map(time::render_ms),
    }
}
