//! Arguments of system calls in the layout the kernel wants, and back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use scenarios::script::ast::Expression;
use scenarios::script::run::message::{Control, Data, error_kind};
use scenarios::script::run::words::{constant, member, members, number};

/// The wire form of an address for sockets of IPv4 or IPv6; without one, `AF_UNSPEC`.
pub(crate) fn socket_address(ipv6: bool, address: Option<SocketAddr>) -> Vec<u8> {
    let mut octets = vec![0; if ipv6 { 28 } else { 16 }];
    let Some(address) = address else { return octets };
    octets[2..4].copy_from_slice(&address.port().to_be_bytes());
    if ipv6 {
        octets[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        let ip = match address.ip() {
            // Nobody's address is the same in both families.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => std::net::Ipv6Addr::UNSPECIFIED,
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        octets[8..24].copy_from_slice(&ip.octets());
    } else if let IpAddr::V4(ip) = address.ip() {
        octets[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        octets[4..8].copy_from_slice(&ip.octets());
    }
    octets
}

/// An address that the kernel wrote.
pub(crate) fn address(octets: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes([*octets.first()?, *octets.get(1)?]);
    let port = u16::from_be_bytes([*octets.get(2)?, *octets.get(3)?]);
    let ip: IpAddr = if i32::from(family) == libc::AF_INET {
        <[u8; 4]>::try_from(octets.get(4..8)?).ok()?.into()
    } else {
        IpAddr::from(<[u8; 16]>::try_from(octets.get(8..24)?).ok()?).to_canonical()
    };
    Some(SocketAddr::new(ip, port))
}

/// The value of a socket option in the layout of the kernel.
pub(crate) fn option_value(level: i64, name: i64, value: &Expression) -> Result<Vec<u8>, String> {
    if let Expression::Text(text) = value {
        return Ok(text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect());
    }
    let is = |option: &str| constant("SOL_SOCKET") == Some(level) && constant(option) == Some(name);
    let numbered = |expression: &Expression| number(expression).map_err(|wrong| wrong.to_string());
    if let Some(fields) = members(value) {
        let of = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| member(fields, name));
            found.ok_or_else(|| format!("`{value}` has no {}", names[0])).and_then(numbered)
        };
        if is("SO_LINGER") {
            let (on, time) = (of(["l_onoff", "onoff"])? as i32, of(["l_linger", "linger"])? as i32);
            return Ok([on.to_ne_bytes(), time.to_ne_bytes()].concat());
        }
        let (seconds, micros) = (of(["tv_sec"; 2])?, of(["tv_usec"; 2])?);
        return Ok([seconds.to_ne_bytes(), micros.to_ne_bytes()].concat());
    }
    let items = match value {
        Expression::Array(items) => &items[..],
        single => std::slice::from_ref(single),
    };
    let mut octets = Vec::new();
    for item in items {
        octets.extend((numbered(item)? as i32).to_ne_bytes());
    }
    Ok(octets)
}

/// A control message of these level and type; times count from `began`, nanoseconds of the wall clock.
pub(crate) fn control((level, kind): (i32, i32), octets: &[u8], began: i64) -> Control {
    let long =
        |at: usize| octets.get(at..at + 8).and_then(|octets| octets.try_into().ok()).map(i64::from_ne_bytes);
    let (level, kind) = (i64::from(level), i64::from(kind));
    let is_error = [false, true].map(error_kind).contains(&(level, kind));
    let data = if is_error && octets.len() >= 16 {
        let octet = |at: usize| octets.get(at).map(|octet| i64::from(*octet));
        let number = |index| word(octets, index).map(|number| i64::from(number as u32));
        Data::Error([number(0), octet(4), octet(5), octet(6), number(2), number(3)])
    } else if level == 1 && Some(kind) == constant("SCM_TIMESTAMPING") {
        // The first of three is that of the kernel's clock.
        let time = long(0).zip(long(8)).map(|(seconds, nanos)| seconds * 1_000_000_000 + nanos - began);
        time.map_or(Data::Any, Data::Time)
    } else {
        word(octets, 0).map_or(Data::Any, |number| Data::Number(number.into()))
    };
    Control { level, kind, data }
}

/// The number at a place in an array of 32 bits each.
pub(crate) fn word(octets: &[u8], index: usize) -> Option<i32> {
    let octets = octets.get(4 * index..4 * index + 4)?;
    Some(i32::from_ne_bytes(octets.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_layout() {
        let v4: SocketAddr = "192.0.2.1:8080".parse().expect("it is an address");
        let v6: SocketAddr = "[fd3d::1]:80".parse().expect("it is an address");
        assert_eq!(address(&socket_address(false, Some(v4))), Some(v4));
        assert_eq!(address(&socket_address(true, Some(v4))), Some(v4), "mapped");
        assert_eq!(address(&socket_address(true, Some(v6))), Some(v6));
        assert_eq!(socket_address(false, None), [0; 16], "AF_UNSPEC");
    }

    #[test]
    fn option_values_have_the_layout_of_the_kernel() {
        let name = |name: &str| Expression::Name(name.to_owned());
        let level = constant("SOL_SOCKET").expect("it is known");
        assert_eq!(option_value(6, 1, &name("SHUT_WR")), Ok(1_i32.to_ne_bytes().to_vec()));
        let text = Expression::Text("reno".to_owned());
        assert_eq!(option_value(6, 13, &text), Ok(b"reno".to_vec()));
        let linger = constant("SO_LINGER").expect("it is known");
        assert!(option_value(level, linger, &Expression::Struct(Vec::new())).is_err());
    }
}
