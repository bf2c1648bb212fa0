//! The simulation: nodes, links, and the loop that lets the next actor act.

use core::fmt;
use std::collections::BTreeMap;

use crate::agenda::{ActorId, Agenda, HeapAgenda};
use crate::context::{Context, Core, Wakeup, direction_actor, node_actor};
use crate::digest::RunDigest;
use crate::link::{
    Backlog, ConfigError, Direction, LinkChange, LinkConfig, LinkDirection, LinkId, LinkStats,
};
use crate::node::{Node, NodeId, PortId};
use crate::observer::Observer;
use crate::packet::Packet;
use crate::pool::{NO_SLOT, Parcel, Pool};
use crate::random::Streams;
use crate::time::Instant;
use crate::timetable::{Planned, Timetable};

/// A network of nodes `N` that exchange packets `P`, watched by an observer `O`.
#[derive(Debug)]
pub struct Simulation<P, N, O = (), A = HeapAgenda> {
    core: Core<P, O>,
    nodes: Vec<N>,
    links: Vec<String>,
    links_by_name: BTreeMap<String, LinkId>,
    agenda: A,
    timetable: Timetable,
    streams: Streams,
    events: u64,
}

/// A link as created: its number and its port at either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The link.
    pub link: LinkId,
    /// Its port at the first end.
    pub port_a: PortId,
    /// Its port at the second end.
    pub port_b: PortId,
}

/// Why a link cannot be created.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConnectError {
    /// No node has this number.
    UnknownNode(NodeId),
    /// Another link has this name; names choose the random streams.
    NameTaken(String),
    /// The node has as many ports as can be numbered.
    TooManyPorts(NodeId),
    /// There are as many links as can be numbered.
    TooManyLinks,
    /// The configuration makes no sense.
    Config {
        /// Of this direction.
        direction: Direction,
        /// In this way.
        error: ConfigError,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNode(node) => write!(f, "there is no node {}", node.0),
            Self::NameTaken(name) => write!(f, "another link is called {name:?}"),
            Self::TooManyPorts(node) => write!(f, "node {} has no port number left", node.0),
            Self::TooManyLinks => write!(f, "there is no link number left"),
            Self::Config { direction, error } => write!(f, "direction {}: {error}", direction.name()),
        }
    }
}

impl core::error::Error for ConnectError {}

const TIMETABLE: ActorId = ActorId(0);

impl<P: Packet, N: Node<P>> Simulation<P, N> {
    /// An empty simulation that nobody watches, with the default agenda.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_agenda(seed, ())
    }
}

impl<P: Packet, N: Node<P>, O: Observer<P>> Simulation<P, N, O> {
    /// An empty simulation with the default agenda. `seed` decides all that is random on its links.
    #[must_use]
    pub fn with_observer(seed: u64, observer: O) -> Self {
        Self::with_agenda(seed, observer)
    }
}

impl<P: Packet, N: Node<P>, O: Observer<P>, A: Agenda> Simulation<P, N, O, A> {
    /// An empty simulation with any agenda; results do not depend on which.
    #[must_use]
    pub fn with_agenda(seed: u64, observer: O) -> Self {
        Self {
            core: Core {
                now: Instant::ZERO,
                pool: Pool::new(),
                directions: Vec::new(),
                ports: Vec::new(),
                wakeups: Vec::new(),
                touched: Vec::new(),
                order: 0,
                digest: RunDigest::EMPTY,
                observer,
            },
            nodes: Vec::new(),
            links: Vec::new(),
            links_by_name: BTreeMap::new(),
            agenda: A::default(),
            timetable: Timetable::default(),
            streams: Streams::new(seed),
            events: 0,
        }
    }

