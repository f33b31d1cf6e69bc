//! A charge as a value: quantities times prices, in whole millionths of the currency. No sum of charges is ever a floating-point number.

use serde::{Deserialize, Serialize};

use super::prices::{Item, Model, Money, Prices};

/// Bytes of a GB, as bills count them.
const GB: u64 = 1_000_000_000;

/// Milliseconds of an hour.
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// Milliseconds of a month of 730 hours, as storage is billed.
const MONTH_HOURS: u64 = 730;

/// Shortest session that the encoder is billed for, in minutes (V102).
const ENCODER_MIN_MINUTES: u64 = 10;

/// Shortest output that is billed, in milliseconds (V106).
const CONVERSION_MIN_MS: u64 = 10_000;

/// A quantity and the price by which it is charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// What is counted.
    pub(crate) what: String,
    /// How much.
    pub(crate) quantity: u64,
    /// So much of the quantity is one unit.
    pub(crate) per: u64,
    /// The unit.
    pub(crate) unit: String,
    /// Billionths of the currency for a unit.
    pub(crate) price: i64,
    /// Key of the price in the configuration; empty in charges of before that was kept, as the two that follow.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) key: String,
    /// Where the price came from when it was charged.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) source: String,
    /// What the quantity is and by which rule it became so much, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) rule: String,
}

impl Part {
    fn new(what: impl Into<String>, quantity: u64, per: u64, by: &Item, rule: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            quantity,
            per,
            unit: by.unit.to_owned(),
            price: by.price.0,
            key: by.key.to_owned(),
            source: by.source.to_owned(),
            rule: rule.into(),
        }
    }

    /// How the amount comes about, exactly.
    pub(crate) fn arithmetic(&self) -> String {
        let (quantity, unit, price) = (self.quantity, &self.unit, Money(self.price));
        let units = if self.per > 1 { format!("{quantity} / {}", self.per) } else { quantity.to_string() };
        format!("{units} {unit} \u{d7} {price} = {}", decimal(self.amount()))
    }

    /// Millionths of the currency, rounded half up.
    pub(crate) fn amount(&self) -> i64 {
        let per = i128::from(self.per.max(1)) * 1000;
        let amount = (i128::from(self.quantity) * i128::from(self.price) + per / 2).div_euclid(per);
        i64::try_from(amount).unwrap_or(i64::MAX)
    }

    /// The quantity in units, with six digits after the point at most.
    pub(crate) fn units(&self) -> String {
        let per = u128::from(self.per.max(1));
        let millionths = (u128::from(self.quantity) * 1_000_000 + per / 2) / per;
        decimal(i64::try_from(millionths).unwrap_or(i64::MAX))
    }
}

/// What a charge is made of, by both price models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parts {
    pub(crate) cloud: Vec<Part>,
    pub(crate) own: Vec<Part>,
}

impl Parts {
    pub(crate) fn of(&self, model: &str) -> &[Part] {
        if model == Model::Own.as_str() { &self.own } else { &self.cloud }
    }

    /// Amounts by the model that counts and by the other one.
    pub(crate) fn amounts(&self, model: &str) -> (i64, i64) {
        let sum = |parts: &[Part]| parts.iter().fold(0, |sum: i64, part| sum.saturating_add(part.amount()));
        let (cloud, own) = (sum(&self.cloud), sum(&self.own));
        if model == Model::Own.as_str() { (own, cloud) } else { (cloud, own) }
    }

    /// The same quantities by the prices that `settled` was charged by: what was settled is not priced anew. A quantity that it does not have
    /// is charged by the price of now.
    pub(crate) fn by_prices_of(mut self, settled: &Self) -> Self {
        for (mine, theirs) in [(&mut self.cloud, &settled.cloud), (&mut self.own, &settled.own)] {
            for part in mine {
                if let Some(known) = theirs.iter().find(|known| known.what == part.what && known.per == part.per) {
                    part.price = known.price;
                    part.key.clone_from(&known.key);
                    part.source.clone_from(&known.source);
                }
            }
        }
        self
    }
}

