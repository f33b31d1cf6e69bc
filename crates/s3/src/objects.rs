//! Objects: put, get, head, copy, delete.

use std::io::SeekFrom;

use anabranch_store::buckets::{Content, CopyAttributes, Likely, ObjectInfo, PartInfo, Put, Writer};
use bytes::Bytes;
use http::HeaderMap;
use s3s::dto::{
    ChecksumMode, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectsInput,
    DeleteObjectsOutput, DeletedObject, Error, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    MetadataDirective, PutObjectInput, PutObjectOutput, Range, StreamingBlob,
};
use s3s::stream::ByteStream as _;
use s3s::{Body, S3Error, S3Request, S3Result, TrailingHeaders, s3_error};
use tokio::io::AsyncSeekExt as _;

use crate::access::{Granted, Level};
use crate::body::{FileBody, PiecesBody};
use crate::convert::{self, Given, Wanted, condition, error, etag, expires, kept, seconds, sum};
use crate::house::House;
use crate::sums::Sums;

/// Keys in one request to delete.
const MAX_DELETED: usize = 1000;

/// What is said of objects that were stored without a type, as S3 says it.
const UNKNOWN_TYPE: &str = "binary/octet-stream";

impl House {
    pub(crate) async fn put(&self, request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
        let S3Request { input, headers, trailing_headers, .. } = request;
        refuse_unknown(&headers)?;
        let given = Given {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            expires: input.expires,
            metadata: input.metadata,
        };
        let put = Put {
            attributes: given.attributes(),
            condition: condition(input.if_match.as_ref(), input.if_none_match.as_ref())?,
            ..self.put_of(
                input.body.as_ref(),
                input.content_length,
                input.content_md5.as_deref(),
                &headers,
                trailing_headers,
            )?
        };
        let _taking = self.upload_permit()?;
        let writer = self.buckets.put(&input.bucket, &input.key, put).await.map_err(error)?;
        let info: ObjectInfo = receive(writer, input.body).await?;
        Ok(PutObjectOutput {
            e_tag: Some(etag(&info)),
            checksum_crc32: sum(&info.checksums, "crc32"),
            checksum_crc32c: sum(&info.checksums, "crc32c"),
            checksum_crc64nvme: sum(&info.checksums, "crc64nvme"),
            checksum_sha1: sum(&info.checksums, "sha1"),
            checksum_sha256: sum(&info.checksums, "sha256"),
            ..PutObjectOutput::default()
        })
    }

    /// What a request says of its body.
    pub(crate) fn put_of(
        &self,
        body: Option<&StreamingBlob>,
        length: Option<i64>,
        md5: Option<&str>,
        headers: &HeaderMap,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<Put> {
        let chunked = headers.get("x-amz-decoded-content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        let exact = body.and_then(|body| body.remaining_length().exact()).map(|len| len as u64);
        let size = chunked.or(exact).or(length.and_then(|len| u64::try_from(len).ok()));
        let Some(size) = size.or(body.is_none().then_some(0)) else {
            return Err(s3_error!(MissingContentLength, "the length of the body has to be announced"));
        };
        if size > self.max_body_bytes {
            return Err(s3_error!(EntityTooLarge, "at most {} bytes at once; upload in parts", self.max_body_bytes));
        }
        let (md5, inspector) = (convert::md5(md5)?, Sums::announced(headers, trailers));
        Ok(Put { size: Some(size), md5, inspector, ..Put::default() })
    }

    pub(crate) async fn get(&self, input: GetObjectInput) -> S3Result<GetObjectOutput> {
        let likely = likely(&input);
        let opened = self.buckets.get_likely(&input.bucket, &input.key, likely).await.map_err(error)?;
        let info = opened.info;
        Wanted {
            matches: input.if_match.as_ref(),
            none_matches: input.if_none_match.as_ref(),
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        }
        .check(&info)?;
        let (first, len) = part(&info, input.range.as_ref(), input.part_number)?;
        let body = body(opened.content, first, len).await?;
        let is_whole = input.range.is_none();
        let sums = sums_wanted(&info, input.checksum_mode.as_ref(), is_whole);
        let attributes = &info.attributes;
        Ok(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(body),
            cache_control: kept(attributes, "cache-control"),
            content_disposition: kept(attributes, "content-disposition"),
            content_encoding: kept(attributes, "content-encoding"),
            content_language: kept(attributes, "content-language"),
            content_length: i64::try_from(len).ok(),
            content_range: (!is_whole).then(|| range_told(first, len, info.size)),
            content_type: Some(content_type(&info)),
            e_tag: Some(etag(&info)),
            expires: expires(attributes),
            last_modified: Some(seconds(info.modified)),
            metadata: Some(attributes.user.clone().into_iter().collect()),
            checksum_crc32: sum(sums, "crc32"),
            checksum_crc32c: sum(sums, "crc32c"),
            checksum_crc64nvme: sum(sums, "crc64nvme"),
            checksum_sha1: sum(sums, "sha1"),
            checksum_sha256: sum(sums, "sha256"),
            ..GetObjectOutput::default()
        })
    }

    pub(crate) async fn head(&self, input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
        let info = self.buckets.head(&input.bucket, &input.key).await.map_err(error)?;
        Wanted {
            matches: input.if_match.as_ref(),
            none_matches: input.if_none_match.as_ref(),
            modified_since: input.if_modified_since.as_ref(),
            unmodified_since: input.if_unmodified_since.as_ref(),
        }
        .check(&info)?;
        let (first, len) = part(&info, input.range.as_ref(), input.part_number)?;
        let is_whole = input.range.is_none();
        let sums = sums_wanted(&info, input.checksum_mode.as_ref(), is_whole);
        let attributes = &info.attributes;
        Ok(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: kept(attributes, "cache-control"),
            content_disposition: kept(attributes, "content-disposition"),
            content_encoding: kept(attributes, "content-encoding"),
            content_language: kept(attributes, "content-language"),
            content_length: i64::try_from(len).ok(),
            content_range: (!is_whole).then(|| range_told(first, len, info.size)),
            content_type: Some(content_type(&info)),
            e_tag: Some(etag(&info)),
            expires: expires(attributes),
            last_modified: Some(seconds(info.modified)),
            metadata: Some(attributes.user.clone().into_iter().collect()),
            checksum_crc32: sum(sums, "crc32"),
            checksum_crc32c: sum(sums, "crc32c"),
            checksum_crc64nvme: sum(sums, "crc64nvme"),
            checksum_sha1: sum(sums, "sha1"),
            checksum_sha256: sum(sums, "sha256"),
            ..HeadObjectOutput::default()
        })
    }

