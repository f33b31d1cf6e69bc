//! Collecting: what rows tell of usage becomes charges. Takes no input, and repeating it changes nothing (V108): a charge is known by whose it
//! is, service and session; an estimate is written over, what is final never; a difference to what is final is an entry of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anabranch_db::{ChargeRow, Delivered, Error, SubjectRow, UsageFilter, Watched};
use anabranch_model::AssetState;
use anabranch_net::Shutdown;
use tokio::time::MissedTickBehavior;

use super::charge::{self, Asked, HOUR_MS, Parts, Sent};
use crate::app::App;
use crate::chain::chain;
use crate::time;

/// Time between two rounds by itself.
const EVERY: Duration = Duration::from_secs(30);

/// Rounds after which everything is looked at, and not only what is new.
const WHOLE_EVERY: u32 = 120;

/// What ended longer ago is looked at in a whole round only, in milliseconds.
const NEW_MS: i64 = 48 * 3_600_000;

/// Time after the end of a session that edges must have told of, in milliseconds: who watches to the end fetches it a little later.
const LINGER_MS: i64 = 60_000;

/// Longest wait for edges to tell, in milliseconds; after that what they tell is a correction.
const SETTLE_MAX_MS: i64 = 24 * 3_600_000;

/// Least time between two corrections of a charge, in milliseconds, unless an operator asks.
const CORRECT_EVERY_MS: i64 = 3_600_000;

/// Time into a month in which the one before may still be told of, in milliseconds.
const MONTH_LINGER_MS: i64 = 3 * 86_400_000;

/// Assets looked at.
const ASSETS_MAX: usize = 100_000;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What is new, and the present month.
    New,
    /// Everything there ever was.
    Whole,
    /// Everything of one breakout or asset.
    Of(String),
}

/// What a round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) collected: u64,
    pub(crate) changed: u64,
}

/// Collects now and then until `shutdown`.
pub(crate) async fn run(app: &App, shutdown: &Shutdown) {
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    for round in 0_u32.. {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = timer.tick() => {}
        }
        if !app.db.is_leader() {
            continue;
        }
        let scope = if round % WHOLE_EVERY == 1 { Scope::Whole } else { Scope::New };
        let round = async {
            collect(app, &scope).await?;
            app.db.usage_roll_up(app.clock.now_ms().div_euclid(1000)).await
        };
        let outcome = tokio::select! {
            () = shutdown.cancelled() => return,
            outcome = round => outcome,
        };
        match outcome {
            Ok(_) => failing = false,
            Err(error) if app.health.met(&error) => {}
            Err(error) => {
                if !failing {
                    tracing::error!(error = chain(&error), "charges cannot be collected; it is tried again");
                }
                failing = true;
            }
        }
    }
}

/// A charge as it should be now.
struct Due {
    service: &'static str,
    month: String,
    parts: Parts,
    is_final: bool,
    charged_at: i64,
}

/// One round. Rounds follow each other, also those that operators ask for.
pub(crate) async fn collect(app: &App, scope: &Scope) -> Result<Done, Error> {
    let _turn = app.collecting.lock().await;
    let now_ms = app.clock.now_ms();
    let mut done = Done { changed: app.db.subjects_follow(now_ms).await?, ..Done::default() };
    done.changed += assets(app).await?;
    let wanted = match scope {
        Scope::Of(subject) => subject.as_str(),
        Scope::New | Scope::Whole => "",
    };
    let mut subjects = app.db.subjects(wanted, 0, i64::MAX).await?;
    if *scope == Scope::New {
        subjects.retain(|row| is_new(row, now_ms));
    }
    done.changed += watched(app, &mut subjects, now_ms).await?;
    let delivered = Deliveries::read(app, &subjects, scope, now_ms).await?;
    let mut known: BTreeMap<_, Vec<ChargeRow>> = BTreeMap::new();
    let ids: BTreeSet<&str> = subjects.iter().map(|row| row.subject.as_str()).collect();
    for id in ids {
        for row in app.db.charges(id, 0, i64::MAX).await? {
            let key = (row.kind.clone(), row.subject.clone(), row.session, row.service.clone(), row.month.clone());
            known.entry(key).or_default().push(row);
        }
    }
    let mut rows = Vec::new();
    for subject in &subjects {
        for due in dues(app, subject, &delivered, scope, now_ms) {
            done.collected += 1;
            let key = (
                subject.kind.clone(),
                subject.subject.clone(),
                subject.session,
                due.service.to_owned(),
                due.month.clone(),
            );
            let before = known.get(&key).map_or(&[][..], Vec::as_slice);
            rows.extend(entry(app, subject, &due, before, scope, now_ms));
        }
    }
    done.changed += app.db.charges_put(&rows).await?;
    Ok(done)
}

