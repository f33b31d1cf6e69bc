//! Packets and PES packets (§2.4.3).

use super::PACKET_BYTES;

const SYNC_BYTE: u8 = 0x47;

/// Bytes of a packet's head.
const HEAD_BYTES: usize = 4;

/// The packets of one PID.
#[derive(Debug)]
pub(super) struct Packets {
    pid: u16,
    counter: u8,
}

/// When a PES packet is decoded and shown, in 1/90000 s.
#[derive(Clone, Copy)]
pub(super) struct PesTimes {
    pub(super) pts: i64,
    pub(super) dts: i64,
    /// `program_clock_reference_base`, if this packet carries the clock.
    pub(super) clock: Option<i64>,
    pub(super) random_access: bool,
}

impl Packets {
    pub(super) fn new(pid: u16) -> Self {
        Self { pid, counter: 0 }
    }

    /// u8 sync byte; 1 bit transport_error_indicator, 1 bit payload_unit_start_indicator, 1 bit transport_priority, 13 bits PID;
    /// 2 bits transport_scrambling_control, 2 bits adaptation_field_control, 4 bits continuity_counter
    fn head(&mut self, starts: bool, adapted: bool, out: &mut Vec<u8>) {
        let start = if starts { 0x40 } else { 0 };
        let control = if adapted { 0x30 } else { 0x10 };
        out.extend_from_slice(&[SYNC_BYTE, start | (self.pid >> 8) as u8, self.pid as u8, control | self.counter]);
        self.counter = (self.counter + 1) & 15;
    }

    /// A section that fits one packet, the rest filled up.
    pub(super) fn section(&mut self, section: &[u8], out: &mut Vec<u8>) {
        let end = out.len() + PACKET_BYTES;
        self.head(true, false, out);
        out.push(0); // pointer_field
        out.extend_from_slice(section);
        debug_assert!(out.len() <= end, "tables of two streams fit a packet");
        out.resize(end, 0xff);
    }

    /// One PES packet in as many packets as it takes; the last one is filled up in its adaptation field.
    pub(super) fn pes(&mut self, stream_id: u8, times: PesTimes, payload: &[u8], out: &mut Vec<u8>) {
        out.reserve((payload.len() / (PACKET_BYTES - HEAD_BYTES) + 2) * PACKET_BYTES);
        let head = pes_head(stream_id, &times, payload.len());
        let adaptation = adaptation_field(&times);
        // The head and what an adaptation field takes are far below one packet.
        let room = PACKET_BYTES - HEAD_BYTES - adaptation.len() - head.len();
        let taken = payload.len().min(room);
        self.one(true, &adaptation, &head, &payload[..taken], out);
        let mut rest = &payload[taken..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PACKET_BYTES - HEAD_BYTES));
            self.one(false, &[], &[], now, out);
            rest = later;
        }
    }

    /// A packet with an adaptation field (its length byte included), grown by stuffing until the packet is full.
    fn one(&mut self, starts: bool, adaptation: &[u8], head: &[u8], payload: &[u8], out: &mut Vec<u8>) {
        let stuffing = PACKET_BYTES - HEAD_BYTES - adaptation.len() - head.len() - payload.len();
        self.head(starts, !adaptation.is_empty() || stuffing > 0, out);
        if stuffing > 0 {
            let length = adaptation.len() + stuffing - 1;
            out.push(length as u8); // adaptation_field_length
            match adaptation.get(1..) {
                Some(fields) => {
                    out.extend_from_slice(fields);
                    out.resize(out.len() + stuffing, 0xff);
                }
                None if length > 0 => {
                    out.push(0); // no flag is set
                    out.resize(out.len() + length - 1, 0xff);
                }
                None => {}
            }
        } else {
            out.extend_from_slice(adaptation);
        }
        out.extend_from_slice(head);
        out.extend_from_slice(payload);
    }
}

/// `adaptation_field` (§2.4.3.4) with its length; empty if there is nothing to tell.
fn adaptation_field(times: &PesTimes) -> Vec<u8> {
    let random_access = if times.random_access { 0x40 } else { 0 };
    let Some(clock) = times.clock else {
        return if times.random_access { vec![1, random_access] } else { Vec::new() };
    };
    // 33 bits base, 6 bits reserved, 9 bits extension
    let base = clock as u64 & 0x1_ffff_ffff;
    let word = (base << 15 | 0x7e00).to_be_bytes();
    let mut field = vec![7, random_access | 0x10];
    field.extend_from_slice(&word[2..]);
    field
}

/// Head of a PES packet (§2.4.3.6).
fn pes_head(stream_id: u8, times: &PesTimes, payload_bytes: usize) -> Vec<u8> {
    let mut stamps = Vec::with_capacity(10);
    if times.pts == times.dts {
        stamp(0b0010, times.pts, &mut stamps);
    } else {
        stamp(0b0011, times.pts, &mut stamps);
        stamp(0b0001, times.dts, &mut stamps);
    }
    // PES_packet_length counts what follows it; of pictures that are longer it is 0.
    let length = u16::try_from(3 + stamps.len() + payload_bytes).unwrap_or(0);
    let flags = if stamps.len() > 5 { 0xc0 } else { 0x80 };
    let mut head = vec![0, 0, 1, stream_id];
    head.extend_from_slice(&length.to_be_bytes());
    // 2 bits '10', 2 bits PES_scrambling_control, PES_priority, data_alignment_indicator = 1, copyright, original_or_copy
    head.extend_from_slice(&[0x84, flags, stamps.len() as u8]);
    head.extend_from_slice(&stamps);
    head
}

/// 4 bits prefix, 3 bits, marker, 15 bits, marker, 15 bits, marker.
fn stamp(prefix: u8, time: i64, out: &mut Vec<u8>) {
    let time = time as u64 & 0x1_ffff_ffff;
    let field = |shift: u32| ((time >> shift) as u8) & 0xfe;
    out.extend_from_slice(&[
        prefix << 4 | ((time >> 29) as u8 & 0x0e) | 1,
        (time >> 22) as u8,
        field(14) | 1,
        (time >> 7) as u8,
        ((time << 1) as u8) | 1,
    ]);
}
