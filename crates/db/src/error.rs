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
    /// The URL of the database names no engine of ours.
    #[error("the URL of a database must begin with postgres:// or postgresql://")]
    Scheme,
    /// The URL of the database cannot be read. Without the URL, which holds a password.
    #[error("the URL of the database cannot be read")]
    Url(#[source] sqlx::Error),
    /// The server does not let us in.
    #[error("cannot connect to the database: {place}")]
    Connect {
        /// Server, user and database.
        place: String,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// A file is no sound database of ours.
    #[error("not a usable backup: {path}: {reason}")]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
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
    /// An older binary acts on the database.
    #[error(
        "a controller that knows schema version {found} acts on the database, and this binary needs {known}: stop that one, \
         then this one brings the database up to date"
    )]
    Older {
        /// Version of the database.
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
    /// The file at the path is not the one that is in use: what is written would be gone with this process.
    #[error("the database file was moved, removed or replaced while it was in use: {path}")]
    Moved {
        /// Where it was.
        path: PathBuf,
    },
    /// Another process acts on the database.
    #[error("another controller acts on this database; this one stands by")]
    NotLeader,
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
        /// `channel`, `breakout`, `distribution`, `key`, `key group`, `invalidation`, `operation`, `node`, `token` or `webhook`.
        subject: &'static str,
        /// What was asked for.
        wanted: String,
    },
    /// More rows than an answer is made of: a sum of some of them would be wrong.
    #[error(
        "there are {limit} rows of {what} or more, too many for one answer: ask for a shorter time, one breakout or one distribution"
    )]
    TooMany {
        /// What was asked for.
        what: &'static str,
        /// Rows of an answer at most.
        limit: i64,
    },
    /// The name is in use.
    #[error("there is already a {subject} with this name: {name:?}")]
    NameTaken {
        /// `channel`, `breakout`, `key`, `key group` or `token`.
        subject: &'static str,
        /// The name.
        name: String,
    },
    /// The id is in use.
    #[error("there is already a {subject} with this id: {id:?}")]
    IdTaken {
        /// `key`.
        subject: &'static str,
        /// The id.
        id: String,
    },
    /// Something that the row names does not exist.
    #[error("there is no {subject} with this id or name: {wanted:?}; create it first")]
    Dangling {
        /// `key`, `key group` or `channel`.
        subject: &'static str,
        /// What is named.
        wanted: String,
    },
    /// The alias belongs to another distribution.
    #[error("alias {alias:?} belongs to distribution {distribution}: take it out there first (CNAMEAlreadyExists)")]
    AliasTaken {
        /// The alias.
        alias: String,
        /// Who has it.
        distribution: String,
    },
    /// The caller reference belongs to another distribution.
    #[error(
        "CallerReference {reference:?} made distribution {distribution}: choose another (DistributionAlreadyExists)"
    )]
    ReferenceUsed {
        /// The reference.
        reference: String,
        /// Who has it.
        distribution: String,
    },
    /// An update names another caller reference than the row has.
    #[error("CallerReference may not change: give {has:?} instead of {given:?} (IllegalUpdate)")]
    ReferenceChanged {
        /// What the row has.
        has: String,
        /// What was given.
        given: String,
    },
    /// The caller has not seen the newest configuration.
    #[error(
        "distribution {distribution} has changed since: show it again, and try with its new ETag (PreconditionFailed)"
    )]
    Stale {
        /// The distribution.
        distribution: String,
    },
    /// The caller reference of an invalidation stands for other paths or tags.
    #[error(
        "caller reference {reference:?} stands for invalidation {invalidation} of other paths or tags: choose another \
         (InvalidationBatchAlreadyExists)"
    )]
    BatchDiffers {
        /// The reference.
        reference: String,
        /// The invalidation that has it.
        invalidation: String,
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
        /// `channel`, `breakout`, `distribution`, `key`, `key group` or `token`.
        subject: &'static str,
        /// Its name.
        name: String,
        /// What is in the way, and what to do.
        remedy: String,
    },
    /// The row is not in a state for it.
    #[error("{subject} {name:?} cannot be changed so: {remedy}")]
    NotNow {
        /// `breakout`, `channel`, `distribution` or `recording`.
        subject: &'static str,
        /// Its name or id.
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

/// What may be wrong with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another process has locked it.
    Locked,
    /// It has no room to grow.
    Full,
    /// Its file is not where it was.
    Moved,
    /// Its disk fails, or takes no writes.
    Disk,
    /// Its server is away.
    Away,
    /// It did not answer in time; why is not known.
    Slow,
}

