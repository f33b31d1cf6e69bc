//! What things cost: the table of prices, with defaults.
//!
//! Defaults of the model `cloud` follow the published on-demand prices of the services whose work is done here, in us-east-1.
//! [`Item::source`] says where each was read, with its date if it had one, or that it could not be confirmed. They are defaults, not an
//! offer: set your own in `[prices.cloud]`.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// Fractions of a unit of the currency that prices are counted in.
const NANOS: i64 = 1_000_000_000;

/// Digits after the point of a price.
const DIGITS: usize = 9;

/// Largest price.
const PRICE_MAX: i64 = 1_000_000 * NANOS;

/// A price of a unit: billionths of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub(crate) i64);

impl Money {
    /// A price that is written in decimals, such as `0.0075`.
    ///
    /// # Errors
    /// It is no such number, negative, or has more than nine digits after the point.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "a price is a decimal number from 0 to 1000000 with at most {DIGITS} digits after the point: {text:?}"
            )
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 7 || !digits(whole) || !digits(fraction) || fraction.len() > DIGITS {
            return Err(wrong());
        }
        let whole: i64 = whole.parse().map_err(|_| wrong())?;
        let fraction: i64 = format!("{fraction:0<DIGITS$}").parse().map_err(|_| wrong())?;
        let nanos = whole * NANOS + fraction;
        if nanos > PRICE_MAX { Err(wrong()) } else { Ok(Self(nanos)) }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / NANOS, self.0 % NANOS);
        let text = text.trim_end_matches('0');
        let missing = 2_usize.saturating_sub(text.len() - text.find('.').unwrap_or(0) - 1);
        write!(f, "{text}{}", "0".repeat(missing))
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Decimal;
        impl Visitor<'_> for Decimal {
            type Value = Money;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a price such as \"0.085\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Money, E> {
                Money::parse(text).map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Money, E> {
                // The shortest decimal that is this number: what was written in the file.
                Money::parse(&value.to_string()).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Money, E> {
                Money::parse(&value.to_string()).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Money, E> {
                Money::parse(&value.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Decimal)
    }
}

/// Whose prices count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Those of the services whose work is done here.
    #[default]
    Cloud,
    /// Those of machines of one's own.
    Own,
}

impl Model {
    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Own => "own",
        }
    }
}

/// The section `[prices]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// ISO 4217: what every price is in.
    pub currency: String,
    /// Which of the two tables counts; the other is shown beside it.
    pub model: Model,
    /// Prices of services.
    pub cloud: Cloud,
    /// Prices of machines of one's own, shared out by use.
    pub own: Own,
}

impl Default for Prices {
    fn default() -> Self {
        Self { currency: "USD".to_owned(), model: Model::default(), cloud: Cloud::default(), own: Own::default() }
    }
}

impl Prices {
    /// # Errors
    /// The currency is no code of ISO 4217.
    pub fn check(&self) -> Result<(), String> {
        if self.currency.len() == 3 && self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Ok(());
        }
        Err(format!("prices.currency is a code of three capital letters such as USD: {:?}", self.currency))
    }
}

/// One price as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) model: Model,
    pub(crate) service: &'static str,
    pub(crate) key: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) price: Money,
    pub(crate) source: &'static str,
}

/// Makes a table of prices: key, default in billionths, service, what, unit, source.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident, $model:expr, $section:literal,
     { $($key:ident = $default:literal, $service:literal, $what:literal, $unit:literal, $source:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[expect(missing_docs, reason = "each key is described in the table that makes it")]
        pub struct $name { $(pub $key: Money,)+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: Money($default),)+ }
            }
        }

        impl $name {
            $(
                pub(crate) fn $key(&self) -> Item {
                    Item {
                        model: $model,
                        service: $service,
                        key: concat!("prices.", $section, ".", stringify!($key)),
                        what: $what,
                        unit: $unit,
                        price: self.$key,
                        source: if self.$key == Money($default) { $source } else { "configuration" },
                    }
                }
            )+

            fn items(&self) -> Vec<Item> {
                vec![$(self.$key(),)+]
            }
        }
    };
}

