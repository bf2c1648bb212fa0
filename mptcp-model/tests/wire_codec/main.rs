//! The wire formats against captures of real hosts, an independent parser and arbitrary octets.

mod captures;
mod crypto;
mod options;
mod packets;
mod payloads;
mod properties;

/// The octets written as hexadecimal digits; blanks and line ends are ignored.
#[track_caller]
fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    assert!(digits.len().is_multiple_of(2), "half an octet in {hex:?}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The octets as hexadecimal digits.
fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