/// Millionths as a decimal number.
pub(crate) fn decimal(millionths: i64) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let value = millionths.unsigned_abs();
    let text = format!("{}.{:06}", value / 1_000_000, value % 1_000_000);
    let cut = text.trim_end_matches('0');
    let digits = cut.len() - cut.find('.').unwrap_or(0) - 1;
    format!("{sign}{cut}{}", "0".repeat(2_usize.saturating_sub(digits)))
}

/// Encoder (V102): minutes, rounded up, ten at least, for each input and each output; by the class of the channel, which has two pipelines if it
/// has two inputs.
pub(crate) fn encoder(prices: &Prices, on_air_ms: u64, inputs: u64, outputs: u64) -> Parts {
    let begun = on_air_ms.div_ceil(60_000);
    let minutes = begun.max(ENCODER_MIN_MINUTES);
    let cloud = &prices.cloud;
    let (input, output, class) = if inputs > 1 {
        (cloud.encoder_input(), cloud.encoder_output(), "two pipelines")
    } else {
        (cloud.encoder_input_single(), cloud.encoder_output_single(), "one pipeline")
    };
    let least =
        if begun < minutes { format!(", which count as {minutes}, the least that is billed") } else { String::new() };
    let rule = |of: &str, lines: u64| format!("{of}: {lines}; {begun} begun minutes on air{least}");
    let part = |what: &str, lines: u64, by: &Item| {
        Part::new(what, minutes * lines, 60, by, rule(&format!("{what} of a channel with {class}"), lines))
    };
    Parts {
        cloud: vec![part("inputs", inputs, &input), part("outputs", outputs, &output)],
        own: vec![Part::new("machine", minutes, 60, &prices.own.machine_hour(), rule("machines", 1))],
    }
}

/// Packager (V103): what was packaged, and what edges asked of the origin.
pub(crate) fn packager(prices: &Prices, packaged: u64, fetched: u64) -> Parts {
    const FETCHED: &str = "bytes that edges got from the origin for requests of the live stream which they asked alone";
    let (ingest, egress) = (prices.cloud.packager_ingest(), prices.cloud.packager_egress());
    Parts {
        cloud: vec![
            Part::new("packaged", packaged, GB, &ingest, "bytes of the segments that were packaged"),
            Part::new("asked of the origin", fetched, GB, &egress, FETCHED),
        ],
        own: vec![Part::new("asked of the origin", fetched, GB, &prices.own.origin_traffic(), FETCHED)],
    }
}

/// What was delivered from locations of one price class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) class: String,
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
}

/// CDN (V104): bytes by the price of the places they were sent from, requests, and what was done for each of the session's own requests.
pub(crate) fn cdn(prices: &Prices, sent: &[Sent]) -> Parts {
    let cloud = &prices.cloud;
    let mut parts = Parts::default();
    let (mut bytes, mut requests) = (0_u64, 0_u64);
    for one in sent {
        let by = match one.class.as_str() {
            "PriceClass_100" => cloud.cdn_class_100(),
            "PriceClass_200" => cloud.cdn_class_200(),
            _ => cloud.cdn_class_all(),
        };
        let rule = format!("bytes that edges at places of {} have sent, each by the price of its own place", one.class);
        parts.cloud.push(Part::new(format!("bytes of {}", one.class), one.bytes, GB, &by, rule));
        bytes = bytes.saturating_add(one.bytes);
        requests = requests.saturating_add(one.requests);
    }
    let asked = "requests that edges at all places have answered";
    let invoked = "one invocation for each request that edges have answered";
    parts.cloud.push(Part::new("requests", requests, 10_000, &cloud.cdn_requests(), asked));
    parts.cloud.push(Part::new("function", requests, 1_000_000, &cloud.cdn_function(), invoked));
    parts.own.push(Part::new("bytes", bytes, GB, &prices.own.traffic(), "bytes that edges at all places have sent"));
    parts
}

