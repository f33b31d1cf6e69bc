//! ffprobe's answers.

/// A language tag that can stand in a playlist and a file name; `und` for what is none.
pub(super) fn language(text: Option<&str>) -> String {
    let is_tag = |text: &&str| {
        text.len() <= 35
            && text
                .split('-')
                .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    text.map(str::trim).filter(is_tag).map_or_else(|| "und".to_owned(), str::to_owned)
}
