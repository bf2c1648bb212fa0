//! The option octets of a segment, read as a table of contents: which options, in which order, of
//! which length, and the few values the analysis reports.
//!
//! This reads octets rather than the typed options of the model: a capture may hold options that are
//! cut, of impossible length or padded in unusual ways, and the layout must show them as they stand.
//! It is also a second, independent reader of what the simulator writes.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

/// MPTCP option kind.
pub(super) const MPTCP: u8 = 30;
pub(super) const SACK: u8 = 5;

pub(super) const MP_CAPABLE: u8 = 0;
pub(super) const MP_JOIN: u8 = 1;
pub(super) const DSS: u8 = 2;
const ADD_ADDR: u8 = 3;
const REMOVE_ADDR: u8 = 4;
const MP_PRIO: u8 = 5;
const MP_FAIL: u8 = 6;
const MP_TCPRST: u8 = 8;

/// Splits option octets. Ends at the first option that is cut or of impossible length; padding and
/// the end of the list have one octet.
pub(crate) fn split(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let len = match *rest {
            [] => return None,
            [0, ..] => {
                rest = &rest[..1];
                1
            }
            [1, ..] => 1,
            [_, len, ..] if len >= 2 => usize::from(len),
            _ => return None,
        };
        let option = rest.get(..len)?;
        rest = if option[0] == 0 { &[] } else { &rest[len..] };
        Some(option)
    })
}

/// The octets of an MPTCP option as a subtype, if it has one.
pub(super) fn subtype(option: &[u8]) -> Option<u8> {
    match option {
        [MPTCP, _, octet, ..] => Some(octet >> 4),
        _ => None,
    }
}

/// The name of a subtype; numbers for unassigned ones.
pub(crate) fn subtype_name(subtype: u8) -> &'static str {
    const NAMES: [&str; 16] = [
        "MP_CAPABLE",
        "MP_JOIN",
        "DSS",
        "ADD_ADDR",
        "REMOVE_ADDR",
        "MP_PRIO",
        "MP_FAIL",
        "MP_FASTCLOSE",
        "MP_TCPRST",
        "9",
        "10",
        "11",
        "12",
        "13",
        "14",
        "15",
    ];
    NAMES[usize::from(subtype & 15)]
}

/// Appends the contribution of one option to a layout: kind, or kind, subtype and length. Two
/// segments have the same layout if and only if these octets are equal.
pub(super) fn layout_key(option: &[u8], key: &mut Vec<u8>) {
    key.push(option[0]);
    if option[0] == MPTCP {
        key.push(subtype(option).unwrap_or(15));
        key.push(option.len() as u8);
    }
}

/// Reads a layout made by [`layout_key`], for example `NOP-NOP-TS-DSS26-NOP-NOP`.
pub(super) fn layout_text(key: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = key;
    while let Some((&kind, tail)) = rest.split_first() {
        if !text.is_empty() {
            text.push('-');
        }
        rest = tail;
        let name = match kind {
            0 => "EOL",
            1 => "NOP",
            2 => "MSS",
            3 => "WS",
            4 => "SACKOK",
            5 => "SACK",
            8 => "TS",
            _ => "",
        };
        match (kind, tail) {
            (MPTCP, [subtype, len, tail @ ..]) => {
                text.push_str(&format!("{}{len}", subtype_name(*subtype)));
                rest = tail;
            }
            _ if name.is_empty() => text.push_str(&format!("K{kind}")),
            _ => text.push_str(name),
        }
    }
    text
}

/// A DSS as far as the analysis needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DssView {
    flags: u8,
    len: u8,
    /// Data sequence number, mapping length and subflow sequence number.
    pub(super) mapping: Option<(u64, u16, u32)>,
    checksum: bool,
}

