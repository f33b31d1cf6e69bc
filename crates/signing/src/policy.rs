//! Policies as they are made.

use serde_json::{Map, Value, json};

use crate::Ipv4Block;

/// A custom policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    resource: String,
    date_less_than: i64,
    date_greater_than: Option<i64>,
    address: Option<Ipv4Block>,
    claims: Map<String, Value>,
}

impl Policy {
    /// A policy for the URLs that `resource` covers, until `date_less_than` (Unix seconds, exclusive).
    ///
    /// `resource` begins with `http://`, `https://` or a star; `*` is any run inside scheme, host, path or query, `?` one
    /// character, `\?` the question mark before the query.
    #[must_use]
    pub fn new(resource: impl Into<String>, date_less_than: i64) -> Self {
        Self { resource: resource.into(), date_less_than, date_greater_than: None, address: None, claims: Map::new() }
    }

    /// Not before `date` either (Unix seconds, exclusive).
    #[must_use]
    pub fn date_greater_than(mut self, date: i64) -> Self {
        self.date_greater_than = Some(date);
        self
    }

    /// Only for viewers with an address in `block`.
    #[must_use]
    pub fn source_ip(mut self, block: Ipv4Block) -> Self {
        self.address = Some(block);
        self
    }

    /// Adds a member beside `Statement`, which verification hands back as it is. CloudFront itself knows no such members.
    /// The name `Statement` is taken: a claim of that name is dropped.
    #[must_use]
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        if name != "Statement" {
            self.claims.insert(name.to_owned(), value);
        }
        self
    }

    /// Compact JSON, members in the order of the developer guide.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = statement_head(&self.resource, self.date_less_than);
        if let Some(date) = self.date_greater_than {
            out.push_str(&format!(r#","DateGreaterThan":{{"AWS:EpochTime":{date}}}"#));
        }
        if let Some(block) = self.address {
            out.push_str(&format!(r#","IpAddress":{{"AWS:SourceIp":"{block}"}}"#));
        }
        out.push_str("}}]");
        for (name, value) in &self.claims {
            out.push_str(&format!(",{}:{value}", json!(name)));
        }
        out.push('}');
        out
    }
}

/// The statement that a canned signature covers, byte for byte. A URL with signs that JSON escapes is escaped as every signer's
/// JSON writer does, so that no URL can smuggle in members.
pub(crate) fn canned_statement(url: &str, expires: i64) -> String {
    statement_head(url, expires) + "}}]}"
}

fn statement_head(resource: &str, date_less_than: i64) -> String {
    let resource = json!(resource);
    format!(
        r#"{{"Statement":[{{"Resource":{resource},"Condition":{{"DateLessThan":{{"AWS:EpochTime":{date_less_than}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canned_statement_is_byte_exact() {
        assert_eq!(
            canned_statement("http://d111111abcdef8.cloudfront.net/horizon.jpg?size=large", 1_767_290_400),
            r#"{"Statement":[{"Resource":"http://d111111abcdef8.cloudfront.net/horizon.jpg?size=large","Condition":{"DateLessThan":{"AWS:EpochTime":1767290400}}}]}"#
        );
        assert!(canned_statement(r#"http://h/","Condition":{"#, 1).contains(r#"http://h/\",\"Condition\":{"#));
    }

    #[test]
    fn custom_policy_is_compact() {
        let policy = Policy::new("*://*/b1/*", 20)
            .date_greater_than(10)
            .source_ip("192.0.2.0/24".parse().unwrap())
            .claim("session", json!("s-1"))
            .claim("Statement", json!([]));
        assert_eq!(
            policy.render(),
            r#"{"Statement":[{"Resource":"*://*/b1/*","Condition":{"DateLessThan":{"AWS:EpochTime":20},"DateGreaterThan":{"AWS:EpochTime":10},"IpAddress":{"AWS:SourceIp":"192.0.2.0/24"}}}],"session":"s-1"}"#
        );
        assert_eq!(
            Policy::new("*", 20).render(),
            r#"{"Statement":[{"Resource":"*","Condition":{"DateLessThan":{"AWS:EpochTime":20}}}]}"#
        );
    }
}
