//! The engine moves packets as the description of its links says, and twice the same way.

mod changes;
mod determinism;
mod impairments;
mod net;
mod oracle;
mod timing;
mod wakeups;