    /// Adds a node.
    ///
    /// # Panics
    ///
    /// With more than 8 million nodes.
    pub fn add_node(&mut self, node: N) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        assert!(node_actor(id).0 < ActorId::LIMIT, "more than 8 million nodes");
        self.nodes.push(node);
        self.core.ports.push(Vec::new());
        self.core.wakeups.push(Wakeup::NONE);
        id
    }

    /// Connects two nodes. Each gets a new port, the next number it has not used.
    ///
    /// # Errors
    ///
    /// If a node does not exist, the name is taken or the configuration makes no sense.
    pub fn connect(
        &mut self,
        name: &str,
        a: NodeId,
        b: NodeId,
        config: LinkConfig,
    ) -> Result<Attachment, ConnectError> {
        for node in [a, b] {
            let ports = self.core.ports.get(node.0 as usize).ok_or(ConnectError::UnknownNode(node))?;
            // A link from a node to itself needs two numbers.
            if ports.len() + 2 > usize::from(u16::MAX) {
                return Err(ConnectError::TooManyPorts(node));
            }
        }
        if self.links_by_name.contains_key(name) {
            return Err(ConnectError::NameTaken(name.to_owned()));
        }
        for (direction, config) in [(Direction::AtoB, &config.ab), (Direction::BtoA, &config.ba)] {
            config.validate().map_err(|error| ConnectError::Config { direction, error })?;
        }
        let first = self.core.directions.len();
        if direction_actor(first + 1).0 >= ActorId::LIMIT {
            return Err(ConnectError::TooManyLinks);
        }
        let link = LinkId(self.links.len() as u32);
        let port_a = self.add_port(a, first);
        let port_b = self.add_port(b, first + 1);
        let (at_a, at_b) = ((a, port_a), (b, port_b));
        for (direction, config, from, to) in
            [(Direction::AtoB, &config.ab, at_a, at_b), (Direction::BtoA, &config.ba, at_b, at_a)]
        {
            let new = LinkDirection::new(config, &self.streams, name, link, direction, from, to);
            self.core.directions.push(new);
        }
        self.links.push(name.to_owned());
        self.links_by_name.insert(name.to_owned(), link);
        Ok(Attachment { link, port_a, port_b })
    }

    fn add_port(&mut self, node: NodeId, direction: usize) -> PortId {
        let ports = &mut self.core.ports[node.0 as usize];
        let port = PortId(ports.len() as u16);
        ports.push(direction as u32);
        port
    }

    /// Runs all events up to and at `end`, which is then the present.
    #[inline(never)]
    pub fn run_until(&mut self, end: Instant) {
        while let Some((at, actor)) = self.agenda.peek() {
            if at > end {
                break;
            }
            self.step(at, actor);
        }
        self.core.now = self.core.now.max(end);
    }

    /// As [`run_until`](Self::run_until), but with at most so many further events. Tells whether `end` was
    /// reached; if not, the present is the instant of the last event.
    #[inline(never)]
    pub fn run_until_or(&mut self, end: Instant, events: u64) -> bool {
        let last = self.events.saturating_add(events);
        while let Some((at, actor)) = self.agenda.peek() {
            if at > end {
                break;
            }
            if self.events >= last {
                return false;
            }
            self.step(at, actor);
        }
        self.core.now = self.core.now.max(end);
        true
    }

    /// Runs until nothing is left to do. A network that never rests never ends.
    #[inline(never)]
    pub fn run_to_end(&mut self) {
        while let Some((at, actor)) = self.agenda.peek() {
            self.step(at, actor);
        }
    }

    #[inline]
    fn step(&mut self, at: Instant, actor: ActorId) {
        debug_assert!(at >= self.core.now, "the agenda goes back in time");
        let index = (actor.0 / 2) as usize;
        if actor.0 % 2 == 1 {
            self.core.now = at;
            self.events += 1;
            self.deliver(index, actor);
        } else if actor == TIMETABLE {
            self.core.now = at;
            self.events += 1;
            self.apply_next_change();
        } else if self.settle_wakeup(NodeId(index as u32 - 1), at) {
            self.core.now = at;
            self.events += 1;
            self.wake(NodeId(index as u32 - 1));
        }
    }

    /// Lets a direction of a link act: at most one packet arrives.
    #[inline]
    fn deliver(&mut self, index: usize, actor: ActorId) {
        let core = &mut self.core;
        let now = core.now;
        let direction = &mut core.directions[index];
        let (slot, len, next) = direction.act(now);
        let known = direction.upcoming;
        match next {
            Some((at, upcoming)) => {
                core.order += 1;
                self.agenda.set_first(actor, at, core.order);
                if upcoming != NO_SLOT {
                    direction.upcoming = core.pool.look_at(upcoming);
                }
            }
            None => self.agenda.clear(actor),
        }
        if slot == NO_SLOT {
            return;
        }
        direction.count_arrival(len);
        let (node, port) = direction.to;
        let digest = if known.slot == slot { known.digest } else { core.pool.look_at_new(slot).digest };
        core.digest.add(now, node, port, digest);
        let parcel = Parcel::from_slot(slot);
        let packet = core.pool.get(&parcel);
        if O::ACTIVE {
            core.observer.received(now, node, port, packet);
        }
        let mut ctx = Context { core: &mut self.core, node };
        self.nodes[node.0 as usize].handle_packet(&mut ctx, port, parcel);
        self.enter_touched();
    }

    /// Whether the node's wake-up has come. If it has been put off since, enters the later one.
    #[inline]
    fn settle_wakeup(&mut self, node: NodeId, at: Instant) -> bool {
        let wakeup = &mut self.core.wakeups[node.0 as usize];
        if wakeup.wanted <= at {
            return true;
        }
        wakeup.armed = wakeup.wanted;
        if wakeup.wanted == Instant::FAR_FUTURE {
            self.agenda.clear(node_actor(node));
        } else {
            self.agenda.set(node_actor(node), wakeup.wanted, wakeup.order);
        }
        false
    }

    #[inline]
    fn wake(&mut self, node: NodeId) {
        self.core.wakeups[node.0 as usize] = Wakeup::NONE;
        let mut ctx = Context { core: &mut self.core, node };
        self.nodes[node.0 as usize].handle_wakeup(&mut ctx);
        self.enter_touched();
        // Most nodes set the next wake-up, which has replaced the entry of this one.
        if self.core.wakeups[node.0 as usize].armed == Instant::FAR_FUTURE {
            self.agenda.clear(node_actor(node));
        }
    }

    /// Enters in the agenda what the last handler has done.
    #[inline(always)]
    fn enter_touched(&mut self) {
        if !self.core.touched.is_empty() {
            self.enter_all_touched();
        }
    }

    #[inline(never)]
    fn enter_all_touched(&mut self) {
        for touched in &self.core.touched {
            self.agenda.set(touched.actor, touched.at, touched.order);
        }
        self.core.touched.clear();
    }

    #[cold]
    fn apply_next_change(&mut self) {
        let planned = self.timetable.take_first();
        match self.timetable.next() {
            Some((at, order)) => self.agenda.set(TIMETABLE, at, order),
            None => self.agenda.clear(TIMETABLE),
        }
        let Some(Planned { link, direction, change }) = planned else { return };
        for each in Direction::BOTH {
            if direction.is_none_or(|direction| direction == each) {
                self.apply_change(link, each, &change);
            }
        }
    }

    fn apply_change(&mut self, link: LinkId, direction: Direction, change: &LinkChange) {
        let index = direction_index(link, direction);
        let affected = &mut self.core.directions[index];
        let was_up = affected.is_up();
        let woken = affected.change(self.core.now, change);
        let went_up_or_down = affected.is_up() != was_up;
        let (node, port) = affected.from;
        if let Some(at) = woken {
            self.core.touch(direction_actor(index), at);
            self.enter_touched();
        }
        if went_up_or_down {
            let mut ctx = Context { core: &mut self.core, node };
            self.nodes[node.0 as usize].handle_link_change(&mut ctx, port);
            self.enter_touched();
        }
    }

    /// Plans a change of one or both directions of a link. At its instant it comes in the order of being
    /// planned, hence before what is sent later. An instant in the past is now.
    ///
    /// # Errors
    ///
    /// If the change makes no sense.
    ///
    /// # Panics
    ///
    /// If the link is of another simulation.
    pub fn schedule_link_change(
        &mut self,
        at: Instant,
        link: LinkId,
        direction: Option<Direction>,
        change: LinkChange,
    ) -> Result<(), ConfigError> {
        assert!((link.0 as usize) < self.links.len(), "there is no link {}", link.0);
        change.validate()?;
        let order = self.core.next_order();
        self.timetable.add(at.max(self.core.now), order, Planned { link, direction, change });
        if let Some((at, order)) = self.timetable.next() {
            self.agenda.set(TIMETABLE, at, order);
        }
        Ok(())
    }

    /// Lets `act` do something to a node at the present instant, as its application would.
    ///
    /// # Panics
    ///
    /// If the node is of another simulation.
    pub fn with_node<R>(&mut self, node: NodeId, act: impl FnOnce(&mut N, &mut Context<'_, P, O>) -> R) -> R {
        let mut ctx = Context { core: &mut self.core, node };
        let result = act(&mut self.nodes[node.0 as usize], &mut ctx);
        self.enter_touched();
        result
    }

    /// The present instant.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.core.now
    }

    /// When something happens next, if ever.
    pub fn next_event(&mut self) -> Option<Instant> {
        loop {
            let (at, actor) = self.agenda.peek()?;
            if actor.0 % 2 == 1 || actor == TIMETABLE || self.settle_wakeup(NodeId(actor.0 / 2 - 1), at) {
                return Some(at);
            }
        }
    }

    /// Events handled so far: wake-ups of nodes and of directions of links, and link changes.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// A number computed from instant, node, port and contents of every packet delivered so far.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.core.digest.value()
    }

    /// The random streams of the run, for nodes that need one.
    #[must_use]
    pub const fn streams(&self) -> Streams {
        self.streams
    }

    /// A node.
    ///
    /// # Panics
    ///
    /// If it is of another simulation, here and below; likewise with links.
    #[must_use]
    pub fn node(&self, node: NodeId) -> &N {
        &self.nodes[node.0 as usize]
    }

    /// A node, to change it without a context; see [`with_node`](Self::with_node).
    pub fn node_mut(&mut self, node: NodeId) -> &mut N {
        &mut self.nodes[node.0 as usize]
    }

    /// All nodes, in order of creation.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (NodeId, &N)> {
        self.nodes.iter().enumerate().map(|(index, node)| (NodeId(index as u32), node))
    }

    /// All links by name, in order of creation.
    pub fn links(&self) -> impl ExactSizeIterator<Item = (LinkId, &str)> {
        self.links.iter().enumerate().map(|(index, name)| (LinkId(index as u32), name.as_str()))
    }

    /// The link of that name.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<LinkId> {
        self.links_by_name.get(name).copied()
    }

    /// Node and port at either end of a link.
    #[must_use]
    pub fn ends(&self, link: LinkId) -> [(NodeId, PortId); 2] {
        let forward = &self.core.directions[direction_index(link, Direction::AtoB)];
        [forward.from, forward.to]
    }

    /// Counters of a direction of a link.
    #[must_use]
    pub fn link_stats(&self, link: LinkId, direction: Direction) -> LinkStats {
        self.core.directions[direction_index(link, direction)].stats
    }

    /// What waits at present in the queue of a direction of a link.
    pub fn backlog(&mut self, link: LinkId, direction: Direction) -> Backlog {
        let now = self.core.now;
        self.core.directions[direction_index(link, direction)].backlog(now)
    }

    /// The observer.
    #[must_use]
    pub const fn observer(&self) -> &O {
        &self.core.observer
    }

    /// The observer, to change it.
    pub const fn observer_mut(&mut self) -> &mut O {
        &mut self.core.observer
    }

    /// Ends the simulation and gives the observer back.
    #[must_use]
    pub fn into_observer(self) -> O {
        self.core.observer
    }

    /// Packets in queues and on the wire.
    #[must_use]
    pub fn packets_in_flight(&self) -> usize {
        self.core.directions.iter().map(LinkDirection::packets).sum()
    }

    /// Packets that exist: those in flight and those that nodes hold (or have lost, see [`Parcel`]).
    #[must_use]
    pub const fn packets_alive(&self) -> usize {
        self.core.pool.alive()
    }

    /// Packets the pool has room for without growing; it keeps the room for the most that ever existed.
    #[must_use]
    pub const fn packet_slots(&self) -> usize {
        self.core.pool.slots()
    }
}

const fn direction_index(link: LinkId, direction: Direction) -> usize {
    2 * link.0 as usize + direction as usize
}
