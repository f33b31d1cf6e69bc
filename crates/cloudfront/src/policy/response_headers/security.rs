//! SecurityHeadersConfig.

use anabranch_model::HeaderRule;
use serde_json::{Value, json};

use crate::error::ConfigError;
use crate::read::{Fields, INVALID_ARGUMENT};
use crate::render;

/// Headers that this section is about, in lower case.
pub(super) const NAMES: &[&str] = &[
    "content-security-policy",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
    "x-xss-protection",
];

const FRAME_OPTIONS: &[(&str, &str)] = &[("DENY", "DENY"), ("SAMEORIGIN", "SAMEORIGIN")];

const REFERRER_POLICIES: &[(&str, &str)] = &[
    ("no-referrer", "no-referrer"),
    ("no-referrer-when-downgrade", "no-referrer-when-downgrade"),
    ("origin", "origin"),
    ("origin-when-cross-origin", "origin-when-cross-origin"),
    ("same-origin", "same-origin"),
    ("strict-origin", "strict-origin"),
    ("strict-origin-when-cross-origin", "strict-origin-when-cross-origin"),
    ("unsafe-url", "unsafe-url"),
];

/// A year, in seconds.
const YEAR: u64 = 31_536_000;

/// A value, and whether it replaces the origin's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ruled<T> {
    value: T,
    overrides: bool,
}

/// `X-XSS-Protection`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Xss {
    Off,
    On,
    Block,
    Report(String),
}

/// `Strict-Transport-Security`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hsts {
    max_age_seconds: u64,
    subdomains: bool,
    preload: bool,
}

/// Security headers of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SecurityHeaders {
    content_security: Option<Ruled<String>>,
    /// Whether it overrides; the value is always `nosniff`.
    content_type: Option<bool>,
    frame: Option<Ruled<&'static str>>,
    referrer: Option<Ruled<&'static str>>,
    hsts: Option<Ruled<Hsts>>,
    xss: Option<Ruled<Xss>>,
}

