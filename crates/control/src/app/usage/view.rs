//! What the API says of usage, charges and quality of experience.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What usage is summed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UsageBy {
    /// A row for each breakout.
    #[default]
    Breakout,
    /// A row for each distribution.
    Distribution,
    /// A row for each rendition.
    Rendition,
    /// A row for each edge location.
    Location,
    /// A row for each event.
    Event,
    /// A row for each account.
    Account,
    /// A row for each asset.
    Asset,
    /// One row of everything.
    Platform,
}

/// What charges are summed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChargesBy {
    /// A row for each breakout or asset.
    #[default]
    Breakout,
    /// A row for each service.
    Service,
    /// A row for each event.
    Event,
    /// A row for each account.
    Account,
    /// One row of everything.
    Platform,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// JSON.
    #[default]
    Json,
    /// Comma-separated values (RFC 4180) with a heading.
    Csv,
}

/// Which usage is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    /// What it is summed by; breakouts if it is missing.
    #[serde(default)]
    #[param(inline)]
    pub(crate) by: UsageBy,
    /// A month in UTC, such as `2026-11`; in place of `from` and `to`.
    pub(crate) month: Option<String>,
    /// RFC 3339; 30 days before `to` if it is missing.
    pub(crate) from: Option<String>,
    /// RFC 3339, not included; now if it is missing.
    pub(crate) to: Option<String>,
    /// Only of this breakout: id or name.
    pub(crate) breakout: Option<String>,
    /// Only of this distribution: id.
    pub(crate) distribution: Option<String>,
    /// Only of breakouts of this event: id or name.
    pub(crate) event: Option<String>,
    /// Only of breakouts of this account: id or name.
    pub(crate) account: Option<String>,
    /// How the answer is written.
    #[serde(default)]
    #[param(inline)]
    pub(crate) format: Format,
}

/// Which course of usage is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SeriesQuery {
    /// Seconds of a stretch: 60, 300, 3600 or 86400; as fits the time asked for if it is missing.
    pub(crate) step: Option<u32>,
    /// RFC 3339; a day before `to` if it is missing.
    pub(crate) from: Option<String>,
    /// RFC 3339, not included; now if it is missing.
    pub(crate) to: Option<String>,
    /// Only of this breakout: id or name.
    pub(crate) breakout: Option<String>,
    /// Only of this distribution: id.
    pub(crate) distribution: Option<String>,
    /// Only of breakouts of this event: id or name.
    pub(crate) event: Option<String>,
    /// Only of breakouts of this account: id or name.
    pub(crate) account: Option<String>,
}

/// Which charges are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChargesQuery {
    /// A month in UTC, such as `2026-11`; in place of `from` and `to`. The current one if all three are missing.
    pub(crate) month: Option<String>,
    /// RFC 3339.
    pub(crate) from: Option<String>,
    /// RFC 3339, not included.
    pub(crate) to: Option<String>,
    /// What they are summed by; breakouts if it is missing.
    #[serde(default)]
    #[param(inline)]
    pub(crate) by: ChargesBy,
    /// Only of this breakout: id or name.
    pub(crate) breakout: Option<String>,
    /// How the answer is written.
    #[serde(default)]
    #[param(inline)]
    pub(crate) format: Format,
}

/// Whose audience is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AnalyticsQuery {
    /// Only of this breakout: id or name.
    pub(crate) breakout: Option<String>,
    /// Only of this asset: id.
    pub(crate) asset: Option<String>,
    /// RFC 3339; 30 days before `to` if it is missing.
    pub(crate) from: Option<String>,
    /// RFC 3339, not included; now if it is missing.
    pub(crate) to: Option<String>,
}

/// What was used in a stretch of time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// RFC 3339.
    pub(crate) from: String,
    /// RFC 3339, not included.
    pub(crate) to: String,
    /// What it is summed by.
    pub(crate) by: UsageBy,
    /// The rows, those with the most bytes first.
    pub(crate) items: Vec<UsageItem>,
    /// The sum of all rows. Peaks are not summed: the highest one. By distribution, rendition and location, and of one distribution, each viewer
    /// counts once in minutes and peak here, also one whom several rows have.
    pub(crate) total: UsageCounts,
}

