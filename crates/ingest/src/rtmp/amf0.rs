//! AMF0 values (Adobe "Action Message Format -- AMF 0").
//!
//! Decoding never allocates by a length that the peer states: strings are cut from bytes that are there, arrays grow
//! by the values that are read.

/// Objects and arrays inside each other.
pub const MAX_DEPTH: usize = 16;

/// Values in one message, nested ones included.
pub const MAX_VALUES: usize = 4096;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0A;
const DATE: u8 = 0x0B;
const LONG_STRING: u8 = 0x0C;
const UNSUPPORTED: u8 = 0x0D;
const XML_DOCUMENT: u8 = 0x0F;
const TYPED_OBJECT: u8 = 0x10;

/// Why bytes are not AMF0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Amf0Error {
    /// The bytes end inside a value.
    #[error("amf0 value is cut off")]
    Truncated,
    /// A type marker that AMF0 does not have or that no encoder sends.
    #[error("amf0 marker is not supported: {0:#04x}")]
    Marker(u8),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("amf0 values are nested deeper than {MAX_DEPTH}")]
    Depth,
    /// More than [`MAX_VALUES`] values.
    #[error("amf0 message has more than {MAX_VALUES} values")]
    Count,
}

/// One AMF0 value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Number (2.2).
    Number(f64),
    /// Boolean (2.3).
    Boolean(bool),
    /// String or long string (2.4, 2.14); bytes that are not UTF-8 are replaced.
    String(String),
    /// Object, typed or not (2.5, 2.18), in the order of the wire.
    Object(Vec<(String, Value)>),
    /// Null (2.7).
    Null,
    /// Undefined (2.8), or the unsupported marker (2.15).
    Undefined,
    /// ECMA array (2.10), in the order of the wire.
    EcmaArray(Vec<(String, Value)>),
    /// Strict array (2.12).
    StrictArray(Vec<Value>),
    /// Milliseconds since the Unix epoch (2.13); the reserved time zone is dropped.
    Date(f64),
}

