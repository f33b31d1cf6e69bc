//! Rungs of several ladders, put together: what is the same of each region, and in which order.

use std::collections::BTreeSet;

use crate::playlist::Variant;

use super::tags::Tag;

/// Frame rates that are further apart than this are two, in thousandths: 29.97 and 30 are one.
const RATE_TOLERANCE: u64 = 100;

/// The same rung of two regions differs in bandwidth by no more than this factor.
const MATCH_FACTOR: u64 = 2;

/// Rungs that differ by no more than this, in hundredths, are given the same bandwidth.
const NEAR_PERCENT: u64 = 125;

/// What has a place in a ladder.
pub(super) trait Rung {
    fn bandwidth(&self) -> u64;
    fn resolution(&self) -> Option<(u32, u32)>;
    fn codecs(&self) -> Option<&str>;
    /// Thousandths.
    fn rate(&self) -> Option<u64>;
    /// An attribute by name, as it stands.
    fn attribute(&self, name: &str) -> Option<&str>;
    /// Takes over what the same rung of the preferred region says, and a bandwidth that is right for both.
    fn follow(&mut self, first: &Self);
    fn set_rates(&mut self, bandwidth: u64, average: Option<u64>);
    fn average(&self) -> Option<u64>;
}

/// A rung and the place of its region in the order of preference.
#[derive(Debug)]
pub(super) struct Ranked<T> {
    pub(super) region: usize,
    pub(super) item: T,
}

/// Puts ladders together, the preferred region's first: a row has the same rung of one or more regions, in their order.
pub(super) fn rows<T: Rung>(ladders: Vec<Vec<T>>) -> Vec<Vec<Ranked<T>>> {
    let mut rows: Vec<Vec<Ranked<T>>> = Vec::new();
    for (region, ladder) in ladders.into_iter().enumerate() {
        if rows.is_empty() {
            rows = ladder.into_iter().map(|item| vec![Ranked { region, item }]).collect();
            continue;
        }
        let matched = pairs(&rows, &ladder);
        let descends = descends(&rows);
        let mut beside = Vec::new();
        for (item, row) in ladder.into_iter().zip(matched) {
            match row {
                Some(row) => rows[row].push(Ranked { region, item }),
                None => beside.push(Ranked { region, item }),
            }
        }
        for ranked in beside {
            let bandwidth = ranked.item.bandwidth();
            let beyond = |row: &Vec<Ranked<T>>| {
                let other = row[0].item.bandwidth();
                if descends { other < bandwidth } else { other > bandwidth }
            };
            // The first entry is what players begin with: it stays.
            let at = rows[1..].iter().position(beyond).map_or(rows.len(), |at| at + 1);
            rows.insert(at, vec![ranked]);
        }
    }
    rows
}

/// Whether a ladder goes down, as far as it goes anywhere; its first rung, which may be chosen to begin with, counts for little.
fn descends<T: Rung>(rows: &[Vec<Ranked<T>>]) -> bool {
    let steps = || rows.windows(2).map(|pair| (pair[0][0].item.bandwidth(), pair[1][0].item.bandwidth()));
    steps().filter(|(one, next)| one > next).count() > steps().filter(|(one, next)| one < next).count()
}

/// For each rung of a ladder the row of the same rung: the most alike and nearest first, each row once.
fn pairs<T: Rung>(rows: &[Vec<Ranked<T>>], ladder: &[T]) -> Vec<Option<usize>> {
    let mut candidates = Vec::new();
    for (at, item) in ladder.iter().enumerate() {
        for (row, members) in rows.iter().enumerate() {
            if let Some(unlike) = unlikeness(&members[0].item, item) {
                candidates.push((unlike, members[0].item.bandwidth().abs_diff(item.bandwidth()), row, at));
            }
        }
    }
    candidates.sort_unstable();
    let mut matched = vec![None; ladder.len()];
    let mut taken = BTreeSet::new();
    for (_, _, row, at) in candidates {
        if matched[at].is_none() && taken.insert(row) {
            matched[at] = Some(row);
        }
    }
    matched
}

/// How many things are not known to be the same of two rungs; nothing if one is known to differ.
fn unlikeness<T: Rung>(a: &T, b: &T) -> Option<usize> {
    let (low, high) = (a.bandwidth().min(b.bandwidth()), a.bandwidth().max(b.bandwidth()));
    if high > low.saturating_mul(MATCH_FACTOR) {
        return None;
    }
    let mut unlike = 0;
    let mut same = |same: Option<bool>| match same {
        Some(same) => same,
        None => {
            unlike += 1;
            true
        }
    };
    let alike = same(both(a.resolution(), b.resolution(), |a, b| a == b))
        && same(both(a.codecs(), b.codecs(), |a, b| codec_set(a) == codec_set(b)))
        && same(both(a.rate(), b.rate(), |a, b| a.abs_diff(b) <= RATE_TOLERANCE));
    let range = |item: &T| item.attribute("VIDEO-RANGE").unwrap_or("SDR").to_owned();
    let level = |item: &T| item.attribute("HDCP-LEVEL").unwrap_or("NONE").to_owned();
    if !alike || range(a) != range(b) || level(a) != level(b) {
        return None;
    }
    let groups = ["AUDIO", "VIDEO", "SUBTITLES"];
    Some(unlike + groups.iter().filter(|name| group(a, name) != group(b, name)).count())
}

