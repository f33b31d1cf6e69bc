//! What is printed: answers on standard output, complaints on standard error.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this file is where the command line speaks")]

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write as _};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Connection, Output};

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

/// Prints one line for `error` and its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// Tells the operator the token that was made at the first start; it is not stored in a readable form.
pub(crate) fn announce_first_token(token: &str) {
    println!("admin token (shown once, keep it): {token}");
}

/// Whether complaints and progress go to a terminal.
pub(super) fn has_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Whether answers go to a terminal.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Puts a text in the place of the terminal's last line; it stays until the next.
pub(super) fn transient(text: &str) {
    eprint!("\r\x1b[K{text}");
}

/// Prints an entry of the log: a line of text, or of JSON.
pub(super) fn entry(connection: &Connection, entry: &Value) -> Result<Reader> {
    match chosen(connection) {
        Output::Json | Output::Csv => write(&format!("{entry}\n")),
        Output::Table => write(&format!("{}\n", human(entry, std::io::stdout().is_terminal()))),
    }
}

/// Tells what is no answer, such as why nothing comes.
pub(super) fn remark(text: &str) {
    eprintln!("{text}");
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

/// A text that stays on its line and steers no terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}

fn one_line(value: &Value) -> String {
    plain(value).replace('\n', " ")
}

/// Prints a line as it is.
pub(crate) fn line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
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
    print(&out)
}

/// Prints one value of an answer, bare, for use in a script; as JSON only if that was asked for.
pub(super) fn bare(connection: &Connection, name: &str, value: &str) -> Result<()> {
    if connection.output == Some(Output::Json) { json(&serde_json::json!({ name: value })) } else { line(value) }
}

pub(super) fn list(connection: &Connection, value: &Value, columns: Columns) -> Result<()> {
    if chosen(connection) == Output::Json {
        return json(value);
    }
    print(&table(value, columns)?)
}

/// Prints what a distribution has delivered.
pub(super) fn traffic(connection: &Connection, value: &Value) -> Result<()> {
    if chosen(connection) == Output::Json {
        return json(value);
    }
    print(&table(&traffic_rows(value), TRAFFIC)?)
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
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Writes an answer. A reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> Result<()> {
    write(text).map(|_| ())
}

/// Whether anybody still reads what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    There,
    Gone,
}

/// Writes a text at once, and says whether anybody still reads.
pub(super) fn write(text: &str) -> Result<Reader> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context("cannot write the answer"),
    }
}

/// Whether the answer is printed as JSON.
pub(super) fn is_json(connection: &Connection) -> bool {
    chosen(connection) == Output::Json
}

/// Whether comma-separated values are wanted.
pub(super) fn is_csv(connection: &Connection) -> bool {
    connection.output == Some(Output::Csv)
}

/// Prints what the server has written as it is.
pub(super) fn verbatim(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write the answer"),
        _ => Ok(()),
    }
}

fn chosen(connection: &Connection) -> Output {
    let output = connection.output.map(|output| if output == Output::Csv { Output::Json } else { output });
    output.unwrap_or(if std::io::stdout().is_terminal() { Output::Table } else { Output::Json })
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
