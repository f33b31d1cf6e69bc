//! Waiting for what takes time, and saying how far it is.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use crate::terminal;

/// Time between two looks at a state that is awaited.
const POLL: Duration = Duration::from_millis(200);

/// Longest wait when the operator names none, in seconds.
const TIMEOUT: u64 = 60;

/// Whether the command returns before what it began is done.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Return when it is done, and say meanwhile how far it is
    #[arg(long)]
    wait: bool,
    /// Longest wait in seconds [default: 60, for jobs and assets 3600]
    #[arg(long, visible_alias = "wait-seconds", value_name = "SECONDS")]
    timeout: Option<u64>,
}

impl Wait {
    /// The same with another longest wait when the operator names none.
    pub(super) fn or(self, seconds: u64) -> Self {
        Self { timeout: self.timeout.or(Some(seconds)), ..self }
    }

    pub(super) fn waits(&self) -> bool {
        self.wait
    }

    /// The time runs from now.
    pub(super) fn begin<'c>(&self, client: &'c Client) -> Waiting<'c> {
        let limit = self.wait.then(|| Duration::from_secs(self.timeout.unwrap_or(TIMEOUT)));
        let progress = Progress { terminal: terminal::takes_remarks(), said: String::new() };
        Waiting { client, began: Instant::now(), limit, progress }
    }
}

/// How far something is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is as it was wanted; the state in words.
    Done(String),
    /// Not yet; the state in words, and what changes all the time.
    Going(String, Option<String>),
    /// It will not be; why.
    Failed(String),
}

/// One wait, maybe for one thing after another.
pub(super) struct Waiting<'c> {
    client: &'c Client,
    began: Instant,
    /// None where nobody waits.
    limit: Option<Duration>,
    progress: Progress,
}

impl Waiting<'_> {
    /// `value`, asked again at `address` until it is done; at once when nobody waits. It is called `subject` in words.
    ///
    /// # Errors
    /// It fails, goes away, or the time is over.
    pub(super) async fn until(
        &mut self,
        subject: &str,
        address: &str,
        value: Value,
        judge: impl Fn(&Value) -> Stage,
    ) -> Result<Value> {
        let judge = |value: Option<&Value>| match value {
            Some(value) => judge(value),
            None => Stage::Failed("it is gone: `anabranch operation list` and `anabranch log` say why".to_owned()),
        };
        let done = self.follow(subject, address, Some(value), judge).await?;
        // Without a value it would have failed.
        Ok(done.unwrap_or_default())
    }

    /// Waits until there is nothing at `address`.
    ///
    /// # Errors
    /// It cannot be deleted, or the time is over.
    pub(super) async fn until_gone(&mut self, subject: &str, address: &str) -> Result<()> {
        if self.limit.is_none() {
            return Ok(());
        }
        let first = self.client.find(address).await?;
        let judge = |value: Option<&Value>| match value {
            None => Stage::Done("gone".to_owned()),
            Some(value) => failure(value).map_or_else(|| going(value, "deleting"), Stage::Failed),
        };
        self.follow(subject, address, first, judge).await.map(drop)
    }

    async fn follow(
        &mut self,
        subject: &str,
        address: &str,
        mut value: Option<Value>,
        judge: impl Fn(Option<&Value>) -> Stage,
    ) -> Result<Option<Value>> {
        let Some(limit) = self.limit else { return Ok(value) };
        loop {
            let passed = self.began.elapsed();
            match judge(value.as_ref()) {
                Stage::Done(words) => {
                    self.progress.tell(subject, &words, None, passed);
                    self.progress.clear();
                    return Ok(value);
                }
                Stage::Failed(reason) => bail!("{subject}: {}", terminal::clean(&reason)),
                Stage::Going(words, _) if passed >= limit => {
                    bail!("{subject} is still {} after {} s", terminal::clean(&words), limit.as_secs());
                }
                Stage::Going(words, more) => self.progress.tell(subject, &words, more.as_deref(), passed),
            }
            tokio::time::sleep(POLL).await;
            value = self.client.find(address).await?;
        }
    }
}

/// What is said meanwhile: one line that changes on a terminal, otherwise a line for each transition.
struct Progress {
    terminal: bool,
    said: String,
}

