//! Writes networks of the literature as scenarios. Such a network has links of limited capacity, each in one
//! direction, and users with one path over some of them for each subflow; everything else has no limit.
//!
//! A path has an address of its own at either end, and routers forward by these addresses, so that a subflow stays
//! on its path. Data meet the links of the path in order; ACKs take the same way back, where nothing
//! limits them unless a path of somebody else's data leads there. The second half of a queue is filled at random, so that
//! losses come one by one and are proportional to rates, as the laws of the papers assume, and a packet of 1500 bytes takes the
//! time of 1500 bytes. The propagation delay of a path lies in front
//! of its first link, together with a random delay of about one packet of the first link, which keeps flows from
//! marching in step; users whose algorithm goes by delay have none.

use std::fmt::Write as _;

/// Bits of a full packet, IP header included.
pub(super) const PACKET_BITS: f64 = 12_000.0;
/// What a run may last after its flows stop sending, in seconds.
const DRAIN: f64 = 120.0;

/// A link in one direction.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) name: String,
    /// Routers it joins; both directions of a pair make one link of the scenario.
    pub(super) from: String,
    pub(super) to: String,
    /// In bit/s; 0 is no limit.
    pub(super) rate: f64,
    /// As in a scenario.
    pub(super) queue: String,
    /// Last places of the queue that are filled at random.
    pub(super) random_places: u32,
    /// Loses every nth packet; 0 none.
    pub(super) every_nth: u64,
    /// Probability of random loss.
    pub(super) loss: f64,
    /// What random losses are drawn from, if it is not to be the scenario's seed.
    pub(super) splitmix_seed: Option<u64>,
    /// One-way delay in seconds.
    pub(super) delay: f64,
}

/// A path over links by number, with its round-trip time in seconds without queues.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) links: Vec<usize>,
    pub(super) rtt: f64,
}

/// Equal users with one subflow on each path.
#[derive(Clone, Debug)]
pub(super) struct Users {
    pub(super) name: String,
    pub(super) count: u32,
    pub(super) algorithm: String,
    /// Its parameters, as TOML.
    pub(super) parameters: String,
    pub(super) paths: Vec<Path>,
    /// Seconds until they begin and stop.
    pub(super) start: f64,
    pub(super) until: f64,
}

impl Users {
    /// Whether their algorithm takes a random delay for a queue.
    fn go_by_delay(&self) -> bool {
        matches!(self.algorithm.as_str(), "wvegas" | "vegas")
    }
}

/// A network and who uses it.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    pub(super) links: Vec<Link>,
    pub(super) users: Vec<Users>,
    /// Seconds of sending.
    pub(super) duration: f64,
    /// Settings of all hosts, as TOML.
    pub(super) defaults: &'static str,
    /// Largest random delay of a sender in seconds; none is one packet of the first link of the path, or nothing for who goes
    /// by delay.
    pub(super) jitter: Option<f64>,
    /// Whether frames have the 14 octets of Ethernet.
    pub(super) ethernet: bool,
    /// Whether ACKs go straight back, past all links.
    pub(super) acks_apart: bool,
}

/// Buffers that never limit, and segments given one by one to subflows with room in their windows, as in the
/// programs of the papers: data that wait on one subflow must not hold up another.
const AMPLE_BUFFERS: &str = "[defaults.tcp]\ntcp_rmem = \"4 KiB, 16 MiB, 256 MiB\"\n\
                             tcp_wmem = \"4 KiB, 16 MiB, 256 MiB\"\n\n\
                             [defaults.mptcp]\nscheduler = \"minrtt\"\n";

/// Hosts like those of the out-of-tree kernel, but with the path manager in which paths are announced one by
/// one.
pub(super) const LIKE_OUT_OF_TREE: &str = "[defaults]\nprofile = \"linux-oot\"\n\n[defaults.mptcp]\n\
                                           path_manager = \"kernel\"\n";

impl Network {
    pub(super) fn new(duration: f64) -> Self {
        Self { duration, defaults: AMPLE_BUFFERS, ..Self::default() }
    }

    /// Adds a link of `rate` bit/s and `queue` packets between two routers of its own.
    pub(super) fn link(&mut self, name: &str, rate: f64, queue: u32) -> usize {
        self.between(name, &format!("{name}-in"), &format!("{name}-out"), rate, queue)
    }

