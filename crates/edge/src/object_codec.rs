//! Heads of stored responses as bytes, for the disk tier.
//!
//! A head is a row of fields, each `tag u8, length u32, value`; numbers are little-endian. A reader skips tags that it does
//! not know, and a field that is missing has its empty value: so a field may be added without a new version.

use anabranch_http_cache::VaryNames;
use http::HeaderValue;

use crate::object_head::{ObjectHead, Variant, Varying};

const STATUS: u8 = 1;
const LINES: u8 = 2;
const CORS_LINES: u8 = 3;
const ETAG: u8 = 4;
const LAST_MODIFIED: u8 = 5;
const LAST_MODIFIED_TEXT: u8 = 6;
const BORN_MS: u8 = 7;
const FRESH_UNTIL_MS: u8 = 8;
const REVALIDATE_UNTIL_MS: u8 = 9;
const ERROR_UNTIL_MS: u8 = 10;
const LENGTH: u8 = 11;
const PLAYLIST: u8 = 12;
const MUST_VALIDATE: u8 = 13;
const COMPRESSIBLE: u8 = 14;
const VARYING_NAMES: u8 = 15;
const VARYING_GENERATION: u8 = 16;
const VARIANT_NAMES: u8 = 17;
const VARIANT_VALUES: u8 = 18;
const SEQUENCE: u8 = 19;
const TAG: u8 = 20;
const BEGUN_MS: u8 = 21;
const CODED: u8 = 22;

/// The bytes of a head. Only heads that are to be kept are ever written, so that fact is not, nor what is withheld.
pub(crate) fn encode(head: &ObjectHead) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.lines.len() + head.cors_lines.len() + 192);
    push(&mut out, STATUS, &head.status.to_le_bytes());
    push(&mut out, LINES, &head.lines);
    push(&mut out, CORS_LINES, &head.cors_lines);
    push_some(&mut out, ETAG, head.etag.as_deref().map(str::as_bytes));
    push_some(&mut out, LAST_MODIFIED, head.last_modified.map(i64::to_le_bytes).as_ref().map(|n| &n[..]));
    push_some(&mut out, LAST_MODIFIED_TEXT, head.last_modified_text.as_ref().map(HeaderValue::as_bytes));
    push(&mut out, BORN_MS, &head.timing.born_ms.to_le_bytes());
    push(&mut out, FRESH_UNTIL_MS, &head.timing.fresh_until_ms.to_le_bytes());
    push(&mut out, REVALIDATE_UNTIL_MS, &head.timing.stale_while_revalidate_until_ms.to_le_bytes());
    push(&mut out, ERROR_UNTIL_MS, &head.timing.stale_if_error_until_ms.to_le_bytes());
    push_some(&mut out, LENGTH, head.length.map(u64::to_le_bytes).as_ref().map(|n| &n[..]));
    push_some(&mut out, PLAYLIST, head.playlist.then_some(&[]));
    push_some(&mut out, MUST_VALIDATE, head.timing.must_validate.then_some(&[]));
    push_some(&mut out, COMPRESSIBLE, head.compressible.then_some(&[]));
    if let Some(varying) = &head.varying {
        push(&mut out, VARYING_NAMES, join(&varying.names).as_bytes());
        push(&mut out, VARYING_GENERATION, &varying.generation.to_le_bytes());
    }
    if let Some(variant) = &head.variant {
        push(&mut out, VARIANT_NAMES, join(&variant.names).as_bytes());
        push(&mut out, VARIANT_VALUES, &variant.values);
    }
    push(&mut out, SEQUENCE, &head.sequence.to_le_bytes());
    push(&mut out, BEGUN_MS, &head.begun_ms.to_le_bytes());
    push_some(&mut out, CODED, head.coded.then_some(&[]));
    for tag in &head.tags {
        push(&mut out, TAG, tag.as_bytes());
    }
    out
}