impl DssView {
    /// `None` if the option is shorter than its flags say.
    pub(super) fn parse(option: &[u8]) -> Option<Self> {
        let flags = *option.get(3)?;
        let mut dss = Self { flags, len: option.len() as u8, mapping: None, checksum: false };
        let mut at = 4;
        if flags & 0x01 != 0 {
            at += if flags & 0x02 != 0 { 8 } else { 4 };
        }
        if flags & 0x04 != 0 {
            let width = if flags & 0x08 != 0 { 8 } else { 4 };
            let dsn = option.get(at..at + width)?.iter().fold(0, |dsn, &octet| dsn << 8 | u64::from(octet));
            at += width;
            let rest = option.get(at..)?;
            let [a, b, c, d, e, f, rest @ ..] = rest else { return None };
            let ssn = u32::from_be_bytes([*a, *b, *c, *d]);
            dss.mapping = Some((dsn, u16::from_be_bytes([*e, *f]), ssn));
            dss.checksum = rest.len() >= 2;
        }
        Some(dss)
    }

    pub(super) const fn data_fin(self) -> bool {
        self.flags & 0x10 != 0
    }

    /// What tells one form from another: flags, checksum, length.
    pub(super) const fn form(self) -> (u8, bool, u8) {
        (self.flags & 0x1f, self.checksum, self.len)
    }

    /// The notation of a form: `A4`/`A8` data ACK of 4/8 octets, `M4`/`M8` mapping with a DSN of 4/8
    /// octets, `F` DATA_FIN, `C` checksum, `/n` option length.
    pub(super) fn form_text((flags, checksum, len): (u8, bool, u8)) -> String {
        let ack = match flags & 0x03 {
            0x01 => "A4",
            0x03 => "A8",
            _ => "",
        };
        let mapping = match flags & 0x0c {
            0x04 => "M4",
            0x0c => "M8",
            _ => "",
        };
        let fin = if flags & 0x10 != 0 { "F" } else { "" };
        let checksum = if checksum { "C" } else { "" };
        format!("{ack}{mapping}{fin}{checksum}/{len}")
    }
}

/// The details an event reports of an MPTCP option other than DSS: lengths, flags, ids, versions,
/// addresses; no keys, tokens or nonces. `version` is the MPTCP version of the capture.
pub(super) fn details(option: &[u8], version: u8) -> Map<String, Value> {
    let len = option.len();
    let mut map = Map::new();
    map.insert("len".into(), json!(len));
    let nibble = option.get(2).map_or(0, |octet| octet & 15);
    let octet = |at: usize| option.get(at).copied();
    match subtype(option) {
        Some(MP_CAPABLE) => {
            map.insert("ver".into(), json!(nibble));
            map.insert("flags".into(), json!(octet(3)));
            if len == 22 || len == 24 {
                map.insert("dlen".into(), json!(u16::from_be_bytes([option[20], option[21]])));
                map.insert("csum".into(), json!(len == 24));
            }
        }
        // The third ACK of a join carries neither; version 1 captures show its reserved bits.
        Some(MP_JOIN) if len < 24 || version > 0 => {
            map.insert("id".into(), json!(octet(3)));
            map.insert("backup".into(), json!(nibble & 1));
        }
        Some(ADD_ADDR) => add_addr(option, nibble, version, &mut map),
        Some(REMOVE_ADDR) => {
            map.insert("ids".into(), json!(option.get(3..).unwrap_or_default()));
        }
        Some(MP_PRIO) => {
            map.insert("backup".into(), json!(nibble & 1));
            if let Some(id) = octet(3) {
                map.insert("id".into(), json!(id));
            }
        }
        Some(MP_FAIL) => {
            if let Some(dsn) = option.get(4..12) {
                let dsn = dsn.iter().fold(0, |dsn, &octet| dsn << 8 | u64::from(octet));
                map.insert("dsn".into(), json!(dsn));
            }
        }
        Some(MP_TCPRST) => {
            map.insert("flags".into(), json!(nibble));
            map.insert("reason".into(), json!(octet(3)));
        }
        _ => {}
    }
    map
}

