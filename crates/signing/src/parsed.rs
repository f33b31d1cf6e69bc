//! Policies as they are read, and what they allow.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::resource::Resource;
use crate::{Denied, Ipv4Block, POLICY_MAX_BYTES, PolicyFault, RequestUrl};

/// A policy that was read. One that came out of [`crate::verify`] was signed by a trusted key.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedPolicy {
    resource: Resource,
    date_less_than: i64,
    date_greater_than: Option<i64>,
    address: Option<Ipv4Block>,
    claims: Map<String, Value>,
}

impl ParsedPolicy {
    /// Reads the JSON of a custom policy. Conditions that are not known are refused: to skip one would grant more than was signed.
    ///
    /// # Errors
    /// [`Denied::MalformedPolicy`] with what is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, Denied> {
        let fault = |fault| Denied::MalformedPolicy(fault);
        if json.len() > POLICY_MAX_BYTES {
            return Err(fault(PolicyFault::TooLong));
        }
        let wire: WirePolicy = serde_json::from_slice(json).map_err(|_| fault(PolicyFault::Json))?;
        let [statement] = <[WireStatement; 1]>::try_from(wire.statement).map_err(|_| fault(PolicyFault::Statements))?;
        let resource = match statement.resource {
            Some(text) => Resource::pattern(&text).map_err(fault)?,
            None => Resource::Any,
        };
        let condition = statement.condition;
        let address = match condition.ip_address {
            Some(address) => Some(address.source_ip.parse().map_err(|_| fault(PolicyFault::Address))?),
            None => None,
        };
        Ok(Self {
            resource,
            date_less_than: condition.date_less_than.epoch_time,
            date_greater_than: condition.date_greater_than.map(|date| date.epoch_time),
            address,
            claims: wire.claims,
        })
    }

    /// The policy that a canned signature over `url` stands for.
    pub(crate) fn canned(url: String, expires: i64) -> Self {
        Self {
            resource: Resource::Exact(url),
            date_less_than: expires,
            date_greater_than: None,
            address: None,
            claims: Map::new(),
        }
    }

    /// Whether the request `url` from `client` may be answered at `now_seconds` (Unix). Both dates are exclusive.
    ///
    /// # Errors
    /// The first condition that does not hold: time, address, resource.
    pub fn allows(&self, url: &RequestUrl<'_>, client: IpAddr, now_seconds: i64) -> Result<(), Denied> {
        self.holds(client, now_seconds)?;
        self.covers(url)
    }

    /// The part of [`Self::allows`] that changes from request to request for one URL: time and address.
    ///
    /// # Errors
    /// The first condition that does not hold.
    pub fn holds(&self, client: IpAddr, now_seconds: i64) -> Result<(), Denied> {
        if now_seconds >= self.date_less_than {
            return Err(Denied::Expired);
        }
        if self.date_greater_than.is_some_and(|start| now_seconds <= start) {
            return Err(Denied::NotYet);
        }
        if self.address.is_some_and(|block| !block.contains(client)) {
            return Err(Denied::WrongAddress);
        }
        Ok(())
    }

    /// The part of [`Self::allows`] that is the same for every request of one URL.
    ///
    /// # Errors
    /// The resource is another.
    pub fn covers(&self, url: &RequestUrl<'_>) -> Result<(), Denied> {
        if !self.resource.covers(url) {
            return Err(Denied::WrongResource);
        }
        if !self.resource.is_exact() && url.has_dot_segments() {
            return Err(Denied::DotSegments);
        }
        Ok(())
    }

    /// When it ends, Unix seconds.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.date_less_than
    }

    /// Block of addresses that it is for; none when it is for all.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Block> {
        self.address
    }

    /// The claim of that name, as its signer wrote it.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

