//! Discrete-event engine of mptcp-sim. It moves packets of any type through links between nodes;
//! it knows nothing of any protocol: a packet is something with a wire length, a flow hash and an
//! ECN mark.

pub mod time;
pub mod units;

pub use time::{Duration, Instant};
pub use units::{Bytes, Rate};
