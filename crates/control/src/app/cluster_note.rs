//! Notifications of detectors elsewhere (C35) as votes (C40): the host of the CDN that they name says which region is meant.

use std::collections::BTreeMap;

use anabranch_db::NewEntry;
use anabranch_model::{Cluster, ClusterRegion, Verdict, VerdictState};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cluster::STATES;
use super::cluster_given::spelled;
use super::{App, Error};
use crate::cluster::Live;
use crate::cluster::url::read_url;

/// Records of one event at most.
const RECORDS_MAX: usize = 10;

/// Stale playlists that the evidence of a vote names at most.
const NAMED_MAX: usize = 8;

/// Hosts that a refusal names at most.
const HOSTS_MAX: usize = 16;

/// Longest name of a topic, and longest address that confirms a subscription, in bytes.
const TOPIC_MAX: usize = 512;
const CONFIRM_MAX: usize = 2_048;

/// What a body tells.
enum Told {
    /// What detectors found.
    Notes(Vec<Note>),
    /// That a topic was subscribed, or is no more.
    Topic(Topic),
}

/// What a topic of SNS says of its subscription.
struct Topic {
    word: &'static str,
    /// Its ARN.
    name: String,
    /// Who opens this address begins the subscription.
    confirm_url: String,
}

/// What of a notification counts. There may be more in it.
#[derive(Debug, Deserialize)]
struct Note {
    options: Options,
    detector: Detector,
    #[serde(default)]
    playlists: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Options {
    cdn_url: Option<String>,
    origin_url: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Detector {
    state: String,
    reason: Option<String>,
    total: Option<u64>,
    stale: Option<u64>,
    sequence: Option<u64>,
}

/// A vote that a notification stands for.
struct Meant {
    region: String,
    watcher: String,
    state: VerdictState,
    note: Note,
}

impl App {
    /// Takes a notification as a vote; also one in an envelope of SNS, or several as records of an event. All of them or none. That a topic
    /// asks for its confirmation is told by the log.
    pub(crate) async fn cluster_notification(&self, wanted: &str, body: &Value) -> Result<(), Error> {
        let cluster = self.clusters.find(wanted, |live| live.cluster().clone())?;
        let notes = match told(body)? {
            Told::Notes(notes) => notes,
            Told::Topic(topic) => return self.topic_told(&cluster, &topic).await,
        };
        let meant: Vec<Meant> = notes.into_iter().map(|note| meant(&cluster, note)).collect::<Result<_, _>>()?;
        for Meant { region, watcher, state, note } in meant {
            if self.is_older(wanted, &region, &watcher, note.detector.sequence) {
                tracing::info!(
                    cluster.name = cluster.name,
                    cluster.region = region,
                    watcher,
                    sequence = note.detector.sequence,
                    "a notification that came late is passed over"
                );
                continue;
            }
            let since_ms = self.since_of(wanted, (&region, &watcher), state);
            let verdict = Verdict { state, since_ms, reason: reason(&note), evidence: evidence(&note), last: None };
            self.cluster_vote(wanted, &region, &watcher, verdict)?;
        }
        Ok(())
    }

    /// Whoever opens the address decides for the account of the topic, so it is an operator and not this server.
    async fn topic_told(&self, cluster: &Cluster, topic: &Topic) -> Result<(), Error> {
        let entry = NewEntry::stream(topic.word, "cluster", cluster.id.as_str())
            .detail("name", cluster.name.as_str())
            .detail("topic", topic.name.as_str())
            .detail("confirm_url", topic.confirm_url.as_str());
        self.db.log_add(&[entry], self.clock.now_ms()).await?;
        self.log_wake.notify_one();
        Ok(())
    }

    /// Whether a later notification of the same detector counts already. One that begins anew begins with sequence 0.
    fn is_older(&self, wanted: &str, region: &str, watcher: &str, sequence: Option<u64>) -> bool {
        let now_ms = self.clock.now_ms();
        let later = |live: &Live| {
            let known = live.votes.get(region, watcher)?;
            let is_heard = known.is_heard(live.cluster().watch.silence_ms, now_ms);
            known.verdict.evidence["sequence"].as_u64().filter(|_| is_heard)
        };
        let known = self.clusters.look(wanted, later).flatten();
        sequence.zip(known).is_some_and(|(sequence, known)| 0 < sequence && sequence < known)
    }
}

fn told(body: &Value) -> Result<Told, Error> {
    let word = match body["Type"].as_str() {
        Some("SubscriptionConfirmation") => "cluster.topic.asks",
        Some("UnsubscribeConfirmation") => "cluster.topic.left",
        _ => return messages(body).map(Told::Notes),
    };
    let text = |field: &'static str, max: usize| match body[field].as_str() {
        Some(text) if !text.is_empty() && text.len() <= max => Ok(text.to_owned()),
        _ => Err(Error::invalid(
            field,
            format!("what SNS says of a subscription has {field}, a text of 1 to {max} bytes"),
        )),
    };
    Ok(Told::Topic(Topic { word, name: text("TopicArn", TOPIC_MAX)?, confirm_url: text("SubscribeURL", CONFIRM_MAX)? }))
}

/// The notifications of a body.
fn messages(body: &Value) -> Result<Vec<Note>, Error> {
    if let Some(records) = body["Records"].as_array() {
        if records.is_empty() || records.len() > RECORDS_MAX {
            let words = format!("an event has 1 to {RECORDS_MAX} records: {}", records.len());
            return Err(Error::invalid("Records", words));
        }
        return records.iter().map(|record| enveloped(&record["Sns"])).collect();
    }
    match body["Type"].as_str() {
        Some(_) => Ok(vec![enveloped(body)?]),
        None if body["Message"].is_string() => Ok(vec![enveloped(body)?]),
        None => Ok(vec![read(body.clone())?]),
    }
}

fn enveloped(envelope: &Value) -> Result<Note, Error> {
    let Some(text) = envelope["Message"].as_str() else {
        return Err(Error::invalid("Message", "an envelope of SNS has a notification as the text Message"));
    };
    let note = serde_json::from_str(text);
    read(note.map_err(|error| Error::invalid("Message", format!("no notification of a detector: {error}")))?)
}

fn read(note: Value) -> Result<Note, Error> {
    serde_json::from_value(note).map_err(|error| {
        Error::invalid("detector", format!("no notification of a detector, which has options and detector: {error}"))
    })
}

fn meant(cluster: &Cluster, note: Note) -> Result<Meant, Error> {
    let state = spelled("state", STATES, &note.detector.state, VerdictState::parse)?;
    let url = note.options.cdn_url.as_deref().or(note.options.origin_url.as_deref());
    let Some(url) = url else {
        return Err(Error::invalid("cdn_url", "a notification names the host of its region in options.cdn_url"));
    };
    let region = region_of(cluster, url)?.name.clone();
    let Some(watcher) = note.options.name.clone() else {
        return Err(Error::invalid("name", "a notification names its detector in options.name"));
    };
    Ok(Meant { region, watcher, state, note })
}

/// The region that a URL is of: by host and port, by host alone where no region has both, and by the path among several.
fn region_of<'c>(cluster: &'c Cluster, url: &str) -> Result<&'c ClusterRegion, Error> {
    let short: String = url.split('?').next().unwrap_or_default().chars().take(200).collect();
    let parsed = Url::parse(url).ok();
    let Some((url, host)) = parsed.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
        return Err(Error::invalid("cdn_url", format!("options.cdn_url is no URL with a host: {short:?}")));
    };
    let matching = |is_it: &dyn Fn(&Url) -> bool| -> Vec<&'c ClusterRegion> {
        // What viewers are served by comes first, as the name of a region.
        let by = |of: fn(&ClusterRegion) -> &str| -> Vec<&'c ClusterRegion> {
            let is_of = |region: &&ClusterRegion| read_url(of(region)).is_some_and(|known| is_it(&known));
            cluster.regions.iter().filter(is_of).collect()
        };
        let served = by(|region| &region.cdn_url);
        if served.is_empty() { by(|region| &region.origin_url) } else { served }
    };
    let has_host = |known: &Url| known.host_str() == Some(host);
    let has_port = |known: &Url| known.port_or_known_default() == url.port_or_known_default();
    let by_both = matching(&|known| has_host(known) && has_port(known));
    let of_host = if by_both.is_empty() { matching(&has_host) } else { by_both };
    match of_host.as_slice() {
        [one] => return Ok(one),
        [] => {
            let known = cluster.regions.iter().flat_map(|region| [&region.cdn_url, &region.origin_url]);
            let mut hosts: Vec<String> =
                known.filter_map(|url| Some(read_url(url)?.host_str()?.to_owned())).take(HOSTS_MAX).collect();
            hosts.sort_unstable();
            hosts.dedup();
            let hosts = hosts.join(", ");
            let words = format!("no region of cluster {} has this host; there is {hosts}: {host:?}", cluster.name);
            return Err(Error::invalid("cdn_url", words));
        }
        _ => {}
    }
    let has_path = |known: &str| {
        let pattern = known.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
        is_path_of(pattern.split('?').next().unwrap_or_default(), url.path().trim_start_matches('/'))
    };
    let of_path: Vec<_> =
        of_host.iter().filter(|region| has_path(&region.cdn_url) || has_path(&region.origin_url)).collect();
    match of_path.as_slice() {
        [one] => Ok(one),
        _ => {
            let names: Vec<&str> = of_host.iter().map(|region| region.name.as_str()).collect();
            let words =
                format!("regions {} share this host, and the path does not tell which: {host:?}", names.join(", "));
            Err(Error::invalid("cdn_url", words))
        }
    }
}