    /// Adds a link between named routers.
    pub(super) fn between(&mut self, name: &str, from: &str, to: &str, rate: f64, limit: u32) -> usize {
        let (name, from, to) = (name.to_owned(), from.to_owned(), to.to_owned());
        let queue = format!("{limit} packets");
        let random_places = if rate > 0.0 { limit / 2 } else { 0 };
        self.links.push(Link {
            name,
            from,
            to,
            rate,
            queue,
            random_places,
            every_nth: 0,
            loss: 0.0,
            splitmix_seed: None,
            delay: 0.0,
        });
        self.links.len() - 1
    }

    /// Adds `count` users who send all the time.
    pub(super) fn users(&mut self, name: &str, count: u32, algorithm: &str, paths: Vec<Path>) {
        let (name, algorithm) = (name.to_owned(), algorithm.to_owned());
        let (parameters, until) = (String::new(), self.duration);
        self.users.push(Users { name, count, algorithm, parameters, paths, start: 0.0, until });
    }

    /// Adds one user.
    pub(super) fn user(&mut self, name: &str, algorithm: &str, paths: Vec<Path>) {
        self.users(name, 1, algorithm, paths);
    }
}

/// Time in whole microseconds.
fn time(seconds: f64) -> String {
    format!("\"{} us\"", (seconds * 1e6 + 0.5) as u64)
}

fn rate(bits_per_second: f64) -> String {
    format!("\"{} bit/s\"", (bits_per_second + 0.5) as u64)
}

fn sender_net(path: usize) -> String {
    format!("10.{}.{}", 64 + path / 256, path % 256)
}

fn receiver_net(path: usize) -> String {
    format!("10.{}.{}", 128 + path / 256, path % 256)
}

/// A router being put together.
#[derive(Clone, Debug, Default)]
struct Router {
    name: String,
    interfaces: Vec<(String, String)>,
    routes: Vec<String>,
}

/// Routers in order of appearance, and links between them.
#[derive(Default)]
struct Plan {
    routers: Vec<Router>,
    links: String,
    /// Pairs of routers that are linked, with the interface of each.
    joined: Vec<(usize, usize, String, String)>,
}

impl Plan {
    fn router(&mut self, name: &str) -> usize {
        self.routers.iter().position(|router| router.name == name).unwrap_or_else(|| {
            self.routers.push(Router { name: name.to_owned(), ..Router::default() });
            self.routers.len() - 1
        })
    }

    /// A new interface of a router, without address unless one is given.
    fn interface(&mut self, router: usize, address: &str) -> String {
        let interfaces = &mut self.routers[router].interfaces;
        let name = format!("i{}", interfaces.len());
        interfaces.push((name.clone(), address.to_owned()));
        name
    }

    /// The interface of `from` towards `to`, if there is a link.
    fn towards(&self, from: usize, to: usize) -> Option<String> {
        self.joined.iter().find_map(|(a, b, at_a, at_b)| match (*a, *b) {
            pair if pair == (from, to) => Some(at_a.clone()),
            pair if pair == (to, from) => Some(at_b.clone()),
            _ => None,
        })
    }

    fn join(&mut self, name: &str, from: usize, to: usize, body: &str) {
        let (a, b) = (self.interface(from, ""), self.interface(to, ""));
        let (left, right) = (&self.routers[from].name, &self.routers[to].name);
        let _ = write!(
            self.links,
            "[[links]]\nname = \"{name}\"\na = \"{left}:{a}\"\nb = \"{right}:{b}\"\n{body}\n"
        );
        self.joined.push((from, to, a, b));
    }
}

fn direction(link: &Link) -> String {
    let mut body = format!("queue = \"{}\"", link.queue);
    if link.rate > 0.0 {
        let _ = write!(body, ", rate = {}", rate(link.rate));
    }
    if link.delay > 0.0 {
        let _ = write!(body, ", delay = {}", time(link.delay));
    }
    if link.random_places > 0 {
        let places = link.random_places;
        let _ = write!(body, ", random_drop = {{ places = {places}, probability = \"10 %\" }}");
    }
    if link.loss > 0.0 {
        let seed = link.splitmix_seed.map_or_else(String::new, |seed| format!(", splitmix_seed = {seed}"));
        let ppm = (link.loss * 1e6 + 0.5) as u64;
        let _ = write!(body, ", loss = {{ probability = \"{ppm} ppm\"{seed} }}");
    }
    if link.every_nth > 0 {
        let _ = write!(body, ", loss = {{ every_nth = {} }}", link.every_nth);
    }
    format!("{{ {body} }}")
}

