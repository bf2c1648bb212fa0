//! Captures, time series, plots, summaries and comparisons for mptcp-sim.
