//! Under what circumstances a random conversation is held: who opens it and how, settings of the kernel, options of
//! the socket, ECN, and how it ends. Most conversations have few of them, so that a difference has few causes.

use sim_core::random::Stream;

use crate::peer::Ecn;

/// How a conversation begins, besides SYN, SYN/ACK and ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Plain,
    /// The first SYN (of a passive open: the third ACK) is lost.
    Lost,
    /// The SYN/ACK (the SYN) comes twice.
    Twice,
    /// The SYN/ACK comes after a repeated SYN, and again for that one (the third ACK comes with data).
    Late,
    /// The SYN/ACK acknowledges too much at first.
    Wrong,
    Refused,
    /// The SYNs cross.
    Crossing,
}

/// How MPTCP is answered in an active open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Capable,
    Nothing,
    OldVersion,
    ForeignFlags,
}

pub(crate) struct Circumstances {
    pub(crate) active: bool,
    pub(crate) opening: Opening,
    pub(crate) answer: Answer,
    pub(crate) ecn: Ecn,
    pub(crate) congestion: &'static str,
    /// `name=value`.
    pub(crate) sysctls: Vec<String>,
    /// Options set before the connection is there: level, name, value.
    pub(crate) early: Vec<String>,
    /// Options set at some time after: the arguments after the descriptor.
    pub(crate) later: Vec<String>,
    /// A second subflow.
    pub(crate) joins: bool,
}

impl Circumstances {
    pub(crate) fn draw(random: &mut Stream, multipath: bool) -> Self {
        let active = random.bernoulli(0.5);
        let opening = match random.below(16) {
            0 => Opening::Lost,
            1 => Opening::Twice,
            2 => Opening::Late,
            3 if active => Opening::Wrong,
            4 if active && random.bernoulli(0.5) => Opening::Refused,
            5 if active && !multipath => Opening::Crossing,
            _ => Opening::Plain,
        };
        let answer = match random.below(12) {
            0 => Answer::Nothing,
            1 if random.bernoulli(0.5) => Answer::OldVersion,
            2 if random.bernoulli(0.5) => Answer::ForeignFlags,
            _ => Answer::Capable,
        };
        let kernel_ecn = if random.bernoulli(0.35) { 1 + random.below(2) } else { 0 };
        let ecn = Ecn {
            wanted: random.bernoulli(if kernel_ecn > 0 { 0.85 } else { 0.05 }),
            marks_sent: [0.0, 0.05, 0.3][random.below(3) as usize],
            marks_seen: [0.0, 0.02, 0.1][random.below(3) as usize],
        };
        let mut sysctls = Vec::new();
        if kernel_ecn > 0 {
            sysctls.push(format!("net.ipv4.tcp_ecn={kernel_ecn}"));
        }
        for (setting, often) in [
            ("net.ipv4.tcp_sack=0", 0.05),
            ("net.ipv4.tcp_timestamps=0", 0.06),
            ("net.ipv4.tcp_window_scaling=0", 0.05),
            ("net.ipv4.tcp_recovery=0", 0.04),
            ("net.ipv4.tcp_early_retrans=0", 0.06),
            ("net.ipv4.tcp_frto=0", 0.04),
            ("net.ipv4.tcp_slow_start_after_idle=1", 0.05),
            ("net.ipv4.tcp_notsent_lowat=20000", 0.03),
            ("net.ipv4.tcp_rmem=\"4096 30000 200000\"", 0.04),
            ("net.ipv4.tcp_wmem=\"4096 20000 40000\"", 0.04),
        ] {
            if random.bernoulli(often) {
                sysctls.push(setting.to_owned());
            }
        }
        if multipath && random.bernoulli(0.12) {
            sysctls.push("net.mptcp.checksum_enabled=1".to_owned());
        }
        let early = Self::draw_early(random, multipath);
        let later = Self::draw_later(random);
        let joins = multipath && !active && random.bernoulli(0.4);
        let congestion = if random.bernoulli(0.5) { "reno" } else { "cubic" };
        Self { active, opening, answer, ecn, congestion, sysctls, early, later, joins }
    }

    fn draw_early(random: &mut Stream, multipath: bool) -> Vec<String> {
        let mut options = Vec::new();
        if random.bernoulli(0.08) {
            options.push(format!("SOL_SOCKET, SO_RCVBUF, [{}]", 2_000 + random.below(60_000)));
        }
        if random.bernoulli(0.08) {
            options.push(format!("SOL_SOCKET, SO_SNDBUF, [{}]", 2_000 + random.below(60_000)));
        }
        if random.bernoulli(0.04) && !multipath {
            options.push(format!("SOL_TCP, TCP_MAXSEG, [{}]", 100 + random.below(1_400)));
        }
        if random.bernoulli(0.03) && !multipath {
            options.push(format!("SOL_TCP, TCP_WINDOW_CLAMP, [{}]", 3_000 + random.below(30_000)));
        }
        options
    }

    fn draw_later(random: &mut Stream) -> Vec<String> {
        let mut options = Vec::new();
        if random.bernoulli(0.15) {
            options.push("SOL_TCP, TCP_NODELAY, [1]".to_owned());
        }
        if random.bernoulli(0.07) {
            options.push("SOL_TCP, TCP_CORK, [1]".to_owned());
            if random.bernoulli(0.6) {
                options.push("SOL_TCP, TCP_CORK, [0]".to_owned());
            }
        }
        if random.bernoulli(0.04) {
            options.push(format!("SOL_TCP, TCP_NOTSENT_LOWAT, [{}]", 1_000 + random.below(20_000)));
        }
        if random.bernoulli(0.08) {
            options.push("SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}".to_owned());
        }
        if random.bernoulli(0.05) {
            options.push(format!("SOL_TCP, TCP_USER_TIMEOUT, [{}]", 300 + random.below(2_000)));
        }
        if random.bernoulli(0.06) {
            options.push("SOL_SOCKET, SO_KEEPALIVE, [1]".to_owned());
            options.push("SOL_TCP, TCP_KEEPIDLE, [1]".to_owned());
            options.push("SOL_TCP, TCP_KEEPINTVL, [1]".to_owned());
            options.push(format!("SOL_TCP, TCP_KEEPCNT, [{}]", 1 + random.below(3)));
        }
        if random.bernoulli(0.05) {
            options.push(format!("SOL_TCP, TCP_QUICKACK, [{}]", random.below(2)));
        }
        options
    }
}