impl Network {
    /// The text of the scenario; `heading` becomes its comment.
    pub(super) fn to_toml(&self, title: &str, heading: &str) -> String {
        let mut plan = Plan::default();
        let overhead = if self.ethernet { "" } else { "overhead = \"none\"\n" };
        for (index, link) in self.links.iter().enumerate() {
            let (from, to) = (plan.router(&link.from), plan.router(&link.to));
            if plan.towards(from, to).is_some() {
                continue;
            }
            let opposite = self.links[index + 1..]
                .iter()
                .find(|other| (&other.from, &other.to) == (&link.to, &link.from));
            let back = opposite.map_or_else(
                || format!("{{ queue = \"unlimited\", delay = {} }}", time(link.delay)),
                direction,
            );
            plan.join(&link.name, from, to, &format!("{overhead}ab = {}\nba = {back}\n", direction(link)));
        }
        let mut hosts = String::new();
        let mut flows = String::new();
        let mut path_number = 0;
        let mut flow_number = 0_u32;
        let stagger = self.stagger();
        for users in &self.users {
            let (sender, receiver) = (format!("{}-c", users.name), format!("{}-s", users.name));
            let (mut sender_routes, mut receiver_routes) = (Vec::new(), Vec::new());
            let (mut sender_interfaces, mut receiver_interfaces) = (String::new(), String::new());
            let mut endpoints = Vec::new();
            for index in 0..users.paths.len() {
                let (near, far) = (sender_net(path_number), receiver_net(path_number));
                sender_routes.push(format!("\"{far}.0/30 via {near}.2 dev c{index}\""));
                let _ = writeln!(sender_interfaces, "c{index} = {{ addresses = [\"{near}.1/30\"] }}");
                let _ = writeln!(receiver_interfaces, "s{index} = {{ addresses = [\"{far}.1/30\"] }}");
                if self.acks_apart {
                    receiver_routes.push(format!("\"{near}.0/30 dev back{index}\""));
                    let _ = writeln!(sender_interfaces, "back{index} = {{ addresses = [] }}");
                    let _ = writeln!(receiver_interfaces, "back{index} = {{ addresses = [] }}");
                } else {
                    receiver_routes.push(format!("\"{near}.0/30 via {far}.2 dev s{index}\""));
                }
                if index > 0 {
                    endpoints.push(format!(
                        "{{ address = \"{far}.1\", id = {index}, flags = [\"signal\"], dev = \"s{index}\" }}"
                    ));
                }
                self.lay(&mut plan, users, index, path_number);
                path_number += 1;
            }
            let extra = users.paths.len().saturating_sub(1);
            let _ = write!(
                hosts,
                "[hosts.{sender}]\nroutes = [{}]\n\n[hosts.{sender}.interfaces]\n{sender_interfaces}\n\
                 [hosts.{sender}.mptcp]\nlimits = {{ subflows = {extra}, add_addr_accepted = {extra} }}\n\n\
                 [hosts.{receiver}]\nroutes = [{}]\n\n[hosts.{receiver}.interfaces]\n{receiver_interfaces}\n\
                 [hosts.{receiver}.mptcp]\nlimits = {{ subflows = {extra}, add_addr_accepted = 0 }}\n\
                 endpoints = [{}]\n\n",
                sender_routes.join(", "),
                receiver_routes.join(", "),
                endpoints.join(", "),
            );
            for number in 0..users.count {
                let name = match users.count {
                    1 => users.name.clone(),
                    _ => format!("{}{}", users.name, number + 1),
                };
                let start = users.start + stagger * f64::from(flow_number);
                let span = users.until - start;
                let protocol = if extra > 0 { "mptcp" } else { "tcp" };
                let _ = write!(
                    flows,
                    "[[flows]]\nname = \"{name}\"\nfrom = \"{sender}\"\nto = \"{receiver}\"\nport = {}\n\
                     protocol = \"{protocol}\"\nstart = {}\ncongestion_control = \"{}\"\n{}\
                     bulk = {{ time = {} }}\n\n",
                    5001 + number,
                    time(start),
                    users.algorithm,
                    users.parameters,
                    time(span.max(0.001)),
                );
                flow_number += 1;
            }
        }
        let mut text = format!("# {title}\n#\n");
        for line in heading.lines() {
            let _ = writeln!(text, "# {line}");
        }
        let _ = write!(
            text,
            "\ntitle = \"{title}\"\nduration = {}\n\n{}\n[output]\nsample_interval = \"1 s\"\n\n{hosts}",
            time(self.duration + DRAIN),
            self.defaults,
        );
        for Router { name, interfaces, routes } in &plan.routers {
            let routes: Vec<_> = routes.iter().map(|route| format!("\n  \"{route}\",")).collect();
            let _ = write!(
                text,
                "[hosts.{name}]\nkind = \"router\"\nroutes = [{}\n]\n\n[hosts.{name}.interfaces]\n",
                routes.concat()
            );
            for (interface, address) in interfaces {
                let address = if address.is_empty() { String::new() } else { format!("\"{address}\"") };
                let _ = writeln!(text, "{interface} = {{ addresses = [{address}] }}");
            }
            text.push('\n');
        }
        text.push_str(&plan.links);
        text.push_str(&flows);
        text
    }

