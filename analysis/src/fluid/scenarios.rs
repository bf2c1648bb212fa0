//! The networks of the papers. Rates are in packets per second, times in seconds; "a TCP" is Reno for
//! loss-based algorithms and Vegas with 10 packets for wVegas.

use super::law::{Algorithm, Signal};
use super::network::{Link, LinkId, Network, UserId};

/// The single-path rival of a multipath algorithm.
fn rival(algorithm: Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::WVegas { total_alpha, .. } => Algorithm::Vegas { alpha: total_alpha },
        other if other.signal() == Signal::Delay => other,
        _ => Algorithm::Reno,
    }
}

/// A multipath user and its rivals.
#[derive(Clone, Debug, PartialEq)]
pub struct Contest {
    /// The network.
    pub network: Network,
    /// The multipath user (or users, counted as one).
    pub multipath: UserId,
    /// Single-path users.
    pub rivals: Vec<UserId>,
    /// Its links.
    pub links: Vec<LinkId>,
}

/// One link of `capacity`, a multipath user with `subflows` subflows and one TCP, all over it with the same
/// round-trip time (Wischik et al. 2011).
#[must_use]
pub fn shared_bottleneck(algorithm: Algorithm, subflows: usize, capacity: f64, rtt: f64) -> Contest {
    let mut network = Network::new();
    let link = network.link(Link::with_capacity(capacity));
    let path = network.path([link], rtt);
    let multipath = network.user(algorithm, vec![path; subflows]);
    let rivals = vec![network.user(rival(algorithm), [path])];
    Contest { network, multipath, rivals, links: vec![link] }
}

/// Paths with fixed loss, `(loss, rtt)` each, and one user over all of them; `rivals` are TCPs, one on
/// each path. WiFi and 3G of Wischik et al. 2011, are `[(0.04, 0.01), (0.01, 0.1)]`.
#[must_use]
pub fn lossy_paths(algorithm: Algorithm, paths: &[(f64, f64)]) -> Contest {
    let mut network = Network::new();
    let links: Vec<_> = paths.iter().map(|&(loss, _)| network.link(Link::lossy(loss))).collect();
    let paths: Vec<_> = links.iter().zip(paths).map(|(&link, &(_, rtt))| network.path([link], rtt)).collect();
    let multipath = network.user(algorithm, paths.clone());
    let rivals = paths.iter().map(|&path| network.user(rival(algorithm), [path])).collect();
    Contest { network, multipath, rivals, links }
}

/// Links `(capacity, rtt)`, one multipath user over all and one TCP on each (Wischik et al. 2011
/// with `[(250, 0.5), (500, 0.05)]`).
#[must_use]
pub fn parallel_links(algorithm: Algorithm, links: &[(f64, f64)]) -> Contest {
    let mut network = Network::new();
    let ids: Vec<_> =
        links.iter().map(|&(capacity, _)| network.link(Link::with_capacity(capacity))).collect();
    let paths: Vec<_> = ids.iter().zip(links).map(|(&link, &(_, rtt))| network.path([link], rtt)).collect();
    let multipath = network.user(algorithm, paths.clone());
    let rivals = paths.iter().map(|&path| network.user(rival(algorithm), [path])).collect();
    Contest { network, multipath, rivals, links: ids }
}

/// Links and users of a symmetric network.
#[derive(Clone, Debug, PartialEq)]
pub struct Ring {
    /// The network.
    pub network: Network,
    /// Links in order.
    pub links: Vec<LinkId>,
    /// Users in order.
    pub users: Vec<UserId>,
}

/// Links A to E in a ring, C (the third) with a capacity of its own, and five users, of which number i has
/// one path over link i and one over the next (Wischik et al. 2011).
#[must_use]
pub fn torus(algorithm: Algorithm, capacity: f64, capacity_c: f64, rtt: f64) -> Ring {
    let mut network = Network::new();
    let links: Vec<_> = (0..5)
        .map(|i| network.link(Link::with_capacity(if i == 2 { capacity_c } else { capacity })))
        .collect();
    let paths: Vec<_> = links.iter().map(|&link| network.path([link], rtt)).collect();
    let users = (0..5).map(|i| network.user(algorithm, [paths[i], paths[(i + 1) % 5]])).collect();
    Ring { network, links, users }
}

