//! Listings of buckets and objects.

use anabranch_store::buckets::{ListQuery, Listing, MAX_PAGE};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    Bucket, CommonPrefix, EncodingType, ListBucketsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass, Owner,
};
use s3s::{S3Request, S3Result, s3_error};

use crate::access::Granted;
use crate::convert::{error, escape, etag, seconds};
use crate::house::House;

/// Who owns everything here, as clients that want an owner are told.
const OWNER: &str = "anabranch";

/// How keys are told.
#[derive(Clone, Copy)]
struct Spelling {
    is_escaped: bool,
}

impl Spelling {
    fn asked(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None | Some("") => Ok(Self { is_escaped: false }),
            Some(EncodingType::URL) => Ok(Self { is_escaped: true }),
            Some(_) => Err(s3_error!(InvalidArgument, "encoding-type can only be url")),
        }
    }

    fn of(self, text: &str) -> String {
        if self.is_escaped { escape(text) } else { text.to_owned() }
    }
}

impl House {
    pub(crate) async fn list_all_buckets<T>(&self, request: &S3Request<T>) -> S3Result<ListBucketsOutput> {
        let granted = request.extensions.get::<Granted>().cloned();
        let buckets = self.buckets.bucket_list().await.map_err(error)?;
        let visible = |name: &str| granted.as_ref().is_some_and(|granted| granted.0.of(name).is_some());
        let buckets = buckets.into_iter().filter(|info| visible(&info.name)).map(|info| Bucket {
            bucket_region: Some(self.region.clone()),
            creation_date: Some(seconds(info.created)),
            name: Some(info.name),
        });
        Ok(ListBucketsOutput { buckets: Some(buckets.collect()), owner: Some(owner()), ..ListBucketsOutput::default() })
    }

    pub(crate) async fn list_v1(&self, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
        let spelling = Spelling::asked(input.encoding_type.as_ref())?;
        let limit = page(input.max_keys)?;
        let query = ListQuery {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            after: input.marker.clone().filter(|marker| !marker.is_empty()),
            limit,
        };
        let listing = self.buckets.list(&input.bucket, query).await.map_err(error)?;
        let next = listing.next.clone();
        let (contents, prefixes) = told(&listing, spelling, true);
        Ok(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(spelling.of(&input.prefix.unwrap_or_default())),
            marker: Some(spelling.of(&input.marker.unwrap_or_default())),
            max_keys: i32::try_from(limit).ok(),
            is_truncated: Some(next.is_some()),
            contents: Some(contents),
            common_prefixes: Some(prefixes),
            delimiter: input.delimiter.map(|delimiter| spelling.of(&delimiter)),
            next_marker: next.map(|next| spelling.of(&next)),
            encoding_type: input.encoding_type,
            request_charged: None,
        })
    }

    pub(crate) async fn list_v2(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        let spelling = Spelling::asked(input.encoding_type.as_ref())?;
        let limit = page(input.max_keys)?;
        let after = match &input.continuation_token {
            Some(token) => Some(read_token(token)?),
            None => input.start_after.clone().filter(|after| !after.is_empty()),
        };
        let query = ListQuery {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            after,
            limit,
        };
        let listing = self.buckets.list(&input.bucket, query).await.map_err(error)?;
        let next = listing.next.as_ref().map(|next| URL_SAFE_NO_PAD.encode(next));
        let (contents, prefixes) = told(&listing, spelling, input.fetch_owner.unwrap_or(false));
        Ok(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(spelling.of(&input.prefix.unwrap_or_default())),
            max_keys: i32::try_from(limit).ok(),
            key_count: i32::try_from(contents.len() + prefixes.len()).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(next.is_some()),
            next_continuation_token: next,
            contents: Some(contents),
            common_prefixes: Some(prefixes),
            delimiter: input.delimiter.map(|delimiter| spelling.of(&delimiter)),
            encoding_type: input.encoding_type,
            start_after: input.start_after.map(|after| spelling.of(&after)),
            request_charged: None,
        })
    }
}

fn owner() -> Owner {
    Owner { display_name: Some(OWNER.to_owned()), id: Some(OWNER.to_owned()) }
}

/// Entries of a page, by what was asked.
pub(crate) fn page(asked: Option<i32>) -> S3Result<usize> {
    match asked.map(usize::try_from) {
        None => Ok(MAX_PAGE),
        Some(Ok(limit)) => Ok(limit.min(MAX_PAGE)),
        Some(Err(_)) => Err(s3_error!(InvalidArgument, "a page cannot have fewer entries than none")),
    }
}

fn read_token(token: &str) -> S3Result<String> {
    let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is none of ours"))
}

fn told(listing: &Listing, spelling: Spelling, with_owner: bool) -> (Vec<Object>, Vec<CommonPrefix>) {
    let objects = listing.objects.iter().map(|info| Object {
        e_tag: Some(etag(info)),
        key: Some(spelling.of(&info.key)),
        last_modified: Some(seconds(info.modified)),
        owner: with_owner.then(owner),
        size: i64::try_from(info.size).ok(),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        ..Object::default()
    });
    let prefixes = listing.prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(spelling.of(prefix)) });
    (objects.collect(), prefixes.collect())
}
