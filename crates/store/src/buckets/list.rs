//! Listings: keys in the order of their bytes, page by page, in bounded memory.
//!
//! Names on disk are not in that order, and a folder may hold millions. So what is found waits in a heap by the smallest key that it can
//! lead to; the smallest is taken, and a folder that is taken is replaced by what is in it. The heap keeps the smallest only: what
//! does not fit is forgotten together with everything after it, and found again by another pass that begins there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::record;
use super::spelling::{self, BESIDE, Name};
use super::types::{ListQuery, Listing, MAX_PAGE, ObjectInfo};

/// Things that wait at once.
const MAX_WAITING: usize = 4 * MAX_PAGE;

/// Something that was found and leads to keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    /// The smallest key that it may lead to; all begin with it, unless it is a key itself.
    bound: String,
    kind: Kind,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// An object.
    File,
    /// A folder in which the object of the folder's own name may be; the bound has no slash yet.
    FolderItself,
    /// What is in a folder. The bound ends with a slash, or in the middle of a part that goes on in the folder.
    Inside,
}

/// Where a pass begins.
#[derive(Clone, Debug)]
enum From {
    /// After this key.
    After(String),
    /// With this key.
    At(String),
}

impl From {
    fn admits(&self, key: &str) -> bool {
        match self {
            Self::After(after) => key > after.as_str(),
            Self::At(at) => key >= at.as_str(),
        }
    }

    /// Whether a key that begins with `bound` may be admitted.
    fn admits_below(&self, bound: &str) -> bool {
        let (Self::After(text) | Self::At(text)) = self;
        bound >= text.as_str() || text.starts_with(bound)
    }
}

/// Whether an object is in the folder at any depth. The one that has the folder's own key is not in it.
pub(super) fn any(folder: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(false);
        }
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let Some(name) = name.to_str().and_then(spelling::read) else { continue };
        let is_object = kind.is_file() && matches!(name, Name::Part(_));
        let is_folder = kind.is_dir() && !matches!(name, Name::Beside);
        if is_object || is_folder && (entry.path().join(BESIDE).is_file() || any(&entry.path())?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A page of the bucket whose folder is `bucket`.
pub(super) fn list(bucket: &Path, query: &ListQuery) -> io::Result<Listing> {
    let mut walk = Walk {
        bucket,
        query,
        limit: query.limit.min(MAX_PAGE),
        from: query.after.clone().map_or_else(|| From::At(String::new()), From::After),
        rolled_up: query.after.clone().filter(|after| is_common_prefix(query, after)),
        waiting: BTreeSet::new(),
        forgotten: None,
        page: Listing::default(),
        last: None,
    };
    if walk.limit == 0 {
        return Ok(walk.page);
    }
    loop {
        walk.begin()?;
        if walk.pass()? {
            walk.page.next = walk.last;
            return Ok(walk.page);
        }
        let Some(bound) = walk.forgotten.take() else { return Ok(walk.page) };
        walk.from = From::At(bound);
    }
}

fn is_common_prefix(query: &ListQuery, text: &str) -> bool {
    common_prefix(query, text).is_some_and(|prefix| prefix == text)
}

/// What all keys that begin like `text` are told as, if they are told together.
fn common_prefix<'a>(query: &ListQuery, text: &'a str) -> Option<&'a str> {
    let rest = text.strip_prefix(query.prefix.as_str()).filter(|_| !query.delimiter.is_empty())?;
    let at = rest.find(query.delimiter.as_str())?;
    Some(&text[..query.prefix.len() + at + query.delimiter.len()])
}

struct Walk<'a> {
    bucket: &'a Path,
    query: &'a ListQuery,
    limit: usize,
    from: From,
    /// The common prefix whose keys are told already.
    rolled_up: Option<String>,
    waiting: BTreeSet<Waiting>,
    /// Where what did not fit begins.
    forgotten: Option<String>,
    page: Listing,
    /// The last that was told.
    last: Option<String>,
}

