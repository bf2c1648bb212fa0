//! The TOML document: the shape of a scenario file, from which the JSON schema is generated.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kinds::{
    Address, Chance, CommandWords, Count, Free, MacAddress, Network, Overhead, Queue, Rate, RouteWords,
    RuleWords, Size, StepWords, Switch, Time,
};
use super::value::{Located, Text};
use crate::settings::{RawMptcp, RawTcp};

/// Structs of the document: unknown keys are errors, absent ones are not printed.
macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields)]
            pub(crate) struct $name {
                $($(#[$field_doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub(crate) $field: Option<$kind>,)*
            }
        )*
    };
}

tables! {
    /// A scenario of mptcp-sim.
    Document {
        /// Short name, used for files. Default: the name of the file.
        name: Located<String>,
        /// One line that says what is shown.
        title: String,
        /// More words.
        description: String,
        /// The run ends here at the latest. Default: 60 s.
        duration: Located<Text<Time>>,
        /// `when flows finish` (default) or `at duration`.
        #[schemars(extend("enum" = ["when flows finish", "at duration"]))]
        stop: Located<String>,
        /// Master seed of all random streams, 0 to 2^63 - 1. Default: 1.
        seed: Located<i64>,
        /// What hosts do that say nothing else.
        defaults: Defaults,
        /// Hosts and routers by name.
        hosts: BTreeMap<String, Located<RawHost>>,
        /// Links between interfaces.
        links: Vec<Located<RawLink>>,
        /// Middleboxes at interfaces of routers.
        boxes: Vec<Located<RawBox>>,
        /// Flows.
        flows: Vec<Located<RawFlow>>,
        /// Commands to hosts during the run.
        events: Vec<Located<RawEvent>>,
        /// What is captured.
        capture: RawCapture,
        /// What is written besides captures.
        output: RawOutput,
    }

    /// What hosts do that say nothing else.
    Defaults {
        /// `linux-upstream` (default), `linux-oot` or `rfc`.
        #[schemars(extend("enum" = ["linux-upstream", "linux-oot", "rfc"]))]
        profile: Located<String>,
        /// Reverse-path filter.
        #[schemars(extend("enum" = ["off", "strict", "loose"]))]
        rp_filter: Located<String>,
        /// TCP settings.
        tcp: RawTcp,
        /// MPTCP settings.
        mptcp: Located<RawMptcp>,
    }

    /// A host or router.
    RawHost {
        /// `host` (default) or `router`.
        #[schemars(extend("enum" = ["host", "router"]))]
        kind: Located<String>,
        /// Reverse-path filter.
        #[schemars(extend("enum" = ["off", "strict", "loose"]))]
        rp_filter: Located<String>,
        /// Policy rules, in words of `ip rule`.
        rules: Vec<Located<Text<RuleWords>>>,
        /// Routes, in words of `ip route`.
        routes: Vec<Located<Text<RouteWords>>>,
        /// Interfaces by name.
        interfaces: BTreeMap<String, RawInterface>,
        /// TCP settings.
        tcp: RawTcp,
        /// MPTCP settings and endpoints.
        mptcp: Located<RawMptcp>,
    }

    /// An interface.
    RawInterface {
        /// Addresses with prefix length.
        addresses: Vec<Located<Text<Network>>>,
        /// Ethernet address.
        mac: Located<Text<MacAddress>>,
    }

    /// An MPTCP endpoint.
    RawEndpoint {
        /// Address of this host.
        address: Located<Text<Address>>,
        /// Id, 1 to 255. Default: the lowest free one.
        id: Located<Text<Count>>,
        /// Port to announce; only with `signal`.
        port: Located<Text<Count>>,
        /// Interface.
        dev: Located<String>,
        /// Flags.
        flags: Vec<Located<String>>,
    }

    /// A link.
    RawLink {
        /// Name.
        name: Located<String>,
        /// One end, `host:interface`.
        a: Located<String>,
        /// The other end, `host:interface`.
        b: Located<String>,
        /// Rate of both directions. Default: transmits in no time.
        rate: Located<Text<Rate>>,
        /// Propagation delay of both directions. Default: 0 s.
        delay: Located<Text<Time>>,
        /// Queue limit of both directions. Default: 100 packets.
        queue: Located<Text<Queue>>,
        /// Drops before the queue of either direction is full.
        random_drop: Located<RawRandomDrop>,
        /// ECN-capable packets that find so many waiting are marked, in both directions. Default: none are.
        ecn_threshold: Located<Text<Count>>,
        /// Largest extra delay of both directions.
        jitter: Located<Text<Time>>,
        /// Whether jitter may reorder.
        reorder: Located<Text<Switch>>,
        /// Probability that a packet arrives twice.
        duplicate: Located<Text<Chance>>,
        /// Round-trip time behind "BDP". Default: the sum of both delays.
        bdp_rtt: Located<Text<Time>>,
        /// Octets of the frame besides the IP packet: `ethernet` (14, default), `none` or a size.
        overhead: Located<Text<Overhead>>,
        /// Largest IP packet, 68 to 65535. Default: 1500.
        mtu: Located<Text<Count>>,
        /// Losses of both directions.
        loss: Located<RawLoss>,
        /// From `a` to `b`, where it differs.
        ab: RawDirection,
        /// From `b` to `a`, where it differs.
        ba: RawDirection,
        /// Changes during the run.
        changes: Vec<Located<RawChange>>,
    }

    /// One direction of a link, where it differs from the other.
    RawDirection {
        /// Rate.
        rate: Located<Text<Rate>>,
        /// Propagation delay.
        delay: Located<Text<Time>>,
        /// Queue limit.
        queue: Located<Text<Queue>>,
        /// Drops before the queue is full.
        random_drop: Located<RawRandomDrop>,
        /// ECN-capable packets that find so many waiting are marked.
        ecn_threshold: Located<Text<Count>>,
        /// Largest extra delay.
        jitter: Located<Text<Time>>,
        /// Whether jitter may reorder.
        reorder: Located<Text<Switch>>,
        /// Probability that a packet arrives twice.
        duplicate: Located<Text<Chance>>,
        /// Losses.
        loss: Located<RawLoss>,
    }

    /// Packets that would take one of the last places of the queue are dropped at random.
    RawRandomDrop {
        /// The number of last places. Required.
        places: Located<Text<Count>>,
        /// Probability at the last place. Required.
        probability: Located<Text<Chance>>,
    }

    /// Losses; several models add up.
    RawLoss {
        /// Each packet by itself.
        probability: Located<Text<Chance>>,
        /// Draw them as the link emulator of the reference captures does, with this seed.
        splitmix_seed: Located<i64>,
        /// Every nth packet.
        every_nth: Located<Text<Count>>,
        /// Packets by index from 0.
        frames: Vec<Located<Text<Count>>>,
        /// A Markov chain of a good and a bad state.
        gilbert_elliott: Located<RawGilbertElliott>,
    }

    /// A Markov chain of a good and a bad state.
    RawGilbertElliott {
        /// From good to bad. Required.
        p: Located<Text<Chance>>,
        /// From bad to good. Required.
        r: Located<Text<Chance>>,
        /// Loss in the good state. Default: 0 %.
        loss_good: Located<Text<Chance>>,
        /// Loss in the bad state. Default: 100 %.
        loss_bad: Located<Text<Chance>>,
    }

    /// A change of a link.
    RawChange {
        /// When. Required.
        at: Located<Text<Time>>,
        /// `both` (default), `ab` or `ba`.
        #[schemars(extend("enum" = ["both", "ab", "ba"]))]
        direction: Located<String>,
        /// New rate.
        rate: Located<Text<Rate>>,
        /// New delay.
        delay: Located<Text<Time>>,
        /// `up` or `down`.
        #[schemars(extend("enum" = ["up", "down"]))]
        state: Located<String>,
        /// New losses.
        loss: Located<RawLoss>,
    }

    /// A middlebox at an interface of a router.
    RawBox {
        /// Name. Default: `box1`, `box2`, ...
        name: Located<String>,
        /// Which box, as `mptcp-sim list boxes` calls it. Required.
        kind: Located<String>,
        /// Interface of a router, `router:interface`. Required.
        at: Located<String>,
        /// Near side: `router` (default) or `link`.
        #[schemars(extend("enum" = ["router", "link"]))]
        near: Located<String>,
        /// Parameters of the box.
        parameters: Located<BTreeMap<String, Located<Text<Free>>>>,
    }

    /// A flow: exactly one of `bulk`, `request_response`, `echo`, `rate_limited`, or `client` and `server`.
    RawFlow {
        /// Name. Default: `flow1`, `flow2`, ...
        name: Located<String>,
        /// Host of the client. Required.
        from: Located<String>,
        /// Host (its first address) or address of the server. Required.
        to: Located<String>,
        /// Port of the server. Default: 5001 for the first flow, 5002 for the second, ...
        port: Located<Text<Count>>,
        /// `mptcp` (default), `tcp` or `udp`.
        #[schemars(extend("enum" = ["mptcp", "tcp", "udp"]))]
        protocol: Located<String>,
        /// When the client connects. Default: 0 s.
        start: Located<Text<Time>>,
        /// Congestion control of both ends.
        congestion_control: Located<String>,
        /// Packet scheduler of both ends.
        scheduler: Located<String>,
        /// Source address of the client.
        bind: Located<Text<Address>>,
        /// Address the server listens on. Default: any.
        listen: Located<Text<Address>>,
        /// Steps of the client.
        client: Vec<Located<Text<StepWords>>>,
        /// Steps of the server.
        server: Vec<Located<Text<StepWords>>>,
        /// Parameters of the congestion control.
        congestion_parameters: BTreeMap<String, Located<Text<Free>>>,
        /// Send as fast as possible.
        bulk: Located<RawBulk>,
        /// Requests and responses.
        request_response: Located<RawRequestResponse>,
        /// Echo.
        echo: Located<RawEcho>,
        /// Send at a constant rate.
        rate_limited: Located<RawRateLimited>,
    }

    /// Send as fast as possible.
    RawBulk {
        /// How much; this or `time`.
        bytes: Located<Text<Size>>,
        /// How long; this or `bytes`.
        time: Located<Text<Time>>,
        /// `upload` (default) or `download`.
        #[schemars(extend("enum" = ["upload", "download"]))]
        direction: Located<String>,
    }

    /// Requests and responses.
    RawRequestResponse {
        /// Size of a request. Required.
        request: Located<Text<Size>>,
        /// Size of a response. Required.
        response: Located<Text<Size>>,
        /// How many, 1 to 100000. Default: 1.
        count: Located<Text<Count>>,
        /// Pause after each response. Default: 0 s.
        pause: Located<Text<Time>>,
    }

    /// Echo.
    RawEcho {
        /// Size of a message. Required.
        size: Located<Text<Size>>,
        /// How many, 1 to 100000. Default: 1.
        count: Located<Text<Count>>,
        /// Pause after each answer. Default: 0 s.
        interval: Located<Text<Time>>,
    }

    /// Send at a constant rate.
    RawRateLimited {
        /// How fast. Required.
        rate: Located<Text<Rate>>,
        /// How much; this or `time`.
        bytes: Located<Text<Size>>,
        /// How long; this or `bytes`.
        time: Located<Text<Time>>,
        /// Size of a write. Default: 4 KiB; of UDP, whose writes are datagrams, 1400 B.
        write: Located<Text<Size>>,
        /// Of UDP: how long it sends before a silence. Default: without silences.
        on: Located<Text<Time>>,
        /// Of UDP: how long a silence is. Default: the time of `on`.
        off: Located<Text<Time>>,
        /// `upload` (default) or `download`.
        #[schemars(extend("enum" = ["upload", "download"]))]
        direction: Located<String>,
    }

    /// A command to a host.
    RawEvent {
        /// When. Required.
        at: Located<Text<Time>>,
        /// Which host. Required.
        host: Located<String>,
        /// What, in words of `ip`. Required.
        command: Located<Text<CommandWords>>,
    }

    /// What is captured.
    RawCapture {
        /// Interfaces as `host:interface`. Default: all of all hosts that are no routers.
        interfaces: Vec<Located<String>>,
        /// Octets kept of a frame. Default: 262144.
        snaplen: Located<Text<Count>>,
        /// `ethernet` (default) or `raw`.
        #[schemars(extend("enum" = ["ethernet", "raw"]))]
        link_type: Located<String>,
    }

    /// What is written besides captures.
    RawOutput {
        /// Step of the time series. Default: 100 ms.
        sample_interval: Located<Text<Time>>,
        /// Draw plots. Default: true.
        plots: Located<Text<Switch>>,
        /// Write time series as CSV. Default: true.
        csv: Located<Text<Switch>>,
    }
}