fn is_new(row: &SubjectRow, now_ms: i64) -> bool {
    let ended = row.ended_at.or(row.kept_until).unwrap_or(i64::MAX);
    let recent = |at: Option<i64>| at.is_some_and(|at| now_ms.saturating_sub(at) < NEW_MS);
    now_ms.saturating_sub(ended) < NEW_MS || recent(row.converted_at) || recent(row.kept_until)
}

/// Takes note of assets.
async fn assets(app: &App) -> Result<u64, Error> {
    let (mut changed, mut seen) = (0, 0);
    let known = app.db.subjects("", 0, i64::MAX).await?;
    let known: BTreeMap<_, _> =
        known.iter().filter(|row| row.kind == "asset").map(|row| (row.subject.as_str(), row)).collect();
    let mut page = anabranch_db::PageRequest { limit: 200, after: None, order: anabranch_db::PageOrder::OldestFirst };
    loop {
        let found = app.db.asset_page(&anabranch_db::AssetFilter::default(), &page).await?;
        for asset in &found.items {
            seen += 1;
            let made = &asset.report.made;
            let ready = asset.state == AssetState::Ready;
            let outputs = made.rungs.len() + made.audio.len();
            let before = known.get(asset.id.as_str()).copied();
            let row = SubjectRow {
                kind: "asset".to_owned(),
                subject: asset.id.to_string(),
                session: 0,
                name: asset.name.clone(),
                event: String::new(),
                account: String::new(),
                started_at: asset.created_at,
                ended_at: asset.ready_at,
                inputs: 0,
                bytes: made.bytes.saturating_add(asset.size),
                mp4_bytes: 0,
                objects: if ready { made.objects } else { before.map_or(0, |before| before.objects) },
                duration_ms: made.duration_ms,
                renditions: outputs as u64,
                conversions: if ready { u64::from(asset.generation) } else { u64::from(asset.generation) - 1 },
                converted_at: asset.ready_at,
                kept_from: Some(asset.created_at),
                kept_until: None,
                viewers: 0,
                viewer_ms: 0,
                peak_viewers: 0,
                settled_at: None,
            };
            // Most are as they were: nothing is written for those.
            if before.is_none_or(|before| *before != row) {
                changed += app.db.subject_asset(&row).await?;
            }
        }
        page.after = found.next;
        if page.after.is_none() || seen >= ASSETS_MAX {
            return Ok(changed);
        }
    }
}

/// Counts who watched, and notes which sessions every edge has told of. What is settled stays: rows of viewers may be forgotten.
async fn watched(app: &App, subjects: &mut [SubjectRow], now_ms: i64) -> Result<u64, Error> {
    let mut changed = 0;
    let told = told_until(app);
    for row in subjects.iter_mut().filter(|row| row.kind == "breakout" && row.settled_at.is_none()) {
        let before = row.clone();
        let until = row.ended_at.map_or(i64::MAX, |ended| ended.saturating_add(LINGER_MS));
        let watched = app.db.watched(&row.subject, row.started_at, until).await?;
        let sums = Audience::of(&watched, row.started_at, row.ended_at.unwrap_or(now_ms));
        // Viewers that are forgotten were there nevertheless.
        row.viewers = row.viewers.max(sums.sessions);
        row.viewer_ms = row.viewer_ms.max(sums.watched_ms);
        row.peak_viewers = row.peak_viewers.max(sums.peak);
        if let Some(ended) = row.ended_at {
            let told_of = told.is_none_or(|told| told > ended.saturating_add(LINGER_MS)) && now_ms > ended + LINGER_MS;
            if told_of || now_ms.saturating_sub(ended) > SETTLE_MAX_MS {
                row.settled_at = Some(now_ms);
            }
        }
        if *row != before {
            changed += app.db.subject_watched(row).await?;
        }
    }
    Ok(changed)
}

/// Unix milliseconds until which every edge that is waited for has told of all that it has sent; none without edges.
fn told_until(app: &App) -> Option<i64> {
    let remote = app.nodes.told_until();
    let own = app.observed.told_until();
    [remote, own].into_iter().flatten().min()
}

/// Sums of viewer sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audience {
    pub(crate) sessions: u64,
    pub(crate) viewers: u64,
    pub(crate) watched_ms: u64,
    pub(crate) peak: u64,
}