impl Progress {
    fn tell(&mut self, subject: &str, words: &str, more: Option<&str>, passed: Duration) {
        let line = terminal::clean(&format!("{subject}: {words}"));
        let seconds = passed.as_secs();
        if self.terminal {
            let more = more.map_or_else(String::new, |more| format!(", {more}"));
            let end = terminal::clean(&format!("{more} ({seconds} s)"));
            let text = fitted(&line, &end);
            if text != self.said {
                terminal::transient(&text);
                self.said = text;
            }
        } else if line != self.said {
            terminal::remark(&format!("{line} ({seconds} s)"));
            self.said = line;
        }
    }

    fn clear(&mut self) {
        if self.terminal && !self.said.is_empty() {
            terminal::transient("");
            self.said.clear();
        }
    }
}

impl Drop for Progress {
    // A complaint begins a line of its own.
    fn drop(&mut self) {
        self.clear();
    }
}

/// Columns that every terminal has; a longer line could not be taken back.
const COLUMNS: usize = 79;

fn fitted(line: &str, end: &str) -> String {
    let room = COLUMNS.saturating_sub(end.chars().count());
    if line.chars().count() <= room {
        return format!("{line}{end}");
    }
    let cut: String = line.chars().take(room.saturating_sub(1)).collect();
    format!("{cut}…{end}")
}

/// Why what is being done about `value` was given up.
fn failure(value: &Value) -> Option<String> {
    let operation = &value["operation"];
    let given_up = matches!(operation["state"].as_str(), Some("failed" | "rolled_back"));
    given_up.then(|| operation["problem"].as_str().unwrap_or("it was given up without a reason").to_owned())
}

/// Still in `state`, with what it waits for.
fn going(value: &Value, state: &str) -> Stage {
    let operation = &value["operation"];
    let reasons = [&value["problem"], &operation["problem"], &operation["waiting_for"], &value["waiting_for"]];
    let reason = reasons.into_iter().find_map(Value::as_str);
    let step = operation["step"].as_str().filter(|step| !step.is_empty());
    Stage::Going(reason.or(step).map_or_else(|| state.to_owned(), |reason| format!("{state}: {reason}")), None)
}

fn word<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or("in an unknown state")
}

/// A channel that was made: everything of it is there, and every edge serves its distribution.
pub(super) fn channel_made(channel: &Value) -> Stage {
    if let Some(reason) = failure(channel) {
        return Stage::Failed(reason);
    }
    let distribution = &channel["distribution"];
    match distribution["status"].as_str() {
        Some("Deployed") | None if channel["operation"].is_null() => Stage::Done("ready".to_owned()),
        status => going(channel, status.unwrap_or("being made")),
    }
}

/// A channel that was started.
pub(super) fn channel_runs(channel: &Value) -> Stage {
    match (word(channel, "state"), failure(channel)) {
        ("Running", _) => Stage::Done("Running".to_owned()),
        (_, Some(reason)) => Stage::Failed(reason),
        (state, _) if channel["desired_running"] == false => {
            Stage::Failed(format!("it is {state}, and was stopped meanwhile"))
        }
        (state, _) => going(channel, state),
    }
}

/// A channel that was stopped, or whose breakout was.
pub(super) fn channel_rests(channel: &Value) -> Stage {
    match (word(channel, "state"), failure(channel)) {
        ("Idle", _) => Stage::Done("Idle".to_owned()),
        (_, Some(reason)) => Stage::Failed(reason),
        (state, _) if channel["desired_running"] == true => Stage::Done(format!("{state}, as it is wanted")),
        (state, _) => going(channel, state),
    }
}

/// A breakout that was started.
pub(super) fn breakout_runs(breakout: &Value) -> Stage {
    match (word(breakout, "state"), failure(breakout)) {
        ("RUNNING", _) => Stage::Done("RUNNING".to_owned()),
        ("STARTING", Some(reason)) => Stage::Failed(reason),
        ("STARTING", None) => going(breakout, "STARTING"),
        (other, _) => Stage::Failed(format!("it went to {other} instead of RUNNING")),
    }
}