/// Three equal links in a triangle and three users, each with a path over one link and a detour over
/// the other two, all with the same round-trip time (Wischik et al. 2011).
#[must_use]
pub fn detour_triangle(algorithm: Algorithm, capacity: f64, rtt: f64) -> Ring {
    let mut network = Network::new();
    let links: Vec<_> = (0..3).map(|_| network.link(Link::with_capacity(capacity))).collect();
    let users = (0..3)
        .map(|i| {
            let direct = network.path([links[i]], rtt);
            let detour = network.path([links[(i + 1) % 3], links[(i + 2) % 3]], rtt);
            network.user(algorithm, [direct, detour])
        })
        .collect();
    Ring { network, links, users }
}

/// Two groups of users of the OLIA paper.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    /// The network.
    pub network: Network,
    /// Each user of the first group (type 1, blue, multipath).
    pub first: UserId,
    /// Each user of the second group (type 2, red, single-path).
    pub second: UserId,
}

/// Sizes of scenarios A and C: users in each group, and capacity per user of each group's network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Users of the first group.
    pub n1: u32,
    /// Users of the second group.
    pub n2: u32,
    /// Packets per second per user of the first.
    pub c1: f64,
    /// Packets per second per user of the second.
    pub c2: f64,
    /// Round-trip time of all paths; 0.15 in the paper.
    pub rtt: f64,
}

/// Scenario A (Khalili et al. 2012): `n1` users behind a server access of `n1 c1` have
/// a path of their own and one through an access point of `n2 c2`; `n2` TCP users have the access point only.
#[must_use]
pub fn olia_a(algorithm: Algorithm, sizes: Sizes) -> Groups {
    let mut network = Network::new();
    let server = network.link(Link::with_capacity(f64::from(sizes.n1) * sizes.c1));
    let shared = network.link(Link::with_capacity(f64::from(sizes.n2) * sizes.c2));
    let private = network.path([server], sizes.rtt);
    let through = network.path([server, shared], sizes.rtt);
    let only = network.path([shared], sizes.rtt);
    let first = network.users(sizes.n1, algorithm, [private, through]);
    let second = network.users(sizes.n2, rival(algorithm), [only]);
    Groups { network, first, second }
}

/// Scenario B (Khalili et al. 2012): `n` blue and `n` red users of two providers with capacities `x` and
/// `t`. Blue users have a path through each; red users one through T and, once `upgraded`, one through X
/// and T.
#[must_use]
pub fn olia_b(algorithm: Algorithm, n: u32, x: f64, t: f64, rtt: f64, upgraded: bool) -> Groups {
    let mut network = Network::new();
    let x = network.link(Link::with_capacity(x));
    let t = network.link(Link::with_capacity(t));
    let over_x = network.path([x], rtt);
    let over_t = network.path([t], rtt);
    let over_both = network.path([x, t], rtt);
    let first = network.users(n, algorithm, [over_x, over_t]);
    let second = if upgraded {
        network.users(n, algorithm, [over_t, over_both])
    } else {
        network.users(n, rival(algorithm), [over_t])
    };
    Groups { network, first, second }
}

/// Scenario C (Khalili et al. 2012): `n1` multipath users over an access point of `n1 c1` and
/// one of `n2 c2`, which `n2` TCP users have alone.
#[must_use]
pub fn olia_c(algorithm: Algorithm, sizes: Sizes) -> Groups {
    let mut network = Network::new();
    let own = network.link(Link::with_capacity(f64::from(sizes.n1) * sizes.c1));
    let shared = network.link(Link::with_capacity(f64::from(sizes.n2) * sizes.c2));
    let over_own = network.path([own], sizes.rtt);
    let over_shared = network.path([shared], sizes.rtt);
    let first = network.users(sizes.n1, algorithm, [over_own, over_shared]);
    let second = network.users(sizes.n2, rival(algorithm), [over_shared]);
    Groups { network, first, second }
}
