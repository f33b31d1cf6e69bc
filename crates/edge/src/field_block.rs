//! Fields in one buffer.

/// What a field takes of a list besides its text (RFC 9113 §6.5.2), and an entry of a table of HPACK (RFC 7541 §4.1).
pub(crate) const ENTRY_BYTES: usize = 32;

/// Where a field ends in the buffer; it begins where the last one ends.
#[derive(Clone, Copy, Debug)]
struct Ends {
    name: usize,
    value: usize,
}

/// The fields of one head, in order; to be used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct FieldBlock {
    bytes: Vec<u8>,
    ends: Vec<Ends>,
    /// Size of the list as RFC 9113 §6.5.2 counts it, with what was left out.
    size: usize,
    over: bool,
}

impl FieldBlock {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.size = 0;
        self.over = false;
    }

    /// Whether there was more than the limit; what was has been left out.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Size of the list, with what has been left out.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Bytes of memory that it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<Ends>()
    }

    /// Name and value of each field.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut begin = 0;
        self.ends.iter().map(move |ends| {
            let field = (&self.bytes[begin..ends.name], &self.bytes[ends.name..ends.value]);
            begin = ends.value;
            field
        })
    }

    /// The buffer, for the text of a field that [`Self::end`] ends.
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// What has been written since the last field.
    pub(crate) fn fresh(&self) -> &[u8] {
        &self.bytes[self.begin()..]
    }

    fn begin(&self) -> usize {
        self.ends.last().map_or(0, |last| last.value)
    }

    /// Ends a field whose name has `name` bytes, and leaves it out if it goes over `limit`.
    pub(crate) fn end(&mut self, name: usize, limit: usize) {
        let begin = self.begin();
        self.size = self.size.saturating_add(self.bytes.len() - begin + ENTRY_BYTES);
        if self.size > limit {
            self.over = true;
            self.bytes.truncate(begin);
        } else {
            self.ends.push(Ends { name: begin + name, value: self.bytes.len() });
        }
    }

    /// Appends a field.
    #[cfg(test)]
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.end(name.len(), usize::MAX);
    }
}
