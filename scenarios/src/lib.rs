//! The scenario language of mptcp-sim, its validation, built-in scenarios and applications.
