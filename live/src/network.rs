//! The network of a script: a namespace with one TUN device, and the settings that shell commands change in it.
//! Packets that leave are read by a thread of their own, which notes when.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::process::{Command as Process, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use scenarios::script::Setup;
use scenarios::script::command::{Command, EndpointMode};
use scenarios::script::sysctl::{self, Sysctl};

use crate::sys;

const DEVICE: &str = "tun0";
/// What the default settings of scripts are besides those that the language knows: name and value.
const MORE_DEFAULTS: [(&str, &str); 6] = [
    ("net.ipv4.tcp_rmem", "4096 540000 15728640"),
    ("net.ipv4.tcp_wmem", "4096 262144 15728640"),
    ("net.ipv4.tcp_pacing_ss_ratio", "200"),
    ("net.ipv4.tcp_pacing_ca_ratio", "120"),
    ("net.ipv4.tcp_no_metrics_save", "1"),
    ("net.ipv4.tcp_notsent_lowat", "4294967295"),
];

/// How often to look whether an address serves.
const READY_TRIES: u32 = 600;

/// A packet that left, and when.
pub(crate) type Seen = (Instant, Vec<u8>);

pub(crate) struct Network {
    tun: File,
    setup: Setup,
    packets: Receiver<Seen>,
    /// Congestion control of new sockets, where a script chooses one.
    pub(crate) congestion: Option<String>,
    /// Counters when they were last reset.
    counted: BTreeMap<String, u64>,
}

impl Network {
    /// A network for the calling thread and those it starts.
    pub(crate) fn new(setup: Setup) -> Result<Self, String> {
        sys::unshare_network()
            .map_err(|error| format!("no network of its own: {error}; run this as root"))?;
        let tun = sys::open_tun(DEVICE).map_err(|error| format!("no TUN device: {error}"))?;
        let mut network =
            Self { packets: read_packets(&tun)?, tun, setup, congestion: None, counted: BTreeMap::new() };
        // The MSS is 1460 in both families.
        let mtu = if setup.local.is_ipv4() { "1500" } else { "1520" };
        write_setting("net.ipv6.conf.tun0.router_solicitations", "0")?;
        write_setting("net.ipv6.conf.tun0.addr_gen_mode", "1")?;
        ip(&["link", "set", "lo", "up"])?;
        ip(&["link", "set", DEVICE, "mtu", mtu, "up"])?;
        network.add_address(setup.local, &[])?;
        let family = if setup.local.is_ipv4() { "-4" } else { "-6" };
        ip(&[family, "route", "add", "default", "dev", DEVICE])?;
        network.counted = counters();
        Ok(network)
    }

    /// Packets that leave.
    pub(crate) const fn packets(&self) -> &Receiver<Seen> {
        &self.packets
    }

    /// A packet arrives.
    pub(crate) fn inject(&mut self, octets: &[u8]) -> Result<(), String> {
        self.tun.write_all(octets).map_err(|error| format!("the packet is not taken: {error}"))
    }

    fn add_address(&self, address: IpAddr, further: &[&str]) -> Result<(), String> {
        let network = format!("{address}/{}", if address.is_ipv4() { 16 } else { 48 });
        let mut words = vec!["addr", "add", &network, "dev", DEVICE];
        if address.is_ipv6() {
            words.push("nodad");
        }
        words.extend(further);
        ip(&words)?;
        self.wait_for(address)
    }

    /// An address of IPv6 serves when the kernel has made a route to it, which it does somewhat later.
    fn wait_for(&self, address: IpAddr) -> Result<(), String> {
        let IpAddr::V6(address) = address else { return Ok(()) };
        let route = format!("{:032x} 80 ", u128::from(address));
        for _ in 0..READY_TRIES {
            let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
            if routes.lines().any(|line| line.starts_with(&route)) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("{address} does not get ready"))
    }