impl Walk<'_> {
    /// Begins in the deepest folder that has every key of the prefix.
    fn begin(&mut self) -> io::Result<()> {
        self.waiting.clear();
        let (mut path, mut bound) = (self.bucket.to_owned(), String::new());
        if let Some((folders, _)) = self.query.prefix.rsplit_once('/') {
            path.extend(spelling::spell(folders));
            bound = format!("{folders}/");
        }
        if path != self.bucket && !path.is_dir() {
            return Ok(());
        }
        self.add(Waiting { bound, kind: Kind::Inside, path });
        Ok(())
    }

    /// Goes through what waits; returns whether the page is full and more is there.
    fn pass(&mut self) -> io::Result<bool> {
        while let Some(next) = self.waiting.pop_first() {
            match next.kind {
                Kind::File => {
                    if self.tell(&next.bound, &next.path)? {
                        return Ok(true);
                    }
                }
                Kind::FolderItself => {
                    if fs::symlink_metadata(next.path.join(BESIDE)).is_ok_and(|meta| meta.is_file()) {
                        self.add(Waiting { bound: next.bound.clone(), kind: Kind::File, path: next.path.join(BESIDE) });
                    }
                    let bound = next.bound + "/";
                    self.add(Waiting { bound, kind: Kind::Inside, path: next.path });
                }
                Kind::Inside => {
                    if self.inside(&next)? {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// What is in a folder: told as one prefix, or found out. Returns as [`Walk::pass`].
    fn inside(&mut self, folder: &Waiting) -> io::Result<bool> {
        let Some(prefix) = common_prefix(self.query, &folder.bound).map(str::to_owned) else {
            self.scan(folder)?;
            return Ok(false);
        };
        // A key after which the page begins may be the last of them.
        let whole = self.from.admits(&prefix);
        if self.told_already(&prefix) {
            return Ok(false);
        }
        if !whole || folder.bound != prefix {
            self.scan(folder)?;
            return Ok(false);
        }
        if any(&folder.path)? { self.tell_prefix(prefix) } else { Ok(false) }
    }

    fn scan(&mut self, folder: &Waiting) -> io::Result<()> {
        let entries = match fs::read_dir(&folder.path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let Some(name) = name.to_str().and_then(spelling::read) else { continue };
            let (text, kind) = match name {
                Name::Part(part) if kind.is_file() => (part, Kind::File),
                Name::Part(part) if kind.is_dir() => (part, Kind::FolderItself),
                Name::Piece(piece) if kind.is_dir() => (piece, Kind::Inside),
                _ => continue,
            };
            self.add(Waiting { bound: format!("{}{text}", folder.bound), kind, path: entry.path() });
        }
        Ok(())
    }

    /// Lets something wait, if it leads to keys that are wanted.
    fn add(&mut self, new: Waiting) {
        let prefix = self.query.prefix.as_str();
        let wanted = match new.kind {
            Kind::File => new.bound.starts_with(prefix) && self.from.admits(&new.bound),
            // The folder may have `x/` in it, which is after whatever `x` is not after.
            Kind::FolderItself | Kind::Inside => {
                (new.bound.starts_with(prefix) || prefix.starts_with(&new.bound)) && self.from.admits_below(&new.bound)
            }
        };
        let told = self.rolled_up.as_ref().is_some_and(|told| new.bound.starts_with(told));
        let forgotten = self.forgotten.as_ref().is_some_and(|bound| new.bound >= *bound);
        if !wanted || told || forgotten {
            return;
        }
        self.waiting.insert(new);
        if self.waiting.len() > MAX_WAITING
            && let Some(last) = self.waiting.pop_last()
        {
            // What else has this bound goes as well, or the next pass would tell it twice.
            while self.waiting.last().is_some_and(|other| other.bound == last.bound) {
                self.waiting.pop_last();
            }
            self.forgotten = Some(last.bound);
        }
    }

    fn told_already(&self, text: &str) -> bool {
        self.rolled_up.as_ref().is_some_and(|told| text.starts_with(told))
    }

    /// Tells an object. Returns as [`Walk::pass`].
    fn tell(&mut self, key: &str, path: &Path) -> io::Result<bool> {
        if let Some(prefix) = common_prefix(self.query, key) {
            return if self.told_already(prefix) { Ok(false) } else { self.tell_prefix(prefix.to_owned()) };
        }
        let spelled = self.bucket.join(spelling::spell(key).iter().collect::<PathBuf>());
        if path != spelled && path != spelled.join(BESIDE) {
            return Ok(false);
        }
        if self.is_full() {
            return Ok(true);
        }
        match fs::metadata(path) {
            Ok(meta) => {
                let record = record::find(path, &record::version(&meta));
                let info = record::tell(key, &meta, record);
                self.page.objects.push(ObjectInfo {
                    attributes: Default::default(),
                    checksums: Default::default(),
                    ..info
                });
                self.last = Some(key.to_owned());
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn tell_prefix(&mut self, prefix: String) -> io::Result<bool> {
        if self.is_full() {
            return Ok(true);
        }
        self.page.prefixes.push(prefix.clone());
        self.last = Some(prefix.clone());
        self.waiting.retain(|waiting| !waiting.bound.starts_with(&prefix));
        self.rolled_up = Some(prefix);
        Ok(false)
    }

    fn is_full(&self) -> bool {
        self.page.objects.len() + self.page.prefixes.len() >= self.limit
    }
}