    /// Time between the starts of two users. A few start almost together, so that those who go by delays see the path
    /// empty. The first flights of many would fill a queue and take with them handshakes of MPTCP, which then
    /// ends as TCP.
    fn stagger(&self) -> f64 {
        const FEW: u32 = 8;
        let users: u32 = self.users.iter().map(|users| users.count).sum();
        if users <= FEW { 0.037 } else { (self.duration / (10.0 * f64::from(users))).min(0.25) }
    }

    /// Lays a path from the sender's interface over its links to the receiver's.
    fn lay(&self, plan: &mut Plan, users: &Users, index: usize, number: usize) {
        let path = &users.paths[index];
        let (sender, receiver) = (format!("{}-c:c{index}", users.name), format!("{}-s:s{index}", users.name));
        let (near, far) = (sender_net(number), receiver_net(number));
        let mut stations = Vec::new();
        for &link in &path.links {
            let (from, to) = (plan.router(&self.links[link].from), plan.router(&self.links[link].to));
            if stations.last() != Some(&from) {
                stations.push(from);
            }
            stations.push(to);
        }
        for pair in stations.windows(2) {
            if plan.towards(pair[0], pair[1]).is_none() {
                let name = format!("{}--{}", plan.routers[pair[0]].name, plan.routers[pair[1]].name);
                plan.join(&name, pair[0], pair[1], "queue = \"unlimited\"\n");
            }
            let forth = plan.towards(pair[0], pair[1]).unwrap_or_default();
            let back = plan.towards(pair[1], pair[0]).unwrap_or_default();
            plan.routers[pair[0]].routes.push(format!("{far}.0/30 dev {forth}"));
            plan.routers[pair[1]].routes.push(format!("{near}.0/30 dev {back}"));
        }
        let (Some(&first), Some(&last)) = (stations.first(), stations.last()) else { return };
        let on_links: f64 = path.links.iter().map(|&link| 2.0 * self.links[link].delay).sum();
        let jitter = path.links.iter().map(|&link| self.links[link].rate).find(|rate| *rate > 0.0);
        let jitter = jitter.map_or(0.0, |rate| PACKET_BITS / rate).min(path.rtt / 10.0);
        let jitter = self.jitter.unwrap_or(if users.go_by_delay() { 0.0 } else { jitter });
        let one_way = ((path.rtt - on_links) / 2.0).max(jitter);
        let entry = plan.interface(first, &format!("{near}.2/30"));
        let router = plan.routers[first].name.clone();
        let random = if jitter > 0.0 { format!(", jitter = {}", time(jitter)) } else { String::new() };
        let _ = write!(
            plan.links,
            "[[links]]\nname = \"in{number}\"\na = \"{sender}\"\nb = \"{router}:{entry}\"\n\
             queue = \"unlimited\"\nab = {{ delay = {}{random} }}\nba = {{ delay = {} }}\n\n",
            time(one_way - jitter / 2.0),
            time(one_way),
        );
        if self.acks_apart {
            let _ = write!(
                plan.links,
                "[[links]]\nname = \"back{number}\"\na = \"{0}-s:back{index}\"\nb = \"{0}-c:back{index}\"\n\
                 queue = \"unlimited\"\ndelay = {1}\n\n",
                users.name,
                time(path.rtt / 2.0),
            );
        }
        let exit = plan.interface(last, &format!("{far}.2/30"));
        let router = plan.routers[last].name.clone();
        let _ = write!(
            plan.links,
            "[[links]]\nname = \"out{number}\"\na = \"{router}:{exit}\"\nb = \"{receiver}\"\n\
             queue = \"unlimited\"\n\n",
        );
    }
}
