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
    ("STARTED", "/started_at"),
    ("PROBLEM", "/problem"),
];
pub(super) const KEYS: Columns = &[("ID", "/id"), ("NAME", "/name"), ("CREATED", "/created_at")];

pub(super) const NODES: Columns = &[
    ("NAME", "/name"),
    ("ROLE", "/role"),
    ("LOCATION", "/location"),
    ("STATE", "/state"),
    ("VERSION", "/version"),
    ("NEWEST", "/newest_version"),
    ("SEEN", "/seen_at"),
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

pub(super) fn list(connection: &Connection, value: &Value, columns: Columns) -> Result<()> {
    if chosen(connection) == Output::Json {
        return json(value);
    }
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
    print(&out)
}

fn json(value: &Value) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Writes an answer. A reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write the answer"),
        _ => Ok(()),
    }
}

fn chosen(connection: &Connection) -> Output {
    connection.output.unwrap_or(if std::io::stdout().is_terminal() { Output::Table } else { Output::Json })
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
        other => other.to_string(),
    }
}
