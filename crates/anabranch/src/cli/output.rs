//! How answers look: tables, lists of members, JSON.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;

use super::connection::{Connection, Output};
use crate::terminal::{self, Reader};

/// Heading and JSON pointer of each column.
pub(super) type Columns = &'static [(&'static str, &'static str)];

pub(super) const CHANNELS: Columns = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("STATE", "/state"),
    ("DISTRIBUTION", "/distribution/id"),
    ("STATUS", "/distribution/status"),
    ("PROBLEM", "/problem"),
];
pub(super) const DISTRIBUTIONS: Columns = &[
    ("ID", "/id"),
    ("DOMAIN NAME", "/domain_name"),
    ("STATUS", "/status"),
    ("ENABLED", "/enabled"),
    ("PHASE", "/phase"),
    ("CHANNEL", "/channel"),
    ("COMMENT", "/comment"),
];
pub(super) const OPERATIONS: Columns = &[
    ("ID", "/id"),
    ("KIND", "/kind"),
    ("SUBJECT", "/subject"),
    ("STATE", "/state"),
    ("STEP", "/step"),
    ("WAITING FOR", "/waiting_for"),
    ("NEXT TRY", "/next_try_at"),
    ("PROBLEM", "/problem"),
];
pub(super) const INVALIDATIONS: Columns = &[
    ("ID", "/id"),
    ("STATUS", "/status"),
    ("CREATED", "/created_at"),
    ("FIRST PATH", "/paths/0"),
    ("FIRST TAG", "/tags/0"),
];
pub(super) const KEY_GROUPS: Columns = &[("ID", "/id"), ("NAME", "/name"), ("CREATED", "/created_at")];
pub(super) const BREAKOUTS: Columns = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("CHANNEL", "/channel"),
    ("STATE", "/state"),
    ("CURTAIN", "/curtain"),
    ("STARTED", "/started_at"),
    ("PROBLEM", "/problem"),
];
pub(super) const VIEWERS: Columns = &[
    ("SESSION", "/session"),
    ("USER", "/user"),
    ("ENTERED", "/entered_at"),
    ("SEEN", "/seen_at"),
    ("EXIT", "/exit_reason"),
    ("ADDRESS", "/address"),
    ("BROWSER", "/browser"),
    ("SYSTEM", "/os"),
];
pub(super) const RECORDINGS: Columns = &[
    ("ID", "/id"),
    ("BREAKOUT", "/breakout"),
    ("SESSION", "/session"),
    ("STATE", "/state"),
    ("SECONDS", "/duration_seconds"),
    ("GAPS", "/gaps"),
    ("MP4", "/mp4_job/state"),
    ("PROBLEM", "/problem"),
];
pub(super) const JOBS: Columns = &[
    ("ID", "/id"),
    ("KIND", "/kind"),
    ("SUBJECT", "/subject"),
    ("STATE", "/state"),
    ("PERCENT", "/progress_percent"),
    ("TRIES", "/attempts"),
    ("NEXT TRY", "/next_try_at"),
    ("PROBLEM", "/problem"),
];
pub(super) const ASSETS: Columns = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("STATE", "/state"),
    ("PERCENT", "/progress_percent"),
    ("SECONDS", "/duration_seconds"),
    ("BUCKET", "/bucket"),
    ("PROBLEM", "/problem"),
];
pub(super) const CAPTIONS: Columns = &[
    ("LANGUAGE", "/language"),
    ("LABEL", "/label"),
    ("DEFAULT", "/is_default"),
    ("FORCED", "/is_forced"),
    ("CUES", "/cues"),
    ("FILE", "/key"),
];
pub(super) const BUCKETS: Columns = &[
    ("NAME", "/name"),
    ("PRESET", "/preset"),
    ("MIRROR", "/mirror"),
    ("HOUSE", "/house"),
    ("DISTRIBUTION", "/distribution"),
    ("BACKEND", "/backend/url"),
    ("PROBLEM", "/backend/problem"),
    ("CREATED", "/created_at"),
];
pub(super) const FILES: Columns = &[
    ("KEY", "/key"),
    ("BYTES", "/size"),
    ("MODIFIED", "/modified_at"),
    ("ARRIVAL", "/arrival"),
    ("ASSET", "/asset"),
    ("PROBLEM", "/problem"),
];
pub(super) const ACCESS_KEYS: Columns =
    &[("ID", "/id"), ("NAME", "/name"), ("BUCKETS", "/buckets"), ("WRITES", "/may_write"), ("CREATED", "/created_at")];