table! {
    /// Prices of services.
    Cloud, Model::Cloud, "cloud", {
        encoder_input = 294_000_000, "encoder", "live input, HD AVC, 10 to 20 Mbit/s, two pipelines: channels with two inputs", "hour",
            "AWS guide \"Live Streaming on AWS with Amazon S3\", cost example 2, us-east-1, undated";
        encoder_output = 702_000_000, "encoder", "live output, HD AVC, below 10 Mbit/s, to 30 fps, two pipelines: channels with two inputs", "hour",
            "AWS guide \"Live Streaming on AWS with Amazon S3\", cost example 2, us-east-1, undated";
        encoder_input_single = 294_000_000, "encoder", "live input, HD AVC, 10 to 20 Mbit/s, one pipeline: channels with one input", "hour",
            "that of two pipelines, which is dearer: the price of one could not be confirmed; set it by your own bill";
        encoder_output_single = 702_000_000, "encoder", "live output, HD AVC, below 10 Mbit/s, to 30 fps, one pipeline: channels with one input", "hour",
            "that of two pipelines, which is dearer: the price of one could not be confirmed; set it by your own bill";
        packager_ingest = 30_000_000, "packager", "packaged for the live stream", "GB",
            "MediaPackage in the AWS Price List, us-east-1, 2026-09-18, as a public estimate gives it";
        packager_egress = 50_000_000, "packager", "asked of the origin by edges for the live stream", "GB",
            "MediaPackage in the AWS Price List, us-east-1, 2026-09-18, as a public estimate gives it";
        cdn_class_100 = 85_000_000, "cdn", "delivered from locations of PriceClass_100", "GB",
            "aws.amazon.com/cloudfront/pricing, North America and Europe, first 10 TB, undated copy";
        cdn_class_200 = 120_000_000, "cdn", "delivered from locations of PriceClass_200", "GB",
            "aws.amazon.com/cloudfront/pricing, the dearest of Asia, Africa and Middle East, first 10 TB, undated copy";
        cdn_class_all = 114_000_000, "cdn", "delivered from locations of PriceClass_All", "GB",
            "aws.amazon.com/cloudfront/pricing, the dearer of Australia and South America, first 10 TB, undated copy";
        cdn_requests = 10_000_000, "cdn", "requests by HTTPS", "10 000 requests",
            "CloudFront in the AWS Price List, United States, 2026-09-18, as a public estimate gives it";
        cdn_function = 100_000_000, "cdn", "invocations of functions, counted as one for each request", "1 000 000 requests",
            "a default of ours after the published on-demand price; check it against your own bill";
        storage = 23_000_000, "storage", "kept, standard class", "GB-month",
            "AWS guide \"Live Streaming on AWS with Amazon S3\", cost example 1, us-east-1, first 50 TB, undated";
        storage_put = 5_000_000, "storage", "objects written", "1 000 requests",
            "a default of ours after the published on-demand price; check it against your own bill";
        storage_get = 400_000, "storage", "objects asked for by edges, of recordings and assets", "1 000 requests",
            "a default of ours after the published on-demand price; check it against your own bill";
        storage_download = 0, "storage", "read by edges, of recordings and assets", "GB",
            "AWS whitepaper \"How AWS Pricing Works\", CloudFront: no charge from S3 to CloudFront, undated";
        conversion = 15_000_000, "conversion", "output, basic tier, AVC, HD, to 30 fps, single pass", "minute",
            "a default of ours after the published on-demand price; check it against your own bill";
    }
}

table! {
    /// Prices of machines of one's own.
    Own, Model::Own, "own", {
        machine_hour = 80_000_000, "encoder", "a machine that takes in and packages one channel", "hour",
            "assumption: 60 a month for a machine of 8 cores";
        conversion_hour = 80_000_000, "conversion", "a machine that converts one rendition in real time", "hour",
            "assumption: 60 a month for a machine of 8 cores";
        traffic = 2_000_000, "cdn", "sent to viewers, 1 TB for 2", "GB",
            "assumption: a port of 10 Gbit/s, a fifth in use";
        origin_traffic = 1_000_000, "packager", "sent from origin to edges, 1 TB for 1", "GB",
            "assumption: a network between one's own machines";
        disk = 10_000_000, "storage", "kept twice on disks, 1 TB-month for 10", "GB-month",
            "assumption: disks of 20 TB for 400, five years, kept twice";
    }
}

impl Prices {
    /// Every price.
    pub(crate) fn items(&self) -> Vec<Item> {
        let mut items = self.cloud.items();
        items.extend(self.own.items());
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_decimals() {
        for (text, shown) in [("0.0075", "0.0075"), ("1", "1.00"), ("0.5", "0.50"), ("12.000000001", "12.000000001")] {
            assert_eq!(Money::parse(text).unwrap().to_string(), shown);
        }
        for wrong in ["", ".5", "-1", "1e3", "1.0000000001", "10000001", "1,5", "NaN", "1000000.1"] {
            assert!(Money::parse(wrong).is_err(), "{wrong}");
        }
        let prices: Prices =
            serde_json::from_str(r#"{"model":"own","cloud":{"storage":0.05},"own":{"disk":"0.02"}}"#).unwrap();
        assert_eq!((prices.cloud.storage, prices.own.disk), (Money(50_000_000), Money(20_000_000)));
        let of = |key: &str| prices.items().into_iter().find(|item| item.key == key).unwrap();
        assert_eq!(of("prices.cloud.storage").source, "configuration");
        assert!(of("prices.cloud.conversion").source.contains("your own bill"));
        assert!(serde_json::from_str::<Prices>(r#"{"cloud":{"storages":1}}"#).is_err());
        assert!(Prices { currency: "dollars".to_owned(), ..Prices::default() }.check().is_err());
    }
}
