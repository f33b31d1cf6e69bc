//! Logs on standard error: text on a terminal, JSON lines otherwise.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Installs the subscriber for the life of the process. `filter` is a level or `target=level` directives.
pub(crate) fn install(format: LogFormat, filter: &str) -> Result<()> {
    // The library behind the S3-compatible endpoint calls every request that is refused an error; what fails here is said by us.
    let filter = format!("{filter},s3s=off");
    let filter =
        EnvFilter::try_new(&filter).with_context(|| format!("log.filter is not a list of levels: {filter:?}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let text = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    if text {
        builder.with_ansi(io::stderr().is_terminal()).with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
    Ok(())
}
