//! Middleboxes of reference cases: rules of `nft` on routers, and the payload rewriting of the link emulator.
//!
//! A rule of the `forward` hook becomes a box at each interface of the router, or the one named by `iifname`, that
//! acts on what arrives there: a packet is forwarded once. `masquerade` becomes a NAT at the interface it names.
//! The rewriting of a direction becomes a box at that end of the link that is a router.

use toml::{Table, Value};

use super::{Import, PipeSpec, string, table};
use crate::words::Cidr;

/// What a rule is about, and what it does: keys of the parameters of a box.
type Parameters = Vec<(&'static str, Value)>;

fn text(key: &'static str, value: impl Into<String>) -> (&'static str, Value) {
    (key, Value::String(value.into()))
}

/// Kind and parameters of the box that a rule of the `forward` hook makes, and the interface it names.
fn filter_rule(rule: &str) -> Option<(Option<String>, &'static str, Parameters)> {
    let rule = rule.replace(" counter", "");
    let mut rest = rule.trim();
    let mut interface = None;
    if let Some(after) = rest.strip_prefix("iifname \"") {
        let (name, after) = after.split_once('"')?;
        interface = Some(name.to_owned());
        rest = after.trim_start();
    }
    rest = rest.strip_prefix("tcp flags & ")?;
    let flags = [
        ("(syn|ack) == syn", "syn"),
        ("(syn|ack) == (syn|ack)", "syn-ack"),
        ("syn == 0", "rst, first-ack, data, fin, ack"),
    ];
    let (condition, packets) = flags.into_iter().find(|(condition, _)| rest.starts_with(condition))?;
    rest = rest[condition.len()..].trim();
    let mut parameters = vec![text("direction", "forward"), text("packets", packets)];
    if let Some(after) = rest.strip_prefix("tcp option mptcp exists") {
        parameters.push(text("carrying", "mptcp"));
        rest = after.trim();
    }
    let kind = match rest {
        "drop" => "drop",
        // The option becomes NOPs.
        "reset tcp option mptcp" => {
            parameters.push(text("option", "mptcp"));
            parameters.push(text("action", "blank"));
            "options"
        }
        _ => return None,
    };
    Some((interface, kind, parameters))
}

/// The interface at which a rule of the `postrouting` hook masquerades.
fn masquerade_rule(rule: &str) -> Option<&str> {
    rule.trim().strip_prefix("oifname \"")?.strip_suffix("\" masquerade")
}

fn placed(name: String, kind: &str, at: String, near: &str, parameters: Parameters) -> Value {
    let parameters: Table = parameters.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Value::Table(table([
        ("name", string(name)),
        ("kind", string(kind)),
        ("at", string(at)),
        ("near", string(near)),
        ("parameters", Some(Value::Table(parameters))),
    ]))
}

impl Import<'_> {
    /// All boxes of the case.
    pub(super) fn boxes(&mut self) -> Vec<Value> {
        let case = self.case;
        let mut boxes = Vec::new();
        for (host, config) in &case.host_config {
            let rules =
                config.nft.as_ref().map(|nft| nft.as_str().map_or_else(|| nft.to_string(), str::to_owned));
            if let Some(rules) = rules {
                self.rules(host, &rules, &mut boxes);
            }
        }
        for link in &case.topology.links {
            for (side, spec, [from, to]) in
                [("ab", &link.ab, [&link.a, &link.b]), ("ba", &link.ba, [&link.b, &link.a])]
            {
                if let Some((spec, nth)) = spec.as_ref().and_then(|spec| Some((spec, spec.mangle?))) {
                    let path = format!("topology.links.{}.{side}.mangle", link.name);
                    boxes.extend(self.mangle(&path, &format!("{}-{side}", link.name), spec, nth, [from, to]));
                }
            }
        }
        boxes
    }

    fn is_router(&self, host: &str) -> bool {
        self.case.topology.hosts.get(host).is_some_and(|spec| spec.router)
    }

    /// Interfaces of a host with their addresses.
    fn interfaces(&self, host: &str) -> Vec<(String, Vec<Cidr>)> {
        let read = |(port, addresses): (&String, &Vec<String>)| {
            let (owner, interface) = port.split_once(':')?;
            let addresses = addresses.iter().filter_map(|text| text.parse().ok()).collect();
            (owner == host).then(|| (interface.to_owned(), addresses))
        };
        self.case.topology.addresses.iter().filter_map(read).collect()
    }

    fn rules(&mut self, host: &str, rules: &str, boxes: &mut Vec<Value>) {
        let key = format!("host_config.{host}.nft");
        if !self.is_router(host) {
            return self.unsupported(key, "rules on a host that is no router");
        }
        let interfaces = self.interfaces(host);
        let mut hook = "";
        let mut number = 0;
        for line in rules.lines().map(str::trim) {
            if line.is_empty() || line == "}" || line.starts_with("table ip ") || line.starts_with("chain ") {
                continue;
            }
            if let Some(chain) = line.strip_prefix("type ") {
                hook = ["filter hook forward ", "nat hook postrouting "]
                    .into_iter()
                    .find(|hook| chain.starts_with(hook))
                    .unwrap_or("");
                if hook.is_empty() {
                    self.unsupported(key.as_str(), format!("chain of type {chain}"));
                }
                continue;
            }
            number += 1;
            let name = |interface: &str| format!("{host}-{interface}-{number}");
            let at = |interface: &str| format!("{host}:{interface}");
            if let (true, Some((only, kind, parameters))) = (hook.starts_with("filter"), filter_rule(line)) {
                for (interface, _) in &interfaces {
                    if only.as_ref().is_none_or(|only| only == interface) {
                        boxes.push(placed(name(interface), kind, at(interface), "link", parameters.clone()));
                    }
                }
            } else if let (true, Some(outside)) = (hook.starts_with("nat"), masquerade_rule(line)) {
                match nat(&interfaces, outside) {
                    Some(parameters) => {
                        boxes.push(placed(name(outside), "nat", at(outside), "router", parameters));
                    }
                    None => self.unsupported(key.as_str(), format!("{outside} has no address")),
                }
            } else {
                self.unsupported(key.as_str(), format!("rule {line}"));
            }
        }
    }

    /// The box that changes the last octet of every `nth` full segment of a direction.
    fn mangle(
        &mut self,
        path: &str,
        name: &str,
        spec: &PipeSpec,
        nth: u32,
        [from, to]: [&String; 2],
    ) -> Option<Value> {
        let router = |port: &String| port.split_once(':').is_some_and(|(host, _)| self.is_router(host));
        let (at, near) = match (router(to), router(from)) {
            (true, _) => (to, "link"),
            // What leaves the router before the link could still be lost in the link, and would count.
            (false, true) if spec.loss == 0.0 && spec.drop.is_empty() => (from, "router"),
            _ => {
                self.unsupported(path, format!("rewrites the payload of every {nth}th segment"));
                return None;
            }
        };
        let parameters = vec![
            text("direction", "forward"),
            ("min_payload", Value::Integer(900)),
            ("every", Value::Integer(nth.into())),
            ("xor", Value::Integer(0x41)),
        ];
        Some(placed(name.to_owned(), "payload", at.clone(), near, parameters))
    }
}

