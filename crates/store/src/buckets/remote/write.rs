//! Writing: small objects by one request, others in parts, which are an object only when all have come.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Method};
use md5::{Digest as _, Md5};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Remote;
use super::read::add;
use super::wire::{Answer, Ask, Fault, content_md5};
use super::xml;
use crate::buckets::hex::hex;
use crate::buckets::types::{Attributes, BucketError, Condition, Inspector, ObjectInfo, Put, interrupted};
use crate::buckets::writer::Step;

/// Size up to which an object is written by one request, and of the first parts of others.
const PART_BYTES: u64 = 8 * 1024 * 1024;

/// Largest part. Memory holds one more than are under way.
const MAX_PART_BYTES: u64 = 64 * 1024 * 1024;

/// Parts that S3 takes of one object.
const MAX_PARTS: u64 = 10_000;

/// Largest object that is written, in bytes: 625 GiB.
const MAX_BYTES: u64 = MAX_PART_BYTES * MAX_PARTS;

/// Parts after which parts grow where nobody says how long the object is.
const GROW_AFTER: u64 = 1_000;

/// Bytes of parts that are under way at once.
const UNDER_WAY_BYTES: u64 = 3 * PART_BYTES;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// What is written, as it comes.
pub(in crate::buckets) struct Receiving {
    remote: Arc<Remote>,
    key: String,
    attributes: Attributes,
    condition: Condition,
    size: Option<u64>,
    md5: Option<[u8; 16]>,
    /// Behind a lock, since others only see it while it is not shared.
    inspector: Mutex<Option<Box<dyn Inspector>>>,
    buffer: BytesMut,
    got: u64,
    digest: Md5,
    parts: Option<Parts>,
}

/// An upload in parts.
struct Parts {
    id: String,
    next: u32,
    sending: JoinSet<Result<(u32, String), BucketError>>,
    sent: BTreeMap<u32, String>,
}

impl Receiving {
    pub(in crate::buckets) fn new(remote: Arc<Remote>, key: &str, put: Put) -> Result<Self, BucketError> {
        let Put { attributes, condition, size, md5, inspector } = put;
        let receiving = Self {
            remote,
            key: key.to_owned(),
            attributes,
            condition,
            size,
            md5,
            inspector: Mutex::new(inspector),
            buffer: BytesMut::new(),
            got: 0,
            digest: Md5::new(),
            parts: None,
        };
        receiving.check_size(size.unwrap_or(0))?;
        // What cannot be sent is told before any byte is taken.
        add(&receiving.attributes, &mut Ask::of(Method::PUT, key))?;
        Ok(receiving)
    }

    /// Takes all that comes; nothing is left of what does not become an object.
    pub(in crate::buckets) async fn run(mut self, mut queue: mpsc::Receiver<Step>) -> Result<ObjectInfo, BucketError> {
        let written = self.receive(&mut queue).await;
        if written.is_err()
            && let Some(mut parts) = self.parts.take()
        {
            parts.sending.shutdown().await;
            let mut ask = Ask::of(Method::DELETE, &self.key);
            ask.query = vec![("uploadId", parts.id.as_str())];
            // A service that is away keeps the parts until its own rule removes them.
            if self.remote.call(&ask).await.is_err() {
                tracing::warn!(
                    bucket = self.remote.name,
                    upload = parts.id,
                    "parts of an upload are left at the service"
                );
            }
        }
        written
    }

