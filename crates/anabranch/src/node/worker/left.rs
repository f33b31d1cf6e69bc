//! Folders of unfinished work: `<asset>-<generation>`. They stay for the next try, which may be another worker's, so that somebody has to ask
//! for how long.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anabranch_model::{AssetId, LeftWork};

/// Name of the folder of work on an asset.
pub(super) fn name(asset: &AssetId, generation: u32) -> String {
    format!("{asset}-{generation}")
}

/// What there is. A folder that cannot be read now is read the next time.
pub(super) async fn all(work: &Path) -> Vec<LeftWork> {
    let work = work.to_owned();
    tokio::task::spawn_blocking(move || {
        let entries = fs::read_dir(&work).into_iter().flatten().flatten();
        entries.filter_map(|entry| parse(entry.file_name().to_str()?)).collect()
    })
    .await
    .unwrap_or_default()
}

/// Removes all of these.
pub(super) async fn remove(work: &Path, left: Vec<LeftWork>) -> io::Result<()> {
    let folders: Vec<PathBuf> = left.iter().map(|left| work.join(name(&left.asset, left.generation))).collect();
    let removing = move || {
        for folder in folders {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(removing).await.map_err(io::Error::other)?
}

fn parse(name: &str) -> Option<LeftWork> {
    let (asset, generation) = name.rsplit_once('-')?;
    Some(LeftWork { asset: asset.parse().ok()?, generation: generation.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folders_are_found_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let left = LeftWork { asset: AssetId::of(&[7; 32]), generation: 3 };
        let folder = dir.path().join(name(&left.asset, left.generation));
        fs::create_dir_all(folder.join("part")).unwrap();
        fs::create_dir_all(dir.path().join("lost+found")).unwrap();
        assert_eq!(all(dir.path()).await, std::slice::from_ref(&left));
        remove(dir.path(), vec![left.clone(), left]).await.unwrap();
        assert!(!folder.exists() && dir.path().join("lost+found").exists());
        assert!(all(&dir.path().join("nowhere")).await.is_empty());
    }
}
