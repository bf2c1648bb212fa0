//! One-line text of packets and options in the manner of tcpdump, for logs and tests.

use core::fmt;

use super::mptcp::{DataNumber, Dss, DssMapping, MpOption};
use super::options::{TcpOption, TcpOptions};
use super::packet::{Body, Ecn, Packet, TcpFlags, TcpSegment};

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ip.is_ipv4() { "IP" } else { "IP6" })?;
        match self.ip.ecn {
            Ecn::NotEct => {}
            Ecn::Ect1 => f.write_str(" ECT(1)")?,
            Ecn::Ect0 => f.write_str(" ECT(0)")?,
            Ecn::Ce => f.write_str(" CE")?,
        }
        let (src, dst) = (self.ip.src, self.ip.dst);
        match &self.body {
            Body::Tcp(segment) => {
                write!(f, " {src}.{} > {dst}.{}: {segment}", segment.src_port, segment.dst_port)
            }
            Body::Udp(datagram) => {
                let (from, to) = (datagram.src_port, datagram.dst_port);
                write!(f, " {src}.{from} > {dst}.{to}: UDP, length {}", datagram.payload.len())
            }
            Body::Icmp(message) => {
                let name = if self.ip.is_ipv4() { "ICMP" } else { "ICMP6" };
                let (kind, code, rest, len) = (message.kind, message.code, message.rest, message.data.len());
                write!(f, " {src} > {dst}: {name} type {kind} code {code} rest 0x{rest:08x}, length {len}")
            }
            Body::Other { protocol, payload } => {
                write!(f, " {src} > {dst}: protocol {protocol}, length {}", payload.len())
            }
        }
    }
}

impl fmt::Display for TcpSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags [{}], seq {}", self.flags, self.seq.0)?;
        if !self.payload.is_empty() {
            write!(f, ":{}", self.seq.wrapping_add(self.payload.len()).0)?;
        }
        if self.flags.ack() {
            write!(f, ", ack {}", self.ack.0)?;
        }
        write!(f, ", win {}", self.window)?;
        if self.flags.contains(TcpFlags::URG) {
            write!(f, ", urg {}", self.urgent)?;
        }
        if !self.options.is_empty() {
            write!(f, ", options [{}]", self.options)?;
        }
        write!(f, ", length {}", self.payload.len())
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (Self::FIN, "F"),
            (Self::SYN, "S"),
            (Self::RST, "R"),
            (Self::PSH, "P"),
            (Self::ACK, "."),
            (Self::URG, "U"),
            (Self::ECE, "E"),
            (Self::CWR, "W"),
            (Self::AE, "e"),
        ];
        if !letters.iter().any(|(flag, _)| self.contains(*flag)) {
            return f.write_str("none");
        }
        letters
            .iter()
            .filter(|(flag, _)| self.contains(*flag))
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl fmt::Display for TcpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut end = 0;
        for (index, (span, option)) in self.positions().zip(self.iter()).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{option}")?;
            end = span.start + span.len;
        }
        let rest = &self.as_bytes()[end..];
        if !rest.is_empty() {
            let comma = if end == 0 { "" } else { "," };
            write!(f, "{comma}rest 0x")?;
            write_hex(f, rest)?;
        }
        Ok(())
    }
}

impl fmt::Display for TcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfList => f.write_str("eol"),
            Self::Nop => f.write_str("nop"),
            Self::Mss(mss) => write!(f, "mss {mss}"),
            Self::WindowScale(shift) => write!(f, "wscale {shift}"),
            Self::SackPermitted => f.write_str("sackOK"),
            Self::Sack(blocks) => {
                write!(f, "sack {} ", blocks.len())?;
                for (left, right) in blocks.iter() {
                    write!(f, "{{{}:{}}}", left.0, right.0)?;
                }
                Ok(())
            }
            Self::Timestamps { val, ecr } => write!(f, "TS val {val} ecr {ecr}"),
            Self::Mptcp(option) => write!(f, "mptcp {} {option}", option.wire_len()),
            Self::Unknown { kind, body } => {
                write!(f, "unknown-{kind} 0x")?;
                write_hex(f, body)
            }
        }
    }
}

impl fmt::Display for MpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capable { version, flags, sender_key, receiver_key, data_len, checksum } => {
                write!(f, "capable v{version} flags 0x{flags:02x}")?;
                if let Some(key) = sender_key {
                    write!(f, " key 0x{key:016x}")?;
                }
                if let Some(key) = receiver_key {
                    write!(f, " peer key 0x{key:016x}")?;
                }
                if let Some(len) = data_len {
                    write!(f, " len {len}")?;
                }
                write_checksum(f, *checksum)
            }
            Self::JoinSyn { backup, address_id, token, nonce } => {
                write!(
                    f,
                    "join{} id {address_id} token 0x{token:08x} nonce 0x{nonce:08x}",
                    backup_mark(*backup)
                )
            }
            Self::JoinSynAck { backup, address_id, hmac, nonce } => {
                write!(
                    f,
                    "join{} id {address_id} hmac 0x{hmac:016x} nonce 0x{nonce:08x}",
                    backup_mark(*backup)
                )
            }
            Self::JoinAck { hmac } => {
                f.write_str("join hmac 0x")?;
                write_hex(f, hmac)
            }
            Self::Dss(dss) => write!(f, "{dss}"),
            Self::AddAddr { nibble, address_id, address, port, hmac } => {
                write!(f, "add-addr nibble {nibble} id {address_id} {address}")?;
                if let Some(port) = port {
                    write!(f, " port {port}")?;
                }
                if let Some(hmac) = hmac {
                    write!(f, " hmac 0x{hmac:016x}")?;
                }
                Ok(())
            }
            Self::RemoveAddr { ids } => {
                f.write_str("rem-addr id")?;
                ids.iter().try_for_each(|id| write!(f, " {id}"))
            }
            Self::Prio { backup, address_id } => {
                write!(f, "prio{}", backup_mark(*backup))?;
                match address_id {
                    Some(id) => write!(f, " id {id}"),
                    None => Ok(()),
                }
            }
            Self::Fail { dsn } => write!(f, "fail seq {dsn}"),
            Self::FastClose { receiver_key } => write!(f, "fast-close key 0x{receiver_key:016x}"),
            Self::TcpRst { flags, reason } => write!(f, "tcprst flags 0x{flags:x} reason {reason}"),
            Self::Unknown { subtype, body } => {
                write!(f, "unknown-{subtype} 0x")?;
                write_hex(f, body)
            }
        }
    }
}

impl fmt::Display for Dss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dss")?;
        if self.data_fin {
            f.write_str(" fin")?;
        }
        if let Some(ack) = self.data_ack {
            write!(f, " ack {ack}")?;
        }
        if let Some(DssMapping { dsn, ssn, len, checksum }) = self.mapping {
            write!(f, " seq {dsn} subseq {ssn} len {len}")?;
            write_checksum(f, checksum)?;
        }
        Ok(())
    }
}

impl fmt::Display for DataNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(number) => write!(f, "{number}"),
            Self::Long(number) => write!(f, "{number}"),
        }
    }
}

const fn backup_mark(backup: bool) -> &'static str {
    if backup { " backup" } else { "" }
}

fn write_checksum(f: &mut fmt::Formatter<'_>, checksum: Option<u16>) -> fmt::Result {
    match checksum {
        Some(checksum) => write!(f, " csum 0x{checksum:04x}"),
        None => Ok(()),
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}
