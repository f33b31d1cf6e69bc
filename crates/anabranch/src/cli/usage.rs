//! `anabranch usage`, `charges`, `prices`, `analytics`, `overview`, `settings`: what was used, what it costs, how well it was watched.

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::address::{address, path};
use super::client::Client;
use super::connection::{Connection, One};
use super::output;
use super::request::{post, set};
use crate::terminal;

const USAGE: output::Columns = &[
    ("KEY", "/key"),
    ("NAME", "/name"),
    ("BYTES", "/bytes"),
    ("REQUESTS", "/requests"),
    ("VIEWERS", "/viewers"),
    ("PEAK", "/peak_viewers"),
    ("MINUTES", "/viewer_minutes"),
    ("ON AIR S", "/stream_seconds"),
    ("CONVERTED S", "/conversion_seconds"),
];
const COUNTS: output::Columns = &[("OBJECT", "/object"), ("COUNT", "/count")];
const SERIES: output::Columns =
    &[("AT", "/at"), ("BYTES", "/bytes"), ("REQUESTS", "/requests"), ("VIEWERS", "/viewers")];
const CHARGES: output::Columns = &[
    ("KIND", "/kind"),
    ("KEY", "/key"),
    ("NAME", "/name"),
    ("CURRENCY", "/currency"),
    ("ESTIMATE", "/estimate"),
    ("FINAL", "/final"),
    ("CORRECTIONS", "/corrections"),
    ("TOTAL", "/total"),
    ("ALTERNATIVE", "/alternative"),
];
const PRICES: output::Columns = &[
    ("MODEL", "/model"),
    ("SERVICE", "/service"),
    ("WHAT", "/what"),
    ("PRICE", "/price"),
    ("UNIT", "/unit"),
    ("SOURCE", "/source"),
];

/// What usage is summed by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum UsageBy {
    Breakout,
    Distribution,
    Rendition,
    Location,
    Event,
    Account,
    Asset,
    Platform,
}

/// What charges are summed by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ChargesBy {
    Breakout,
    Service,
    Event,
    Account,
    Platform,
}

/// Arguments of `usage`.
#[derive(Debug, Args)]
pub(crate) struct UsageArguments {
    /// What it is summed by
    #[arg(long, value_enum, default_value = "breakout")]
    by: UsageBy,
    /// Show the course instead, in stretches of so many seconds: 60, 300, 3600 or 86400
    #[arg(long, value_name = "SECONDS")]
    step: Option<u32>,
    /// Month in UTC, such as 2026-11
    #[arg(long, conflicts_with_all = ["from", "to", "step"])]
    month: Option<String>,
    /// From this time on (RFC 3339) [default: 30 days ago]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only of this breakout
    #[arg(long, value_name = "ID")]
    breakout: Option<String>,
    /// Only of this distribution
    #[arg(long, value_name = "ID")]
    distribution: Option<String>,
    /// Only of this event
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Only of this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChargesVerb {
    /// List charges
    List(ChargesArguments),
    /// Show what a breakout costs, session by session
    Show(One),
    /// Collect charges now; repeating it changes nothing
    Collect {
        /// Only of this breakout
        #[arg(long, value_name = "ID")]
        breakout: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Arguments of `charges list`.
#[derive(Debug, Args)]
pub(crate) struct ChargesArguments {
    /// Month in UTC, such as 2026-11 [default: the current one]
    #[arg(long, conflicts_with_all = ["from", "to"])]
    month: Option<String>,
    /// From this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// What they are summed by
    #[arg(long, value_enum, default_value = "breakout")]
    by: ChargesBy,
    /// Only of this breakout
    #[arg(long, value_name = "ID")]
    breakout: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `analytics`.
#[derive(Debug, Args)]
pub(crate) struct AnalyticsArguments {
    /// Only of this breakout
    #[arg(long, value_name = "ID")]
    breakout: Option<String>,
    /// Only of this asset
    #[arg(long, value_name = "ID", conflicts_with = "breakout")]
    asset: Option<String>,
    /// From this time on (RFC 3339) [default: 30 days ago]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[expect(clippy::needless_pass_by_value, reason = "what is chosen is a word and nothing else")]
fn word(value: impl ValueEnum) -> Option<String> {
    value.to_possible_value().map(|value| value.get_name().to_owned())
}

/// A table of the answer's items, or all of it as it is.
async fn table(connection: &Connection, address: String, columns: output::Columns) -> Result<()> {
    let client = Client::new(connection)?;
    if output::is_csv(connection) {
        let join = if address.contains('?') { '&' } else { '?' };
        return terminal::print(&client.text(&format!("{address}{join}format=csv")).await?);
    }
    let answer = client.get(&address).await?;
    if output::is_json(connection) {
        output::object(connection, &answer)
    } else {
        output::list(connection, &answer, columns)
    }
}

pub(super) async fn usage(arguments: UsageArguments) -> Result<()> {
    let UsageArguments { by, step, month, from, to, breakout, distribution, event, account, connection } = arguments;
    let rest = |of: &str, first: (&'static str, Option<String>)| {
        let all = [
            first,
            ("month", month),
            ("from", from),
            ("to", to),
            ("breakout", breakout),
            ("distribution", distribution),
            ("event", event),
            ("account", account),
        ];
        address(of, all)
    };
    match step {
        Some(step) => {
            let answer =
                Client::new(&connection)?.get(&rest("/v1/usage/series", ("step", Some(step.to_string())))).await?;
            if output::is_json(&connection) {
                output::object(&connection, &answer)
            } else {
                output::list(&connection, &answer, SERIES)
            }
        }
        None => table(&connection, rest("/v1/usage", ("by", word(by))), USAGE).await,
    }
}

pub(super) async fn charges(verb: ChargesVerb) -> Result<()> {
    match verb {
        ChargesVerb::List(ChargesArguments { month, from, to, by, breakout, connection }) => {
            let parameters = [("month", month), ("from", from), ("to", to), ("by", word(by)), ("breakout", breakout)];
            table(&connection, address("/v1/charges", parameters), CHARGES).await
        }
        ChargesVerb::Show(one) => {
            let answer = Client::new(&one.connection)?.get(&path(&["breakouts", &one.id, "charges"])).await?;
            output::object(&one.connection, &answer)
        }
        ChargesVerb::Collect { breakout, connection } => {
            let mut body = json!({});
            set(&mut body, "breakout", breakout.map(Value::from));
            post(&connection, "/v1/charges/collect", body).await
        }
    }
}

pub(super) async fn prices(connection: Connection) -> Result<()> {
    let answer = Client::new(&connection)?.get("/v1/prices").await?;
    if output::is_json(&connection) {
        output::object(&connection, &answer)
    } else {
        output::list(&connection, &answer, PRICES)
    }
}

pub(super) async fn analytics(arguments: AnalyticsArguments) -> Result<()> {
    let AnalyticsArguments { breakout, asset, from, to, connection } = arguments;
    let parameters = [("breakout", breakout), ("asset", asset), ("from", from), ("to", to)];
    let answer = Client::new(&connection)?.get(&address("/v1/analytics", parameters)).await?;
    output::object(&connection, &answer)
}

pub(super) async fn counts(connection: Connection) -> Result<()> {
    let answer = Client::new(&connection)?.get("/v1/counts").await?;
    if output::is_json(&connection) {
        output::object(&connection, &answer)
    } else {
        output::list(&connection, &json!({ "items": answer["counts"] }), COUNTS)
    }
}

pub(super) async fn show(connection: Connection, address: &str) -> Result<()> {
    let answer = Client::new(&connection)?.get(address).await?;
    output::object(&connection, &answer)
}
