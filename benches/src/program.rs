//! The two applications of every workload: one writes without end, the other reads all there is.

use std::net::SocketAddr;

use mptcp_model::host::{Application, Host, SocketId};
use mptcp_model::mptcp::{SocketEvents, SocketOptions};
use sim_core::Instant;

/// An application of a workload.
#[derive(Debug)]
pub(crate) enum Program {
    /// Connects at an instant and writes as much as the socket takes.
    Source {
        /// How the socket is set up.
        options: SocketOptions,
        /// Source address.
        local: SocketAddr,
        /// Destination.
        remote: SocketAddr,
        /// When to connect; `None` once done.
        start: Option<Instant>,
    },
    /// Accepts connections and reads what arrives at once.
    Sink {
        /// How sockets are set up.
        options: SocketOptions,
        /// Where to listen.
        local: SocketAddr,
        /// The listening socket.
        listener: Option<SocketId>,
    },
}

impl Program {
    fn connect_if_due(&mut self, now: Instant, host: &mut Host) {
        let Self::Source { options, local, remote, start, .. } = self else { return };
        if start.is_some_and(|start| start <= now) {
            *start = None;
            host.connect(now, options.clone(), Some(*local), *remote).expect("the source has a route");
        }
    }
}

impl Application for Program {
    fn start(&mut self, now: Instant, host: &mut Host) {
        self.connect_if_due(now, host);
        if let Self::Sink { options, local, listener } = self {
            *listener = Some(host.listen(options.clone(), *local, 16).expect("the address is free"));
        }
    }

    fn on_event(&mut self, now: Instant, socket: SocketId, events: SocketEvents, host: &mut Host) {
        match self {
            Self::Source { .. } => {
                assert!(!events.failed, "a connection of a workload failed");
                if events.connected || events.writable {
                    host.write(now, socket, u64::MAX).expect("the connection is open");
                }
            }
            Self::Sink { listener, .. } => {
                let socket = if Some(socket) == *listener {
                    let Some(accepted) = host.accept(socket) else { return };
                    accepted
                } else {
                    socket
                };
                host.read(now, socket, u64::MAX).expect("the connection is open");
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Source { start, .. } => *start,
            Self::Sink { .. } => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        self.connect_if_due(now, host);
    }
}
