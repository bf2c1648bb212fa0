//! Workloads and benchmarks of mptcp-sim.
