//! The sysctl settings that scripts may ask for.

use core::fmt;
use core::str::FromStr;

use crate::units::Complaint;
use mptcp_model::suggest;

/// A setting by its sysctl name, with a value of the right form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Name, one of [`Sysctl::names`].
    pub name: &'static str,
    /// Value.
    pub value: SysctlValue,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SysctlValue {
    /// A number.
    Number(u64),
    /// Least, initial, most.
    Triple([u64; 3]),
    /// A name or a key.
    Text(String),
}

#[derive(Clone, Copy)]
enum Form {
    /// A number up to this.
    Number(u64),
    Triple,
    Text,
}

const INT: Form = Form::Number(i32::MAX as u64);
const SWITCH: Form = Form::Number(1);

const NAMES: [(&str, Form); 46] = [
    ("net.core.default_qdisc", Form::Text),
    ("net.core.rmem_default", INT),
    ("net.core.rmem_max", INT),
    ("net.core.wmem_default", INT),
    ("net.core.wmem_max", INT),
    ("net.ipv4.tcp_autocorking", SWITCH),
    ("net.ipv4.tcp_base_mss", INT),
    ("net.ipv4.tcp_congestion_control", Form::Text),
    ("net.ipv4.tcp_dsack", SWITCH),
    ("net.ipv4.tcp_early_retrans", Form::Number(4)),
    ("net.ipv4.tcp_ecn", Form::Number(5)),
    ("net.ipv4.tcp_fastopen", INT),
    ("net.ipv4.tcp_fastopen_blackhole_timeout_sec", INT),
    ("net.ipv4.tcp_fastopen_key", Form::Text),
    ("net.ipv4.tcp_fin_timeout", INT),
    ("net.ipv4.tcp_frto", Form::Number(2)),
    ("net.ipv4.tcp_mem", Form::Triple),
    ("net.ipv4.tcp_min_tso_segs", INT),
    ("net.ipv4.tcp_moderate_rcvbuf", SWITCH),
    ("net.ipv4.tcp_mtu_probe_floor", INT),
    ("net.ipv4.tcp_mtu_probing", Form::Number(2)),
    ("net.ipv4.tcp_no_metrics_save", SWITCH),
    ("net.ipv4.tcp_notsent_lowat", Form::Number(u32::MAX as u64)),
    ("net.ipv4.tcp_pacing_ca_ratio", INT),
    ("net.ipv4.tcp_pacing_ss_ratio", INT),
    ("net.ipv4.tcp_probe_interval", INT),
    ("net.ipv4.tcp_probe_threshold", INT),
    ("net.ipv4.tcp_recovery", INT),
    ("net.ipv4.tcp_reordering", INT),
    ("net.ipv4.tcp_retries1", Form::Number(255)),
    ("net.ipv4.tcp_retries2", INT),
    ("net.ipv4.tcp_rmem", Form::Triple),
    ("net.ipv4.tcp_sack", SWITCH),
    ("net.ipv4.tcp_slow_start_after_idle", SWITCH),
    ("net.ipv4.tcp_syn_linear_timeouts", INT),
    ("net.ipv4.tcp_syn_retries", Form::Number(127)),
    ("net.ipv4.tcp_synack_retries", INT),
    ("net.ipv4.tcp_syncookies", Form::Number(2)),
    ("net.ipv4.tcp_timestamps", Form::Number(2)),
    ("net.ipv4.tcp_tso_win_divisor", INT),
    ("net.ipv4.tcp_window_scaling", SWITCH),
    ("net.ipv4.tcp_wmem", Form::Triple),
    ("net.mptcp.add_addr_timeout", INT),
    ("net.mptcp.checksum_enabled", SWITCH),
    ("net.mptcp.enabled", SWITCH),
    ("net.mptcp.scheduler", Form::Text),
];

impl Sysctl {
    /// The names there are, in alphabetical order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The setting `name` with the value written as `value`.
    ///
    /// # Errors
    /// If there is no such setting, or the value is not of its form.
    pub fn new(name: &str, value: &str) -> Result<Self, Complaint> {
        let Some(&(name, form)) = NAMES.iter().find(|(known, _)| *known == name) else {
            let help = match suggest::closest(name, Self::names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", Self::names().collect::<Vec<_>>().join(", ")),
            };
            return Err(Complaint::new(format!("unknown sysctl `{name}`"), help));
        };
        let value = value.trim();
        let parsed = match form {
            Form::Number(most) => number(value).filter(|number| *number <= most).map(SysctlValue::Number),
            Form::Triple => {
                let numbers: Option<Vec<u64>> = value.split_whitespace().map(number).collect();
                numbers.and_then(|numbers| numbers.try_into().ok()).map(SysctlValue::Triple)
            }
            Form::Text => (!value.is_empty()).then(|| SysctlValue::Text(value.to_owned())),
        };
        match parsed {
            Some(value) => Ok(Self { name, value }),
            None => {
                let help = match form {
                    Form::Number(most) => format!("write a number from 0 to {most}"),
                    Form::Triple => "write three numbers in quotes: least, initial, most".to_owned(),
                    Form::Text => "write a name".to_owned(),
                };
                Err(Complaint::new(format!("`{value}` is not a value of {name}"), help))
            }
        }
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl FromStr for Sysctl {
    type Err = Complaint;

    /// Reads `name=value`.
    fn from_str(text: &str) -> Result<Self, Complaint> {
        match text.split_once('=') {
            Some((name, value)) => Self::new(name.trim(), value),
            None => Err(Complaint::new(format!("`{text}` is not a setting"), "write `name=value`")),
        }
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            SysctlValue::Number(value) => write!(f, "{}={value}", self.name),
            SysctlValue::Triple([least, initial, most]) => {
                write!(f, "{}=\"{least} {initial} {most}\"", self.name)
            }
            SysctlValue::Text(value) => write!(f, "{}={value}", self.name),
        }
    }
}

/// What `defaults.sh` sets. The window scale offered must come out as 8.
#[must_use]
pub fn defaults() -> Vec<Sysctl> {
    let numbers = [
        ("net.ipv4.tcp_timestamps", 1),
        ("net.ipv4.tcp_sack", 1),
        ("net.ipv4.tcp_dsack", 1),
        ("net.ipv4.tcp_ecn", 0),
        ("net.ipv4.tcp_syn_retries", 5),
        ("net.ipv4.tcp_slow_start_after_idle", 0),
        ("net.ipv4.tcp_early_retrans", 4),
        ("net.ipv4.tcp_recovery", 1),
        ("net.ipv4.tcp_tso_win_divisor", 3),
        ("net.ipv4.tcp_fastopen", 0x70403),
        ("net.ipv4.tcp_syncookies", 1),
        ("net.mptcp.enabled", 1),
    ];
    let mut settings: Vec<_> =
        numbers.map(|(name, value)| Sysctl { name, value: SysctlValue::Number(value) }).into();
    for (name, text) in [
        ("net.ipv4.tcp_congestion_control", "cubic"),
        ("net.ipv4.tcp_fastopen_key", "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"),
        ("net.mptcp.scheduler", "default"),
    ] {
        settings.push(Sysctl { name, value: SysctlValue::Text(text.to_owned()) });
    }
    settings
}
