//! `anabranch watch`: the detector of stale playlists on its own, at any HLS URL.

mod drive;
mod screen;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anabranch_cluster::watch::sink::{Credentials, Queue, Sink, SinkError, Topic};
use anabranch_cluster::watch::{AfterEnd, ChangeDetect, FetchConfig, Preset, Settings};
use anyhow::{Context, Result, anyhow};
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Output, complain};

/// Exit code of a stream that is stale.
const STALE: u8 = 1;

/// Exit code of wrong use.
const WRONG_USE: u8 = 2;

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// Multivariant or media playlist, http or https, with whatever query signs it
    url: String,
    /// Where viewers fetch the same stream: a second watch, through the CDN
    #[arg(long, value_name = "URL")]
    cdn: Option<String>,
    /// Settings that go together: default, relaxed (multiplier 3.0) or design (tolerance 0.90)
    #[arg(long, value_name = "NAME", default_value = "default")]
    preset: String,
    /// A playlist is stale after its duration times this without a change
    #[arg(long, value_name = "FACTOR")]
    multiplier: Option<f64>,
    /// Share of stale playlists from which the stream is stale
    #[arg(long, value_name = "SHARE")]
    tolerance: Option<f64>,
    /// Looks in the duration of a playlist while a change is due
    #[arg(long, value_name = "NUMBER")]
    divisor: Option<u32>,
    /// What counts as a change: media-sequence or content-hash
    #[arg(long, value_name = "WAY", default_value = "media-sequence")]
    change_detect: String,
    /// Longest wait for an answer, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
    /// Tell of a changed multivariant playlist, but watch on what was found first
    #[arg(long)]
    no_reload: bool,
    /// Do not ask for newest segments
    #[arg(long)]
    no_segments: bool,
    /// Header of requests to the host of the URL, such as 'Authorization: Bearer …'
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Name of the watch in notifications and metrics
    #[arg(long)]
    name: Option<String>,
    /// Region that notifications tell
    #[arg(long, env = "AWS_REGION")]
    region: Option<String>,
    /// POST notifications there
    #[arg(long = "webhook", value_name = "URL")]
    webhooks: Vec<String>,
    /// Publish notifications in an SNS topic; signed by `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`
    #[arg(long, value_name = "ARN")]
    sns: Option<String>,
    /// Send notifications to an SQS queue
    #[arg(long, value_name = "URL")]
    sqs: Option<String>,
    /// Serve Prometheus metrics there
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// End with the first verdict
    #[arg(long)]
    once: bool,
    /// Go on when the stream has ended, in case another follows
    #[arg(long, conflicts_with = "once")]
    keep: bool,
    /// How to show it [default: table on a terminal, json otherwise]
    #[arg(long, value_enum, env = "ANABRANCH_OUTPUT")]
    output: Option<Output>,
}

/// What the arguments mean.
struct Plan {
    /// One for the origin, and perhaps one for the CDN.
    watches: Vec<(Settings, FetchConfig)>,
    sinks: Vec<Sink>,
    metrics: Option<SocketAddr>,
    once: bool,
    output: Output,
}

/// Watches until the stream has ended, the first verdict with `--once`, or Ctrl-C; the exit code is the verdict.
pub(crate) fn watch(arguments: &WatchArguments) -> ExitCode {
    let plan = match plan(arguments, |name| std::env::var(name).ok()) {
        Ok(plan) => plan,
        Err(error) => {
            complain(&error);
            return ExitCode::from(WRONG_USE);
        }
    };
    match drive::run(plan) {
        Ok(drive::Health::Good) => ExitCode::SUCCESS,
        Ok(drive::Health::Stale) => ExitCode::from(STALE),
        Err(error) => {
            complain(&error);
            ExitCode::from(WRONG_USE)
        }
    }
}

fn plan(arguments: &WatchArguments, variable: impl Fn(&str) -> Option<String>) -> Result<Plan> {
    let settings = settings(arguments)?;
    settings.check()?;
    let fetch = |url: &str| -> Result<FetchConfig> {
        let host = reqwest::Url::parse(url)?.host_str().map(str::to_owned);
        let timeout = Duration::from_millis(settings.timeout_ms);
        Ok(FetchConfig { timeout, headers: headers(&arguments.headers)?, host })
    };
    let mut watches = Vec::new();
    if let Some(cdn) = &arguments.cdn {
        let named =
            |settings: &Settings, end: &str| Settings { name: format!("{} {end}", settings.name), ..settings.clone() };
        let through = Settings { origin_url: cdn.clone(), ..named(&settings, "cdn") };
        through.check()?;
        watches.push((named(&settings, "origin"), fetch(&settings.origin_url)?));
        watches.push((through, fetch(cdn)?));
    } else {
        watches.push((settings.clone(), fetch(&settings.origin_url)?));
    }
    let terminal = super::output::is_terminal();
    Ok(Plan {
        watches,
        sinks: sinks(arguments, &settings, variable)?,
        metrics: arguments.metrics,
        once: arguments.once,
        output: arguments.output.unwrap_or(if terminal { Output::Table } else { Output::Json }),
    })
}