#[derive(Deserialize)]
struct WirePolicy {
    #[serde(rename = "Statement")]
    statement: Vec<WireStatement>,
    #[serde(flatten)]
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct WireStatement {
    resource: Option<String>,
    condition: WireCondition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct WireCondition {
    date_less_than: WireDate,
    date_greater_than: Option<WireDate>,
    ip_address: Option<WireAddress>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDate {
    #[serde(rename = "AWS:EpochTime")]
    epoch_time: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireAddress {
    #[serde(rename = "AWS:SourceIp")]
    source_ip: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::Policy;

    const URL: RequestUrl<'_> = RequestUrl { scheme: "http", host: "h", path: "/b/x", query: None };

    fn client() -> IpAddr {
        "192.0.2.7".parse().unwrap()
    }

    fn fault(json: &str) -> PolicyFault {
        match ParsedPolicy::parse(json.as_bytes()) {
            Err(Denied::MalformedPolicy(fault)) => fault,
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn what_is_made_is_read() {
        let made = Policy::new("http://h/b/*", 20)
            .date_greater_than(10)
            .source_ip("192.0.2.0/24".parse().unwrap())
            .claim("session", json!({"id": 7}));
        let policy = ParsedPolicy::parse(made.render().as_bytes()).unwrap();
        assert_eq!(policy.claim("session"), Some(&json!({"id": 7})));
        assert_eq!(policy.expires(), 20);
        assert_eq!(policy.allows(&URL, client(), 11), Ok(()));
        assert_eq!(policy.allows(&URL, client(), 19), Ok(()));
        assert_eq!(policy.allows(&URL, client(), 20), Err(Denied::Expired));
        assert_eq!(policy.allows(&URL, client(), 10), Err(Denied::NotYet));
        assert_eq!(policy.allows(&URL, "192.0.3.7".parse().unwrap(), 11), Err(Denied::WrongAddress));
        assert_eq!(policy.allows(&RequestUrl { path: "/c/x", ..URL }, client(), 11), Err(Denied::WrongResource));
        assert_eq!(policy.allows(&RequestUrl { path: "/b/../c", ..URL }, client(), 11), Err(Denied::DotSegments));
    }

    #[test]
    fn order_and_white_space_are_free_and_the_resource_may_be_missing() {
        let json = "\n{ \"Statement\" : [ {\"Condition\":{\"IpAddress\":{\"AWS:SourceIp\":\"192.0.2.7\"},\"DateLessThan\":{\"AWS:EpochTime\":9}}} ] }\r\n";
        let policy = ParsedPolicy::parse(json.as_bytes()).unwrap();
        assert_eq!(policy.allows(&RequestUrl { query: Some("a=1"), ..URL }, client(), 8), Ok(()));
    }

    #[test]
    fn malformed_policies() {
        let date = r#"{"DateLessThan":{"AWS:EpochTime":9}}"#;
        let one = format!(r#"{{"Resource":"*","Condition":{date}}}"#);
        assert!(ParsedPolicy::parse(format!(r#"{{"Statement":[{one}]}}"#).as_bytes()).is_ok());
        for (json, expected) in [
            (String::new(), PolicyFault::Json),
            ("[]".to_owned(), PolicyFault::Json),
            ("{}".to_owned(), PolicyFault::Json),
            (format!(r#"{{"Statement":[{one}]}}x"#), PolicyFault::Json),
            (format!(r#"{{"Statement":{one}}}"#), PolicyFault::Json),
            (format!(r#"{{"Statement":[{one}],"Statement":[{one}]}}"#), PolicyFault::Json),
            (r#"{"Statement":[]}"#.to_owned(), PolicyFault::Statements),
            (format!(r#"{{"Statement":[{one},{one}]}}"#), PolicyFault::Statements),
            (r#"{"Statement":[{"Resource":"*","Condition":{}}]}"#.to_owned(), PolicyFault::Json),
            (one_with(r#"{"DateLessThan":{"AWS:EpochTime":"9"}}"#), PolicyFault::Json),
            (one_with(r#"{"DateLessThan":{"AWS:EpochTime":9.5}}"#), PolicyFault::Json),
            (
                one_with(r#"{"DateLessThan":{"AWS:EpochTime":9},"DateLessThan":{"AWS:EpochTime":99}}"#),
                PolicyFault::Json,
            ),
            (one_with(r#"{"DateLessThan":{"AWS:EpochTime":9},"StringEquals":{}}"#), PolicyFault::Json),
            (
                one_with(r#"{"DateLessThan":{"AWS:EpochTime":9},"IpAddress":{"AWS:SourceIp":"::1"}}"#),
                PolicyFault::Address,
            ),
            (format!(r#"{{"Statement":[{{"Resource":"/x","Condition":{date}}}]}}"#), PolicyFault::Resource),
            (" ".repeat(POLICY_MAX_BYTES + 1), PolicyFault::TooLong),
            ("[".repeat(POLICY_MAX_BYTES), PolicyFault::Json),
        ] {
            assert_eq!(fault(&json), expected, "{json}");
        }
    }

    fn one_with(condition: &str) -> String {
        format!(r#"{{"Statement":[{{"Resource":"*","Condition":{condition}}}]}}"#)
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(json in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = ParsedPolicy::parse(&json);
        }

        #[test]
        fn any_resource_is_judged(resource in ".*", path in ".*", query in ".*") {
            let json = Policy::new(resource, 9).render();
            if let Ok(policy) = ParsedPolicy::parse(json.as_bytes()) {
                let _ = policy.allows(&RequestUrl { path: &path, query: Some(&query), ..URL }, client(), 1);
            }
        }
    }
}