/// The head of such bytes; nothing if they are none.
pub(crate) fn decode(bytes: &[u8]) -> Option<ObjectHead> {
    let mut head = ObjectHead::empty();
    let (mut varying, mut generation) = (None, 0);
    let (mut variant, mut values) = (None, Box::default());
    let mut tags: Vec<Box<str>> = Vec::new();
    let mut rest = bytes;
    while let Some((tag, value, after)) = next(rest)? {
        rest = after;
        match tag {
            STATUS => head.status = u16::from_le_bytes(value.try_into().ok()?),
            LINES => head.lines = value.into(),
            CORS_LINES => head.cors_lines = value.into(),
            ETAG => head.etag = Some(str::from_utf8(value).ok()?.into()),
            LAST_MODIFIED => head.last_modified = Some(moment(value)?),
            LAST_MODIFIED_TEXT => head.last_modified_text = Some(HeaderValue::from_bytes(value).ok()?),
            BORN_MS => head.timing.born_ms = moment(value)?,
            FRESH_UNTIL_MS => head.timing.fresh_until_ms = moment(value)?,
            REVALIDATE_UNTIL_MS => head.timing.stale_while_revalidate_until_ms = moment(value)?,
            ERROR_UNTIL_MS => head.timing.stale_if_error_until_ms = moment(value)?,
            LENGTH => head.length = Some(u64::from_le_bytes(value.try_into().ok()?)),
            PLAYLIST => head.playlist = true,
            MUST_VALIDATE => head.timing.must_validate = true,
            COMPRESSIBLE => head.compressible = true,
            VARYING_NAMES => varying = Some(split(value)?),
            VARYING_GENERATION => generation = u64::from_le_bytes(value.try_into().ok()?),
            VARIANT_NAMES => variant = Some(split(value)?),
            VARIANT_VALUES => values = value.into(),
            SEQUENCE => head.sequence = u64::from_le_bytes(value.try_into().ok()?),
            BEGUN_MS => head.begun_ms = moment(value)?,
            CODED => head.coded = true,
            TAG => tags.push(str::from_utf8(value).ok()?.into()),
            _ => {}
        }
    }
    head.tags = tags.into();
    head.varying = varying.map(|names| Varying { names, generation });
    head.variant = variant.map(|names| Variant { names, values });
    (head.varying.is_some() || (100..1000).contains(&head.status)).then_some(head)
}

/// Names have no commas.
fn join(names: &VaryNames) -> String {
    names.iter().collect::<Vec<_>>().join(",")
}

fn split(value: &[u8]) -> Option<VaryNames> {
    VaryNames::parse([str::from_utf8(value).ok()?]).ok()
}

fn push(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(value);
}

fn push_some(out: &mut Vec<u8>, tag: u8, value: Option<&[u8]>) {
    if let Some(value) = value {
        push(out, tag, value);
    }
}

/// The first field and what follows it; the inner value is absent at the end.
#[expect(clippy::type_complexity, reason = "a field and the rest of the row")]
fn next(bytes: &[u8]) -> Option<Option<(u8, &[u8], &[u8])>> {
    let Some((&tag, rest)) = bytes.split_first() else { return Some(None) };
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some(Some((tag, value, rest)))
}

fn moment(value: &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use anabranch_http_cache::Policy;
    use http::{HeaderMap, HeaderName};
    use proptest::prelude::*;

    use super::*;
    use crate::object_head::Making;

    fn head(lines: &[(&'static str, &'static str)]) -> ObjectHead {
        let pairs = lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        ObjectHead::read(200, &pairs.collect::<HeaderMap>(), &Making::plain(&Policy::default(), 5000))
    }

    #[test]
    fn a_head_comes_back_whole() {
        let full = head(&[
            ("cache-control", "max-age=60, stale-while-revalidate=5, stale-if-error=7"),
            ("etag", "\"a\""),
            ("last-modified", "Thu, 01 Jan 1970 00:00:01 GMT"),
            ("access-control-allow-origin", "x"),
            ("content-type", "audio/mpegurl"),
            ("content-length", "12"),
        ]);
        for mut head in [full.coded("br"), full, head(&[])] {
            head.useful = true;
            let back = decode(&encode(&head)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{head:?}"));
        }
    }

    #[test]
    fn an_unknown_field_is_skipped() {
        let head = head(&[("etag", "\"a\"")]);
        let mut bytes = encode(&head);
        push(&mut bytes, 250, b"of a later version");
        assert_eq!(format!("{:?}", decode(&bytes).unwrap()), format!("{head:?}"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_cut_head_is_no_head_or_a_shorter_one(cut in 0_usize..200) {
            let bytes = encode(&head(&[("etag", "\"a\"")]));
            let _ = decode(&bytes[..cut.min(bytes.len())]);
        }
    }
}