/// What one of them has used.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct UsageItem {
    /// Identifier, rendition or location; empty for what belongs to none.
    pub(crate) key: String,
    /// Name for people; the key if there is no other.
    pub(crate) name: String,
    /// How much.
    #[serde(flatten)]
    pub(crate) counts: UsageCounts,
}

/// Amounts of usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct UsageCounts {
    /// Bytes sent to viewers, heads and bodies.
    pub(crate) bytes: u64,
    /// Requests answered.
    pub(crate) requests: u64,
    /// Requests answered from the cache.
    pub(crate) hits: u64,
    /// Requests for which the origin was asked.
    pub(crate) misses: u64,
    /// Answers with status 4xx and 5xx.
    pub(crate) errors: u64,
    /// Minutes of live streams that all viewers together have watched, rounded up. A viewer is a viewer session that a signature names. By
    /// breakout, event, account and platform it watches from its first request to its last one. By distribution, rendition and location, and
    /// of one distribution, it watches what it asks for, until it has not asked for 30 seconds: pictures and sound are two renditions which it
    /// watches at once, and of a change it may be in both, so that rows may come to more than the total.
    pub(crate) viewer_minutes: u64,
    /// Most viewers at one moment: of one breakout, by breakout, event, account and platform; of all breakouts together, by distribution,
    /// rendition and location, unless only those of an event or account are asked for and have been forgotten.
    pub(crate) peak_viewers: u64,
    /// Viewer sessions; by breakout, event, account and platform.
    pub(crate) viewers: u64,
    /// Time on air.
    pub(crate) stream_seconds: u64,
    /// Bytes that were packaged.
    pub(crate) ingest_bytes: u64,
    /// Playing time of what was converted, each rendition by itself.
    pub(crate) conversion_seconds: u64,
    /// Bytes kept, each for an hour.
    pub(crate) storage_byte_hours: u64,
}

/// The course of usage.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageSeries {
    /// Seconds of a stretch. What is old is known by longer stretches only: those stand at their beginning.
    pub(crate) step: u32,
    /// RFC 3339.
    pub(crate) from: String,
    /// RFC 3339, not included.
    pub(crate) to: String,
    /// Why stretches have no number of viewers, in words; null where all have.
    pub(crate) viewers_missing: Option<String>,
    /// The stretches, oldest first, without gaps.
    pub(crate) items: Vec<UsagePoint>,
}

/// A stretch of time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct UsagePoint {
    /// Its beginning, RFC 3339.
    pub(crate) at: String,
    /// Bytes sent to viewers.
    pub(crate) bytes: u64,
    /// Requests answered.
    pub(crate) requests: u64,
    /// Most viewers at one moment; null where that is not known, which `viewers_missing` explains.
    pub(crate) viewers: Option<u64>,
}

/// What it costs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Charges {
    /// RFC 3339; what began to count from then on.
    pub(crate) from: String,
    /// RFC 3339, not included.
    pub(crate) to: String,
    /// What it is summed by.
    pub(crate) by: ChargesBy,
    /// ISO 4217; the currency in force. What was charged in another stays in that.
    #[schema(example = "USD")]
    pub(crate) currency: String,
    /// Whose prices count now: `cloud` or `own`.
    pub(crate) model: String,
    /// The rows, the dearest first. What was charged by several currencies or models has a row for each.
    pub(crate) items: Vec<ChargesItem>,
    /// The sum of all that was charged in the currency in force.
    #[schema(example = "12.345678")]
    pub(crate) total: String,
    /// The same by the price model by which it was not charged, for comparison.
    pub(crate) alternative: String,
    /// The sum of all, by currency and model; nothing is converted.
    pub(crate) totals: Vec<ChargesTotal>,
}

/// The sum of all that was charged in a currency by a model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChargesTotal {
    /// ISO 4217.
    #[schema(example = "USD")]
    pub(crate) currency: String,
    /// Whose prices counted: `cloud` or `own`.
    pub(crate) model: String,
    /// In units of the currency.
    pub(crate) total: String,
    /// The same by the other price model.
    pub(crate) alternative: String,
}