    async fn receive(&mut self, queue: &mut mpsc::Receiver<Step>) -> Result<ObjectInfo, BucketError> {
        loop {
            match queue.recv().await {
                Some(Step::Bytes(bytes)) => self.take(&bytes).await?,
                Some(Step::End) => return self.finish().await,
                None => return Err(interrupted("the writer was dropped")),
            }
        }
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), BucketError> {
        self.got += bytes.len() as u64;
        let got = self.got;
        if let Some(announced) = self.size.filter(|size| got > *size) {
            return Err(BucketError::Length { announced, got });
        }
        self.check_size(got)?;
        self.digest.update(bytes);
        if let Some(inspector) = self.inspector.get_mut() {
            inspector.update(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        loop {
            let number = self.parts.as_ref().map_or(1, |parts| u64::from(parts.next));
            let wanted = part_bytes(self.size, number);
            // One that is whole by this is written by one request.
            if (self.buffer.len() as u64) <= wanted {
                return Ok(());
            }
            let part = self.buffer.split_to(usize::try_from(wanted).unwrap_or(usize::MAX)).freeze();
            self.send(part).await?;
        }
    }

    fn check_size(&self, bytes: u64) -> Result<(), BucketError> {
        if bytes > MAX_BYTES {
            let what = format!("an object of more than {MAX_BYTES} bytes, from here to a remote bucket");
            return Err(BucketError::Unsendable { what });
        }
        Ok(())
    }

    async fn send(&mut self, part: Bytes) -> Result<(), BucketError> {
        if self.parts.is_none() {
            let id = self.begin().await?;
            self.parts = Some(Parts { id, next: 1, sending: JoinSet::new(), sent: BTreeMap::new() });
        }
        let parts = self.parts.as_mut().expect("it was made above");
        if u64::from(parts.next) > MAX_PARTS {
            let what = format!("an object of more than {MAX_PARTS} parts whose size nobody said; say it before");
            return Err(BucketError::Unsendable { what });
        }
        let most = (UNDER_WAY_BYTES / (part.len() as u64).max(1)).max(1);
        while parts.sending.len() as u64 >= most {
            parts.join().await?;
        }
        let (remote, key, id, number) = (self.remote.clone(), self.key.clone(), parts.id.clone(), parts.next);
        parts.next += 1;
        parts.sending.spawn(async move {
            let number_text = number.to_string();
            let mut ask = Ask::of(Method::PUT, &key);
            ask.query = vec![("partNumber", number_text.as_str()), ("uploadId", id.as_str())];
            ask.header(CONTENT_MD5, &content_md5(&part))?;
            ask.body = part;
            let answer = remote.call(&ask).await.map_err(|fault| remote.plain_upload(fault, &id))?;
            let etag = answer.etag().ok_or_else(|| remote.no_etag())?;
            Ok((number, etag))
        });
        Ok(())
    }

    async fn begin(&self) -> Result<String, BucketError> {
        let mut ask = Ask::of(Method::POST, &self.key);
        ask.query = vec![("uploads", "")];
        add(&self.attributes, &mut ask)?;
        let answer = self.remote.call(&ask).await.map_err(|fault| self.remote.plain(fault, &self.key))?;
        let text = answer.text(&self.remote).await?;
        let id = xml::value(&text, "UploadId").ok().flatten().filter(|id| !id.is_empty());
        id.ok_or_else(|| self.remote.refused("the service does not name the upload that it has begun".to_owned()))
    }

    /// Checks all that came, and makes it the object.
    async fn finish(&mut self) -> Result<ObjectInfo, BucketError> {
        let got = self.got;
        if let Some(announced) = self.size.filter(|size| got != *size) {
            return Err(BucketError::Length { announced, got });
        }
        let md5: [u8; 16] = std::mem::take(&mut self.digest).finalize().into();
        if self.md5.is_some_and(|wanted| wanted != md5) {
            return Err(BucketError::Digest { digest: "content-md5" });
        }
        let checksums = self.inspector.get_mut().take().map_or_else(|| Ok(BTreeMap::new()), Inspector::finish)?;
        // S3 knows no `If-Match: *`.
        if self.condition == Condition::Present {
            match self.remote.head(&self.key).await {
                Err(BucketError::NoSuchKey { .. }) => return Err(BucketError::Precondition { condition: "if-match" }),
                other => drop(other?),
            }
        }
        let rest = self.buffer.split().freeze();
        let etag = if self.parts.is_none() {
            self.put_whole(rest, &hex(&md5)).await?
        } else {
            self.send(rest).await?;
            self.complete().await?
        };
        let (key, attributes) = (self.key.clone(), self.attributes.clone());
        Ok(ObjectInfo { key, size: got, etag, modified: (self.remote.now)(), attributes, checksums })
    }

    async fn put_whole(&self, body: Bytes, md5: &str) -> Result<String, BucketError> {
        let mut ask = Ask::of(Method::PUT, &self.key);
        add(&self.attributes, &mut ask)?;
        conditions(&self.condition, &mut ask)?;
        ask.header(CONTENT_MD5, &content_md5(&body))?;
        ask.body = body;
        match self.remote.call(&ask).await {
            Ok(answer) => answer.etag().ok_or_else(|| self.remote.no_etag()),
            Err(fault) => self.unheard(fault, md5).await,
        }
    }

    async fn complete(&mut self) -> Result<String, BucketError> {
        let parts = self.parts.as_mut().expect("parts were sent");
        while !parts.sending.is_empty() {
            parts.join().await?;
        }
        let mut body = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        for (number, etag) in &parts.sent {
            let etag = xml::escape(etag);
            body.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag></Part>"));
        }
        body.push_str("</CompleteMultipartUpload>");
        let expected = whole_etag(&parts.sent);
        let (id, gone) = (parts.id.clone(), parts.id.clone());
        let mut ask = Ask::of(Method::POST, &self.key);
        ask.query = vec![("uploadId", id.as_str())];
        conditions(&self.condition, &mut ask)?;
        ask.body = Bytes::from(body);
        match self.remote.call(&ask).await {
            Ok(answer) => {
                let text = answer.text(&self.remote).await?;
                let etag = xml::value(&text, "ETag").ok().flatten().map(|etag| etag.trim_matches('"').to_owned());
                Ok(etag.filter(|etag| !etag.is_empty()).unwrap_or(expected))
            }
            // An answer may have been lost: then the upload is gone, and the object is there.
            Err(Fault::Missing) => {
                self.unheard(Fault::Precondition { repeated: true }, &expected).await.map_err(|error| match error {
                    BucketError::Precondition { .. } | BucketError::NoSuchKey { .. } => {
                        BucketError::NoSuchUpload { id: gone }
                    }
                    other => other,
                })
            }
            Err(fault) => self.unheard(fault, &expected).await,
        }
    }

    /// A request that was done before its answer was lost is refused when it is repeated; the object then says that it was done.
    async fn unheard(&self, fault: Fault, etag: &str) -> Result<String, BucketError> {
        let condition = if self.condition == Condition::Absent { "if-none-match" } else { "if-match" };
        match fault {
            Fault::Precondition { repeated: true } if self.remote.head(&self.key).await?.etag == etag => {
                Ok(etag.to_owned())
            }
            Fault::Precondition { .. } => Err(BucketError::Precondition { condition }),
            Fault::Missing if condition == "if-match" => Err(BucketError::Precondition { condition }),
            other => Err(self.remote.plain(other, &self.key)),
        }
    }
}

impl Parts {
    async fn join(&mut self) -> Result<(), BucketError> {
        if let Some(sent) = self.sending.join_next().await {
            let (number, etag) = sent.map_err(interrupted)??;
            self.sent.insert(number, etag);
        }
        Ok(())
    }
}

impl Remote {
    fn no_etag(&self) -> BucketError {
        self.refused("the service does not name the version that it has stored".to_owned())
    }

    fn plain_upload(&self, fault: Fault, id: &str) -> BucketError {
        match fault {
            Fault::Missing => BucketError::NoSuchUpload { id: id.to_owned() },
            other => self.plain(other, ""),
        }
    }

    /// Removes an object. The service does not say whether there was one.
    pub(in crate::buckets) async fn delete(&self, key: &str) -> Result<(), BucketError> {
        match self.call(&Ask::of(Method::DELETE, key)).await {
            Ok(_) | Err(Fault::Missing) => Ok(()),
            Err(fault) => Err(self.plain(fault, key)),
        }
    }

    /// Removes up to a thousand objects by one request.
    pub(in crate::buckets) async fn delete_many(&self, keys: &[String]) -> Result<(), BucketError> {
        let prefix = &self.place.prefix;
        let object = |key: &String| format!("<Object><Key>{}</Key></Object>", xml::escape(&format!("{prefix}{key}")));
        let objects: String = keys.iter().map(object).collect();
        let body =
            format!("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>{objects}</Delete>");
        let mut ask = Ask {
            method: Method::POST,
            key: None,
            query: vec![("delete", "")],
            headers: HeaderMap::new(),
            body: Bytes::from(body),
        };
        ask.header(CONTENT_MD5, &content_md5(&ask.body.clone()))?;
        let answer = self.call(&ask).await.map_err(|fault| self.plain(fault, ""))?;
        let text = answer.text(self).await?;
        let left = xml::not_removed(&text).map_err(|error| self.refused(error.to_string()))?;
        match left.into_iter().find(|(_, code, _)| code != "NoSuchKey") {
            Some((key, code, message)) => Err(self.refused(format!("{key} is not removed: {code}: {message}"))),
            None => Ok(()),
        }
    }

    /// Copies within the service.
    pub(in crate::buckets) async fn copy_here(
        &self,
        from: (&Self, &str),
        to: &str,
        attributes: Option<&Attributes>,
        condition: &Condition,
    ) -> Result<(), BucketError> {
        let mut ask = Ask::of(Method::PUT, to);
        let (bucket, prefix) = (&from.0.place.bucket, &from.0.place.prefix);
        let source = super::sign::escape(&format!("/{bucket}/{prefix}{}", from.1));
        ask.header(HeaderName::from_static("x-amz-copy-source"), &source)?;
        if let Some(attributes) = attributes {
            ask.header(HeaderName::from_static("x-amz-metadata-directive"), "REPLACE")?;
            add(attributes, &mut ask)?;
        }
        conditions(condition, &mut ask)?;
        let answer: Answer = self.call(&ask).await.map_err(|fault| from.0.plain(fault, from.1))?;
        answer.text(self).await.map(drop)
    }
}

fn conditions(condition: &Condition, ask: &mut Ask<'_>) -> Result<(), BucketError> {
    match condition {
        Condition::None | Condition::Present => Ok(()),
        Condition::Absent => ask.header(IF_NONE_MATCH, "*"),
        Condition::Matches(etag) => ask.header(IF_MATCH, &format!("\"{etag}\"")),
    }
}

/// Size of part `number`, from 1, such that the number of parts is enough.
fn part_bytes(size: Option<u64>, number: u64) -> u64 {
    let wanted = match size {
        Some(size) => size.div_ceil(MAX_PARTS),
        None => PART_BYTES << (number / GROW_AFTER).min(3),
    };
    wanted.clamp(PART_BYTES, MAX_PART_BYTES)
}

/// The ETag that S3 gives to what parts of these make.
fn whole_etag(parts: &BTreeMap<u32, String>) -> String {
    let mut digest = Md5::new();
    for etag in parts.values() {
        let pairs = etag.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        digest.update(pairs.collect::<Option<Vec<u8>>>().unwrap_or_default());
    }
    format!("{}-{}", hex(&digest.finalize()), parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_enough_for_every_size() {
        for size in [0, PART_BYTES, PART_BYTES * MAX_PARTS, PART_BYTES * MAX_PARTS + 1, MAX_BYTES] {
            let part = part_bytes(Some(size), 1);
            assert!(part * MAX_PARTS >= size && (PART_BYTES..=MAX_PART_BYTES).contains(&part), "{size}");
        }
        let unknown: u64 = (1..=MAX_PARTS).map(|number| part_bytes(None, number)).sum();
        assert!(unknown > 490 << 30, "{unknown}");
    }

    #[test]
    fn the_etag_of_parts_is_that_of_s3() {
        let parts = BTreeMap::from([(1, hex(&Md5::digest(b"a"))), (2, hex(&Md5::digest(b"b")))]);
        let both = [Md5::digest(b"a").to_vec(), Md5::digest(b"b").to_vec()].concat();
        assert_eq!(whole_etag(&parts), format!("{}-2", hex(&Md5::digest(both))));
    }
}
