//! Requests that wait for a segment: blocking playlist reload (rfc8216bis §6.2.5.2).

use std::sync::Arc;
use std::time::Duration;

use anabranch_hls::timeline::{Standing, Timeline};
use anabranch_model::HOLD_MAX_SECONDS;
use anabranch_net::Shutdown;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

/// Requests held at once; each has a connection of its own, and half of those are left for what is answered at once.
pub(crate) const MAX_HELD: usize = 2048;

/// Target durations that a request is held at the most (rfc8216bis §6.2.5.2).
const HOLD_TARGET_DURATIONS: u64 = 3;

/// Highest part that is asked for in a segment. Playlists name no parts, so none can lie further ahead.
const MAX_PART: u64 = 3;

/// What a player wants of a media playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    /// The segment that must be in it. A part is there when its segment is.
    pub(crate) msn: Option<u64>,
}

/// A query that no player sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadDirectives {
    #[error("_HLS_msn is no media sequence number: write it in digits, without zeros before them")]
    Msn,
    #[error("_HLS_part is no part that could come next: leave it out, these playlists have no parts")]
    Part,
    #[error("_HLS_part says nothing without _HLS_msn")]
    PartAlone,
    #[error("_HLS_skip is neither YES nor v2")]
    Skip,
    #[error("the parameters that begin with _HLS_ stand in the order of their names, each once")]
    Order,
}

impl Directives {
    /// Reads the directives of a query; other parameters are passed over. Each wish has one spelling, so that a cache in front has
    /// one key for it, and nobody can have it hold many requests for the same segment.
    ///
    /// # Errors
    /// See [`BadDirectives`].
    pub(crate) fn parse(query: &str) -> Result<Self, BadDirectives> {
        let (mut directives, mut part, mut last) = (Self::default(), None, "");
        for (name, value) in query.split('&').map(|parameter| parameter.split_once('=').unwrap_or((parameter, ""))) {
            match name {
                "_HLS_msn" => directives.msn = Some(number(value).ok_or(BadDirectives::Msn)?),
                "_HLS_part" => part = Some(number(value).filter(|part| *part <= MAX_PART).ok_or(BadDirectives::Part)?),
                // Without CAN-SKIP-UNTIL the whole playlist is the answer (rfc8216bis §6.2.5.1).
                "_HLS_skip" if matches!(value, "YES" | "v2") => {}
                "_HLS_skip" => return Err(BadDirectives::Skip),
                _ => continue,
            }
            if name <= last {
                return Err(BadDirectives::Order);
            }
            last = name;
        }
        if part.is_some() && directives.msn.is_none() {
            return Err(BadDirectives::PartAlone);
        }
        Ok(directives)
    }
}

/// Digits as a number is written; more of them than fit are as good as the greatest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().unwrap_or(u64::MAX))
}

/// Why a request is not answered with a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The segment is further ahead than any that a player knows to ask for.
    TooFar,
    /// It has not come in time.
    TooLate,
    /// Too many requests wait.
    Crowded,
    /// The origin is about to stop, or nobody publishes the timeline any more.
    Closing,
}

/// The requests that are held.
#[derive(Debug)]
pub(crate) struct Holds {
    places: Semaphore,
    closing: Shutdown,
}

impl Holds {
    /// Room for `limit` requests, until `closing`.
    pub(crate) fn new(limit: usize, closing: Shutdown) -> Self {
        Self { places: Semaphore::new(limit), closing }
    }

    /// Waits until the segment is in the rendition, or will never be; at once if the timeline has no such rendition, or nothing to
    /// play yet. Gives the timeline as it then is. Cancel safe.
    ///
    /// # Errors
    /// See [`Refusal`]. Within three target durations, and [`HOLD_MAX_SECONDS`].
    pub(crate) async fn wait(
        &self,
        published: &mut watch::Receiver<Arc<Timeline>>,
        rendition: &str,
        msn: u64,
    ) -> Result<Arc<Timeline>, Refusal> {
        let timeline = published.borrow_and_update().clone();
        if !is_awaited(&timeline, rendition, msn)? {
            return Ok(timeline);
        }
        let Ok(_place) = self.places.try_acquire() else { return Err(told(Refusal::Crowded)) };
        let gauge = metrics::gauge!("anabranch_origin_held_requests");
        gauge.increment(1.0);
        let _held = Held(gauge);
        let deadline = Instant::now() + longest(&timeline);
        loop {
            let changed = tokio::select! {
                biased;
                changed = timeout_at(deadline, published.changed()) => changed,
                () = self.closing.cancelled() => return Err(told(Refusal::Closing)),
            };
            match changed {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(told(Refusal::Closing)),
                Err(_) => return Err(told(Refusal::TooLate)),
            }
            let timeline = published.borrow_and_update().clone();
            if !is_awaited(&timeline, rendition, msn)? {
                return Ok(timeline);
            }
        }
    }
}

