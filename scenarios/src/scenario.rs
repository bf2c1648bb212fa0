//! A scenario with everything decided: names resolved, quantities typed, defaults filled in. This is what
//! a network is built from; nothing in it can be wrong any more.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use mptcp_model::path_manager::Endpoint;
use sim_core::{Bytes, Duration, Instant, Rate};

use crate::application::Application;
pub use crate::settings::{MptcpSettings, Profile, TcpSettings};
use crate::units::{self, Complaint, Probability};
use crate::words::{Cidr, Command, Route, Rule};

/// A complete experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Short name, used for files.
    pub name: String,
    /// One line.
    pub title: String,
    /// More.
    pub description: String,
    /// Profile the defaults came from.
    pub profile: Profile,
    /// Master seed of all random streams; at most 2^63 - 1.
    pub seed: u64,
    /// The run ends here at the latest.
    pub duration: Duration,
    /// Whether it may end earlier.
    pub stop: Stop,
    /// Hosts and routers, ordered by name.
    pub hosts: Vec<Host>,
    /// Links, in the order of the file.
    pub links: Vec<Link>,
    /// Boxes at interfaces of routers, in the order of the file.
    pub boxes: Vec<BoxConfig>,
    /// Flows, in the order of the file.
    pub flows: Vec<Flow>,
    /// Commands to hosts, in the order of the file.
    pub events: Vec<Event>,
    /// What is captured.
    pub capture: Capture,
    /// What is written besides captures.
    pub output: Output,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// When all flows are done and nothing is in flight.
    #[default]
    WhenFlowsFinish,
    /// At the end of the duration.
    AtDuration,
}

/// An end host or a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name.
    pub name: String,
    /// What it does with packets for others.
    pub kind: HostKind,
    /// Interfaces, ordered by name.
    pub interfaces: Vec<Interface>,
    /// Policy rules besides the three every host has.
    pub rules: Vec<Rule>,
    /// Routes besides those to the networks of its interfaces.
    pub routes: Vec<Route>,
    /// Reverse-path filter.
    pub rp_filter: RpFilter,
    /// TCP settings.
    pub tcp: TcpSettings,
    /// MPTCP settings.
    pub mptcp: MptcpSettings,
    /// MPTCP endpoints, with their ids assigned.
    pub endpoints: Vec<EndpointConfig>,
}

impl Host {
    /// The interface called `name`.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    /// All addresses, in the order of the interfaces.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.interfaces.iter().flat_map(|interface| interface.addresses.iter().map(|cidr| cidr.address))
    }
}

/// What a host does with packets that are not for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostKind {
    /// Drops them.
    #[default]
    Host,
    /// Forwards them.
    Router,
}

/// Reverse-path filter (`net.ipv4.conf.all.rp_filter`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RpFilter {
    /// 0.
    #[default]
    Off,
    /// 1: the way back must lead out of the interface the packet came in by.
    Strict,
    /// 2: there must be some way back.
    Loose,
}

/// An interface of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name, unique in its host.
    pub name: String,
    /// Addresses; the first one is the source of packets without one.
    pub addresses: Vec<Cidr>,
    /// Ethernet address; derived from the link when not given.
    pub mac: Option<Mac>,
}

/// An MPTCP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// As the path manager sees it.
    pub endpoint: Endpoint,
    /// Interface it is bound to.
    pub dev: Option<String>,
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// An interface of a host by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Host.
    pub host: String,
    /// Interface.
    pub interface: String,
}

/// A link between two interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Name.
    pub name: String,
    /// One end.
    pub a: Port,
    /// The other end.
    pub b: Port,
    /// From `a` to `b`.
    pub ab: LinkDirection,
    /// From `b` to `a`.
    pub ba: LinkDirection,
    /// Octets of the frame that count besides the IP packet.
    pub overhead: Bytes,
    /// Largest IP packet, 68 to 65535 bytes.
    pub mtu: u16,
    /// Changes during the run, ordered by time.
    pub changes: Vec<LinkChange>,
}

/// One direction of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkDirection {
    /// Rate of the transmitter; `None` transmits in no time.
    pub rate: Option<Rate>,
    /// Propagation delay.
    pub delay: Duration,
    /// What may wait; the packet in transmission does not count.
    pub queue: QueueLimit,
    /// Drops before the queue is full.
    pub random_drop: Option<RandomDrop>,
    /// Packets that wait when the next ECN-capable one is marked.
    pub ecn_threshold: Option<u32>,
    /// Losses; each model is asked about every packet that leaves the queue.
    pub loss: Vec<Loss>,
    /// Largest extra delay; each packet's is uniform between zero and this.
    pub jitter: Duration,
    /// Whether jitter may let a packet overtake another.
    pub reorder: bool,
    /// Probability that a packet arrives twice.
    pub duplicate: Probability,
}

/// Limit of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLimit {
    /// In packets.
    Packets(u64),
    /// In bytes, frames counted with their overhead.
    Bytes(Bytes),
    /// None.
    Unlimited,
}

/// Packets that would take one of the last places of a queue limited in packets are dropped at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomDrop {
    /// The number of last places.
    pub places: u32,
    /// Probability at the last place, to which it rises linearly.
    pub probability: Probability,
}