/// Whether two values that may be absent are the same; absent ones are.
fn both<V>(a: Option<V>, b: Option<V>, same: impl FnOnce(V, V) -> bool) -> Option<bool> {
    match (a, b) {
        (Some(a), Some(b)) => Some(same(a, b)),
        (None, None) => Some(true),
        _ => None,
    }
}

fn codec_set(codecs: &str) -> BTreeSet<String> {
    codecs.split(',').map(|codec| codec.trim().to_ascii_lowercase()).collect()
}

/// What a group was called in its own region.
fn group<'a, T: Rung>(item: &'a T, name: &str) -> Option<&'a str> {
    item.attribute(name).map(|value| value.split_once('/').map_or(value, |(_, own)| own).trim_matches('"'))
}

/// Makes the members of a row redundant streams where they are so near that only measuring tells them apart: players compare
/// attributes for equality.
pub(super) fn make_alike<T: Rung>(row: &mut [Ranked<T>]) {
    let Some((first, others)) = row.split_first_mut() else { return };
    let near = |a: u64, b: u64| a.max(b).saturating_mul(100) <= a.min(b).saturating_mul(NEAR_PERCENT);
    let own = first.item.bandwidth();
    let mut near: Vec<&mut Ranked<T>> = others.iter_mut().filter(|other| near(own, other.item.bandwidth())).collect();
    if near.is_empty() {
        return;
    }
    let bandwidth = near.iter().map(|other| other.item.bandwidth()).max().map_or(own, |most| most.max(own));
    let averages = near.iter().map(|other| other.item.average()).chain([first.item.average()]);
    let average = averages.collect::<Option<Vec<u64>>>().and_then(|all| all.into_iter().max());
    first.item.set_rates(bandwidth, average);
    for other in &mut near {
        other.item.set_rates(bandwidth, average);
        other.item.follow(&first.item);
    }
}

impl Rung for Variant {
    fn bandwidth(&self) -> u64 {
        self.bandwidth
    }

    fn resolution(&self) -> Option<(u32, u32)> {
        self.resolution
    }

    fn codecs(&self) -> Option<&str> {
        self.codecs.as_deref()
    }

    fn rate(&self) -> Option<u64> {
        self.frame_rate.map(thousandths)
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        if name == "AUDIO" {
            return self.audio.as_deref();
        }
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn follow(&mut self, first: &Self) {
        if self.codecs.is_some() && first.codecs.is_some() {
            self.codecs.clone_from(&first.codecs);
        }
        if first.frame_rate.is_some() {
            self.frame_rate = first.frame_rate;
        }
    }

    fn set_rates(&mut self, bandwidth: u64, average: Option<u64>) {
        (self.bandwidth, self.average_bandwidth) = (bandwidth, average);
    }

    fn average(&self) -> Option<u64> {
        self.average_bandwidth
    }
}

impl Rung for Tag {
    fn bandwidth(&self) -> u64 {
        self.number("BANDWIDTH").unwrap_or(0)
    }

    fn resolution(&self) -> Option<(u32, u32)> {
        let (width, height) = self.get("RESOLUTION")?.split_once('x')?;
        Some((width.parse().ok()?, height.trim_end().parse().ok()?))
    }

    fn codecs(&self) -> Option<&str> {
        self.get("CODECS").map(|value| value.trim_matches('"'))
    }

    fn rate(&self) -> Option<u64> {
        None
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.get(name)
    }

    fn follow(&mut self, first: &Self) {
        if let (Some(own), Some(codecs)) = (self.get_mut("CODECS"), first.get("CODECS")) {
            codecs.clone_into(own);
        }
    }

    fn set_rates(&mut self, bandwidth: u64, average: Option<u64>) {
        if let Some(own) = self.get_mut("BANDWIDTH") {
            *own = bandwidth.to_string();
        }
        match average {
            Some(average) => {
                if let Some(own) = self.get_mut("AVERAGE-BANDWIDTH") {
                    *own = average.to_string();
                }
            }
            None => self.attributes.retain(|(name, _)| name != "AVERAGE-BANDWIDTH"),
        }
    }

    fn average(&self) -> Option<u64> {
        self.number("AVERAGE-BANDWIDTH")
    }
}

/// A frame rate as it is written, with three decimals.
pub(super) fn thousandths(rate: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped, and capped by the type")]
    let whole = (rate * 1000.0).round().max(0.0) as u64;
    whole
}
