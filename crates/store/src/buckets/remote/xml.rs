//! What a service says in XML, as far as it is of use: flat texts by the names of the elements around them.

use std::time::UNIX_EPOCH;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::time::listed;
use crate::buckets::types::{Attributes, ListQuery, Listing, ObjectInfo};

/// Elements in one another at most.
const MAX_DEPTH: usize = 16;

/// A text that cannot be read as what was asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is no XML that is understood: {0}")]
pub(super) struct XmlError(String);

/// Gives the texts of the document to `text`, each with the names of the elements around it, and tells `end` of each element that ends.
fn walk(
    document: &str,
    mut text: impl FnMut(&[String], String),
    mut end: impl FnMut(&[String]),
) -> Result<(), XmlError> {
    let wrong = |what: &dyn std::fmt::Display| XmlError(what.to_string());
    let mut reader = Reader::from_str(document);
    let mut path: Vec<String> = Vec::new();
    let mut held = String::new();
    loop {
        match reader.read_event().map_err(|error| wrong(&error))? {
            Event::Start(start) => {
                held.clear();
                if path.len() >= MAX_DEPTH {
                    return Err(wrong(&"too many elements in one another"));
                }
                path.push(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
            }
            Event::Text(piece) => held.push_str(&piece.decode().map_err(|error| wrong(&error))?),
            Event::CData(piece) => held.push_str(&piece.decode().map_err(|error| wrong(&error))?),
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|error| wrong(&error))?;
                let known = match &*name {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().map_err(|error| wrong(&error))?,
                };
                held.push(known.ok_or_else(|| wrong(&"an entity that is not known"))?);
            }
            Event::End(_) => {
                text(&path, std::mem::take(&mut held));
                end(&path);
                path.pop();
            }
            Event::DocType(_) => return Err(wrong(&"a document type is not expected")),
            Event::Eof if path.is_empty() => return Ok(()),
            Event::Eof => return Err(wrong(&"it ends early")),
            _ => {}
        }
    }
}

/// Code and message of a refusal; empty where it says none.
pub(super) fn refusal(document: &str) -> (String, String) {
    let (mut code, mut message) = (String::new(), String::new());
    let walked = walk(
        document,
        |path, text| match path {
            [error, name] if error == "Error" && name == "Code" => code = text,
            [error, name] if error == "Error" && name == "Message" => message = text,
            _ => {}
        },
        |_| {},
    );
    if walked.is_err() { Default::default() } else { (code, message) }
}

/// The text of an element right below the root.
pub(super) fn value(document: &str, wanted: &str) -> Result<Option<String>, XmlError> {
    let mut found = None;
    let read = |path: &[String], text| {
        if let [_, name] = path
            && name == wanted
        {
            found = Some(text);
        }
    };
    walk(document, read, |_| {})?;
    Ok(found)
}

/// What could not be removed: key, code and message.
pub(super) fn not_removed(document: &str) -> Result<Vec<(String, String, String)>, XmlError> {
    let mut all = Vec::new();
    let current = std::cell::RefCell::new((String::new(), String::new(), String::new()));
    walk(
        document,
        |path, text| {
            let [_, error, name] = path else { return };
            match (error.as_str(), name.as_str()) {
                ("Error", "Key") => current.borrow_mut().0 = text,
                ("Error", "Code") => current.borrow_mut().1 = text,
                ("Error", "Message") => current.borrow_mut().2 = text,
                _ => {}
            }
        },
        |path| {
            if matches!(path, [_, error] if error == "Error") {
                all.push(current.take());
            }
        },
    )?;
    Ok(all)
}