    pub(crate) async fn copy(&self, request: S3Request<CopyObjectInput>) -> S3Result<CopyObjectOutput> {
        refuse_unknown(&request.headers)?;
        let granted = request.extensions.get::<Granted>().cloned();
        let input = request.input;
        let (bucket, key) = source(&input.copy_source, granted.as_ref())?;
        let wanted = Wanted {
            matches: input.copy_source_if_match.as_ref(),
            none_matches: input.copy_source_if_none_match.as_ref(),
            modified_since: input.copy_source_if_modified_since.as_ref(),
            unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
        };
        self.check_source(bucket, key, &wanted).await?;
        let replaces = input.metadata_directive.as_ref().is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
        let attributes = if replaces {
            let given = Given {
                content_type: input.content_type,
                cache_control: input.cache_control,
                content_disposition: input.content_disposition,
                content_encoding: input.content_encoding,
                content_language: input.content_language,
                expires: input.expires,
                metadata: input.metadata,
            };
            CopyAttributes::Replace(given.attributes())
        } else {
            CopyAttributes::Keep
        };
        let (from, to) = ((bucket, key), (input.bucket.as_str(), input.key.as_str()));
        let info = self.buckets.copy(from, to, attributes, Default::default()).await.map_err(error)?;
        let result = CopyObjectResult {
            e_tag: Some(etag(&info)),
            last_modified: Some(seconds(info.modified)),
            ..CopyObjectResult::default()
        };
        Ok(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
    }

    /// The source of a copy has to be what the client wants it to be; that it is a part of one is no failure of `304`.
    pub(crate) async fn check_source(&self, bucket: &str, key: &str, wanted: &Wanted<'_>) -> S3Result<()> {
        let info = self.buckets.head(bucket, key).await.map_err(error)?;
        wanted.check(&info).map_err(|_| s3_error!(PreconditionFailed, "the source is not the one that is meant"))
    }

    pub(crate) async fn delete_many(&self, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
        if input.delete.objects.len() > MAX_DELETED {
            return Err(s3_error!(MalformedXML, "at most {MAX_DELETED} keys at once"));
        }
        let quiet = input.delete.quiet.unwrap_or(false);
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            match self.buckets.delete(&input.bucket, &object.key, Default::default()).await {
                Ok(_) if quiet => {}
                Ok(_) => deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() }),
                Err(failure) => {
                    let failure = error(failure);
                    errors.push(Error {
                        code: Some(failure.code().as_str().to_owned()),
                        key: Some(object.key),
                        message: failure.message().map(str::to_owned),
                        version_id: None,
                    });
                }
            }
        }
        Ok(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), request_charged: None })
    }
}

