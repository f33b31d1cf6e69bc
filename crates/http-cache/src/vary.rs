//! Secondary keys by `Vary`.

/// `Vary: *`: no later request matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response varies by everything")]
pub struct VaryStar;

/// Appends to `key` the values that a request has of the headers named by `vary` (RFC 9111 §4.1).
///
/// Names are compared without case and sorted, so that the order of `Vary` makes no difference; runs of white space and
/// empty list members are dropped from values. `request` gives the request's field lines of a lower-case name.
///
/// # Errors
/// `vary` has a `*`.
pub fn vary_key<'a, 'r, I>(
    vary: impl IntoIterator<Item = &'a str>,
    request: impl Fn(&str) -> I,
    key: &mut Vec<u8>,
) -> Result<(), VaryStar>
where
    I: IntoIterator<Item = &'r str>,
{
    let mut names: Vec<String> = vary
        .into_iter()
        .flat_map(|line| line.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    if names.iter().any(|name| name == "*") {
        return Err(VaryStar);
    }
    names.sort_unstable();
    names.dedup();
    for name in names {
        // Line feeds cannot stand in names or values, so keys of different requests cannot run into each other.
        key.push(b'\n');
        key.extend_from_slice(name.as_bytes());
        key.push(b':');
        let members = request(&name);
        for member in members.into_iter().flat_map(|line| line.split(',')).map(str::trim).filter(|m| !m.is_empty()) {
            for word in member.split_ascii_whitespace() {
                key.extend_from_slice(word.as_bytes());
                key.push(b' ');
            }
            key.push(b',');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(vary: &[&str], accept: &'static str) -> Result<Vec<u8>, VaryStar> {
        let mut key = Vec::new();
        vary_key(vary.iter().copied(), |name| if name == "accept" { vec![accept] } else { vec![] }, &mut key)?;
        Ok(key)
    }

    #[test]
    fn order_and_spacing_make_no_difference() {
        assert_eq!(key(&["Accept, accept-language"], "a,b"), key(&["accept-language", "ACCEPT"], " a ,  b,"));
        assert_ne!(key(&["accept"], "a"), key(&["accept"], "b"));
        assert_ne!(key(&["accept"], "a"), key(&[], "a"));
        assert_eq!(key(&["accept, *"], "a"), Err(VaryStar));
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_key(vary in "\\PC{0,40}", value in "\\PC{0,40}") {
            let _ = vary_key([vary.as_str()], |_| vec![value.as_str()], &mut Vec::new());
        }
    }
}