/// Takes itself out of the gauge, however the wait ends: the peer may have gone.
struct Held(metrics::Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn is_awaited(timeline: &Timeline, rendition: &str, msn: u64) -> Result<bool, Refusal> {
    if !timeline.is_playable() {
        return Ok(false);
    }
    match timeline.standing(rendition, msn) {
        None | Some(Standing::Reached) => Ok(false),
        Some(Standing::Awaited) => Ok(true),
        Some(Standing::TooFar) => Err(told(Refusal::TooFar)),
    }
}

fn longest(timeline: &Timeline) -> Duration {
    let target = u64::from(timeline.target_duration_seconds);
    Duration::from_secs((HOLD_TARGET_DURATIONS * target).min(HOLD_MAX_SECONDS))
}

fn told(refusal: Refusal) -> Refusal {
    let reason = match refusal {
        Refusal::TooFar => "too_far",
        Refusal::TooLate => "too_late",
        Refusal::Crowded => "crowded",
        Refusal::Closing => "closing",
    };
    metrics::counter!("anabranch_origin_holds_refused_total", "reason" => reason).increment(1);
    refusal
}

#[cfg(test)]
mod tests {
    use anabranch_hls::timeline::{Progress, Rendition, RenditionKind, Segment};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_wish_has_one_spelling() {
        let msn = |query| Directives::parse(query).map(|directives| directives.msn);
        for (query, wanted) in [
            ("", None),
            ("a=b&_HLS=1&_HLS_msnx=4", None),
            ("_HLS_skip=YES", None),
            ("_HLS_msn=0", Some(0)),
            ("x=1&_HLS_msn=17&y", Some(17)),
            ("_HLS_msn=17&_HLS_part=0", Some(17)),
            ("_HLS_msn=17&_HLS_part=3&z=2&_HLS_skip=v2", Some(17)),
            ("_HLS_msn=99999999999999999999999", Some(u64::MAX)),
        ] {
            assert_eq!(msn(query), Ok(wanted), "{query}");
        }
        use BadDirectives::{Msn, Order, Part, PartAlone, Skip};
        for (query, fault) in [
            ("_HLS_msn", Msn),
            ("_HLS_msn=", Msn),
            ("_HLS_msn=-1", Msn),
            ("_HLS_msn=+1", Msn),
            ("_HLS_msn=01", Msn),
            ("_HLS_msn=1.0", Msn),
            ("_HLS_msn=%31", Msn),
            ("_HLS_part=0", PartAlone),
            ("_HLS_msn=1&_HLS_part=4", Part),
            ("_HLS_msn=1&_HLS_part=x", Part),
            ("_HLS_skip=NO", Skip),
            ("_HLS_msn=1&_HLS_msn=2", Order),
            ("_HLS_part=1&_HLS_msn=2", Order),
            ("_HLS_skip=YES&_HLS_msn=2", Order),
        ] {
            assert_eq!(msn(query), Err(fault), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_judged(query in "(&|=|_HLS_(msn|part|skip)(=[0-9]{0,22})?|YES|\\PC){0,12}") {
            let _ = Directives::parse(&query);
        }
    }

    fn timeline(newest: u64, progress: Progress) -> Arc<Timeline> {
        let segment = |msn: u64| {
            Arc::new(Segment {
                msn,
                name: format!("video/{msn}.m4s"),
                init: "video/init.mp4".into(),
                duration_seconds: 1.0,
                program_date_time_ms: 0,
                discontinuity: false,
                gap: false,
                bytes: 1,
            })
        };
        let rendition = Rendition {
            name: "video".into(),
            kind: RenditionKind::Video,
            codecs: String::new(),
            resolution: None,
            frame_rate: None,
            channels: None,
            peak_bandwidth: 1,
            average_bandwidth: 1,
            discontinuity_sequence: 0,
            segments: (0..=newest).map(segment).collect(),
        };
        Arc::new(Timeline { session: 1, progress, target_duration_seconds: 1, renditions: vec![rendition] })
    }

    #[tokio::test]
    async fn the_wait_ends_with_the_segment_the_end_or_three_target_durations() {
        let (publish, published) = watch::channel(timeline(5, Progress::Live));
        let holds = Arc::new(Holds::new(8, Shutdown::new()));
        let wait = |msn: u64| {
            let (holds, mut published) = (holds.clone(), published.clone());
            tokio::spawn(async move {
                holds.wait(&mut published, "video", msn).await.map(|t| t.renditions[0].segments.len())
            })
        };
        let began = Instant::now();
        assert_eq!(wait(5).await.unwrap(), Ok(6));
        assert_eq!(wait(8).await.unwrap(), Err(Refusal::TooFar));
        assert_eq!(wait(7).await.unwrap(), Err(Refusal::TooLate));
        assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());

        let (next, after) = (wait(6), wait(7));
        while holds.places.available_permits() > 6 {
            tokio::task::yield_now().await;
        }
        publish.send_replace(timeline(6, Progress::Live));
        assert_eq!(next.await.unwrap(), Ok(7));
        assert!(!after.is_finished());
        publish.send_replace(timeline(6, Progress::Ended));
        assert_eq!(after.await.unwrap(), Ok(7));
        assert_eq!(wait(1000).await.unwrap(), Ok(7), "nothing more will come");
        assert_eq!(holds.places.available_permits(), 8);
    }

    #[tokio::test]
    async fn places_are_limited_and_given_back() {
        let (publish, published) = watch::channel(timeline(5, Progress::Live));
        let closing = Shutdown::new();
        let holds = Arc::new(Holds::new(1, closing.clone()));
        let wait = || {
            let (holds, mut published) = (holds.clone(), published.clone());
            tokio::spawn(async move { holds.wait(&mut published, "video", 6).await.map(drop) })
        };
        let taken = async || {
            while holds.places.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let first = wait();
        taken().await;
        assert_eq!(wait().await.unwrap(), Err(Refusal::Crowded));
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let second = wait();
        taken().await;
        drop(publish);
        assert_eq!(second.await.unwrap(), Err(Refusal::Closing), "nobody publishes any more");
        let (_publish, published) = watch::channel(timeline(5, Progress::Live));
        let third = {
            let (holds, mut published) = (holds.clone(), published);
            tokio::spawn(async move { holds.wait(&mut published, "video", 6).await.map(drop) })
        };
        taken().await;
        closing.cancel();
        assert_eq!(third.await.unwrap(), Err(Refusal::Closing));
    }
}