/// The parameters of `masquerade` at the interface `outside`, with the timeouts of `nf_conntrack`.
fn nat(interfaces: &[(String, Vec<Cidr>)], outside: &str) -> Option<Parameters> {
    let (others, own): (Vec<_>, Vec<_>) = interfaces.iter().partition(|(name, _)| name != outside);
    let pool = own.first()?.1.first()?.address;
    let inside: Vec<String> = others
        .iter()
        .flat_map(|(_, addresses)| addresses)
        .filter_map(|cidr| {
            let network = mptcp_model::net::Prefix::containing(cidr.address, cidr.prefix).ok()?;
            Some(network.to_string())
        })
        .collect();
    Some(vec![
        text("pool", pool.to_string()),
        text("inside", inside.join(", ")),
        text("mapping", "address-and-port"),
        text("filtering", "address-and-port"),
        ("overloading", Value::Boolean(true)),
        ("hairpinning", Value::Boolean(false)),
        text("established_timeout", "120 h"),
        text("transitory_timeout", "120 s"),
        text("udp_timeout", "120 s"),
        text("echo_timeout", "30 s"),
        text("unknown_inbound", "reset"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_the_forward_hook_are_read() {
        let packets = |rule: &str| {
            let (interface, kind, parameters) = filter_rule(rule)?;
            let value = |key: &str| {
                let found = parameters.iter().find(|(known, _)| *known == key)?;
                found.1.as_str().map(str::to_owned)
            };
            Some((interface, kind, value("packets")?, value("carrying")))
        };
        let syn = Some((None, "options", "syn".to_owned(), None));
        assert_eq!(packets("tcp flags & (syn|ack) == syn counter reset tcp option mptcp"), syn);
        assert_eq!(
            packets("iifname \"r1\" tcp flags & (syn|ack) == (syn|ack) tcp option mptcp exists counter drop"),
            Some((Some("r1".to_owned()), "drop", "syn-ack".to_owned(), Some("mptcp".to_owned())))
        );
        for rule in [
            "tcp flags & (syn|ack) == syn accept",
            "tcp flags & fin == fin drop",
            "udp dport 53 drop",
            "tcp flags & syn == 0 reset tcp option sack",
        ] {
            assert_eq!(packets(rule), None, "{rule}");
        }
        assert_eq!(masquerade_rule("oifname \"o\" masquerade"), Some("o"));
        assert_eq!(masquerade_rule("oifname \"o\" snat to 10.0.0.1"), None);
    }

    #[test]
    fn masquerade_knows_what_is_inside() {
        let interfaces = [("i", "192.168.1.1/24"), ("o", "203.0.113.2/24")]
            .map(|(name, address)| (name.to_owned(), vec![address.parse().unwrap()]));
        let parameters = nat(&interfaces, "o").unwrap();
        let value = |key: &str| parameters.iter().find(|(known, _)| *known == key).unwrap().1.as_str();
        assert_eq!((value("pool"), value("inside")), (Some("203.0.113.2"), Some("192.168.1.0/24")));
        assert_eq!(nat(&interfaces, "p"), None);
    }
}
