//! Quantities as people write them: `"20 Mbit/s"`, `"30 ms"`, `"64 KiB"`, `"1 BDP"`, `"0.5 %"`.
//!
//! Parsing is exact integer arithmetic: a decimal number times the scale of its unit must be a whole
//! number of the base unit (bit/s, ns, bytes), otherwise it is an error; nothing is rounded. A bare
//! number is refused, because it does not say what it counts. Printing gives the largest unit in which
//! the value is a whole number, so parsing what was printed returns the same value.

use core::fmt;

use sim_core::{Bytes, Duration, Rate};

/// What is wrong with a value, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl Complaint {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.help)
    }
}

/// A probability in units of 10^-15, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability(u64);

impl Probability {
    /// Never.
    pub const ZERO: Self = Self(0);
    /// Always.
    pub const ONE: Self = Self(Self::SCALE);
    const SCALE: u64 = 1_000_000_000_000_000;

    /// The probability `numerator` x 10^-15, `None` above 1.
    #[must_use]
    pub const fn from_quadrillionths(numerator: u64) -> Option<Self> {
        if numerator <= Self::SCALE { Some(Self(numerator)) } else { None }
    }

    /// The nearest floating-point number. Exact division of two integers below 2^53: the result is the
    /// same as that of reading the decimal number, on every platform.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / Self::SCALE as f64
    }

    /// Whether it never happens.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Probability {
    /// As a percentage, exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = Self::SCALE / 100;
        let (whole, fraction) = (self.0 / percent, self.0 % percent);
        if fraction == 0 {
            return write!(f, "{whole} %");
        }
        let digits = format!("{fraction:013}");
        write!(f, "{whole}.{} %", digits.trim_end_matches('0'))
    }
}

/// A size, a number of packets, or a multiple of the bandwidth-delay product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueSize {
    /// As many packets.
    Packets(u64),
    /// As many bytes.
    Bytes(Bytes),
    /// `thousandths` / 1000 of the bandwidth-delay product.
    Bdp {
        /// Thousandths of a bandwidth-delay product.
        thousandths: u64,
    },
    /// No limit.
    Unlimited,
}

/// Digits before and after the point of a decimal number.
struct Decimal {
    mantissa: u128,
    decimals: u32,
}

impl Decimal {
    /// `self * scale`, `None` unless a whole number below 2^64.
    fn times(&self, scale: u128) -> Option<u64> {
        let divisor = 10_u128.checked_pow(self.decimals)?;
        let product = self.mantissa.checked_mul(scale)?;
        if product % divisor != 0 {
            return None;
        }
        u64::try_from(product / divisor).ok()
    }
}

