//! Program association and program map sections (§2.4.4).

/// `stream_type` (table 2-34).
pub(super) const STREAM_H264: u8 = 0x1b;
pub(super) const STREAM_ADTS: u8 = 0x0f;

/// The only programme.
const PROGRAM: u16 = 1;

/// `program_association_section` of one programme.
pub(super) fn association(map_pid: u16) -> Vec<u8> {
    let mut body = PROGRAM.to_be_bytes().to_vec();
    body.extend_from_slice(&(0xe000 | map_pid).to_be_bytes()); // 3 bits reserved, 13 bits program_map_PID
    section(0, 1, &body)
}

/// `TS_program_map_section` of streams, each a type and a PID.
pub(super) fn program_map(clock_pid: u16, streams: &[(u8, u16)]) -> Vec<u8> {
    let mut body = (0xe000 | clock_pid).to_be_bytes().to_vec();
    body.extend_from_slice(&0xf000_u16.to_be_bytes()); // 4 bits reserved, 12 bits program_info_length
    for (kind, pid) in streams {
        body.push(*kind);
        body.extend_from_slice(&(0xe000 | pid).to_be_bytes()); // 3 bits reserved, 13 bits elementary_PID
        body.extend_from_slice(&0xf000_u16.to_be_bytes()); // 4 bits reserved, 12 bits ES_info_length
    }
    section(2, PROGRAM, &body)
}

/// u8 table_id; 1 bit section_syntax_indicator, '0', 2 bits reserved, 12 bits section_length; u16 identifier; 2 bits reserved, 5 bits
/// version_number, 1 bit current_next_indicator; u8 section_number, u8 last_section_number; body; u32 CRC_32
fn section(table: u8, identifier: u16, body: &[u8]) -> Vec<u8> {
    let length = (5 + body.len() + 4) as u16;
    let mut section = vec![table];
    section.extend_from_slice(&(0xb000 | length).to_be_bytes());
    section.extend_from_slice(&identifier.to_be_bytes());
    section.extend_from_slice(&[0xc1, 0, 0]);
    section.extend_from_slice(body);
    let crc = crc32(&section);
    section.extend_from_slice(&crc.to_be_bytes());
    section
}

/// The CRC of annex A: polynomial 0x04c11db7, high bit first, begun with ones.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            let carried = crc & 0x8000_0000 != 0;
            crc << 1 ^ if carried { 0x04c1_1db7 } else { 0 }
        })
    })
}
