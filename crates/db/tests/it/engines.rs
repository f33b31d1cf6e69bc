//! What the two engines have in common, and what each has of its own.

use std::collections::BTreeSet;

use anabranch_db::{Db, Error};
use anabranch_testkit::Database;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Row as _};

use crate::channel;
use crate::scratch::{Engine, Rows as _, Scratch, open_on};

/// Table, column, type in PostgreSQL's words, whether NULL is refused, default.
const SQLITE_COLUMNS: &str = "
    SELECT t.name || ' ' || c.name || ' ' ||
           CASE c.type WHEN 'TEXT' THEN 'text' WHEN 'INTEGER' THEN 'bigint' WHEN 'BLOB' THEN 'bytea' ELSE c.type END ||
           CASE c.\"notnull\" WHEN 1 THEN ' not null' ELSE '' END || COALESCE(' default ' || c.dflt_value, '') AS fact
    FROM sqlite_master t JOIN pragma_table_info(t.name) c
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\'";

const POSTGRES_COLUMNS: &str = "
    SELECT table_name || ' ' || column_name || ' ' || data_type ||
           CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END ||
           COALESCE(' default ' || replace(column_default, '::text', ''), '') AS fact
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'";

/// Table, column, what it refers to, what happens when that goes.
const SQLITE_REFERENCES: &str = "
    SELECT t.name || ' ' || f.\"from\" || ' ' || f.\"table\" || ' ' || f.\"to\" || ' ' || f.on_delete AS fact
    FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'";

const POSTGRES_REFERENCES: &str = "
    SELECT k.conrelid::regclass || ' ' || a.attname || ' ' || k.confrelid::regclass || ' ' || b.attname || ' ' ||
           CASE k.confdeltype WHEN 'a' THEN 'NO ACTION' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL'
                              WHEN 'r' THEN 'RESTRICT' ELSE k.confdeltype::text END AS fact
    FROM pg_constraint k
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
    JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[1]
    WHERE k.contype = 'f'";

/// Table, columns of an index, whether it is unique and whether it is of some rows only.
const SQLITE_INDEXES: &str = "
    SELECT t.name || ' (' || (SELECT group_concat(i.name, ' ') FROM pragma_index_info(x.name) i) || ')' ||
           CASE x.\"unique\" WHEN 1 THEN ' unique' ELSE '' END || CASE x.partial WHEN 1 THEN ' partial' ELSE '' END AS fact
    FROM sqlite_master t JOIN pragma_index_list(t.name) x
    WHERE t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\'";

const POSTGRES_INDEXES: &str = "
    SELECT x.indrelid::regclass || ' (' ||
           (SELECT string_agg(a.attname, ' ' ORDER BY k.place)
            FROM unnest(x.indkey) WITH ORDINALITY AS k (column_number, place)
            JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.column_number) || ')' ||
           CASE WHEN x.indisunique THEN ' unique' ELSE '' END || CASE WHEN x.indpred IS NULL THEN '' ELSE ' partial' END AS fact
    FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE '\\_sqlx%'";

fn postgres() -> Option<Scratch> {
    Database::create().map(Scratch::Server)
}

async fn facts(scratch: &Scratch, sqlite: &'static str, postgres: &'static str) -> BTreeSet<String> {
    match scratch {
        Scratch::File(dir) => {
            let options = SqliteConnectOptions::new().filename(dir.path().join("db.sqlite"));
            let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
            let rows = sqlx::query(sqlite).fetch_all(&mut conn).await.unwrap();
            rows.iter().map(|row| row.get("fact")).collect()
        }
        Scratch::Server(database) => {
            let mut conn = PgConnection::connect(&database.url()).await.unwrap();
            let rows = sqlx::query(postgres).fetch_all(&mut conn).await.unwrap();
            rows.iter().map(|row| row.get("fact")).collect()
        }
    }
}

