//! Bringing a database to this binary's schema. Migrations go forward only; an applied one never changes.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;

use crate::Error;

/// A step of the schema.
struct Step {
    version: i64,
    title: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// Number, title and the text for each engine, oldest first.
macro_rules! steps {
    ($($version:literal $title:literal $file:literal),+ $(,)?) => {
        &[$(Step {
            version: $version,
            title: $title,
            sqlite: include_str!(concat!("../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../migrations/postgres/", $file)),
        }),+]
    };
}

/// One step of the schema in both engines each, so that neither can have one that the other lacks.
const STEPS: &[Step] = steps![
    1 "init" "0001_init.sql",
    2 "delivery" "0002_delivery.sql",
    3 "nodes" "0003_nodes.sql",
    4 "provider" "0004_provider.sql",
    5 "log" "0005_log.sql",
    6 "sessions" "0006_sessions.sql",
    7 "size" "0007_size.sql",
    8 "assets" "0008_assets.sql",
    9 "standing" "0009_standing.sql",
    10 "clusters" "0010_clusters.sql",
    11 "captions" "0011_captions.sql",
    12 "streams" "0012_streams.sql",
    13 "people" "0013_people.sql",
    14 "usage" "0014_usage.sql",
    16 "viewer" "0016_viewer.sql",
    17 "requests" "0017_requests.sql",
    18 "since" "0018_since.sql",
    20 "stays" "0020_stays.sql",
];

/// Version of the newest schema that this binary knows.
pub(crate) fn newest() -> i64 {
    STEPS.last().map_or(0, |step| step.version)
}

pub(crate) async fn sqlite(pool: &SqlitePool) -> Result<(), Error> {
    migrator(|step| step.sqlite).run(pool).await.map_err(fault)
}

/// Two processes that start at once wait for each other: the migrator holds a lock of the database.
pub(crate) async fn postgres(pool: &PgPool) -> Result<(), Error> {
    migrator(|step| step.postgres).run(pool).await.map_err(fault)
}

fn migrator(text: fn(&Step) -> &'static str) -> Migrator {
    let migration = |step: &Step| {
        Migration::new(step.version, step.title.into(), MigrationType::Simple, text(step).into_sql_str(), false)
    };
    Migrator::with_migrations(STEPS.iter().map(migration).collect())
}

fn fault(error: MigrateError) -> Error {
    let known = newest();
    match error {
        MigrateError::VersionMissing(found) if found > known => Error::Newer { found, known },
        other => Error::Migrate(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_step() {
        for engine in ["sqlite", "postgres"] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let steps: Vec<String> =
                STEPS.iter().map(|step| format!("{:04}_{}.sql", step.version, step.title)).collect();
            assert_eq!(files, steps, "{engine}");
        }
    }
}