impl SecurityHeaders {
    /// Those of the managed policies.
    pub(super) fn managed() -> Self {
        let hsts = Hsts { max_age_seconds: YEAR, subdomains: false, preload: false };
        Self {
            content_security: None,
            content_type: Some(true),
            frame: Some(Ruled { value: "SAMEORIGIN", overrides: false }),
            referrer: Some(Ruled { value: "strict-origin-when-cross-origin", overrides: false }),
            hsts: Some(Ruled { value: hsts, overrides: false }),
            xss: Some(Ruled { value: Xss::Block, overrides: false }),
        }
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, ConfigError> {
        let headers = Self {
            content_security: ruled(&mut fields, "ContentSecurityPolicy", |own| {
                super::value(&own.required("ContentSecurityPolicy")?)
            })?,
            content_type: ruled(&mut fields, "ContentTypeOptions", |_| Ok(()))?.map(|ruled| ruled.overrides),
            frame: ruled(&mut fields, "FrameOptions", |own| own.required("FrameOption")?.word(FRAME_OPTIONS))?,
            referrer: ruled(&mut fields, "ReferrerPolicy", |own| {
                own.required("ReferrerPolicy")?.word(REFERRER_POLICIES)
            })?,
            hsts: ruled(&mut fields, "StrictTransportSecurity", hsts)?,
            xss: ruled(&mut fields, "XSSProtection", xss)?,
        };
        fields.finish()?;
        Ok(headers)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut object = json!({});
        if let Some(Ruled { value, overrides }) = &self.content_security {
            let own = json!({ "Override": overrides, "ContentSecurityPolicy": value });
            render::put(&mut object, "ContentSecurityPolicy", own);
        }
        if let Some(overrides) = self.content_type {
            render::put(&mut object, "ContentTypeOptions", json!({ "Override": overrides }));
        }
        if let Some(Ruled { value, overrides }) = &self.frame {
            render::put(&mut object, "FrameOptions", json!({ "Override": overrides, "FrameOption": value }));
        }
        if let Some(Ruled { value, overrides }) = &self.referrer {
            render::put(&mut object, "ReferrerPolicy", json!({ "Override": overrides, "ReferrerPolicy": value }));
        }
        if let Some(Ruled { value, overrides }) = &self.hsts {
            let own = json!({
                "Override": overrides,
                "IncludeSubdomains": value.subdomains,
                "Preload": value.preload,
                "AccessControlMaxAgeSec": value.max_age_seconds,
            });
            render::put(&mut object, "StrictTransportSecurity", own);
        }
        if let Some(Ruled { value, overrides }) = &self.xss {
            let (on, block) = (*value != Xss::Off, *value == Xss::Block);
            let mut own = json!({ "Override": overrides, "Protection": on, "ModeBlock": block });
            if let Xss::Report(uri) = value {
                render::put(&mut own, "ReportUri", uri.as_str());
            }
            render::put(&mut object, "XSSProtection", own);
        }
        object
    }

    pub(super) fn compile(&self) -> Vec<HeaderRule> {
        let mut rules = Vec::new();
        let mut set = |name: &str, value: String, overrides| {
            rules.push(HeaderRule { name: name.to_owned(), value, overrides });
        };
        if let Some(ruled) = &self.content_security {
            set("content-security-policy", ruled.value.clone(), ruled.overrides);
        }
        if let Some(overrides) = self.content_type {
            set("x-content-type-options", "nosniff".to_owned(), overrides);
        }
        if let Some(ruled) = &self.frame {
            set("x-frame-options", ruled.value.to_owned(), ruled.overrides);
        }
        if let Some(ruled) = &self.referrer {
            set("referrer-policy", ruled.value.to_owned(), ruled.overrides);
        }
        if let Some(ruled) = &self.hsts {
            set("strict-transport-security", ruled.value.text(), ruled.overrides);
        }
        if let Some(ruled) = &self.xss {
            set("x-xss-protection", ruled.value.text(), ruled.overrides);
        }
        rules
    }
}

impl Hsts {
    fn text(&self) -> String {
        let subdomains = if self.subdomains { "; includeSubDomains" } else { "" };
        let preload = if self.preload { "; preload" } else { "" };
        format!("max-age={}{subdomains}{preload}", self.max_age_seconds)
    }
}

impl Xss {
    fn text(&self) -> String {
        match self {
            Self::Off => "0".to_owned(),
            Self::On => "1".to_owned(),
            Self::Block => "1; mode=block".to_owned(),
            Self::Report(uri) => format!("1; report={uri}"),
        }
    }
}

/// A header's own object: `Override` and what `read` finds.
fn ruled<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    read: impl Fn(&mut Fields<'_>) -> Result<T, ConfigError>,
) -> Result<Option<Ruled<T>>, ConfigError> {
    let Some(node) = fields.optional(name) else { return Ok(None) };
    let mut own = node.object()?;
    let overrides = own.required("Override")?.flag()?;
    let value = read(&mut own)?;
    own.finish()?;
    Ok(Some(Ruled { value, overrides }))
}

fn hsts(own: &mut Fields<'_>) -> Result<Hsts, ConfigError> {
    let seconds = own.required("AccessControlMaxAgeSec")?.number(&(0..=u64::from(u32::MAX)), INVALID_ARGUMENT)?;
    Ok(Hsts {
        max_age_seconds: seconds,
        subdomains: own.flag("IncludeSubdomains", false)?,
        preload: own.flag("Preload", false)?,
    })
}

fn xss(own: &mut Fields<'_>) -> Result<Xss, ConfigError> {
    let on = own.required("Protection")?.flag()?;
    let block = own.flag("ModeBlock", false)?;
    let report = match own.optional("ReportUri") {
        Some(node) if !node.text()?.is_empty() => Some(super::value(&node)?),
        _ => None,
    };
    match (on, block, report) {
        (false, false, None) => Ok(Xss::Off),
        (true, false, None) => Ok(Xss::On),
        (true, true, None) => Ok(Xss::Block),
        (true, false, Some(uri)) => Ok(Xss::Report(uri)),
        (true, true, Some(_)) => Err(own.invalid("ModeBlock and ReportUri together").fix("give one of them")),
        (false, _, _) => Err(own.invalid("ModeBlock or ReportUri without Protection").fix("set Protection to true")),
    }
}
