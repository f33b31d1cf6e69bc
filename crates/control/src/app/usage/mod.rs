//! Usage, charges and quality of experience: what the API answers.

mod csv;
mod view;

pub(crate) use view::*;

use super::{App, Error};

impl App {
    pub(crate) async fn usage(&self, query: &UsageQuery) -> Result<Usage, Error> {
        std::future::ready(Ok(Usage {
            from: query.from.clone().unwrap_or_default(),
            to: query.to.clone().unwrap_or_default(),
            by: query.by,
            items: Vec::new(),
            total: UsageCounts::default(),
        }))
        .await
    }

    pub(crate) async fn usage_series(&self, query: &SeriesQuery) -> Result<UsageSeries, Error> {
        let _ = (&query.from, &query.breakout, &query.distribution, &query.event, &query.account, &query.to);
        std::future::ready(Ok(UsageSeries {
            step: query.step.unwrap_or(60),
            from: String::new(),
            to: String::new(),
            items: Vec::new(),
        }))
        .await
    }

    pub(crate) async fn charges(&self, query: &ChargesQuery) -> Result<Charges, Error> {
        std::future::ready(Ok(Charges {
            from: query.month.clone().unwrap_or_default(),
            to: String::new(),
            by: query.by,
            currency: "USD".to_owned(),
            model: "cloud".to_owned(),
            items: Vec::new(),
            total: "0".to_owned(),
            alternative: "0".to_owned(),
        }))
        .await
    }

    pub(crate) async fn breakout_charges(&self, wanted: &str) -> Result<BreakoutCharges, Error> {
        let row = self.db.breakout_find(wanted).await?;
        Ok(BreakoutCharges {
            breakout: row.id.to_string(),
            name: row.content.name,
            currency: "USD".to_owned(),
            model: "cloud".to_owned(),
            sessions: Vec::new(),
            total: "0".to_owned(),
            alternative: "0".to_owned(),
        })
    }

    pub(crate) async fn charges_collect(&self, wanted: &ChargesCollect) -> Result<Collected, Error> {
        if let Some(breakout) = &wanted.breakout {
            self.db.breakout_find(breakout).await?;
        }
        Ok(Collected::default())
    }

    pub(crate) fn prices(&self) -> PriceTable {
        PriceTable { currency: "USD".to_owned(), model: "cloud".to_owned(), items: Vec::new() }
    }

    pub(crate) async fn analytics(&self, query: &AnalyticsQuery) -> Result<Analytics, Error> {
        let _ = (&query.breakout, &query.asset, &query.from, &query.to);
        std::future::ready(Ok(Analytics::default())).await
    }

    pub(crate) async fn overview(&self) -> Result<Overview, Error> {
        std::future::ready(Ok(Overview { version: env!("CARGO_PKG_VERSION").to_owned(), ..Overview::default() })).await
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            settings: serde_json::Value::Object(serde_json::Map::new()),
            sources: serde_json::Value::Object(serde_json::Map::new()),
            file: None,
        }
    }
}
