//! A random case as data, and as a scenario file.

use core::fmt::Write as _;

/// Two hosts, the paths between them, and what they say to each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Seed of all random draws of the run.
    pub seed: u32,
    /// Congestion control of both ends.
    pub congestion: &'static str,
    /// Packet scheduler of both ends.
    pub scheduler: &'static str,
    /// Whether the client asks for MPTCP.
    pub client_mptcp: bool,
    /// Whether the server knows MPTCP.
    pub server_mptcp: bool,
    /// DSS checksums.
    pub checksum: bool,
    /// Selective acknowledgments.
    pub sack: bool,
    /// TCP timestamps.
    pub timestamps: bool,
    /// Receive buffer in KiB.
    pub rmem: u32,
    /// Send buffer in KiB.
    pub wmem: u32,
    /// One to four.
    pub paths: Vec<Path>,
    /// What is said before the end.
    pub phases: Vec<Phase>,
    /// How it ends.
    pub ending: Ending,
}

/// A path between the client and a router next to the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Rate in kbit/s.
    pub rate: u32,
    /// One-way delay in ms.
    pub delay: u32,
    /// Queue in packets.
    pub queue: u32,
    /// Loss in ppm, each way.
    pub loss: u32,
    /// Largest extra delay in ms.
    pub jitter: u32,
    /// Whether it reorders.
    pub reorder: bool,
    /// Duplicates in ppm.
    pub duplicate: u32,
    /// The client's endpoint of this path is a backup.
    pub backup: bool,
    /// A time without it.
    pub outage: Option<Outage>,
    /// Boxes at its end.
    pub boxes: Vec<BoxSpec>,
}

/// A time in which a path is down, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// From.
    pub at: u32,
    /// For.
    pub span: u32,
    /// Whether the interface of the client goes down too.
    pub interface: bool,
}

/// A middlebox: kind and parameters, as in the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxSpec {
    /// Kind.
    pub kind: &'static str,
    /// Parameters as TOML, without braces.
    pub parameters: String,
}

/// Something one end says and the other one hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Whether the client speaks.
    pub client_speaks: bool,
    /// Octets.
    pub size: u32,
    /// Writes that make it up.
    pub writes: u32,
    /// Pause between them, in ms.
    pub pause: u32,
    /// Pause of the listener before it reads, in ms.
    pub wait: u32,
}

/// How a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client shuts down writing, the server closes after the end of the stream.
    Orderly,
    /// The server does so first.
    ServerFirst,
    /// Both close when they have said everything.
    Crossing,
    /// The client aborts.
    Abort,
}