fn settings(arguments: &WatchArguments) -> Result<Settings> {
    let preset: Preset = arguments.preset.parse()?;
    let change_detect: ChangeDetect = arguments.change_detect.parse()?;
    let base = Settings::new(arguments.url.clone(), preset);
    Ok(Settings {
        cdn_url: arguments.cdn.clone(),
        duration_multiplier: arguments.multiplier.unwrap_or(base.duration_multiplier),
        stale_tolerance: arguments.tolerance.unwrap_or(base.stale_tolerance),
        segment_pause_divisor: arguments.divisor.unwrap_or(base.segment_pause_divisor),
        change_detect,
        timeout_ms: arguments.timeout.unwrap_or(base.timeout_ms),
        reload_on_top_level_change: !arguments.no_reload,
        check_segments: !arguments.no_segments,
        name: arguments.name.clone().unwrap_or_else(|| base.name.clone()),
        region: arguments.region.clone().unwrap_or_else(|| base.region.clone()),
        sns_topic: arguments.sns.clone(),
        sqs_url: arguments.sqs.clone(),
        after_end: if arguments.keep { AfterEnd::Keep } else { AfterEnd::Stop },
        ..base
    })
}

fn headers(lines: &[String]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines {
        // The value may be a secret, so that only the name is told.
        let name = line.split(':').next().unwrap_or_default().trim();
        let parsed = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let (name, value) = parsed.ok_or_else(|| anyhow!("--header must be 'Name: value': {name:?}"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn sinks(
    arguments: &WatchArguments,
    settings: &Settings,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Sink>> {
    let mut sinks = Vec::new();
    for url in &arguments.webhooks {
        sinks.push(Sink::webhook(url)?);
    }
    let endpoint = |name| variable(name).or_else(|| variable("AWS_ENDPOINT_URL")).filter(|url| !url.is_empty());
    let signer = || -> Result<Credentials, SinkError> { Credentials::read(&variable) };
    if let Some(arn) = &arguments.sns {
        let topic = Topic::new(arn, endpoint("AWS_ENDPOINT_URL_SNS").as_deref(), signer()?);
        sinks.push(Sink::Sns(topic.context("--sns")?));
    }
    if let Some(url) = &arguments.sqs {
        let queue = Queue::new(url, &settings.region, endpoint("AWS_ENDPOINT_URL_SQS").as_deref(), signer()?);
        sinks.push(Sink::Sqs(queue.context("--sqs")?));
    }
    Ok(sinks)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        watch: WatchArguments,
    }

    fn planned(words: &[&str]) -> Result<Plan> {
        let command = Command::try_parse_from(["watch"].iter().chain(words))?;
        plan(&command.watch, |name| name.starts_with("AWS_").then(|| format!("http://{name}.example")))
    }

    #[test]
    fn arguments_become_settings() {
        let words =
            ["http://a/x.m3u8?Policy=p", "--preset", "relaxed", "--tolerance", "0.5", "--header", "X-Key: secret"];
        let plan = planned(&words).unwrap();
        let (settings, fetch) = &plan.watches[0];
        assert_eq!((settings.duration_multiplier, settings.stale_tolerance), (3.0, 0.5));
        assert_eq!(settings.origin_url, "http://a/x.m3u8?Policy=p");
        assert_eq!((fetch.headers["x-key"].to_str().unwrap(), fetch.host.as_deref()), ("secret", Some("a")));
        assert_eq!((plan.watches.len(), plan.once, plan.output), (1, false, Output::Json));
    }

    #[test]
    fn a_cdn_is_a_second_watch() {
        let plan = planned(&["http://a/x", "--cdn", "http://b/x", "--name", "gala", "--once"]).unwrap();
        let seen: Vec<_> = plan
            .watches
            .iter()
            .map(|(settings, fetch)| {
                (settings.name.as_str(), settings.origin_url.as_str(), fetch.host.as_deref().unwrap())
            })
            .collect();
        assert_eq!(seen, [("gala origin", "http://a/x", "a"), ("gala cdn", "http://b/x", "b")]);
        assert!(plan.watches.iter().all(|(settings, _)| settings.cdn_url.as_deref() == Some("http://b/x")));
    }

    #[test]
    fn receivers_are_named() {
        let arn = "arn:aws:sns:eu-west-1:1:alarms";
        let plan = planned(&["http://a/x", "--webhook", "http://h/", "--sns", arn, "--sqs", "http://q/1/q"]).unwrap();
        let names: Vec<String> = plan.sinks.iter().map(Sink::name).collect();
        assert_eq!(names, ["webhook http://h/", &format!("sns {arn}"), "sqs http://q/1/q"]);
    }

    #[test]
    fn wrong_use_says_what_to_do() {
        for (words, said) in [
            (&["ftp://a/x"][..], "origin_url must be a URL"),
            (&["http://a/x", "--cdn", "b"], "cdn_url must be a URL"),
            (&["http://a/x", "--preset", "fast"], "one of default, relaxed, design"),
            (&["http://a/x", "--multiplier", "0.5"], "between 1 and 100: 0.5"),
            (&["http://a/x", "--header", "secret value"], "--header must be"),
            (&["http://a/x", "--webhook", "h"], "a webhook must be a URL"),
            (&["http://a/x", "--sns", "alarms"], "an SNS topic must be an ARN"),
        ] {
            let Err(error) = planned(words) else { panic!("{words:?}") };
            assert!(format!("{error:#}").contains(said), "{words:?}: {error:#}");
        }
    }
}
