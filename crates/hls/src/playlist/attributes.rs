//! Attribute lists (rfc8216bis §4.2).

use super::lines::{Fault, decimal, integer};

/// The attributes of one tag, values with their quotes.
#[derive(Debug)]
pub(crate) struct Attributes<'a>(Vec<(&'a str, &'a str)>);

/// Most attributes of one tag.
const ATTRIBUTES_MAX: usize = 100;

impl<'a> Attributes<'a> {
    /// Reads `NAME=VALUE,…`. White space after a comma is tolerated, a name twice is not.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Fault> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=').ok_or(Fault::Attributes)?;
            let len = match after.strip_prefix('"') {
                Some(quoted) => quoted.find('"').ok_or(Fault::Attributes)? + 2,
                None => after.find(',').unwrap_or(after.len()),
            };
            let (value, tail) = after.split_at(len);
            let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || !name.bytes().all(is_name) || found.len() == ATTRIBUTES_MAX {
                return Err(Fault::Attributes);
            }
            if value.is_empty() || found.iter().any(|(other, _)| *other == name) {
                return Err(Fault::Attributes);
            }
            found.push((name, value));
            rest = match tail.strip_prefix(',') {
                Some(more) => more.trim_start(),
                None if tail.trim().is_empty() => "",
                None => return Err(Fault::Attributes),
            };
        }
        Ok(Self(found))
    }

    /// Takes an attribute out, as it stands.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(other, _)| *other == name)?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn take_quoted(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let unquote = |value: &str| {
            value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(str::to_owned).ok_or(Fault::Attributes)
        };
        self.take(name).map(unquote).transpose()
    }

    pub(super) fn take_integer(&mut self, name: &str) -> Result<Option<u64>, Fault> {
        self.take(name).map(|value| integer(value.trim_end())).transpose()
    }

    pub(super) fn take_decimal(&mut self, name: &str) -> Result<Option<f64>, Fault> {
        self.take(name).map(|value| decimal(value.trim_end())).transpose()
    }

    /// `YES` or `NO`; absent means no.
    pub(super) fn take_yes(&mut self, name: &str) -> Result<bool, Fault> {
        match self.take(name).map(str::trim_end) {
            None | Some("NO") => Ok(false),
            Some("YES") => Ok(true),
            Some(_) => Err(Fault::Word),
        }
    }

    /// What was not taken, in order.
    pub(crate) fn rest(self) -> Vec<(String, String)> {
        self.0.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// Writes an attribute list piece by piece.
pub(crate) struct AttributeWriter<'a> {
    out: &'a mut String,
    joint: char,
}

impl<'a> AttributeWriter<'a> {
    /// Begins a tag, such as `#EXT-X-MAP`.
    pub(crate) fn new(out: &'a mut String, tag: &str) -> Self {
        out.push_str(tag);
        Self { out, joint: ':' }
    }

    pub(crate) fn raw(&mut self, name: &str, value: &str) {
        self.out.push(self.joint);
        self.out.push_str(name);
        self.out.push('=');
        self.out.push_str(value);
        self.joint = ',';
    }

    /// A quoted string cannot hold quotes or line ends: they are left out.
    pub(crate) fn quoted(&mut self, name: &str, value: &str) {
        let plain: String = value.chars().filter(|c| !matches!(c, '"' | '\r' | '\n')).collect();
        self.raw(name, &format!("\"{plain}\""));
    }

    pub(crate) fn end(self) {
        self.out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let mut list = Attributes::parse(r#"BANDWIDTH=5,CODECS="a,b=c", X-1=y ,NAME="""#).unwrap();
        assert_eq!(list.take_integer("BANDWIDTH"), Ok(Some(5)));
        assert_eq!(list.take_quoted("CODECS"), Ok(Some("a,b=c".to_owned())));
        assert_eq!(list.take_quoted("NAME"), Ok(Some(String::new())));
        assert_eq!(list.take_yes("DEFAULT"), Ok(false));
        assert_eq!(list.rest(), [("X-1".to_owned(), "y ".to_owned())]);
        assert!(Attributes::parse("").unwrap().rest().is_empty());
    }

    #[test]
    fn what_is_no_list() {
        for text in ["A", "=1", "a=1", "A=", "A=\"1", "A=\"1\"x", "A=1,A=2", "A B=1", ",A=1"] {
            assert_eq!(Attributes::parse(text).unwrap_err(), Fault::Attributes, "{text}");
        }
        let many: Vec<String> = (0..=ATTRIBUTES_MAX).map(|at| format!("A{at}=1")).collect();
        assert!(Attributes::parse(&many.join(",")).is_err());
    }

    #[test]
    fn words_of_the_wrong_form() {
        assert_eq!(Attributes::parse("A=1").unwrap().take_quoted("A"), Err(Fault::Attributes));
        assert_eq!(Attributes::parse("A=1").unwrap().take_yes("A"), Err(Fault::Word));
        assert_eq!(Attributes::parse("A=x").unwrap().take_integer("A"), Err(Fault::Number));
    }
}
