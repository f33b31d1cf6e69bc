//! Folders of objects: listed and removed without following a link.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::absent_is_fine;
use crate::key;

/// Removes up to `most` files at and below `path`, folders that are empty then as well; returns whether nothing is left.
pub(crate) fn remove(path: &Path, most: usize) -> io::Result<bool> {
    let is_folder = match fs::symlink_metadata(path) {
        Ok(meta) => meta.is_dir(),
        Err(error) => return absent_is_fine(Err(error)).map(|()| true),
    };
    let mut left = most;
    if is_folder {
        return remove_folder(path, &mut left);
    }
    absent_is_fine(fs::remove_file(path)).map(|()| true)
}

fn remove_folder(folder: &Path, left: &mut usize) -> io::Result<bool> {
    for entry in entries(folder)? {
        let entry = entry?;
        let path = entry.path();
        // The type is the entry's own: a link to a folder is no folder.
        if entry.file_type()?.is_dir() {
            if !remove_folder(&path, left)? {
                return Ok(false);
            }
            continue;
        }
        if *left == 0 {
            return Ok(false);
        }
        *left -= 1;
        absent_is_fine(fs::remove_file(&path))?;
    }
    match fs::remove_dir(folder) {
        // Something was put there meanwhile.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        other => absent_is_fine(other).map(|()| true),
    }
}

/// Keys and sizes of files at and below `folder` of the store at `root`, after the key `after`, in order, at most `limit`.
pub(crate) fn list(root: &Path, folder: &Path, after: Option<&str>, limit: usize) -> io::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    collect(root, folder, after, limit, &mut found)?;
    Ok(found)
}

fn collect(
    root: &Path,
    folder: &Path,
    after: Option<&str>,
    limit: usize,
    found: &mut Vec<(String, u64)>,
) -> io::Result<()> {
    let mut names: Vec<(String, PathBuf, bool)> = Vec::new();
    for entry in entries(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let Some(key) = path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned) else { continue };
        if (kind.is_dir() || kind.is_file()) && key::is_valid(&key) {
            // A folder stands where its keys do.
            let order = if kind.is_dir() { format!("{key}/") } else { key };
            names.push((order, path, kind.is_dir()));
        }
    }
    names.sort();
    for (key, path, is_folder) in names {
        if found.len() >= limit {
            return Ok(());
        }
        if is_folder {
            // Every key in it comes before `after`, unless `after` is one of them.
            if after.is_none_or(|after| *key > *after || after.starts_with(&key)) {
                collect(root, &path, after, limit, found)?;
            }
        } else if after.is_none_or(|after| *key > *after) {
            match fs::metadata(&path) {
                Ok(meta) => found.push((key, meta.len())),
                Err(error) => absent_is_fine(Err(error))?,
            }
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Box<dyn Iterator<Item = io::Result<fs::DirEntry>>>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(Box::new(entries)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Box::new(std::iter::empty()))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(root: &Path, count: usize) {
        for at in 0..count {
            let folder = root.join(format!("a/{}", at % 3));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{at:03}")), vec![0; at]).unwrap();
        }
    }

    #[test]
    fn a_tree_goes_in_batches_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 30);
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), b"1").unwrap();
        std::os::unix::fs::symlink(&outside, dir.path().join("a/0/link")).unwrap();
        let folder = dir.path().join("a");
        let mut batches = 1;
        while !remove(&folder, 7).unwrap() {
            batches += 1;
        }
        assert_eq!(batches, 5);
        assert!(!folder.exists() && outside.join("kept").is_file());
        // The prefix itself may be a link, too.
        std::os::unix::fs::symlink(&outside, &folder).unwrap();
        assert!(remove(&folder, 7).unwrap());
        assert!(fs::symlink_metadata(&folder).is_err() && outside.join("kept").is_file());
        assert!(remove(&folder, 7).unwrap(), "what is not there is gone");
    }

    #[test]
    fn pages_of_a_list_are_the_list() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 20);
        fs::write(dir.path().join("a/0-x"), b"12").unwrap();
        fs::write(dir.path().join("a/.hidden"), b"12").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/loop")).unwrap();
        let folder = dir.path().join("a");
        let whole = list(dir.path(), &folder, None, usize::MAX).unwrap();
        assert_eq!(whole.len(), 21);
        assert!(whole.is_sorted_by(|a, b| a.0 < b.0));
        assert!(whole.contains(&("a/0-x".to_owned(), 2)) && whole.contains(&("a/1/004".to_owned(), 4)));
        for limit in 1..8 {
            let (mut pages, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = list(dir.path(), &folder, after.as_deref(), limit).unwrap();
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                pages.extend(page);
            }
            assert_eq!(pages, whole, "{limit}");
        }
        assert!(list(dir.path(), &dir.path().join("none"), None, 9).unwrap().is_empty());
    }
}
