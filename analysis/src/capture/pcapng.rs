//! The pcapng format (draft-ietf-opsawg-pcapng): section headers, interface descriptions and the three kinds of
//! packet blocks.

use super::{
    CaptureError, CaptureReader, CapturedInterface, Clock, Direction, LinkType, MAX_BLOCK, Order, Record,
};
use crate::pcapng::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, EPB_FLAGS, IF_NAME, IF_TSOFFSET, IF_TSRESOL, INTERFACE_DESCRIPTION,
    OBSOLETE_PACKET, OPT_END, SECTION_HEADER, SIMPLE_PACKET,
};

/// Type and length of a block.
const HEADER: usize = 8;
/// The repeated length at its end.
const TRAILER: usize = 4;

impl CaptureReader {
    pub(super) fn next_pcapng(&mut self) -> Result<Option<Record>, CaptureError> {
        loop {
            let Some(&[a, b, c, d, e, f, g, h]) = self.take(HEADER)? else { return Ok(None) };
            let section = u32::from_be_bytes([a, b, c, d]) == SECTION_HEADER;
            if section {
                self.byte_order()?;
            }
            let kind = self.order.u32([a, b, c, d]);
            let len = self.order.u32([e, f, g, h]) as usize;
            if len < HEADER + TRAILER || !len.is_multiple_of(4) || len > MAX_BLOCK {
                return Err(self.malformed("impossible block length"));
            }
            let packet = self.packets + 1;
            let block = self.input.extend(len).map_err(|error| CaptureError::Io { packet, error })?;
            let Some(block) = block else { return Ok(None) };
            let order = self.order;
            let body = &block[HEADER..len - TRAILER];
            let record = match kind {
                _ if section => {
                    self.section_start = self.interfaces.len();
                    continue;
                }
                INTERFACE_DESCRIPTION => {
                    let interface = interface_description(order, body);
                    self.interfaces.push(interface.map_err(|what| self.malformed(what))?);
                    continue;
                }
                ENHANCED_PACKET => enhanced_packet(order, body, &self.interfaces, self.section_start),
                OBSOLETE_PACKET => obsolete_packet(order, body, &self.interfaces, self.section_start),
                SIMPLE_PACKET => simple_packet(order, body, &self.interfaces, self.section_start),
                _ => continue,
            };
            let mut record = record.map_err(|what| self.malformed(what))?;
            record.start += HEADER;
            record.end += HEADER;
            return Ok(Some(record));
        }
    }

    /// Learns the byte order from the section header at the front of the input.
    fn byte_order(&mut self) -> Result<(), CaptureError> {
        let packet = self.packets + 1;
        let start = self.input.extend(12).map_err(|error| CaptureError::Io { packet, error })?;
        let Some(&[.., a, b, c, d]) = start else { return Ok(()) };
        self.order = if u32::from_le_bytes([a, b, c, d]) == BYTE_ORDER_MAGIC {
            Order::Little
        } else if u32::from_be_bytes([a, b, c, d]) == BYTE_ORDER_MAGIC {
            Order::Big
        } else {
            return Err(self.malformed("section header without byte-order magic"));
        };
        Ok(())
    }
}

const TOO_SHORT: &str = "packet block too short";
const NOT_DESCRIBED: &str = "packet of an interface that was not described";

fn interface_description(order: Order, body: &[u8]) -> Result<CapturedInterface, &'static str> {
    let (Some(link), Some(snap_len)) = (order.word16(body, 0), order.word32(body, 4)) else {
        return Err("interface description too short");
    };
    let mut interface =
        CapturedInterface { name: String::new(), link: LinkType(link), snap_len, clock: Clock::MICROSECONDS };
    for (code, value) in options(order, body.get(8..).unwrap_or_default()) {
        match (code, value) {
            (IF_NAME, name) => {
                String::from_utf8_lossy(name).trim_end_matches('\0').clone_into(&mut interface.name);
            }
            (IF_TSRESOL, &[octet, ..]) => match Clock::resolution(octet) {
                Some(ticks_per_second) => interface.clock.ticks_per_second = ticks_per_second,
                None => return Err("time resolution finer than 128 bits can count"),
            },
            (IF_TSOFFSET, &[a, b, c, d, e, f, g, h]) => {
                interface.clock.offset_seconds = order.u64([a, b, c, d, e, f, g, h]).cast_signed();
            }
            _ => {}
        }
    }
    Ok(interface)
}

fn enhanced_packet(
    order: Order,
    body: &[u8],
    interfaces: &[CapturedInterface],
    section_start: usize,
) -> Result<Record, &'static str> {
    let interface = order.word32(body, 0).ok_or(TOO_SHORT)?;
    let mut record = packet(order, body, interface, interfaces, section_start)?;
    let after = record.end.next_multiple_of(4);
    for (code, value) in options(order, body.get(after..).unwrap_or_default()) {
        if let (EPB_FLAGS, &[a, b, c, d]) = (code, value) {
            record.direction = match order.u32([a, b, c, d]) & 3 {
                1 => Some(Direction::Inbound),
                2 => Some(Direction::Outbound),
                _ => None,
            };
        }
    }
    Ok(record)
}

fn obsolete_packet(
    order: Order,
    body: &[u8],
    interfaces: &[CapturedInterface],
    section_start: usize,
) -> Result<Record, &'static str> {
    let interface = u32::from(order.word16(body, 0).ok_or(TOO_SHORT)?);
    packet(order, body, interface, interfaces, section_start)
}

fn simple_packet(
    order: Order,
    body: &[u8],
    interfaces: &[CapturedInterface],
    section_start: usize,
) -> Result<Record, &'static str> {
    let original_len = order.word32(body, 0).ok_or(TOO_SHORT)?;
    let interface = interfaces.get(section_start).ok_or(NOT_DESCRIBED)?;
    let snap_len = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
    let captured = (body.len() - 4).min(original_len.min(snap_len) as usize);
    let (start, end) = (4, 4 + captured);
    Ok(Record { interface: section_start, nanos: 0, direction: None, original_len, start, end })
}

/// What enhanced and obsolete packet blocks share: time and lengths from octet 4 on, the packet from 20.
#[inline]
fn packet(
    order: Order,
    body: &[u8],
    interface: u32,
    interfaces: &[CapturedInterface],
    section_start: usize,
) -> Result<Record, &'static str> {
    const PACKET: usize = 20;
    let word = |at| order.word32(body, at).ok_or(TOO_SHORT);
    let (high, low, captured, original_len) = (word(4)?, word(8)?, word(12)?, word(16)?);
    let interface = section_start.saturating_add(interface as usize);
    let described = interfaces.get(interface).ok_or(NOT_DESCRIBED)?;
    let end = (captured as usize).saturating_add(PACKET);
    if end > body.len() {
        return Err("captured length beyond the block");
    }
    let nanos = described.clock.nanos(u64::from(high) << 32 | u64::from(low));
    Ok(Record { interface, nanos, direction: None, original_len, start: PACKET, end })
}

/// The options of a block, up to the end mark or the first that does not fit.
#[inline]
fn options(order: Order, octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let (header, tail) = rest.split_first_chunk::<4>()?;
        let code = order.u16([header[0], header[1]]);
        let len = usize::from(order.u16([header[2], header[3]]));
        if code == OPT_END {
            return None;
        }
        let value = tail.get(..len)?;
        rest = tail.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((code, value))
    })
}
