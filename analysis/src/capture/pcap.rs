//! The pcap format (draft-ietf-opsawg-pcap) and Kuznetzov's variant of it, whose records carry eight octets
//! more.

use super::{
    CaptureError, CaptureReader, CapturedInterface, Clock, Format, LinkType, MAX_BLOCK, Order, Record,
};

/// Octets of the header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// 16.
    Plain,
    /// 24: interface, protocol and packet type follow.
    Kuznetzov,
}

impl CaptureReader {
    /// Reads the rest of the header of a file that began with `magic`.
    pub(super) fn pcap_header(&mut self, magic: u32) -> Result<(), CaptureError> {
        use Variant::{Kuznetzov, Plain};
        let (order, variant, clock) = match (magic, magic.swap_bytes()) {
            (0xa1b2_c3d4, _) => (Order::Big, Plain, Clock::MICROSECONDS),
            (_, 0xa1b2_c3d4) => (Order::Little, Plain, Clock::MICROSECONDS),
            (0xa1b2_3c4d, _) => (Order::Big, Plain, Clock::NANOSECONDS),
            (_, 0xa1b2_3c4d) => (Order::Little, Plain, Clock::NANOSECONDS),
            (0xa1b2_cd34, _) => (Order::Big, Kuznetzov, Clock::MICROSECONDS),
            (_, 0xa1b2_cd34) => (Order::Little, Kuznetzov, Clock::MICROSECONDS),
            _ => return Err(CaptureError::UnknownFormat(magic)),
        };
        let Some(header) = self.take(20)? else {
            return Err(self.malformed("the file header is cut"));
        };
        let word = |at| order.word32(header, at).unwrap_or(0);
        // The upper half of the word holds the frame check sequence length.
        let (snap_len, link) = (word(12), LinkType(word(16) as u16));
        self.format = Format::Pcap(variant);
        self.order = order;
        self.interfaces.push(CapturedInterface { name: String::new(), link, snap_len, clock });
        Ok(())
    }

    pub(super) fn next_pcap(&mut self, variant: Variant) -> Result<Option<Record>, CaptureError> {
        let header_len = match variant {
            Variant::Plain => 16,
            Variant::Kuznetzov => 24,
        };
        let order = self.order;
        let Some(header) = self.take(header_len)? else { return Ok(None) };
        let word = |at| order.word32(header, at).unwrap_or(0);
        let (seconds, fraction, captured, original_len) = (word(0), word(4), word(8) as usize, word(12));
        if captured > MAX_BLOCK {
            return Err(self.malformed("impossible captured length"));
        }
        let end = header_len + captured;
        let packet = self.packets + 1;
        if self.input.extend(end).map_err(|error| CaptureError::Io { packet, error })?.is_none() {
            return Ok(None);
        }
        let clock = self.interfaces[0].clock;
        let nanos = u64::from(seconds) * 1_000_000_000 + clock.nanos(u64::from(fraction));
        Ok(Some(Record { interface: 0, nanos, direction: None, original_len, start: header_len, end }))
    }
}
