//! The stack under test: one host with one interface, and the settings that commands change.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use mptcp_model::config::{FrameMemory, MptcpConfig, MtuProbing, Profile, TcpConfig};
use mptcp_model::host::Host;
use mptcp_model::mptcp::{ConnectionStats, Content, EndpointChange, SocketOptions};
use mptcp_model::net::InterfaceId;
use mptcp_model::path_manager::registry::{self, PathManagerConfig};
use mptcp_model::path_manager::{Endpoint, EndpointTable, Limits};
use mptcp_model::tcp::Flow;
use mptcp_model::{congestion, scheduler};
use sim_core::random::Streams;
use sim_core::{Duration, Instant};

use crate::script::Setup;
use crate::script::command::{Command, EndpointMode};
use crate::script::sysctl::{self, Sysctl, SysctlValue};
use crate::units::Complaint;
use crate::words::{self, Flag};

/// Limits of the helper scripts.
const HELPER_LIMITS: Limits = Limits { subflows: 8, add_addr_accepted: 8 };

/// A counter: its name in `nstat`, and how to read it.
type Counter = (&'static str, fn(&Host) -> u64);

/// The counters there are.
const COUNTERS: [Counter; 5] = [
    ("MPTcpExtMPCapableSYNRX", |host| of_connections(host, |stats| stats.capable_syn_received)),
    ("MPTcpExtMPCapableFallbackACK", |host| of_connections(host, |stats| stats.capable_fallback_ack)),
    ("TcpExtSyncookiesSent", |host| host.stats().syn_cookies_sent),
    ("TcpExtSyncookiesRecv", |host| host.stats().syn_cookies_received),
    ("TcpExtSyncookiesFailed", |host| host.stats().syn_cookies_failed),
];

fn of_connections(host: &Host, field: fn(&ConnectionStats) -> u64) -> u64 {
    host.connections().map(|(_, connection)| field(&connection.stats())).sum()
}

/// The host and what new sockets are made with.
pub(super) struct Stack {
    pub(super) host: Host,
    setup: Setup,
    interface: InterfaceId,
    tcp: TcpConfig,
    mptcp: MptcpConfig,
    mptcp_enabled: bool,
    probing: MtuProbing,
    congestion: String,
    scheduler: &'static str,
    endpoints: EndpointTable,
    manager: Arc<Mutex<PathManagerConfig>>,
    /// Counters at the last `nstat -n`.
    counted: [u64; COUNTERS.len()],
}

impl Stack {
    pub(super) fn new(setup: Setup, streams: Streams) -> Self {
        let mut host = Host::new("stack", streams);
        // The MSS is 1460 in both families.
        let (mtu, prefix) = match setup.local {
            IpAddr::V4(_) => (1500, 16),
            IpAddr::V6(_) => (1520, 48),
        };
        let address = format!("{}/{prefix}", setup.local).parse().expect("the prefix length is in range");
        let interface = host.add_interface("tun0", mtu, &[address]);
        for everywhere in ["0.0.0.0/0 dev tun0", "::/0 dev tun0"] {
            let route = everywhere.parse().expect("it is a route");
            host.routing.add_route(route).expect("the interface is there");
        }
        // HZ=1000.
        let tcp = TcpConfig {
            timer_tick: Some(Duration::from_millis(1)),
            frame_memory: FrameMemory::Tun,
            rate_samples: true,
            ..TcpConfig::new(Profile::LinuxUpstream)
        };
        Self {
            host,
            setup,
            interface,
            tcp,
            mptcp: MptcpConfig::new(Profile::LinuxUpstream),
            mptcp_enabled: true,
            probing: MtuProbing::default(),
            congestion: "cubic".to_owned(),
            scheduler: "default",
            endpoints: EndpointTable::default(),
            manager: Arc::default(),
            counted: [0; COUNTERS.len()],
        }
    }

    /// Options of a new socket; an MPTCP socket of a host without MPTCP is refused by the caller.
    pub(super) fn socket_options(&self, mptcp: bool) -> SocketOptions {
        let congestion = self.congestion.clone();
        let scheduler = self.scheduler;
        let manager = Arc::clone(&self.manager);
        SocketOptions {
            tcp: Arc::new(self.tcp.clone()),
            mptcp: mptcp.then(|| Arc::new(self.mptcp.clone())),
            congestion: Arc::new(move || {
                congestion::create(&congestion, &congestion::Parameters::new())
                    .expect("the name was checked when it was set")
            }),
            scheduler: Arc::new(move || scheduler::create(scheduler).expect("the name is from the list")),
            path_manager: Arc::new(move || {
                let config = manager.lock().unwrap_or_else(PoisonError::into_inner);
                registry::find("kernel").map(|entry| (entry.build)(&config)).expect("it is in the list")
            }),
            content: Content::Pattern(1),
        }
    }

    pub(super) const fn mptcp_enabled(&self) -> bool {
        self.mptcp_enabled
    }

    /// The newest flow between two ends.
    pub(super) fn flow(&self, stack: SocketAddr, peer: SocketAddr) -> Option<&Flow> {
        let flows = self.host.connections().flat_map(|(_, connection)| connection.subflows());
        flows
            .map(|subflow| &subflow.flow)
            .filter(|flow| flow.local() == stack && flow.remote() == peer)
            .last()
    }

    /// Carry out a command.
    pub(super) fn execute(&mut self, now: Instant, command: &Command) -> Result<(), Complaint> {
        match command {
            Command::Defaults => {
                self.tcp.rmem = [4096, 540_000, 15_728_640];
                self.tcp.wmem = [4096, 262_144, 15_728_640];
                sysctl::defaults().iter().try_for_each(|setting| self.set(setting))
            }
            Command::Sysctl(settings) => settings.iter().try_for_each(|setting| self.set(setting)),
            Command::RestoreSysctls => Ok(()),
            Command::Client => self.helper(now, 0, EndpointMode::Signal, false),
            Command::Server => self.helper(now, 1, EndpointMode::Signal, false),
            Command::MultiEndpoint { count, mode, backup } => self.helper(now, *count, *mode, *backup),
            Command::Mptcp(command) => self.mptcp_command(now, command),
            Command::ResetCounters => {
                self.counted = self.counters();
                Ok(())
            }
            Command::CheckCounter { counter, value } => self.check_counter(counter, *value),
        }
    }

    fn counters(&self) -> [u64; COUNTERS.len()] {
        COUNTERS.map(|(_, of)| of(&self.host))
    }

    fn check_counter(&self, name: &str, expected: u64) -> Result<(), Complaint> {
        let Some(index) = COUNTERS.iter().position(|(known, _)| *known == name) else {
            let known = format!("counted are {}", COUNTERS.map(|(name, _)| name).join(", "));
            return Err(Complaint::new(format!("counter `{name}` is not counted"), known));
        };
        let seen = self.counters()[index] - self.counted[index];
        if seen == expected {
            return Ok(());
        }
        Err(Complaint::new(format!("{name} is {seen}, expected {expected}"), "counted since `nstat -n`"))
    }

    fn helper(&mut self, now: Instant, count: u8, mode: EndpointMode, backup: bool) -> Result<(), Complaint> {
        self.flush(now);
        self.limit(|limits| *limits = HELPER_LIMITS);
        for number in 1..=count {
            let address = match self.setup.local {
                IpAddr::V4(first) => IpAddr::V4((u32::from(first) + u32::from(number)).into()),
                IpAddr::V6(first) => IpAddr::V6((u128::from(first) + u128::from(number)).into()),
            };
            let prefix = if address.is_ipv4() { 16 } else { 48 };
            if let Ok(address) = format!("{address}/{prefix}").parse() {
                self.host.routing.add_address(self.interface, address);
            }
            let signal = mode == EndpointMode::Signal;
            self.add_endpoint(
                now,
                Endpoint { id: 0, address, port: None, signal, subflow: !signal, backup, fullmesh: false },
            )?;
        }
        Ok(())
    }

    fn flush(&mut self, now: Instant) {
        for endpoint in self.endpoints.flush() {
            self.host.endpoint_changed(now, EndpointChange::Removed(endpoint));
        }
        self.publish();
    }

    fn add_endpoint(&mut self, now: Instant, endpoint: Endpoint) -> Result<(), Complaint> {
        let added = self
            .endpoints
            .add(endpoint)
            .map_err(|error| Complaint::new(error.to_string(), "change the endpoint"))?;
        self.publish();
        self.host.endpoint_changed(now, EndpointChange::Added(added));
        Ok(())
    }

    fn limit(&mut self, change: impl FnOnce(&mut Limits)) {
        change(&mut self.manager.lock().unwrap_or_else(PoisonError::into_inner).limits);
    }

    /// New connections see the endpoints as they are now.
    fn publish(&mut self) {
        let endpoints = self.endpoints.as_slice().to_vec();
        self.manager.lock().unwrap_or_else(PoisonError::into_inner).endpoints = endpoints;
    }

    fn mptcp_command(&mut self, now: Instant, command: &words::Command) -> Result<(), Complaint> {
        match command {
            words::Command::EndpointFlush => {
                self.flush(now);
                Ok(())
            }
            words::Command::EndpointAdd(words) => {
                let has = |flag| words.flags.contains(&flag);
                self.add_endpoint(
                    now,
                    Endpoint {
                        id: words.id.unwrap_or(0),
                        address: words.address,
                        port: words.port,
                        signal: has(Flag::Signal),
                        subflow: has(Flag::Subflow),
                        backup: has(Flag::Backup),
                        fullmesh: has(Flag::Fullmesh),
                    },
                )
            }
            words::Command::EndpointDelete { id, .. } => {
                let removed = self
                    .endpoints
                    .remove(*id)
                    .map_err(|error| Complaint::new(error.to_string(), "name one that was added"))?;
                self.publish();
                self.host.endpoint_changed(now, EndpointChange::Removed(removed));
                Ok(())
            }
            words::Command::EndpointChange { id, backup, fullmesh } => {
                let unknown =
                    || Complaint::new(format!("no endpoint has id {id}"), "name one that was added");
                let known = self.endpoints.as_slice().iter().find(|endpoint| endpoint.id == *id);
                let known = *known.ok_or_else(unknown)?;
                let (backup, fullmesh) = (backup.unwrap_or(known.backup), fullmesh.unwrap_or(known.fullmesh));
                let changed = self
                    .endpoints
                    .change(*id, backup, fullmesh)
                    .map_err(|error| Complaint::new(error.to_string(), "change the flags"))?;
                self.publish();
                self.host.endpoint_changed(now, EndpointChange::Changed(changed));
                Ok(())
            }
            words::Command::Limits { subflows, add_addr_accepted } => {
                self.limit(|limits| {
                    limits.subflows = subflows.unwrap_or(limits.subflows);
                    limits.add_addr_accepted = add_addr_accepted.unwrap_or(limits.add_addr_accepted);
                });
                Ok(())
            }
            other => Err(Complaint::new(format!("`{other}` is not simulated"), "use endpoint or limits")),
        }
    }

    /// A sysctl. Those that choose what the stack does not do are errors, unless they choose what it does.
    fn set(&mut self, setting: &Sysctl) -> Result<(), Complaint> {
        let unable = || {
            Complaint::new(format!("`{setting}` is not simulated"), "the simulated stack has no such choice")
        };
        let tcp = &mut self.tcp;
        let small = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
        let bytes = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        match (setting.name, &setting.value) {
            ("net.ipv4.tcp_timestamps", SysctlValue::Number(value)) => tcp.timestamps = *value != 0,
            ("net.ipv4.tcp_sack", SysctlValue::Number(value)) => tcp.sack = *value != 0,
            ("net.ipv4.tcp_window_scaling", SysctlValue::Number(value)) => tcp.window_scaling = *value != 0,
            ("net.ipv4.tcp_dsack", SysctlValue::Number(value)) => tcp.dsack = *value != 0,
            ("net.ipv4.tcp_moderate_rcvbuf", SysctlValue::Number(value)) => tcp.moderate_rcvbuf = *value != 0,
            ("net.ipv4.tcp_rmem", SysctlValue::Triple(sizes)) => tcp.rmem = sizes.map(bytes),
            ("net.ipv4.tcp_wmem", SysctlValue::Triple(sizes)) => tcp.wmem = sizes.map(bytes),
            ("net.core.rmem_max", SysctlValue::Number(value)) => tcp.core_rmem_max = bytes(*value),
            ("net.ipv4.tcp_syn_retries", SysctlValue::Number(value)) => tcp.syn_retries = small(*value),
            ("net.ipv4.tcp_syn_linear_timeouts", SysctlValue::Number(value)) => {
                tcp.syn_linear_timeouts = small(*value);
            }
            ("net.ipv4.tcp_synack_retries", SysctlValue::Number(value)) => tcp.synack_retries = small(*value),
            ("net.ipv4.tcp_retries2", SysctlValue::Number(value)) => tcp.retries = small(*value),
            ("net.ipv4.tcp_slow_start_after_idle", SysctlValue::Number(value)) => {
                tcp.slow_start_after_idle = *value != 0;
            }
            ("net.ipv4.tcp_frto", SysctlValue::Number(value)) => tcp.frto = *value != 0,
            ("net.ipv4.tcp_early_retrans", SysctlValue::Number(value)) => tcp.tail_loss_probe = *value >= 3,
            // Bit 0 has no effect since Linux 6.17: losses are always found by time.
            ("net.ipv4.tcp_recovery", SysctlValue::Number(value @ 0..=7)) => {
                tcp.static_reordering_window = value & 2 != 0;
                tcp.no_dup_thresh = value & 4 != 0;
            }
            ("net.ipv4.tcp_notsent_lowat", SysctlValue::Number(value)) => {
                tcp.not_sent_low_water = Some(bytes(*value)).filter(|low| *low < u32::MAX);
            }
            ("net.ipv4.tcp_reordering", SysctlValue::Number(value)) => tcp.reordering = bytes(*value),
            ("net.ipv4.tcp_fastopen", SysctlValue::Number(value)) => tcp.fast_open.allowed = bytes(*value),
            ("net.ipv4.tcp_fastopen_key", SysctlValue::Text(text)) => {
                tcp.fast_open.key = fast_open_key(text).ok_or_else(|| {
                    Complaint::new(
                        format!("`{text}` is no key"),
                        "write 32 hexadecimal digits in groups of 8, separated by `-`",
                    )
                })?;
            }
            ("net.ipv4.tcp_syncookies", SysctlValue::Number(value)) => tcp.syn_cookies = small(*value),
            ("net.ipv4.tcp_ecn", SysctlValue::Number(value @ 0..=2)) => tcp.ecn = small(*value),
            ("net.ipv4.tcp_min_tso_segs", SysctlValue::Number(value)) => tcp.min_burst = bytes(*value).max(1),
            ("net.ipv4.tcp_mtu_probing", SysctlValue::Number(value)) => {
                self.probing.always = *value == 2;
                tcp.mtu_probing = (*value > 0).then_some(self.probing);
            }
            (
                "net.ipv4.tcp_base_mss"
                | "net.ipv4.tcp_mtu_probe_floor"
                | "net.ipv4.tcp_probe_interval"
                | "net.ipv4.tcp_probe_threshold",
                SysctlValue::Number(value),
            ) => {
                let octets = u16::try_from(*value).unwrap_or(u16::MAX);
                let probing = &mut self.probing;
                match setting.name {
                    "net.ipv4.tcp_base_mss" => probing.base_mss = octets,
                    "net.ipv4.tcp_mtu_probe_floor" => probing.floor = octets,
                    "net.ipv4.tcp_probe_interval" => probing.interval = Duration::from_secs(*value),
                    _ => probing.threshold = octets,
                }
                tcp.mtu_probing = tcp.mtu_probing.map(|_| *probing);
            }
            // By which time a path is suspected.
            ("net.ipv4.tcp_retries1", SysctlValue::Number(3)) => {}
            ("net.ipv4.tcp_fin_timeout", SysctlValue::Number(value)) => {
                tcp.fin_timeout = Duration::from_secs(*value);
            }
            ("net.ipv4.tcp_congestion_control", SysctlValue::Text(name)) => {
                congestion::create(name, &congestion::Parameters::new())
                    .map_err(|error| Complaint::new(error.to_string(), "choose another"))?;
                self.congestion.clone_from(name);
            }
            ("net.mptcp.scheduler", SysctlValue::Text(name)) => {
                let known = scheduler::list().iter().find(|info| info.name == name);
                self.scheduler = known.ok_or_else(unable)?.name;
            }
            ("net.mptcp.add_addr_timeout", SysctlValue::Number(value)) => {
                self.mptcp.add_addr_timeout = Duration::from_secs(*value);
            }
            ("net.mptcp.checksum_enabled", SysctlValue::Number(value)) => self.mptcp.checksum = *value != 0,
            ("net.mptcp.enabled", SysctlValue::Number(value)) => self.mptcp_enabled = *value != 0,
            // These choose what the stack does anyway.
            ("net.ipv4.tcp_tso_win_divisor", SysctlValue::Number(3)) => {}
            // These concern what does not exist here, or cannot be told apart.
            (
                "net.core.default_qdisc"
                | "net.core.rmem_default"
                | "net.core.wmem_default"
                | "net.core.wmem_max"
                | "net.ipv4.tcp_autocorking"
                | "net.ipv4.tcp_fastopen_blackhole_timeout_sec"
                | "net.ipv4.tcp_mem"
                | "net.ipv4.tcp_no_metrics_save"
                | "net.ipv4.tcp_pacing_ca_ratio"
                | "net.ipv4.tcp_pacing_ss_ratio",
                _,
            ) => {}
            _ => return Err(unable()),
        }
        Ok(())
    }
}

/// The first key of `tcp_fastopen_key`: four numbers of 32 bits, each with its low octet first.
fn fast_open_key(text: &str) -> Option<[u8; 16]> {
    let words: Vec<_> = text.split(',').next()?.split('-').collect();
    let mut key = [0; 16];
    for (octets, word) in key.chunks_exact_mut(4).zip(&words) {
        octets.copy_from_slice(&u32::from_str_radix(word, 16).ok()?.to_le_bytes());
    }
    (words.len() == 4).then_some(key)
}
