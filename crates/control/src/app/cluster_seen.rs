//! What is measured of a cluster's playlists (C24), as answers show it.

use anabranch_cluster::watch::{Effect, Finding, PlaylistReport, Statistics};
use anabranch_model::Anchors;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{App, Error};
use crate::cluster::Seen;
use crate::time;

/// Playlists of an answer at most; those of the first streams come first.
const PLAYLISTS_MAX: usize = 2000;

/// Which playlists.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlaylistQuery {
    /// Name of a region; those of all if it is missing.
    pub(crate) region: Option<String>,
    /// Name of a stream; those of all if it is missing.
    pub(crate) stream: Option<String>,
}

/// A playlist that this server watches, and what it has measured of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlaylistView {
    /// Name of the region.
    pub(crate) region: String,
    /// Name of the stream: the id of a breakout, or the cluster's where its URLs name no breakout.
    pub(crate) stream: String,
    /// Through the CDN, or past it.
    #[schema(example = "cdn", pattern = "^(cdn|origin)$")]
    pub(crate) way: &'static str,
    /// URL, without what signs it.
    pub(crate) url: String,
    /// What it is for.
    #[schema(value_type = String, example = "variant")]
    pub(crate) role: anabranch_cluster::watch::Role,
    /// What tells it from others, for people; may be empty.
    pub(crate) label: String,
    /// Whether it changes.
    #[schema(example = "fresh", pattern = "^(fresh|stale|ended|unknown)$")]
    pub(crate) state: &'static str,
    /// Since when; RFC 3339.
    pub(crate) since: String,
    /// When it was last seen to change, or first seen; RFC 3339.
    pub(crate) changed_at: Option<String>,
    /// How long that is ago, or how long it has been asked for in vain, in milliseconds.
    pub(crate) age_ms: u64,
    /// Age at which it is stale, in milliseconds.
    pub(crate) limit_ms: u64,
    /// Media sequence number of its first segment.
    pub(crate) media_sequence: Option<u64>,
    /// Media sequence number of its newest segment that is no gap.
    pub(crate) newest_sequence: Option<u64>,
    /// Duration that it is judged by: the longer of target duration and longest segment, in seconds.
    pub(crate) duration_seconds: Option<f64>,
    /// How long its answers take, the middle one of the last 25, in milliseconds.
    pub(crate) answer_ms: Option<u64>,
    /// How far the end of its newest segment lies behind the clock, in milliseconds.
    pub(crate) behind_ms: Option<i64>,
    /// Intervals between its changes; null before the second.
    pub(crate) statistics: Option<StatisticsView>,
    /// Why the last answer was no playlist.
    pub(crate) trouble: Option<String>,
    /// What is wrong with it.
    pub(crate) findings: Vec<FindingView>,
}

/// Playlists of a cluster, and what is wrong with whole streams of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlaylistsView {
    /// The playlists.
    pub(crate) items: Vec<PlaylistView>,
    /// Null: there is one page.
    pub(crate) next: Option<String>,
    /// What is wrong with a stream as a whole in a region by a way, such as renditions that drift apart.
    pub(crate) findings: Vec<StreamFindingView>,
}

/// Something that is wrong with a stream as a whole.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamFindingView {
    /// Name of the region.
    pub(crate) region: String,
    /// Name of the stream.
    pub(crate) stream: String,
    /// Through the CDN, or past it.
    #[schema(example = "cdn", pattern = "^(cdn|origin)$")]
    pub(crate) way: &'static str,
    /// What.
    #[schema(example = "drift")]
    pub(crate) kind: &'static str,
    /// Whether it makes the stream stale, or only warns.
    pub(crate) makes_stale: bool,
    /// What was seen.
    pub(crate) evidence: String,
    /// Since when; RFC 3339.
    pub(crate) since: String,
}

/// Of the last intervals between two changes that were seen, 25 at the most, in seconds with one decimal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatisticsView {
    /// Intervals that these are of.
    pub(crate) intervals: usize,
    /// Mean.
    pub(crate) mean_seconds: f64,
    /// Median.
    pub(crate) median_seconds: f64,
    /// Nine of ten are not longer.
    pub(crate) p90_seconds: f64,
    /// Shortest.
    pub(crate) min_seconds: f64,
    /// Longest.
    pub(crate) max_seconds: f64,
}