/// Conversion (V106): playing time of each output, ten seconds at least.
pub(crate) fn conversion(prices: &Prices, duration_ms: u64, outputs: u64) -> Parts {
    let billed_ms = duration_ms.max(CONVERSION_MIN_MS);
    let output_ms = billed_ms.saturating_mul(outputs);
    let least = if duration_ms < billed_ms { ", which count as 10 seconds, the least that is billed" } else { "" };
    let rule = format!("outputs: {outputs}; {duration_ms} ms of playing time{least}");
    Parts {
        cloud: vec![Part::new("output", output_ms, 60_000, &prices.cloud.conversion(), rule.clone())],
        own: vec![Part::new("machine", output_ms, HOUR_MS, &prices.own.conversion_hour(), rule)],
    }
}

/// What edges asked storage for, of recordings and assets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

/// Storage of a month (V105): bytes, each for the hours that it was kept; and what edges asked for and read.
pub(crate) fn storage(prices: &Prices, byte_hours: u64, asked: Asked) -> Parts {
    const KEPT: &str = "bytes, each for the whole hours that it was kept; a month has 730";
    const READ: &str = "bytes of those requests";
    let (per, cloud) = (GB * MONTH_HOURS, &prices.cloud);
    let mut parts = Parts {
        cloud: vec![Part::new("kept", byte_hours, per, &cloud.storage(), KEPT)],
        own: vec![Part::new("kept", byte_hours, per, &prices.own.disk(), KEPT)],
    };
    if asked.requests > 0 {
        let rule = "requests for recordings and assets for which edges asked storage alone";
        parts.cloud.push(Part::new("asked for", asked.requests, 1000, &cloud.storage_get(), rule));
        parts.cloud.push(Part::new("read", asked.bytes, GB, &cloud.storage_download(), READ));
        parts.own.push(Part::new("read", asked.bytes, GB, &prices.own.origin_traffic(), READ));
    }
    parts
}

