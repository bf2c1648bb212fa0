//! Settings of a host's TCP and MPTCP, named as in `net.ipv4.*` and `net.mptcp.*`, and their defaults
//! per profile.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sim_core::{Bytes, Duration};

use crate::language::kinds::{Buffers, Count, Free, Size, Switch, Time, Word};
use crate::language::resolve::Context;
use crate::language::value::{Located, Text};
use crate::scenario::{BufferSizes, Parameter};
use mptcp_model::path_manager::Limits;

/// Which host a user who says nothing gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Linux 6.x with its in-kernel MPTCP (version 1).
    #[default]
    LinuxUpstream,
    /// Linux 5.4 with out-of-tree MPTCP v0.96 (version 0).
    LinuxOot,
    /// What the RFCs recommend (RFC 9293, 6298, 8684, 6356).
    Rfc,
}

impl Profile {
    /// The names.
    pub const NAMES: [&'static str; 3] = ["linux-upstream", "linux-oot", "rfc"];

    /// The name in scenarios.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinuxUpstream => "linux-upstream",
            Self::LinuxOot => "linux-oot",
            Self::Rfc => "rfc",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::LinuxUpstream, Self::LinuxOot, Self::Rfc].into_iter().find(|profile| profile.name() == name)
    }
}

/// Settings as a struct of values, and as a struct of optional texts with the same fields.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident, $raw:ident {
        $($(#[$field_doc:meta])* $field:ident: $kind:ident => $type:ty,)*
    } and { $($(#[$value_doc:meta])* $value:ident: $value_type:ty,)* }
      raw { $($(#[$extra_doc:meta])* $extra:ident: $extra_type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $($(#[$value_doc])* pub $value: $value_type,)*
        }

        $(#[$doc])*
        #[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $raw {
            $($(#[$field_doc])*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(crate) $field: Option<Located<Text<$kind>>>,)*
            $($(#[$extra_doc])*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(crate) $extra: Option<$extra_type>,)*
        }

        impl $raw {
            /// Writes what is given into `settings`.
            pub(crate) fn apply(&self, context: &mut Context<'_>, path: &str, settings: &mut $name) {
                $(if let Some(text) = &self.$field {
                    if let Some(value) = context.read(&format!("{path}.{}", stringify!($field)), text) {
                        settings.$field = value;
                    }
                })*
            }

            /// All scalar settings, written out.
            pub(crate) fn of(settings: &$name) -> Self {
                Self {
                    $($field: Some(Text::of(&settings.$field)),)*
                    $($extra: None,)*
                }
            }
        }
    };
}

settings! {
    /// TCP settings of a host (`net.ipv4.*`).
    TcpSettings, RawTcp {
        /// Congestion control of sockets that choose none.
        tcp_congestion_control: Word => String,
        /// Smallest, initial and largest receive buffer.
        tcp_rmem: Buffers => BufferSizes,
        /// Smallest, initial and largest send buffer.
        tcp_wmem: Buffers => BufferSizes,
        /// Grow the receive buffer with the measured rate.
        tcp_moderate_rcvbuf: Switch => bool,
        /// Selective acknowledgments (RFC 2018).
        tcp_sack: Switch => bool,
        /// Duplicate selective acknowledgments (RFC 2883).
        tcp_dsack: Switch => bool,
        /// Timestamps (RFC 7323).
        tcp_timestamps: Switch => bool,
        /// Window scaling (RFC 7323).
        tcp_window_scaling: Switch => bool,
        /// ECN: 0 off, 1 asked for and accepted, 2 accepted only.
        tcp_ecn: Count => u32,
        /// Loss detection: bit 1 fixes the window of RACK for reordering, bit 2 ignores the third duplicate ACK.
        tcp_recovery: Count => u32,
        /// Tail loss probe: 0 off, 3 on.
        tcp_early_retrans: Count => u32,
        /// Forward RTO recovery (RFC 5682): 0 off, 2 on.
        tcp_frto: Count => u32,
        /// Initial degree of reordering, in segments.
        tcp_reordering: Count => u32,
        /// Smallest retransmission timeout (`tcp_rto_min_us`).
        tcp_rto_min: Time => Duration,
        /// Restart slow start after idling for an RTO.
        tcp_slow_start_after_idle: Switch => bool,
        /// Repetitions of a SYN.
        tcp_syn_retries: Count => u32,
        /// Repetitions of a SYN/ACK.
        tcp_synack_retries: Count => u32,
        /// Retransmission timeouts before a connection is given up.
        tcp_retries2: Count => u32,
        /// Longest time in FIN_WAIT2 after close().
        tcp_fin_timeout: Time => Duration,
        /// Most ACKs with SACK that are compressed into one; 0 turns compression off.
        tcp_comp_sack_nr: Count => u32,
        /// Longest delay of a compressed ACK (`tcp_comp_sack_delay_ns`).
        tcp_comp_sack_delay: Time => Duration,
        /// Hold back small segments while others wait in the device.
        tcp_autocorking: Switch => bool,
        /// Most bytes of a socket in the device queue.
        tcp_limit_output_bytes: Size => Bytes,
    } and {} raw {}
}

settings! {
    /// MPTCP settings of a host (`net.mptcp.*`, `ip mptcp limits`).
    MptcpSettings, RawMptcp {
        /// Whether sockets may speak MPTCP.
        enabled: Switch => bool,
        /// Protocol version: 0 (RFC 6824) or 1 (RFC 8684).
        version: Count => u32,
        /// Ask for the DSS checksum.
        checksum_enabled: Switch => bool,
        /// Path manager.
        path_manager: Word => String,
        /// Packet scheduler.
        scheduler: Word => String,
        /// Time before an ADD_ADDR without echo is repeated; 0 s turns repeating off.
        add_addr_timeout: Time => Duration,
        /// Whether the peer may open subflows to the address of the initial one (C flag off).
        allow_join_initial_addr_port: Switch => bool,
        /// Time a connection lives on without subflows, or after close().
        close_timeout: Time => Duration,
        /// Retransmission timeouts without progress before a subflow counts as stale; 0 never.
        stale_loss_cnt: Count => u32,
        /// SYNs with MP_CAPABLE before one without.
        syn_retrans_before_tcp_fallback: Count => u32,
        /// Time MPTCP stays off after its SYNs were dropped; 0 s turns this off.
        blackhole_timeout: Time => Duration,
    } and {
        /// Limits of extra subflows and accepted addresses, each 0 to 8.
        limits: Limits,
        /// Parameters of the path manager.
        path_manager_parameters: BTreeMap<String, Parameter>,
        /// Parameters of the scheduler.
        scheduler_parameters: BTreeMap<String, Parameter>,
    } raw {
        /// Limits (`ip mptcp limits`).
        limits: RawLimits,
        /// Parameters of the path manager, such as `num_subflows`.
        path_manager_parameters: BTreeMap<String, Located<Text<Free>>>,
        /// Parameters of the scheduler.
        scheduler_parameters: BTreeMap<String, Located<Text<Free>>>,
        /// Endpoints (`ip mptcp endpoint`), at most 8.
        endpoints: Vec<Located<crate::language::document::RawEndpoint>>,
    }
}

/// `ip mptcp limits`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLimits {
    /// Extra subflows of a connection, 0 to 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subflows: Option<Located<Text<Count>>>,
    /// Announced addresses of the peer that may be used, 0 to 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) add_addr_accepted: Option<Located<Text<Count>>>,
}

impl TcpSettings {
    /// The defaults of a profile.
    #[must_use]
    pub fn of_profile(profile: Profile) -> Self {
        let linux = Self {
            tcp_congestion_control: "cubic".to_owned(),
            tcp_rmem: BufferSizes { min: Bytes(4_096), default: Bytes(131_072), max: Bytes(6_291_456) },
            tcp_wmem: BufferSizes { min: Bytes(4_096), default: Bytes(16_384), max: Bytes(4_194_304) },
            tcp_moderate_rcvbuf: true,
            tcp_sack: true,
            tcp_dsack: true,
            tcp_timestamps: true,
            tcp_window_scaling: true,
            tcp_ecn: 2,
            tcp_recovery: 1,
            tcp_early_retrans: 3,
            tcp_frto: 2,
            tcp_reordering: 3,
            tcp_rto_min: Duration::from_millis(200),
            tcp_slow_start_after_idle: true,
            tcp_syn_retries: 6,
            tcp_synack_retries: 5,
            tcp_retries2: 15,
            tcp_fin_timeout: Duration::from_secs(60),
            tcp_comp_sack_nr: 44,
            tcp_comp_sack_delay: Duration::from_millis(1),
            tcp_autocorking: true,
            tcp_limit_output_bytes: Bytes(4_194_304),
        };
        match profile {
            Profile::LinuxUpstream => linux,
            Profile::LinuxOot => Self {
                tcp_congestion_control: "lia".to_owned(),
                tcp_limit_output_bytes: Bytes(1_048_576),
                ..linux
            },
            Profile::Rfc => Self {
                tcp_congestion_control: "lia".to_owned(),
                tcp_rto_min: Duration::from_secs(1),
                tcp_comp_sack_nr: 0,
                tcp_autocorking: false,
                ..linux
            },
        }
    }
}

impl MptcpSettings {
    /// The defaults of a profile.
    #[must_use]
    pub fn of_profile(profile: Profile) -> Self {
        let upstream = Self {
            enabled: true,
            version: 1,
            checksum_enabled: false,
            path_manager: "kernel".to_owned(),
            scheduler: "default".to_owned(),
            add_addr_timeout: Duration::from_secs(120),
            allow_join_initial_addr_port: true,
            close_timeout: Duration::from_secs(60),
            stale_loss_cnt: 4,
            syn_retrans_before_tcp_fallback: 2,
            blackhole_timeout: Duration::from_secs(3_600),
            limits: Limits { subflows: 2, add_addr_accepted: 0 },
            path_manager_parameters: BTreeMap::new(),
            scheduler_parameters: BTreeMap::new(),
        };
        let explicit = |scheduler: &str| Self {
            checksum_enabled: true,
            path_manager: "fullmesh".to_owned(),
            scheduler: scheduler.to_owned(),
            syn_retrans_before_tcp_fallback: 3,
            blackhole_timeout: Duration::ZERO,
            ..upstream.clone()
        };
        match profile {
            Profile::LinuxUpstream => upstream,
            Profile::LinuxOot => Self { version: 0, ..explicit("minrtt") },
            Profile::Rfc => explicit("minrtt"),
        }
    }
}
