//! Which keys are in which groups.

use anabranch_model::{KeyGroupId, KeyId};

use crate::Error;
use crate::row::{self, id};
use crate::sql::{self, Conn};

/// Puts a key in groups, by their ids or names, where it is not there.
pub(crate) async fn join(conn: &mut Conn, key: &KeyId, groups: &[String]) -> Result<(), Error> {
    const GROUP: &str = "SELECT id FROM key_groups WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1";
    for wanted in groups {
        let found: Result<KeyGroupId, Error> = row::find(conn, GROUP, "key group", wanted, |row| id(row, "id")).await;
        add(conn, &found.map_err(Error::dangling)?, key).await?;
    }
    Ok(())
}

/// Puts keys in a group, by their ids or names, where they are not there.
pub(crate) async fn fill(conn: &mut Conn, group: &KeyGroupId, keys: &[String]) -> Result<(), Error> {
    const KEY: &str = "SELECT id FROM keys WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1";
    for wanted in keys {
        let found: Result<KeyId, Error> = row::find(conn, KEY, "key", wanted, |row| id(row, "id")).await;
        add(conn, group, &found.map_err(Error::dangling)?).await?;
    }
    Ok(())
}

async fn add(conn: &mut Conn, group: &KeyGroupId, key: &KeyId) -> Result<(), Error> {
    sql::query("INSERT INTO key_group_members (group_id, key_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(group.as_str())
        .bind(key.as_str())
        .execute(conn)
        .await?;
    Ok(())
}
