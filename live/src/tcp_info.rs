//! `struct tcp_info` of `linux/tcp.h` (Linux 6.18): where each field lies.

use mptcp_model::socket::TcpInfo;

/// Octets at the beginning.
const OCTETS: [&str; 6] = ["state", "ca_state", "retransmits", "probes", "backoff", "options"];
/// Fields of 32 bits from octet 8 on.
const WORDS: [&str; 24] = [
    "rto",
    "ato",
    "snd_mss",
    "rcv_mss",
    "unacked",
    "sacked",
    "lost",
    "retrans",
    "fackets",
    "last_data_sent",
    "last_ack_sent",
    "last_data_recv",
    "last_ack_recv",
    "pmtu",
    "rcv_ssthresh",
    "rtt",
    "rttvar",
    "snd_ssthresh",
    "snd_cwnd",
    "advmss",
    "reordering",
    "rcv_rtt",
    "rcv_space",
    "total_retrans",
];
/// Fields of 64 and 32 bits behind them: name, octet, octets.
const REST: [(&str, usize, usize); 36] = [
    ("pacing_rate", 104, 8),
    ("max_pacing_rate", 112, 8),
    ("bytes_acked", 120, 8),
    ("bytes_received", 128, 8),
    ("segs_out", 136, 4),
    ("segs_in", 140, 4),
    ("notsent_bytes", 144, 4),
    ("min_rtt", 148, 4),
    ("data_segs_in", 152, 4),
    ("data_segs_out", 156, 4),
    ("delivery_rate", 160, 8),
    ("busy_time", 168, 8),
    ("rwnd_limited", 176, 8),
    ("sndbuf_limited", 184, 8),
    ("delivered", 192, 4),
    ("delivered_ce", 196, 4),
    ("bytes_sent", 200, 8),
    ("bytes_retrans", 208, 8),
    ("dsack_dups", 216, 4),
    ("reord_seen", 220, 4),
    ("rcv_ooopack", 224, 4),
    ("snd_wnd", 228, 4),
    ("rcv_wnd", 232, 4),
    ("rehash", 236, 4),
    ("total_rto", 240, 2),
    ("total_rto_recoveries", 242, 2),
    ("total_rto_time", 244, 4),
    ("received_ce", 248, 4),
    ("delivered_e1_bytes", 252, 4),
    ("delivered_e0_bytes", 256, 4),
    ("delivered_ce_bytes", 260, 4),
    ("received_e1_bytes", 264, 4),
    ("received_e0_bytes", 268, 4),
    ("received_ce_bytes", 272, 4),
    ("accecn_fail_mode", 276, 2),
    ("accecn_opt_seen", 278, 2),
];

/// The value of a field such as `tcpi_snd_cwnd`, or of a constant such as `TCP_CA_Open`.
pub(crate) fn field(info: &[u8], name: &str) -> Option<i64> {
    if let Some(value) = TcpInfo::constant(name) {
        return Some(value);
    }
    let name = name.strip_prefix("tcpi_")?;
    let octet = |at: usize| info.get(at).map(|octet| i64::from(*octet));
    match name {
        "snd_wscale" => return octet(6).map(|both| both & 15),
        "rcv_wscale" => return octet(6).map(|both| both >> 4),
        "delivery_rate_app_limited" => return octet(7).map(|flags| flags & 1),
        "fastopen_client_fail" => return octet(7).map(|flags| flags >> 1 & 3),
        _ => {}
    }
    if let Some(at) = OCTETS.iter().position(|known| *known == name) {
        return octet(at);
    }
    let (at, len) = match WORDS.iter().position(|known| *known == name) {
        Some(index) => (8 + 4 * index, 4),
        None => REST.iter().find(|(known, ..)| *known == name).map(|&(_, at, len)| (at, len))?,
    };
    let mut octets = [0; 8];
    octets[..len].copy_from_slice(info.get(at..at + len)?);
    i64::try_from(u64::from_le_bytes(octets)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_where_they_lie() {
        let mut info = vec![0; 256];
        info[0] = 1;
        info[6] = 0x87;
        info[80..84].copy_from_slice(&10_u32.to_le_bytes());
        info[120..128].copy_from_slice(&(1_u64 << 40).to_le_bytes());
        let value = |name| field(&info, name);
        assert_eq!(value("tcpi_state"), value("TCP_ESTABLISHED"));
        assert_eq!((value("tcpi_snd_wscale"), value("tcpi_rcv_wscale")), (Some(7), Some(8)));
        assert_eq!(value("tcpi_snd_cwnd"), Some(10));
        assert_eq!(value("tcpi_bytes_acked"), Some(1 << 40));
        assert_eq!(value("tcpi_nonsense"), None);
        assert_eq!(field(&info[..100], "tcpi_bytes_acked"), None, "an older kernel");
    }
}
