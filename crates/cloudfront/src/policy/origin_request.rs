//! Origin request policies: OriginRequestPolicyConfig.

use anabranch_model::{OriginRequestPolicy, Selection};
use serde_json::{Value, json};

use super::names::{self, MAX_NAMES, Mode, POLICY_WORDS, Spelling};
use super::{Label, Managed, PolicyConfig};
use crate::error::ConfigError;
use crate::read::{Fields, Limit, Node};

const HEADERS: Spelling = Spelling {
    word: "HeaderBehavior",
    list: "Headers",
    words: &[
        ("none", Mode::Nothing),
        ("whitelist", Mode::Listed),
        ("allViewer", Mode::Everything),
        ("allExcept", Mode::NotListed),
    ],
    limit: Limit { items: MAX_NAMES, code: "TooManyHeadersInOriginRequestPolicy" },
};

const COOKIES: Spelling = Spelling {
    word: "CookieBehavior",
    list: "Cookies",
    words: POLICY_WORDS,
    limit: Limit { items: MAX_NAMES, code: "TooManyCookiesInOriginRequestPolicy" },
};

const QUERY: Spelling = Spelling {
    word: "QueryStringBehavior",
    list: "QueryStrings",
    words: POLICY_WORDS,
    limit: Limit { items: MAX_NAMES, code: "TooManyQueryStringsInOriginRequestPolicy" },
};

/// An origin request policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OriginRequestPolicyConfig {
    label: Label,
    content: OriginRequestPolicy,
}

impl OriginRequestPolicyConfig {
    pub(crate) fn compile(&self) -> OriginRequestPolicy {
        self.content.clone()
    }
}

impl PolicyConfig for OriginRequestPolicyConfig {
    const ID_FIELD: &'static str = "OriginRequestPolicyId";
    const OBJECT_FIELD: &'static str = "OriginRequestPolicy";
    const MISSING: &'static str = "NoSuchOriginRequestPolicy";
    const MANAGED: &'static [Managed<Self>] = MANAGED;

    fn read(mut fields: Fields<'_>) -> Result<Self, ConfigError> {
        let label = Label::read(&mut fields)?;
        let mut content = OriginRequestPolicy::default();
        if let Some(node) = fields.optional("HeadersConfig") {
            let mut config = node.object()?;
            content.headers = HEADERS.read(&mut config, forwarded_header)?;
            config.finish()?;
        }
        if let Some(node) = fields.optional("CookiesConfig") {
            let mut config = node.object()?;
            content.cookies = COOKIES.read(&mut config, names::cookie)?;
            config.finish()?;
        }
        if let Some(node) = fields.optional("QueryStringsConfig") {
            let mut config = node.object()?;
            content.query = QUERY.read(&mut config, names::query)?;
            config.finish()?;
        }
        fields.finish()?;
        Ok(Self { label, content })
    }

    fn to_json(&self) -> Value {
        let mut object = json!({
            "HeadersConfig": HEADERS.render(&self.content.headers),
            "CookiesConfig": COOKIES.render(&self.content.cookies),
            "QueryStringsConfig": QUERY.render(&self.content.query),
        });
        self.label.put(&mut object);
        object
    }
}

fn forwarded_header(node: &Node<'_>) -> Result<String, ConfigError> {
    let name = names::header(node)?;
    match name.as_str() {
        "accept-encoding" => {
            Err(node.invalid("not a header of this policy").fix("set EnableAcceptEncodingGzip in the cache policy"))
        }
        "authorization" => {
            Err(node.invalid("not a header of this policy").fix("put it into the cache policy, or forward allViewer"))
        }
        _ => Ok(name),
    }
}

fn policy(name: &str, headers: Selection, rest: &Selection) -> OriginRequestPolicyConfig {
    let content = OriginRequestPolicy { headers, query: rest.clone(), cookies: rest.clone() };
    OriginRequestPolicyConfig { label: Label::managed(name), content }
}

fn named(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn some(name: &str, headers: &[&str]) -> OriginRequestPolicyConfig {
    policy(name, Selection::Only(named(headers)), &Selection::None)
}

fn agent_and_referer(name: &str) -> OriginRequestPolicyConfig {
    some(name, &["user-agent", "referer"])
}

fn cors_custom(name: &str) -> OriginRequestPolicyConfig {
    some(name, &["origin"])
}

fn cors_s3(name: &str) -> OriginRequestPolicyConfig {
    some(name, &["origin", "access-control-request-headers", "access-control-request-method"])
}

fn host_only(name: &str) -> OriginRequestPolicyConfig {
    some(name, &["host"])
}

fn all_viewer(name: &str) -> OriginRequestPolicyConfig {
    policy(name, Selection::All, &Selection::All)
}

fn all_but_host(name: &str) -> OriginRequestPolicyConfig {
    policy(name, Selection::Except(named(&["host"])), &Selection::All)
}

fn media_tailor(name: &str) -> OriginRequestPolicyConfig {
    let headers =
        ["origin", "access-control-request-headers", "access-control-request-method", "user-agent", "x-forwarded-for"];
    let mut policy = some(name, &headers);
    policy.content.query = Selection::All;
    policy
}

const MANAGED: &[Managed<OriginRequestPolicyConfig>] = &[
    Managed {
        id: "acba4595-bd28-49b8-b9fe-13317c0390fa",
        name: "UserAgentRefererHeaders",
        content: Ok(agent_and_referer),
    },
    Managed { id: "59781a5b-3903-41f3-afcb-af62929ccde1", name: "CORS-CustomOrigin", content: Ok(cors_custom) },
    Managed { id: "88a5eaf4-2fd4-4709-b370-b4c650ea3fcf", name: "CORS-S3Origin", content: Ok(cors_s3) },
    Managed { id: "216adef6-5c7f-47e4-b989-5492eafa07d3", name: "AllViewer", content: Ok(all_viewer) },
    Managed {
        id: "b689b0a8-53d0-40ab-baf2-68738e2966ac",
        name: "AllViewerExceptHostHeader",
        content: Ok(all_but_host),
    },
    Managed {
        id: "33f36d7e-f396-46d9-90e0-52428a34d9dc",
        name: "AllViewerAndCloudFrontHeaders-2022-06",
        content: Err("forwards CloudFront's own headers, which are not made here"),
    },
    Managed { id: "bf0718e1-ba1e-49d1-88b1-f726733018ae", name: "HostHeaderOnly", content: Ok(host_only) },
    Managed {
        id: "775133bc-15f2-49f9-abea-afb2e0bf67d2",
        name: "Elemental-MediaTailor-PersonalizedManifests",
        content: Ok(media_tailor),
    },
];
