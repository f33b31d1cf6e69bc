//! Dictionaries of structured fields (RFC 9651), as far as cache directives need them.

/// Members that one field may have; more are no cache directives.
const MAX_MEMBERS: usize = 256;

/// The value of a member; kinds that no cache directive has are told apart only from the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Boolean(bool),
    Integer(i64),
    Text(String),
    /// A decimal, token, byte sequence, date, display string or inner list.
    Other,
}

/// Reads a dictionary; `None` when it is none. Of a repeated key the last counts, as the RFC wants.
pub(crate) fn dictionary(text: &[u8]) -> Option<Vec<(String, Item)>> {
    let mut members: Vec<(String, Item)> = Vec::new();
    let mut reader = Reader { text, at: 0 };
    reader.spaces();
    while !reader.done() {
        let key = reader.key()?;
        let item = if reader.take(b'=') { reader.value()? } else { Item::Boolean(true) };
        reader.parameters()?;
        members.retain(|(known, _)| *known != key);
        if members.len() == MAX_MEMBERS {
            return None;
        }
        members.push((key, item));
        reader.white();
        if reader.done() {
            break;
        }
        if !reader.take(b',') {
            return None;
        }
        reader.white();
        if reader.done() {
            return None;
        }
    }
    Some(members)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn done(&self) -> bool {
        self.at >= self.text.len()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn run(&mut self, allowed: impl Fn(u8) -> bool) -> &[u8] {
        let start = self.at;
        while self.peek().is_some_and(&allowed) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn spaces(&mut self) {
        self.run(|byte| byte == b' ');
    }

    fn white(&mut self) {
        self.run(|byte| byte == b' ' || byte == b'\t');
    }

    fn key(&mut self) -> Option<String> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'*') {
            return None;
        }
        let name = self.run(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte));
        Some(String::from_utf8_lossy(name).into_owned())
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.spaces();
            self.key()?;
            if self.take(b'=') {
                self.bare()?;
            }
        }
        Some(())
    }

    fn value(&mut self) -> Option<Item> {
        if !self.take(b'(') {
            return self.bare();
        }
        loop {
            self.spaces();
            if self.take(b')') {
                return Some(Item::Other);
            }
            self.bare()?;
            self.parameters()?;
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn bare(&mut self) -> Option<Item> {
        match self.peek()? {
            b'?' => {
                self.at += 1;
                let value = self.peek()?;
                self.at += 1;
                matches!(value, b'0' | b'1').then_some(Item::Boolean(value == b'1'))
            }
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.text(),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.run(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Some(Item::Other)
            }
            b':' => {
                self.at += 1;
                self.run(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.take(b':').then_some(Item::Other)
            }
            b'@' => {
                self.at += 1;
                matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
            }
            b'%' => {
                self.at += 1;
                self.text().map(|_| Item::Other)
            }
            _ => None,
        }
    }

    /// An integer of up to 15 digits or a decimal of up to 12 and 3.
    fn number(&mut self) -> Option<Item> {
        let negative = self.take(b'-');
        let whole = self.run(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 {
            return None;
        }
        let (digits, value) = (whole.len(), whole.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0')));
        if !self.take(b'.') {
            return Some(Item::Integer(if negative { -value } else { value }));
        }
        let fraction = self.run(|byte| byte.is_ascii_digit()).len();
        (digits <= 12 && (1..=3).contains(&fraction)).then_some(Item::Other)
    }

    fn text(&mut self) -> Option<Item> {
        if !self.take(b'"') {
            return None;
        }
        let mut text = String::new();
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(Item::Text(text)),
                b'\\' => {
                    let escaped = self.peek()?;
                    self.at += 1;
                    if !matches!(escaped, b'"' | b'\\') {
                        return None;
                    }
                    text.push(char::from(escaped));
                }
                0x20..=0x7e => text.push(char::from(byte)),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_keys_and_typed_values() {
        let read =
            dictionary(b"  no-store, max-age=-5;a=1;b, private=\"x, \\\"y\", a=?0, b=1.5, c=(1 \"x\";q=2 ), d=tok/en")
                .unwrap();
        let find = |key: &str| read.iter().find(|(known, _)| known == key).map(|(_, item)| item.clone());
        assert_eq!(find("no-store"), Some(Item::Boolean(true)));
        assert_eq!(find("max-age"), Some(Item::Integer(-5)));
        assert_eq!(find("private"), Some(Item::Text("x, \"y".to_owned())));
        assert_eq!(find("a"), Some(Item::Boolean(false)));
        for other in ["b", "c", "d"] {
            assert_eq!(find(other), Some(Item::Other), "{other}");
        }
        assert_eq!(dictionary(b"a=1, a=2").unwrap(), [("a".to_owned(), Item::Integer(2))]);
        assert_eq!(dictionary(b"").unwrap(), []);
    }

    #[test]
    fn what_is_no_dictionary_gives_nothing() {
        for text in [
            "max-age=10, &&&&&",
            "Max-Age=1",
            "max-age =1",
            "max-age= 1",
            "a,",
            "a,,b",
            "a=\"x",
            "a=1 b",
            "a=9999999999999999",
            "a=1.",
            "a=1.2345",
            "a=(1",
            "a=(1,2)",
            "a=?2",
            "a=:x",
            "a=@1.5",
            "a=",
            "=1",
            "a=\u{e9}",
        ] {
            assert_eq!(dictionary(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, text in "[a-c0-9=,;\"(:?@%. *-]{0,40}") {
            let _ = (dictionary(&bytes), dictionary(text.as_bytes()));
        }
    }
}