/// Whether a path is that of a pattern, in which `{breakout}` stands for any part of it.
fn is_path_of(pattern: &str, path: &str) -> bool {
    match pattern.split_once(anabranch_model::BREAKOUT_MARK) {
        None => pattern == path,
        Some((before, after)) => {
            path.len() >= before.len() + after.len() && path.starts_with(before) && path.ends_with(after)
        }
    }
}

fn reason(note: &Note) -> String {
    let Detector { state, reason, total, stale, .. } = &note.detector;
    let why = reason.as_deref().unwrap_or(state);
    match stale.zip(*total) {
        Some((stale, total)) => format!("{why}: {stale} of {total} playlists are stale"),
        None => why.to_owned(),
    }
}

/// What the detector says, so much that it is kept.
fn evidence(note: &Note) -> Value {
    let stale = note.playlists.iter().filter(|(_, playlist)| playlist["state"] == "stale");
    let named: Vec<&str> = stale.map(|(url, _)| url.as_str()).filter(|url| url.len() <= 256).take(NAMED_MAX).collect();
    let Detector { reason, total, stale, sequence, .. } = &note.detector;
    let reason: Option<String> = reason.as_ref().map(|reason| reason.chars().take(200).collect());
    json!({ "sequence": sequence, "reason": reason, "total": total, "stale": stale, "stale_playlists": named })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(urls: &[(&str, &str)]) -> Cluster {
        let region = |(at, (origin, cdn)): (usize, &(&str, &str))| ClusterRegion {
            name: format!("r{at}"),
            origin_url: (*origin).to_owned(),
            cdn_url: (*cdn).to_owned(),
            distribution: None,
            paths: Vec::new(),
            peer: None,
            headers: Default::default(),
        };
        Cluster {
            id: anabranch_model::ClusterId::random(),
            name: "c".to_owned(),
            here: None,
            regions: urls.iter().enumerate().map(region).collect(),
            watch: Default::default(),
            automat: Default::default(),
        }
    }

    #[test]
    fn a_region_is_known_by_its_host() {
        let of = cluster(&[
            ("http://origin.eu/x.m3u8", "https://cdn.eu/{breakout}/x.m3u8"),
            ("http://origin.us/x.m3u8", "https://cdn.us:8443/{breakout}/x.m3u8"),
        ]);
        let found =
            |url: &str| region_of(&of, url).map(|region| region.name.clone()).map_err(|error| error.to_string());
        assert_eq!(found("https://CDN.eu/any/x.m3u8?Policy=p").as_deref(), Ok("r0"));
        assert_eq!(found("http://cdn.us/").as_deref(), Ok("r1"), "another port of the only region with the host");
        assert_eq!(found("http://origin.us/x.m3u8").as_deref(), Ok("r1"));
        let error = found("https://cdn.asia/x.m3u8?token=secret").unwrap_err();
        assert!(error.ends_with(": \"cdn.asia\"") && error.contains("cdn.eu, cdn.us"), "{error}");
        assert!(found("cdn.eu").unwrap_err().contains("no URL with a host"));
    }

    #[test]
    fn of_regions_with_one_host_port_and_path_tell_which() {
        let of = cluster(&[
            ("http://h:1/a/{breakout}/x.m3u8", "http://h:1/a/{breakout}/x.m3u8"),
            ("http://h:1/b/{breakout}/x.m3u8", "http://h:1/b/{breakout}/x.m3u8"),
            ("http://h:2/x.m3u8", "http://h:2/x.m3u8"),
        ]);
        let found =
            |url: &str| region_of(&of, url).map(|region| region.name.clone()).map_err(|error| error.to_string());
        assert_eq!(found("http://h:1/b/show/x.m3u8").as_deref(), Ok("r1"));
        assert_eq!(found("http://h:2/other.m3u8").as_deref(), Ok("r2"));
        assert!(found("http://h:1/c/x.m3u8").unwrap_err().contains("regions r0, r1 share this host"));
    }

    #[test]
    fn envelopes_are_opened() {
        let note = json!({ "options": { "cdn_url": "http://h/" }, "detector": { "state": "stale", "sequence": 3 } });
        let text = note.to_string();
        for body in [
            note,
            json!({ "Type": "Notification", "Message": text, "TopicArn": "arn" }),
            json!({ "Message": text }),
            json!({ "Records": [{ "Sns": { "Message": text } }] }),
        ] {
            let found = messages(&body).unwrap();
            assert_eq!((found.len(), found[0].detector.sequence), (1, Some(3)), "{body}");
        }
        for (body, words) in [
            (json!({ "Type": "Notification", "Message": "hello" }), "no notification of a detector"),
            (json!({ "Type": "Notification" }), "as the text Message"),
            (json!({ "Records": [] }), "1 to 10 records"),
            (json!({ "state": "stale" }), "which has options and detector"),
            (json!([]), "no notification"),
        ] {
            let error = messages(&body).unwrap_err().to_string();
            assert!(error.contains(words), "{body}: {error}");
        }
    }
}