/// Storage, once for a session (V105): the objects of its recording that were written.
pub(crate) fn written(prices: &Prices, objects: u64) -> Parts {
    let rule = "segments and files that were written, each once";
    Parts { cloud: vec![Part::new("written", objects, 1000, &prices.cloud.storage_put(), rule)], own: Vec::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(parts: &Parts) -> i64 {
        parts.amounts("cloud").0
    }

    #[test]
    fn sessions_are_billed_by_the_begun_minute_and_ten_at_least() {
        let prices = Prices::default();
        let ten = encoder(&prices, 1, 2, 1);
        assert_eq!(ten.amounts("cloud"), encoder(&prices, 600_000, 2, 1).amounts("cloud"));
        // 20 minutes of inputs at 0.294, 10 of an output at 0.702, an hour each.
        assert_eq!(micros(&ten), 98_000 + 117_000);
        assert_eq!(encoder(&prices, 600_001, 1, 0).cloud[0].quantity, 11);
        assert_eq!(encoder(&prices, 0, 1, 1).own[0].units(), "0.166667");
    }

    #[test]
    fn each_part_explains_itself() {
        let mut prices = Prices::default();
        prices.cloud.encoder_input_single = Money(100_000_000);
        let parts = encoder(&prices, 432_000, 2, 1);
        let of = |part: &Part| (part.arithmetic(), part.rule.clone(), part.key.clone());
        let (arithmetic, rule, key) = of(&parts.cloud[0]);
        assert_eq!(arithmetic, "20 / 60 hour \u{d7} 0.294 = 0.098");
        let least = "8 begun minutes on air, which count as 10, the least that is billed";
        assert_eq!(rule, format!("inputs of a channel with two pipelines: 2; {least}"));
        assert_eq!(key, "prices.cloud.encoder_input");
        assert!(parts.cloud[0].source.contains("us-east-1"));
        // Another class has another price.
        let single = encoder(&prices, 3_600_000, 1, 1);
        assert_eq!(of(&single.cloud[0]).0, "60 / 60 hour \u{d7} 0.10 = 0.10");
        assert_eq!(single.cloud[0].rule, "inputs of a channel with one pipeline: 1; 60 begun minutes on air");
        assert_eq!(single.cloud[0].source, "configuration");
        let sent = [Sent { class: "PriceClass_200".to_owned(), bytes: GB, requests: 5000 }];
        let all = [cdn(&prices, &sent), packager(&prices, 1, 1), conversion(&prices, 1, 2), written(&prices, 1)];
        let stored = storage(&prices, 1, Asked { requests: 1, bytes: 1 });
        for part in all.iter().chain([&stored]).flat_map(|parts| parts.cloud.iter().chain(&parts.own)) {
            assert!(!part.rule.is_empty() && !part.source.is_empty() && part.key.starts_with("prices."), "{part:?}");
        }
        // What was charged before this was kept is still read.
        let old = r#"{"cloud":[{"what":"x","quantity":1,"per":1,"unit":"GB","price":1}],"own":[]}"#;
        assert_eq!(serde_json::from_str::<Parts>(old).unwrap().cloud[0].rule, "");
    }

    #[test]
    fn each_place_has_its_own_price() {
        let prices = Prices::default();
        let sent = |class: &str, bytes, requests| Sent { class: class.to_owned(), bytes, requests };
        let parts = cdn(&prices, &[sent("PriceClass_100", 10 * GB, 20_000), sent("PriceClass_200", GB, 0)]);
        assert_eq!(micros(&parts), 850_000 + 120_000 + 20_000 + 2_000);
        assert_eq!(parts.amounts("own"), (22_000, 992_000));
    }

    #[test]
    fn short_outputs_count_ten_seconds_and_not_ten_milliseconds() {
        let prices = Prices::default();
        assert_eq!(micros(&conversion(&prices, 9_999, 1)), 2_500);
        assert_eq!(micros(&conversion(&prices, 9_999, 1)), micros(&conversion(&prices, 10_000, 1)));
        assert_eq!(micros(&conversion(&prices, 60_000, 4)), 60_000);
        assert_eq!(micros(&storage(&prices, GB * 730, Asked::default())), 23_000);
        assert_eq!(micros(&packager(&prices, GB, 2 * GB)), 130_000);
    }

    #[test]
    fn requests_to_storage_are_charged_by_the_thousand() {
        let mut prices = Prices::default();
        let asked = Asked { requests: 50_000, bytes: 3 * GB };
        assert_eq!(micros(&written(&prices, 7200)), 36_000);
        assert_eq!(micros(&storage(&prices, 0, asked)), 20_000);
        assert_eq!(storage(&prices, 0, asked).amounts("own").0, 3_000);
        prices.cloud.storage_download = Money(90_000_000);
        assert_eq!(micros(&storage(&prices, 0, asked)), 20_000 + 270_000);
        // Who asked for nothing has no line about it.
        assert_eq!(storage(&prices, 1, Asked::default()).cloud.len(), 1);
    }

    #[test]
    fn what_was_settled_keeps_its_prices() {
        let before = packager(&Prices::default(), GB, GB);
        let mut dearer = Prices::default();
        dearer.cloud.packager_egress = Money(90_000_000);
        let now = packager(&dearer, GB, 2 * GB).by_prices_of(&before);
        assert_eq!(micros(&now) - micros(&before), 50_000);
        assert_eq!((decimal(-1_500_000), decimal(0), decimal(1)), ("-1.50".into(), "0.00".into(), "0.000001".into()));
    }

    proptest! {
        #[test]
        fn amounts_never_overflow_and_grow_with_quantities(quantity in any::<u64>(), more in any::<u64>(), price in 0_i64..=1_000_000_000_000_000) {
            let by = Item { price: Money(price), ..Prices::default().cloud.storage() };
            let of = |quantity| Part::new("x", quantity, GB, &by, "").amount();
            prop_assert!(of(quantity) >= 0);
            prop_assert!(of(quantity.saturating_add(more)) >= of(quantity));
        }
    }
}