/// What one of them costs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChargesItem {
    /// Identifier or service; empty for what belongs to none.
    pub(crate) key: String,
    /// Name for people.
    pub(crate) name: String,
    /// `breakout`, `asset`, `service`, `event`, `account` or `platform`.
    pub(crate) kind: String,
    /// ISO 4217; of every amount of this row.
    pub(crate) currency: String,
    /// Whose prices counted: `cloud` or `own`.
    pub(crate) model: String,
    /// What may still change.
    pub(crate) estimate: String,
    /// What is settled.
    #[serde(rename = "final")]
    pub(crate) settled: String,
    /// What came to light after it was settled.
    pub(crate) corrections: String,
    /// All three together.
    pub(crate) total: String,
    /// The same by the other price model.
    pub(crate) alternative: String,
    /// By service and kind of amount.
    pub(crate) services: Vec<ServiceCharge>,
}

/// What a service costs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ServiceCharge {
    /// `encoder`, `packager`, `cdn`, `conversion`, `storage`.
    pub(crate) service: String,
    /// What of the service, such as `hours of inputs` or `bytes of PriceClass_100`.
    pub(crate) component: String,
    /// Session of the breakout; 0 for what belongs to none, or to several.
    pub(crate) session: u32,
    /// The month, such as `2026-11`, of what is settled by month.
    pub(crate) month: Option<String>,
    /// How much, in `unit`, as a decimal number.
    pub(crate) quantity: String,
    /// The unit, such as `GB`.
    pub(crate) unit: String,
    /// Price of a unit when it was charged.
    pub(crate) unit_price: String,
    /// The charge.
    pub(crate) amount: String,
    /// How it comes about: quantity in its smallest unit, by how many of those a unit has, times the price, rounded half up to a millionth. Null
    /// for sums of several charges.
    #[schema(example = "20 / 60 hour \u{d7} 0.294 = 0.098")]
    pub(crate) arithmetic: Option<String>,
    /// What the quantity is, and what was rounded or is the least that is billed, in words. Null for sums, and for what was charged before this was
    /// kept.
    pub(crate) rule: Option<String>,
    /// Key of the price in the configuration, such as `prices.cloud.encoder_input`; null as `rule`.
    pub(crate) price_key: Option<String>,
    /// Where the price came from when it was charged: the public page with its region and date, or the configuration; null as `rule`.
    pub(crate) price_source: Option<String>,
    /// `estimate`, `final` or `correction`.
    #[schema(pattern = "^(estimate|final|correction)$")]
    pub(crate) state: String,
    /// When it was written or changed last, RFC 3339.
    pub(crate) at: String,
}

/// What a breakout costs, session by session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BreakoutCharges {
    /// The breakout.
    pub(crate) breakout: String,
    /// Its name.
    pub(crate) name: String,
    /// ISO 4217; the currency in force. What was charged in another stays in that.
    pub(crate) currency: String,
    /// Whose prices count now: `cloud` or `own`.
    pub(crate) model: String,
    /// Its sessions, oldest first; one that was charged by several currencies or models comes once for each.
    pub(crate) sessions: Vec<SessionCharges>,
    /// The sum of all that was charged in the currency in force.
    pub(crate) total: String,
    /// The same by the price model by which it was not charged.
    pub(crate) alternative: String,
    /// The sum of all, by currency and model; nothing is converted.
    pub(crate) totals: Vec<ChargesTotal>,
}

/// What a session of a breakout costs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionCharges {
    /// From 1.
    pub(crate) session: u32,
    /// ISO 4217; of every amount of this session here.
    pub(crate) currency: String,
    /// Whose prices counted: `cloud` or `own`.
    pub(crate) model: String,
    /// RFC 3339.
    pub(crate) started_at: Option<String>,
    /// RFC 3339; null while it is on air.
    pub(crate) ended_at: Option<String>,
    /// What may still change.
    pub(crate) estimate: String,
    /// What is settled.
    #[serde(rename = "final")]
    pub(crate) settled: String,
    /// What came to light after it was settled.
    pub(crate) corrections: String,
    /// All three together.
    pub(crate) total: String,
    /// Why something is not settled yet, in words.
    pub(crate) waiting_for: Option<String>,
    /// By service and kind of amount.
    pub(crate) services: Vec<ServiceCharge>,
}