/// A loss model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Each packet by itself, drawn from the link's own random stream.
    Bernoulli(Probability),
    /// Each packet by itself, drawn as in the link emulator of the reference captures: one splitmix64
    /// value x for each packet, lost if (x >> 11) / 2^53 is below the probability.
    Splitmix {
        /// Probability.
        probability: Probability,
        /// Seed of the generator.
        seed: u64,
    },
    /// A Markov chain of a good and a bad state, moved once a packet.
    GilbertElliott {
        /// From good to bad.
        p: Probability,
        /// From bad to good.
        r: Probability,
        /// Loss in the good state.
        loss_good: Probability,
        /// Loss in the bad state.
        loss_bad: Probability,
    },
    /// Every nth packet: indices n-1, 2n-1, ...
    EveryNth(u64),
    /// Packets by index, 0 being the first one offered to this direction, ascending.
    Frames(Vec<u64>),
}

/// A change of a link during the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChange {
    /// When.
    pub at: Instant,
    /// Whether it concerns the direction from `a` to `b`.
    pub ab: bool,
    /// Whether it concerns the direction from `b` to `a`.
    pub ba: bool,
    /// New rate.
    pub rate: Option<Rate>,
    /// New delay.
    pub delay: Option<Duration>,
    /// New losses.
    pub loss: Option<Vec<Loss>>,
    /// Up or down; a link that is down refuses packets, those inside still arrive.
    pub up: Option<bool>,
}

/// A middlebox at an interface of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxConfig {
    /// Name.
    pub name: String,
    /// Name in the registry of boxes.
    pub kind: String,
    /// Where it stands.
    pub at: Port,
    /// Its near side.
    pub near: NearSide,
    /// Its parameters, with their units.
    pub parameters: BTreeMap<String, Parameter>,
}

/// What the near side of a box is: the private side of a NAT, the protected one of a firewall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NearSide {
    /// The router: what leaves by the interface goes forward.
    #[default]
    Router,
    /// The link: what arrives by the interface goes forward.
    Link,
}

/// A flow between two hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Name.
    pub name: String,
    /// Protocol.
    pub protocol: Protocol,
    /// Host of the client.
    pub from: String,
    /// Host of the server.
    pub to: String,
    /// Address and port the client connects to.
    pub destination: SocketAddr,
    /// Source address the client binds to, if any.
    pub bind: Option<IpAddr>,
    /// Address the server's listening socket is bound to; `None` is any.
    pub listen: Option<IpAddr>,
    /// When the client calls connect(); the first SYN leaves at this instant.
    pub start: Instant,
    /// Congestion control of both ends' sockets (`TCP_CONGESTION`); `None` leaves it to the hosts.
    pub congestion_control: Option<String>,
    /// Its parameters.
    pub congestion_parameters: BTreeMap<String, Parameter>,
    /// Packet scheduler of both ends; `None` leaves it to the hosts.
    pub scheduler: Option<String>,
    /// What the ends do.
    pub application: Application,
}

/// Protocol of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Multipath TCP.
    #[default]
    Mptcp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A parameter of an algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A whole number.
    Integer(i64),
    /// On or off.
    Switch(bool),
    /// Anything else, decimal numbers included.
    Text(String),
}

/// A command to a host during the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// Where.
    pub host: String,
    /// What.
    pub command: Command,
}

/// What is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Interfaces, in the order of the file.
    pub interfaces: Vec<Port>,
    /// Octets kept of a frame, from 1 to 262144.
    pub snaplen: u32,
    /// Link type of the file.
    pub link_type: LinkType,
}

/// Link type of captures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkType {
    /// Ethernet frames.
    #[default]
    Ethernet,
    /// IP packets.
    Raw,
}

/// What is written besides captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Step of the time series, above zero.
    pub sample_interval: Duration,
    /// Draw plots.
    pub plots: bool,
    /// Write time series as CSV.
    pub csv: bool,
}

/// Three buffer sizes, as in `net.ipv4.tcp_rmem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSizes {
    /// Smallest.
    pub min: Bytes,
    /// Initial.
    pub default: Bytes,
    /// Largest.
    pub max: Bytes,
}

impl FromStr for BufferSizes {
    type Err = Complaint;
    fn from_str(text: &str) -> Result<Self, Complaint> {
        let help = "write three sizes that do not fall, as in sysctl: \"4096 131072 6291456\" or \"4 KiB, 128 KiB, 6 MiB\"";
        let complaint = || Complaint::new(format!("\"{text}\" is not a list of three sizes"), help);
        let parts: Vec<&str> =
            if text.contains(',') { text.split(',').collect() } else { text.split_whitespace().collect() };
        let size = |part: &str| match part.trim().parse() {
            Ok(bytes) => Ok(Bytes(bytes)),
            Err(_) => units::size(part),
        };
        let [min, default, max] = parts[..] else { return Err(complaint()) };
        let sizes = Self { min: size(min)?, default: size(default)?, max: size(max)? };
        if sizes.min.0 == 0 || sizes.min > sizes.default || sizes.default > sizes.max || sizes.max.0 > 1 << 30
        {
            return Err(Complaint::new(
                format!("\"{text}\" is out of order or range"),
                format!("{help}, from 1 B to 1 GiB"),
            ));
        }
        Ok(sizes)
    }
}

impl fmt::Display for BufferSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.min.0, self.default.0, self.max.0)
    }
}

impl FromStr for Mac {
    type Err = Complaint;
    fn from_str(text: &str) -> Result<Self, Complaint> {
        let complaint = || {
            Complaint::new(
                format!("\"{text}\" is not an Ethernet address"),
                "write one such as \"02:00:00:00:00:01\"",
            )
        };
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(complaint)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| complaint())?;
        }
        if parts.next().is_some() { Err(complaint()) } else { Ok(Self(octets)) }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.interface)
    }
}

impl Scenario {
    /// The host called `name`.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// The link called `name`.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}
