//! Uploads in parts.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch_store::buckets::{NamedPart, ObjectInfo};
use s3s::dto::{
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CopyPartResult,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListPartsInput, ListPartsOutput, MultipartUpload, Part, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Error, S3Request, S3Result, s3_error};

use crate::access::Granted;
use crate::convert::{Given, Wanted, condition, error, escape, etag, seconds, sum};
use crate::house::House;
use crate::objects::{part_etag, receive, refuse_unknown, source};
use crate::pages::page;

/// How long a client waits for the joining of parts before it is told that it goes on: by then an answer of `200` is begun, and the
/// verdict is in the body, as S3 does it. Before that a failure has a status of its own.
const PATIENCE: Duration = Duration::from_secs(10);

impl House {
    pub(crate) async fn begin(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<CreateMultipartUploadOutput> {
        refuse_unknown(&request.headers)?;
        let input = request.input;
        let given = Given {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            expires: input.expires,
            metadata: input.metadata,
        };
        let id = self.buckets.upload_create(&input.bucket, &input.key, given.attributes()).await.map_err(error)?;
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..CreateMultipartUploadOutput::default()
        })
    }

    pub(crate) async fn part(&self, request: S3Request<UploadPartInput>) -> S3Result<UploadPartOutput> {
        let S3Request { input, headers, trailing_headers, .. } = request;
        let md5 = input.content_md5.as_deref();
        let put = self.put_of(input.body.as_ref(), input.content_length, md5, &headers, trailing_headers)?;
        let _taking = self.upload_permit()?;
        let number = number(input.part_number)?;
        let writer = self.buckets.upload_part(&input.bucket, &input.key, &input.upload_id, number, put).await;
        let info = receive(writer.map_err(error)?, input.body).await?;
        Ok(UploadPartOutput {
            e_tag: Some(part_etag(&info)),
            checksum_crc32: sum(&info.checksums, "crc32"),
            checksum_crc32c: sum(&info.checksums, "crc32c"),
            checksum_crc64nvme: sum(&info.checksums, "crc64nvme"),
            checksum_sha1: sum(&info.checksums, "sha1"),
            checksum_sha256: sum(&info.checksums, "sha256"),
            ..UploadPartOutput::default()
        })
    }

    pub(crate) async fn part_copy(&self, request: S3Request<UploadPartCopyInput>) -> S3Result<UploadPartCopyOutput> {
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
        let range = input.copy_source_range.as_deref().map(range).transpose()?;
        let (to, number) = ((input.bucket.as_str(), input.key.as_str()), number(input.part_number)?);
        let copied = self.buckets.upload_part_copy((bucket, key), range, to, &input.upload_id, number).await;
        let info = copied.map_err(error)?;
        let result = CopyPartResult {
            e_tag: Some(part_etag(&info)),
            last_modified: Some(seconds(info.modified)),
            ..CopyPartResult::default()
        };
        Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() })
    }

    pub(crate) async fn list_parts_of(&self, input: ListPartsInput) -> S3Result<ListPartsOutput> {
        let limit = page(input.max_parts)?;
        let after = input.part_number_marker.and_then(|marker| u32::try_from(marker).ok()).unwrap_or(0);
        let parts = self.buckets.upload_parts(&input.bucket, &input.key, &input.upload_id, after, limit + 1).await;
        let mut parts = parts.map_err(error)?;
        let is_truncated = parts.len() > limit;
        parts.truncate(limit);
        let next = parts.last().and_then(|part| i32::try_from(part.number).ok());
        let parts = parts.into_iter().map(|info| Part {
            e_tag: Some(part_etag(&info)),
            last_modified: Some(seconds(info.modified)),
            part_number: i32::try_from(info.number).ok(),
            size: i64::try_from(info.size).ok(),
            checksum_crc32: sum(&info.checksums, "crc32"),
            checksum_crc32c: sum(&info.checksums, "crc32c"),
            checksum_crc64nvme: sum(&info.checksums, "crc64nvme"),
            checksum_sha1: sum(&info.checksums, "sha1"),
            checksum_sha256: sum(&info.checksums, "sha256"),
        });
        Ok(ListPartsOutput {
            parts: Some(parts.collect()),
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            is_truncated: Some(is_truncated),
            max_parts: i32::try_from(limit).ok(),
            next_part_number_marker: next.filter(|_| is_truncated),
            part_number_marker: input.part_number_marker,
            ..ListPartsOutput::default()
        })
    }

    pub(crate) async fn list_uploads(&self, input: ListMultipartUploadsInput) -> S3Result<ListMultipartUploadsOutput> {
        if input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()) {
            return Err(s3_error!(NotImplemented, "a delimiter is not implemented for uploads"));
        }
        let limit = page(input.max_uploads)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let (key, id) = (input.key_marker.clone().unwrap_or_default(), input.upload_id_marker.clone());
        let is_after = |upload: &anabranch_store::buckets::UploadInfo| match &id {
            _ if key.is_empty() => true,
            Some(id) => (&upload.key, &upload.id) > (&key, id),
            None => upload.key > key,
        };
        let uploads = self.buckets.upload_list(&input.bucket).await.map_err(error)?;
        let mut uploads = uploads.into_iter().filter(|upload| upload.key.starts_with(&prefix) && is_after(upload));
        let page: Vec<_> = uploads.by_ref().take(limit).collect();
        let is_truncated = uploads.next().is_some();
        let is_escaped = input.encoding_type.is_some();
        let spell = |text: &str| if is_escaped { escape(text) } else { text.to_owned() };
        let last = page.last().filter(|_| is_truncated);
        Ok(ListMultipartUploadsOutput {
            next_key_marker: last.map(|upload| spell(&upload.key)),
            next_upload_id_marker: last.map(|upload| upload.id.clone()),
            uploads: Some(
                page.iter()
                    .map(|upload| MultipartUpload {
                        key: Some(spell(&upload.key)),
                        upload_id: Some(upload.id.clone()),
                        initiated: Some(seconds(upload.initiated)),
                        ..MultipartUpload::default()
                    })
                    .collect(),
            ),
            bucket: Some(input.bucket),
            encoding_type: input.encoding_type,
            is_truncated: Some(is_truncated),
            key_marker: input.key_marker,
            max_uploads: i32::try_from(limit).ok(),
            prefix: input.prefix,
            upload_id_marker: input.upload_id_marker,
            ..ListMultipartUploadsOutput::default()
        })
    }

    pub(crate) async fn complete(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<CompleteMultipartUploadOutput> {
        let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let parts = parts.into_iter().map(named).collect::<S3Result<Vec<_>>>()?;
        let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
        let buckets = self.buckets.clone();
        // A client that goes away does not undo it, so a second try finds the object.
        let mut joining = tokio::spawn(async move {
            let done = buckets.upload_complete(&bucket, &key, &id, parts, condition, BTreeMap::new()).await;
            let info = done.map_err(error)?;
            Ok(completed(bucket, key, &info))
        });
        match tokio::time::timeout(PATIENCE, &mut joining).await {
            Ok(done) => done.map_err(S3Error::internal_error)?,
            Err(_) => {
                let rest = Box::pin(async move { joining.await.map_err(S3Error::internal_error)? });
                Ok(CompleteMultipartUploadOutput { future: Some(rest), ..CompleteMultipartUploadOutput::default() })
            }
        }
    }
}