/// Something that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingView {
    /// What.
    #[schema(example = "unreachable")]
    pub(crate) kind: &'static str,
    /// Whether it makes the playlist stale, or only warns.
    pub(crate) makes_stale: bool,
    /// What was seen.
    pub(crate) evidence: String,
}

/// How a stream is aligned in a region: what that region's packager says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlignmentView {
    /// Name of the stream: the id of a breakout.
    pub(crate) stream: String,
    /// Name of the region.
    pub(crate) region: String,
    /// When its clock was chosen, which is the same in regions that are aligned; RFC 3339; null while it has none.
    pub(crate) clock: Option<String>,
    /// It hears an encoder and has no clock yet.
    pub(crate) waiting: bool,
    /// What keeps the stream from being aligned well.
    pub(crate) problem: Option<String>,
}

impl AlignmentView {
    pub(crate) fn of(told: &Anchors) -> Self {
        let stream = told.stream.split_once('/').map_or(told.stream.as_str(), |(_, stream)| stream);
        Self {
            stream: stream.to_owned(),
            region: told.region.clone(),
            clock: (!told.anchors.is_empty()).then(|| time::render_ms(told.since_ms)),
            waiting: told.waiting,
            problem: told.problem.clone(),
        }
    }
}

impl From<Statistics> for StatisticsView {
    fn from(of: Statistics) -> Self {
        Self {
            intervals: of.intervals,
            mean_seconds: of.mean_seconds,
            median_seconds: of.median_seconds,
            p90_seconds: of.p90_seconds,
            min_seconds: of.min_seconds,
            max_seconds: of.max_seconds,
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(of: &Finding) -> Self {
        Self { kind: of.kind.as_str(), makes_stale: of.effect == Effect::Stale, evidence: of.evidence.clone() }
    }
}

impl StreamFindingView {
    fn of(seen: &Seen, finding: &Finding) -> Self {
        Self {
            region: seen.region.clone(),
            stream: seen.stream.clone(),
            way: seen.way.as_str(),
            kind: finding.kind.as_str(),
            makes_stale: finding.effect == Effect::Stale,
            evidence: finding.evidence.clone(),
            since: time::render_ms(finding.since_ms),
        }
    }
}

impl PlaylistView {
    fn of(seen: &Seen, report: &PlaylistReport) -> Self {
        Self {
            region: seen.region.clone(),
            stream: seen.stream.clone(),
            way: seen.way.as_str(),
            url: report.url.clone(),
            role: report.role,
            label: report.label.clone(),
            state: report.state.as_str(),
            since: time::render_ms(report.since_ms),
            changed_at: report.changed_ms.map(time::render_ms),
            age_ms: report.age_ms,
            limit_ms: report.limit_ms,
            media_sequence: report.media_sequence,
            newest_sequence: report.newest_sequence,
            duration_seconds: report.duration_seconds,
            answer_ms: report.answer_ms,
            behind_ms: report.behind_ms,
            statistics: report.statistics.map(StatisticsView::from),
            trouble: report.trouble.clone(),
            findings: report.findings.iter().map(FindingView::from).collect(),
        }
    }
}

impl App {
    /// What this server's own watchers have measured of a cluster's playlists.
    pub(crate) fn cluster_playlists(&self, wanted: &str, query: &PlaylistQuery) -> Result<PlaylistsView, Error> {
        self.clusters.look_at();
        let is_wanted = |seen: &&Seen| {
            query.region.as_ref().is_none_or(|region| *region == seen.region)
                && query.stream.as_ref().is_none_or(|stream| *stream == seen.stream)
        };
        let found = self.clusters.find(wanted, |live| {
            let region = query.region.as_deref();
            let known = region.is_none_or(|region| live.cluster().region(region).is_some());
            let of = || live.seen.iter().filter(is_wanted);
            let all =
                of().flat_map(|seen| seen.report.playlists.iter().map(move |report| PlaylistView::of(seen, report)));
            let findings =
                of().flat_map(|seen| seen.report.findings.iter().map(move |one| StreamFindingView::of(seen, one)));
            known.then(|| (all.take(PLAYLISTS_MAX).collect(), findings.take(PLAYLISTS_MAX).collect()))
        })?;
        let Some((items, findings)) = found else {
            let short: String = query.region.iter().flat_map(|region| region.chars()).take(100).collect();
            return Err(Error::invalid("region", format!("the cluster has no region with this name: {short:?}")));
        };
        Ok(PlaylistsView { items, next: None, findings })
    }
}