impl Audience {
    /// Of the part of the sessions that lies within a time.
    pub(crate) fn of(watched: &[Watched], from_ms: i64, to_ms: i64) -> Self {
        let mut sums = Self::default();
        let mut who = BTreeSet::new();
        let mut steps = Vec::new();
        for one in watched.iter().filter(|one| one.entered_at < to_ms && one.left_at >= from_ms) {
            let (from, to) = (one.entered_at.max(from_ms), one.left_at.min(to_ms));
            sums.sessions += 1;
            who.insert(one.who.as_str());
            sums.watched_ms += u64::try_from(to - from).unwrap_or(0);
            steps.extend([(from, 1_i64), (to, -1)]);
        }
        sums.viewers = who.len() as u64;
        // Who comes at the moment when another goes was there with them.
        steps.sort_unstable_by_key(|(at, step)| (*at, -step));
        let mut present = 0_i64;
        for (_, step) in steps {
            present += step;
            sums.peak = sums.peak.max(u64::try_from(present).unwrap_or(0));
        }
        sums
    }
}

/// What was delivered: of live sessions in all, and of recordings and assets by month.
#[derive(Default)]
struct Deliveries {
    live: BTreeMap<(String, u32), Vec<Delivered>>,
    /// By month, and breakout and session or asset.
    later: BTreeMap<String, BTreeMap<(String, u32), Vec<Delivered>>>,
    /// The months that were read, with beginning and end in Unix milliseconds.
    months: Vec<(String, i64, i64)>,
}

impl Deliveries {
    async fn read(app: &App, subjects: &[SubjectRow], scope: &Scope, now_ms: i64) -> Result<Self, Error> {
        let mut all = Self::default();
        let first = subjects.iter().map(|row| row.started_at).min().unwrap_or(now_ms);
        let mut filter = UsageFilter { from: first.div_euclid(1000) - 86_400, to: i64::MAX, ..UsageFilter::default() };
        if let Scope::Of(subject) = scope {
            filter.breakout.clone_from(subject);
        }
        for row in app.db.usage_delivered(&filter).await? {
            if !row.recorded && !row.breakout.is_empty() {
                all.live.entry((row.breakout.clone(), row.session)).or_default().push(row);
            }
        }
        all.months = match scope {
            Scope::New => months(now_ms.saturating_sub(MONTH_LINGER_MS), now_ms),
            Scope::Whole | Scope::Of(_) => months(first, now_ms),
        };
        filter.breakout.clear();
        for (month, from, to) in &all.months {
            (filter.from, filter.to) = (from / 1000, to / 1000);
            let mut sums: BTreeMap<_, Vec<Delivered>> = BTreeMap::new();
            for row in app.db.usage_delivered(&filter).await? {
                if row.recorded {
                    sums.entry((row.breakout.clone(), row.session)).or_default().push(row);
                } else if !row.asset.is_empty() {
                    sums.entry((row.asset.clone(), 0)).or_default().push(row);
                }
            }
            all.later.insert(month.clone(), sums);
        }
        Ok(all)
    }
}

/// Months that have any of this time, in UTC: name, beginning, end.
pub(crate) fn months(from_ms: i64, to_ms: i64) -> Vec<(String, i64, i64)> {
    let mut months = Vec::new();
    let mut at = from_ms.max(0);
    while at <= to_ms {
        let (name, begins, ends) = time::month(at);
        at = ends;
        months.push((name, begins, ends));
    }
    months
}

/// Bytes and requests by price class.
fn sent(rows: Option<&Vec<Delivered>>) -> Vec<Sent> {
    let mut sums: BTreeMap<&str, Sent> = BTreeMap::new();
    for row in rows.into_iter().flatten() {
        let class = row.place.class.as_str();
        let sum = sums.entry(class).or_insert_with(|| Sent { class: class.to_owned(), ..Sent::default() });
        sum.bytes = sum.bytes.saturating_add(row.counts.bytes);
        sum.requests = sum.requests.saturating_add(row.counts.requests);
    }
    sums.into_values().collect()
}

/// What edges asked storage for. Rows of before requests were counted have none, and their bytes were not charged.
fn asked(rows: Option<&Vec<Delivered>>) -> Asked {
    let mut sum = Asked::default();
    for row in rows.into_iter().flatten().filter(|row| row.counts.fetches > 0) {
        sum.requests = sum.requests.saturating_add(row.counts.fetches);
        sum.bytes = sum.bytes.saturating_add(row.counts.fetched);
    }
    sum
}

