//! What objects are stored by.

/// Primary key, or that of a variant: distribution and path, and what the behavior's cache policy adds.
pub(crate) type Key = Box<[u8]>;
