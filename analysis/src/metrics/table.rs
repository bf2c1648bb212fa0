//! The figures of a capture as text for a terminal.

use std::fmt;

use super::{AddressReport, ConnectionReport, Report, SubflowDirection, side_name as name};
use crate::histogram::Quantiles;
use crate::table::{Align, Table};

/// More addresses than this are in the tables of CSV and JSON only.
const ADDRESSES: usize = 16;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.view != self.file {
            write!(f, ", seen by {}", self.view)?;
        }
        writeln!(
            f,
            ": {} packets, {} octets, {:.3} s, {} connection{}",
            self.packets,
            self.octets,
            self.duration_s,
            self.connections.len(),
            if self.connections.len() == 1 { "" } else { "s" }
        )?;
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for (kind, count) in &self.icmp {
            writeln!(f, "ICMP {kind}: {count}")?;
        }
        for one in self.addresses.iter().filter(|_| self.addresses.len() <= ADDRESSES) {
            let AddressReport { address, sent, received } = one;
            writeln!(
                f,
                "{address}: {} packets ({} octets) sent, {} ({}) received",
                sent.0, sent.1, received.0, received.1
            )?;
        }
        self.connections.iter().try_for_each(|connection| write!(f, "\n{connection}"))
    }
}

impl fmt::Display for ConnectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.heading(f)?;
        write!(f, "{}", self.table())
    }
}

impl ConnectionReport {
    /// The lines before the table.
    pub(crate) fn heading(&self, f: &mut impl fmt::Write) -> fmt::Result {
        write!(f, "connection {}: {}", self.connection, self.protocol)?;
        if let Some(version) = self.version {
            write!(f, " version {version}")?;
        }
        if let Some(cause) = &self.fallback {
            write!(f, " ({cause})")?;
        }
        if self.checksums {
            f.write_str(", checksums")?;
        }
        write!(f, ", from {:.6} s for {:.6} s, close: {}", self.start_s, self.duration_s, self.close)?;
        if let [Some(initiator), Some(responder)] = &self.tokens {
            write!(f, ", tokens {initiator} {responder}")?;
        }
        writeln!(f)?;
        for (side, data) in self.data.iter().enumerate().filter(|(_, data)| data.octets > 0) {
            write!(f, "  {}: {} octets of data", name(side), data.octets)?;
            if let Some(goodput) = data.goodput_bps {
                write!(f, ", goodput {:.3} Mbit/s", goodput / 1e6)?;
            }
            if data.reinjections > 0 {
                write!(
                    f,
                    ", {} reinjections ({} octets: {} useful, {} redundant)",
                    data.reinjections, data.reinjected, data.reinjected_useful, data.reinjected_redundant
                )?;
            }
            if let Some(waiting) = &data.head_of_line_ms {
                write!(
                    f,
                    ", {} segments beyond a gap, {:.1} ms in the median and {:.1} ms at most",
                    data.out_of_order, waiting.median, waiting.max
                )?;
            }
            writeln!(f)?;
        }
        for announced in &self.announced {
            write!(f, "  {} announces {} id {}", name(announced.side), announced.address, announced.id)?;
            if let Some(port) = announced.port {
                write!(f, " port {port}")?;
            }
            write!(f, " at {:.6} s", announced.at_s)?;
            match announced.join_after_ms {
                Some(after) => writeln!(f, ", joined after {after:.3} ms")?,
                None => writeln!(f, ", not joined")?,
            }
        }
        for failover in &self.failovers {
            writeln!(
                f,
                "  flow {} takes over from flow {} at {:.6} s, {:.1} ms after its last progress",
                failover.to, failover.from, failover.at_s, failover.after_ms
            )?;
        }
        Ok(())
    }

    /// The subflows, two lines each.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&[
            ("  flow", Align::Left),
            ("way", Align::Left),
            ("packets", Align::Right),
            ("payload B", Align::Right),
            ("share %", Align::Right),
            ("Mbit/s", Align::Right),
            ("sent again", Align::Right),
            ("spurious", Align::Right),
            ("RTT ms min", Align::Right),
            ("median", Align::Right),
            ("p95", Align::Right),
            ("max flight", Align::Right),
        ]);
        for subflow in &self.subflows {
            for (side, direction) in subflow.directions.iter().enumerate() {
                let mut flow = String::new();
                if side == 0 {
                    let join = if subflow.join { " join" } else { "" };
                    let backup = if subflow.backup { " backup" } else { "" };
                    flow =
                        format!("  {} {} > {}{join}{backup}", subflow.flow, subflow.client, subflow.server);
                }
                table.row([flow, name(side).to_owned()].into_iter().chain(cells(direction)));
            }
        }
        table
    }
}

fn cells(direction: &SubflowDirection) -> [String; 10] {
    let number = |value: Option<f64>, decimals: usize| {
        value.map_or_else(String::new, |value| format!("{value:.decimals$}"))
    };
    let rtt = |of: fn(&Quantiles) -> f64| number(direction.rtt_ms.as_ref().map(of), 3);
    [
        direction.packets.to_string(),
        direction.payload.to_string(),
        number(direction.share.map(|share| share * 100.0), 1),
        number(direction.throughput_bps.filter(|_| direction.data_packets > 1).map(|bps| bps / 1e6), 3),
        direction.retransmissions.to_string(),
        direction.spurious.to_string(),
        rtt(|rtt| rtt.min),
        rtt(|rtt| rtt.median),
        rtt(|rtt| rtt.p95),
        number(direction.flight.as_ref().map(|flight| flight.max), 0),
    ]
}