/// A row for each region.
pub(super) const CLUSTERS: Columns = &[
    ("CLUSTER", "/cluster"),
    ("MODE", "/mode"),
    ("REGION", "/name"),
    ("OPENING", "/opening"),
    ("IN FORCE", "/in_force"),
    ("BY", "/by"),
    ("WHO", "/who"),
    ("SINCE", "/since"),
    ("VERDICT", "/verdict"),
    ("PEER PROBLEM", "/peer/problem"),
];
/// Of one cluster: its regions with what was measured of them.
pub(super) const CLUSTER: Columns = &[
    ("REGION", "/name"),
    ("OPENING", "/opening"),
    ("IN FORCE", "/in_force"),
    ("BY", "/by"),
    ("SINCE", "/since"),
    ("VERDICT", "/verdict"),
    ("AGE MS", "/age_ms"),
    ("BEHIND MS", "/behind_ms"),
    ("LATENCY MS", "/latency_ms"),
    ("ORIGIN MS", "/origin_latency_ms"),
    ("PLAYLISTS", "/playlists"),
    ("STALE", "/playlists_stale"),
    ("PEER PROBLEM", "/peer/problem"),
];
pub(super) const CLUSTER_PLAYLISTS: Columns = &[
    ("REGION", "/region"),
    ("WAY", "/way"),
    ("STREAM", "/stream"),
    ("ROLE", "/role"),
    ("LABEL", "/label"),
    ("STATE", "/state"),
    ("NEWEST", "/newest_sequence"),
    ("AGE MS", "/age_ms"),
    ("LIMIT MS", "/limit_ms"),
    ("MEAN S", "/statistics/mean_seconds"),
    ("P90 S", "/statistics/p90_seconds"),
    ("ANSWER MS", "/answer_ms"),
    ("TROUBLE", "/trouble"),
];
pub(super) const CLUSTER_HISTORY: Columns = &[
    ("AT", "/at"),
    ("REGION", "/region"),
    ("WHAT", "/what"),
    ("BY", "/by"),
    ("WHO", "/who"),
    ("WHY", "/why"),
    ("UNTIL", "/until"),
];
pub(super) const CLUSTER_VOTES: Columns = &[
    ("REGION", "/region"),
    ("WATCHER", "/watcher"),
    ("STATE", "/state"),
    ("SINCE", "/since"),
    ("HEARD", "/heard_at"),
    ("COUNTS", "/counts"),
    ("REASON", "/reason"),
];
pub(super) const COLLECTIONS: Columns =
    &[("ID", "/id"), ("NAME", "/name"), ("EVERYONE", "/everyone"), ("ASSETS", "/assets"), ("CREATED", "/created_at")];
pub(super) const EVENTS: Columns =
    &[("ID", "/id"), ("NAME", "/name"), ("ACCOUNT", "/account"), ("STARTS", "/starts_at"), ("ENDS", "/ends_at")];
pub(super) const ACCOUNTS: Columns = &[("ID", "/id"), ("NAME", "/name"), ("CREATED", "/created_at")];
pub(super) const KEYS: Columns =
    &[("ID", "/id"), ("NAME", "/name"), ("SIGNS", "/signs"), ("KEY GROUPS", "/key_groups"), ("CREATED", "/created_at")];

/// Of traffic: a row for everything, then one for each behavior and each breakout.
const TRAFFIC: Columns = &[
    ("OF", "/of"),
    ("REQUESTS", "/requests"),
    ("BYTES", "/bytes"),
    ("2XX", "/statuses/2xx"),
    ("3XX", "/statuses/3xx"),
    ("4XX", "/statuses/4xx"),
    ("5XX", "/statuses/5xx"),
    ("HITS", "/hits"),
    ("MISSES", "/misses"),
    ("HIT RATIO", "/share"),
];

pub(super) const NODES: Columns = &[
    ("NAME", "/name"),
    ("ROLE", "/role"),
    ("LOCATION", "/location"),
    ("STATE", "/state"),
    ("VERSION", "/version"),
    ("NEWEST", "/newest_version"),
    ("SEEN", "/seen_at"),
];