fn add_addr(option: &[u8], nibble: u8, version: u8, map: &mut Map<String, Value>) {
    let len = option.len();
    if version == 0 {
        map.insert("ipver".into(), json!(nibble));
    } else {
        map.insert("echo".into(), json!(nibble & 1));
    }
    map.insert("id".into(), json!(option.get(3)));
    // Version 0 tells the family in the nibble; version 1 by the length.
    let v6 = if version == 0 { nibble == 6 } else { matches!(len, 20 | 22 | 28 | 30) };
    let address = if v6 {
        option
            .get(4..20)
            .and_then(|octets| <[u8; 16]>::try_from(octets).ok())
            .map(|octets| Ipv6Addr::from(octets).to_string())
    } else {
        option.get(4..8).map(|o| Ipv4Addr::new(o[0], o[1], o[2], o[3]).to_string())
    };
    if let Some(address) = address {
        map.insert("addr".into(), json!(address));
    }
    let port_at = if v6 { 20 } else { 8 };
    let with_port = if v6 { matches!(len, 22 | 30) } else { matches!(len, 10 | 18) };
    let port =
        option.get(port_at..port_at + 2).filter(|_| with_port).map(|o| u16::from_be_bytes([o[0], o[1]]));
    if version > 0 && nibble & 1 == 0 || port.is_some() {
        map.insert("port".into(), json!(port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(octets: &[u8]) -> String {
        let mut key = Vec::new();
        for option in split(octets) {
            layout_key(option, &mut key);
        }
        layout_text(&key)
    }

    #[test]
    fn layouts_show_options_up_to_the_first_impossible_one() {
        let dss = [30, 8, 0x20, 1, 0, 0, 0, 9];
        assert_eq!(layout(&[&[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0][..], &dss].concat()), "NOP-NOP-TS-DSS8");
        assert_eq!(layout(&[1, 253, 2, 0, 0, 0]), "NOP-K253-EOL");
        assert_eq!(layout(&[1, 30, 0, 1]), "NOP");
        assert_eq!(layout(&[1, 30, 9, 0x20, 1]), "NOP");
        assert_eq!(layout(&[30, 4, 0xc0, 0, 30, 2]), "124-152");
    }

    #[test]
    fn dss_forms_tell_widths_checksum_and_data_fin() {
        let form = |option: &[u8]| DssView::parse(option).map(|dss| DssView::form_text(dss.form()));
        let mut long = vec![30, 28, 0x20, 0x1f];
        long.extend([0; 24]);
        assert_eq!(form(&long).unwrap(), "A8M8FC/28");
        let short = [30, 18, 0x20, 0x05, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 5, 0];
        assert_eq!(form(&short).unwrap(), "A4M4/18");
        assert_eq!(DssView::parse(&short).unwrap().mapping, Some((7, 1280, 1)));
        assert_eq!(form(&short[..17]), None);
        assert_eq!(form(&short[..3]), None);
    }

    #[test]
    fn addresses_of_both_versions_and_families() {
        let json = |option: &[u8], version| serde_json::to_value(details(option, version)).unwrap();
        let echo = [30, 8, 0x31, 5, 10, 0, 2, 2];
        assert_eq!(json(&echo, 1), json!({"len": 8, "echo": 1, "id": 5, "addr": "10.0.2.2"}));
        let mut with_port = vec![30, 30, 0x30, 5];
        with_port.extend([0xfd; 16]);
        with_port.extend([0x1f, 0x90, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(json(&with_port, 1)["addr"], "fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd");
        assert_eq!(json(&with_port, 1)["port"], 8080);
        let mut v0 = vec![30, 20, 0x36, 5];
        v0.extend([0xfd; 16]);
        assert_eq!(json(&v0, 0)["ipver"], 6);
        assert_eq!(json(&v0, 0)["addr"], "fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd");
    }

    #[test]
    fn no_option_is_too_short_for_its_details() {
        for subtype in 0..16u8 {
            for len in 2..=40u8 {
                let mut option = vec![30, len];
                option.resize(usize::from(len), 0xff);
                if len > 2 {
                    option[2] = subtype << 4;
                }
                for version in [0, 1] {
                    assert_eq!(details(&option, version)["len"], len);
                }
            }
        }
    }
}
