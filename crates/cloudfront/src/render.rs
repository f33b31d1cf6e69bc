//! JSON in CloudFront's shape.

use serde_json::{Value, json};

/// A list; CloudFront leaves `Items` out of an empty one.
pub(crate) fn list<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
    let items: Vec<Value> = items.into_iter().map(Into::into).collect();
    if items.is_empty() { json!({ "Quantity": 0 }) } else { json!({ "Quantity": items.len(), "Items": items }) }
}

/// A list of words.
pub(crate) fn words<T: AsRef<str>>(items: &[T]) -> Value {
    list(items.iter().map(AsRef::as_ref))
}

/// Puts a field into an object.
pub(crate) fn put(object: &mut Value, name: &str, value: impl Into<Value>) {
    object[name] = value.into();
}
