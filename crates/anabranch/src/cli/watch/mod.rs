//! `anabranch watch`: the detector of stale playlists on its own, at any HLS URL.

mod drive;
mod screen;
mod vote;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anabranch_cluster::watch::sink::{Credentials, Queue, Sink, SinkError, Topic};
use anabranch_cluster::watch::{AfterEnd, ChangeDetect, FetchConfig, Preset, Settings};
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};

use self::vote::{Ballot, bearer};
use super::connection::Output;
use crate::terminal;

/// Exit code of a stream that is stale.
const STALE: u8 = 1;

/// Exit code of wrong use.
const WRONG_USE: u8 = 2;

/// How long the stream may not be there from the start before the vote is stale, in milliseconds: as clusters' own watchers have it.
const VOTER_GRACE_MS: u64 = 9000;

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
    /// Region that notifications tell, and that is voted for
    #[arg(long, env = "AWS_REGION")]
    region: Option<String>,
    /// Vote for the region --region of the cluster --cluster in the name --name, again and again: API of an instance of the cluster. The watch
    /// goes on when the stream has ended
    #[arg(long, value_name = "URL", requires_all = ["cluster", "name", "region"], conflicts_with = "once")]
    vote_to: Option<String>,
    /// Cluster whose region is voted for
    #[arg(long, value_name = "NAME", requires = "vote_to")]
    cluster: Option<String>,
    /// Token for votes, with scope cluster [default: `ANABRANCH_TOKEN`]
    #[arg(long, value_name = "FILE", requires = "vote_to")]
    token_file: Option<PathBuf>,
    /// POST notifications there
    #[arg(long = "webhook", value_name = "URL")]
    webhooks: Vec<String>,
    /// Token that the webhook is shown, as Authorization: Bearer
    #[arg(long, value_name = "FILE", requires = "webhooks")]
    webhook_token_file: Option<PathBuf>,
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
    /// Where votes go.
    ballot: Option<Ballot>,
    metrics: Option<SocketAddr>,
    once: bool,
    output: Output,
}

/// Watches until the stream has ended, the first verdict with `--once`, or Ctrl-C; the exit code is the verdict.
pub(crate) fn watch(arguments: &WatchArguments) -> ExitCode {
    let plan = match plan(arguments, |name| std::env::var(name).ok()) {
        Ok(plan) => plan,
        Err(error) => {
            terminal::complain(&error);
            return ExitCode::from(WRONG_USE);
        }
    };
    match drive::run(plan) {
        Ok(drive::Health::Good) => ExitCode::SUCCESS,
        Ok(drive::Health::Stale) => ExitCode::from(STALE),
        Err(error) => {
            terminal::complain(&error);
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
    Ok(Plan {
        watches,
        ballot: ballot(arguments, &settings, &variable)?,
        sinks: sinks(arguments, &settings, variable)?,
        metrics: arguments.metrics,
        once: arguments.once,
        output: arguments.output.unwrap_or(if terminal::takes_answers() { Output::Table } else { Output::Json }),
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
        // Who votes is missed when he goes, and one refused connection at the start is to close nothing.
        after_end: if arguments.keep || arguments.vote_to.is_some() { AfterEnd::Keep } else { AfterEnd::Stop },
        start_grace_ms: if arguments.vote_to.is_some() { VOTER_GRACE_MS } else { base.start_grace_ms },
        ..base
    })
}

/// Where votes go; nothing where there are none.
fn ballot(
    arguments: &WatchArguments,
    settings: &Settings,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Ballot>> {
    let (Some(server), Some(cluster)) = (&arguments.vote_to, &arguments.cluster) else { return Ok(None) };
    let token = match &arguments.token_file {
        Some(file) => token_in(file).context("--token-file")?,
        None => variable("ANABRANCH_TOKEN")
            .filter(|token| !token.is_empty())
            .context("votes need a token with scope cluster: give --token-file, or set ANABRANCH_TOKEN")?,
    };
    Ok(Some(Ballot {
        server: Ballot::server(server)?,
        cluster: cluster.clone(),
        region: settings.region.clone(),
        watcher: settings.name.clone(),
        authorization: bearer(&token)?,
    }))
}

/// The token that a file holds.
fn token_in(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
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
    if arguments.webhook_token_file.is_some() && arguments.webhooks.len() > 1 {
        bail!(
            "--webhook-token-file is for one --webhook, since a token is for one place: {} are given",
            arguments.webhooks.len()
        );
    }
    for url in &arguments.webhooks {
        let webhook = Sink::webhook(url)?;
        sinks.push(match &arguments.webhook_token_file {
            Some(file) => {
                let shown = token_in(file).and_then(|token| bearer(&token)).context("--webhook-token-file")?;
                webhook.with_authorization(shown)
            }
            None => webhook,
        });
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
    fn votes_have_a_token_and_a_name() {
        let words =
            ["http://a/x", "--vote-to", "https://c/", "--cluster", "show", "--name", "outside", "--region", "eu"];
        let command = Command::try_parse_from(["watch"].iter().chain(&words)).unwrap();
        let of = |token: Option<&str>| {
            plan(&command.watch, |name| token.filter(|_| name == "ANABRANCH_TOKEN").map(str::to_owned))
        };
        let plan = of(Some("t")).unwrap();
        let ballot = plan.ballot.unwrap();
        assert_eq!(
            (ballot.region.as_str(), ballot.watcher.as_str(), ballot.cluster.as_str()),
            ("eu", "outside", "show")
        );
        assert_eq!(ballot.authorization.to_str().unwrap(), "Bearer t");
        let settings = &plan.watches[0].0;
        assert_eq!((settings.after_end, settings.start_grace_ms), (AfterEnd::Keep, VOTER_GRACE_MS));
        let Err(error) = of(None) else { panic!("without a token") };
        assert!(error.to_string().contains("set ANABRANCH_TOKEN"), "{error:#}");
        let nameless: Vec<&str> = words.iter().copied().filter(|word| !["--name", "outside"].contains(word)).collect();
        assert!(Command::try_parse_from(["watch"].iter().chain(&nameless)).is_err());
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
            (&["http://a/x", "--webhook", "http://h/", "--webhook-token-file", "/nowhere"], "cannot read /nowhere"),
            (
                &["http://a/x", "--webhook", "http://h/", "--webhook", "http://i/", "--webhook-token-file", "/nowhere"],
                "a token is for one place",
            ),
            (&["http://a/x", "--sns", "alarms"], "an SNS topic must be an ARN"),
        ] {
            let Err(error) = planned(words) else { panic!("{words:?}") };
            assert!(format!("{error:#}").contains(said), "{words:?}: {error:#}");
        }
    }
}
