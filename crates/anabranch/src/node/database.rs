//! Where the control plane's database is.

use anabranch_db::{Db, Error};

use crate::config::Config;

/// The database in the data directory, unless the configuration names another.
pub(super) const DATABASE: &str = "anabranch.db";

/// Opens the database of the configuration, or that of the data directory.
pub(super) async fn open(config: &Config) -> Result<Db, Error> {
    match &config.database {
        Some(url) => Db::open_url(&url.0).await,
        None => Db::open(&config.data.join(DATABASE)).await,
    }
}
