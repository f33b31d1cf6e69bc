//! What can go wrong with rows.

use std::path::PathBuf;

use anabranch_model::InvalidTransition;

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open the database: {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// A newer binary wrote the file.
    #[error(
        "the database has schema version {found} and this binary knows only up to {known}: start the newer binary, or \
         another data directory"
    )]
    Newer {
        /// Version of the file.
        found: i64,
        /// Newest version of this binary.
        known: i64,
    },
    /// The schema cannot be brought up to date.
    #[error("cannot migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A query failed: disk full, I/O, lock.
    #[error("a database query failed")]
    Query(#[from] sqlx::Error),
    /// A stored value is not one that this code writes.
    #[error("the database holds an unknown value in column {column}: {value:?}")]
    Value {
        /// Column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// There is no such row.
    #[error("there is no {subject} with this id or name: {wanted:?}")]
    NotFound {
        /// `channel`, `breakout`, `distribution`, `key` or `node`.
        subject: &'static str,
        /// What was asked for.
        wanted: String,
    },
    /// The name is in use.
    #[error("there is already a {subject} with this name: {name:?}")]
    NameTaken {
        /// `channel`, `breakout` or `key`.
        subject: &'static str,
        /// The name.
        name: String,
    },
    /// The lifecycle does not allow it.
    #[error(transparent)]
    Transition(#[from] InvalidTransition),
    /// Another breakout of the channel is on air.
    #[error("breakout {other:?} of the same channel is on air: stop it first, or use another channel")]
    OtherOnAir {
        /// Name of the one on air.
        other: String,
    },
    /// The row is in use.
    #[error("{subject} {name:?} cannot be deleted: {remedy}")]
    InUse {
        /// `channel` or `breakout`.
        subject: &'static str,
        /// Its name.
        name: String,
        /// What is in the way, and what to do.
        remedy: String,
    },
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used for a different request: {key:?}")]
    KeyReused {
        /// The key.
        key: String,
    },
}

impl Error {
    pub(crate) fn not_found(subject: &'static str, wanted: &str) -> Self {
        Self::NotFound { subject, wanted: wanted.to_owned() }
    }

    /// Turns the violation of a name's uniqueness into its own variant.
    pub(crate) fn on_insert(error: sqlx::Error, subject: &'static str, name: &str) -> Self {
        let taken = error
            .as_database_error()
            .is_some_and(|database| database.is_unique_violation() && database.message().ends_with(".name"));
        if taken { Self::NameTaken { subject, name: name.to_owned() } } else { Self::Query(error) }
    }
}