/// The number and the unit of `text`.
fn split(text: &str) -> Option<(Decimal, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || number.len() > 24 {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let mantissa = format!("{whole}{fraction}").parse().ok()?;
    Some((Decimal { mantissa, decimals: u32::try_from(fraction.len()).ok()? }, unit.trim()))
}

fn parse(what: &str, example: &str, units: &[(&str, u128)], text: &str) -> Result<u64, Complaint> {
    let Some((number, unit)) = split(text) else {
        return Err(Complaint::new(
            format!("\"{text}\" is not a {what}"),
            format!("write a number and a unit, such as \"{example}\""),
        ));
    };
    let names = || {
        let mut shown = Vec::new();
        let mut scales = Vec::new();
        for (name, scale) in units {
            if !scales.contains(scale) {
                scales.push(*scale);
                shown.push(*name);
            }
        }
        shown.join(", ")
    };
    if unit.is_empty() {
        return Err(Complaint::new(
            format!("\"{text}\" has no unit"),
            format!("a {what} needs one of: {}; such as \"{example}\"", names()),
        ));
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        let help = match mptcp_model::suggest::closest(unit, units.iter().map(|(name, _)| *name)) {
            Some(near) => format!("did you mean \"{near}\"? units: {}", names()),
            None => format!("units of a {what}: {}", names()),
        };
        return Err(Complaint::new(format!("\"{unit}\" is not a unit of a {what}"), help));
    };
    number.times(*scale).ok_or_else(|| {
        let base = units.iter().min_by_key(|(_, scale)| *scale).map_or("", |(name, _)| *name);
        Complaint::new(
            format!("\"{text}\" is too large or not a whole number of the smallest unit"),
            format!("use a multiple of 1 {base} below 2^64"),
        )
    })
}

const TIME: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const RATE: &[(&str, u128)] = &[
    ("bit/s", 1),
    ("kbit/s", 1_000),
    ("Mbit/s", 1_000_000),
    ("Gbit/s", 1_000_000_000),
    ("bps", 1),
    ("kbps", 1_000),
    ("Mbps", 1_000_000),
    ("Gbps", 1_000_000_000),
];

const SIZE: &[(&str, u128)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("bytes", 1),
];

const PROBABILITY: &[(&str, u128)] = &[("%", 10_000_000_000_000), ("ppm", 1_000_000_000)];

/// Reads a span of time, such as `"30 ms"`.
///
/// # Errors
/// Anything but a decimal number with one of the units ns, us, ms, s, min, h that is a whole number of
/// nanoseconds below 2^64.
pub fn duration(text: &str) -> Result<Duration, Complaint> {
    parse("time", "30 ms", TIME, text).map(Duration::from_nanos)
}

/// Reads a rate, such as `"20 Mbit/s"`.
///
/// # Errors
/// Anything but a positive decimal number with one of the units bit/s, kbit/s, Mbit/s, Gbit/s.
pub fn rate(text: &str) -> Result<Rate, Complaint> {
    if let Some((number, unit)) = split(text) {
        let scale = match unit {
            "B/s" => 8,
            "kB/s" => 8_000,
            "MB/s" => 8_000_000,
            _ => 0,
        };
        if let Some(rate) = number.times(scale).and_then(Rate::from_bps) {
            return Err(Complaint::new(
                format!("\"{text}\" counts bytes; rates are in bits per second"),
                format!("write \"{rate}\""),
            ));
        }
    }
    let bits = parse("rate", "20 Mbit/s", RATE, text)?;
    Rate::from_bps(bits).ok_or_else(|| {
        Complaint::new("a rate must be above zero", "to stop a link, use `changes` with `state = \"down\"`")
    })
}

/// Reads a size, such as `"64 KiB"`.
///
/// # Errors
/// Anything but a decimal number with one of the units B, kB, MB, GB, KiB, MiB, GiB that is a whole
/// number of bytes.
pub fn size(text: &str) -> Result<Bytes, Complaint> {
    parse("size", "64 KiB", SIZE, text).map(Bytes)
}

/// Reads a probability, such as `"0.5 %"`.
///
/// # Errors
/// Anything but a decimal number with the unit `%` or `ppm`, from 0 to 100 %, with at most 13 digits
/// after the point of a percentage.
pub fn probability(text: &str) -> Result<Probability, Complaint> {
    let value = parse("probability", "0.5 %", PROBABILITY, text)?;
    Probability::from_quadrillionths(value).ok_or_else(|| {
        Complaint::new(format!("\"{text}\" is above 100 %"), "a probability is at most \"100 %\"")
    })
}

/// Reads a queue size: `"100 packets"`, `"64 KiB"`, `"1.5 BDP"` or `"unlimited"`.
///
/// # Errors
/// Anything else.
pub fn queue_size(text: &str) -> Result<QueueSize, Complaint> {
    if text.trim() == "unlimited" {
        return Ok(QueueSize::Unlimited);
    }
    let whole = |number: Decimal, scale, what: &str| {
        number.times(scale).ok_or_else(|| {
            Complaint::new(
                format!("\"{text}\" is not exact"),
                format!("write a {what}, such as \"1.5 BDP\" or \"100 packets\""),
            )
        })
    };
    match split(text) {
        Some((number, "packets" | "packet")) => {
            whole(number, 1, "whole number of packets").map(QueueSize::Packets)
        }
        Some((number, "BDP")) => {
            whole(number, 1_000, "multiple of 0.001 BDP").map(|thousandths| QueueSize::Bdp { thousandths })
        }
        Some((_, unit)) if SIZE.iter().any(|(name, _)| *name == unit) => size(text).map(QueueSize::Bytes),
        _ => {
            let known = ["packets", "BDP", "B", "kB", "KiB", "MB", "MiB", "unlimited"];
            let word = split(text).map_or(text, |(_, unit)| unit);
            let near = mptcp_model::suggest::closest(word, known)
                .map_or_else(String::new, |n| format!("did you mean \"{n}\"? "));
            Err(Complaint::new(
                format!("\"{text}\" is not a queue size"),
                format!("{near}write \"100 packets\", \"64 KiB\", \"1 BDP\" or \"unlimited\""),
            ))
        }
    }
}

/// Prints a size in the unit that needs the smallest number.
#[must_use]
pub fn print_size(size: Bytes) -> String {
    let mut best = (size.0, "B");
    for (unit, scale) in [
        ("kB", 1_000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
    ] {
        if size.0 >= scale && size.0.is_multiple_of(scale) && size.0 / scale < best.0 {
            best = (size.0 / scale, unit);
        }
    }
    format!("{} {}", best.0, best.1)
}

impl fmt::Display for QueueSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packets(count) => write!(f, "{count} packets"),
            Self::Bytes(size) => f.write_str(&print_size(*size)),
            Self::Bdp { thousandths } if thousandths.is_multiple_of(1_000) => {
                write!(f, "{} BDP", thousandths / 1_000)
            }
            Self::Bdp { thousandths } => write!(f, "{}.{:03} BDP", thousandths / 1_000, thousandths % 1_000),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_exactly() {
        assert_eq!(duration("0.015 ms"), Ok(Duration::from_micros(15)));
        assert_eq!(duration("1.5 min"), Ok(Duration::from_secs(90)));
        assert_eq!(rate("20Mbit/s").map(Rate::as_bps), Ok(20_000_000));
        assert_eq!(size("64 KiB"), Ok(Bytes(65_536)));
        assert_eq!(queue_size("1.5 BDP"), Ok(QueueSize::Bdp { thousandths: 1_500 }));
        assert_eq!(queue_size("100 packets"), Ok(QueueSize::Packets(100)));
        assert_eq!(probability("0.5 %").map(|p| p.as_f64().to_bits()), Ok(0.005_f64.to_bits()));
        assert_eq!(probability("100 %"), Ok(Probability::ONE));
    }

    #[test]
    fn what_is_finer_than_the_base_unit_is_refused_rather_than_rounded() {
        for text in ["0.5 ns", "0.1 B", "20 EB", "99999999999999999 h"] {
            assert!(duration(text).is_err() && size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_told_to_take_a_unit() {
        let complaint = rate("20").unwrap_err();
        assert_eq!(complaint.message, "\"20\" has no unit");
        assert!(complaint.help.contains("Mbit/s"), "{}", complaint.help);
    }

    #[test]
    fn a_misspelt_unit_gets_a_suggestion() {
        assert!(rate("20 mbit/s").unwrap_err().help.contains("did you mean \"Mbit/s\""));
        assert!(rate("5 MB/s").unwrap_err().help.contains("40 Mbit/s"));
        assert!(queue_size("100 packet s").unwrap_err().help.contains("packets"));
    }
}