impl Case {
    /// The case as a scenario file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> core::fmt::Result {
        writeln!(out, "title = \"A random case\"\nduration = \"3000 s\"\nseed = {}\n", self.seed)?;
        self.write_hosts(out)?;
        for (index, path) in self.paths.iter().enumerate() {
            write_path(out, index, path)?;
        }
        writeln!(
            out,
            "[[links]]\nname = \"near\"\na = \"router:s0\"\nb = \"server:s0\"\ndelay = \"50 us\"\nqueue = \
             \"unlimited\"\n"
        )?;
        let (client, server) = self.programs();
        writeln!(out, "[[flows]]\nname = \"talk\"\nfrom = \"client\"\nto = \"server\"")?;
        writeln!(out, "protocol = \"{}\"", if self.client_mptcp { "mptcp" } else { "tcp" })?;
        writeln!(out, "congestion_control = \"{}\"", self.congestion)?;
        if self.client_mptcp {
            writeln!(out, "scheduler = \"{}\"", self.scheduler)?;
        }
        writeln!(out, "client = {client:?}\nserver = {server:?}")?;
        for (index, path) in self.paths.iter().enumerate() {
            if let Some(Outage { at, span, interface: true }) = path.outage {
                // Its routes vanish with the interface.
                let default = format!("route add default via 10.0.{index}.1 dev c{index}");
                for (at, command) in [
                    (at, format!("link down c{index}")),
                    (at + span, format!("link up c{index}")),
                    (at + span, format!("{default} table {}", 100 + index)),
                    (at + span, format!("{default} metric {}", 100 + index)),
                ] {
                    writeln!(out, "\n[[events]]\nat = \"{at} ms\"\nhost = \"client\"")?;
                    writeln!(out, "command = \"{command}\"")?;
                }
            }
        }
        Ok(())
    }

    fn write_hosts(&self, out: &mut String) -> core::fmt::Result {
        let paths = 0..self.paths.len();
        let rules: Vec<_> = paths.clone().map(|i| format!("from 10.0.{i}.2 lookup {}", 100 + i)).collect();
        let mut routes: Vec<_> =
            paths.clone().map(|i| format!("default via 10.0.{i}.1 dev c{i} table {}", 100 + i)).collect();
        routes.extend(paths.clone().map(|i| format!("default via 10.0.{i}.1 dev c{i} metric {}", 100 + i)));
        writeln!(out, "[hosts.client]\nrules = {rules:?}\nroutes = {routes:?}\n[hosts.client.interfaces]")?;
        for i in paths.clone() {
            writeln!(out, "c{i} = {{ addresses = [\"10.0.{i}.2/24\"] }}")?;
        }
        self.write_stack(out, "client", true)?;
        writeln!(out, "endpoints = [")?;
        for (i, path) in self.paths.iter().enumerate().skip(1) {
            let flags = if path.backup { "\"subflow\", \"backup\"" } else { "\"subflow\"" };
            writeln!(out, "  {{ address = \"10.0.{i}.2\", id = {i}, flags = [{flags}], dev = \"c{i}\" }},")?;
        }
        writeln!(out, "]\n\n[hosts.router]\nkind = \"router\"\n[hosts.router.interfaces]")?;
        for i in paths {
            writeln!(out, "r{i} = {{ addresses = [\"10.0.{i}.1/24\"] }}")?;
        }
        writeln!(out, "s0 = {{ addresses = [\"10.0.9.1/24\"] }}\n")?;
        writeln!(out, "[hosts.server]\nroutes = [\"default via 10.0.9.1 dev s0\"]")?;
        writeln!(out, "[hosts.server.interfaces]\ns0 = {{ addresses = [\"10.0.9.2/24\"] }}")?;
        self.write_stack(out, "server", self.server_mptcp)?;
        writeln!(out)
    }

    fn write_stack(&self, out: &mut String, host: &str, mptcp: bool) -> core::fmt::Result {
        let (rmem, wmem) = (self.rmem * 1024, self.wmem * 1024);
        writeln!(out, "[hosts.{host}.tcp]\ntcp_sack = {}\ntcp_timestamps = {}", self.sack, self.timestamps)?;
        writeln!(out, "tcp_rmem = \"4096 {rmem} {rmem}\"\ntcp_wmem = \"4096 {wmem} {wmem}\"")?;
        writeln!(out, "[hosts.{host}.mptcp]\nenabled = {mptcp}\nchecksum_enabled = {}", self.checksum)?;
        writeln!(out, "limits = {{ subflows = 4, add_addr_accepted = 4 }}")
    }

    /// Steps of client and server.
    fn programs(&self) -> (Vec<String>, Vec<String>) {
        let (mut client, mut server) = (Vec::new(), Vec::new());
        for phase in &self.phases {
            let (speaker, listener) =
                if phase.client_speaks { (&mut client, &mut server) } else { (&mut server, &mut client) };
            let writes = phase.writes.clamp(1, phase.size.max(1));
            let each = phase.size / writes;
            for write in 0..writes {
                let size = if write + 1 == writes { phase.size - each * (writes - 1) } else { each };
                speaker.push(format!("send {size} B"));
                if phase.pause > 0 && write + 1 < writes {
                    speaker.push(format!("sleep {} ms", phase.pause));
                }
            }
            if phase.wait > 0 {
                listener.push(format!("sleep {} ms", phase.wait));
            }
            listener.push(format!("recv {} B", phase.size));
        }
        let (first, last) = match self.ending {
            Ending::Orderly | Ending::Crossing => (&mut client, &mut server),
            Ending::ServerFirst => (&mut server, &mut client),
            Ending::Abort => {
                client.push("disconnect".to_owned());
                server.extend(["recv_eof", "close"].map(str::to_owned));
                return (client, server);
            }
        };
        if self.ending == Ending::Crossing {
            last.push("shutwr".to_owned());
        }
        first.push("shutwr".to_owned());
        for end in [first, last] {
            end.extend(["recv_eof", "close"].map(str::to_owned));
        }
        (client, server)
    }
}

fn write_path(out: &mut String, index: usize, path: &Path) -> core::fmt::Result {
    writeln!(out, "[[links]]\nname = \"p{index}\"\na = \"client:c{index}\"\nb = \"router:r{index}\"")?;
    writeln!(out, "rate = \"{} kbit/s\"\ndelay = \"{} ms\"", path.rate, path.delay)?;
    writeln!(out, "queue = \"{} packets\"", path.queue)?;
    if path.loss > 0 {
        writeln!(out, "loss = {{ probability = \"{} ppm\" }}", path.loss)?;
    }
    if path.jitter > 0 {
        writeln!(out, "jitter = \"{} ms\"\nreorder = {}", path.jitter, path.reorder)?;
    }
    if path.duplicate > 0 {
        writeln!(out, "duplicate = \"{} ppm\"", path.duplicate)?;
    }
    if let Some(Outage { at, span, .. }) = path.outage {
        let changes = [(at, "down"), (at + span, "up")]
            .map(|(at, state)| format!("{{ at = \"{at} ms\", state = \"{state}\" }}"));
        writeln!(out, "changes = [{}]", changes.join(", "))?;
    }
    for spec in &path.boxes {
        writeln!(out, "\n[[boxes]]\nkind = \"{}\"\nat = \"router:r{index}\"\nnear = \"link\"", spec.kind)?;
        if !spec.parameters.is_empty() {
            writeln!(out, "parameters = {{ {} }}", spec.parameters)?;
        }
    }
    writeln!(out)
}
