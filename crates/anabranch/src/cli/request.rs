//! What most verbs come to: one request, and its answer printed.

use anyhow::Result;
use serde_json::{Value, json};

use super::address::path;
use super::client::Client;
use super::connection::{Connection, One};
use super::output;

/// Changes what `path` addresses.
pub(super) async fn patch(connection: &Connection, path: &str, body: Value) -> Result<()> {
    let answer = Client::new(connection)?.call(reqwest::Method::PATCH, path, Some(body), None).await?;
    output::object(connection, &answer)
}

/// Asks for something to be made or done.
pub(super) async fn post(connection: &Connection, path: &str, body: Value) -> Result<()> {
    let answer = Client::new(connection)?.post(path, body).await?;
    output::object(connection, &answer)
}

/// A table of all pages of a list.
pub(super) async fn list(connection: &Connection, path: &str, columns: output::Columns) -> Result<()> {
    let answer = Client::new(connection)?.list(path).await?;
    output::list(connection, &answer, columns)
}

/// One object of a kind, such as `assets`.
pub(super) async fn show(one: &One, noun: &str) -> Result<()> {
    let answer = Client::new(&one.connection)?.get(&path(&[noun, &one.id])).await?;
    output::object(&one.connection, &answer)
}

/// Asks an object of a kind to do something that needs no words, such as `cancel`.
pub(super) async fn act(one: &One, noun: &str, verb: &str) -> Result<()> {
    post(&one.connection, &path(&[noun, &one.id, verb]), json!({})).await
}

/// Deletes an object of a kind; there is no answer to print.
pub(super) async fn delete(one: &One, noun: &str) -> Result<()> {
    Client::new(&one.connection)?.delete(&path(&[noun, &one.id])).await
}

/// Gives the body a member, if there is a value for it.
pub(super) fn set(body: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (body.as_object_mut(), value) {
        object.insert(key.to_owned(), value);
    }
}

/// A member of an answer that is text; empty when it is none.
pub(super) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
