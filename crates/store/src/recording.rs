//! Removal of recordings.

use crate::key;
use crate::local::{LocalStore, StoreError};

impl LocalStore {
    /// Removes all of a session of a breakout: its recording, its MP4 and what the packager noted of it. The index goes first, so that no
    /// player can begin; then the notes, so that no packager writes an index again; then the media. Whoever is interrupted calls
    /// again. The breakout must not be on air.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`] or [`StoreError::Io`]; what is left can be removed by another call.
    pub async fn delete_recording(&self, breakout: &str, session: u32) -> Result<(), StoreError> {
        self.delete(&key::recording_object(breakout, session, key::INDEX)).await?;
        // Without this one the rest of the notes means nothing.
        self.delete(&key::record_object(breakout, session, key::TIMELINE)).await?;
        self.delete_prefix(&key::record_prefix(breakout, session)).await?;
        self.delete_prefix(&key::recording_prefix(breakout, session)).await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn a_recording_goes_and_its_neighbours_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path(), 0).unwrap();
        for session in [1, 2, 11] {
            for name in [key::INDEX, key::MP4, "video.m3u8", "video/1.m4s"] {
                store.put(&key::recording_object("b", session, name), vec![Bytes::from("x")]).await.unwrap();
            }
            let note = key::record_object("b", session, key::TIMELINE);
            store.put(&note, vec![Bytes::from("x")]).await.unwrap();
        }
        std::fs::create_dir(store.file("bucket/recordings/b/1/video").unwrap().join(".part")).unwrap();
        for _ in 0..2 {
            store.delete_recording("b", 1).await.unwrap();
            assert!(!dir.path().join("bucket/recordings/b/1").exists() && !dir.path().join("record/b/1").exists());
            let left = store.list("bucket/", None, 100).await.unwrap();
            assert_eq!(left.len(), 8);
            assert!(left.iter().all(|(key, _)| !key.contains("/b/1/")));
            assert_eq!(store.list("record/b/", None, 100).await.unwrap().len(), 2);
        }
        assert!(matches!(store.delete_recording("../b", 2).await, Err(StoreError::InvalidKey { .. })));
    }
}