/// A listing (`list-type=2`, `encoding-type=url`) of keys that begin with `prefix`, which is taken off.
pub(super) fn listing(document: &str, prefix: &str, query: &ListQuery) -> Result<Listing, XmlError> {
    let mut listing = Listing::default();
    let (mut is_truncated, mut is_escaped) = (false, false);
    let mut raw: Vec<Entry> = Vec::new();
    let mut prefixes: Vec<String> = Vec::new();
    let entry = std::cell::RefCell::new(Entry::default());
    walk(
        document,
        |path, text| match path {
            [_, name] if name == "IsTruncated" => is_truncated = text.trim() == "true",
            [_, name] if name == "EncodingType" => is_escaped = text.trim() == "url",
            [_, of, name] if of == "Contents" => entry.borrow_mut().take(name, text),
            [_, of, name] if of == "CommonPrefixes" && name == "Prefix" => prefixes.push(text),
            _ => {}
        },
        |path| {
            if matches!(path, [_, name] if name == "Contents") {
                raw.push(entry.take());
            }
        },
    )?;
    let plain = |text: String| if is_escaped { unescape(&text) } else { Some(text) };
    let own = |text: String| plain(text)?.strip_prefix(prefix).map(str::to_owned).filter(|own| !own.is_empty());
    let mut last: Option<String> = None;
    let mut see = |key: &str| {
        if last.as_deref().is_none_or(|last| key > last) {
            last = Some(key.to_owned());
        }
    };
    for entry in raw {
        let Entry { key, size, etag, modified } = entry;
        let Some(key) = own(key) else { continue };
        see(&key);
        let size = size.trim().parse().map_err(|_| XmlError(format!("not a size: {size:?}")))?;
        listing.objects.push(ObjectInfo {
            key,
            size,
            etag: etag.trim().trim_matches('"').to_owned(),
            modified: listed(modified.trim()).unwrap_or(UNIX_EPOCH),
            attributes: Attributes::default(),
            checksums: Default::default(),
        });
    }
    for common in prefixes {
        let Some(common) = own(common) else { continue };
        see(&common);
        // Some services tell the one again that the page before has ended with.
        if query.after.as_deref().is_none_or(|after| common.as_str() > after) {
            listing.prefixes.push(common);
        }
    }
    listing.next = if is_truncated { last } else { None };
    Ok(listing)
}

/// One object of a listing, as it is told.
#[derive(Default)]
struct Entry {
    key: String,
    size: String,
    etag: String,
    modified: String,
}

impl Entry {
    fn take(&mut self, name: &str, text: String) {
        match name {
            "Key" => self.key = text,
            "Size" => self.size = text,
            "ETag" => self.etag = text,
            "LastModified" => self.modified = text,
            _ => {}
        }
    }
}

/// A key without the escapes of `encoding-type=url`, in which a blank may be `+`.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A text as it stands in XML.
pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Others below the blank have no place in XML 1.0, which the service then says.
            '\r' | '\n' | '\t' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>films</Name><Prefix>in/</Prefix><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>
  <Contents><Key>in/</Key><Size>0</Size><ETag>"d"</ETag><LastModified>2023-11-14T22:13:20.000Z</LastModified></Contents>
  <Contents><Key>in/a+b%2Fc%C3%BC.mp4</Key><LastModified>2023-11-14T22:13:20.000Z</LastModified><ETag>&quot;ab-2&quot;</ETag>
    <Size>7</Size><Owner><ID>x</ID></Owner></Contents>
  <Contents><Key>elsewhere</Key><Size>1</Size></Contents>
  <CommonPrefixes><Prefix>in/z/</Prefix></CommonPrefixes>
</ListBucketResult>"#;

    #[test]
    fn a_listing_is_read() {
        let page = listing(PAGE, "in/", &ListQuery::default()).unwrap();
        let [object] = page.objects.as_slice() else { panic!("{page:?}") };
        assert_eq!((object.key.as_str(), object.size, object.etag.as_str()), ("a b/cü.mp4", 7, "ab-2"));
        assert_eq!(object.modified, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        assert_eq!((page.prefixes.as_slice(), page.next.as_deref()), (["z/".to_owned()].as_slice(), Some("z/")));
    }

    #[test]
    fn refusals_are_read() {
        let text = "<Error><Code>AccessDenied</Code><Message>no &amp; never</Message></Error>";
        assert_eq!(refusal(text), ("AccessDenied".to_owned(), "no & never".to_owned()));
        assert_eq!(refusal("<html>"), Default::default());
        assert_eq!(value("<A><UploadId>x&#49;</UploadId></A>", "UploadId"), Ok(Some("x1".to_owned())));
        let text = "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>C</Code><Message>m</Message></Error></DeleteResult>";
        assert_eq!(not_removed(text).unwrap(), [("b".to_owned(), "C".to_owned(), "m".to_owned())]);
        assert!(value("<!DOCTYPE a [<!ENTITY x 'y'>]><A><B>&x;</B></A>", "B").is_err());
        assert!(value(&"<a>".repeat(100), "B").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_listing_or_an_error(text in "(<|>|/|Contents|Key|Size|&amp;|&#x?[0-9a-f]{0,9};|<!\\[CDATA\\[|\\]\\]>|[a-z%+ \"]){0,60}") {
            let _ = listing(&text, "", &ListQuery::default());
            let _ = refusal(&text);
            let _ = not_removed(&text);
        }

        #[test]
        fn what_is_escaped_comes_back(text in "[a-z&<>\"'\\n é]{0,30}") {
            let document = format!("<A><B>{}</B></A>", escape(&text));
            proptest::prop_assert_eq!(value(&document, "B").unwrap(), Some(text));
        }
    }
}