/// Every charge of a session or asset as it should be now.
fn dues(app: &App, row: &SubjectRow, delivered: &Deliveries, scope: &Scope, now_ms: i64) -> Vec<Due> {
    let prices = &app.config.prices;
    let mut dues = Vec::new();
    let charged_at = row.ended_at.unwrap_or(row.started_at);
    let mut once = |service, parts, is_final, charged_at| {
        dues.push(Due { service, month: String::new(), parts, is_final, charged_at });
    };
    // What was settled long ago is not looked at again by itself.
    let fresh = *scope != Scope::New || now_ms.saturating_sub(charged_at) < NEW_MS;
    if row.kind == "breakout" && fresh {
        let on_air = u64::try_from(row.ended_at.unwrap_or(now_ms) - row.started_at).unwrap_or(0);
        once("encoder", charge::encoder(prices, on_air, row.inputs.max(1), 1), row.ended_at.is_some(), charged_at);
        let live = delivered.live.get(&(row.subject.clone(), row.session));
        let fetched = live.into_iter().flatten().fold(0_u64, |sum, one| sum.saturating_add(one.counts.fetched));
        let settled = row.settled_at.is_some();
        once("packager", charge::packager(prices, row.bytes, fetched), settled, charged_at);
        once("cdn", charge::cdn(prices, &sent(live)), settled, charged_at);
        if row.objects > 0 {
            once("storage", charge::written(prices, row.objects), settled, charged_at);
        }
    }
    if row.conversions > 0 && row.duration_ms > 0 {
        let outputs = row.renditions.max(1).saturating_mul(row.conversions);
        let converted_at = row.converted_at.unwrap_or(charged_at);
        once("conversion", charge::conversion(prices, row.duration_ms, outputs), true, converted_at);
        if row.kind == "asset" && row.objects > 0 {
            let objects = row.objects.saturating_mul(row.conversions);
            once("storage", charge::written(prices, objects), true, converted_at);
        }
    }
    let key = (row.subject.clone(), row.session);
    let told = told_until(app);
    for (month, begins, ends) in &delivered.months {
        let over = now_ms >= *ends && (told.is_none_or(|told| told >= *ends) || now_ms - ends > SETTLE_MAX_MS);
        let byte_hours = byte_hours(row, *begins, (*ends).min(now_ms));
        let mut monthly = |service, parts| {
            dues.push(Due { service, month: month.clone(), parts, is_final: over, charged_at: *begins });
        };
        let rows = delivered.later.get(month).and_then(|sums| sums.get(&key));
        let asked = asked(rows);
        if byte_hours > 0 || asked.requests > 0 {
            monthly("storage", charge::storage(prices, byte_hours, asked));
        }
        if rows.is_some() {
            monthly("cdn", charge::cdn(prices, &sent(rows)));
        }
    }
    dues
}

/// Bytes of a session or asset, each for the hours in which it was kept within a time.
pub(crate) fn byte_hours(row: &SubjectRow, from_ms: i64, to_ms: i64) -> u64 {
    // While it is recorded it grows: it counts from its end on.
    let since = if row.kind == "breakout" { row.ended_at } else { row.kept_from };
    let Some(since) = since else { return 0 };
    let from = since.max(from_ms);
    let to = row.kept_until.unwrap_or(i64::MAX).min(to_ms);
    // Whole hours, so that a round within the hour changes nothing.
    let hours = u64::try_from(to.saturating_sub(from)).unwrap_or(0) / HOUR_MS;
    row.bytes.saturating_add(row.mp4_bytes).saturating_mul(hours)
}

/// The entry that makes the charge what it should be; none if it is.
fn entry(
    app: &App,
    subject: &SubjectRow,
    due: &Due,
    before: &[ChargeRow],
    scope: &Scope,
    now_ms: i64,
) -> Option<ChargeRow> {
    let prices = &app.config.prices;
    let first = before.first();
    let row = |entry: u32, state: &str, model: &str, currency: &str, amounts: (i64, i64), parts: &Parts| ChargeRow {
        kind: subject.kind.clone(),
        subject: subject.subject.clone(),
        session: subject.session,
        service: due.service.to_owned(),
        month: due.month.clone(),
        entry,
        state: state.to_owned(),
        model: model.to_owned(),
        currency: currency.to_owned(),
        amount: amounts.0,
        alternative: amounts.1,
        parts: serde_json::to_string(parts).unwrap_or_default(),
        charged_at: due.charged_at,
        written_at: now_ms,
    };
    let Some(settled) = first.filter(|first| first.state != "estimate") else {
        let model = prices.model.as_str();
        let state = if due.is_final { "final" } else { "estimate" };
        return Some(row(0, state, model, &prices.currency, due.parts.amounts(model), &due.parts));
    };
    let by: Parts = serde_json::from_str(&settled.parts).unwrap_or_default();
    let parts = due.parts.clone().by_prices_of(&by);
    let wanted = parts.amounts(&settled.model);
    let sum = |of: fn(&ChargeRow) -> i64| before.iter().map(of).fold(0_i64, i64::saturating_add);
    let delta = (wanted.0 - sum(|row| row.amount), wanted.1 - sum(|row| row.alternative));
    let last = before.last()?;
    if delta == (0, 0) || (*scope == Scope::New && now_ms - last.written_at < CORRECT_EVERY_MS) {
        return None;
    }
    Some(row(last.entry + 1, "correction", &settled.model, &settled.currency, delta, &parts))
}
