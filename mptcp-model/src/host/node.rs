//! Hosts as nodes of a simulation, with the applications that run on them; and nodes that are hosts or routers.

use core::fmt;
use std::collections::VecDeque;

use sim_core::{Context, Instant, Node, Observer, Parcel, PortId};

use super::egress::Egress;
use super::{Host, RouterNode, SocketId};
use crate::mptcp::SocketEvents;
use crate::net::InterfaceId;
use crate::wire::Packet;

/// A program on a host. It acts when it starts, when one of its sockets has something for it, and when its
/// own timer fires; calls take no simulated time.
pub trait Application: fmt::Debug {
    /// The host is up.
    fn start(&mut self, now: Instant, host: &mut Host);

    /// Something happened on a socket that this application opened or accepted.
    fn on_event(&mut self, now: Instant, socket: SocketId, events: SocketEvents, host: &mut Host);

    /// When the application wants to be woken.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The time asked for has come; harmless when nothing is due.
    fn handle_timeout(&mut self, now: Instant, host: &mut Host);
}

/// A host with its applications.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct HostNode<A> {
    /// Its applications; sockets know theirs by the index.
    pub applications: Vec<A>,
    /// Packets to this host itself, not yet received.
    own: VecDeque<Packet>,
    /// The earliest time that an application wants to be woken at.
    application_timeout: Instant,
    /// The wake-up as it is set.
    wakeup: Instant,
    /// The host.
    pub host: Host,
}

impl<A: Application> HostNode<A> {
    /// A host without applications.
    #[must_use]
    pub const fn new(host: Host) -> Self {
        Self {
            host,
            applications: Vec::new(),
            own: VecDeque::new(),
            application_timeout: Instant::FAR_FUTURE,
            wakeup: Instant::FAR_FUTURE,
        }
    }

    /// Start every application.
    pub fn start<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>) {
        let now = ctx.now();
        for (index, application) in self.applications.iter_mut().enumerate() {
            self.host.current_owner = index as u32;
            application.start(now, &mut self.host);
        }
        self.run(ctx);
    }

    /// Let applications see their events and send what is due, until nothing is left; then set the wake-up.
    pub fn run<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>) {
        self.work(ctx);
        self.ask_applications();
        self.set_wakeup(ctx);
    }

    /// A packet arrived.
    #[inline]
    fn receive<O: Observer<Packet>>(
        &mut self,
        ctx: &mut Context<'_, Packet, O>,
        port: PortId,
        parcel: Parcel,
    ) {
        self.host.handle_packet(ctx.now(), InterfaceId(port.0), ctx.packet(&parcel));
        ctx.release(parcel);
        self.work(ctx);
        self.set_wakeup(ctx);
    }

    #[inline(always)]
    fn work<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>) {
        loop {
            // The stack answers before an application gets its turn, as an interrupt does.
            if self.host.has_packets() {
                self.send(ctx);
            }
            if !self.host.has_events() {
                return;
            }
            self.serve(ctx.now());
        }
    }

    /// What is due leaves, and what that is answered by this host itself.
    #[inline(never)]
    fn send<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>) {
        let now = ctx.now();
        loop {
            if self.host.has_waiting() {
                self.host.empty_outbox(&mut Ports { own: &mut self.own, ctx });
            }
            self.host.transmit(now, &mut Ports { own: &mut self.own, ctx });
            if self.own.is_empty() {
                return;
            }
            self.receive_own(now);
        }
    }

    /// A packet to this host itself arrives.
    #[cold]
    #[inline(never)]
    fn receive_own(&mut self, now: Instant) {
        if let Some(packet) = self.own.pop_front() {
            self.host.handle_packet(now, InterfaceId::LOOPBACK, &packet);
        }
    }

    /// Applications look at what happened.
    #[inline(never)]
    fn serve(&mut self, now: Instant) {
        while let Some(event) = self.host.poll_event() {
            if let Some(application) = self.applications.get_mut(event.owner as usize) {
                self.host.current_owner = event.owner;
                application.on_event(now, event.socket, event.events, &mut self.host);
            }
        }
        self.ask_applications();
    }

    /// When applications want to be woken changes only when they act.
    fn ask_applications(&mut self) {
        let timeouts = self.applications.iter().filter_map(Application::poll_timeout);
        self.application_timeout = timeouts.min().unwrap_or(Instant::FAR_FUTURE);
    }

    #[inline]
    fn set_wakeup<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>) {
        let next = self.host.next_timeout.min(self.application_timeout);
        if next != self.wakeup {
            self.wakeup = next;
            ctx.set_wakeup((next != Instant::FAR_FUTURE).then_some(next));
        }
    }

    fn wake<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>) {
        let now = ctx.now();
        self.wakeup = Instant::FAR_FUTURE;
        self.host.handle_timeout(now);
        for (index, application) in self.applications.iter_mut().enumerate() {
            if application.poll_timeout().is_some_and(|at| at <= now) {
                self.host.current_owner = index as u32;
                application.handle_timeout(now, &mut self.host);
            }
        }
        self.run(ctx);
    }
}

/// The ports of a host, and the way back to itself.
struct Ports<'a, 'c, O> {
    own: &'a mut VecDeque<Packet>,
    ctx: &'a mut Context<'c, Packet, O>,
}

impl<O: Observer<Packet>> Egress for Ports<'_, '_, O> {
    #[inline(always)]
    fn send(&mut self, write: impl FnOnce(&mut Packet), way: impl FnOnce(&Packet) -> Option<InterfaceId>) {
        let parcel = self.ctx.recycle(Packet::blank);
        let packet = self.ctx.packet_mut(&parcel);
        write(packet);
        match way(packet) {
            None => self.ctx.release(parcel),
            Some(InterfaceId::LOOPBACK) => {
                let packet = self.ctx.take(parcel);
                self.own.push_back(packet);
            }
            Some(interface) => self.ctx.forward(PortId(interface.0), parcel),
        }
    }
}

/// A node of a network of hosts and routers.
#[derive(Debug)]
pub enum NetNode<A> {
    /// A host.
    Host(Box<HostNode<A>>),
    /// A router.
    Router(Box<RouterNode>),
}

impl<A> NetNode<A> {
    /// The host, if it is one.
    #[must_use]
    pub fn host(&self) -> Option<&HostNode<A>> {
        match self {
            Self::Host(host) => Some(host),
            Self::Router(_) => None,
        }
    }

    /// The host, if it is one.
    pub fn host_mut(&mut self) -> Option<&mut HostNode<A>> {
        match self {
            Self::Host(host) => Some(host),
            Self::Router(_) => None,
        }
    }

    /// The router, if it is one.
    #[must_use]
    pub fn router(&self) -> Option<&RouterNode> {
        match self {
            Self::Router(router) => Some(router),
            Self::Host(_) => None,
        }
    }
}

impl<A: Application> Node<Packet> for NetNode<A> {
    fn handle_packet<O: Observer<Packet>>(
        &mut self,
        ctx: &mut Context<'_, Packet, O>,
        port: PortId,
        parcel: Parcel,
    ) {
        match self {
            Self::Host(node) => {
                node.receive(ctx, port, parcel);
            }
            Self::Router(node) => node.handle(ctx, port, parcel),
        }
    }

    fn handle_wakeup<O: Observer<Packet>>(&mut self, ctx: &mut Context<'_, Packet, O>) {
        match self {
            Self::Host(node) => node.wake(ctx),
            Self::Router(node) => node.wake(ctx),
        }
    }
}