/// Hands a body to the disk. A body that ends badly leaves nothing.
pub(crate) async fn receive<T: Send + 'static>(mut writer: Writer<T>, body: Option<StreamingBlob>) -> S3Result<T> {
    if let Some(mut body) = body {
        while let Some(bytes) = next(&mut body).await {
            let bytes = bytes.map_err(|failure| convert::body_error(&*failure))?;
            metrics::counter!("anabranch_s3_received_bytes_total").increment(bytes.len() as u64);
            writer.write(bytes).await.map_err(error)?;
        }
    }
    writer.finish().await.map_err(error)
}

async fn next(body: &mut StreamingBlob) -> Option<Result<Bytes, s3s::StdError>> {
    use futures_core::Stream as _;
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_next(cx)).await
}

/// Where a copy comes from, which the key has to be allowed to read.
pub(crate) fn source<'a>(source: &'a CopySource, granted: Option<&Granted>) -> S3Result<(&'a str, &'a str)> {
    let CopySource::Bucket { bucket, key, version_id: None } = source else {
        return Err(s3_error!(NotImplemented, "a source is a bucket and a key, without version"));
    };
    if granted.and_then(|granted| granted.0.of(bucket)).is_none_or(|level| level < Level::Read) {
        return Err(s3_error!(AccessDenied, "the access key has no right to read bucket {bucket}"));
    }
    Ok((bucket, key))
}

/// What a client asks for that would be wrong to leave out.
pub(crate) fn refuse_unknown(headers: &HeaderMap) -> S3Result<()> {
    for name in [
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-legal-hold",
        "x-amz-tagging",
        "x-amz-website-redirect-location",
        "x-amz-write-offset-bytes",
    ] {
        if headers.contains_key(name) {
            return Err(s3_error!(NotImplemented, "{name} is not implemented"));
        }
    }
    Ok(())
}

/// Which bytes an object that is elsewhere is to be asked for at once.
fn likely(input: &GetObjectInput) -> Likely {
    let is_conditional = input.if_match.is_some()
        || input.if_none_match.is_some()
        || input.if_modified_since.is_some()
        || input.if_unmodified_since.is_some();
    match input.range {
        _ if is_conditional => Likely::Nothing,
        None => Likely::Whole,
        Some(Range::Int { first, last }) => Likely::From { first, last },
        Some(Range::Suffix { length }) => Likely::Last(length),
    }
}

async fn body(content: Content, first: u64, len: u64) -> S3Result<StreamingBlob> {
    let body = match content {
        Content::File(mut file) => {
            if first > 0 {
                file.seek(SeekFrom::Start(first)).await.map_err(S3Error::internal_error)?;
            }
            Body::http_body(FileBody::new(file, len))
        }
        Content::Remote(object) => Body::http_body(PiecesBody(object.pieces(first, len).await.map_err(error)?)),
    };
    Ok(StreamingBlob::from(body))
}

/// The first byte and the number of bytes that are asked for.
fn part(info: &ObjectInfo, range: Option<&Range>, part_number: Option<i32>) -> S3Result<(u64, u64)> {
    if part_number.is_some_and(|number| number != 1) {
        return Err(s3_error!(InvalidArgument, "objects are not told in parts; ask for a range"));
    }
    let Some(range) = range else { return Ok((0, info.size)) };
    let range = range.check(info.size).map_err(|_| {
        let mut error = s3_error!(InvalidRange, "the object has {} bytes", info.size);
        let mut headers = HeaderMap::new();
        if let Ok(value) = format!("bytes */{}", info.size).parse() {
            headers.insert(http::header::CONTENT_RANGE, value);
        }
        error.set_headers(headers);
        error
    })?;
    Ok((range.start, range.end - range.start))
}

fn range_told(first: u64, len: u64, size: u64) -> String {
    format!("bytes {first}-{}/{size}", (first + len).saturating_sub(1))
}

fn content_type(info: &ObjectInfo) -> String {
    info.attributes.content_type.clone().unwrap_or_else(|| UNKNOWN_TYPE.to_owned())
}

/// Checksums are of the whole, and told to those who ask.
fn sums_wanted<'a>(
    info: &'a ObjectInfo,
    mode: Option<&ChecksumMode>,
    is_whole: bool,
) -> &'a std::collections::BTreeMap<String, String> {
    static NONE: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    let is_asked = mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    if is_asked && is_whole { &info.checksums } else { &NONE }
}

/// A part as it is acknowledged.
pub(crate) fn part_etag(info: &PartInfo) -> s3s::dto::ETag {
    s3s::dto::ETag::Strong(info.etag.clone())
}
