//! Objects open for reading, here or elsewhere.

use std::path::PathBuf;

use tokio::io::AsyncReadExt as _;

use super::remote::RemoteObject;
use super::types::{BucketError, ObjectInfo};
use crate::StoreError;

/// An object open for reading.
#[derive(Debug)]
pub struct Opened {
    /// What it is.
    pub info: ObjectInfo,
    /// Its bytes, from the start. They stay those of `info` whatever happens to the key.
    pub content: Content,
}

/// The bytes of an object.
#[derive(Debug)]
pub enum Content {
    /// A file of this machine. For a range of it, seek.
    File(tokio::fs::File),
    /// Elsewhere.
    Remote(RemoteObject),
}

impl Opened {
    /// All bytes of a small object; of a larger one the first `most`.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn bytes(self, most: u64) -> Result<Vec<u8>, BucketError> {
        let wanted = self.info.size.min(most);
        let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
        match self.content {
            Content::File(file) => {
                file.take(wanted).read_to_end(&mut bytes).await.map_err(|source| StoreError::Io {
                    action: "read",
                    path: PathBuf::from(&self.info.key),
                    source,
                })?;
            }
            Content::Remote(object) => {
                let mut pieces = object.pieces(0, wanted).await?;
                while let Some(piece) = pieces.next().await {
                    bytes.extend_from_slice(&piece?);
                }
            }
        }
        Ok(bytes)
    }
}
