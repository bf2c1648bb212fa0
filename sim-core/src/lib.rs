//! Discrete-event engine of mptcp-sim. It moves packets of any type through links between nodes;
//! it knows nothing of any protocol: a packet is something with a wire length, a flow hash and an
//! ECN mark ([`Packet`]).
//!
//! # How a run works
//!
//! Whatever can act is an *actor*: a [`Node`] or one direction of a link. Each actor has at most one
//! entry in the [`Agenda`], the next instant at which it has something to do; entries of the same
//! instant act in the order in which they were set. Packets stay in a pool, links and nodes pass on
//! the handle ([`Parcel`]), so a packet is written once however many hops it makes. A first-in
//! first-out link computes departure and arrival when the packet enters it and needs one event a
//! packet.
//!
//! Nothing reads a clock or iterates a hash map, and each random decision draws from a stream chosen
//! by name ([`Streams`]): the same network and seed give the same run, which
//! [`Simulation::digest`] condenses to one number.

pub mod agenda;
mod context;
mod digest;
pub mod link;
pub mod node;
pub mod observer;
pub mod packet;
mod pool;
pub mod random;
pub mod ring;
mod simulation;
pub mod time;
mod timetable;
pub mod units;

pub use agenda::{ActorId, Agenda, HeapAgenda, QueueAgenda};
pub use context::Context;
pub use link::{
    Backlog, ConfigError, Direction, DirectionConfig, Jitter, JitterShape, LinkChange, LinkConfig, LinkId,
    LinkStats, Loss, QueueLimit, RandomDrop,
};
pub use node::{Node, NodeId, PortId};
pub use observer::{DropReason, Observer, Place};
pub use packet::Packet;
pub use pool::Parcel;
pub use random::{Stream, Streams};
pub use ring::Ring;
pub use simulation::{Attachment, ConnectError, Simulation};
pub use time::{Duration, Instant};
pub use units::{Bytes, Rate};
