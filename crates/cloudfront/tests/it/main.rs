//! The room's public face.

mod compiled;
mod documents;
mod managed;
mod refusals;

use anabranch_cloudfront::{ConfigError, DistributionConfig};
use anabranch_model::DistributionSpec;
use serde_json::{Value, json};

/// A small configuration that is accepted.
fn small() -> Value {
    json!({
        "CallerReference": "r1",
        "Comment": "",
        "Enabled": true,
        "Origins": { "Quantity": 2, "Items": [
            {
                "Id": "web", "DomainName": "www.example.com",
                "CustomOriginConfig": { "HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only" },
            },
            { "Id": "files", "DomainName": "films.s3.anabranch.internal", "S3OriginConfig": { "OriginAccessIdentity": "" } },
        ] },
        "DefaultCacheBehavior": {
            "TargetOriginId": "web",
            "ViewerProtocolPolicy": "redirect-to-https",
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
        },
    })
}

/// The small configuration with a value at a path of names and numbers; the last name may be new.
fn with(path: &str, value: Value) -> Value {
    let mut config = small();
    set(&mut config, path, value);
    config
}

fn set(config: &mut Value, path: &str, value: Value) {
    let mut at = config;
    for part in path.split('.') {
        at = match part.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[part],
        };
    }
    *at = value;
}

fn parse(config: &Value) -> Result<DistributionConfig, ConfigError> {
    DistributionConfig::parse(config.to_string().as_bytes())
}

/// Reads, reads back what was written, and compiles.
fn compiled(config: &Value) -> DistributionSpec {
    let read = parse(config).expect("it is accepted");
    assert_eq!(parse(&read.to_json()).expect("what is written can be read"), read, "{:#}", read.to_json());
    read.compile(&"E1".parse().expect("an id"), "d1.example.com").expect("what is read can be compiled")
}

fn list(items: impl Into<Value>) -> Value {
    let items = items.into();
    json!({ "Quantity": items.as_array().map(Vec::len), "Items": items })
}
