//! A packet script as a tree. Everything prints in the notation it was read from.

use std::net::IpAddr;

use mptcp_model::wire::TcpFlags;
use sim_core::Duration;

use super::code::Assertion;
use super::command::Command;
use super::error::Position;
use super::option::OptionSpec;

/// A whole script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Name, as it stands in errors.
    pub name: String,
    /// The `--option=value` lines at the top.
    pub settings: Vec<Setting>,
    /// The shell block that stands before the first event and takes no time.
    pub init: Option<Shell>,
    /// What happens, in order.
    pub events: Vec<Event>,
}

/// A `--option=value` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `--tolerance_usecs=N`: how far off an event may be.
    Tolerance(Duration),
    /// `--local_ip=A`: address of the stack under test.
    LocalIp(IpAddr),
    /// `--remote_ip=A`: address of the peer that the script plays.
    RemoteIp(IpAddr),
    /// `--strict_segments`: segments are never taken together.
    StrictSegments,
    /// `--tcp_ts_tick_usecs=N`: a tick of the timestamp clock.
    TimestampTick(Duration),
    /// `--tcp_ts_ecr_scaled`: echoes are in ticks too.
    TimestampEchoScaled,
}

/// One line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it stands.
    pub position: Position,
    /// When it happens.
    pub time: Time,
    /// What happens.
    pub action: Action,
}

/// When an event happens. All spans are from the start of the script or from the event before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// `0.1`
    Absolute(Duration),
    /// `+0.1`
    Relative(Duration),
    /// `0.1~0.2`: between the two.
    AbsoluteRange(Duration, Duration),
    /// `+0~+1.0`: between the two.
    RelativeRange(Duration, Duration),
    /// `0.1...0.5`: a call that starts at the first and returns at the second.
    AbsoluteBlocking(Duration, Duration),
    /// `+0...0.6`: the same; both count from the event before.
    RelativeBlocking(Duration, Duration),
    /// `*`
    Any,
}

/// What happens in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A packet goes into the stack or is expected from it.
    Packet(PacketSpec),
    /// A system call.
    Call(Call),
    /// Commands in backquotes.
    Shell(Shell),
    /// Assertions in `%{ }%`.
    Code(Code),
}

/// Commands in backquotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell {
    /// Where the opening backquote stands.
    pub position: Position,
    /// The text between the backquotes.
    pub text: String,
    /// The commands in it.
    pub commands: Vec<Command>,
}

/// Assertions in `%{ }%`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The text between the brackets.
    pub text: String,
    /// The assertions in it.
    pub assertions: Vec<Assertion>,
}

/// A system call and its expected result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Name, one of those known to the language.
    pub name: String,
    /// Arguments; their number fits the call.
    pub arguments: Vec<Expression>,
    /// What it returns.
    pub result: Expression,
    /// Error number by name, where the result is -1.
    pub errno: Option<String>,
    /// The remark in parentheses at the end, such as `flags O_RDWR`.
    pub note: Option<String>,
}

/// An expression in a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// `...`: anything.
    Ellipsis,
    /// A number.
    Integer {
        /// Its value.
        value: i128,
        /// Written in hexadecimal.
        hex: bool,
    },
    /// `"text"`, with the escapes resolved.
    Text(String),
    /// A constant by name, such as `SOCK_STREAM`.
    Name(String),
    /// `htons(8080)`
    Macro(String, Vec<Expression>),
    /// `O_RDWR|O_NONBLOCK`; two or more.
    Or(Vec<Expression>),
    /// `[1, 2]`
    Array(Vec<Expression>),
    /// `{events=POLLIN, fd=4}`
    Struct(Vec<Field>),
}

/// A member of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name, if the members are named.
    pub name: Option<String>,
    /// Number of elements in parentheses after the name: `msg_iov(1)`.
    pub count: Option<Expression>,
    /// Value.
    pub value: Expression,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `<`: into the stack under test.
    Inbound,
    /// `>`: from the stack under test.
    Outbound,
}

/// A packet to inject or to expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketSpec {
    /// Which way.
    pub direction: Direction,
    /// What is stated of the IP header.
    pub ip: IpSpec,
    /// Names of the endpoints.
    pub endpoints: Option<Endpoints>,
    /// What the packet carries.
    pub body: BodySpec,
}

/// What is stated of an IP header; the rest is unchecked, and as usual when sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpSpec {
    /// `[ect0]`, `[ect1]`, `[ce]`, `[noecn]`.
    pub ecn: Option<mptcp_model::wire::Ecn>,
    /// `[tos 0x10]`: the whole octet, ECN field included.
    pub tos: Option<u8>,
}

/// `addr[source] > addr[destination]`; at least one is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Where the packet comes from.
    pub source: Option<AddressRef>,
    /// Where it goes.
    pub destination: Option<AddressRef>,
}

/// `addr[name]` or `addr[name=inet_addr("10.0.0.1")]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRef {
    /// The variable.
    pub name: String,
    /// Its value, if the script fixes it.
    pub value: Option<IpAddr>,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodySpec {
    /// A TCP segment.
    Tcp(TcpSpec),
    /// `udp (N)`: a datagram of N octets of data.
    Udp {
        /// Octets of data.
        len: u16,
    },
    /// An ICMP error.
    Icmp(IcmpSpec),
}

/// A TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSpec {
    /// Flags.
    pub flags: TcpFlags,
    /// Sequence number and length.
    pub range: SequenceRange,
    /// Acknowledgment number relative to the initial one of the other side.
    pub ack: Option<u32>,
    /// Window field; always there in inbound segments.
    pub window: Option<u16>,
    /// Urgent pointer.
    pub urgent: Option<u16>,
    /// Options.
    pub options: OptionsSpec,
}

/// `first:last(len)`, relative to the initial sequence number of the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequenceRange {
    /// First number.
    pub first: u32,
    /// Octets of data.
    pub len: u32,
}

/// The options of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionsSpec {
    /// `<...>`: anything.
    Any,
    /// These, in this order; empty if nothing is written.
    List(Vec<OptionSpec>),
}

/// An ICMP error about a segment that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpSpec {
    /// What the error quotes.
    pub quoted: Option<Quoted>,
    /// What it says.
    pub kind: IcmpKind,
    /// `mtu N`, in octets.
    pub mtu: Option<u32>,
}

/// The packet an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoted {
    /// `[1:1001(1000)]`: a segment of the current connection.
    Tcp(SequenceRange),
    /// `[udp (1000)]`
    Udp {
        /// Octets of data.
        len: u16,
    },
}

/// The ICMP errors of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// `unreachable net_unreachable`
    NetUnreachable,
    /// `unreachable host_unreachable`
    HostUnreachable,
    /// `unreachable protocol_unreachable`
    ProtocolUnreachable,
    /// `unreachable port_unreachable`
    PortUnreachable,
    /// `unreachable frag_needed`; packet too big in IPv6.
    FragmentationNeeded,
    /// `unreachable source_route_failed`
    SourceRouteFailed,
    /// `unreachable admin_prohibited`
    Prohibited,
    /// `time_exceeded`
    TimeExceeded,
}
