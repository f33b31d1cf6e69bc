//! Changes of a cluster's definition: which regions there are, in which order, and which one this server is.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::definition::{by_region, definition, find, parts, with_headers};
use crate::cli::request::set;

/// What is to be another region or another order.
#[derive(Debug, Default, Args)]
pub(crate) struct Change {
    /// Region that is new or changes, as NAME,origin=URL,cdn=URL,distribution=ID,peer=URL,token=TOKEN; of one that is known what is not
    /// given stays, and `distribution=` or `peer=` without a value takes it away
    #[arg(long = "region", value_name = "REGION")]
    regions: Vec<String>,
    /// Region that goes, with all that was said of it
    #[arg(long = "remove-region", value_name = "NAME")]
    removed: Vec<String>,
    /// All regions, the preferred first
    #[arg(long, value_name = "NAME,NAME...", value_delimiter = ',')]
    order: Vec<String>,
    /// The region that this server is; empty where it only watches
    #[arg(long, value_name = "NAME")]
    here: Option<String>,
    /// Another token for the server of a region, as REGION=TOKEN
    #[arg(long = "peer-token", value_name = "REGION=TOKEN")]
    tokens: Vec<String>,
    /// Header with which the origin of a region is asked, as 'REGION=Name: value'; without a value it goes, and those that are not given stay
    #[arg(long = "region-header", value_name = "REGION=NAME: VALUE")]
    headers: Vec<String>,
    /// What changes as JSON, with all regions if there are some in it, which keeps tokens of peers from the list of processes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["regions", "removed", "order", "tokens", "headers"])]
    file: Option<PathBuf>,
}

impl Change {
    /// What is sent. `now` asks for the cluster as it is, where it takes that: the API takes all regions or none.
    ///
    /// # Errors
    /// A region is not known, lacks something or is given twice, or `now` fails.
    pub(super) async fn body<F: Future<Output = Result<Value>>>(self, now: impl FnOnce() -> F) -> Result<Value> {
        let mut body = match &self.file {
            Some(file) => definition(file)?,
            None => json!({}),
        };
        set(&mut body, "here", self.here.clone().map(Value::from));
        let lists = [&self.regions, &self.removed, &self.order, &self.tokens, &self.headers];
        if lists.iter().any(|list| !list.is_empty()) {
            body["regions"] = self.regions(&now().await?)?.into();
        }
        Ok(body)
    }

    fn regions(&self, cluster: &Value) -> Result<Vec<Value>> {
        let mut regions: Vec<Value> = cluster["regions"].as_array().into_iter().flatten().map(given).collect();
        for text in &self.regions {
            let (name, said) = parts(text)?;
            if !regions.iter().any(|region| region["name"] == name) {
                regions.push(json!({ "name": name }));
            }
            change(find(&mut regions, &name)?, said)?;
        }
        for (name, token) in by_region(&self.tokens)?.as_object().into_iter().flatten() {
            change(find(&mut regions, name)?, Map::from_iter([("token".to_owned(), token.clone())]))?;
        }
        for text in &self.headers {
            // All headers are given at once. Those that it has keep their values, which nobody tells.
            let name = text.split('=').next().unwrap_or_default();
            let shown = cluster["regions"].as_array().into_iter().flatten().find(|shown| shown["name"] == name);
            let region = find(&mut regions, name)?;
            if region["headers"].is_null() {
                let known = shown.and_then(|shown| shown["headers"].as_array()).into_iter().flatten();
                let known = known.filter_map(|header| Some((header.as_str()?.to_owned(), Value::Null)));
                region["headers"] = known.collect::<Map<_, _>>().into();
            }
        }
        with_headers(&mut regions, &self.headers)?;
        for name in &self.removed {
            find(&mut regions, name)?;
            regions.retain(|region| region["name"] != *name);
        }
        if self.order.is_empty() {
            return Ok(regions);
        }
        let mut ordered = Vec::new();
        for name in &self.order {
            ordered.push(find(&mut regions, name)?.take());
        }
        if let Some(left) = regions.iter().find(|region| !region.is_null()) {
            bail!("an order has all regions: where is {}?", left["name"]);
        }
        Ok(ordered)
    }
}

