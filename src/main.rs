//! Command line of mptcp-sim.

fn main() {}
