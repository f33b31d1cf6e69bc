//! The store room: objects by key on local disk, and of buckets also at S3-compatible services.
//!
//! In: object keys and bytes; of buckets also any key that S3 allows, with attributes ([`buckets`]); files piece by piece ([`drafts`]).
//! Out: objects, durable when `put` returns; listings; a hint of what changed in buckets.
//! Never: what the bytes mean, and who may see them. This is the one speller of object keys: [`key`].
//! Spec: `docs/adr/0020`, `docs/adr/0031`.

pub mod buckets;
pub mod drafts;
mod files;
pub mod key;
mod local;
mod recording;
mod tree;

pub use buckets::Buckets;
pub use local::{LocalStore, Object, StoreError};