    /// Carries out a shell command of a script.
    pub(crate) fn execute(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Defaults => {
                sysctl::defaults().iter().try_for_each(|setting| self.set(setting))?;
                MORE_DEFAULTS.iter().try_for_each(|(name, value)| write_setting(name, value))
            }
            Command::Sysctl(settings) => settings.iter().try_for_each(|setting| self.set(setting)),
            Command::RestoreSysctls => Ok(()),
            Command::Client => self.helper(0, EndpointMode::Signal, false),
            Command::Server => self.helper(1, EndpointMode::Signal, false),
            Command::MultiEndpoint { count, mode, backup } => self.helper(*count, *mode, *backup),
            Command::Mptcp(words) => {
                let words = words.to_string();
                let words = words.strip_prefix("ip ").unwrap_or(&words);
                let words = words.strip_prefix("mptcp ").unwrap_or(words);
                ip(&std::iter::once("mptcp").chain(words.split_whitespace()).collect::<Vec<_>>())
            }
            Command::ResetCounters => {
                self.counted = counters();
                Ok(())
            }
            Command::CheckCounter { counter, value } => {
                let before = self.counted.get(counter).copied().unwrap_or(0);
                let seen = counters().get(counter).map_or(0, |now| now - before);
                if seen == *value { Ok(()) } else { Err(format!("{counter} is {seen}, expected {value}")) }
            }
        }
    }

    fn set(&mut self, setting: &Sysctl) -> Result<(), String> {
        let text = setting.to_string();
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        if name.ends_with("tcp_congestion_control") {
            self.congestion = Some(value.to_owned());
            return Ok(());
        }
        write_setting(name, value.trim_matches('"'))
    }

    /// The helper scripts: endpoints at the addresses behind the local one.
    fn helper(&self, count: u8, mode: EndpointMode, backup: bool) -> Result<(), String> {
        ip(&["mptcp", "endpoint", "flush"])?;
        ip(&["mptcp", "limits", "set", "subflows", "8", "add_addr_accepted", "8"])?;
        for number in 1..=count {
            let address = match self.setup.local {
                IpAddr::V4(first) => IpAddr::V4((u32::from(first) + u32::from(number)).into()),
                IpAddr::V6(first) => IpAddr::V6((u128::from(first) + u128::from(number)).into()),
            };
            // First connections leave from the first address; among those of IPv6 only if it is preferred.
            let further: &[_] = if address.is_ipv6() { &["preferred_lft", "0"] } else { &[] };
            self.add_address(address, further)?;
            let address = address.to_string();
            let purpose = if mode == EndpointMode::Signal { "signal" } else { "subflow" };
            let mut words = vec!["mptcp", "endpoint", "add", &address, purpose];
            if backup {
                words.push("backup");
            }
            ip(&words)?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Without its device the reading thread comes to its end.
        let _ = ip(&["link", "delete", DEVICE]);
    }
}

fn read_packets(tun: &File) -> Result<Receiver<Seen>, String> {
    let mut tun = tun.try_clone().map_err(|error| error.to_string())?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(len) = tun.read(&mut buffer) {
            if sender.send((Instant::now(), buffer[..len].to_vec())).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Process::new("ip").args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("`ip` cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Sets a value; a setting that this kernel does not have is left out.
fn write_setting(name: &str, value: &str) -> Result<(), String> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    match fs::write(&path, value) {
        Err(error) if fs::exists(&path).unwrap_or(false) => Err(format!("{name}={value}: {error}")),
        _ => Ok(()),
    }
}

/// The counters of the calling thread's network by their names in nstat.
fn counters() -> BTreeMap<String, u64> {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let mut counters = BTreeMap::new();
    for pair in lines.chunks_exact(2) {
        let (Some((group, names)), Some((_, values))) = (pair[0].split_once(':'), pair[1].split_once(':'))
        else {
            continue;
        };
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            counters.insert(format!("{group}{name}"), value.parse().unwrap_or(0));
        }
    }
    counters
}
