//! Why an upload does not go on.

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// There is none.
    #[error("no such upload: {0}; it was never begun, was ended, or has rested for too long")]
    NotFound(String),
    /// Another request writes to it.
    #[error("another request writes to the upload: {0}; go on when that one has ended")]
    Locked(String),
    /// The sender is somewhere else.
    #[error("the upload has {has} bytes, not {offset}; go on from there")]
    Offset { has: u64, offset: u64 },
    /// The size that is told is not the one that was told before, or less than what is there.
    #[error("the upload cannot have {told} bytes: {why}")]
    Size { told: u64, why: String },
    /// More came than was announced.
    #[error("an upload of at most {0} bytes was announced or is possible; nothing of this request is kept")]
    TooLong(u64),
    /// What came is not what was announced.
    #[error("the bytes do not have the checksum that was announced; send them again")]
    Checksum,
    /// The bytes stopped coming. What came is kept.
    #[error("the bytes stopped coming; go on from where the upload is")]
    Broken,
    /// The server is about to end. What came is kept.
    #[error("the server stops; go on from where the upload is when it is back")]
    Stopping,
}
