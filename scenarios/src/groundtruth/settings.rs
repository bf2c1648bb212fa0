//! Settings of hosts: those of the out-of-tree stack, the same on all hosts, and `sysctl` of each.

use toml::{Table, Value};

use super::{Import, string};
use crate::names::KnownNames;

/// The one module parameter that can be chosen.
const NUM_SUBFLOWS: &str = "mptcp_ndiffports/parameters/num_subflows";
/// Values of module parameters that are simulated without a choice.
const SIMULATED: [(&str, &str); 4] = [
    ("mptcp_fullmesh/parameters/create_on_err", "0"),
    ("mptcp_fullmesh/parameters/num_subflows", "1"),
    ("mptcp_rr/parameters/cwnd_limited", "Y"),
    ("mptcp_rr/parameters/num_segments", "1"),
];

impl Import<'_> {
    /// Path manager and scheduler of the out-of-tree stack, by the names they have here. What is not simulated is
    /// listed; the defaults of that stack, which need no parameters, stand in.
    pub(super) fn algorithms(&mut self) {
        let case = self.case;
        if case.mptcp_version.is_none() {
            return;
        }
        let names = KnownNames::default();
        let mut named = |key: &str, name: &Option<String>, usual: &str, known: &[&str]| {
            let name = name.as_deref().filter(|name| *name != "default").unwrap_or(usual);
            if known.contains(&name) {
                return Some(name.to_owned());
            }
            self.unsupported(key, format!("{name} is not simulated, {usual} stands in"));
            Some(usual.to_owned())
        };
        let manager = named("path_manager", &case.path_manager, "none", names.path_managers);
        let scheduler = named("scheduler", &case.scheduler, "minrtt", names.schedulers);
        (self.path_manager, self.scheduler) = (manager, scheduler);
        let manager = case.path_manager.as_ref().map(|name| format!("mptcp_{name}/parameters/"));
        let scheduler = case.scheduler.as_deref() == Some("roundrobin");
        for (key, value) in &case.global_config {
            let of_manager = manager.as_ref().is_some_and(|prefix| key.starts_with(prefix));
            let of_scheduler = scheduler && key.starts_with("mptcp_rr/parameters/");
            let simulated = key == NUM_SUBFLOWS || SIMULATED.contains(&(key.as_str(), value.as_str()));
            if (of_manager || of_scheduler) && !simulated {
                self.unsupported(key, format!("setting {value}"));
            }
        }
    }

    /// Settings of the out-of-tree stack, the same on all hosts.
    pub(super) fn global_config(&mut self, mptcp: &mut Table) {
        let case = self.case;
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                mptcp.insert(key.to_owned(), value);
            }
        };
        set("version", case.mptcp_version.map(|version| Value::Integer(version.into())));
        set("checksum_enabled", case.checksum.map(|checksum| Value::Integer(checksum.into())));
        let retries =
            case.global_config.get("net.mptcp.mptcp_syn_retries").and_then(|value| value.parse().ok());
        set("syn_retrans_before_tcp_fallback", retries.map(Value::Integer));
        set("path_manager", self.path_manager.as_ref().and_then(string));
        set("scheduler", self.scheduler.as_ref().and_then(string));
        let count = case.global_config.get(NUM_SUBFLOWS).and_then(|value| value.parse().ok());
        let table = |count| Table::from_iter([("num_subflows".to_owned(), Value::Integer(count))]);
        let chosen = case.path_manager.as_deref() == Some("ndiffports");
        set("path_manager_parameters", count.filter(|_| chosen).map(table).map(Value::Table));
    }

    pub(super) fn sysctl(&mut self, path: &str, key: &str, value: &str, tcp: &mut Table, mptcp: &mut Table) {
        let integer =
            || value.parse().map(Value::Integer).unwrap_or_else(|_| Value::String(value.to_owned()));
        if let Some(key) = key.strip_prefix("net.ipv4.") {
            let (key, value) = match key {
                "tcp_rto_min_us" => ("tcp_rto_min", Value::String(format!("{value} us"))),
                "tcp_comp_sack_delay_ns" => ("tcp_comp_sack_delay", Value::String(format!("{value} ns"))),
                "tcp_limit_output_bytes" => (key, Value::String(format!("{value} B"))),
                "tcp_congestion_control" | "tcp_rmem" | "tcp_wmem" => (key, Value::String(value.to_owned())),
                "tcp_moderate_rcvbuf"
                | "tcp_sack"
                | "tcp_dsack"
                | "tcp_timestamps"
                | "tcp_window_scaling"
                | "tcp_ecn"
                | "tcp_recovery"
                | "tcp_early_retrans"
                | "tcp_frto"
                | "tcp_reordering"
                | "tcp_slow_start_after_idle"
                | "tcp_syn_retries"
                | "tcp_synack_retries"
                | "tcp_retries2"
                | "tcp_comp_sack_nr"
                | "tcp_autocorking" => (key, integer()),
                _ => return self.unsupported(path, format!("setting {value}")),
            };
            tcp.insert(key.to_owned(), value);
        } else if let Some(key) = key.strip_prefix("net.mptcp.") {
            let value = match key {
                "add_addr_timeout" | "close_timeout" | "blackhole_timeout" => {
                    Value::String(format!("{value} s"))
                }
                "path_manager" | "scheduler" => Value::String(value.to_owned()),
                "enabled"
                | "checksum_enabled"
                | "allow_join_initial_addr_port"
                | "stale_loss_cnt"
                | "syn_retrans_before_tcp_fallback" => integer(),
                _ => return self.unsupported(path, format!("setting {value}")),
            };
            mptcp.insert(key.to_owned(), value);
        } else {
            self.unsupported(path, format!("setting {value}"));
        }
    }
}
