//! What a conversation is about, if not about anything: long transfers, silent spells, Fast Open, errors of ICMP,
//! subflows that the kernel opens. A theme is drawn apart from the rest, so that conversations without one stay as
//! they are.

use clap::ValueEnum;
use sim_core::random::Stream;
use sim_core::{Duration, Instant};

use crate::circumstances::{Answer, Circumstances, Opening};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Theme {
    #[default]
    Anything,
    /// Hundreds of segments, with losses in bursts, reordering and ACKs for several segments.
    Bulk,
    /// Spells in which nothing comes to the peer, or late; data that it acknowledges and forgets; closed windows.
    Silence,
    /// TCP Fast Open, from both ends.
    FastOpen,
    /// Errors of ICMP about what the kernel sends, and small paths.
    Icmp,
    /// Subflows that the kernel opens, and addresses that it announces.
    Paths,
}

/// How packets of the kernel come to the peer, and how the peer answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habit {
    /// Segments in order for one acknowledgment; `None` leaves it to the conversation.
    pub(crate) stretch: Option<u32>,
    /// How often a segment comes late, after others.
    pub(crate) late: f64,
    /// Octets of the stream that are lost the first time: from, to.
    pub(crate) lost: Vec<(u32, u32)>,
    /// Silent spells: from, to, and whether what left in one comes late, not never.
    pub(crate) silent: Vec<(Instant, Instant, bool)>,
    /// The largest packet that the path takes.
    pub(crate) mtu: Option<u32>,
    /// The path tells which packet was too large.
    pub(crate) tells: bool,
}

/// What becomes of a segment of the kernel on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Comes,
    Late(Duration),
    Lost,
    TooLarge,
}

impl Habit {
    /// What becomes of a segment that leaves now: octets `first` to `end` in a packet of `size`.
    pub(crate) fn fate(
        &mut self,
        random: &mut Stream,
        now: Instant,
        (first, end): (u32, u32),
        size: u32,
        rtt: Duration,
    ) -> Fate {
        if let Some((_, until, late)) =
            self.silent.iter().find(|(from, until, _)| *from <= now && now < *until)
        {
            return if *late { Fate::Late(until.saturating_since(now)) } else { Fate::Lost };
        }
        if self.mtu.is_some_and(|most| size > most) {
            return Fate::TooLarge;
        }
        if end > first
            && let Some(at) = self.lost.iter().position(|(from, to)| first < *to && *from < end)
        {
            // What was lost once gets through the next time.
            let (from, to) = self.lost.swap_remove(at);
            for rest in [(from, first.min(to)), (end.max(from), to)] {
                if rest.0 < rest.1 {
                    self.lost.push(rest);
                }
            }
            return Fate::Lost;
        }
        if self.late > 0.0 && random.bernoulli(self.late) {
            return Fate::Late(
                random.span_between(Duration::from_millis(1), rtt.max(Duration::from_millis(2))),
            );
        }
        Fate::Comes
    }
}