fn completed(bucket: String, key: String, info: &ObjectInfo) -> CompleteMultipartUploadOutput {
    CompleteMultipartUploadOutput {
        location: Some(format!("/{bucket}/{}", escape(&key))),
        bucket: Some(bucket),
        key: Some(key),
        e_tag: Some(etag(info)),
        ..CompleteMultipartUploadOutput::default()
    }
}

fn named(part: CompletedPart) -> S3Result<NamedPart> {
    let number = part.part_number.ok_or_else(|| s3_error!(MalformedXML, "a part has no number"))?;
    let sums = [
        ("crc32", part.checksum_crc32),
        ("crc32c", part.checksum_crc32c),
        ("crc64nvme", part.checksum_crc64nvme),
        ("sha1", part.checksum_sha1),
        ("sha256", part.checksum_sha256),
    ];
    Ok(NamedPart {
        number: self::number(number)?,
        etag: part.e_tag.map(s3s::dto::ETag::into_value),
        checksums: sums.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
    })
}

fn number(number: i32) -> S3Result<u32> {
    u32::try_from(number).map_err(|_| s3_error!(InvalidArgument, "the number of a part is 1 to 10000"))
}

/// A range of a source, which has both ends.
fn range(text: &str) -> S3Result<std::ops::RangeInclusive<u64>> {
    let ends = text.strip_prefix("bytes=").and_then(|text| text.split_once('-'));
    let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match ends {
        Some((first, last)) if first <= last => Ok(first..=last),
        _ => Err(s3_error!(InvalidArgument, "a range of a source is bytes=first-last")),
    }
}
