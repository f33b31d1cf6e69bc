//! Bringing a file to this binary's schema. Migrations go forward only; an applied one never changes.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqlitePool;

use crate::Error;

/// Number, title and text of each migration, oldest first.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "init", include_str!("../migrations/sqlite/0001_init.sql")),
    (2, "delivery", include_str!("../migrations/sqlite/0002_delivery.sql")),
    (3, "nodes", include_str!("../migrations/sqlite/0003_nodes.sql")),
    (5, "log", include_str!("../migrations/sqlite/0005_log.sql")),
];

pub(crate) async fn run(pool: &SqlitePool) -> Result<(), Error> {
    let migrations = MIGRATIONS
        .iter()
        .map(|&(version, title, sql)| {
            Migration::new(version, title.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    let known = MIGRATIONS.last().map_or(0, |migration| migration.0);
    Migrator::with_migrations(migrations).run(pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known => Error::Newer { found, known },
        other => Error::Migrate(other),
    })
}
