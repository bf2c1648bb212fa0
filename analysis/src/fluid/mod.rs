//! Fixed points of multipath congestion control, an oracle beside the packet simulation: given links, paths
//! and users with their algorithms, [`solve`] finds the rates at which every window rests.
//!
//! # Model
//!
//! A window rests where its drift is zero, which gives each subflow a signal (a loss probability, or for
//! Vegas a queueing delay) as a function of the rates of its connection ([`Algorithm`]). A path's signal
//! is the sum over its links, loss by chance included (1 - p is taken as 1). A link of limited capacity
//! has the signal that keeps its load within the capacity, zero if it is not full. Round-trip times are
//! constant. These are the assumptions of the papers cited: Wischik, Raiciu, Greenhalgh and Handley, NSDI
//! 2011; Khalili, Gast, Popovic and Le Boudec, CoNEXT 2012; Peng, Walid, Hwang and Low, IEEE/ACM
//! Transactions on Networking 24(1), 2016; Cao, Xu and Fu, ICNP 2012. [`scenarios`] has their networks.
//!
//! Left out: slow start, timeouts, bursts, queues that fill and drain, windows of whole packets. Below about
//! 10 packets a real window takes less than this model says. Users of loss and of delay
//! cannot share a network: what one does to the other depends on the buffer, not on a fixed point.
//!
//! # Where the equations have no single answer
//!
//! - OLIA, the fully coupled algorithm and wVegas leave the division among equally good paths open. They
//!   are solved with one millionth of EWTCP (Vegas) mixed into the logarithm of the law; it divides
//!   evenly what is open and moves totals by less than 1e-5.
//! - A path that is worse than the best carries nothing under these algorithms, or the window
//!   of [`Options::window_floor`], as in the papers' "probing".
//! - Balia rests at more than one division between paths whose `p rtt^2` differ by less than 9 %
//!   (`k(A) = (1+A)(4+A) / (5 min(A, 1.5))` falls from 2 to 1.83 and returns to 2 at A = 1.65). The solution
//!   returned is the one reached from EWTCP's by deforming the law; between equal paths it is the even one.
//!
//! # How far to trust it
//!
//! `tests/fluid_published.rs` holds every value against the literature, one row each. All are within 1 %
//! or the rounding of the printed number but one: the torus with C at 500 packets/s under Balia. Its
//! flows (printed 901 and 899, here 895.5 and 906.7) agree to 1 %, its ratio of losses (printed 0.63,
//! here 0.640) does not. The two-path flows beside C sit where Balia's law is ambiguous (k = 1.95); a
//! scan of all symmetric divisions finds no other zero of the drift than ours.
//!
//! Of random networks nearly all converge. The fully coupled algorithm fails in about 2 of 100, where
//! several flows compete for nearly equal paths; [`FluidError::NotConverged`] then says so.

mod equilibrium;
mod law;
mod linear;
mod network;
pub mod scenarios;
mod solver;

pub use equilibrium::{Equilibrium, FluidError, LinkState, SubflowState, UserState};
pub use law::{Algorithm, LossModel, Signal};
pub use network::{Law, Link, LinkId, Network, PathId, UserId};
pub use solver::{Options, solve};
