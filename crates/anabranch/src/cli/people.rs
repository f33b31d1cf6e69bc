//! Verbs of users, their sessions, and the audit.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::address::{address, escape, path};
use super::client::Client;
use super::connection::{Connection, One};
use super::output;
use super::request::{delete, list, post, set, show};
use crate::terminal;

/// Rows shown when no number is given.
const SHOWN: u32 = 50;

/// Rows of a page at most.
const PAGE_MAX: u32 = 200;

#[derive(Debug, Subcommand)]
pub(crate) enum UserVerb {
    /// Create a user; the password is read from a file or from standard input
    Create {
        /// The name to log in with
        name: String,
        /// owner, admin, operator or viewer
        #[arg(long)]
        role: String,
        /// What pages show [default: the name]
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
        #[command(flatten)]
        password: PasswordFrom,
        /// Without a password: they log in by a provider, or get one later
        #[arg(long, conflicts_with = "password_file")]
        no_password: bool,
        /// Privilege beyond those of the role, such as breakout:delete; may be repeated
        #[arg(long = "add", value_name = "PRIVILEGE", value_delimiter = ',')]
        added: Vec<String>,
        /// Privilege of the role that they do not get; may be repeated
        #[arg(long = "remove", value_name = "PRIVILEGE", value_delimiter = ',')]
        removed: Vec<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List users
    List(Connection),
    /// Show a user and everything that they may do
    Show(One),
    /// Change a user
    Update {
        #[command(flatten)]
        one: One,
        /// The name to log in with
        #[arg(long)]
        name: Option<String>,
        /// What pages show
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
        /// owner, admin, operator or viewer
        #[arg(long)]
        role: Option<String>,
        /// Privilege beyond those of the role; may be repeated, and takes the place of all that were added before
        #[arg(long = "add", value_name = "PRIVILEGE", value_delimiter = ',')]
        added: Vec<String>,
        /// Privilege of the role that they do not get; may be repeated, and takes the place of all that were removed before
        #[arg(long = "remove", value_name = "PRIVILEGE", value_delimiter = ',')]
        removed: Vec<String>,
        /// Just the privileges of the role
        #[arg(long, conflicts_with_all = ["added", "removed"])]
        plain: bool,
        /// Keep them out, and end their sessions
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// Let them in again
        #[arg(long)]
        enable: bool,
    },
    /// Give a user another password, and end their sessions
    Password {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// Delete a user
    Delete(One),
}

/// Where a password comes from: never from the arguments, which others on the machine can see.
#[derive(Debug, Args)]
pub(crate) struct PasswordFrom {
    /// File with the password [default: a line of standard input]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionVerb {
    /// List sessions of users
    List {
        /// Only those of this user
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// End a session, or every session of a user
    End {
        /// Id of the session
        #[arg(required_unless_present = "user", conflicts_with = "user")]
        id: Option<String>,
        /// Every session of this user
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    /// Of the user or token with this name
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// About this kind of thing, such as breakout
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// About this one, as the request named it
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Of this time or later, such as 2026-11-21T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The oldest first, and not the newest
    #[arg(long)]
    oldest: bool,
    /// How many are shown
    #[arg(long, value_name = "NUMBER", default_value_t = SHOWN)]
    limit: u32,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn user(verb: UserVerb) -> Result<()> {
    match verb {
        UserVerb::Create { name, role, display_name, password, no_password, added, removed, connection } => {
            let mut body = json!({ "name": name, "role": role });
            set(&mut body, "display_name", display_name.map(Value::from));
            set(&mut body, "privileges_added", Some(added.into()));
            set(&mut body, "privileges_removed", Some(removed.into()));
            if !no_password {
                set(&mut body, "password", Some(password.read()?.into()));
            }
            post(&connection, "/v1/users", body).await
        }
        UserVerb::List(connection) => list(&connection, "/v1/users", output::USERS).await,
        UserVerb::Show(one) => show(&one, "users").await,
        UserVerb::Update { one, name, display_name, role, added, removed, plain, disable, enable } => {
            let mut body = json!({});
            set(&mut body, "name", name.map(Value::from));
            set(&mut body, "display_name", display_name.map(Value::from));
            set(&mut body, "role", role.map(Value::from));
            set(&mut body, "privileges_added", (plain || !added.is_empty()).then(|| added.into()));
            set(&mut body, "privileges_removed", (plain || !removed.is_empty()).then(|| removed.into()));
            set(&mut body, "disabled", (enable || disable).then(|| disable.into()));
            patch(&one, body).await
        }
        UserVerb::Password { one, password } => {
            let password = password.read()?;
            patch(&one, json!({ "password": password })).await
        }
        UserVerb::Delete(one) => delete(&one, "users").await,
    }
}

async fn patch(one: &One, body: Value) -> Result<()> {
    let client = Client::new(&one.connection)?;
    let changed = client.call(Method::PATCH, &path(&["users", &one.id]), Some(body), None).await?;
    output::object(&one.connection, &changed)
}

impl PasswordFrom {
    fn read(&self) -> Result<String> {
        let text = match &self.password_file {
            Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
            None => line()?,
        };
        let password = text.trim_end_matches(['\r', '\n']).to_owned();
        ensure!(!password.is_empty(), "no password: give --password-file, or a line on standard input");
        Ok(password)
    }
}

/// A line of standard input; a terminal does not show it where that can be had.
fn line() -> Result<String> {
    let input = std::io::stdin();
    let asks = input.is_terminal();
    let hidden = asks && echo("-echo");
    if asks {
        terminal::remark(if hidden {
            "password (12 to 256 characters):"
        } else {
            "password (it is shown as you type):"
        });
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    if hidden {
        echo("echo");
    }
    read.context("cannot read standard input")?;
    Ok(line)
}

/// Has the terminal show what is typed, or not; whether it does so now.
fn echo(mode: &str) -> bool {
    std::process::Command::new("stty").arg(mode).status().is_ok_and(|status| status.success())
}

pub(super) async fn session(verb: SessionVerb) -> Result<()> {
    match verb {
        SessionVerb::List { user, connection } => {
            list(&connection, &address("/v1/sessions", [("user", user)]), output::SESSIONS).await
        }
        SessionVerb::End { id, user, connection } => {
            let path = match (id, user) {
                (_, Some(user)) => path(&["users", &user, "sessions"]),
                (id, None) => path(&["sessions", &id.unwrap_or_default()]),
            };
            Client::new(&connection)?.delete(&path).await
        }
    }
}

pub(super) async fn audit(arguments: AuditArguments) -> Result<()> {
    let AuditArguments { actor, object, subject, since, until, oldest, limit, connection } = arguments;
    let client = Client::new(&connection)?;
    let order = oldest.then(|| "oldest".to_owned());
    let filter = [
        ("actor", actor),
        ("object", object),
        ("subject", subject),
        ("since", since),
        ("until", until),
        ("order", order),
    ];
    let filter: String =
        filter.iter().filter_map(|(name, value)| Some(format!("&{name}={}", escape(value.as_ref()?)))).collect();
    let mut items: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    while (items.len() as u64) < u64::from(limit) {
        let missing = u64::from(limit) - items.len() as u64;
        let page = missing.min(u64::from(PAGE_MAX));
        let answer = client.get(&format!("/v1/audit?limit={page}{filter}{cursor}")).await?;
        items.extend(answer["items"].as_array().cloned().unwrap_or_default());
        match answer["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", escape(next)),
            None => break,
        }
    }
    output::list(&connection, &json!({ "items": items }), output::AUDIT)
}