#[tokio::test]
async fn both_engines_have_the_same_schema() {
    let Some(server) = postgres() else { return };
    let file = Scratch::new(Engine::Sqlite);
    for scratch in [&server, &file] {
        scratch.open().await.unwrap().close().await;
    }
    for (what, sqlite, postgres) in [
        ("columns", SQLITE_COLUMNS, POSTGRES_COLUMNS),
        ("references", SQLITE_REFERENCES, POSTGRES_REFERENCES),
        ("indexes", SQLITE_INDEXES, POSTGRES_INDEXES),
    ] {
        let (ours, theirs) = (facts(&file, sqlite, postgres).await, facts(&server, sqlite, postgres).await);
        assert!(!ours.is_empty(), "{what}");
        let only_file: Vec<_> = ours.difference(&theirs).collect();
        let only_server: Vec<_> = theirs.difference(&ours).collect();
        assert!(
            only_file.is_empty() && only_server.is_empty(),
            "{what} only in SQLite: {only_file:#?}; only in PostgreSQL: {only_server:#?}"
        );
    }
    // Lists and cursors are in the order of bytes, as in SQLite.
    let unordered = "SELECT table_name || ' ' || column_name AS fact FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%' AND data_type = 'text'
          AND collation_name IS DISTINCT FROM 'C'";
    assert_eq!(facts(&server, "", unordered).await, BTreeSet::new(), "columns without COLLATE \"C\"");
}

#[tokio::test]
async fn a_file_is_in_wal_mode() {
    let (scratch, _db, _) = open_on(Engine::Sqlite).await;
    let mode = facts(&scratch, "SELECT journal_mode AS fact FROM pragma_journal_mode", "").await;
    assert_eq!(mode, BTreeSet::from(["wal".to_owned()]));
}

#[tokio::test]
async fn a_connection_that_was_cut_is_made_again() {
    let Some(scratch) = postgres() else { return };
    let db = scratch.open().await.unwrap();
    let group = db.key_group_ensure("default", 1).await.unwrap().id;
    let Scratch::Server(database) = &scratch else { unreachable!("a server") };
    for round in 0..3 {
        database.cut();
        db.probe().await.unwrap();
        db.channel_create(&channel(&format!("c{round}"), &group), 1).await.unwrap();
    }
    assert_eq!(db.operations_due(1).await.unwrap().len(), 3);
}

#[tokio::test]
async fn connections_are_encrypted_as_the_url_says() {
    let Some(Scratch::Server(database)) = postgres() else { return };
    let with = |mode: &str| database.url().replace("disable", mode);
    let db = Db::open_url(&with("require")).await.unwrap();
    let mut conn = PgConnection::connect(&with("disable")).await.unwrap();
    let plain: i64 = sqlx::query(
        "SELECT COUNT(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
         WHERE a.datname = current_database() AND a.application_name = 'anabranch' AND NOT s.ssl",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap()
    .get(0);
    assert_eq!(plain, 0);
    db.close().await;
    // Nobody that we know has signed the scratch server's certificate.
    let error = Db::open_url(&with("verify-full")).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    Db::open_url(&with("disable")).await.unwrap().close().await;
}

#[tokio::test]
async fn no_message_shows_the_password() {
    let text = |error: &Error| format!("{error} {error:?}");
    let url = "postgres://someone:opensesame@127.0.0.1:1/nothing";
    let error = Db::open_url(url).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { place, .. } if place == "postgres://someone@127.0.0.1:1/nothing"));
    assert!(!text(&error).contains("opensesame"), "{error:?}");
    for wrong in ["mysql://someone:opensesame@host/x", "postgres://someone:opensesame@host:port/x"] {
        let error = Db::open_url(wrong).await.unwrap_err();
        assert!(matches!(error, Error::Scheme | Error::Url(_)));
        assert!(!text(&error).contains("opensesame"), "{error:?}");
    }
    let Some(Scratch::Server(database)) = postgres() else { return };
    let db = Db::open_url(&database.url()).await.unwrap();
    let password = database.url().split(['@', ':']).nth(2).unwrap().to_owned();
    assert!(password.len() == 32 && !format!("{db:?}").contains(&password));
    let wrong = database.url().replace(&password, "opensesame");
    let error = Db::open_url(&wrong).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && !text(&error).contains("opensesame"), "{error:?}");
}