/// A breakout that was stopped: its playlists are closed.
pub(super) fn breakout_ended(breakout: &Value) -> Stage {
    let packaging = word(breakout, "packaging");
    match word(breakout, "state") {
        "COMPLETED" if matches!(packaging, "ended" | "waiting") => Stage::Done("COMPLETED".to_owned()),
        "COMPLETED" => going(breakout, "COMPLETED, packaging not closed"),
        other => Stage::Failed(format!("it went to {other} instead of COMPLETED")),
    }
}

/// A distribution that every edge serves by its newest configuration.
pub(super) fn deployed(distribution: &Value) -> Stage {
    match (word(distribution, "status"), failure(distribution)) {
        ("Deployed", _) => Stage::Done("Deployed".to_owned()),
        (_, Some(reason)) => Stage::Failed(reason),
        (status, _) => going(distribution, status),
    }
}

/// An invalidation that every edge acts by.
pub(super) fn invalidated(invalidation: &Value) -> Stage {
    match word(invalidation, "status") {
        "Completed" => Stage::Done("Completed".to_owned()),
        status => going(invalidation, status),
    }
}

/// A job that is done.
pub(super) fn job_done(job: &Value) -> Stage {
    match word(job, "state") {
        "COMPLETED" => Stage::Done("COMPLETED".to_owned()),
        "QUEUED" => going(job, "QUEUED"),
        "RUNNING" => {
            let percent = job["progress_percent"].as_f64().unwrap_or(0.0);
            Stage::Going("RUNNING".to_owned(), Some(format!("{percent:.0} %")))
        }
        state => Stage::Failed(format!("{state}: {}", job["problem"].as_str().unwrap_or("no reason given"))),
    }
}

/// A file of a bucket, alone in a list: it is read once, and is an asset then.
pub(super) fn arrived(list: &Value) -> Stage {
    let file = &list["items"][0];
    match (file["asset"].as_str(), file["arrival"].as_str()) {
        (Some(asset), _) => Stage::Done(format!("asset {asset}")),
        (None, Some("FAILED")) => {
            Stage::Failed(format!("FAILED: {}", file["problem"].as_str().unwrap_or("no reason given")))
        }
        (None, _) if file.is_null() => Stage::Failed("it is no longer there".to_owned()),
        (None, _) => Stage::Going("being read".to_owned(), None),
    }
}

