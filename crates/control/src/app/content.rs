//! Configurations of distributions between the operator, the rows and the nodes.

use std::collections::BTreeSet;

use anabranch_cloudfront::{DistributionConfig, ViewerOrigins};
use anabranch_db::{Db, DistributionContent, DistributionRow};
use anabranch_model::{DistributionId, KeyGroupId, PriceClass};

use super::{App, Error};

/// Fills in the configurations that a version which kept none has left to be guessed.
pub(super) async fn fill(db: &Db, default: &KeyGroupId, viewers: &ViewerOrigins) -> Result<(), anabranch_db::Error> {
    for id in db.local_distributions_empty().await? {
        let row = db.distribution_find(id.as_str()).await?;
        let Some(channel) = &row.channel else { continue };
        let group = row.key_groups.first().unwrap_or(default);
        let mut config = DistributionConfig::live(&row.caller_reference, channel, group, viewers).to_json();
        config["PriceClass"] = row.price_class.clone().into();
        config["Enabled"] = row.enabled.into();
        db.local_distribution_fill(&id, &config.to_string()).await?;
    }
    Ok(())
}

/// The configuration of a row.
pub(crate) fn config_of(row: &DistributionRow) -> Result<DistributionConfig, Error> {
    match (&row.config, &row.channel, row.key_groups.first()) {
        (Some(config), _, _) => Ok(DistributionConfig::parse(config.as_bytes())?),
        (None, Some(channel), Some(group)) => {
            Ok(DistributionConfig::live(&row.caller_reference, channel, group, &ViewerOrigins::default()))
        }
        (None, _, _) => Err(Error::Conflict(format!("distribution {} has no configuration", row.id))),
    }
}

impl App {
    /// What rows keep of a configuration. It has been compiled for `id`, so that nothing is kept that edges could not be told.
    pub(super) fn distribution_content(
        &self,
        config: &DistributionConfig,
        id: &DistributionId,
    ) -> Result<DistributionContent, Error> {
        config.compile(id, &self.domain_name(id))?;
        Ok(of(config))
    }

    /// Host name of a distribution.
    pub(super) fn domain_name(&self, id: &DistributionId) -> String {
        format!("{}.{}", id.as_str().to_ascii_lowercase(), self.config.domain_suffix)
    }
}

/// What rows keep of a configuration.
pub(super) fn of(config: &DistributionConfig) -> DistributionContent {
    let mut seen = BTreeSet::new();
    DistributionContent {
        config: config.to_json().to_string(),
        caller_reference: config.caller_reference().to_owned(),
        enabled: config.enabled(),
        price_class: price_word(config.price_class()).to_owned(),
        aliases: config.aliases().to_vec(),
        key_groups: config.trusted_key_groups().filter(|group| seen.insert(*group)).cloned().collect(),
        channels: config.live_channels().collect(),
    }
}

fn price_word(class: PriceClass) -> &'static str {
    match class {
        PriceClass::Class100 => "PriceClass_100",
        PriceClass::Class200 => "PriceClass_200",
        PriceClass::All => "PriceClass_All",
    }
}
