//! Settings of clusters: how verdicts come about, and when the automat acts.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::request::set;

/// Settings by the words of the command line, with where they are in the API.
const NAMES: [(&str, &str, &str); 14] = [
    ("mode", "automat", "mode"),
    ("vote", "watch", "vote"),
    ("preset", "watch", "preset"),
    ("multiplier", "watch", "multiplier"),
    ("tolerance", "watch", "tolerance"),
    ("change-detect", "watch", "change_detect"),
    ("divisor", "watch", "poll_divisor"),
    ("timeout", "watch", "timeout_ms"),
    ("reload", "watch", "reload"),
    ("silence", "watch", "silence_ms"),
    ("confirm", "automat", "confirm_ms"),
    ("hold", "automat", "hold_ms"),
    ("cool-down", "automat", "cool_down_ms"),
    ("drain", "automat", "drain_ms"),
];

/// How verdicts come about, and when the automat acts.
#[derive(Debug, Default, Args)]
pub(crate) struct Settings {
    /// Who closes
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// How many watchers must say so
    #[arg(long, value_enum)]
    vote: Option<Vote>,
    /// Name of the watcher's preset: default, relaxed or design
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// A playlist is stale after its duration times this
    #[arg(long, value_name = "NUMBER")]
    multiplier: Option<f64>,
    /// Share of a region's playlists that must be stale
    #[arg(long, value_name = "NUMBER")]
    tolerance: Option<f64>,
    /// What counts as a change of a playlist: media-sequence or content-hash
    #[arg(long, value_name = "WAY")]
    change_detect: Option<String>,
    /// Looks in the duration of a playlist while a change is due, 1 to 50
    #[arg(long, value_name = "NUMBER")]
    divisor: Option<u32>,
    /// Longest wait for an answer to a watcher, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout: Option<u32>,
    /// Whether a changed multivariant playlist changes what is watched
    #[arg(long, value_name = "BOOL")]
    reload: Option<bool>,
    /// Silence after which a watcher has no vote, in milliseconds
    #[arg(long, value_name = "MS")]
    silence: Option<u32>,
    /// A region must be stale for so long before it is closed, in milliseconds
    #[arg(long, value_name = "MS")]
    confirm: Option<u32>,
    /// Shortest time between two switches of a region, in milliseconds
    #[arg(long, value_name = "MS")]
    hold: Option<u32>,
    /// Time after a closing in which no other region is closed, in milliseconds
    #[arg(long, value_name = "MS")]
    cool_down: Option<u32>,
    /// Time between a closing and its effect, in milliseconds
    #[arg(long, value_name = "MS")]
    drain: Option<u32>,
    /// Settings that are to be the default again, by the names of these options, such as multiplier,tolerance
    #[arg(long = "default", value_name = "NAME,NAME...", value_delimiter = ',')]
    defaults: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// The operator only
    Manual,
    /// The automat as well
    Automatic,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Vote {
    /// One of them
    Any,
    /// More than half of those that are heard
    Majority,
    /// Each that is heard
    All,
}

impl Settings {
    /// Puts what is given over what `body` has.
    ///
    /// # Errors
    /// There is no such setting, or it is to be two things.
    pub(super) fn add_to(self, body: &mut Value) -> Result<()> {
        let (mut watch, mut automat) = (json!({}), json!({}));
        let mode = |mode| if matches!(mode, Mode::Manual) { "manual" } else { "automatic" };
        let vote = |vote| match vote {
            Vote::Any => "any",
            Vote::Majority => "majority",
            Vote::All => "all",
        };
        set(&mut watch, "vote", self.vote.map(|given| vote(given).into()));
        set(&mut watch, "preset", self.preset.map(Value::from));
        set(&mut watch, "multiplier", self.multiplier.map(Value::from));
        set(&mut watch, "tolerance", self.tolerance.map(Value::from));
        set(&mut watch, "change_detect", self.change_detect.map(Value::from));
        set(&mut watch, "poll_divisor", self.divisor.map(Value::from));
        set(&mut watch, "timeout_ms", self.timeout.map(Value::from));
        set(&mut watch, "reload", self.reload.map(Value::from));
        set(&mut watch, "silence_ms", self.silence.map(Value::from));
        set(&mut automat, "mode", self.mode.map(|given| mode(given).into()));
        set(&mut automat, "confirm_ms", self.confirm.map(Value::from));
        set(&mut automat, "hold_ms", self.hold.map(Value::from));
        set(&mut automat, "cool_down_ms", self.cool_down.map(Value::from));
        set(&mut automat, "drain_ms", self.drain.map(Value::from));
        for name in &self.defaults {
            let Some((_, place, key)) = NAMES.iter().find(|(word, ..)| word == name) else {
                bail!(
                    "--default has names of settings, which are {}: {name:?}",
                    NAMES.map(|(word, ..)| word).join(", ")
                );
            };
            let of = if *place == "watch" { &mut watch } else { &mut automat };
            if of.get(key).is_some() {
                bail!("a setting is given or the default, not both: {name:?}");
            }
            of[key] = Value::Null;
        }
        for (key, given) in [("watch", watch), ("automat", automat)] {
            let Some(given) = given.as_object().filter(|given| !given.is_empty()) else { continue };
            if !body[key].is_object() {
                body[key] = json!({});
            }
            for (name, value) in given {
                body[key][name] = value.clone();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn settings_go_over_a_file() {
        let mut body = json!({ "automat": { "hold_ms": 1, "drain_ms": 2 } });
        let settings =
            Settings { mode: Some(Mode::Automatic), vote: Some(Vote::All), hold: Some(5_000), ..Settings::default() };
        settings.add_to(&mut body).unwrap();
        let expected = json!({
            "automat": { "mode": "automatic", "hold_ms": 5_000, "drain_ms": 2 }, "watch": { "vote": "all" },
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn settings_become_the_default_again() {
        let read = |words: &[&str]| {
            let mut body = json!({});
            let command = Command::try_parse_from(["cluster"].iter().chain(words)).unwrap();
            command.settings.add_to(&mut body).map(|()| body)
        };
        let words =
            ["--default", "multiplier,hold", "--divisor", "9", "--reload", "false", "--change-detect", "content-hash"];
        let expected = json!({
            "automat": { "hold_ms": null },
            "watch": { "multiplier": null, "poll_divisor": 9, "reload": false, "change_detect": "content-hash" },
        });
        assert_eq!(read(&words).unwrap(), expected);
        let error = read(&["--default", "poll_divisor"]).unwrap_err().to_string();
        assert!(error.contains("divisor, timeout") && error.ends_with("\"poll_divisor\""), "{error}");
        assert!(read(&["--default", "hold", "--hold", "5"]).unwrap_err().to_string().contains("not both"));
        // Each name has an option.
        for (name, ..) in NAMES {
            let has =
                <Command as clap::CommandFactory>::command().get_arguments().any(|one| one.get_long() == Some(name));
            assert!(has, "{name}");
        }
    }
}
