//! The capture of a run: one pcapng section with an interface block for each captured port.

use std::fs::File;
use std::io::{self, BufWriter};

use analysis::pcapng::{CaptureObserver, Interface, LinkLayer, MacAddr, NameRecord, PcapngWriter, Section};
use scenarios::Scenario;
use scenarios::layout::{Layout, LayoutPort};
use scenarios::scenario::LinkType;

/// Captures what the scenario says to `out`.
///
/// # Errors
/// If the output fails.
pub(crate) fn observer(
    scenario: &Scenario,
    layout: &Layout,
    out: BufWriter<File>,
) -> io::Result<CaptureObserver<BufWriter<File>>> {
    let section = Section {
        application: format!("mptcp-sim {}", env!("CARGO_PKG_VERSION")),
        comment: format!("scenario {}, seed {}", scenario.name, scenario.seed),
        ..Section::default()
    };
    let mut writer = PcapngWriter::new(out, &section, scenario.capture.snaplen)?;
    writer.add_names(&names(scenario))?;
    let mut observer = CaptureObserver::new(writer);
    for port in &scenario.capture.interfaces {
        // An interface without a link carries nothing.
        let Some(port) = layout.port(&port.host, &port.interface) else { continue };
        observer.capture(port.node, port.port, &interface(scenario, layout, port))?;
    }
    Ok(observer)
}

fn interface(scenario: &Scenario, layout: &Layout, port: &LayoutPort) -> Interface {
    let mac = |port: &LayoutPort| MacAddr(port.mac.0);
    let link = match scenario.capture.link_type {
        LinkType::Ethernet => LinkLayer::Ethernet {
            local: mac(port),
            neighbour: layout.peer(port).map_or_else(|| mac(port), mac),
        },
        LinkType::Raw => LinkLayer::RawIp,
    };
    let description = scenario.links.get(port.link.0 as usize).map(|link| format!("link {}", link.name));
    Interface {
        name: format!("{}:{}", port.host, port.interface),
        description: description.unwrap_or_default(),
        link,
    }
}

/// The hosts' names for their addresses.
fn names(scenario: &Scenario) -> Vec<NameRecord> {
    let named = scenario
        .hosts
        .iter()
        .flat_map(|host| host.addresses().map(|address| NameRecord { address, name: host.name.clone() }));
    named.collect()
}