/// A region as it was shown, as it is given.
fn given(shown: &Value) -> Value {
    let mut region = json!({ "paths": shown["paths"] });
    for key in ["name", "origin_url", "cdn_url", "distribution"] {
        region[key] = shown[key].clone();
    }
    // Without a token it keeps the one that it has.
    if let Some(url) = shown["peer"]["url"].as_str() {
        region["peer"] = json!({ "url": url });
    }
    region
}

fn change(region: &mut Value, mut said: Map<String, Value>) -> Result<()> {
    let token = said.remove("token");
    for (key, value) in said {
        let value = if value == "" { Value::Null } else { value };
        match key.as_str() {
            "origin" => region["origin_url"] = value,
            "cdn" => region["cdn_url"] = value,
            "peer" if !value.is_null() => region["peer"] = json!({ "url": value }),
            // The other words are what the API calls them.
            _ => region[key] = value,
        }
    }
    if let Some(token) = token {
        if !region["peer"]["url"].is_string() {
            bail!("a token is for a peer: add peer=URL for region {}", region["name"]);
        }
        region["peer"]["token"] = token;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Value {
        let region = |name: &str, peer: Value| {
            json!({
                "name": name, "origin_url": format!("http://{name}/o"), "cdn_url": format!("http://{name}/c"), "paths": ["/x/*"],
                "distribution": null, "opening": "open", "peer": peer,
            })
        };
        json!({ "regions": [region("eu", Value::Null), region("us", json!({ "url": "http://us:1", "node": "n" }))] })
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[tokio::test]
    async fn what_is_not_given_stays() {
        let body = async |change: Change| change.body(|| async { Ok(shown()) }).await;
        let asks_nothing = Change { here: Some("us".to_owned()), ..Change::default() };
        assert_eq!(body(asks_nothing).await.unwrap(), json!({ "here": "us" }));
        let change = Change {
            regions: texts(&["eu,cdn=http://new/c,distribution=E1", "ap,origin=http://ap/o,peer=http://ap:1,token=t"]),
            tokens: texts(&["us=t2"]),
            order: texts(&["ap", "us", "eu"]),
            ..Change::default()
        };
        let regions = body(change).await.unwrap()["regions"].take();
        assert_eq!(regions[0]["peer"], json!({ "url": "http://ap:1", "token": "t" }));
        assert_eq!(regions[1]["peer"], json!({ "url": "http://us:1", "token": "t2" }));
        let eu = json!({
            "name": "eu", "origin_url": "http://eu/o", "cdn_url": "http://new/c", "distribution": "E1", "paths": ["/x/*"],
        });
        assert_eq!(regions[2], eu);
        let change = Change { regions: texts(&["us,peer="]), removed: texts(&["eu"]), ..Change::default() };
        let regions = body(change).await.unwrap()["regions"].take();
        assert_eq!((regions.as_array().map(Vec::len), &regions[0]["peer"]), (Some(1), &Value::Null));
    }

    #[tokio::test]
    async fn headers_stay_and_go() {
        let mut was = shown();
        was["regions"][0]["headers"] = json!(["x-key", "x-old"]);
        let change = Change { headers: texts(&["eu=X-New: a:b=c", "eu=X-Old:", "us=X-Key: v"]), ..Change::default() };
        let regions = change.body(|| async { Ok(was.clone()) }).await.unwrap()["regions"].take();
        assert_eq!(regions[0]["headers"], json!({ "x-key": null, "x-new": "a:b=c" }));
        assert_eq!(regions[1]["headers"], json!({ "x-key": "v" }));
        let change = Change { regions: texts(&["eu,cdn=http://new/c"]), ..Change::default() };
        let regions = change.body(|| async { Ok(was) }).await.unwrap()["regions"].take();
        assert!(regions[0]["headers"].is_null(), "all stay");
        for (wrong, words) in [("eu=secret-word", "REGION=Name: value"), ("ap=X-Key: secret-word", "no such region")] {
            let change = Change { headers: texts(&[wrong]), ..Change::default() };
            let error = change.body(|| async { Ok(shown()) }).await.unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("secret-word"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_is_said() {
        for (change, words) in [
            (Change { order: texts(&["us"]), ..Change::default() }, "where is \"eu\""),
            (Change { order: texts(&["us", "us"]), ..Change::default() }, "named twice"),
            (Change { removed: texts(&["ap"]), ..Change::default() }, "there is eu, us"),
            (Change { tokens: texts(&["eu=t"]), ..Change::default() }, "a token is for a peer"),
        ] {
            let error = change.body(|| async { Ok(shown()) }).await.unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