impl Value {
    /// A string value.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::String(text.to_owned())
    }

    /// An object of these properties.
    #[must_use]
    pub fn object<const N: usize>(properties: [(&str, Self); N]) -> Self {
        Self::Object(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number of a number.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// Properties of an object or ECMA array.
    #[must_use]
    pub fn properties(&self) -> &[(String, Value)] {
        match self {
            Self::Object(properties) | Self::EcmaArray(properties) => properties,
            _ => &[],
        }
    }

    /// The first property of that name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.properties().iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// Decodes the values of one message, to its end.
///
/// # Errors
/// The bytes are not AMF0 or exceed the limits of this module.
pub fn decode(bytes: &[u8]) -> Result<Vec<Value>, Amf0Error> {
    let mut reader = Reader { bytes, values: 0 };
    let mut values = Vec::new();
    while !reader.bytes.is_empty() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

struct Reader<'a> {
    bytes: &'a [u8],
    values: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Amf0Error> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Amf0Error::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Amf0Error> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(Amf0Error::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn text(&mut self, len: usize) -> Result<String, Amf0Error> {
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    fn short_text(&mut self) -> Result<String, Amf0Error> {
        let len = u16::from_be_bytes(self.array()?);
        self.text(usize::from(len))
    }

    fn long_text(&mut self) -> Result<String, Amf0Error> {
        let len = u32::from_be_bytes(self.array()?);
        self.text(usize::try_from(len).map_err(|_| Amf0Error::Truncated)?)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        if depth > MAX_DEPTH {
            return Err(Amf0Error::Depth);
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Amf0Error::Count);
        }
        let [marker] = self.array()?;
        match marker {
            NUMBER => Ok(Value::Number(f64::from_be_bytes(self.array()?))),
            BOOLEAN => Ok(Value::Boolean(self.array::<1>()? != [0])),
            STRING => self.short_text().map(Value::String),
            LONG_STRING | XML_DOCUMENT => self.long_text().map(Value::String),
            OBJECT => self.properties(depth).map(Value::Object),
            TYPED_OBJECT => {
                self.short_text()?;
                self.properties(depth).map(Value::Object)
            }
            NULL => Ok(Value::Null),
            UNDEFINED | UNSUPPORTED => Ok(Value::Undefined),
            ECMA_ARRAY => {
                // The count is a hint that encoders get wrong; the end marker decides.
                self.array::<4>()?;
                self.properties(depth).map(Value::EcmaArray)
            }
            STRICT_ARRAY => self.strict_array(depth),
            DATE => {
                let milliseconds = f64::from_be_bytes(self.array()?);
                self.array::<2>()?;
                Ok(Value::Date(milliseconds))
            }
            other => Err(Amf0Error::Marker(other)),
        }
    }

    fn properties(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Amf0Error> {
        let mut properties = Vec::new();
        loop {
            let name = self.short_text()?;
            if name.is_empty() && self.bytes.first() == Some(&OBJECT_END) {
                self.array::<1>()?;
                return Ok(properties);
            }
            properties.push((name, self.value(depth + 1)?));
        }
    }

    fn strict_array(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        let count = u32::from_be_bytes(self.array()?);
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(Value::StrictArray(values))
    }
}

/// Appends the encoding of `value`. Strings above 65,535 bytes become long strings; property names are cut there.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.push(NUMBER);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(truth) => out.extend_from_slice(&[BOOLEAN, u8::from(*truth)]),
        Value::String(text) => encode_string(text, out),
        Value::Object(properties) => {
            out.push(OBJECT);
            encode_properties(properties, out);
        }
        Value::Null => out.push(NULL),
        Value::Undefined => out.push(UNDEFINED),
        Value::EcmaArray(properties) => {
            out.push(ECMA_ARRAY);
            out.extend_from_slice(&length(properties.len()));
            encode_properties(properties, out);
        }
        Value::StrictArray(values) => {
            out.push(STRICT_ARRAY);
            out.extend_from_slice(&length(values.len()));
            for value in values {
                encode(value, out);
            }
        }
        Value::Date(milliseconds) => {
            out.push(DATE);
            out.extend_from_slice(&milliseconds.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
    }
}

/// The encodings of `values`, one after another.
#[must_use]
pub fn encode_all(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        encode(value, &mut out);
    }
    out
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

fn encode_string(text: &str, out: &mut Vec<u8>) {
    if let Ok(len) = u16::try_from(text.len()) {
        out.push(STRING);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(LONG_STRING);
        out.extend_from_slice(&length(text.len()));
    }
    out.extend_from_slice(text.as_bytes());
}

fn encode_properties(properties: &[(String, Value)], out: &mut Vec<u8>) {
    for (name, value) in properties {
        let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(name);
        encode(value, out);
    }
    out.extend_from_slice(&[0, 0, OBJECT_END]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(|n| Value::Number(f64::from(n) / 8.0)),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,20}".prop_map(Value::String),
            Just(Value::Null),
            Just(Value::Undefined),
            any::<i32>().prop_map(|n| Value::Date(f64::from(n))),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let properties = prop::collection::vec(("[a-z]{1,8}", inner.clone()), 0..4);
            prop_oneof![
                properties.clone().prop_map(Value::Object),
                properties.prop_map(Value::EcmaArray),
                prop::collection::vec(inner, 0..4).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_equal(all in prop::collection::vec(values(), 0..4)) {
            prop_assert_eq!(decode(&encode_all(&all)).unwrap(), all);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn truncation_is_an_error_or_fewer_values(value in values(), cut in any::<prop::sample::Index>()) {
            let bytes = encode_all(std::slice::from_ref(&value));
            let cut = cut.index(bytes.len());
            prop_assert!(decode(&bytes[..cut]).is_err() || cut == 0);
        }
    }

    #[test]
    fn nesting_is_limited() {
        let mut bytes = Vec::new();
        for _ in 0..100 {
            bytes.extend_from_slice(&[OBJECT, 0, 1, b'a']);
        }
        assert_eq!(decode(&bytes), Err(Amf0Error::Depth));
    }

    #[test]
    fn a_stated_length_allocates_nothing() {
        assert_eq!(decode(&[STRICT_ARRAY, 0xFF, 0xFF, 0xFF, 0xFF]), Err(Amf0Error::Truncated));
        assert_eq!(decode(&[LONG_STRING, 0xFF, 0xFF, 0xFF, 0xFF, 1]), Err(Amf0Error::Truncated));
        assert_eq!(decode(&[NULL; MAX_VALUES + 1]), Err(Amf0Error::Count));
    }

    #[test]
    fn long_strings_round_trip() {
        let text = Value::String("x".repeat(70_000));
        assert_eq!(decode(&encode_all(std::slice::from_ref(&text))).unwrap(), vec![text]);
    }

    #[test]
    fn typed_objects_and_rare_markers() {
        let typed = [TYPED_OBJECT, 0, 1, b'T', 0, 1, b'a', BOOLEAN, 1, 0, 0, OBJECT_END];
        assert_eq!(decode(&typed).unwrap(), vec![Value::object([("a", Value::Boolean(true))])]);
        assert_eq!(decode(&[UNSUPPORTED]).unwrap(), vec![Value::Undefined]);
        assert_eq!(decode(&[0x11]), Err(Amf0Error::Marker(0x11)));
    }
}