/// An asset of which all is made.
pub(super) fn asset_made(asset: &Value) -> Stage {
    match word(asset, "state") {
        "READY" => Stage::Done("READY".to_owned()),
        "QUEUED" => going(asset, "QUEUED"),
        "PROCESSING" => {
            let mut more = format!("{:.0} %", asset["progress_percent"].as_f64().unwrap_or(0.0));
            // Of an RFC 3339 time the hours, minutes and seconds.
            if let Some(time) = asset["expected_at"].as_str().and_then(|text| text.get(11..19)) {
                more.push_str(&format!(", done about {time} UTC"));
            }
            Stage::Going("PROCESSING".to_owned(), Some(more))
        }
        state => Stage::Failed(format!("{state}: {}", asset["problem"].as_str().unwrap_or("no reason given"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn still(words: &str) -> Stage {
        Stage::Going(words.to_owned(), None)
    }

    fn done(words: &str) -> Stage {
        Stage::Done(words.to_owned())
    }

    fn failed(words: &str) -> Stage {
        Stage::Failed(words.to_owned())
    }

    #[test]
    fn channels_are_judged() {
        let given_up = json!({ "state": "failed", "problem": "disk full", "step": "pipeline.ensure" });
        let step = json!({ "state": "running", "step": "pipeline.ensure" });
        let made =
            |status: &str, operation: &Value| json!({ "distribution": { "status": status }, "operation": operation });
        assert_eq!(channel_made(&made("Deployed", &Value::Null)), done("ready"));
        assert_eq!(channel_made(&made("Deployed", &step)), still("Deployed: pipeline.ensure"));
        assert_eq!(channel_made(&made("InProgress", &Value::Null)), still("InProgress"));
        assert_eq!(channel_made(&json!({ "operation": step })), still("being made: pipeline.ensure"));
        assert_eq!(channel_made(&made("InProgress", &given_up)), failed("disk full"));

        let channel = |state: &str, desired: bool| json!({ "state": state, "desired_running": desired });
        assert_eq!(channel_runs(&channel("Running", true)), done("Running"));
        assert_eq!(channel_runs(&channel("Starting", true)), still("Starting"));
        assert!(matches!(channel_runs(&channel("Stopping", false)), Stage::Failed(_)));
        assert_eq!(channel_rests(&channel("Stopping", false)), still("Stopping"));
        assert_eq!(channel_rests(&channel("Idle", false)), done("Idle"));
        assert_eq!(channel_rests(&channel("Running", true)), done("Running, as it is wanted"));
        let stuck = json!({ "state": "Starting", "desired_running": true, "operation": given_up });
        assert_eq!(channel_runs(&stuck), failed("disk full"));
    }

    #[test]
    fn breakouts_distributions_and_jobs_are_judged() {
        let starting = json!({ "state": "STARTING", "problem": null, "operation": { "waiting_for": "edge e1" } });
        assert_eq!(breakout_runs(&starting), still("STARTING: edge e1"));
        assert_eq!(breakout_runs(&json!({ "state": "RUNNING" })), done("RUNNING"));
        assert_eq!(breakout_runs(&json!({ "state": "IDLE" })), failed("it went to IDLE instead of RUNNING"));
        let ended = |packaging: &str| breakout_ended(&json!({ "state": "COMPLETED", "packaging": packaging }));
        assert_eq!((ended("ended"), ended("waiting")), (done("COMPLETED"), done("COMPLETED")));
        assert_eq!(ended("live"), still("COMPLETED, packaging not closed"));
        assert_eq!(
            deployed(&json!({ "status": "InProgress", "waiting_for": "edge e1" })),
            still("InProgress: edge e1")
        );
        assert_eq!(deployed(&json!({ "status": "Deployed" })), done("Deployed"));
        assert_eq!(invalidated(&json!({ "status": "Completed" })), done("Completed"));
        let running = json!({ "state": "RUNNING", "progress_percent": 41.7 });
        assert_eq!(job_done(&running), Stage::Going("RUNNING".to_owned(), Some("42 %".to_owned())));
        assert_eq!(job_done(&json!({ "state": "FAILED", "problem": "no disk" })), failed("FAILED: no disk"));
        assert_eq!(job_done(&json!({ "state": "CANCELLED" })), failed("CANCELLED: no reason given"));
        assert_eq!(job_done(&json!({ "state": "QUEUED", "problem": "no disk" })), still("QUEUED: no disk"));
    }

    #[test]
    fn files_and_assets_are_judged() {
        let list = |file: Value| json!({ "items": [file] });
        assert_eq!(arrived(&list(json!({ "arrival": "WAITING" }))), still("being read"));
        assert_eq!(arrived(&list(json!({}))), still("being read"));
        assert_eq!(arrived(&list(json!({ "arrival": "KNOWN", "asset": "m1" }))), done("asset m1"));
        assert_eq!(arrived(&list(json!({ "arrival": "FAILED", "problem": "empty" }))), failed("FAILED: empty"));
        assert!(matches!(arrived(&json!({ "items": [] })), Stage::Failed(_)));

        assert_eq!(asset_made(&json!({ "state": "READY" })), done("READY"));
        assert_eq!(asset_made(&json!({ "state": "QUEUED", "problem": "disk full" })), still("QUEUED: disk full"));
        let half =
            json!({ "state": "PROCESSING", "progress_percent": 49.6, "expected_at": "2026-01-01T10:11:12.000Z" });
        let more = "50 %, done about 10:11:12 UTC".to_owned();
        assert_eq!(asset_made(&half), Stage::Going("PROCESSING".to_owned(), Some(more)));
        assert_eq!(asset_made(&json!({ "state": "FAILED", "problem": "no video" })), failed("FAILED: no video"));
        assert_eq!(asset_made(&json!({ "state": "CANCELLED" })), failed("CANCELLED: no reason given"));
    }

    #[test]
    fn a_line_fits_every_terminal() {
        assert_eq!(fitted("channel c1: Starting", " (3 s)"), "channel c1: Starting (3 s)");
        let long = fitted(&"ö".repeat(200), ", 42 % (3 s)");
        assert_eq!(long.chars().count(), COLUMNS);
        assert!(long.ends_with("ö…, 42 % (3 s)"), "{long}");
    }
}
