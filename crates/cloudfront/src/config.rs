//! A distribution's configuration, complete.

use anabranch_model::{ChannelId, DistributionId, DistributionSpec, KeyGroupId, PriceClass};
use serde_json::{Value, json};

use crate::error::ConfigError;

/// A complete configuration: every default filled in, every reference resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct DistributionConfig {
    caller_reference: String,
    comment: String,
    aliases: Vec<String>,
    enabled: bool,
    price_class: PriceClass,
}

impl DistributionConfig {
    /// Reads JSON as `aws cloudfront create-distribution --distribution-config` takes it: the bare config, or wrapped as
    /// `{"DistributionConfig": …}`, or the whole answer of `get-distribution-config`.
    ///
    /// # Errors
    /// The first field that is malformed, inconsistent or not honoured.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let _: Value = serde_json::from_slice(json)
            .map_err(|fault| ConfigError::new("InvalidArgument", "", "not JSON").value(fault))?;
        Err(ConfigError::new("InvalidArgument", "", "not yet"))
    }

    /// The configuration with every default, lists as `Quantity` and `Items`, as CloudFront's API gives it back.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({})
    }

    /// The creator's own mark of the request.
    #[must_use]
    pub fn caller_reference(&self) -> &str {
        &self.caller_reference
    }

    /// The operator's note.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Other host names or addresses that it answers to, lower case.
    #[must_use]
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// Whether it serves.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Switches it on or off.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Which edge locations carry it.
    #[must_use]
    pub fn price_class(&self) -> PriceClass {
        self.price_class
    }

    /// Key groups of all behaviors; one may come more than once.
    pub fn trusted_key_groups(&self) -> impl Iterator<Item = &KeyGroupId> {
        std::iter::empty()
    }

    /// Channels that its origins serve.
    pub fn live_channels(&self) -> impl Iterator<Item = ChannelId> {
        std::iter::empty()
    }

    /// The configuration of a channel's own distribution: the live origin, one key group, CORS for any origin.
    #[must_use]
    pub fn live(caller_reference: &str, channel: &ChannelId, key_group: &KeyGroupId) -> Self {
        let _ = (channel, key_group);
        Self {
            caller_reference: caller_reference.to_owned(),
            comment: String::new(),
            aliases: Vec::new(),
            enabled: true,
            price_class: PriceClass::All,
        }
    }

    /// What edges are told. Invalidations are left empty.
    ///
    /// # Errors
    /// `InvalidArgument` when `domain_name` is no host name.
    pub fn compile(&self, id: &DistributionId, domain_name: &str) -> Result<DistributionSpec, ConfigError> {
        let _ = (id, domain_name);
        Err(ConfigError::new("InvalidArgument", "", "not yet"))
    }
}
