//! What a sender tells of an upload: pairs of a word and a text in base64 (tus 1.0, `Upload-Metadata`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest such text, in bytes.
const MAX_BYTES: usize = 8 * 1024;

/// Pairs by word. Those of no use here are kept for whoever asks for the upload.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// Reads `filename d29ybGQ=,is_private`; the error says in words what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it has at most {MAX_BYTES} bytes: {}", text.len()));
        }
        let mut pairs = BTreeMap::new();
        for pair in text.split(',').map(|pair| pair.trim_matches(' ')).filter(|pair| !pair.is_empty()) {
            let (word, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if !word.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!("a word has visible ASCII characters: {word:?}"));
            }
            let bytes =
                STANDARD.decode(value.trim_matches(' ')).map_err(|_| format!("the value of {word} is no base64"))?;
            let value = String::from_utf8(bytes).map_err(|_| format!("the value of {word} is no UTF-8"))?;
            if pairs.insert(word.to_owned(), value).is_some() {
                return Err(format!("{word} is given twice"));
            }
        }
        Ok(Self(pairs))
    }

    /// Bucket that the file is for.
    pub(super) fn bucket(&self) -> Option<&str> {
        self.first(&["bucket"])
    }

    /// Key that its object is to have.
    pub(super) fn key(&self) -> Option<&str> {
        self.first(&["filename", "name"])
    }

    /// Its media type, if it looks like one.
    pub(super) fn media_type(&self) -> Option<&str> {
        let is_type = |text: &&str| {
            text.len() <= 255 && text.contains('/') && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        };
        self.first(&["filetype", "type"]).filter(is_type)
    }

    /// How the asset of the file is to be made.
    pub(super) fn preset(&self) -> Option<&str> {
        self.first(&["preset"])
    }

    fn first(&self, words: &[&str]) -> Option<&str> {
        words.iter().find_map(|word| self.0.get(*word)).map(String::as_str).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_clients_send_is_read() {
        // As tus-js-client and Uppy send it.
        let metadata =
            Metadata::parse("filename w7wuYi5tcDQ=,filetype dmlkZW8vbXA0, relativePath ,bucket dXBsb2Fkcw==").unwrap();
        assert_eq!(metadata.key(), Some("ü.b.mp4"));
        assert_eq!(metadata.media_type(), Some("video/mp4"));
        assert_eq!(metadata.bucket(), Some("uploads"));
        assert_eq!(Metadata::parse("").unwrap(), Metadata::default());
        assert_eq!(Metadata::parse("name YQ==,type bm8=").unwrap().key(), Some("a"));
        assert_eq!(Metadata::parse("name YQ==,type bm8=").unwrap().media_type(), None, "no is no type");
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for (text, words) in [
            ("filename !", "filename is no base64"),
            ("filename /w==", "no UTF-8"),
            ("a YQ==,a YQ==", "twice"),
            ("\u{7} YQ==", "ASCII"),
        ] {
            assert!(Metadata::parse(text).unwrap_err().contains(words), "{text:?}");
        }
        assert!(Metadata::parse(&"a".repeat(MAX_BYTES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = Metadata::parse(&text);
        }

        #[test]
        fn any_name_comes_back(name in "\\PC{1,80}") {
            let sent = format!("filename {},x", STANDARD.encode(&name));
            let metadata = Metadata::parse(&sent).unwrap();
            prop_assert_eq!(metadata.key(), Some(name.as_str()));
        }
    }
}
