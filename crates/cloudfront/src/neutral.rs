//! Fields that CloudFront has and this house does not: accepted only where they say "no".

use crate::error::ConfigError;
use crate::read::{Fields, INVALID_ARGUMENT, Limit};

const NOT_HONOURED: &str = "not honoured";

impl Fields<'_> {
    /// Only absent or empty.
    pub(crate) fn only_empty(&mut self, name: &'static str, why: &str) -> Result<(), ConfigError> {
        self.only_empty_or(name, INVALID_ARGUMENT, why)
    }

    /// Only absent or empty; the code is the caller's.
    pub(crate) fn only_empty_or(
        &mut self,
        name: &'static str,
        code: &'static str,
        why: &str,
    ) -> Result<(), ConfigError> {
        match self.some_text(name)? {
            None => Ok(()),
            Some((node, _)) => Err(node.refuse(code, NOT_HONOURED).fix(format!("{why}; leave it out"))),
        }
    }

    /// Only absent or false.
    pub(crate) fn only_false(&mut self, name: &'static str, why: &str) -> Result<(), ConfigError> {
        let Some(node) = self.optional(name) else { return Ok(()) };
        if node.flag()? { Err(node.invalid(NOT_HONOURED).fix(format!("{why}; set it to false"))) } else { Ok(()) }
    }

    /// Only absent.
    pub(crate) fn only_absent(&mut self, name: &'static str, why: &str) -> Result<(), ConfigError> {
        match self.optional(name) {
            None => Ok(()),
            Some(node) => Err(node.invalid(NOT_HONOURED).fix(format!("{why}; leave it out"))),
        }
    }

    /// Only absent or a list of nothing.
    pub(crate) fn only_no_items(
        &mut self,
        name: &'static str,
        code: &'static str,
        why: &str,
    ) -> Result<(), ConfigError> {
        let Some(node) = self.optional(name) else { return Ok(()) };
        let mut fields = node.object()?;
        let items = fields.items(Limit { items: usize::MAX, code })?;
        if !items.is_empty() {
            let error = ConfigError::new(code, &node.path, NOT_HONOURED).value(format!("Quantity {}", items.len()));
            return Err(error.fix(format!("{why}; set Quantity to 0")));
        }
        fields.finish()
    }
}

/// The neutral fields of a distribution, beside the certificate.
pub(crate) fn distribution(fields: &mut Fields<'_>) -> Result<(), ConfigError> {
    logging(fields)?;
    restrictions(fields)?;
    fields.only_empty_or("WebACLId", "InvalidWebACLId", "there is no web application firewall")?;
    fields.only_empty("ContinuousDeploymentPolicyId", "there is no continuous deployment")?;
    fields.only_false("Staging", "there is no continuous deployment")?;
    fields.only_empty("AnycastIpListId", "addresses are those of the edges")?;
    fields.only_absent("TenantConfig", "there are no distribution tenants")?;
    fields.only_absent("ViewerMtlsConfig", "viewers show no certificates")?;
    fields.only_absent("ConnectionFunctionAssociation", "functions do not run here")?;
    if let Some(node) = fields.optional("ConnectionMode") {
        node.word(&[("direct", ())])?;
    }
    Ok(())
}

fn logging(fields: &mut Fields<'_>) -> Result<(), ConfigError> {
    const WHY: &str = "access logs are a matter of the edge's own configuration";
    let Some(node) = fields.optional("Logging") else { return Ok(()) };
    let mut logging = node.object()?;
    logging.only_false("Enabled", WHY)?;
    logging.only_false("IncludeCookies", WHY)?;
    logging.only_empty("Bucket", WHY)?;
    logging.only_empty("Prefix", WHY)?;
    logging.finish()
}

fn restrictions(fields: &mut Fields<'_>) -> Result<(), ConfigError> {
    const CODE: &str = "InvalidGeoRestrictionParameter";
    let Some(node) = fields.optional("Restrictions") else { return Ok(()) };
    let mut restrictions = node.object()?;
    if let Some(node) = restrictions.optional("GeoRestriction") {
        let mut geo = node.object()?;
        let kind = geo.required("RestrictionType")?;
        if kind.text()? != "none" {
            return Err(kind.refuse(CODE, NOT_HONOURED).fix("edges do not know countries; set it to none"));
        }
        let items = geo.items(Limit { items: usize::MAX, code: CODE })?;
        if !items.is_empty() {
            return Err(
                ConfigError::new(CODE, &geo.at("Items"), "locations without a restriction").fix("take them out")
            );
        }
        geo.finish()?;
    }
    restrictions.finish()
}

/// The neutral fields of a behavior.
pub(crate) fn behavior(fields: &mut Fields<'_>) -> Result<(), ConfigError> {
    const FUNCTIONS: &str = "functions do not run here";
    fields.only_false("SmoothStreaming", "there is no Microsoft Smooth Streaming")?;
    fields.only_empty("FieldLevelEncryptionId", "there is no field-level encryption")?;
    fields.only_empty("RealtimeLogConfigArn", "there are no real-time logs")?;
    fields.only_no_items("LambdaFunctionAssociations", "InvalidLambdaFunctionAssociation", FUNCTIONS)?;
    fields.only_no_items("FunctionAssociations", "InvalidFunctionAssociation", FUNCTIONS)?;
    if let Some(node) = fields.optional("GrpcConfig") {
        let mut grpc = node.object()?;
        grpc.only_false("Enabled", "there is no gRPC")?;
        grpc.finish()?;
    }
    if let Some(node) = fields.optional("TrustedSigners") {
        let why = "name key groups in TrustedKeyGroups instead";
        let mut signers = node.object()?;
        signers.only_false("Enabled", why)?;
        if !signers.items(Limit { items: usize::MAX, code: INVALID_ARGUMENT })?.is_empty() {
            let error = ConfigError::new("TrustedSignerDoesNotExist", &signers.at("Items"), NOT_HONOURED);
            return Err(error.fix(why));
        }
        signers.finish()?;
    }
    Ok(())
}
