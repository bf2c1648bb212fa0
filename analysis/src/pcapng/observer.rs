//! Captures a running simulation: an observer of the engine that writes what passes chosen ports.
//!
//! What leaves a port is recorded when it is sent, before the queue of the link; what enters when it
//! is received. A packet refused by the queue is therefore in the sender's capture, as with
//! tcpdump on a host whose queue is elsewhere. Memory does not grow with the number of packets.

use std::io::{self, Write};

use mptcp_model::wire::Packet;
use sim_core::{Instant, NodeId, Observer, PortId};

use crate::capture::Direction;

use super::Interface;
use super::writer::{PacketRecord, PcapngWriter};

/// Writes packets at chosen ports to one pcapng section. Errors of the output are kept and told by
/// [`finish`](Self::finish); after the first nothing more is written.
#[derive(Debug)]
pub struct CaptureObserver<W: Write> {
    writer: PcapngWriter<W>,
    /// By node, then by port: interface number plus one, 0 for ports not captured.
    interfaces: Vec<Vec<u32>>,
    error: Option<io::Error>,
}

impl<W: Write> CaptureObserver<W> {
    /// Captures to `writer`, to which no interface need have been added.
    pub const fn new(writer: PcapngWriter<W>) -> Self {
        Self { writer, interfaces: Vec::new(), error: None }
    }

    /// Captures `port` of `node` as `interface`; the order of calls is the order in the file.
    ///
    /// # Errors
    /// If the output fails.
    pub fn capture(&mut self, node: NodeId, port: PortId, interface: &Interface) -> io::Result<()> {
        let index = self.writer.add_interface(interface)?;
        let (node, port) = (node.0 as usize, usize::from(port.0));
        if self.interfaces.len() <= node {
            self.interfaces.resize(node + 1, Vec::new());
        }
        let ports = &mut self.interfaces[node];
        if ports.len() <= port {
            ports.resize(port + 1, 0);
        }
        ports[port] = index + 1;
        Ok(())
    }

    /// Ends the capture and returns the output.
    ///
    /// # Errors
    /// The first error of the output, if there was one.
    pub fn finish(self) -> io::Result<W> {
        match self.error {
            Some(error) => Err(error),
            None => self.writer.finish(),
        }
    }

    #[inline]
    fn record(&mut self, at: Instant, node: NodeId, port: PortId, direction: Direction, packet: &Packet) {
        let ports = self.interfaces.get(node.0 as usize);
        let interface = ports.and_then(|ports| ports.get(usize::from(port.0))).copied().unwrap_or(0);
        if interface == 0 || self.error.is_some() {
            return;
        }
        let interface = interface - 1;
        let ip_len = packet.wire_len();
        // The headers cannot be told from the payload here, so the payload may be emitted a little
        // beyond the snap length; the writer cuts it.
        let max_payload = self.writer.ip_budget(interface).saturating_sub(MIN_HEADERS);
        let record = PacketRecord { interface, at, direction, ip_len: ip_len as u32, comment: None };
        let written = self.writer.write_packet(&record, |out| packet.emit_headers(out, max_payload));
        self.error = written.err();
    }
}

/// The shortest headers before a payload: IPv4 and UDP.
const MIN_HEADERS: usize = 28;

impl<W: Write> Observer<Packet> for CaptureObserver<W> {
    fn sent(&mut self, at: Instant, node: NodeId, port: PortId, packet: &Packet) {
        self.record(at, node, port, Direction::Outbound, packet);
    }

    fn received(&mut self, at: Instant, node: NodeId, port: PortId, packet: &Packet) {
        self.record(at, node, port, Direction::Inbound, packet);
    }
}