/// What is to be collected again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ChargesCollect {
    /// Only of this breakout: id or name.
    pub(crate) breakout: Option<String>,
}

/// What collecting has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Collected {
    /// Charges that were looked at.
    pub(crate) collected: u64,
    /// Charges that were written or changed.
    pub(crate) changed: u64,
}

/// The prices in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PriceTable {
    /// ISO 4217.
    pub(crate) currency: String,
    /// Whose prices count: `cloud` or `own`.
    pub(crate) model: String,
    /// Every price.
    pub(crate) items: Vec<Price>,
}

/// A price.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Price {
    /// Price model that it belongs to.
    pub(crate) model: String,
    /// Service, as charges name it.
    pub(crate) service: String,
    /// Key of the configuration, such as `prices.cloud.encoder_input`.
    pub(crate) key: String,
    /// What is paid for.
    pub(crate) what: String,
    /// The unit.
    pub(crate) unit: String,
    /// Price of a unit.
    pub(crate) price: String,
    /// Where it comes from: the public page and its date, or the configuration.
    pub(crate) source: String,
}

/// Who watched, by what means, and how well.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Analytics {
    /// RFC 3339.
    pub(crate) from: String,
    /// RFC 3339, not included.
    pub(crate) to: String,
    /// Different viewers: users where they are known, else sessions.
    pub(crate) viewers: u64,
    /// Viewer sessions.
    pub(crate) sessions: u64,
    /// Minutes that all viewers together have watched.
    pub(crate) viewer_minutes: u64,
    /// Most viewers at one moment.
    pub(crate) peak_viewers: u64,
    /// Seconds of a stretch in `joins` and `concurrent`: 120 for spans up to a day, more for longer ones.
    pub(crate) step: u32,
    /// Sessions that began, by stretch of time.
    pub(crate) joins: Vec<CountAt>,
    /// Most viewers at one moment, by stretch of time.
    pub(crate) concurrent: Vec<CountAt>,
    /// Sessions by kind of device.
    pub(crate) platforms: Vec<NamedCount>,
    /// Sessions by browser.
    pub(crate) browsers: Vec<NamedCount>,
    /// Sessions by operating system.
    pub(crate) systems: Vec<NamedCount>,
    /// Requests by edge location.
    pub(crate) locations: Vec<NamedCount>,
    /// What players tell of themselves (CTA-5004); of those that do.
    pub(crate) quality: Quality,
}

/// How many at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CountAt {
    /// Beginning of the stretch, RFC 3339.
    pub(crate) at: String,
    /// How many.
    pub(crate) count: u64,
}

/// How many of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct NamedCount {
    /// The name.
    pub(crate) name: String,
    /// How many.
    pub(crate) count: u64,
}

/// Quality of experience.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Quality {
    /// Playback sessions that told anything.
    pub(crate) sessions: u64,
    /// Time from the wish to watch to the first picture; null when nobody told.
    pub(crate) startup_ms: Option<Percentiles>,
    /// Share of the time watched in which playback stood still, 0 to 1; null when nobody told.
    pub(crate) rebuffer_ratio: Option<f64>,
    /// How often playback stood still.
    pub(crate) rebuffer_count: u64,
    /// Bit rate of what was asked for; null when nobody told.
    pub(crate) bitrate_kbps: Option<Bitrate>,
    /// Requests that told of an empty buffer.
    pub(crate) buffer_starved: u64,
    /// Media in players' buffers when they asked, in milliseconds; null when nobody told.
    pub(crate) buffer_ms: Option<Percentiles>,
    /// Throughput that players measured, in kilobits a second; null when nobody told.
    pub(crate) throughput_kbps: Option<Percentiles>,
}

/// Percentiles, by the upper ends of the histogram's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Percentiles {
    /// Half are at most this.
    pub(crate) p50: u64,
    /// 95 of 100 are at most this.
    pub(crate) p95: u64,
}

/// Bit rate of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Bitrate {
    /// Mean.
    pub(crate) mean: u64,
    /// Half are at most this.
    pub(crate) p50: u64,
}
