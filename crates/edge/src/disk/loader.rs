//! The threads that read objects back.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use rustix::io::Errno;
use tokio::sync::watch;

use super::claim::Claim;
use super::file::{Kind, Tail, Unreadable, body_crc, path};
use super::health::Failure;
use super::index::Entry;
use super::jobs::Read;
use super::queue::Popped;
use super::tier::Tier;
use crate::body::{FileBody, StoredBody};
use crate::object::Object;
use crate::object_codec::decode;
use crate::object_key::Key;

/// Joins the reading of a key or starts it, and waits for its end.
pub(super) async fn load(tier: &Tier, key: &[u8]) -> Option<Arc<Object>> {
    let mut answer = {
        let mut loads = tier.loads.lock();
        if let Some(answers) = loads.get(key) {
            answers.subscribe()
        } else {
            if !tier.index.contains(key) {
                return None;
            }
            let (answers, answer) = watch::channel(None);
            let answers = Arc::new(answers);
            // The reader takes the same lock to tell the end, so it cannot be faster than the entry.
            if !tier.reads.try_push(Read { key: key.into(), answers: answers.clone() }, 0) {
                return None;
            }
            loads.insert(key.into(), answers);
            answer
        }
    };
    answer.wait_for(Option::is_some).await.ok()?.clone().flatten()
}

/// Does jobs until the queue is closed and empty.
pub(super) fn run(tier: &Tier) {
    loop {
        match tier.reads.pop(None) {
            Popped::Job(Read { key, answers }) => {
                let object = promote(tier, &key);
                tier.loads.lock().remove(&key);
                answers.send_replace(Some(object));
            }
            Popped::Quiet => {}
            Popped::Closed => return,
        }
    }
}

/// Reads an object and puts it into memory, unless that has a newer one by then.
fn promote(tier: &Tier, key: &Key) -> Option<Arc<Object>> {
    let present = || tier.memory.peek(key).or_else(|| tier.opened.peek(key));
    if let Some(object) = present() {
        return Some(object);
    }
    let entry = tier.index.used(key)?;
    let read = read(tier, key, &entry);
    let _turn = tier.turn(key);
    if tier.index.peek(key).is_none_or(|now| now.serial != entry.serial) {
        return present();
    }
    match read {
        Ok(object) => {
            if let Some(object) = present() {
                return Some(object);
            }
            let object = Arc::new(object);
            match object.body {
                StoredBody::Memory(_) => tier.memory.insert(key.clone(), object.clone()),
                StoredBody::File(_) => tier.opened.insert(key.clone(), object.clone()),
            }
            tier.counters.loaded.increment(1);
            Some(object)
        }
        Err(Unreadable::Io(error)) if is_shortage(&error) => None,
        Err(error) => {
            tier.counters.unreadable.increment(1);
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let name = path(&tier.dir, entry.serial, Kind::Object);
            tracing::warn!(cache.file = %name.display(), %error, cause, "an object on disk is given up");
            if let Unreadable::Io(error) = error
                && !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
            {
                tier.health.fail(&Failure::Io("read a file", error));
            }
            tier.forget(key);
            None
        }
    }
}

/// Whether it says nothing of the file: the process or the system has no more files to open.
fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

fn read(tier: &Tier, key: &Key, entry: &Entry) -> Result<Object, Unreadable> {
    let file = open(tier, entry.serial)?;
    let mut tail = Tail::read(&file, Kind::Object)?;
    if tail.key != *key {
        return Err(Unreadable::Damaged("it is of another key"));
    }
    let newer = File::open(path(&tier.dir, entry.serial, Kind::Head)).map_err(Into::into);
    if let Ok(newer) = newer.and_then(|file| Tail::read(&file, Kind::Head))
        && (newer.body_length, newer.body_crc, &newer.key) == (tail.body_length, tail.body_crc, &tail.key)
    {
        tail = newer;
    }
    let head = decode(&tail.head).ok_or(Unreadable::Damaged("the head cannot be understood"))?;
    let length = tail.body_length;
    mark_used(&file);
    let body = if length <= tier.file_from_bytes {
        let mut bytes = BytesMut::zeroed(usize::try_from(length).unwrap_or(0));
        file.read_exact_at(&mut bytes, 0)?;
        check(crc32fast::hash(&bytes) == tail.body_crc)?;
        StoredBody::one(bytes.freeze())
    } else {
        if !entry.checked.load(Ordering::Relaxed) {
            check(body_crc(&file, length)? == tail.body_crc)?;
        }
        StoredBody::File(FileBody {
            start: 0,
            length,
            claim: Arc::new(Claim::kept(entry.serial, entry.bytes)),
            file: Arc::new(file),
        })
    };
    entry.checked.store(true, Ordering::Relaxed);
    Ok(Object::new(Arc::new(head), body))
}

fn check(right: bool) -> Result<(), Unreadable> {
    if right { Ok(()) } else { Err(Unreadable::Damaged("the checksum of the body is another")) }
}

/// A file that has just entered the index may not have its name yet, or get it while it is being looked for.
fn open(tier: &Tier, serial: u64) -> io::Result<File> {
    [Kind::Object, Kind::Part]
        .into_iter()
        .find_map(|kind| File::open(path(&tier.dir, serial, kind)).ok())
        .map_or_else(|| File::open(path(&tier.dir, serial, Kind::Object)), Ok)
}

/// The next start takes files in by the time of their last use. That it is known is worth no failure.
fn mark_used(file: &File) {
    let omitted = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = futimens(file, &Timestamps { last_access: omitted, last_modification: now });
}
