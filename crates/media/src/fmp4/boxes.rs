//! Boxes (ISO/IEC 14496-12 §4.2) written into a byte vector, sizes filled in when a box closes.

/// A file in the making.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// `Box`: u32 size, u32 type, body.
    pub(super) fn plain(&mut self, kind: &[u8; 4], body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.u32(0);
        self.put(kind);
        body(self);
        let size =
            u32::try_from(self.bytes.len() - start).expect("limits on tracks and segments keep boxes below 4 GiB");
        self.patch(start, size);
    }

    /// `FullBox`: u32 size, u32 type, u8 version, u24 flags, body.
    pub(super) fn full(&mut self, kind: &[u8; 4], version: u8, flags: u32, body: impl FnOnce(&mut Self)) {
        self.plain(kind, |w| {
            w.u32(u32::from(version) << 24 | flags);
            body(w);
        });
    }

    /// MPEG-4 descriptor (ISO/IEC 14496-1 §8.3.3): u8 tag, length in 7-bit groups, body.
    pub(super) fn descriptor(&mut self, tag: u8, body: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        body(&mut inner);
        let length = inner.bytes.len();
        self.u8(tag);
        for shift in [21, 14, 7] {
            if length >> shift > 0 {
                self.u8(0x80 | (length >> shift) as u8 & 0x7f);
            }
        }
        self.u8(length as u8 & 0x7f);
        self.put(&inner.bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn u24(&mut self, value: u32) {
        self.put(&value.to_be_bytes()[1..]);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Overwrites the u32 at `at`.
    pub(super) fn patch(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_lengths_grow_in_groups_of_seven_bits() {
        for (length, head) in
            [(5, &[5, 5][..]), (127, &[5, 127]), (128, &[5, 0x81, 0]), (20_000, &[5, 0x81, 0x9c, 0x20])]
        {
            let mut writer = Writer::default();
            writer.descriptor(5, |w| w.zeros(length));
            assert_eq!(writer.into_bytes()[..head.len()], *head);
        }
    }
}
