//! Distributions.

use anabranch_db::DistributionRow;

use super::page::{PageQuery, list};
use super::view::{Distribution, List};
use super::{App, Error};
use crate::time;

impl App {
    pub(crate) async fn distribution_list(&self, query: &PageQuery) -> Result<List<Distribution>, Error> {
        let page = self.db.distribution_page(&query.request()?).await?;
        Ok(list(page, |row| self.distribution_view(row)))
    }

    pub(crate) async fn distribution_show(&self, wanted: &str) -> Result<Distribution, Error> {
        let row = self.db.distribution_find(wanted).await?;
        Ok(self.distribution_view(row))
    }

    fn distribution_view(&self, row: DistributionRow) -> Distribution {
        let (requests, bytes) = self.observed.traffic(&row.id);
        Distribution {
            id: row.id.into(),
            channel: row.channel.into(),
            domain_name: row.domain_name,
            aliases: row.aliases,
            status: row.status,
            enabled: row.enabled,
            price_class: row.price_class,
            key_group: row.key_group.into(),
            requests_total: row.requests_total.saturating_add(requests),
            bytes_total: row.bytes_total.saturating_add(bytes),
            created_at: time::render_ms(row.created_at),
        }
    }
}