pub(super) const WEBHOOKS: Columns = &[
    ("ID", "/id"),
    ("URL", "/url"),
    ("ENABLED", "/enabled"),
    ("BACKLOG", "/backlog"),
    ("DELIVERED", "/delivered_at"),
    ("PROBLEM", "/problem"),
];
pub(super) const TOKENS: Columns = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("SCOPES", "/scopes"),
    ("EXPIRES", "/expires_at"),
    ("LAST USED", "/last_used_at"),
    ("REVOKED", "/revoked_at"),
];
pub(super) const USERS: Columns = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("DISPLAY NAME", "/display_name"),
    ("ROLE", "/role"),
    ("DISABLED", "/disabled"),
    ("PROVIDER", "/provider"),
    ("LAST LOG-IN", "/last_login_at"),
];
pub(super) const SESSIONS: Columns = &[
    ("ID", "/id"),
    ("USER", "/user_name"),
    ("CREATED", "/created_at"),
    ("SEEN", "/seen_at"),
    ("EXPIRES", "/expires_at"),
    ("FROM", "/remote"),
    ("BROWSER", "/user_agent"),
];
pub(super) const AUDIT: Columns = &[
    ("AT", "/at"),
    ("WHO", "/actor"),
    ("KIND", "/actor_kind"),
    ("OPERATION", "/operation"),
    ("SUBJECT", "/subject"),
    ("STATUS", "/status"),
    ("FROM", "/remote"),
    ("REQUEST", "/request_id"),
];

/// Members that a table of one object begins with, in this order.
const FIRST: &[&str] = &["id", "name", "state", "status"];

/// Prints an entry of the log: a line of text, or of JSON.
pub(super) fn entry(connection: &Connection, entry: &Value) -> Result<Reader> {
    match chosen(connection) {
        Output::Json | Output::Csv => terminal::write(&format!("{entry}\n")),
        Output::Table => terminal::write(&format!("{}\n", human(entry, terminal::takes_answers()))),
    }
}