impl Theme {
    /// What of the circumstances is the theme's.
    pub(crate) fn alter(self, random: &mut Stream, circumstances: &mut Circumstances) {
        let mut settings: &[(&str, f64)] = &[];
        match self {
            Self::Anything => {}
            Self::Bulk => {
                circumstances.opening = Opening::Plain;
                circumstances.early.retain(|option| !option.contains("TCP_WINDOW_CLAMP"));
                settings = &[
                    ("net.ipv4.tcp_reordering=6", 0.05),
                    ("net.ipv4.tcp_dsack=0", 0.08),
                    ("net.ipv4.tcp_early_retrans=0", 0.05),
                    ("net.ipv4.tcp_recovery=0", 0.05),
                    ("net.ipv4.tcp_min_tso_segs=1", 0.05),
                    ("net.ipv4.tcp_autocorking=0", 0.05),
                ];
            }
            Self::Silence => {
                settings = &[
                    ("net.ipv4.tcp_frto=0", 0.15),
                    ("net.ipv4.tcp_recovery=0", 0.1),
                    ("net.ipv4.tcp_early_retrans=0", 0.25),
                    ("net.ipv4.tcp_dsack=0", 0.08),
                    ("net.ipv4.tcp_retries2=3", 0.1),
                    ("net.ipv4.tcp_slow_start_after_idle=1", 0.15),
                ];
                if random.bernoulli(0.15) {
                    circumstances
                        .later
                        .push(format!("SOL_TCP, TCP_USER_TIMEOUT, [{}]", 300 + random.below(2_000)));
                }
            }
            Self::FastOpen => {
                circumstances.opening = if circumstances.active && random.bernoulli(0.15) {
                    Opening::Lost
                } else {
                    Opening::Plain
                };
                let values = ["0", "0x1", "0x2", "0x3", "0x5", "0x602", "0x403", "0x70403"];
                let value = values[random.below(12).min(7) as usize];
                circumstances.sysctls.push(format!("net.ipv4.tcp_fastopen={value}"));
            }
            Self::Icmp => {
                settings = &[("net.ipv4.tcp_mtu_probing=1", 0.08), ("net.ipv4.tcp_mtu_probing=2", 0.05)];
                if random.bernoulli(0.2) {
                    circumstances.later.push("SOL_IP, IP_RECVERR, [1]".to_owned());
                }
            }
            Self::Paths => {
                circumstances.opening = Opening::Plain;
                circumstances.answer = Answer::Capable;
                circumstances.joins = false;
            }
        }
        for (setting, often) in settings {
            let name = setting.split('=').next().unwrap_or(setting);
            let known = circumstances.sysctls.iter().any(|other| other.starts_with(name));
            if random.bernoulli(*often) && !known {
                circumstances.sysctls.push((*setting).to_owned());
            }
        }
    }

    /// Commands besides the settings.
    pub(crate) fn commands(self, random: &mut Stream) -> Vec<String> {
        if self != Self::Paths {
            return Vec::new();
        }
        let mut commands: Vec<_> = match random.below(9) {
            0 | 1 => vec!["multi-ep.sh -e 1 -m subflow"],
            2 => vec!["multi-ep.sh -e 2 -m subflow"],
            3 => vec!["multi-ep.sh -e 1 -m subflow -b"],
            4 | 5 => vec!["multi-ep.sh -e 1 -m signal"],
            6 => vec!["multi-ep.sh -e 2 -m signal"],
            7 => vec!["client.sh"],
            _ => vec![
                "multi-ep.sh -e 1 -m subflow",
                "ip mptcp endpoint flush",
                "ip mptcp endpoint add 192.168.0.2 id 5 subflow fullmesh",
            ],
        };
        if random.bernoulli(0.15) {
            commands.push("ip mptcp limits set subflows 1 add_addr_accepted 1");
        }
        commands.into_iter().map(str::to_owned).collect()
    }

    /// How the peer receives.
    pub(crate) fn habit(self, random: &mut Stream) -> Habit {
        let mut habit = Habit::default();
        match self {
            Self::Bulk => {
                habit.stretch =
                    [Some(1), Some(2), Some(2), Some(4), Some(10), None][random.below(6) as usize];
                habit.late = [0.0, 0.0, 0.02, 0.1][random.below(4) as usize];
                for _ in 0..random.below(4) {
                    let from = 1 + random.below(150_000) as u32;
                    let long = [1, 3_000, 15_000, 40_000][random.below(4) as usize];
                    habit.lost.push((from, from + 1 + random.below(long) as u32));
                }
            }
            Self::Icmp if random.bernoulli(0.35) => {
                habit.mtu = Some(600 + random.below(880) as u32);
                habit.tells = random.bernoulli(0.85);
            }
            _ => {}
        }
        habit
    }
}