impl Fault {
    /// By what the engine calls it: five characters of PostgreSQL, or a number of SQLite whose last eight bits are the kind.
    fn of_code(code: &str) -> Option<Self> {
        if code.len() == 5 {
            return match code {
                "53100" => Some(Self::Full),
                "55P03" => Some(Self::Locked),
                "57014" => Some(Self::Slow),
                "25006" => Some(Self::Disk),
                // No connection, no room for one, not in a state to give one, shut down, trouble of its system.
                _ => match &code[..2] {
                    "08" | "55" | "57" => Some(Self::Away),
                    "53" => Some(Self::Slow),
                    "58" => Some(Self::Disk),
                    _ => None,
                },
            };
        }
        match code.parse::<u32>().ok()? & 0xff {
            // SQLITE_BUSY, SQLITE_LOCKED
            5 | 6 => Some(Self::Locked),
            // SQLITE_READONLY, SQLITE_IOERR, SQLITE_CANTOPEN
            8 | 10 | 14 => Some(Self::Disk),
            // SQLITE_FULL
            13 => Some(Self::Full),
            _ => None,
        }
    }
}

impl Error {
    /// Whether the database was away or busy, so that the same may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::NotLeader) || self.fault().is_some()
    }

    /// What is wrong with the database itself; none when the request, the rows or this code are to blame.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Moved { .. } => Some(Fault::Moved),
            Self::Query(sqlx::Error::PoolTimedOut) => Some(Fault::Slow),
            Self::Query(sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed) => Some(Fault::Away),
            Self::Query(sqlx::Error::Database(error)) => error.code().and_then(|code| Fault::of_code(&code)),
            _ => None,
        }
    }

    pub(crate) fn not_found(subject: &'static str, wanted: &str) -> Self {
        Self::NotFound { subject, wanted: wanted.to_owned() }
    }

    /// All rows of a query with this limit, or an error where it may have cut some off.
    pub(crate) fn unless_cut<T>(rows: Vec<T>, limit: i64, what: &'static str) -> Result<Vec<T>, Self> {
        let is_cut = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
        if is_cut { Err(Self::TooMany { what, limit }) } else { Ok(rows) }
    }

    /// The same about something that a request names, and not about what it is addressed to.
    pub(crate) fn dangling(self) -> Self {
        match self {
            Self::NotFound { subject, wanted } => Self::Dangling { subject, wanted },
            other => other,
        }
    }

    /// Turns the violation of a name's uniqueness into its own variant.
    pub(crate) fn on_insert(error: sqlx::Error, subject: &'static str, name: &str) -> Self {
        // SQLite says `UNIQUE constraint failed: keys.name`; PostgreSQL names the constraint, `keys_name_key`.
        let of_name = |database: &dyn sqlx::error::DatabaseError| {
            let constraint = database.constraint().is_some_and(|constraint| constraint.ends_with("_name_key"));
            database.is_unique_violation() && (constraint || database.message().ends_with(".name"))
        };
        let taken = error.as_database_error().is_some_and(of_name);
        if taken { Self::NameTaken { subject, name: name.to_owned() } } else { Self::Query(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_say_what_is_wrong() {
        for (code, fault) in [
            ("5", Some(Fault::Locked)),
            ("517", Some(Fault::Locked)),
            ("13", Some(Fault::Full)),
            ("778", Some(Fault::Disk)),
            ("1032", Some(Fault::Disk)),
            ("19", None),
            ("531", None),
            ("2067", None),
            ("53100", Some(Fault::Full)),
            ("53300", Some(Fault::Slow)),
            ("55P03", Some(Fault::Locked)),
            ("57P01", Some(Fault::Away)),
            ("57014", Some(Fault::Slow)),
            ("23505", None),
        ] {
            assert_eq!(Fault::of_code(code), fault, "{code}");
        }
    }

    #[test]
    fn a_sum_is_of_all_rows_or_of_none() {
        assert_eq!(Error::unless_cut(vec![1, 2], 3, "charges").unwrap(), [1, 2]);
        let cut = Error::unless_cut(vec![1, 2, 3], 3, "charges").unwrap_err();
        assert!(cut.to_string().starts_with("there are 3 rows of charges or more"), "{cut}");
    }
}
