//! Comma-separated values (RFC 4180), which a spreadsheet reads as text and not as formulas.

use super::{Charges, Usage, UsageCounts};

/// A table that is written line by line.
#[derive(Debug, Default)]
pub(super) struct Csv(String);

impl Csv {
    /// Writes a line.
    pub(super) fn line<T: AsRef<str>>(&mut self, fields: impl IntoIterator<Item = T>) {
        for (at, field) in fields.into_iter().enumerate() {
            if at > 0 {
                self.0.push(',');
            }
            self.field(field.as_ref());
        }
        self.0.push_str("\r\n");
    }

    /// A text that a spreadsheet would take for a formula gets an apostrophe in front; numbers, also negative ones, are left as they are.
    fn field(&mut self, text: &str) {
        let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && !is_number(text);
        let quoted = formula || text.contains(['"', ',', '\r', '\n']);
        if !quoted {
            self.0.push_str(text);
            return;
        }
        self.0.push('"');
        if formula {
            self.0.push('\'');
        }
        for letter in text.chars() {
            if letter == '"' {
                self.0.push('"');
            }
            self.0.push(letter);
        }
        self.0.push('"');
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Heading of a column, and what stands in it.
type Column = (&'static str, fn(&UsageCounts) -> u64);

/// The columns of usage.
const USAGE: [Column; 12] = [
    ("bytes", |counts| counts.bytes),
    ("requests", |counts| counts.requests),
    ("hits", |counts| counts.hits),
    ("misses", |counts| counts.misses),
    ("errors", |counts| counts.errors),
    ("viewer_minutes", |counts| counts.viewer_minutes),
    ("peak_viewers", |counts| counts.peak_viewers),
    ("viewers", |counts| counts.viewers),
    ("stream_seconds", |counts| counts.stream_seconds),
    ("ingest_bytes", |counts| counts.ingest_bytes),
    ("conversion_seconds", |counts| counts.conversion_seconds),
    ("storage_byte_hours", |counts| counts.storage_byte_hours),
];

impl Usage {
    /// The rows, without the sum.
    pub(crate) fn csv(&self) -> String {
        let mut csv = Csv::default();
        csv.line(["key", "name", "from", "to"].into_iter().chain(USAGE.map(|(heading, _)| heading)));
        for item in &self.items {
            let texts = [&item.key, &item.name, &self.from, &self.to].map(String::clone);
            csv.line(texts.into_iter().chain(USAGE.map(|(_, value)| value(&item.counts).to_string())));
        }
        csv.into_text()
    }
}

impl Charges {
    /// A line for each charge.
    pub(crate) fn csv(&self) -> String {
        let mut csv = Csv::default();
        csv.line([
            "kind",
            "key",
            "name",
            "session",
            "month",
            "service",
            "component",
            "quantity",
            "unit",
            "unit_price",
            "amount",
            "currency",
            "model",
            "state",
            "at",
            "arithmetic",
            "rule",
            "price_source",
        ]);
        let none = String::new();
        for item in &self.items {
            for service in &item.services {
                let session = if service.session == 0 { String::new() } else { service.session.to_string() };
                csv.line([
                    &item.kind,
                    &item.key,
                    &item.name,
                    &session,
                    service.month.as_ref().unwrap_or(&none),
                    &service.service,
                    &service.component,
                    &service.quantity,
                    &service.unit,
                    &service.unit_price,
                    &service.amount,
                    &item.currency,
                    &item.model,
                    &service.state,
                    &service.at,
                    service.arithmetic.as_ref().unwrap_or(&none),
                    service.rule.as_ref().unwrap_or(&none),
                    service.price_source.as_ref().unwrap_or(&none),
                ]);
            }
        }
        csv.into_text()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_like_a_formula_is_text() {
        let mut csv = Csv::default();
        csv.line(["=1+1", "a,b", "say \"hi\"", "-5.25", "-x", "two\nlines", "", "plain"]);
        assert_eq!(csv.into_text(), "\"'=1+1\",\"a,b\",\"say \"\"hi\"\"\",-5.25,\"'-x\",\"two\nlines\",,plain\r\n");
    }

    /// Fields of a line as RFC 4180 reads it.
    fn read(text: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut letters = text.strip_suffix("\r\n").unwrap().chars().peekable();
        let mut quoted = false;
        while let Some(letter) = letters.next() {
            match letter {
                '"' if quoted && letters.peek() == Some(&'"') => {
                    fields.last_mut().unwrap().push(letters.next().unwrap());
                }
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                _ => fields.last_mut().unwrap().push(letter),
            }
        }
        assert!(!quoted);
        fields
    }

    proptest! {
        #[test]
        fn a_line_is_read_back(fields in prop::collection::vec(".{0,12}", 1..6)) {
            let mut csv = Csv::default();
            csv.line(&fields);
            let back = read(&csv.into_text());
            prop_assert_eq!(back.len(), fields.len());
            for (is, was) in back.iter().zip(&fields) {
                prop_assert_eq!(is.strip_prefix('\'').filter(|rest| *rest == was).unwrap_or(is), was.as_str());
                prop_assert!(is_number(is) || !is.starts_with(['=', '+', '-', '@', '\t']));
            }
        }
    }
}