/// One line for people: when, what, to what, by whom, and the rest.
fn human(entry: &Value, colours: bool) -> String {
    let paint = |code: &str, text: &str| {
        if colours && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    let word = plain(&entry["type"]);
    let details = &entry["details"];
    let bad = ["problem", "alarm.raised", "lost", "disabled", "gave_up", "failed"];
    let colour = match entry["kind"].as_str() {
        _ if bad.iter().any(|end| word.ends_with(end)) => "31",
        Some("transition") => "32",
        Some("stream") => "36",
        _ => "33",
    };
    let subject = match details["name"].as_str() {
        Some(name) => format!("{name:?} ({})", plain(&entry["subject"]["id"])),
        None => format!("{} {}", plain(&entry["subject"]["kind"]), plain(&entry["subject"]["id"])),
    };
    let mut line =
        format!("{}  {}  {subject}", paint("2", &plain(&entry["at"])), paint(colour, &format!("{word:<24}")));
    if let Some(actor) = entry["actor"].as_str() {
        line.push_str(&format!("  by {}", plain(&Value::from(actor))));
    }
    let rest = details.as_object().into_iter().flatten().filter(|(key, _)| *key != "name");
    for (key, value) in rest.filter(|(_, value)| !value.is_null()) {
        line.push_str(&format!("  {}{}", paint("2", &format!("{key}=")), one_line(value)));
    }
    line
}

fn one_line(value: &Value) -> String {
    plain(value).replace('\n', " ")
}

pub(super) fn object(connection: &Connection, value: &Value) -> Result<()> {
    if chosen(connection) == Output::Json {
        return json(value);
    }
    let mut lines = Vec::new();
    flatten("", value, &mut lines);
    let width = lines.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (key, text) in lines {
        // A PEM block stays one that can be copied.
        if text.contains('\n') {
            writeln!(out, "{key}\n{}", text.trim_end())?;
        } else {
            writeln!(out, "{key:width$}  {text}")?;
        }
    }
    terminal::print(&out)
}

/// Prints one value of an answer, bare, for use in a script; as JSON only if that was asked for.
pub(super) fn bare(connection: &Connection, name: &str, value: &str) -> Result<()> {
    if connection.output == Some(Output::Json) {
        json(&serde_json::json!({ name: value }))
    } else {
        terminal::line(value)
    }
}

pub(super) fn list(connection: &Connection, value: &Value, columns: Columns) -> Result<()> {
    if chosen(connection) == Output::Json {
        return json(value);
    }
    terminal::print(&table(value, columns)?)
}

/// Prints what a distribution has delivered.
pub(super) fn traffic(connection: &Connection, value: &Value) -> Result<()> {
    if chosen(connection) == Output::Json {
        return json(value);
    }
    terminal::print(&table(&traffic_rows(value), TRAFFIC)?)
}

fn traffic_rows(value: &Value) -> Value {
    let parts = [("behaviors", "behavior"), ("breakouts", "breakout")].into_iter().flat_map(|(list, noun)| {
        value[list].as_array().into_iter().flatten().map(move |one| (format!("{noun} {}", plain(&one[noun])), one))
    });
    let rows = std::iter::once(("all".to_owned(), &value["totals"])).chain(parts).map(|(of, counts)| {
        let mut row = counts.clone();
        row["of"] = Value::from(of.trim_end());
        if let Some(ratio) = counts["hit_ratio"].as_f64() {
            row["share"] = Value::from(format!("{:.1} %", ratio * 100.0));
        }
        row
    });
    serde_json::json!({ "items": rows.collect::<Vec<_>>() })
}

pub(super) fn table(value: &Value, columns: Columns) -> Result<String> {
    let headings = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let mut rows: Vec<Vec<String>> = vec![headings];
    for item in value["items"].as_array().into_iter().flatten() {
        rows.push(columns.iter().map(|(_, pointer)| item.pointer(pointer).map_or_else(String::new, plain)).collect());
    }
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(out)
}

fn json(value: &Value) -> Result<()> {
    terminal::print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Whether the answer is printed as JSON.
pub(super) fn is_json(connection: &Connection) -> bool {
    chosen(connection) == Output::Json
}

/// Whether comma-separated values are wanted.
pub(super) fn is_csv(connection: &Connection) -> bool {
    connection.output == Some(Output::Csv)
}

fn chosen(connection: &Connection) -> Output {
    let output = connection.output.map(|output| if output == Output::Csv { Output::Json } else { output });
    output.unwrap_or(if terminal::takes_answers() { Output::Table } else { Output::Json })
}

fn flatten(prefix: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let join = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(key, _)| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
            members.iter().for_each(|(key, value)| flatten(&join(key), value, lines));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| flatten(&join(&index.to_string()), value, lines));
        }
        other => {
            let text = plain(other);
            if !text.is_empty() {
                lines.push((prefix.to_owned(), text));
            }
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // An encoder chooses some of these words: they must not steer the operator's terminal.
        Value::String(text) => text.chars().filter(|c| *c == '\n' || !c.is_control()).collect(),
        Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_a_row_for_everything_and_each_part() {
        let counts = |requests: u64| {
            serde_json::json!({
                "requests": requests, "bytes": 10, "hits": 3, "misses": 1, "hit_ratio": 0.75,
                "statuses": { "1xx": 0, "2xx": requests, "3xx": 0, "4xx": 0, "5xx": 0 },
            })
        };
        let with = |requests, noun: &str, word: &str| {
            let mut one = counts(requests);
            one[noun] = word.into();
            one
        };
        let mut none = with(0, "behavior", "");
        none["hit_ratio"] = Value::Null;
        let answer = serde_json::json!({
            "distribution": "E1", "totals": counts(1234),
            "behaviors": [with(1230, "behavior", "*.m3u8"), none], "breakouts": [with(7, "breakout", "b1")],
        });
        let text = table(&traffic_rows(&answer), TRAFFIC).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][..4], ["OF", "REQUESTS", "BYTES", "2XX"]);
        assert_eq!(lines[1], ["all", "1234", "10", "1234", "0", "0", "0", "3", "1", "75.0", "%"]);
        assert_eq!(lines[2][..3], ["behavior", "*.m3u8", "1230"]);
        assert_eq!(lines[3], ["behavior", "0", "10", "0", "0", "0", "0", "3", "1"]);
        assert_eq!(lines[4][..3], ["breakout", "b1", "7"]);
    }

    #[test]
    fn keys_are_listed_with_what_they_are_for() {
        let key = serde_json::json!({ "id": "K1", "name": "first", "signs": true, "key_groups": ["g1", "g2"], "created_at": "now" });
        let text = table(&serde_json::json!({ "items": [key] }), KEYS).unwrap();
        assert!(text.ends_with("K1  first  true   g1, g2      now\n"), "{text}");
    }

    #[test]
    fn an_entry_is_one_line_for_people() {
        let entry = serde_json::json!({
            "sequence": 7, "at": "2026-01-01T00:00:00.000Z", "kind": "transition", "type": "breakout.running",
            "subject": { "kind": "breakout", "id": "b1" }, "actor": "anna",
            "details": { "name": "final", "from": "STARTING", "to": "RUNNING", "note": "a\n\u{1b}[2Jb", "none": null },
        });
        assert_eq!(
            human(&entry, false),
            "2026-01-01T00:00:00.000Z  breakout.running          \"final\" (b1)  by anna  from=STARTING  note=a [2Jb  to=RUNNING"
        );
        let coloured = human(&entry, true);
        assert!(coloured.contains("\u{1b}[32mbreakout.running") && !coloured.contains("\u{1b}[2J"), "{coloured:?}");
    }
}
