//! The store room: objects by key on local disk.
//!
//! In: object keys and bytes.
//! Out: objects, durable when `put` returns.
//! Never: what the bytes mean. This is the one speller of object keys: [`key`].

pub mod key;
mod local;
mod recording;
mod tree;

pub use local::{LocalStore, Object, StoreError};
