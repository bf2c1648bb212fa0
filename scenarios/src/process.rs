//! What runs at an end of a flow: a program on a stream socket, or an end of UDP traffic.

use mptcp_model::host::{Application, Host, SocketId};
use mptcp_model::mptcp::SocketEvents;
use sim_core::Instant;

use crate::datagram::{Receiver, Sender};
use crate::program::{Program, Record};

/// One end of a flow.
#[derive(Debug)]
pub enum Process {
    /// A program on a stream socket.
    Program(Program),
    /// Sends datagrams.
    Sender(Sender),
    /// Receives datagrams.
    Receiver(Receiver),
}

impl Process {
    /// What it did so far.
    #[must_use]
    pub const fn record(&self) -> &Record {
        match self {
            Self::Program(program) => program.record(),
            Self::Sender(sender) => sender.record(),
            Self::Receiver(receiver) => receiver.record(),
        }
    }

    /// Its stream socket, once there is one.
    #[must_use]
    pub const fn socket(&self) -> Option<SocketId> {
        match self {
            Self::Program(program) => program.socket(),
            Self::Sender(_) | Self::Receiver(_) => None,
        }
    }

    /// Whether it has ended. A receiver of datagrams never knows whether more will come: it is always ready to
    /// end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match self {
            Self::Program(program) => program.is_finished(),
            Self::Sender(sender) => sender.is_finished(),
            Self::Receiver(_) => true,
        }
    }
}

impl Application for Process {
    fn start(&mut self, now: Instant, host: &mut Host) {
        match self {
            Self::Program(program) => program.start(now, host),
            Self::Sender(sender) => sender.start(now, host),
            Self::Receiver(receiver) => receiver.start(now, host),
        }
    }

    fn on_event(&mut self, now: Instant, socket: SocketId, events: SocketEvents, host: &mut Host) {
        match self {
            Self::Program(program) => program.on_event(now, socket, events, host),
            Self::Sender(sender) => sender.on_event(now, socket, events, host),
            Self::Receiver(receiver) => receiver.on_event(now, socket, events, host),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Program(program) => program.poll_timeout(),
            Self::Sender(sender) => sender.poll_timeout(),
            Self::Receiver(receiver) => receiver.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        match self {
            Self::Program(program) => program.handle_timeout(now, host),
            Self::Sender(sender) => sender.handle_timeout(now, host),
            Self::Receiver(receiver) => receiver.handle_timeout(now, host),
        }
    }
}
